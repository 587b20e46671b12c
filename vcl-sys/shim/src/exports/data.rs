//! Reading and writing.

use core::ffi::{c_int, c_void};
use core::{ptr, slice};

use libc::{iovec, size_t, sockaddr, socklen_t, ssize_t};
use rustix::io::Errno;

use super::datagrams::{receive_parts, send_parts};
use crate::buffers::Buffers;
use crate::connect::{self, Outcome};
use crate::socket::Socket;
use crate::table::{self, Object};
use crate::transfer::{self, Receive};
use crate::{address, raw};

pub(super) fn how(flags: c_int) -> Result<Receive, Errno> {
    if flags & libc::MSG_OOB != 0 {
        // There is never urgent data: what TCP says to a reader of it.
        return Err(Errno::INVAL);
    }
    if flags & libc::MSG_ERRQUEUE != 0 {
        // There is never anything in it, and nobody waits for it.
        return Err(Errno::AGAIN);
    }
    Ok(Receive {
        peek: flags & libc::MSG_PEEK != 0,
        all: flags & libc::MSG_WAITALL != 0,
        dont_wait: flags & libc::MSG_DONTWAIT != 0,
        discard: flags & libc::MSG_TRUNC != 0,
    })
}

pub(super) fn receive(fd: c_int, socket: &Socket, buffers: &Buffers<'_>, flags: c_int) -> ssize_t {
    raw::answer(how(flags).and_then(|how| transfer::receive(fd, socket, buffers, how)))
}

