//! What a signal does to a call that sleeps.
//!
//! The kernel restarts a blocked `recv` or `send` when the signal's handler was installed with `SA_RESTART`. It
//! never restarts `poll`, which is how most calls sleep here, and does not tell which signal it was. So the
//! handlers that the program has are looked at: before such a sleep, or in its first moments if that was done just
//! before, and once more when a signal ended it, since a handler may be there for one signal only. As long as they
//! agree, that is the answer. When they differ, a sleep holds back those that restart and watches for them
//! (`signalfd`): one that comes ends the sleep, is handled then, and the call goes on. What interrupts the sleep all
//! the same has a handler that interrupts.
//!
//! Those are not held back: a signal to the process would go to another thread, and this call would go on.

#![allow(unsafe_code)]

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libc::pollfd;
use rustix::fd::{AsFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use smallvec::SmallVec;

use crate::hidden::Hidden;
use crate::raw::{self, SignalMask};
use crate::sync::SpinLock;
use crate::{clock, process};

/// Signals as the kernel counts them: the first is the lowest bit.
type Signals = u64;

/// What a mask has, to the kernel: `_NSIG / 8`.
const MASK_BYTES: usize = size_of::<Signals>();

/// Signals of a fault of the program itself, which cannot come while it sleeps. Runtimes handle them
/// without `SA_RESTART`, which says nothing of the others.
const FAULTS: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];

/// The last look at the handlers.
struct Last {
    restart: AtomicU64,
    interrupt: AtomicU64,
    /// When it was, in nanoseconds of the clock; zero: there is none.
    at: AtomicU64,
}

static LAST: Last =
    Last { restart: AtomicU64::new(0), interrupt: AtomicU64::new(0), at: AtomicU64::new(0) };

/// How long that is good for, as long as no signal ends a sleep: a look takes a thousandth of it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Last {
    /// The next sleep looks anew.
    fn forget(&self) {
        self.at.store(0, Ordering::Relaxed);
    }
}

/// The signals that have handlers, by what these do to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Handlers {
    restart: Signals,
    interrupt: Signals,
}

impl Handlers {
    /// Looks at all: 58 system calls, which is nothing beside a signal.
    fn look() -> Self {
        let mut all = Self { restart: 0, interrupt: 0 };
        for signal in (1..=64).filter(|signal| !FAULTS.contains(signal)) {
            let Some(action) = action(signal) else { continue };
            if action.handler == libc::SIG_DFL || action.handler == libc::SIG_IGN {
                continue;
            }
            let set = if action.restarts() { &mut all.restart } else { &mut all.interrupt };
            *set |= 1 << (signal - 1);
        }
        all
    }

    /// What a sleep from now on shall go by, and for how long: the look of just before, or a new one, which is good
    /// for all of it.
    fn recent() -> (Self, Option<Duration>) {
        let now = clock::now();
        let age = Duration::from_nanos(now.saturating_sub(LAST.at.load(Ordering::Relaxed)));
        if let Some(left) = LOOK_EVERY.checked_sub(age) {
            let restart = LAST.restart.load(Ordering::Relaxed);
            let interrupt = LAST.interrupt.load(Ordering::Relaxed);
            return (Self { restart, interrupt }, Some(left));
        }
        let all = Self::look();
        LAST.restart.store(all.restart, Ordering::Relaxed);
        LAST.interrupt.store(all.interrupt, Ordering::Relaxed);
        LAST.at.store(now, Ordering::Relaxed);
        (all, None)
    }

    /// Which of them a sleep must not be interrupted by.
    const fn to_hold_back(self) -> Signals {
        if self.interrupt == 0 { 0 } else { self.restart }
    }
}

/// Sleeps as a blocking call would until the kernel reports one of `fds`; `false` when `left` is over. With
/// `restarts` a signal whose handler restarts calls is answered as if something were reported; without, every
/// signal interrupts, as the kernel has it for a socket with a timeout (signal(7)). The sleep may be in two parts: when the
/// numbers in `fds` are no more the `same` then, as another thread closed some, it is answered as if something were
/// reported.
pub(crate) fn sleep(
    fds: &mut SmallVec<[pollfd; 4]>,
    left: Option<Duration>,
    restarts: bool,
    same: impl FnOnce() -> bool,
) -> Result<bool, Errno> {
    if !restarts {
        return raw::ppoll(fds, left, SignalMask::NONE).map(|count| count > 0);
    }
    let (handlers, good_for) = Handlers::recent();
    let Some(first) = good_for.filter(|&first| left.is_none_or(|left| first < left)) else {
        return sleep_by(handlers, fds, left);
    };
    // What the program did since that look, perhaps for this very call, counts from the next one on.
    if sleep_by(handlers, fds, Some(first))? || !same() {
        return Ok(true);
    }
    let (handlers, _) = Handlers::recent();
    sleep_by(handlers, fds, left.map(|left| left.saturating_sub(first)))
}

