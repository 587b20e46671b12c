//! Making, connecting and accepting sockets.

use alloc::sync::Arc;
use core::ffi::c_int;
use core::sync::atomic::Ordering;

use libc::{sockaddr, socklen_t};
use rustix::io::Errno;
use rustix::net::Shutdown;

use crate::connect::{self, Outcome};
use crate::datagram::Datagram;
use crate::options::Touched;
use crate::raw::{self, borrow};
use crate::socket::{Family, Fresh, Role};
use crate::table::{self, Object};
use crate::{address, broker, epoll, listen, sleepers, start, wait};

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: numbers only.
    let fd = unsafe {
        raw::call(libc::SYS_socket, [domain as usize, kind as usize, protocol as usize, 0, 0, 0])
    } as c_int;
    if fd < 0 {
        return fd;
    }
    let family = match domain {
        libc::AF_INET => Some(Family::V4),
        libc::AF_INET6 => Some(Family::V6),
        _ => None,
    };
    let kind = kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    let object = family.filter(|_| start::is_on()).and_then(|family| match (kind, protocol) {
        (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => {
            let touched = Touched::default();
            Some(Object::Fresh(Fresh { family, touched, duplicated: false }))
        }
        (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => {
            Some(Object::Datagram(Arc::new(Datagram::new(family))))
        }
        _ => None,
    });
    table::take(fd);
    if let Some(object) = object {
        table::put(fd, object);
    }
    fd
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn connect(fd: c_int, to: *const sockaddr, len: socklen_t) -> c_int {
    match table::get(fd) {
        Some(Object::Fresh(fresh)) => {
            // SAFETY: the caller's promise.
            if let Some(destination) = unsafe { address::read(to, len) }
                && let Outcome::Answer(result) = connect::connect(fd, fresh, destination)
            {
                return raw::answer_int(result.map(|()| 0));
            }
        }
        Some(Object::Socket(socket)) => {
            return raw::answer_int(connect::again(fd, &socket).map(|()| 0));
        }
        Some(Object::Datagram(socket)) => {
            let arguments = [fd as usize, to as usize, len as usize, 0, 0, 0];
            // SAFETY: the caller's promise.
            let kernel = (unsafe { raw::kernel(libc::SYS_connect, arguments) }).map(|_| ());
            // SAFETY: the caller's promise.
            let result = match unsafe { address::read(to, len) } {
                Some(peer) => socket.connect(fd, peer, kernel),
                None => kernel.inspect(|()| socket.disconnect(fd)),
            };
            return raw::answer_int(result.map(|()| 0));
        }
        Some(Object::Epoll(_)) | None => {}
    }
    // SAFETY: the caller's promise.
    (unsafe { raw::call(libc::SYS_connect, [fd as usize, to as usize, len as usize, 0, 0, 0]) })
        as c_int
}

/// The broker holds a duplicate of each listening socket of the kernel, and lets go of it when it sees
/// that the listener was closed, a moment later: a program that binds the same port again at once
/// finds it taken. So it is told to look, and the call is made again.
fn until_settled(mut call: impl FnMut() -> Result<usize, Errno>) -> c_int {
    const ATTEMPTS: u32 = 3;
    let mut result = call();
    for _ in 1..ATTEMPTS {
        if result != Err(Errno::ADDRINUSE) || !broker::settle() {
            break;
        }
        result = call();
    }
    raw::answer_int(result.map(|_| 0))
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn bind(fd: c_int, address: *const sockaddr, len: socklen_t) -> c_int {
    let arguments = [fd as usize, address as usize, len as usize, 0, 0, 0];
    // SAFETY: the caller's promise.
    let call = || unsafe { raw::kernel(libc::SYS_bind, arguments) };
    match table::get(fd) {
        Some(Object::Fresh(_)) => until_settled(call),
        Some(Object::Datagram(socket)) => {
            let result = call();
            // SAFETY: the caller's promise.
            let wanted = unsafe { address::read(address, len) };
            // Who left the choice of the port to the kernel expects nobody yet.
            if result.is_ok() && wanted.is_some_and(|it| it.port() != 0) {
                socket.announce(fd);
            }
            raw::answer_int(result.map(|_| 0))
        }
        Some(Object::Socket(_)) => raw::fail_int(Errno::INVAL),
        _ => raw::answer_int(call().map(|_| 0)),
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn listen(fd: c_int, backlog: c_int) -> c_int {
    let object = table::get(fd);
    let kernel = match &object {
        Some(Object::Socket(socket)) => match &socket.role {
            Role::Listener(listener) => {
                listener.backlog.store(backlog, Ordering::Relaxed);
                listener.kernel_fd()
            }
            Role::Session(_) => return raw::fail_int(Errno::INVAL),
        },
        _ => fd,
    };
    let arguments = [kernel as usize, backlog as usize, 0, 0, 0, 0];
    // SAFETY: numbers only.
    let call = || unsafe { raw::kernel(libc::SYS_listen, arguments) };
    let Some(Object::Fresh(fresh)) = object else {
        return raw::answer_int(call().map(|_| 0));
    };
    match until_settled(call) {
        0 => raw::answer_int(listen::listen(fd, fresh, backlog).map(|()| 0)),
        failed => failed,
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn accept(fd: c_int, from: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { accept4(fd, from, len, 0) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn accept4(
    fd: c_int,
    from: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    let Some(socket) = table::socket(fd) else {
        let arguments = [fd as usize, from as usize, len as usize, flags as usize, 0, 0];
        // SAFETY: the caller's promise.
        let accepted = (unsafe { raw::call(libc::SYS_accept4, arguments) }) as c_int;
        if accepted >= 0 {
            table::take(accepted);
        }
        return accepted;
    };
    if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
        return raw::fail_int(Errno::INVAL);
    }
    let accepted = match listen::accept(fd, &socket, flags) {
        Ok(accepted) => accepted,
        Err(error) => return raw::fail_int(error),
    };
    match accepted.remote {
        Some(remote) => {
            let shown = connect::as_shown(remote, socket.family);
            // SAFETY: the caller's promise.
            let _ = unsafe { address::write(shown, from, len) };
        }
        None if !from.is_null() => {
            table::take(accepted.fd);
            let arguments = [accepted.fd as usize, from as usize, len as usize, 0, 0, 0];
            // SAFETY: the caller's promise. A peer that is gone already has no name.
            unsafe { raw::call(libc::SYS_getpeername, arguments) };
        }
        None => {
            table::take(accepted.fd);
        }
    }
    accepted.fd
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    let Some(socket) = table::socket(fd) else {
        // SAFETY: numbers only.
        let result =
            unsafe { raw::call(libc::SYS_shutdown, [fd as usize, how as usize, 0, 0, 0, 0]) };
        if result == 0
            && let Some(socket) = table::datagram(fd)
        {
            socket.note_shutdown(how);
        }
        return result as c_int;
    };
    let (reads, writes) = match how {
        libc::SHUT_RD => (true, false),
        libc::SHUT_WR => (false, true),
        libc::SHUT_RDWR => (true, true),
        _ => return raw::fail_int(Errno::INVAL),
    };
    let Some(link) = socket.link() else {
        let listener = socket.listener();
        if let (Some(listener), true) = (listener, reads) {
            listener.ended.store(true, Ordering::Release);
            // Whoever sleeps in `accept` wakes up.
            let _ = rustix::net::shutdown(borrow(fd), Shutdown::Both);
        }
        let listener = listener.map_or(fd, crate::socket::Listener::kernel_fd);
        // SAFETY: numbers only.
        return (unsafe {
            raw::call(libc::SYS_shutdown, [listener as usize, how as usize, 0, 0, 0, 0])
        }) as c_int;
    };
    let Some(session) = link.session() else { return raw::fail_int(Errno::NOTCONN) };
    if wait::is_over(fd, link) {
        return raw::fail_int(Errno::NOTCONN);
    }
    if reads {
        link.read_ended.store(true, Ordering::SeqCst);
    }
    if writes && !link.write_ended.swap(true, Ordering::AcqRel) {
        session.stream().end();
        // The peer's kernel socket reports the end from now on. It can still send tokens here.
        let _ = rustix::net::shutdown(borrow(fd), Shutdown::Write);
    }
    // Other threads look again.
    sleepers::wake();
    epoll::revive(link);
    if reads && writes && link.sleepers.load(Ordering::SeqCst) > 0 {
        // A read that sleeps in the kernel returns. The peer sees a hang-up where TCP would show the end of
        // the stream only; with `SHUT_RD` alone that would cost it what is still to be written here.
        let _ = rustix::net::shutdown(borrow(fd), Shutdown::Read);
    }
    0
}
