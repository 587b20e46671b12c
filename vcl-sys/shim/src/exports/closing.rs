//! Closing many descriptors at once.

use core::ffi::{c_int, c_uint};

use alloc::vec::Vec;

use rustix::io::Errno;
use rustix::process::Resource;

use super::descriptors::close;
use crate::{broker, epoll, hidden, raw, signals, sleepers, table};

/// `linux/close_range.h`
const CLOSE_RANGE_CLOEXEC: c_int = 4;

unsafe fn native(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    let arguments = [first as usize, last as usize, flags as usize, 0, 0, 0];
    // SAFETY: numbers only.
    (unsafe { raw::call(libc::SYS_close_range, arguments) }) as c_int
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    // SAFETY: numbers only; the highest number is never open, so this only asks whether the kernel
    // knows the call and its flags.
    let supported = unsafe { native(c_uint::MAX, c_uint::MAX, flags) };
    if supported < 0 || first > last || flags & CLOSE_RANGE_CLOEXEC != 0 {
        // SAFETY: numbers only.
        return unsafe { native(first, last, flags) };
    }
    let number = |it: c_uint| c_int::try_from(it).unwrap_or(c_int::MAX);
    // As in `close`, entries go first. What was behind them ends last, with its own descriptors.
    let known: Vec<c_int> = table::known(number(first), number(last)).collect();
    let known: Vec<_> = known.into_iter().filter_map(table::take).collect();
    drop(known);
    let mut start = first;
    while let Some(own) = hidden::next(number(start), number(last)) {
        let own = own as c_uint;
        if own > start {
            // SAFETY: numbers only.
            unsafe { native(start, own - 1, flags) };
        }
        start = own + 1;
    }
    if start > last {
        return 0;
    }
    // SAFETY: numbers only.
    unsafe { native(start, last, flags) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn closefrom(first: c_int) {
    let first = first.max(0);
    // SAFETY: numbers only.
    if unsafe { close_range(first as c_uint, c_uint::MAX, 0) } == 0 {
        return;
    }
    // Linux before 5.9.
    let limit = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(1 << 16);
    for fd in first..c_int::try_from(limit).unwrap_or(c_int::MAX) {
        // SAFETY: numbers only.
        unsafe { close(fd) };
    }
}

/// Makes way when the program wants a number that is this library's own.
pub(super) fn make_way(target: c_int) -> Result<(), Errno> {
    if !hidden::is(target) {
        return Ok(());
    }
    let moved = epoll::make_way(target).or_else(|| broker::make_way(target));
    let moved = moved.or_else(|| sleepers::make_way(target));
    if let Some(moved) = moved.or_else(|| signals::make_way(target)) {
        return moved;
    }
    for fd in table::known(0, c_int::MAX) {
        if let Some(table::Object::Datagram(socket)) = table::known_object(fd)
            && let Some(moved) = socket.make_way(target)
        {
            return moved;
        }
        if let Some(table::Object::Socket(socket)) = table::known_object(fd)
            && let Some(kernel) = socket.listener().and_then(|it| it.kernel.as_ref())
            && kernel.number() == target
        {
            return kernel.move_away();
        }
    }
    Ok(())
}