/// Sleeps as [`sleep`] does in a program that had these handlers.
fn sleep_by(
    before: Handlers,
    fds: &mut SmallVec<[pollfd; 4]>,
    left: Option<Duration>,
) -> Result<bool, Errno> {
    let held = Held::new(before);
    if let Some(held) = &held {
        let number = held.watcher.number.number();
        fds.push(pollfd { fd: number, events: libc::POLLIN, revents: 0 });
    }
    let polled = raw::ppoll(fds, left, SignalMask::NONE);
    let came = held.is_some() && fds.pop().is_some_and(|watched| watched.revents != 0);
    if came && polled == Ok(1) {
        let goes_on = held.is_some_and(Held::waiting_restarts);
        // What was handled now may have changed what is handled how.
        LAST.forget();
        return if goes_on { Ok(true) } else { Err(Errno::INTR) };
    }
    if polled == Err(Errno::INTR) {
        let kept_out = mask_with(libc::SIG_BLOCK, 0).unwrap_or(0);
        drop(held);
        // One that ran may be there no more (`SA_RESETHAND`), until the program puts it back; another one may have
        // been put there during the sleep.
        let suspects = (before.interrupt | Handlers::look().interrupt) & !kept_out;
        LAST.forget();
        return if suspects == 0 { Ok(true) } else { Err(Errno::INTR) };
    }
    polled.map(|count| count > 0)
}

/// The signals that a sleep holds back: blocked, until it is dropped and they are handled.
struct Held {
    /// What the thread had blocked before.
    before: Signals,
    signals: Signals,
    watcher: Arc<Watcher>,
}

impl Held {
    /// What a sleep from now on must hold back; `None` for nothing, or when no descriptor is left.
    fn new(handlers: Handlers) -> Option<Self> {
        let all = handlers.to_hold_back();
        if all == 0 {
            return None;
        }
        let before = mask_with(libc::SIG_BLOCK, all).ok()?;
        // What the thread has blocked itself stays where it is.
        let signals = all & !before;
        let watcher = if signals == 0 { None } else { Watcher::of(signals).ok() };
        if watcher.is_none() {
            let _ = mask_with(libc::SIG_SETMASK, before);
        }
        watcher.map(|watcher| Self { before, signals, watcher })
    }

    /// Whether the handler of the signal that waits, which is run now, restarts calls.
    fn waiting_restarts(self) -> bool {
        let waiting = pending().unwrap_or(0) & self.signals;
        // The kernel handles the lowest first.
        let first = waiting.trailing_zeros() + 1;
        let action = c_int::try_from(first).ok().and_then(action);
        // Another thread may have taken it.
        action.is_none_or(|action| action.restarts())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Cannot fail for a mask that was there.
        let _ = mask_with(libc::SIG_SETMASK, self.before);
    }
}

/// Reports signals that wait for the thread that asks, and leaves them where they are.
struct Watcher {
    signals: Signals,
    number: Hidden,
}

/// All that there are. Threads mostly have the same signals blocked, and share one.
static WATCHERS: SpinLock<Vec<Arc<Watcher>>> = SpinLock::new(Vec::new());

/// How many there are before those that nobody sleeps with are let go.
const MANY: usize = 8;

impl Watcher {
    fn of(signals: Signals) -> Result<Arc<Self>, Errno> {
        let known = WATCHERS.lock().iter().find(|it| it.signals == signals).map(Arc::clone);
        if let Some(known) = known {
            return Ok(known);
        }
        let made = signal_descriptor(signals)?;
        let fresh = Arc::new(Self { signals, number: Hidden::duplicate(made.as_fd())? });
        // What a `vfork` child opens is not its parent's.
        if !process::borrows_memory() {
            let mut all = WATCHERS.lock();
            if all.len() >= MANY {
                all.retain(|it| Arc::strong_count(it) > 1);
            }
            all.push(Arc::clone(&fresh));
        }
        Ok(fresh)
    }
}

/// The program is about to use the number `target`, which may be a watcher's.
pub(crate) fn make_way(target: c_int) -> Option<Result<(), Errno>> {
    let watchers = WATCHERS.lock();
    watchers.iter().find(|it| it.number.number() == target).map(|it| it.number.move_away())
}

