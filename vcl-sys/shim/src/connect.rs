//! `connect`: a socket becomes a session, if the broker knows the destination.

use alloc::sync::Arc;
use core::ffi::c_int;
use core::net::{IpAddr, SocketAddr};
use core::sync::atomic::Ordering;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::{Errno, FdFlags};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{RecvFlags, SocketType};
use session::wire::{Protocol, Reply, Request};
use smallvec::SmallVec;

use crate::broker;
use crate::epoll;
use crate::hidden::Hidden;
use crate::raw::borrow;
use crate::socket::{Family, Fresh, Link, Role, Session, Socket};
use crate::table::{self, Object};
use crate::wait;
use crate::{log, oracle, process, reached, resume};

/// What to do with a `connect`.
pub(crate) enum Outcome {
    /// It is done, or on its way, as a session.
    Answer(Result<(), Errno>),
    /// The kernel shall do it.
    Kernel,
}

/// `connect` on a socket that is still the kernel's.
pub(crate) fn connect(fd: c_int, fresh: Fresh, destination: SocketAddr) -> Outcome {
    if fresh.touched.keeps_the_kernel() || !leaves_the_host(destination.ip()) {
        log::detail!("fd {fd}: a connect to {destination} stays the kernel's");
        return Outcome::Kernel;
    }
    let Ok(nonblocking) = is_nonblocking(fd) else { return Outcome::Kernel };
    let known = nonblocking && reached::recently(destination);
    let before = Before { fresh, nonblocking, bound: bound_to(borrow(fd)) };
    let asked = ask(fd, &before, destination).and_then(|near| {
        if known {
            // The answer is awaited as that of a peer would be: by whoever waits for the descriptor.
            return Ok((near, Some((Reply::Pending, [None, None]))));
        }
        let reply = broker::await_reply(&near, broker::ANSWER_WITHIN)?;
        Ok((near, reply))
    });
    let (near, reply) = match asked {
        Ok(answer) => answer,
        Err(error) => {
            log::decision!(
                "fd {fd}: no broker answers ({error}), the kernel connects to {destination}"
            );
            return Outcome::Kernel;
        }
    };
    match reply {
        Some((Reply::Connected(info), [Some(memory), _])) => {
            log::decision!("fd {fd}: session {} to {destination}, {:?}", info.id, info.transport);
            reached::note(destination);
            let opened = Session::open(info, &memory, false);
            Outcome::Answer(opened.and_then(|session| {
                adopt(fd, &before, &near, Link::established(session))?;
                if nonblocking { Err(Errno::INPROGRESS) } else { Ok(()) }
            }))
        }
        Some((Reply::Pending, _)) => {
            let link = Link::connecting(destination);
            let kernels = (!nonblocking).then(|| Hidden::duplicate(borrow(fd)).ok()).flatten();
            Outcome::Answer(adopt(fd, &before, &near, link).and_then(|()| {
                drop(near);
                if nonblocking {
                    return Err(Errno::INPROGRESS);
                }
                finish(fd).inspect_err(|_| give_back(fd, fresh, kernels))
            }))
        }
        Some((Reply::Refused(refusal), _)) => {
            log::warning!("fd {fd}: no session to {destination}: {refusal}");
            Outcome::Answer(Err(broker::errno(refusal)))
        }
        _ => {
            log::decision!("fd {fd}: {destination} is no session, the kernel connects");
            Outcome::Kernel
        }
    }
}

/// The kernel's socket that is to become a session.
struct Before {
    fresh: Fresh,
    nonblocking: bool,
    /// What the program bound it to.
    bound: Option<SocketAddr>,
}

