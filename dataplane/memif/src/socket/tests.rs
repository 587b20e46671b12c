//! Datagrams, descriptors and socket files, over real sockets.

use std::fs::File;
use std::os::fd::AsRawFd;

use rustix::net::socketpair;

use super::*;
use crate::wire::{AddRegion, WireError};

fn pair() -> (ControlSocket, ControlSocket) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    (a.into(), b.into())
}

fn send_raw(socket: &ControlSocket, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
}

/// The descriptors of this process that refer to `file`.
fn references_to(file: &File) -> usize {
    let wanted = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter(|entry| {
            fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|target| target == wanted)
        })
        .count()
}

#[test]
fn message_arrives_with_its_descriptor() {
    let (a, b) = pair();
    let file = tempfile::tempfile().unwrap();
    let message = Message::AddRegion(AddRegion { index: 0, size: 4096 });
    a.send(&message, Some(file.as_fd())).unwrap();
    a.send(&Message::Ack, None).unwrap();
    let Received::Message(first, Some(descriptor)) = b.receive().unwrap() else { panic!() };
    assert_eq!(first, message);
    assert_eq!(File::from(descriptor).metadata().unwrap().ino(), file.metadata().unwrap().ino());
    assert!(matches!(b.receive().unwrap(), Received::Message(Message::Ack, None)));
    assert!(matches!(b.receive().unwrap(), Received::Nothing));
    drop(a);
    assert!(matches!(b.receive().unwrap(), Received::Eof));
}

#[test]
fn credentials_in_front_do_not_cost_the_descriptor() {
    let (a, b) = pair();
    sockopt::set_socket_passcred(&b, true).unwrap();
    let file = tempfile::tempfile().unwrap();
    a.send(&Message::Ack, Some(file.as_fd())).unwrap();
    assert!(matches!(b.receive().unwrap(), Received::Message(Message::Ack, Some(_))));
}

#[test]
fn received_descriptors_do_not_survive_exec() {
    let (a, b) = pair();
    a.send(&Message::Ack, Some(a.as_fd())).unwrap();
    let Received::Message(_, Some(descriptor)) = b.receive().unwrap() else { panic!() };
    let flags = rustix::io::fcntl_getfd(&descriptor).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn more_than_one_descriptor_is_an_error_and_all_are_closed() {
    for count in [2, 4, 5, 8] {
        let (a, b) = pair();
        let file = tempfile::tempfile().unwrap();
        send_raw(&a, &Message::Ack.encode(), &vec![file.as_fd(); count]);
        assert!(
            matches!(b.receive(), Err(ReceiveError::Protocol(HandshakeError::TooManyDescriptors))),
            "{count}"
        );
        assert_eq!(references_to(&file), 1, "{count}");
    }
}

#[test]
fn datagrams_of_other_lengths_are_errors_and_their_descriptor_is_closed() {
    for length in [1, 127, 129, 4096] {
        let (a, b) = pair();
        let file = tempfile::tempfile().unwrap();
        send_raw(&a, &vec![1; length], &[file.as_fd()]);
        let outcome = b.receive();
        assert!(
            matches!(
                outcome,
                Err(ReceiveError::Protocol(HandshakeError::Wire(WireError::Length(_))))
            ),
            "{outcome:?}"
        );
        assert_eq!(references_to(&file), 1);
    }
}

#[test]
fn reason_of_a_peer_that_left_with_our_messages_unread_still_arrives() {
    let (a, b) = pair();
    b.send(&Message::Ack, None).unwrap();
    a.send(&Message::Ack, None).unwrap();
    drop(a);
    assert!(matches!(b.receive().unwrap(), Received::Message(Message::Ack, None)));
    assert!(matches!(b.receive().unwrap(), Received::Eof));
}

#[test]
fn credentials_are_those_of_the_peer() {
    let (a, _b) = pair();
    assert_eq!(a.credentials().unwrap().uid, rustix::process::getuid().as_raw());
}

#[test]
fn socket_file_goes_with_its_listener() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memif.sock");
    let listener = ListeningSocket::bind(&Address::path(&path).unwrap()).unwrap();
    assert_eq!(listener.path(), Some(path.as_path()));
    assert!(path.exists());
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn file_of_a_dead_listener_is_replaced_and_that_of_a_live_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memif.sock");
    let address = Address::path(&path).unwrap();
    let fd = new_socket().unwrap();
    bind(&fd, &address.to_socket_address().unwrap()).unwrap();
    listen(&fd, 1).unwrap();
    let refused = ListeningSocket::bind(&address).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    assert!(refused.to_string().contains("served by another process"), "{refused}");
    drop(fd);
    assert!(path.exists(), "a dead listener leaves its file");
    ListeningSocket::bind(&address).unwrap();
}

#[test]
fn what_is_no_socket_is_never_removed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = ListeningSocket::bind(&Address::path(file.path()).unwrap()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    assert!(file.path().exists());
}

#[test]
fn file_of_a_successor_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memif.sock");
    let address = Address::path(&path).unwrap();
    let first = ListeningSocket::bind(&address).unwrap();
    fs::rename(&path, directory.path().join("moved")).unwrap();
    let _second = ListeningSocket::bind(&address).unwrap();
    drop(first);
    assert!(path.exists());
}

#[test]
fn only_seqpacket_sockets_are_adopted() {
    let stream =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    assert!(ListeningSocket::adopt(stream).is_err());
}
