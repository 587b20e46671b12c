//! Whether a call that a signal interrupted goes on.
//!
//! The kernel restarts a blocked `send` when the signal's handler was installed with `SA_RESTART`. It
//! never restarts `poll`, which is how a sender sleeps here, and does not tell which signal it was.
//! So the handlers that the program has are looked at; only when some restart and some do not is
//! the answer unknown, and then a sender sleeps in the kernel's own `send` from there on.

#![allow(unsafe_code)]

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};

/// What the program's handlers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handlers {
    /// All of them restart calls, or there are none.
    Restart,
    /// None of them does.
    Interrupt,
    /// It depends on the signal.
    Differ,
}

/// Some handlers restart and some do not: seen once, this stays.
static DIFFER: AtomicBool = AtomicBool::new(false);

/// Whether a sleep must be the kernel's own.
pub(crate) fn differ() -> bool {
    DIFFER.load(Ordering::Relaxed)
}

/// `struct sigaction` of the kernel.
#[repr(C)]
#[derive(Default)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

/// Signals of a fault of the program itself, which cannot come while it sleeps. Runtimes handle them
/// without `SA_RESTART`, which says nothing of the others.
const FAULTS: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];

/// Looks at all handlers: 64 system calls, which is nothing beside a signal.
pub(crate) fn handlers() -> Handlers {
    let (mut restart, mut interrupt) = (false, false);
    for signal in (1..=64).filter(|signal| !FAULTS.contains(signal)) {
        let Some(action) = action(signal) else { continue };
        if action.handler == libc::SIG_DFL || action.handler == libc::SIG_IGN {
            continue;
        }
        if action.flags & libc::SA_RESTART as usize != 0 {
            restart = true;
        } else {
            interrupt = true;
        }
    }
    match (restart, interrupt) {
        (_, false) => Handlers::Restart,
        (false, true) => Handlers::Interrupt,
        (true, true) => {
            DIFFER.store(true, Ordering::Relaxed);
            Handlers::Differ
        }
    }
}

fn action(signal: c_int) -> Option<Action> {
    let mut action = Action::default();
    let mask_bytes = size_of::<u64>();
    // SAFETY: `action` is writable and as the kernel wants it; nothing is changed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            core::ptr::null::<Action>(),
            &raw mut action,
            mask_bytes,
        )
    };
    (result == 0).then_some(action)
}
