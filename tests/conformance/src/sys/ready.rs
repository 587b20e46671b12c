//! Waiting for several descriptors.

use std::ptr;

use libc::{c_int, c_short, fd_set, pollfd, sigset_t, timespec, timeval};

use super::process::signal_set;
use super::{Answer, Fd, answer, int};

/// `EPOLL…` bits.
type Bits = u32;

/// One descriptor's events, by the number that it was registered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// What it was registered with.
    pub key: u64,
    /// The bits.
    pub bits: Bits,
}

fn pollfds(wanted: &[(Fd, c_short)]) -> Vec<pollfd> {
    wanted.iter().map(|&(fd, events)| pollfd { fd, events, revents: 0 }).collect()
}

fn revents(all: &[pollfd]) -> Vec<c_short> {
    all.iter().map(|it| it.revents).collect()
}

/// `poll`.
pub fn poll(wanted: &[(Fd, c_short)], timeout_ms: c_int) -> (Answer, Vec<c_short>) {
    let mut all = pollfds(wanted);
    // SAFETY: so many entries.
    let result = answer(unsafe { libc::poll(all.as_mut_ptr(), all.len() as _, timeout_ms) });
    (result, revents(&all))
}

fn time(milliseconds: i64) -> timespec {
    timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 }
}

/// `ppoll` with all signals that were blocked before.
pub fn ppoll(wanted: &[(Fd, c_short)], timeout_ms: i64) -> (Answer, Vec<c_short>) {
    ppoll_with(wanted, timeout_ms, ptr::null())
}

/// `ppoll` that has these signals blocked, and no others.
pub fn ppoll_blocking(
    wanted: &[(Fd, c_short)],
    timeout_ms: i64,
    signals: &[c_int],
) -> (Answer, Vec<c_short>) {
    let mask = signal_set(signals);
    ppoll_with(wanted, timeout_ms, &raw const mask)
}

fn ppoll_with(
    wanted: &[(Fd, c_short)],
    timeout_ms: i64,
    mask: *const sigset_t,
) -> (Answer, Vec<c_short>) {
    let mut all = pollfds(wanted);
    let timeout = time(timeout_ms);
    // SAFETY: so many entries, and a mask or none.
    let result =
        answer(unsafe { libc::ppoll(all.as_mut_ptr(), all.len() as _, &raw const timeout, mask) });
    (result, revents(&all))
}

/// The three sets of `select`: reading, writing, exceptions.
type Sets = [fd_set; 3];

fn sets(wanted: &[(Fd, [bool; 3])]) -> (Sets, c_int) {
    // SAFETY: all zero bytes are an empty set.
    let mut sets: Sets = unsafe { std::mem::zeroed() };
    let mut end = 0;
    for &(fd, asked) in wanted {
        assert!((0..1024).contains(&fd), "a set holds 1024 descriptors");
        end = end.max(fd + 1);
        for (set, asked) in sets.iter_mut().zip(asked) {
            if asked {
                // SAFETY: the number is within the set.
                unsafe { libc::FD_SET(fd, set) };
            }
        }
    }
    (sets, end)
}

fn answers(sets: &Sets, wanted: &[(Fd, [bool; 3])]) -> Vec<[bool; 3]> {
    // SAFETY: `sets` looked at the numbers.
    let one =
        |fd| [0, 1, 2].map(|which: usize| unsafe { libc::FD_ISSET(fd, &raw const sets[which]) });
    wanted.iter().map(|&(fd, _)| one(fd)).collect()
}

/// `select`.
pub fn select(wanted: &[(Fd, [bool; 3])], timeout_ms: i64) -> (Answer, Vec<[bool; 3]>) {
    let (mut sets, end) = sets(wanted);
    let mut timeout = timeval { tv_sec: timeout_ms / 1000, tv_usec: timeout_ms % 1000 * 1000 };
    let [read, write, except] = &mut sets;
    // SAFETY: three sets that hold `end` numbers.
    let result = answer(unsafe { libc::select(end, read, write, except, &raw mut timeout) });
    (result, answers(&sets, wanted))
}

