//! A program that speaks to the broker without any library in between: one request, one session, one line.
//!
//! * `probe serve PORT TEXT` waits for one session on all addresses and writes `TEXT` into it.
//! * `probe fetch ADDRESS:PORT` connects and prints what comes.

use std::env;
use std::error::Error;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, recvmsg,
    sendmsg_addr, socket_with, socketpair, sockopt,
};
use session::wire::{Protocol, REPLY_BYTES, Reply, Request, Reuse, SOCKET_NAME, SessionInfo};
use session::{Local, Stream};
use shm::Mapping;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", port, text] => serve(port.parse()?, text),
        ["fetch", from] => fetch(from.parse()?),
        _ => Err("usage: probe serve PORT TEXT | fetch ADDRESS:PORT".into()),
    }
}

fn serve(port: u16, text: &str) -> Result<(), Box<dyn Error>> {
    let (near, far) = pair(SocketType::SEQPACKET)?;
    ask(
        &Request::Listen {
            protocol: Protocol::Stream,
            address: (Ipv4Addr::UNSPECIFIED, port).into(),
            backlog: 16,
            reuse: Reuse::default(),
            cookie: sockopt::socket_cookie(&near)?,
        },
        far,
    )?;
    match receive(&near)? {
        (Reply::Listening, _) => println!("listening"),
        (other, _) => return Err(format!("cannot listen: {other:?}").into()),
    }
    let (Reply::Accept(info), mut descriptors) = receive(&near)? else {
        return Err("that was no session".into());
    };
    let memory = descriptors.pop().ok_or("no memory came")?;
    let socket = descriptors.pop().ok_or("no socket came")?;
    with_stream(&info, &memory, |stream| {
        let moved = stream.write(text.as_bytes())?;
        if moved.wake {
            rustix::net::send(&socket, &[0], SendFlags::NOSIGNAL)?;
        }
        stream.end();
        // Wakes a reader that sleeps, as a token does.
        rustix::net::shutdown(&socket, Shutdown::Write)?;
        // The socket's end is the stream's: wait until the other side has read all and closed.
        poll(&mut [PollFd::new(&socket, PollFlags::RDHUP)], None)?;
        println!("served {} bytes to {}", moved.bytes, info.remote);
        Ok(())
    })
}

fn fetch(destination: SocketAddr) -> Result<(), Box<dyn Error>> {
    let (near, far) = pair(SocketType::STREAM)?;
    let cookie = sockopt::socket_cookie(&near)?;
    let protocol = Protocol::Stream;
    ask(&Request::Connect { protocol, source: None, destination, cookie, sharing: 0 }, far)?;
    let (Reply::Connected(info), mut descriptors) = receive(&near)? else {
        return Err("nobody listens there".into());
    };
    let memory = descriptors.pop().ok_or("no memory came")?;
    with_stream(&info, &memory, |stream| {
        let mut bytes = vec![0; stream.ring_bytes()];
        loop {
            // Asked before the read: bytes that come in between are not the last ones.
            let (ended, seen) = (stream.peer_ended(), stream.seen()?);
            let got = stream.read(&mut bytes)?.bytes;
            print!("{}", String::from_utf8_lossy(&bytes[..got]));
            if got == 0 && ended {
                return Ok(());
            }
            if got == 0 && stream.arm_reader(seen)? {
                poll(&mut [PollFd::new(&near, PollFlags::IN)], None)?;
                let mut tokens = [0; 16];
                rustix::net::recv(&near, &mut tokens, RecvFlags::DONTWAIT)?;
            }
        }
    })
}

fn with_stream(
    info: &SessionInfo,
    memory: &OwnedFd,
    work: impl FnOnce(&Stream<'_>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mapping = Mapping::map(memory.as_fd(), info.place.memory_bytes())?;
    Stream::check_header(&mapping, info.place)?;
    let local = Local::new();
    work(&Stream::new(&mapping, &local, info.side, info.place)?)
}

fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

fn ask(request: &Request, far: OwnedFd) -> io::Result<()> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let broker = SocketAddrUnix::new_abstract_name(SOCKET_NAME.as_bytes())?;
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [far.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let bytes = request.encode();
    sendmsg_addr(&socket, &broker, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    // The broker has it now: an own copy would hide that it is gone.
    drop(far);
    Ok(())
}

fn receive(socket: &OwnedFd) -> Result<(Reply, Vec<OwnedFd>), Box<dyn Error>> {
    let mut bytes = [0; REPLY_BYTES];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let got = recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    let descriptors = rights.flatten().collect();
    Ok((Reply::decode(&bytes[..got])?, descriptors))
}
