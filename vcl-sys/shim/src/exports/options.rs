//! Options of sockets.

use core::ffi::{c_int, c_void};
use core::sync::atomic::Ordering;

use libc::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET, socklen_t};
use rustix::fd::AsRawFd;
use rustix::io::Errno;

use crate::options::{Business, Name, is_integer, judge, reading, setting};
use crate::socket::{Family, Fresh, Link, Role, Socket};
use crate::table::{self, Object};
use crate::tcp_info::{self, Facts, State};
use crate::{address, connect, oracle, raw};

use super::names;

const LINGER: Name = (SOL_SOCKET, libc::SO_LINGER);
const PEER_NAME: Name = (SOL_SOCKET, libc::SO_PEERNAME);

/// What a network of containers can carry at least.
const MTU: c_int = 1500;

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    if (level, name) == (SOL_SOCKET, libc::SO_ERROR)
        && table::datagram(fd).is_some_and(|socket| socket.take_refused())
    {
        let refused = Errno::CONNREFUSED.raw_os_error();
        // SAFETY: the caller's promise.
        return unsafe { answer(&refused.to_ne_bytes(), value, len) };
    }
    if let (IPPROTO_IP, libc::IP_MTU) | (IPPROTO_IPV6, libc::IPV6_MTU) = (level, name)
        && let Some(socket) = table::datagram(fd)
        && (level == IPPROTO_IP || socket.family == Family::V6)
        && let Some(mtu) = socket.path_mtu()
    {
        // SAFETY: the caller's promise.
        return unsafe { answer(&c_int::from(mtu).to_ne_bytes(), value, len) };
    }
    let socket = table::socket(fd);
    let target = match socket.as_deref() {
        None => fd,
        Some(socket) => match &socket.role {
            Role::Listener(listener) => listener.kernel_fd(),
            Role::Session(link) => {
                // SAFETY: the caller's promise.
                return unsafe { get(fd, socket, link, (level, name), value, len) };
            }
        },
    };
    // SAFETY: the caller's promise.
    unsafe { native(target, (level, name), value, len) }
}

unsafe fn native(fd: c_int, name: Name, value: *mut c_void, len: *mut socklen_t) -> c_int {
    let arguments =
        [fd as usize, name.0 as usize, name.1 as usize, value as usize, len as usize, 0];
    // SAFETY: the caller's promise.
    (unsafe { raw::call(libc::SYS_getsockopt, arguments) }) as c_int
}

unsafe fn get(
    fd: c_int,
    socket: &Socket,
    link: &Link,
    name: Name,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    if reading(name) == Business::Native {
        // SAFETY: the caller's promise.
        return unsafe { native(fd, name, value, len) };
    }
    let integer = match name {
        (SOL_SOCKET, libc::SO_ERROR) => {
            connect::progress(fd, link);
            Some(link.take_error().map_or(0, Errno::raw_os_error))
        }
        (IPPROTO_TCP, libc::TCP_INFO) => {
            // SAFETY: the caller's promise.
            return unsafe { answer(&tcp_info::encode(&facts(link)), value, len) };
        }
        (IPPROTO_TCP, libc::TCP_MAXSEG) if socket.options.lock().get(name).is_none() => {
            c_int::try_from(tcp_info::SEGMENT).ok()
        }
        (IPPROTO_IP, libc::IP_MTU) | (IPPROTO_IPV6, libc::IPV6_MTU) => Some(MTU),
        PEER_NAME => {
            // SAFETY: the caller's promise.
            return unsafe { peer_name(fd, socket, value, len) };
        }
        // The kernel's answer is made of what happened last; ours of what was asked for.
        _ => socket.options.lock().integer(name),
    };
    if let Some(integer) = integer
        && name.0 != IPPROTO_IP
    {
        // SAFETY: the caller's promise.
        return unsafe { answer(&integer.to_ne_bytes(), value, len) };
    }
    if name == (IPPROTO_IP, libc::IP_MTU) {
        // SAFETY: the caller's promise.
        return unsafe { answer(&MTU.to_ne_bytes(), value, len) };
    }
    if let (LINGER, Some(linger)) = (name, socket.options.lock().get(name)) {
        // SAFETY: the caller's promise.
        return unsafe { answer(linger, value, len) };
    }
    let oracle = oracle::with(socket.family, name, &socket.options.lock());
    match oracle {
        // SAFETY: the caller's promise.
        Ok(oracle) => unsafe { native(oracle.as_raw_fd(), name, value, len) },
        Err(error) => raw::fail_int(error),
    }
}

/// `SO_PEERNAME`: cut to the room there is, which may not be more than the address has
/// (`sk_getsockopt`).
unsafe fn peer_name(fd: c_int, socket: &Socket, value: *mut c_void, len: *mut socklen_t) -> c_int {
    let Some(remote) = names::remote(fd, socket) else { return raw::fail_int(Errno::NOTCONN) };
    let mut space = [0; address::LONGEST];
    let bytes = address::encode(connect::as_shown(remote, socket.family), &mut space);
    // SAFETY: the caller's promise.
    if !len.is_null() && unsafe { len.read_unaligned() } as usize > bytes.len() {
        return raw::fail_int(Errno::INVAL);
    }
    // SAFETY: the caller's promise.
    unsafe { answer(bytes, value, len) }
}

