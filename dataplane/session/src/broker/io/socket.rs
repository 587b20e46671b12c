//! One message each way, with its descriptors. Nothing here blocks.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketType, recvmsg, sendmsg, sockopt,
};

use crate::wire::{REPLY_BYTES, REQUEST_BYTES, Reply};

/// `SCM_MAX_FD` of Linux's `net/scm.h`. There is room for all of them: those for which there is none
/// the kernel closes on the way, in this thread.
const MOST_DESCRIPTORS: usize = 253;

/// What came.
#[derive(Debug)]
pub(super) struct Received {
    /// The message; one byte more than a request has, to tell longer ones.
    pub(super) bytes: [u8; REQUEST_BYTES + 1],
    pub(super) len: usize,
    /// The first two descriptors.
    pub(super) first: Option<OwnedFd>,
    pub(super) second: Option<OwnedFd>,
    /// The others.
    pub(super) surplus: Vec<OwnedFd>,
}

/// Takes the next datagram; `None` when there is none now.
pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Received>> {
    let mut bytes = [0; REQUEST_BYTES + 1];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut space =
        [MaybeUninit::uninit(); cmsg_space!(ScmCredentials(1), ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let len = match recvmsg(socket, &mut parts, &mut control, flags) {
        Ok(message) => message.bytes,
        Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let mut descriptors = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten();
    let (first, second) = (descriptors.next(), descriptors.next());
    Ok(Some(Received { bytes, len, first, second, surplus: descriptors.collect() }))
}

/// Sends a reply; a socket that takes it not at once and whole is an error.
pub(super) fn send(
    socket: impl AsFd,
    reply: &Reply,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let bytes = reply.encode();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, flags)?;
    if sent == REPLY_BYTES { Ok(()) } else { Err(Errno::MSGSIZE) }
}

/// Whether a descriptor is a unix socket of this type.
pub(super) fn is_unix(socket: impl AsFd, kind: SocketType) -> bool {
    sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX)
        && sockopt::socket_type(&socket) == Ok(kind)
}

/// Whether replies can be sent on a descriptor.
pub(super) fn takes_replies(socket: impl AsFd) -> bool {
    sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX)
        && matches!(sockopt::socket_type(&socket), Ok(SocketType::STREAM | SocketType::SEQPACKET))
}

/// Whether a descriptor is a listening TCP socket.
pub(super) fn is_kernel_listener(socket: impl AsFd) -> bool {
    matches!(sockopt::socket_domain(&socket), Ok(AddressFamily::INET | AddressFamily::INET6))
        && sockopt::socket_type(&socket) == Ok(SocketType::STREAM)
        && sockopt::socket_acceptconn(&socket) == Ok(true)
}
