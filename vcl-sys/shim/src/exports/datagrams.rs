//! Messages of datagram sockets: to and from the kernel or a flow, whichever has the peer.

use core::ffi::c_int;
use core::ptr;

use alloc::sync::Arc;

use libc::{iovec, msghdr, sockaddr, socklen_t, ssize_t};
use rustix::io::Errno;

use crate::buffers::Buffers;
use crate::connect::as_shown;
use crate::datagram::{self, Datagram, Outcome};
use crate::messages::Plain;
use crate::{address, raw};

/// A message of buffers and an address, without control messages.
fn message(parts: &[iovec], name: *mut sockaddr, name_len: socklen_t) -> msghdr {
    // SAFETY: zeros are an empty message. (musl's has padding, which cannot be named.)
    let mut message: msghdr = unsafe { core::mem::zeroed() };
    message.msg_name = name.cast();
    message.msg_namelen = name_len;
    message.msg_iov = parts.as_ptr().cast_mut();
    message.msg_iovlen = parts.len() as _;
    message
}

/// `recvmsg`.
///
/// # Safety
/// As for the C library's.
pub(super) unsafe fn receive_message(
    fd: c_int,
    socket: &Arc<Datagram>,
    message: &mut msghdr,
    flags: c_int,
) -> ssize_t {
    let mut plain = Plain::to_receive(message).message;
    // SAFETY: the caller's promise.
    let Some(buffers) = (unsafe { Buffers::from_raw(plain.msg_iov, plain.msg_iovlen) }) else {
        return raw::fail(Errno::MSGSIZE);
    };
    let native = |fd: c_int, flags: c_int| {
        let arguments = [fd as usize, (&raw mut plain) as usize, flags as usize, 0, 0, 0];
        // SAFETY: the caller's promise.
        unsafe { raw::kernel(libc::SYS_recvmsg, arguments) }
    };
    let got = match datagram::receive(fd, socket, &buffers, flags, native) {
        Ok(got) => got,
        Err(error) => return raw::fail(error),
    };
    let Some(from) = got.from else {
        message.msg_namelen = plain.msg_namelen;
        message.msg_controllen = plain.msg_controllen;
        message.msg_flags = plain.msg_flags;
        return got.bytes as ssize_t;
    };
    let shown = as_shown(from, socket.family);
    // SAFETY: the caller's promise.
    let written =
        unsafe { address::write(shown, message.msg_name.cast(), &raw mut message.msg_namelen) };
    if let Err(error) = written {
        return raw::fail(error);
    }
    let cut = got.length > got.bytes;
    message.msg_controllen = 0;
    message.msg_flags = flags & libc::MSG_CMSG_CLOEXEC | if cut { libc::MSG_TRUNC } else { 0 };
    (if flags & libc::MSG_TRUNC != 0 { got.length } else { got.bytes }) as ssize_t
}

/// `recvfrom` and its simpler forms.
///
/// # Safety
/// As for the C library's.
pub(super) unsafe fn receive_parts(
    fd: c_int,
    socket: &Arc<Datagram>,
    parts: &[iovec],
    flags: c_int,
    from: *mut sockaddr,
    from_len: *mut socklen_t,
) -> ssize_t {
    let from = if from_len.is_null() { ptr::null_mut() } else { from };
    let room = if from.is_null() {
        0
    } else {
        // SAFETY: the caller's promise.
        unsafe { from_len.read_unaligned() }
    };
    if c_int::try_from(room).is_err() {
        return raw::fail(Errno::INVAL);
    }
    let mut message = message(parts, from, room);
    // SAFETY: the caller's promise.
    let received = unsafe { receive_message(fd, socket, &mut message, flags) };
    if received >= 0 && !from.is_null() {
        // SAFETY: the caller's promise.
        unsafe { from_len.write_unaligned(message.msg_namelen) };
    }
    received
}

/// `sendmsg`.
///
/// # Safety
/// As for the C library's.
pub(super) unsafe fn send_message(
    fd: c_int,
    socket: &Arc<Datagram>,
    message: &msghdr,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's promise.
    let plain = unsafe { Plain::to_send(message) };
    let told = &plain.message;
    // SAFETY: the caller's promise.
    let to = unsafe { address::read(told.msg_name.cast(), told.msg_namelen) };
    let known = to.is_some() || told.msg_name.is_null();
    let controls = !told.msg_control.is_null() && told.msg_controllen > 0;
    if known && !controls {
        // SAFETY: the caller's promise.
        let Some(buffers) = (unsafe { Buffers::from_raw(told.msg_iov, told.msg_iovlen) }) else {
            return raw::fail(Errno::MSGSIZE);
        };
        if let Outcome::Answer(result) = datagram::send(fd, socket, to, &buffers, flags) {
            return raw::answer(result);
        }
    }
    let arguments = [fd as usize, ptr::from_ref(told) as usize, flags as usize, 0, 0, 0];
    // SAFETY: the caller's promise.
    unsafe { raw::call(libc::SYS_sendmsg, arguments) }
}

/// `sendto` and its simpler forms.
///
/// # Safety
/// As for the C library's.
pub(super) unsafe fn send_parts(
    fd: c_int,
    socket: &Arc<Datagram>,
    parts: &[iovec],
    flags: c_int,
    to: *const sockaddr,
    to_len: socklen_t,
) -> ssize_t {
    let message = message(parts, to.cast_mut(), to_len);
    // SAFETY: the caller's promise.
    unsafe { send_message(fd, socket, &message, flags) }
}
