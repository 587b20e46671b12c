//! Calls that move bytes between a session and a file, and vectors at a position.

use core::ffi::{c_int, c_uint};

use libc::{iovec, loff_t, off_t, size_t, ssize_t};
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::data::{receive, send};
use crate::buffers::Buffers;
use crate::files::{self, Pipe, Place};
use crate::raw::{self, borrow};
use crate::socket::Socket;
use crate::table;

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sendfile(
    out: c_int,
    from: c_int,
    offset: *mut off_t,
    count: size_t,
) -> ssize_t {
    let Some(socket) = table::socket(out) else {
        if table::socket(from).is_some() {
            // What TCP says: a stream has no positions to read from.
            return raw::fail(Errno::INVAL);
        }
        let arguments = [out as usize, from as usize, offset as usize, count, 0, 0];
        // SAFETY: the caller's promise.
        return unsafe { raw::call(libc::SYS_sendfile, arguments) };
    };
    // SAFETY: the caller's promise.
    sent(unsafe { send_file(out, &socket, from, offset, count) })
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sendfile64(
    out: c_int,
    from: c_int,
    offset: *mut off_t,
    count: size_t,
) -> ssize_t {
    // SAFETY: the caller's promise; offsets have 64 bits on the platforms of this library.
    unsafe { sendfile(out, from, offset, count) }
}

unsafe fn send_file(
    out: c_int,
    socket: &Socket,
    from: c_int,
    offset: *mut off_t,
    count: size_t,
) -> Result<usize, Errno> {
    let file = borrow(from);
    if table::socket(from).is_some() {
        return Err(Errno::INVAL);
    }
    files::judge_source(file)?;
    // SAFETY: the caller's promise.
    if let Some(offset) = unsafe { offset.as_mut() } {
        let position = u64::try_from(*offset).map_err(|_| Errno::INVAL)?;
        let sent = files::send_file(out, socket, Place { file, position }, count)?;
        *offset += sent as off_t;
        return Ok(sent);
    }
    let position = rustix::fs::seek(file, SeekFrom::Current(0)).unwrap_or(0);
    let sent = files::send_file(out, socket, Place { file, position }, count)?;
    // A device without positions has none to keep.
    let _ = rustix::fs::seek(file, SeekFrom::Start(position + sent as u64));
    Ok(sent)
}

fn sent(result: Result<usize, Errno>) -> ssize_t {
    if result == Err(Errno::PIPE) {
        raw::raise_sigpipe();
    }
    raw::answer(result)
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn splice(
    from: c_int,
    from_offset: *mut loff_t,
    to: c_int,
    to_offset: *mut loff_t,
    len: size_t,
    flags: c_uint,
) -> ssize_t {
    let (source, target) = (table::socket(from), table::socket(to));
    if source.is_none() && target.is_none() {
        let arguments = [
            from as usize,
            from_offset as usize,
            to as usize,
            to_offset as usize,
            len,
            flags as usize,
        ];
        // SAFETY: the caller's promise.
        return unsafe { raw::call(libc::SYS_splice, arguments) };
    }
    for (offset, is_session) in [(from_offset, source.is_some()), (to_offset, target.is_some())] {
        if !offset.is_null() {
            return raw::fail(if is_session { Errno::INVAL } else { Errno::SPIPE });
        }
    }
    if flags & !SPLICE_FLAGS != 0 {
        return raw::fail(Errno::INVAL);
    }
    let dont_wait = flags & libc::SPLICE_F_NONBLOCK != 0;
    let len = len.min(files::MOST);
    match (source, target) {
        (Some(source), None) => raw::answer(
            Pipe::new(borrow(to), dont_wait)
                .and_then(|pipe| files::to_pipe(from, &source, pipe.ok_or(Errno::INVAL)?, len)),
        ),
        (None, Some(target)) => sent(
            Pipe::new(borrow(from), dont_wait)
                .and_then(|pipe| files::from_pipe(to, &target, pipe.ok_or(Errno::INVAL)?, len)),
        ),
        _ => raw::fail(Errno::INVAL),
    }
}

const SPLICE_FLAGS: c_uint =
    libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MORE | libc::SPLICE_F_GIFT;

/// Flags of `preadv2` that say how, not what (linux/fs.h): high priority, no waiting.
const RWF_HIPRI: c_int = 1;
const RWF_NOWAIT: c_int = 8;

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn preadv2(
    fd: c_int,
    parts: *const iovec,
    count: c_int,
    offset: off_t,
    flags: c_int,
) -> ssize_t {
    let Some(socket) = table::socket(fd) else {
        let arguments =
            [fd as usize, parts as usize, count as usize, offset as usize, 0, flags as usize];
        // SAFETY: the caller's promise.
        return unsafe { raw::call(libc::SYS_preadv2, arguments) };
    };
    // SAFETY: the caller's promise.
    match unsafe { vector(parts, count, offset, flags) } {
        Ok((buffers, flags)) => receive(fd, &socket, &buffers, flags),
        Err(error) => raw::fail(error),
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn pwritev2(
    fd: c_int,
    parts: *const iovec,
    count: c_int,
    offset: off_t,
    flags: c_int,
) -> ssize_t {
    let Some(socket) = table::socket(fd) else {
        let arguments =
            [fd as usize, parts as usize, count as usize, offset as usize, 0, flags as usize];
        // SAFETY: the caller's promise.
        return unsafe { raw::call(libc::SYS_pwritev2, arguments) };
    };
    // SAFETY: the caller's promise.
    match unsafe { vector(parts, count, offset, flags) } {
        Ok((buffers, flags)) => send(fd, &socket, &buffers, flags),
        Err(error) => raw::fail(error),
    }
}

/// The buffers and the flags of `recvmsg` that mean the same; a stream has no positions.
unsafe fn vector<'a>(
    parts: *const iovec,
    count: c_int,
    offset: off_t,
    flags: c_int,
) -> Result<(Buffers<'a>, c_int), Errno> {
    if offset != -1 {
        return Err(if offset < 0 { Errno::INVAL } else { Errno::SPIPE });
    }
    if flags & !(RWF_HIPRI | RWF_NOWAIT) != 0 {
        return Err(Errno::OPNOTSUPP);
    }
    // SAFETY: the caller's promise.
    let buffers = unsafe { Buffers::from_raw(parts, count as usize) }.ok_or(Errno::INVAL)?;
    Ok((buffers, if flags & RWF_NOWAIT != 0 { libc::MSG_DONTWAIT } else { 0 }))
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn preadv64v2(
    fd: c_int,
    parts: *const iovec,
    count: c_int,
    offset: off_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { preadv2(fd, parts, count, offset, flags) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn pwritev64v2(
    fd: c_int,
    parts: *const iovec,
    count: c_int,
    offset: off_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's promise.
    unsafe { pwritev2(fd, parts, count, offset, flags) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sockatmark(fd: c_int) -> c_int {
    let mut mark: c_int = 0;
    // SAFETY: the mark is an `int`.
    let result = unsafe { super::descriptors::ioctl(fd, SIOCATMARK, (&raw mut mark).cast()) };
    if result < 0 { -1 } else { mark }
}

const SIOCATMARK: libc::c_ulong = 0x8905;