/// Asks the broker; its answers will come on the near end.
fn ask(fd: c_int, before: &Before, destination: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = before.fresh.family;
    let (near, far) = broker::pair(SocketType::STREAM)?;
    resume::mark(near.as_fd(), family)?;
    let request = Request::Connect {
        protocol: Protocol::Stream,
        source: before.bound.map(|source| as_sent(source, family)),
        destination: as_sent(destination, family),
        cookie: sockopt::socket_cookie(&near)?,
        sharing: process::sharing(),
    };
    broker::ask_about(borrow(fd), &request, &[far.as_fd()])?;
    Ok(near)
}

/// What the program bound the socket to, if it did.
pub(crate) fn bound_to(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    let address = rustix::net::getsockname(socket).ok()?;
    let address = SocketAddr::try_from(address).ok()?;
    (address.port() != 0 || !address.ip().is_unspecified()).then_some(address)
}

/// An IPv4 address in IPv6 clothes is an IPv4 address to the broker.
pub(crate) fn as_sent(address: SocketAddr, family: Family) -> SocketAddr {
    match (family, address.ip()) {
        (Family::V6, IpAddr::V6(ip)) => match ip.to_ipv4_mapped() {
            Some(ip) => SocketAddr::new(ip.into(), address.port()),
            None => SocketAddr::new(ip.into(), address.port()),
        },
        (_, ip) => SocketAddr::new(ip, address.port()),
    }
}

/// The reverse of [`as_sent`]: an IPv6 socket shows IPv4 addresses as IPv6.
pub(crate) fn as_shown(address: SocketAddr, family: Family) -> SocketAddr {
    match (family, address.ip()) {
        (Family::V6, IpAddr::V4(ip)) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        _ => address,
    }
}

/// Whether an address may belong to another container.
pub(crate) fn leaves_the_host(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let local_scope = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || local_scope)
}

/// Puts the near end in the place of the program's descriptor, with its flags and timeouts.
fn adopt(fd: c_int, before: &Before, near: &OwnedFd, link: Link) -> Result<(), Errno> {
    let Before { fresh, nonblocking, bound } = *before;
    let options = oracle::read(fd, fresh.touched);
    link.awaited.store(nonblocking, Ordering::Release);
    let bound = bound.is_some_and(|it| it.port() != 0);
    let bound = bound.then(|| Hidden::duplicate(borrow(fd))).transpose()?;
    let socket = Socket::new(fresh.family, Role::Session(link), nonblocking)
        .with_options(options)
        .bound(bound);
    become_one(fd, fresh, near, socket)
}

/// Puts `near` in the place of the kernel's socket that is behind `fd` and its duplicates, which are
/// `socket` from then on.
pub(crate) fn become_one(
    fd: c_int,
    fresh: Fresh,
    near: &OwnedFd,
    socket: Socket,
) -> Result<(), Errno> {
    let nonblocking = socket.nonblocking.load(Ordering::Relaxed);
    let mut numbers = SmallVec::<[c_int; 4]>::from_slice(&[fd]);
    if fresh.duplicated {
        let cookie = sockopt::socket_cookie(borrow(fd))?;
        numbers.extend(table::known(0, c_int::MAX).filter(|&other| {
            let same = || sockopt::socket_cookie(borrow(other)) == Ok(cookie);
            other != fd && matches!(table::known_object(other), Some(Object::Fresh(_))) && same()
        }));
    }
    let socket = Arc::new(socket);
    for number in numbers {
        replace(number, near.as_fd(), nonblocking, fresh.duplicated || fresh.touched.has_native())?;
        table::put(number, Object::Socket(Arc::clone(&socket)));
        epoll::attach(number);
    }
    Ok(())
}

/// `dup3` with what the program set on the old file, also timeouts where it may have. When the table tells what `fd` is now, the caller
/// attaches it to the epolls that had the old one.
pub(crate) fn replace(
    fd: c_int,
    near: BorrowedFd<'_>,
    nonblocking: bool,
    timeouts: bool,
) -> Result<(), Errno> {
    let old = borrow(fd);
    if nonblocking {
        rustix::fs::fcntl_setfl(near, OFlags::NONBLOCK)?;
    }
    for timeout in [Timeout::Recv, Timeout::Send].into_iter().filter(|_| timeouts) {
        if let Ok(Some(duration)) = sockopt::socket_timeout(old, timeout) {
            sockopt::set_socket_timeout(near, timeout, Some(duration))?;
        }
    }
    let keep = rustix::io::fcntl_getfd(old)?.contains(FdFlags::CLOEXEC);
    epoll::detach(fd);
    duplicate_onto(near, fd, keep).inspect_err(|_| epoll::attach(fd))
}