/// `pselect` without a mask.
pub fn pselect(wanted: &[(Fd, [bool; 3])], timeout_ms: i64) -> (Answer, Vec<[bool; 3]>) {
    pselect_with(wanted, timeout_ms, ptr::null())
}

/// `pselect` that has these signals blocked, and no others.
pub fn pselect_blocking(
    wanted: &[(Fd, [bool; 3])],
    timeout_ms: i64,
    signals: &[c_int],
) -> (Answer, Vec<[bool; 3]>) {
    let mask = signal_set(signals);
    pselect_with(wanted, timeout_ms, &raw const mask)
}

fn pselect_with(
    wanted: &[(Fd, [bool; 3])],
    timeout_ms: i64,
    mask: *const sigset_t,
) -> (Answer, Vec<[bool; 3]>) {
    let (mut sets, end) = sets(wanted);
    let timeout = time(timeout_ms);
    let [read, write, except] = &mut sets;
    // SAFETY: three sets that hold `end` numbers, and a mask or none.
    let result =
        answer(unsafe { libc::pselect(end, read, write, except, &raw const timeout, mask) });
    (result, answers(&sets, wanted))
}

/// An epoll descriptor.
#[derive(Debug)]
pub struct Epoll(pub Fd);

impl Epoll {
    /// `epoll_create1`.
    pub fn new() -> Self {
        // SAFETY: numbers only.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        answer(fd).expect("epoll descriptors can be made");
        Self(fd)
    }

    /// `epoll_ctl`.
    pub fn control(&self, operation: c_int, fd: Fd, bits: Bits, key: u64) -> Answer {
        let mut event = libc::epoll_event { events: bits, u64: key };
        // SAFETY: one event.
        answer(unsafe { libc::epoll_ctl(self.0, operation, fd, &raw mut event) })
    }

    /// `epoll_wait` for up to 16 events, in the order of their keys.
    pub fn wait(&self, timeout_ms: c_int) -> (Answer, Vec<Event>) {
        let mut room = [libc::epoll_event { events: 0, u64: 0 }; 16];
        // SAFETY: room for so many events.
        let result = answer(unsafe {
            libc::epoll_wait(self.0, room.as_mut_ptr(), int(room.len()), timeout_ms)
        });
        (result, events(result, &room))
    }

    /// `epoll_wait` with another number of events than there is room for.
    pub fn wait_for(&self, room: c_int, timeout_ms: c_int) -> Answer {
        assert!(room <= 0, "nothing must be written");
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: nothing is written.
        answer(unsafe { libc::epoll_wait(self.0, &raw mut event, room, timeout_ms) })
    }

    /// `epoll_wait` for one event: its key.
    pub fn next(&self, timeout_ms: c_int) -> Option<u64> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: room for one event.
        let result = answer(unsafe { libc::epoll_wait(self.0, &raw mut event, 1, timeout_ms) });
        (result == Ok(1)).then_some(event.u64)
    }

    /// `epoll_pwait` without a mask.
    pub fn pwait(&self, timeout_ms: c_int) -> (Answer, Vec<Event>) {
        self.pwait_with(timeout_ms, ptr::null())
    }

    /// `epoll_pwait` that has these signals blocked, and no others.
    pub fn pwait_blocking(&self, timeout_ms: c_int, signals: &[c_int]) -> (Answer, Vec<Event>) {
        let mask = signal_set(signals);
        self.pwait_with(timeout_ms, &raw const mask)
    }

    fn pwait_with(&self, timeout_ms: c_int, mask: *const sigset_t) -> (Answer, Vec<Event>) {
        let mut room = [libc::epoll_event { events: 0, u64: 0 }; 16];
        // SAFETY: room for so many events, and a mask or none.
        let result = answer(unsafe {
            libc::epoll_pwait(self.0, room.as_mut_ptr(), int(room.len()), timeout_ms, mask)
        });
        (result, events(result, &room))
    }
}

impl Default for Epoll {
    fn default() -> Self {
        Self::new()
    }
}

fn events(result: Answer, room: &[libc::epoll_event]) -> Vec<Event> {
    let count = result.ok().and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
    let mut events: Vec<_> =
        room[..count].iter().map(|it| Event { key: it.u64, bits: it.events }).collect();
    events.sort_unstable();
    events
}
