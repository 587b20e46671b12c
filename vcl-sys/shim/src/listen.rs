//! `listen` and `accept`.

use alloc::sync::Arc;
use core::ffi::c_int;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use core::time::Duration;

use rustix::fd::{AsFd, IntoRawFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketType, sockopt};
use session::wire::{Protocol, Reply, Request, Reuse};

use crate::connect::{as_sent, become_one, is_nonblocking, leaves_the_host, replace};
use crate::hidden::Hidden;
use crate::options::{Business, Options, setting};
use crate::oracle;
use crate::raw::borrow;
use crate::socket::{Family, Fresh, Link, Listener, Role, Session, Socket};
use crate::table::{self, Object};
use crate::{broker, epoll, log, resume};

/// After `listen` succeeded on the kernel's socket: sessions shall arrive there too. When the broker
/// is not there or does not care, the socket simply stays the kernel's.
pub(crate) fn listen(fd: c_int, fresh: Fresh, backlog: c_int) -> Result<(), Errno> {
    let kernel = borrow(fd);
    let Ok(address) = rustix::net::getsockname(kernel)
        .and_then(|it| SocketAddr::try_from(it).map_err(|_| Errno::AFNOSUPPORT))
    else {
        return Ok(());
    };
    if fresh.touched.keeps_the_kernel()
        || !(address.ip().is_unspecified() || leaves_the_host(address.ip()))
    {
        log::detail!("fd {fd}: a listener on {address} stays the kernel's");
        return Ok(());
    }
    let Ok((near, far)) = broker::pair(SocketType::SEQPACKET) else { return Ok(()) };
    // `register` makes the kernel's socket non-blocking, which is this very descriptor still.
    let nonblocking = is_nonblocking(fd)?;
    let cookie = sockopt::socket_cookie(&near)?;
    let kernel = Some(Hidden::duplicate(kernel)?);
    resume::mark(near.as_fd(), fresh.family)?;
    let listener = Listener {
        kernel,
        cookie,
        backlog: AtomicI32::new(backlog),
        ended: AtomicBool::new(false),
    };
    match register(fresh.family, &listener, &near, &far) {
        Ok(true) => log::decision!("fd {fd}: sessions are accepted on {address}"),
        Err(Errno::ADDRINUSE) => {
            log::warning!("fd {fd}: {address} is in use by another session");
            return Err(Errno::ADDRINUSE);
        }
        Ok(false) => {
            log::decision!("fd {fd}: {address} is no business of sessions, the kernel listens");
            return Ok(());
        }
        Err(error) => {
            log::decision!("fd {fd}: no broker answers ({error}), the kernel listens on {address}");
            return Ok(());
        }
    }
    let options = oracle::read(listener.kernel_fd(), fresh.touched);
    let socket =
        Socket::new(fresh.family, Role::Listener(listener), nonblocking).with_options(options);
    become_one(fd, fresh, &near, socket)
}

/// Tells the broker of a listener; `false` when it is no business of sessions.
fn register(
    family: Family,
    listener: &Listener,
    near: &OwnedFd,
    far: &OwnedFd,
) -> Result<bool, Errno> {
    let kernel = borrow(listener.kernel_fd());
    let address = rustix::net::getsockname(kernel)?;
    let address = SocketAddr::try_from(address).map_err(|_| Errno::AFNOSUPPORT)?;
    let request = Request::Listen {
        protocol: Protocol::Stream,
        address: as_sent(address, family),
        backlog: listener.backlog.load(Ordering::Relaxed).max(1).unsigned_abs(),
        reuse: Reuse {
            address: sockopt::socket_reuseaddr(kernel).unwrap_or(false),
            port: sockopt::socket_reuseport(kernel).unwrap_or(false),
            v6_only: family == Family::V6 && sockopt::ipv6_v6only(kernel).unwrap_or(false),
        },
        cookie: listener.cookie,
    };
    // Whoever accepts for the program must never be blocked by it.
    let status = rustix::fs::fcntl_getfl(kernel)?;
    rustix::fs::fcntl_setfl(kernel, status | OFlags::NONBLOCK)?;
    let registered = broker::ask(&request, &[far.as_fd(), kernel])
        .and_then(|()| broker::await_reply(near, broker::ANSWER_WITHIN));
    match registered {
        Ok(Some((Reply::Listening, _))) => Ok(true),
        other => {
            rustix::fs::fcntl_setfl(kernel, status)?;
            match other {
                Ok(Some((Reply::Refused(refusal), _))) => Err(broker::errno(refusal)),
                Ok(_) => Ok(false),
                Err(error) => Err(error),
            }
        }
    }
}

/// A connection that was accepted.
pub(crate) struct Accepted {
    pub(crate) fd: c_int,
    pub(crate) remote: Option<SocketAddr>,
}

