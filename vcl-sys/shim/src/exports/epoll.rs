//! `epoll`.

use core::ffi::c_int;
use core::ptr;

use libc::{epoll_event, sigset_t, timespec};
use rustix::io::Errno;

use crate::clock::Limit;
use crate::epoll::{self, Change, Epoll, Places};
use crate::raw::{self, SignalMask};
use crate::table::{self, Object};

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn epoll_create(size: c_int) -> c_int {
    if size <= 0 {
        return raw::fail_int(Errno::INVAL);
    }
    // SAFETY: numbers only.
    unsafe { epoll_create1(0) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn epoll_create1(flags: c_int) -> c_int {
    // SAFETY: numbers only.
    let fd =
        unsafe { raw::call(libc::SYS_epoll_create1, [flags as usize, 0, 0, 0, 0, 0]) } as c_int;
    if fd >= 0 && !crate::process::borrows_memory() {
        table::take(fd);
        table::put(fd, Object::Epoll(Epoll::new(fd)));
    }
    fd
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn epoll_ctl(
    epfd: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: the caller's promise. The structure is packed on some machines.
    let event_of = || unsafe { event.read_unaligned() };
    let change = match operation {
        libc::EPOLL_CTL_DEL => Some(Change::Delete),
        libc::EPOLL_CTL_ADD if !event.is_null() => {
            let event = event_of();
            Some(Change::Add { events: event.events, data: event.u64 })
        }
        libc::EPOLL_CTL_MOD if !event.is_null() => {
            let event = event_of();
            Some(Change::Modify { events: event.events, data: event.u64 })
        }
        _ => None,
    };
    if let Some(result) = change.and_then(|change| epoll::control(epfd, fd, change)) {
        return raw::answer_int(result.map(|()| 0));
    }
    let arguments = [epfd as usize, operation as usize, fd as usize, event as usize, 0, 0];
    // SAFETY: the caller's promise.
    (unsafe { raw::call(libc::SYS_epoll_ctl, arguments) }) as c_int
}

/// The kernel's answer for an epoll that is not known here, and for arguments that it refuses.
macro_rules! known_or_return {
    ($epfd:expr, $events:expr, $most:expr, $call:expr) => {
        match (table::get($epfd), usize::try_from($most)) {
            (Some(Object::Epoll(epoll)), Ok(most)) if most > 0 && !$events.is_null() => {
                // SAFETY: the caller's promise.
                (epoll, unsafe { Places::new($events, most) })
            }
            // SAFETY: the caller's promise.
            _ => return (unsafe { raw::call($call.0, $call.1) }) as c_int,
        }
    };
}

fn answer(found: Result<usize, Errno>) -> c_int {
    raw::answer_int(found.map(|count| c_int::try_from(count).unwrap_or(c_int::MAX)))
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn epoll_wait(
    epfd: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { epoll_pwait(epfd, events, most, timeout, ptr::null()) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn epoll_pwait(
    epfd: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
    mask: *const sigset_t,
) -> c_int {
    let mask = SignalMask::at(mask);
    let (epoll, places) = known_or_return!(epfd, events, most, {
        let head = [epfd as usize, events as usize, most as usize, timeout as usize];
        let [a, b, c, d] = head;
        (libc::SYS_epoll_pwait, [a, b, c, d, mask.address(), mask.bytes()])
    });
    answer(epoll::wait(epfd, &epoll, places, Limit::milliseconds(timeout), mask))
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn epoll_pwait2(
    epfd: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    let mask = SignalMask::at(mask);
    let (epoll, places) = known_or_return!(epfd, events, most, {
        let head = [epfd as usize, events as usize, most as usize, timeout as usize];
        let [a, b, c, d] = head;
        (libc::SYS_epoll_pwait2, [a, b, c, d, mask.address(), mask.bytes()])
    });
    // SAFETY: the caller's promise.
    let Ok(duration) = (unsafe { super::duration(timeout) }) else {
        return raw::fail_int(Errno::INVAL);
    };
    answer(epoll::wait(epfd, &epoll, places, Limit::exactly(duration), mask))
}