/// Whether the program made the descriptor non-blocking.
pub(crate) fn is_nonblocking(fd: c_int) -> Result<bool, Errno> {
    Ok(rustix::fs::fcntl_getfl(borrow(fd))?.contains(OFlags::NONBLOCK))
}

fn duplicate_onto(near: BorrowedFd<'_>, fd: c_int, close_on_exec: bool) -> Result<(), Errno> {
    #![allow(unsafe_code)]
    let flags =
        if close_on_exec { rustix::io::DupFlags::CLOEXEC } else { rustix::io::DupFlags::empty() };
    // SAFETY: the number is the program's, which asked for the socket behind it to be connected; it
    // is given back to the program, not dropped here.
    let mut target = core::mem::ManuallyDrop::new(unsafe {
        <OwnedFd as rustix::fd::FromRawFd>::from_raw_fd(fd)
    });
    rustix::io::dup3(near, &mut target, flags)
}

/// A blocking connect failed, and the program was told: what it has is a socket that is not connected, and that it may
/// connect anew, so it has the kernel's again. One that goes on, after a signal or a timeout, is left alone.
fn give_back(fd: c_int, fresh: Fresh, kernels: Option<Hidden>) {
    let (Some(kernels), Some(socket)) = (kernels, table::socket(fd)) else { return };
    let Some(link) = socket.link() else { return };
    if link.session().is_some() || !link.peer_gone.load(Ordering::Acquire) {
        return;
    }
    let numbers: SmallVec<[c_int; 4]> =
        table::known(0, c_int::MAX).filter(|&it| table::is_session(it, link)).collect();
    for number in numbers {
        let Ok(nonblocking) = is_nonblocking(number) else { continue };
        if replace(number, borrow(kernels.number()), nonblocking, true).is_ok() {
            table::put(number, Object::Fresh(fresh));
            epoll::attach(number);
        }
    }
}

/// Looks whether the answer to a pending connect came. Reads all that came: an edge-triggered epoll reports
/// two answers once.
pub(crate) fn progress(fd: c_int, link: &Link) {
    while link.session().is_none() && !link.peer_gone.load(Ordering::Acquire) {
        if !digest(fd, link) {
            return;
        }
    }
}

/// Reads one answer to a pending connect; `false` when there is none.
fn digest(fd: c_int, link: &Link) -> bool {
    let failed = match broker::read_reply(borrow(fd), RecvFlags::DONTWAIT) {
        Ok(Some((Reply::Connected(info), [Some(memory), _]))) => {
            match Session::open(info, &memory, false) {
                Ok(session) => {
                    link.establish(session);
                    reached::note(link.remote);
                    return true;
                }
                Err(error) => error,
            }
        }
        // It was reached by a session a moment ago, and its listener is gone since.
        Ok(Some((Reply::UseKernel, _))) => {
            reached::forget(link.remote);
            Errno::CONNREFUSED
        }
        Ok(Some((Reply::Refused(refusal), _))) => broker::errno(refusal),
        Ok(Some((Reply::Pending, _))) | Err(Errno::INTR) => return true,
        Err(Errno::AGAIN) => return false,
        // The agent went away with the question.
        Ok(_) => Errno::TIMEDOUT,
        Err(error) => error,
    };
    link.set_error(failed);
    link.answered.store(true, Ordering::Release);
    link.peer_ended.store(true, Ordering::Release);
    link.peer_gone.store(true, Ordering::Release);
    true
}

