//! Wakes threads of this process that sleep for a session in `poll` or in a read or write.
//!
//! What one thread says of a socket (it reads or writes no more) is no news to a socket of the kernel: the
//! peer must not notice. So sleepers wait for a counter (`eventfd`) beside their sockets. The thread that
//! has news fills the counter and puts another one in its place; whoever it was meant for looks again, and so
//! do the others.
//!
//! A program with one thread needs none of that, and sleeps in the kernel's own call.

#![allow(unsafe_code)]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_int;

use rustix::event::EventfdFlags;
use rustix::fd::AsFd;
use rustix::io::Errno;

use crate::hidden::Hidden;
use crate::raw::borrow;
use crate::sync::SpinLock;
use crate::{process, weak};

/// What a sleeper waits for beside its sockets.
pub(crate) struct Counter(Arc<Hidden>);

impl Counter {
    /// The one of this moment. The caller looks once more for news before it sleeps. `None` when there are
    /// no other threads, or no descriptors left.
    pub(crate) fn current() -> Option<Self> {
        if !has_threads() {
            return None;
        }
        let mut counters = COUNTERS.lock();
        counters.own();
        if counters.current.is_none() {
            let made = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
            counters.current = made.and_then(|fd| Hidden::duplicate(fd.as_fd())).map(Arc::new).ok();
        }
        counters.current.clone().map(Self)
    }

    pub(crate) fn number(&self) -> c_int {
        self.0.number()
    }
}

struct Counters {
    current: Option<Arc<Hidden>>,
    /// Filled ones, as long as somebody waits for them.
    filled: Vec<Arc<Hidden>>,
    /// The process that made them: a forked child has no threads that sleep.
    owner: u32,
}

static COUNTERS: SpinLock<Counters> =
    SpinLock::new(Counters { current: None, filled: Vec::new(), owner: 0 });

impl Counters {
    fn own(&mut self) {
        let id = process::id();
        if self.owner != id && !process::borrows_memory() {
            self.current = None;
            self.filled.clear();
            self.owner = id;
        }
        self.filled.retain(|it| Arc::strong_count(it) > 1);
    }
}

/// Wakes all that sleep: the caller changed something before.
pub(crate) fn wake() {
    let mut counters = COUNTERS.lock();
    counters.own();
    let Some(current) = counters.current.take() else { return };
    // Fails only when it is full, and then it is readable.
    let _ = rustix::io::write(borrow(current.number()), &1u64.to_ne_bytes());
    counters.filled.push(current);
}

/// The program is about to use the number `target`, which may be a counter's.
pub(crate) fn make_way(target: c_int) -> Option<Result<(), Errno>> {
    let counters = COUNTERS.lock();
    let mut all = counters.current.iter().chain(&counters.filled);
    all.find(|it| it.number() == target).map(|it| it.move_away())
}

/// Whether the process may have other threads. Where the C library does not tell, it has some.
pub(crate) fn has_threads() -> bool {
    let told: *const core::ffi::c_char = weak::single_threaded().cast();
    // SAFETY: null, or glibc's variable, which is never taken away (`sys/single_threaded.h`); it changes only
    // when this thread makes another one, or ends the last other one.
    told.is_null() || unsafe { told.read_volatile() } == 0
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_filled(counter: &Counter) -> bool {
        let fd = borrow(counter.number());
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)) == Ok(1)
    }

    #[test]
    fn who_slept_before_is_woken_and_who_sleeps_later_is_not() {
        // Tests run on threads.
        let before = Counter::current().expect("a counter");
        assert!(!is_filled(&before));
        wake();
        assert!(is_filled(&before));
        let after = Counter::current().expect("a counter");
        assert!(after.number() != before.number() && !is_filled(&after));
        let number = before.number();
        assert!(make_way(number).is_some(), "somebody still waits for it");
        assert!(before.number() != number);
        let number = before.number();
        drop(before);
        wake();
        assert!(is_filled(&after));
        assert!(Counter::current().is_some() && make_way(number).is_none());
    }
}
