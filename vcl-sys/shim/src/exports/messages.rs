//! `sendmsg`, `recvmsg` and their plural forms.

use core::ffi::{c_int, c_uint};

use libc::{mmsghdr, msghdr, ssize_t, timespec};
use rustix::io::Errno;

use super::data::{receive, send};
use super::datagrams::{receive_message, send_message};
use crate::buffers::Buffers;
use crate::messages::{Plain, judge, received_descriptors};
use crate::socket::Socket;
use crate::{clock, raw, resume, table};

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise.
    let Some(message) = (unsafe { message.as_mut() }) else { return raw::fail(Errno::FAULT) };
    if let Some(socket) = table::datagram(fd) {
        // SAFETY: the caller's promise.
        return unsafe { receive_message(fd, &socket, message, flags) };
    }
    match table::socket(fd) {
        // SAFETY: the caller's promise.
        Some(socket) => unsafe { receive_one(fd, &socket, message, flags) },
        // SAFETY: the caller's promise.
        None => unsafe { receive_native(fd, message, flags) },
    }
}

unsafe fn receive_native(fd: c_int, message: &mut msghdr, flags: c_int) -> ssize_t {
    let mut plain = Plain::to_receive(message);
    let arguments = [fd as usize, (&raw mut plain.message) as usize, flags as usize, 0, 0, 0];
    // SAFETY: the caller's promise.
    let received = unsafe { raw::call(libc::SYS_recvmsg, arguments) };
    if received >= 0 {
        message.msg_namelen = plain.message.msg_namelen;
        message.msg_controllen = plain.message.msg_controllen;
        message.msg_flags = plain.message.msg_flags;
        if message.msg_controllen > 0 {
            // SAFETY: the kernel wrote them.
            unsafe { received_descriptors(&plain.message, resume::note) };
        }
    }
    received
}

unsafe fn receive_one(fd: c_int, socket: &Socket, message: &mut msghdr, flags: c_int) -> ssize_t {
    let count = Plain::to_receive(message).message.msg_iovlen;
    // SAFETY: the caller's promise.
    let Some(buffers) = (unsafe { Buffers::from_raw(message.msg_iov, count) }) else {
        return raw::fail(Errno::MSGSIZE);
    };
    let received = receive(fd, socket, &buffers, flags);
    if received >= 0 {
        // A stream tells no address and has no control messages.
        message.msg_namelen = 0;
        message.msg_controllen = 0;
        message.msg_flags = flags & libc::MSG_CMSG_CLOEXEC;
    }
    received
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise.
    let Some(message) = (unsafe { message.as_ref() }) else { return raw::fail(Errno::FAULT) };
    if let Some(socket) = table::datagram(fd) {
        // SAFETY: the caller's promise.
        return unsafe { send_message(fd, &socket, message, flags) };
    }
    if let Some(socket) = table::socket(fd) {
        // SAFETY: the caller's promise.
        return unsafe { send_one(fd, &socket, message, flags) };
    }
    // SAFETY: the caller's promise.
    let plain = unsafe { Plain::to_send(message) };
    let arguments = [fd as usize, (&raw const plain.message) as usize, flags as usize, 0, 0, 0];
    // SAFETY: the caller's promise.
    unsafe { raw::call(libc::SYS_sendmsg, arguments) }
}

/// A name is ignored, as by every connected stream.
unsafe fn send_one(fd: c_int, socket: &Socket, message: &msghdr, flags: c_int) -> ssize_t {
    let plain = Plain::to_receive(message).message;
    // SAFETY: the caller's promise.
    let Some(buffers) = (unsafe { Buffers::from_raw(plain.msg_iov, plain.msg_iovlen) }) else {
        return raw::fail(Errno::MSGSIZE);
    };
    // SAFETY: the caller's promise.
    match unsafe { judge(&plain) } {
        Ok(()) => send(fd, socket, &buffers, flags),
        Err(error) => raw::fail(error),
    }
}

/// The messages of a plural call; more than the kernel takes are not looked at.
unsafe fn each<'a>(messages: *mut mmsghdr, count: c_uint) -> &'a mut [mmsghdr] {
    if messages.is_null() {
        return &mut [];
    }
    let count = count.min(libc::UIO_MAXIOV as c_uint) as usize;
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts_mut(messages, count) }
}

