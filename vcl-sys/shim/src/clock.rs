//! Time for waits of microseconds.

use core::ffi::c_int;
use core::time::Duration;

/// Nanoseconds of the monotonic clock, read without entering the kernel.
pub(crate) fn now() -> u64 {
    #![allow(unsafe_code)]
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable; every C library has this function.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// The moment `timeout` from now; `None` waits for ever.
pub(crate) fn deadline(timeout: Option<Duration>) -> Option<u64> {
    timeout
        .map(|timeout| now().saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)))
}

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Until this moment of the monotonic clock; `None` for ever.
    pub(crate) deadline: Option<u64>,
    /// Do not wait at all.
    pub(crate) now: bool,
    /// The program asked with the precision of nanoseconds.
    pub(crate) precise: bool,
}

impl Limit {
    /// As `epoll_wait` has it: milliseconds, negative for ever.
    pub(crate) fn milliseconds(timeout: c_int) -> Self {
        let duration = u64::try_from(timeout).ok().map(Duration::from_millis);
        Self { precise: false, ..Self::exactly(duration) }
    }

    pub(crate) fn exactly(duration: Option<Duration>) -> Self {
        let now = duration.is_some_and(|it| it.is_zero());
        Self { deadline: if now { None } else { deadline(duration) }, now, precise: true }
    }
}

/// What is left until a deadline.
pub(crate) fn left(deadline: Option<u64>) -> Option<Duration> {
    deadline.map(|deadline| Duration::from_nanos(deadline.saturating_sub(now())))
}
