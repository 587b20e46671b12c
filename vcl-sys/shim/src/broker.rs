//! Asking the broker in the agent.

use alloc::sync::Arc;
use core::ffi::c_int;
use core::time::Duration;

use rustix::event::PollFlags;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use session::wire::{REPLY_BYTES, Refusal, Reply, Request, SOCKET_NAME};

use crate::hidden::Hidden;
use crate::options::NAMESPACE_COOKIE;
use crate::raw::borrow;
use crate::sync::SpinLock;
use crate::{oracle, process, wait};

/// How long the broker may take for an answer that needs nobody else.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Descriptors that come with a message, two at most.
pub(crate) type Descriptors = [Option<OwnedFd>; 2];

/// A socket pair whose far end goes to the broker.
pub(crate) fn pair(kind: SocketType) -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
}

/// Gives the own end of a connection the smallest send buffer, so that
/// [`FILL_TOKENS`](session::FILL_TOKENS) tokens make it unwritable.
pub(crate) fn shrink(near: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::net::sockopt::set_socket_send_buffer_size(near, 0)
}

/// Sends a request with its descriptors. `ECONNREFUSED` when no broker is there.
pub(crate) fn ask(request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    send(socket()?.as_fd(), request, descriptors)
}

/// A socket to ask with, and the network namespace that it was made in, by the kernel's cookie.
struct Asker {
    socket: Hidden,
    namespace: u64,
}

/// Programs that connect often need not make one each time.
static ASKER: SpinLock<Option<Arc<Asker>>> = SpinLock::new(None);

/// As [`ask`], about a socket of the program: the broker of its network namespace is asked, with a socket
/// that is kept.
pub(crate) fn ask_about(
    about: BorrowedFd<'_>,
    request: &Request,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let mut namespace = [0; 8];
    // Linux 5.14.
    if oracle::get(about.as_raw_fd(), NAMESPACE_COOKIE, &mut namespace) != Ok(namespace.len()) {
        return ask(request, descriptors);
    }
    let namespace = u64::from_ne_bytes(namespace);
    let known = ASKER.lock().clone();
    if let Some(asker) = known.filter(|it| it.namespace == namespace) {
        match send(borrow(asker.socket.number()), request, descriptors) {
            // The program closed it behind our back.
            Err(Errno::BADF | Errno::NOTSOCK) => {}
            result => return result,
        }
    }
    let fresh = socket()?;
    // What a `vfork` child opens is not its parent's.
    if !process::borrows_memory() {
        let asker = Arc::new(Asker { socket: Hidden::duplicate(fresh.as_fd())?, namespace });
        let old = ASKER.lock().replace(asker);
        drop(old);
    }
    send(fresh.as_fd(), request, descriptors)
}

/// The program is about to use the number `target`, which may be that of the socket to ask with.
pub(crate) fn make_way(target: c_int) -> Option<Result<(), Errno>> {
    let asker = ASKER.lock().clone();
    asker.filter(|it| it.socket.number() == target).map(|it| it.socket.move_away())
}

fn socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

fn send(
    socket: BorrowedFd<'_>,
    request: &Request,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let address = SocketAddrUnix::new_abstract_name(SOCKET_NAME.as_bytes())?;
    let mut space = [core::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(descriptors));
    let message = request.encode();
    let parts = [IoSlice::new(&message)];
    loop {
        match rustix::net::sendmsg_addr(socket, &address, &parts, &mut control, SendFlags::NOSIGNAL)
        {
            Err(Errno::INTR) => {}
            result => return result.map(|_| ()),
        }
    }
}

/// Reads the next reply on `near`, with its descriptors; `None` when the broker closed it.
pub(crate) fn read_reply(
    near: BorrowedFd<'_>,
    flags: RecvFlags,
) -> Result<Option<(Reply, Descriptors)>, Errno> {
    let mut message = [0; REPLY_BYTES];
    let mut space = [core::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        near,
        &mut [IoSliceMut::new(&mut message)],
        &mut control,
        flags | RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptors = [None, None];
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            for (place, descriptor) in descriptors.iter_mut().zip(rights) {
                *place = Some(descriptor);
            }
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    let reply = Reply::decode(&message[..received.bytes]).map_err(|_| Errno::PROTO)?;
    Ok(Some((reply, descriptors)))
}

/// Waits for a reply to come within `limit`.
pub(crate) fn await_reply(
    near: &OwnedFd,
    limit: Duration,
) -> Result<Option<(Reply, Descriptors)>, Errno> {
    let number = near.as_raw_fd();
    loop {
        match wait::sleep(number, PollFlags::IN, Some(limit)) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
            Ok(events) if events.is_empty() => return Err(Errno::TIMEDOUT),
            Ok(_) => return read_reply(near.as_fd(), RecvFlags::DONTWAIT),
        }
    }
}

/// Has the broker answer a question that changes nothing. What happened before (a listener was closed, a
/// program ended) it has seen by the second answer at the latest. `false` when no broker is there.
pub(crate) fn settle() -> bool {
    let answered = || {
        let (near, far) = pair(SocketType::STREAM)?;
        ask(&Request::Describe, &[far.as_fd()])?;
        drop(far);
        await_reply(&near, ANSWER_WITHIN)
    };
    answered().is_ok_and(|reply| reply.is_some())
}

/// What a refusal is to the program.
pub(crate) fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::Refused => Errno::CONNREFUSED,
        Refusal::TimedOut => Errno::TIMEDOUT,
        Refusal::Unreachable => Errno::HOSTUNREACH,
        Refusal::AddressInUse => Errno::ADDRINUSE,
        Refusal::AddressNotAvailable => Errno::ADDRNOTAVAIL,
        Refusal::Limit => Errno::NOBUFS,
        _ => Errno::PROTO,
    }
}
