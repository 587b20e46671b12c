//! Closing and duplicating descriptors, and their flags.

use core::ffi::{c_int, c_ulong, c_void};
use core::sync::atomic::Ordering;

use rustix::fd::AsRawFd;
use rustix::io::Errno;

use crate::socket::{Role, Socket};
use crate::{hidden, oracle, raw, stdio, table};

use super::closing::make_way;

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    if hidden::is(fd) {
        return raw::fail_int(Errno::BADF);
    }
    // The entry goes first: as soon as the kernel has closed it, another thread may get the number.
    let known = table::take(fd);
    // SAFETY: numbers only.
    let result = (unsafe { raw::call(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]) }) as c_int;
    drop(known);
    result
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn dup(fd: c_int) -> c_int {
    // SAFETY: numbers only.
    let new = (unsafe { raw::call(libc::SYS_dup, [fd as usize, 0, 0, 0, 0, 0]) }) as c_int;
    note_duplicate(fd, new)
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn dup2(fd: c_int, target: c_int) -> c_int {
    if let Err(error) = make_way(target) {
        return raw::fail_int(error);
    }
    // SAFETY: numbers only.
    let new =
        (unsafe { raw::call(libc::SYS_dup2, [fd as usize, target as usize, 0, 0, 0, 0]) }) as c_int;
    if fd == target { new } else { note_duplicate(fd, new) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn dup3(fd: c_int, target: c_int, flags: c_int) -> c_int {
    if let Err(error) = make_way(target) {
        return raw::fail_int(error);
    }
    let arguments = [fd as usize, target as usize, flags as usize, 0, 0, 0];
    // SAFETY: numbers only.
    let new = (unsafe { raw::call(libc::SYS_dup3, arguments) }) as c_int;
    note_duplicate(fd, new)
}

/// The kernel made `new` a duplicate of `fd`.
fn note_duplicate(fd: c_int, new: c_int) -> c_int {
    if new >= 0 {
        let old = table::take(new);
        if table::is_inherited(fd) {
            table::inherit(new);
        } else if let Some(mut object) = table::get(fd)
            && !crate::process::borrows_memory()
        {
            if let table::Object::Fresh(fresh) = &mut object {
                fresh.duplicated = true;
                table::put(fd, object.clone());
            }
            let is_socket = matches!(object, table::Object::Socket(_));
            table::put(new, object);
            if is_socket {
                stdio::replace_standard(new);
            }
        }
        drop(old);
    }
    new
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    let arguments = [fd as usize, command as usize, argument, 0, 0, 0];
    // SAFETY: the caller's promise. The argument is a number or a pointer; on the platforms of this
    // library a variadic one arrives in the same register as a fixed one.
    let result = (unsafe { raw::call(libc::SYS_fcntl, arguments) }) as c_int;
    if result < 0 {
        return result;
    }
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => return note_duplicate(fd, result),
        libc::F_SETFL => {
            if let Some(socket) = table::socket(fd) {
                let nonblocking = argument & libc::O_NONBLOCK as usize != 0;
                socket.nonblocking.store(nonblocking, Ordering::Relaxed);
            }
        }
        _ => {}
    }
    result
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { fcntl(fd, command, argument) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    let socket = table::socket(fd);
    if let Some(socket) = socket.as_deref()
        && let Some(answer) = control(socket, request as u32 as c_ulong, argument.cast())
    {
        return raw::answer_int(answer);
    }
    if request as u32 as c_ulong == libc::FIONREAD
        && let Some(length) = table::datagram(fd).and_then(|it| it.next_length(fd))
        && !argument.is_null()
    {
        // SAFETY: the caller's promise: an `int` to be written.
        unsafe { *argument.cast::<c_int>() = c_int::try_from(length).unwrap_or(c_int::MAX) };
        return 0;
    }
    // Questions about interfaces are for internet sockets: any of them answers.
    let oracle = match socket.as_deref() {
        Some(socket) if socket.link().is_some() && is_about_interfaces(request) => {
            oracle::socket(socket.family).ok()
        }
        _ => None,
    };
    let target = match socket.as_deref().map(|socket| &socket.role) {
        Some(Role::Listener(listener)) => listener.kernel_fd(),
        _ => oracle.as_ref().map_or(fd, AsRawFd::as_raw_fd),
    };
    let arguments = [target as usize, request as usize, argument as usize, 0, 0, 0];
    // SAFETY: the caller's promise.
    let result = (unsafe { raw::call(libc::SYS_ioctl, arguments) }) as c_int;
    if result == 0
        && request as u32 as c_ulong == libc::FIONBIO
        && let Some(socket) = socket
    {
        // `FIONBIO` on the kernel's listening socket would not reach the program's descriptor.
        if target != fd {
            // SAFETY: the caller's promise.
            unsafe {
                raw::call(
                    libc::SYS_ioctl,
                    [fd as usize, request as usize, argument as usize, 0, 0, 0],
                )
            };
        }
        // SAFETY: the kernel just read the same number from there.
        let nonblocking = unsafe { *argument.cast::<c_int>() } != 0;
        socket.nonblocking.store(nonblocking, Ordering::Relaxed);
    }
    result
}

/// `linux/sockios.h`: calls that are about sockets, from behind those about owners of the descriptor.
fn is_about_interfaces(request: c_ulong) -> bool {
    (0x8905..0x8a00).contains(&(request as u32))
}

/// `linux/sockios.h`
const SIOCATMARK: c_ulong = 0x8905;
const SIOCOUTQNSD: c_ulong = 0x894b;

/// What a session answers by itself.
fn control(socket: &Socket, request: c_ulong, target: *mut c_int) -> Option<Result<c_int, Errno>> {
    let session = socket.link()?.session()?;
    let stream = session.stream();
    let value = match request {
        libc::FIONREAD => stream.readable().unwrap_or(0),
        libc::TIOCOUTQ => stream.unread_by_peer().unwrap_or(0),
        // Nothing waits to be sent, and there are no urgent data.
        SIOCOUTQNSD | SIOCATMARK => 0,
        _ => return None,
    };
    if target.is_null() {
        return Some(Err(Errno::FAULT));
    }
    // SAFETY: the caller's promise: an `int` to be written.
    unsafe { *target = c_int::try_from(value).unwrap_or(c_int::MAX) };
    Some(Ok(0))
}
