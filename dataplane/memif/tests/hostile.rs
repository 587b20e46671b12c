//! Clients that are silent, too many, or speak nonsense cost only their own connection.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use common::{ID, address, client, link, listener, next_of_listener};
use memif::handshake::Stage;
use memif::wire::{AddRegion, AddRing, Direction, Init, Message, Version};
use memif::{
    AcceptError, Address, HandshakeError, Listener, ListenerEvent, Mode, Name, RingSize, Secret,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, recv, sendmsg, socket_with,
};

/// Bytes and descriptors.
type Datagram<'a> = (&'a [u8], &'a [BorrowedFd<'a>]);

fn dial(address: &Address) -> OwnedFd {
    let Address::Abstract(name) = address else { panic!("tests use abstract addresses") };
    let fd = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .unwrap();
    connect(&fd, &SocketAddrUnix::new_abstract_name(name).unwrap()).unwrap();
    fd
}

fn send(socket: &OwnedFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
}

/// The last thing that the listener says before it hangs up.
fn last_words(socket: &OwnedFd) -> Message {
    let mut last = None;
    loop {
        let mut bytes = [0; 128];
        match recv(socket, &mut bytes, RecvFlags::empty()) {
            Ok((0, _)) => return last.expect("it says something"),
            Ok((length, _)) => last = Some(Message::decode(&bytes[..length]).unwrap()),
            Err(rustix::io::Errno::CONNRESET) => {}
            Err(errno) => panic!("{errno}"),
        }
    }
}

fn init() -> Message {
    Message::Init(Init {
        version: Version::CURRENT,
        id: ID,
        mode: Mode::Ethernet,
        secret: Secret::NONE,
        name: Name::EMPTY,
    })
}

fn ring(direction: Direction, offset: u32) -> Message {
    let size = RingSize::from_log2(4).unwrap();
    Message::AddRing(AddRing {
        direction,
        index: 0,
        region: 0,
        offset,
        size,
        private_header_size: 0,
    })
}

fn refused(listener: &mut Listener) -> AcceptError {
    match next_of_listener(listener) {
        ListenerEvent::Refused { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn silence_ends_at_the_deadline_and_not_before() {
    let address = address("silence");
    let mut listener = listener(&address);
    let silent = dial(&address);
    let start = Instant::now();
    assert!(listener.poll(start).unwrap().is_empty());
    let deadline = listener.next_deadline().unwrap();
    assert_eq!(deadline, start + Duration::from_secs(1));
    assert!(listener.poll(start + Duration::from_millis(999)).unwrap().is_empty());
    let events = listener.poll(deadline).unwrap();
    let [ListenerEvent::Refused { error: AcceptError::Handshake(error), .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*error, HandshakeError::Timeout(Stage::Init));
    assert!(matches!(last_words(&silent), Message::Disconnect(_)));
    assert_eq!(listener.next_deadline(), None);
}

#[test]
fn squatter_on_an_interface_does_not_keep_others_out() {
    let address = address("squatter");
    let mut listener = listener(&address);
    let squatter = dial(&address);
    send(&squatter, &init().encode(), &[]);
    let mut honest = client(&address);
    link(&mut listener, &mut honest);
}

#[test]
fn crowd_is_capped_and_leaves_when_it_goes() {
    let address = address("crowd");
    let mut listener = listener(&address);
    let crowd: Vec<_> = (0..8).map(|_| dial(&address)).collect();
    let late = dial(&address);
    assert!(matches!(refused(&mut listener), AcceptError::Crowded { pending: 8 }));
    assert!(matches!(last_words(&late), Message::Disconnect(_)));
    drop(crowd);
    let mut honest = client(&address);
    link(&mut listener, &mut honest);
}

#[test]
fn nonsense_is_answered_and_cut_off() {
    let file = tempfile::tempfile().unwrap();
    let fd = file.as_fd();
    let region = Message::AddRegion(AddRegion { index: 0, size: 4096 }).encode();
    let up = ring(Direction::ClientToServer, 0).encode();
    let cases: [(&str, &[Datagram<'_>]); 9] = [
        ("short", &[(&[1, 0], &[])]),
        ("long", &[(&[1; 129], &[])]),
        ("unknown", &[(&[0xff; 128], &[])]),
        ("no-init", &[(&region, &[fd])]),
        ("hello", &[(&[2; 128], &[fd])]),
        ("fd-with-init", &[(&init().encode(), &[fd])]),
        ("fd-missing", &[(&init().encode(), &[]), (&region, &[])]),
        ("fd-flood", &[(&init().encode(), &[]), (&region, &[fd; 8])]),
        ("twice", &[(&init().encode(), &[]), (&region, &[fd]), (&up, &[fd]), (&up, &[fd])]),
    ];
    for (name, messages) in cases {
        let address = address(name);
        let mut listener = listener(&address);
        let hostile = dial(&address);
        for (bytes, descriptors) in messages {
            send(&hostile, bytes, descriptors);
        }
        let error = refused(&mut listener);
        assert!(matches!(error, AcceptError::Handshake(_)), "{name}: {error}");
        let Message::Disconnect(farewell) = last_words(&hostile) else { panic!("{name}") };
        assert!(error.to_string().starts_with(&farewell.reason.to_string()), "{name}");
        link(&mut listener, &mut client(&address));
    }
}

#[test]
fn memory_that_is_no_memory_is_refused() {
    let (pipe, _writer) = rustix::pipe::pipe().unwrap();
    let file = tempfile::tempfile().unwrap();
    file.set_len(4096).unwrap();
    let address = address("memory");
    let mut listener = listener(&address);
    for region in [pipe.as_fd(), file.as_fd()] {
        let hostile = dial(&address);
        send(&hostile, &init().encode(), &[]);
        let message = Message::AddRegion(AddRegion { index: 0, size: 4096 });
        send(&hostile, &message.encode(), &[region]);
        send(&hostile, &ring(Direction::ClientToServer, 0).encode(), &[region]);
        send(&hostile, &ring(Direction::ServerToClient, 384).encode(), &[region]);
        send(&hostile, &Message::Connect { interface: Name::EMPTY }.encode(), &[]);
        let error = refused(&mut listener);
        assert!(matches!(error, AcceptError::Memory(_)), "{error}");
        assert!(matches!(last_words(&hostile), Message::Disconnect(_)));
    }
    link(&mut listener, &mut client(&address));
}

#[test]
fn message_on_a_connected_link_that_has_no_place_there_ends_it() {
    let address = address("afterwards");
    let mut listener = listener(&address);
    let mut client = client(&address);
    let (_at_server, at_client) = link(&mut listener, &mut client);
    let fd = at_client.as_fd().try_clone_to_owned().unwrap();
    send(&fd, &init().encode(), &[fd.as_fd()]);
    let ListenerEvent::Disconnected { reason, .. } = next_of_listener(&mut listener) else {
        panic!("not disconnected")
    };
    assert!(reason.to_string().contains("unexpected INIT while connected"), "{reason}");
}