/// `struct sigaction` of the kernel.
#[repr(C)]
#[derive(Default)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: Signals,
}

impl Action {
    const fn restarts(&self) -> bool {
        self.flags & libc::SA_RESTART as usize != 0
    }
}

fn action(signal: c_int) -> Option<Action> {
    let mut action = Action::default();
    let arguments = [raw::number(signal), 0, (&raw mut action) as usize, MASK_BYTES, 0, 0];
    // SAFETY: `action` is writable and as the kernel wants it; nothing is changed.
    let result = unsafe { raw::kernel(libc::SYS_rt_sigaction, arguments) };
    result.ok().map(|_| action)
}

/// Changes what the calling thread has blocked; answers what it had before.
fn mask_with(how: c_int, signals: Signals) -> Result<Signals, Errno> {
    let mut before: Signals = 0;
    let (new, old) = ((&raw const signals) as usize, (&raw mut before) as usize);
    let arguments = [raw::number(how), new, old, MASK_BYTES, 0, 0];
    // SAFETY: one mask to read and one to write, of that length.
    unsafe { raw::kernel(libc::SYS_rt_sigprocmask, arguments) }.map(|_| before)
}

/// The blocked signals that wait for the calling thread.
fn pending() -> Result<Signals, Errno> {
    let mut waiting: Signals = 0;
    let arguments = [(&raw mut waiting) as usize, MASK_BYTES, 0, 0, 0, 0];
    // SAFETY: a mask to write, of that length.
    unsafe { raw::kernel(libc::SYS_rt_sigpending, arguments) }.map(|_| waiting)
}

fn signal_descriptor(signals: Signals) -> Result<OwnedFd, Errno> {
    let flags = raw::number(libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
    let arguments = [raw::number(-1), (&raw const signals) as usize, MASK_BYTES, flags, 0, 0];
    // SAFETY: the mask is readable and of that length.
    let made = unsafe { raw::kernel(libc::SYS_signalfd4, arguments) }?;
    let made = c_int::try_from(made).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel just made it, for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

#[cfg(test)]
mod tests {
    use core::ptr;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn only_handlers_that_differ_are_held_back() {
        let restart = 1 << (libc::SIGUSR1 - 1);
        let interrupt = 1 << (libc::SIGUSR2 - 1);
        let held = |restart, interrupt| Handlers { restart, interrupt }.to_hold_back();
        assert_eq!(held(restart, 0), 0);
        assert_eq!(held(0, interrupt), 0);
        assert_eq!(held(restart, interrupt), restart);
    }

    /// Also when the file that has the number now never has anything.
    #[test]
    fn a_number_that_is_somebody_elses_is_slept_for_no_longer() {
        let (near, _far) = rustix::pipe::pipe().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // There was a look this very moment, and so there is another one during the sleep.
            LAST.at.store(u64::MAX, Ordering::Relaxed);
            let near = rustix::fd::AsRawFd::as_raw_fd(&near);
            let fd = pollfd { fd: near, events: libc::POLLIN, revents: 0 };
            let _ = tell.send(sleep(&mut SmallVec::from_slice(&[fd]), None, true, || false));
        });
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(Ok(true)));
    }

    #[test]
    fn a_watcher_tells_of_a_blocked_signal_and_moves_away() {
        let signals = 1 << (libc::SIGURG - 1);
        // SAFETY: changes the mask of this thread, which is the test's own.
        unsafe {
            let mut set: libc::sigset_t = core::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGURG);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
        }
        assert_eq!(mask_with(libc::SIG_BLOCK, 0).map(|it| it & signals), Ok(signals));
        let watcher = Watcher::of(signals).expect("descriptors are left");
        let tells = || {
            let fd = raw::borrow(watcher.number.number());
            let mut fds = [PollFd::new(&fd, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1)
        };
        assert!(!tells());
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        // SAFETY: a signal that the thread has blocked.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGURG) };
        assert!(tells() && tells(), "it stays where it is");
        assert_eq!(pending().map(|it| it & signals), Ok(signals));
        // Another thread with another mask has one, too; both are somebody's.
        let other = Watcher::of(signals << 1).expect("descriptors are left");
        let again = Watcher::of(signals).expect("it is there");
        assert!(!Arc::ptr_eq(&watcher, &other) && Arc::ptr_eq(&watcher, &again));
        for it in [&watcher, &other] {
            let number = it.number.number();
            assert_eq!(make_way(number), Some(Ok(())));
            assert!(it.number.number() != number);
        }
        assert!(tells());
    }
}
