//! Room for events in the program's memory, and the kernel's call that fills it.

#![allow(unsafe_code)]

use core::ffi::c_int;
use core::time::Duration;

use libc::epoll_event;
use rustix::io::Errno;

use crate::raw::{self, SignalMask};

/// The kernel's `EP_MAX_EVENTS`.
const MOST_EVENTS: usize = i32::MAX as usize / size_of::<epoll_event>();

/// Room for events.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    start: *mut epoll_event,
    room: usize,
}

impl Places {
    /// # Safety
    /// `start` points to room for `room` events, which stays there as long as this is used.
    pub(crate) unsafe fn new(start: *mut epoll_event, room: usize) -> Self {
        Self { start, room: room.min(MOST_EVENTS) }
    }

    /// For [`of`](Self::of).
    pub(super) const fn space() -> [epoll_event; 16] {
        [const { epoll_event { events: 0, u64: 0 } }; 16]
    }

    /// Room of our own.
    pub(super) fn of(space: &mut [epoll_event; 16]) -> Self {
        Self { start: space.as_mut_ptr(), room: space.len() }
    }

    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Puts an event; beyond the room it is nowhere.
    pub(super) fn put(&self, at: usize, events: u32, data: u64) {
        debug_assert!(at < self.room, "the caller counts");
        if at < self.room {
            // SAFETY: inside the room. `epoll_event` is packed on some machines.
            unsafe { self.start.add(at).write_unaligned(epoll_event { events, u64: data }) };
        }
    }

    /// The event that was put at `at`, by the kernel or [`put`](Self::put): its bits and its data.
    pub(super) fn get(&self, at: usize) -> (u32, u64) {
        debug_assert!(at < self.room, "the caller counts");
        if at >= self.room {
            return (0, 0);
        }
        // SAFETY: inside the room.
        let event = unsafe { self.start.add(at).read_unaligned() };
        (event.events, event.u64)
    }

    /// The room behind the first `skip` events.
    pub(super) fn from(&self, skip: usize) -> Self {
        let skip = skip.min(self.room);
        // SAFETY: inside the room, or just behind it.
        Self { start: unsafe { self.start.add(skip) }, room: self.room - skip }
    }

    /// Has the kernel wait and put its events here; answers how many. The timeout is rounded up to
    /// milliseconds, unless `precise`: a wait must not end early.
    pub(super) fn fill(
        &self,
        epfd: c_int,
        timeout: Option<Duration>,
        precise: bool,
        mask: SignalMask,
    ) -> Result<usize, Errno> {
        let exact = timeout.filter(|it| precise && !it.is_zero()).map(raw::timespec);
        let (number, timeout) = match &exact {
            Some(exact) => (libc::SYS_epoll_pwait2, (&raw const *exact) as usize),
            None => (libc::SYS_epoll_pwait, raw::number(milliseconds(timeout))),
        };
        let [start, room] = [self.start as usize, self.room];
        let arguments = [raw::number(epfd), start, room, timeout, mask.address(), mask.bytes()];
        // SAFETY: the kernel writes inside the room only; the mask is the program's, and the kernel
        // refuses one that is not there.
        unsafe { raw::kernel(number, arguments) }
    }
}

/// As the kernel takes it: -1 for ever.
fn milliseconds(timeout: Option<Duration>) -> c_int {
    timeout.map_or(-1, |timeout| {
        c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_never_ends_early() {
        assert_eq!(milliseconds(None), -1);
        assert_eq!(milliseconds(Some(Duration::ZERO)), 0);
        assert_eq!(milliseconds(Some(Duration::from_nanos(1))), 1);
        assert_eq!(milliseconds(Some(Duration::from_secs(1 << 40))), c_int::MAX);
    }

    #[test]
    fn events_come_out_as_they_went_in() {
        let mut space = Places::space();
        let places = Places::of(&mut space);
        places.from(15).put(0, 7, u64::MAX);
        assert_eq!(places.get(15), (7, u64::MAX));
        assert_eq!(places.from(16).room(), 0);
    }
}