/// What `recvmmsg` makes of receiving one message.
unsafe fn receive_each(
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
    mut receive: impl FnMut(&mut msghdr, c_int) -> ssize_t,
) -> c_int {
    // SAFETY: the caller's promise.
    let limit = unsafe { timeout.as_ref() }.map(|it| {
        clock::now()
            + it.tv_sec.unsigned_abs().saturating_mul(1_000_000_000)
            + it.tv_nsec.unsigned_abs()
    });
    let mut flags = flags;
    let mut done = 0;
    // SAFETY: the caller's promise.
    for message in unsafe { each(messages, count) } {
        let received = receive(&mut message.msg_hdr, flags & !libc::MSG_WAITFORONE);
        if received < 0 {
            return if done == 0 { -1 } else { done };
        }
        message.msg_len = received as c_uint;
        done += 1;
        if flags & libc::MSG_WAITFORONE != 0 {
            flags |= libc::MSG_DONTWAIT;
        }
        if limit.is_some_and(|limit| clock::now() >= limit) {
            break;
        }
    }
    done
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> c_int {
    if let Some(socket) = table::datagram(fd) {
        // SAFETY: the caller's promise.
        return unsafe {
            let mut number = fd;
            receive_each(messages, count, flags, timeout, |message, flags| {
                let received = receive_message(number, &socket, message, flags);
                // It may be closed by now, and the call goes on.
                number = socket.number_now(fd);
                received
            })
        };
    }
    let Some(socket) = table::socket(fd) else {
        // SAFETY: the caller's promise; writing what was there, without musl's padding.
        for message in unsafe { each(messages, count) } {
            message.msg_hdr = Plain::to_receive(&message.msg_hdr).message;
        }
        let arguments =
            [fd as usize, messages as usize, count as usize, flags as usize, timeout as usize, 0];
        // SAFETY: the caller's promise.
        let received = (unsafe { raw::call(libc::SYS_recvmmsg, arguments) }) as c_int;
        if received > 0 {
            // SAFETY: as above; the kernel wrote so many.
            for message in unsafe { each(messages, received as c_uint) } {
                // SAFETY: the kernel wrote them.
                unsafe { received_descriptors(&message.msg_hdr, resume::note) };
            }
        }
        return received;
    };
    // SAFETY: the caller's promise.
    unsafe {
        receive_each(messages, count, flags, timeout, |message, flags| {
            receive_one(fd, &socket, message, flags)
        })
    }
}

/// What `sendmmsg` makes of sending one message.
unsafe fn send_each(
    messages: *mut mmsghdr,
    count: c_uint,
    mut send: impl FnMut(&msghdr) -> ssize_t,
) -> c_int {
    let mut done = 0;
    // SAFETY: the caller's promise.
    for message in unsafe { each(messages, count) } {
        let sent = send(&message.msg_hdr);
        if sent < 0 {
            return if done == 0 { -1 } else { done };
        }
        message.msg_len = sent as c_uint;
        done += 1;
    }
    done
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sendmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    if let Some(socket) = table::datagram(fd) {
        // SAFETY: the caller's promise.
        return unsafe {
            send_each(messages, count, |message| send_message(fd, &socket, message, flags))
        };
    }
    let Some(socket) = table::socket(fd) else {
        // One by one: each message may need the care that `sendmsg` takes.
        let mut done = 0;
        // SAFETY: the caller's promise.
        for message in unsafe { each(messages, count) } {
            // SAFETY: the caller's promise.
            let plain = unsafe { Plain::to_send(&message.msg_hdr) };
            if plain.message.msg_control == message.msg_hdr.msg_control {
                message.msg_hdr = plain.message;
                done += 1;
            } else {
                break;
            }
        }
        if done == 0 && count > 0 && !messages.is_null() {
            // SAFETY: the caller's promise.
            let first = unsafe { &mut *messages };
            // SAFETY: the caller's promise.
            let sent = unsafe { sendmsg(fd, &raw const first.msg_hdr, flags) };
            first.msg_len = sent.max(0) as c_uint;
            return if sent < 0 { -1 } else { 1 };
        }
        let arguments = [fd as usize, messages as usize, done, flags as usize, 0, 0];
        // SAFETY: the caller's promise.
        return (unsafe { raw::call(libc::SYS_sendmmsg, arguments) }) as c_int;
    };
    // SAFETY: the caller's promise.
    unsafe { send_each(messages, count, |message| send_one(fd, &socket, message, flags)) }
}