/// `accept4` on a listener.
pub(crate) fn accept(fd: c_int, socket: &Socket, flags: c_int) -> Result<Accepted, Errno> {
    let listener = socket.listener().ok_or(Errno::INVAL)?;
    let nonblocking = flags & libc::SOCK_NONBLOCK != 0;
    let close_on_exec = flags & libc::SOCK_CLOEXEC != 0;
    if listener.ended.load(Ordering::Acquire) {
        return Err(Errno::INVAL);
    }
    let (reply, [first, second]) = loop {
        match broker::read_reply(borrow(fd), RecvFlags::empty()) {
            Ok(Some(message)) => break message,
            Ok(None) | Err(Errno::CONNRESET) if listener.has_ended() => return Err(Errno::INVAL),
            // What another thread closed while this one slept was good for the connection that came then, and is for
            // no more: whatever has the number now is none of ours.
            _ if !table::is_socket(fd, socket) => return Err(Errno::BADF),
            Err(Errno::PROTO) => {}
            Ok(None) | Err(Errno::CONNRESET) => renew(fd, socket, listener)?,
            Err(error) => return Err(error),
        }
    };
    let accepted = first.ok_or(Errno::CONNABORTED)?;
    if nonblocking {
        rustix::fs::fcntl_setfl(&accepted, OFlags::NONBLOCK)?;
    }
    if !close_on_exec {
        rustix::io::fcntl_setfd(&accepted, rustix::io::FdFlags::empty())?;
    }
    match reply {
        Reply::AcceptKernel => Ok(Accepted { fd: accepted.into_raw_fd(), remote: None }),
        Reply::Accept(info) => {
            let memory = second.ok_or(Errno::CONNABORTED)?;
            resume::mark(accepted.as_fd(), socket.family)?;
            let link = match Session::open(info, &memory, false) {
                Ok(session) => Link::established(session),
                // The peer spoilt it already: as with a reset, what was accepted can do nothing.
                Err(Errno::PROTO) => Link::lost(),
                Err(error) => return Err(error),
            };
            let link = Role::Session(link);
            let fd = accepted.into_raw_fd();
            let options = socket.options.lock().inherited();
            inherit_timeouts(fd, &options);
            let socket = Socket::new(socket.family, link, nonblocking).with_options(options);
            table::put(fd, Object::Socket(Arc::new(socket)));
            Ok(Accepted { fd, remote: Some(info.remote) })
        }
        _ => Err(Errno::CONNABORTED),
    }
}

/// An accepted socket has the timeouts of its listener, and does what they say by itself.
fn inherit_timeouts(fd: c_int, options: &Options) {
    for (name, value) in options.all().filter(|(name, _)| setting(*name) == Business::Native) {
        // Cannot fail: the kernel took the same value for the listener.
        let _ = oracle::set(fd, name, value);
    }
}

/// How often a listener tries to find the agent again.
pub(crate) const RENEW_EVERY: Duration = Duration::from_millis(100);

/// The agent went away: registers the listener with its successor under the same descriptor. A
/// blocking call keeps trying, as it would wait for a connection; others say that there is none.
fn renew(fd: c_int, socket: &Socket, listener: &Listener) -> Result<(), Errno> {
    loop {
        match renew_once(fd, socket, listener) {
            Ok(()) => return Ok(()),
            Err(_) if !table::is_socket(fd, socket) => return Err(Errno::BADF),
            Err(_) if socket.nonblocking.load(Ordering::Relaxed) => return Err(Errno::AGAIN),
            Err(_) => {
                let _ = rustix::thread::nanosleep(&rustix::thread::Timespec {
                    tv_sec: 0,
                    tv_nsec: i64::from(RENEW_EVERY.subsec_nanos()),
                });
            }
        }
    }
}

/// As [`renew`], but tries once, whatever the mode of the descriptor. `EBADF` when another thread closed it.
pub(crate) fn renew_once(fd: c_int, socket: &Socket, listener: &Listener) -> Result<(), Errno> {
    let (near, far) = broker::pair(SocketType::SEQPACKET)?;
    resume::mark(near.as_fd(), socket.family)?;
    let sessions = register(socket.family, listener, &near, &far)?;
    // The broker took its time.
    if !table::is_socket(fd, socket) {
        return Err(Errno::BADF);
    }
    replace(fd, near.as_fd(), socket.nonblocking.load(Ordering::Relaxed), true)?;
    log::decision!("fd {fd}: the agent is back, the listener is registered again: {sessions}");
    epoll::attach(fd);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use rustix::fd::AsRawFd;
    use rustix::net::{SendFlags, recv, send};

    use super::*;

    /// The agent went away while a thread slept in `accept`, and another thread closed the listener, whose number
    /// went to something else: that is neither read from nor replaced.
    #[test]
    fn a_listener_that_was_closed_is_not_registered_again() {
        for with_word in [false, true] {
            let (near, far) = broker::pair(SocketType::SEQPACKET).unwrap();
            let fd = near.as_raw_fd();
            let listener = Listener {
                kernel: None,
                cookie: 0,
                backlog: AtomicI32::new(1),
                ended: AtomicBool::new(false),
            };
            let listener = Socket::new(Family::V4, Role::Listener(listener), false);
            let (tell, told) = channel();
            if with_word {
                // No reply of any broker.
                send(&far, &[0xff; 3], SendFlags::empty()).unwrap();
                send(&far, &[0xff; 3], SendFlags::empty()).unwrap();
            }
            drop(far);
            // What is in the table under this number is not the listener, by now.
            table::put(
                fd,
                Object::Socket(Arc::new(Socket::new(
                    Family::V4,
                    Role::Session(Link::lost()),
                    false,
                ))),
            );
            std::thread::spawn(move || tell.send(accept(fd, &listener, 0).err()));
            let answer = told.recv_timeout(Duration::from_secs(20));
            assert_eq!(answer, Ok(Some(Errno::BADF)));
            if with_word {
                let mut word = [0; 9];
                let left = recv(&near, &mut word, RecvFlags::DONTWAIT);
                assert!(left.is_ok_and(|(len, _)| len == 3), "the second word is somebody else's");
            }
        }
    }
}