pub(super) fn send(fd: c_int, socket: &Socket, buffers: &Buffers<'_>, flags: c_int) -> ssize_t {
    if flags & libc::MSG_OOB != 0 {
        return raw::fail(Errno::OPNOTSUPP);
    }
    let sent = transfer::send(fd, socket, buffers, flags & libc::MSG_DONTWAIT != 0);
    if sent == Err(Errno::PIPE) && flags & libc::MSG_NOSIGNAL == 0 {
        raw::raise_sigpipe();
    }
    raw::answer(sent)
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn read(fd: c_int, buffer: *mut c_void, len: size_t) -> ssize_t {
    if let Some(socket) = table::datagram(fd) {
        let parts = [iovec { iov_base: buffer, iov_len: len }];
        // SAFETY: the caller's promise.
        return unsafe { receive_parts(fd, &socket, &parts, 0, ptr::null_mut(), ptr::null_mut()) };
    }
    match table::socket(fd) {
        // SAFETY: the caller's promise.
        None => unsafe { raw::call(libc::SYS_read, [fd as usize, buffer as usize, len, 0, 0, 0]) },
        // To read nothing from a socket is nothing (`sock_read_iter`).
        Some(_) if len == 0 => 0,
        Some(socket) => {
            let parts = [iovec { iov_base: buffer, iov_len: len }];
            // SAFETY: the caller's promise.
            receive(fd, &socket, &unsafe { Buffers::new(&parts) }, 0)
        }
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn write(fd: c_int, buffer: *const c_void, len: size_t) -> ssize_t {
    if let Some(socket) = table::datagram(fd) {
        let parts = [iovec { iov_base: buffer.cast_mut(), iov_len: len }];
        // SAFETY: the caller's promise.
        return unsafe { send_parts(fd, &socket, &parts, 0, ptr::null(), 0) };
    }
    match table::socket(fd) {
        // SAFETY: the caller's promise.
        None => unsafe { raw::call(libc::SYS_write, [fd as usize, buffer as usize, len, 0, 0, 0]) },
        Some(socket) => {
            let parts = [iovec { iov_base: buffer.cast_mut(), iov_len: len }];
            // SAFETY: the caller's promise.
            send(fd, &socket, &unsafe { Buffers::new(&parts) }, 0)
        }
    }
}

/// A count of buffers that the kernel would take.
fn vector(parts: *const iovec, count: c_int) -> Option<usize> {
    usize::try_from(count)
        .ok()
        .filter(|it| (1..=libc::UIO_MAXIOV as usize).contains(it) && !parts.is_null())
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    if let (Some(socket), Some(count)) = (table::datagram(fd), vector(parts, count)) {
        // SAFETY: the caller's promise.
        return unsafe {
            let parts = slice::from_raw_parts(parts, count);
            receive_parts(fd, &socket, parts, 0, ptr::null_mut(), ptr::null_mut())
        };
    }
    let Some(socket) = table::socket(fd) else {
        let arguments = [fd as usize, parts as usize, count as usize, 0, 0, 0];
        // SAFETY: the caller's promise.
        return unsafe { raw::call(libc::SYS_readv, arguments) };
    };
    // SAFETY: the caller's promise; a negative count becomes too large a one.
    match unsafe { Buffers::from_raw(parts, count as usize) } {
        Some(buffers) if buffers.len() == 0 => 0,
        Some(buffers) => receive(fd, &socket, &buffers, 0),
        None => raw::fail(Errno::INVAL),
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    if let (Some(socket), Some(count)) = (table::datagram(fd), vector(parts, count)) {
        // SAFETY: the caller's promise.
        return unsafe {
            let parts = slice::from_raw_parts(parts, count);
            send_parts(fd, &socket, parts, 0, ptr::null(), 0)
        };
    }
    let Some(socket) = table::socket(fd) else {
        let arguments = [fd as usize, parts as usize, count as usize, 0, 0, 0];
        // SAFETY: the caller's promise.
        return unsafe { raw::call(libc::SYS_writev, arguments) };
    };
    // SAFETY: as in `readv`.
    match unsafe { Buffers::from_raw(parts, count as usize) } {
        Some(buffers) => send(fd, &socket, &buffers, 0),
        None => raw::fail(Errno::INVAL),
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recv(
    fd: c_int,
    buffer: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { recvfrom(fd, buffer, len, flags, ptr::null_mut(), ptr::null_mut()) }
}

#[cfg_attr(not(test), unsafe(export_name = "send"))]
pub unsafe extern "C" fn send_once(
    fd: c_int,
    buffer: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { sendto(fd, buffer, len, flags, ptr::null(), 0) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recvfrom(
    fd: c_int,
    buffer: *mut c_void,
    len: size_t,
    flags: c_int,
    from: *mut sockaddr,
    from_len: *mut socklen_t,
) -> ssize_t {
    if let Some(socket) = table::datagram(fd) {
        let parts = [iovec { iov_base: buffer, iov_len: len }];
        // SAFETY: the caller's promise.
        return unsafe { receive_parts(fd, &socket, &parts, flags, from, from_len) };
    }
    let Some(socket) = table::socket(fd) else {
        let arguments =
            [fd as usize, buffer as usize, len, flags as usize, from as usize, from_len as usize];
        // SAFETY: the caller's promise.
        return unsafe { raw::call(libc::SYS_recvfrom, arguments) };
    };
    let parts = [iovec { iov_base: buffer, iov_len: len }];
    // SAFETY: the caller's promise.
    let received = receive(fd, &socket, &unsafe { Buffers::new(&parts) }, flags);
    if received >= 0 && !from.is_null() && !from_len.is_null() {
        // SAFETY: the caller's promise. A connected stream tells no address (tcp_recvmsg leaves
        // `msg_namelen` zero).
        unsafe { *from_len = 0 };
    }
    received
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sendto(
    fd: c_int,
    buffer: *const c_void,
    len: size_t,
    flags: c_int,
    to: *const sockaddr,
    to_len: socklen_t,
) -> ssize_t {
    if flags & libc::MSG_FASTOPEN != 0
        && let Some(Object::Fresh(fresh)) = table::get(fd)
        // SAFETY: the caller's promise.
        && let Some(destination) = (unsafe { address::read(to, to_len) })
        && let Outcome::Answer(Err(error)) = connect::connect(fd, fresh, destination)
    {
        return raw::fail(error);
    }
    if let Some(socket) = table::datagram(fd) {
        let parts = [iovec { iov_base: buffer.cast_mut(), iov_len: len }];
        // SAFETY: the caller's promise.
        return unsafe { send_parts(fd, &socket, &parts, flags, to, to_len) };
    }
    let Some(socket) = table::socket(fd) else {
        let arguments =
            [fd as usize, buffer as usize, len, flags as usize, to as usize, to_len as usize];
        // SAFETY: the caller's promise.
        return unsafe { raw::call(libc::SYS_sendto, arguments) };
    };
    let parts = [iovec { iov_base: buffer.cast_mut(), iov_len: len }];
    // SAFETY: the caller's promise.
    send(fd, &socket, &unsafe { Buffers::new(&parts) }, flags)
}
