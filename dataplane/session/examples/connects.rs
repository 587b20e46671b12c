//! How many sessions a broker brings together each second: programs that connect and close in a loop, one
//! that accepts and closes, and the processor time that the broker's thread takes for each session.
//!
//! `cargo run --release -p session --features broker --example connects -- [CLIENTS] [SECONDS]`

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, recvmsg,
    sendmsg_addr, socket_with, socketpair, sockopt,
};
use rustix::{cmsg_space, net};
use session::broker::{Endpoint, EndpointKey, Limits, NetworkKey, Options, Service};
use session::layout::RingSize;
use session::wire::{Protocol, REPLY_BYTES, Reply, Request, Reuse};

const PORT: u16 = 80;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().and_then(|it| it.parse().ok()).unwrap_or(default);
    let (clients, seconds) = (number(1u8), number(3u8));

    let service = Service::start(Options::default())?;
    let server = endpoint(&service, 1)?;
    let (near, far) = pair(SocketType::SEQPACKET)?;
    let listen = Request::Listen {
        protocol: Protocol::Stream,
        address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT),
        backlog: 512,
        reuse: Reuse::default(),
        cookie: sockopt::socket_cookie(&near)?,
    };
    send(&socket()?, &server, &listen, &[far.as_fd()])?;
    drop(far);
    let stop = AtomicBool::new(false);
    let made = AtomicU64::new(0);
    assert_eq!(receive(&near)?.map(|it| it.0), Some(Reply::Listening));

    std::thread::scope(|scope| -> io::Result<()> {
        scope.spawn(|| while matches!(receive(&near), Ok(Some(_))) {});
        for client in 0..clients {
            let broker = endpoint(&service, 2 + client)?;
            let (stop, made) = (&stop, &made);
            scope.spawn(move || -> io::Result<()> {
                let socket = socket()?;
                while !stop.load(Ordering::Relaxed) {
                    connect(&socket, &broker)?;
                    made.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        let (started, cpu) = (Instant::now(), broker_cpu());
        std::thread::sleep(Duration::from_secs(seconds.into()));
        let (count, elapsed, cpu) =
            (made.load(Ordering::Relaxed), started.elapsed(), broker_cpu().saturating_sub(cpu));
        stop.store(true, Ordering::Relaxed);
        #[allow(clippy::cast_precision_loss)]
        let count = count as f64;
        println!(
            "{clients} clients: {:.0} sessions/s, {:.1} us of the broker's thread each, \
             {:.0} /s if it had a core of its own",
            count / elapsed.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / count,
            count / cpu.as_secs_f64(),
        );
        net::shutdown(&near, net::Shutdown::Both)?;
        Ok(())
    })
}

/// Processor time of the thread called `broker` (`/proc/PID/task/TID/schedstat`, nanoseconds first).
fn broker_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let broker = tasks.map(|task| task.path()).find(|path| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "broker")
    });
    let text = broker.and_then(|path| std::fs::read_to_string(path.join("schedstat")).ok());
    let nanoseconds = text.and_then(|text| text.split(' ').next()?.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

fn endpoint(service: &Service, last: u8) -> io::Result<SocketAddrUnix> {
    let key = EndpointKey(last.into());
    let endpoint = Endpoint {
        network: NetworkKey(1),
        ipv4: Some(Ipv4Addr::new(10, 0, 0, last)),
        ipv6: None,
        kernel: false,
        isolated: false,
        ring_size: RingSize::DEFAULT,
        limits: Limits::default(),
    };
    service.add_endpoint(key, endpoint);
    let name = format!("dockervpp-test/connects/{}/{last}", std::process::id());
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes())?;
    let socket = socket()?;
    bind(&socket, &address)?;
    service.serve(key, socket)?;
    Ok(address)
}

fn connect(socket: &OwnedFd, broker: &SocketAddrUnix) -> io::Result<()> {
    let (near, far) = pair(SocketType::STREAM)?;
    let request = Request::Connect {
        protocol: Protocol::Stream,
        source: None,
        destination: SocketAddr::new(Ipv4Addr::new(10, 0, 0, 1).into(), PORT),
        cookie: sockopt::socket_cookie(&near)?,
        sharing: 1,
    };
    send(socket, broker, &request, &[far.as_fd()])?;
    drop(far);
    loop {
        match receive(&near)? {
            Some((Reply::Connected(_), _)) => return Ok(()),
            Some((Reply::Pending, _)) => {}
            other => return Err(io::Error::other(format!("{other:?}"))),
        }
    }
}

fn socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?)
}

fn send(
    socket: &OwnedFd,
    broker: &SocketAddrUnix,
    request: &Request,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(descriptors));
    let bytes = request.encode();
    sendmsg_addr(socket, broker, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next reply and its descriptors; `None` at the end.
fn receive(socket: &OwnedFd) -> io::Result<Option<(Reply, Vec<OwnedFd>)>> {
    let mut bytes = [0; REPLY_BYTES];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if message.bytes == 0 {
        return Ok(None);
    }
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    let descriptors = rights.flatten().collect();
    Ok(Some((Reply::decode(&bytes).map_err(io::Error::other)?, descriptors)))
}