/// Hands a value out as `getsockopt` does: cut to the room there is.
unsafe fn answer(bytes: &[u8], value: *mut c_void, len: *mut socklen_t) -> c_int {
    if len.is_null() {
        return raw::fail_int(Errno::FAULT);
    }
    // SAFETY: the caller's promise.
    let room = unsafe { len.read_unaligned() };
    if c_int::try_from(room).is_err() {
        return raw::fail_int(Errno::INVAL);
    }
    let given = bytes.len().min(room as usize);
    if value.is_null() && given > 0 {
        return raw::fail_int(Errno::FAULT);
    }
    // SAFETY: the caller's promise: `value` has room for `*len` bytes.
    unsafe {
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), value.cast(), given);
        len.write_unaligned(given as socklen_t);
    }
    0
}

fn facts(link: &Link) -> Facts {
    let Some(session) = link.session() else {
        let gone = link.peer_gone.load(Ordering::Acquire);
        let state = if gone { State::Close } else { State::SynSent };
        return Facts { state, sent: 0, unread: 0, received: 0, waiting: 0, window: 0 };
    };
    let stream = session.stream();
    let (sent, received) = stream.totals();
    let small = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let ended = link.write_ended.load(Ordering::Acquire);
    let state = match (ended, stream.peer_ended() || link.peer_ended.load(Ordering::Acquire)) {
        _ if link.peer_gone.load(Ordering::Acquire) && link.answered.load(Ordering::Acquire) => {
            State::Close
        }
        (false, false) => State::Established,
        (false, true) => State::CloseWait,
        (true, false) => State::FinWait2,
        (true, true) => State::LastAck,
    };
    Facts {
        state,
        sent,
        received,
        unread: small(stream.unread_by_peer().unwrap_or(0)),
        waiting: small(stream.readable().unwrap_or(0)),
        window: small(stream.ring_bytes()),
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    let name = (level, name);
    match table::get(fd) {
        None | Some(Object::Epoll(_)) => {
            // SAFETY: the caller's promise.
            unsafe { native_set(fd, name, value, len) }
        }
        Some(Object::Datagram(socket)) => {
            // SAFETY: the caller's promise.
            let result = unsafe { native_set(fd, name, value, len) };
            if result == 0 {
                socket.touched(fd, name);
            }
            result
        }
        Some(Object::Fresh(fresh)) => {
            // SAFETY: the caller's promise.
            let result = unsafe { native_set(fd, name, value, len) };
            let touched = fresh.touched.with(name);
            if result == 0 && touched != fresh.touched {
                table::put(fd, Object::Fresh(Fresh { touched, ..fresh }));
            }
            result
        }
        Some(Object::Socket(socket)) => match &socket.role {
            Role::Listener(listener) => {
                let kernel = listener.kernel_fd();
                // SAFETY: the caller's promise.
                let result = unsafe { native_set(kernel, name, value, len) };
                if result == 0 {
                    oracle::read_one(kernel, name, &mut socket.options.lock());
                    if setting(name) == Business::Native {
                        // `accept` waits on the listener's own descriptor.
                        // SAFETY: the caller's promise.
                        unsafe { native_set(fd, name, value, len) };
                    }
                }
                result
            }
            // SAFETY: the caller's promise.
            Role::Session(_) => unsafe { set(fd, &socket, name, value, len) },
        },
    }
}

unsafe fn native_set(fd: c_int, name: Name, value: *const c_void, len: socklen_t) -> c_int {
    let arguments =
        [fd as usize, name.0 as usize, name.1 as usize, value as usize, len as usize, 0];
    // SAFETY: the caller's promise.
    (unsafe { raw::call(libc::SYS_setsockopt, arguments) }) as c_int
}

unsafe fn set(
    fd: c_int,
    socket: &Socket,
    name: Name,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    match setting(name) {
        // Whatever its state, an IPv4 socket has no options of IPv6.
        _ if name.0 == IPPROTO_IPV6 && socket.family == Family::V4 => {}
        // SAFETY: the caller's promise.
        Business::Native => return unsafe { native_set(fd, name, value, len) },
        Business::Refused(error) => return raw::fail_int(Errno::from_raw_os_error(error)),
        Business::Kept => {}
    }
    if !value.is_null() && len as usize == size_of::<c_int>() {
        // SAFETY: the caller's promise.
        let asked = unsafe { value.cast::<c_int>().read_unaligned() };
        // The table is of sockets that have the option.
        let has = name.0 != IPPROTO_IPV6 || socket.family == Family::V6;
        if let Some(kept) = judge(name, asked).filter(|_| has) {
            socket.options.lock().put(name, &kept.to_ne_bytes());
            socket.heed_options();
            return 0;
        }
    }
    // The kernel judges what the table does not know: a socket of its own is asked.
    let oracle = match oracle::socket(socket.family) {
        Ok(oracle) => oracle,
        Err(error) => return raw::fail_int(error),
    };
    // SAFETY: the caller's promise.
    let result = unsafe { native_set(oracle.as_raw_fd(), name, value, len) };
    if result == 0 && is_integer(name) {
        oracle::read_one(oracle.as_raw_fd(), name, &mut socket.options.lock());
        socket.heed_options();
    } else if result == 0 && !value.is_null() && c_int::try_from(len).is_ok() {
        // SAFETY: the kernel just read the value from there.
        let bytes = unsafe { core::slice::from_raw_parts(value.cast::<u8>(), len as usize) };
        let mut options = socket.options.lock();
        match name {
            LINGER => options.put_linger(bytes),
            _ => options.put(name, bytes),
        }
        drop(options);
        socket.heed_options();
    }
    result
}