/// Waits for the answer on a blocking socket.
pub(crate) fn wait(fd: c_int, link: &Link) -> Result<(), Errno> {
    let timeout = sockopt::socket_timeout(borrow(fd), Timeout::Send).unwrap_or(None);
    while link.session().is_none() && !link.peer_gone.load(Ordering::Acquire) {
        match wait::sleep_as_a_call(fd, link, libc::POLLIN, timeout, None) {
            Err(Errno::AGAIN) => return Err(Errno::INPROGRESS),
            other => other?,
        };
        if !table::is_session(fd, link) {
            // Another thread closed it; what answers there now is none of ours.
            return Err(Errno::BADF);
        }
        progress(fd, link);
    }
    Ok(())
}

/// `connect` on a blocking socket whose answer is pending.
fn finish(fd: c_int) -> Result<(), Errno> {
    let socket = table::socket(fd).ok_or(Errno::BADF)?;
    let link = socket.link().ok_or(Errno::ISCONN)?;
    // It goes on by itself, and the next call tells how it went.
    wait(fd, link).inspect_err(|_| link.awaited.store(true, Ordering::Release))?;
    link.awaited.store(false, Ordering::Release);
    link.take_error().map_or(Ok(()), Err)
}

/// `connect` on a socket that is a session already.
pub(crate) fn again(fd: c_int, socket: &Socket) -> Result<(), Errno> {
    let link = socket.link().ok_or(Errno::ISCONN)?;
    progress(fd, link);
    match (link.take_error(), link.session()) {
        (Some(error), _) => Err(error),
        (None, Some(_)) if link.awaited.swap(false, Ordering::AcqRel) => Ok(()),
        (None, Some(_)) => Err(Errno::ISCONN),
        (None, None) if link.peer_gone.load(Ordering::Acquire) => Err(Errno::CONNABORTED),
        (None, None) if socket.nonblocking.load(Ordering::Relaxed) => Err(Errno::ALREADY),
        // As the kernel: only the first call is told that it goes on.
        (None, None) => finish(fd).map_err(|error| match error {
            Errno::INPROGRESS => Errno::ALREADY,
            error => error,
        }),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fd::AsRawFd;
    use rustix::net::{SendFlags, send};
    use session::wire::Refusal;

    use super::*;
    use crate::transfer;

    /// The network stack's way of answering: that it tries, and what came of it. An edge-triggered
    /// epoll that sleeps late reports both once.
    #[test]
    fn two_answers_that_came_together_are_both_read() {
        let (near, far) = broker::pair(SocketType::STREAM).unwrap();
        let link = Link::connecting("192.0.2.1:80".parse().unwrap());
        progress(near.as_raw_fd(), &link);
        assert!(!link.peer_gone.load(Ordering::Acquire), "nothing came yet");
        for reply in [Reply::Pending, Reply::Refused(Refusal::Refused)] {
            send(&far, &reply.encode(), SendFlags::empty()).unwrap();
        }
        progress(near.as_raw_fd(), &link);
        assert!(link.peer_gone.load(Ordering::Acquire));
        assert_eq!(link.take_error(), Some(Errno::CONNREFUSED));
    }

    #[test]
    fn a_connect_that_failed_is_told_once_and_then_nobody_is_there_to_write_to() {
        let (near, far) = broker::pair(SocketType::STREAM).unwrap();
        let link = Link::connecting("192.0.2.1:80".parse().unwrap());
        let socket = Socket::new(Family::V4, Role::Session(link), true);
        let link = socket.link().unwrap();
        let told = || transfer::established(near.as_raw_fd(), &socket, link, true).err();
        assert_eq!(told(), Some(Errno::AGAIN));
        send(&far, &Reply::Refused(Refusal::Refused).encode(), SendFlags::empty()).unwrap();
        assert_eq!([told(), told()], [Some(Errno::CONNREFUSED), Some(Errno::PIPE)]);
    }
}
