//! `poll`.

use core::ffi::c_int;
use core::{ptr, slice};

use libc::{nfds_t, pollfd, sigset_t, size_t, timespec};

use crate::clock::Limit;
use crate::poll::{Poll, concerns};
use crate::raw::{self, SignalMask};

/// The descriptors of a call, if any of them is ours.
///
/// # Safety
/// As for `poll`.
unsafe fn ours<'a>(fds: *mut pollfd, count: nfds_t) -> Option<&'a mut [pollfd]> {
    let count = usize::try_from(count).ok().filter(|&it| it > 0 && !fds.is_null())?;
    // SAFETY: the caller's promise. A count that is too large would fault in the kernel, too.
    let fds = unsafe { slice::from_raw_parts_mut(fds, count) };
    concerns(fds.iter().map(|it| it.fd)).then_some(fds)
}

fn run(fds: &mut [pollfd], limit: Limit, mask: SignalMask) -> c_int {
    for entry in &mut *fds {
        entry.revents = 0;
    }
    let found = Poll::new(fds).wait(limit, mask);
    raw::answer_int(found.map(|count| c_int::try_from(count).unwrap_or(c_int::MAX)))
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
    // SAFETY: the caller's promise.
    if let Some(fds) = unsafe { ours(fds, count) } {
        return run(fds, Limit::milliseconds(timeout), SignalMask::NONE);
    }
    let arguments = [fds as usize, count as usize, timeout as usize, 0, 0, 0];
    // SAFETY: the caller's promise.
    (unsafe { raw::call(libc::SYS_poll, arguments) }) as c_int
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn ppoll(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    let mask = SignalMask::at(mask);
    // SAFETY: the caller's promise.
    if let Some(fds) = unsafe { ours(fds, count) } {
        // SAFETY: the caller's promise.
        return match unsafe { super::duration(timeout) } {
            Ok(duration) => run(fds, Limit::exactly(duration), mask),
            Err(error) => raw::fail_int(error),
        };
    }
    // The kernel writes back what is left; the C library's callers do not expect that.
    // SAFETY: the caller's promise.
    let mut left = unsafe { timeout.as_ref() }.copied();
    let left = left.as_mut().map_or(ptr::null_mut(), |left| &raw mut *left);
    let arguments = [fds as usize, count as usize, left as usize, mask.address(), mask.bytes(), 0];
    // SAFETY: the caller's promise.
    (unsafe { raw::call(libc::SYS_ppoll, arguments) }) as c_int
}

/// What `poll` becomes in programs that were compiled with checks of buffer sizes.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __poll_chk(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: c_int,
    bytes: size_t,
) -> c_int {
    check(count, bytes);
    // SAFETY: the caller's promise.
    unsafe { poll(fds, count, timeout) }
}

/// As [`__poll_chk`], of `ppoll`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn __ppoll_chk(
    fds: *mut pollfd,
    count: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
    bytes: size_t,
) -> c_int {
    check(count, bytes);
    // SAFETY: the caller's promise.
    unsafe { ppoll(fds, count, timeout, mask) }
}

fn check(count: nfds_t, bytes: size_t) {
    if usize::try_from(count).is_ok_and(|count| bytes / size_of::<pollfd>() < count) {
        raw::overflow();
    }
}
