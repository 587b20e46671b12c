//! Locks that are held for a few instructions, and that a forked child can break.

#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::process;

/// A spin lock. After a fork its holder may be a thread that the child does not have; the lock
/// remembers in which process it was taken, and a child takes over what its parent held.
pub(crate) struct SpinLock<T> {
    holder: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached through a guard, and one guard exists at a time.
unsafe impl<T: Send> Sync for SpinLock<T> {}
// SAFETY: a lock is its value and a number.
unsafe impl<T: Send> Send for SpinLock<T> {}

/// Spins before the processor is given away.
const PATIENCE: u32 = 200;

impl<T> SpinLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { holder: AtomicU32::new(0), value: UnsafeCell::new(value) }
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        // Memory of this process alone: another holder is a thread of the parent, copied by the fork.
        acquire(&self.holder, |_| true);
        Guard { lock: self }
    }

    /// The value, for whoever owns the lock.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// Takes a lock word in the name of this process; `abandoned` tells whether a holder can no longer
/// give it back.
fn acquire(word: &AtomicU32, abandoned: impl Fn(u32) -> bool) {
    let me = process::id();
    let mut spins = 0;
    loop {
        let Err(holder) = word.compare_exchange_weak(0, me, Ordering::Acquire, Ordering::Relaxed)
        else {
            return;
        };
        core::hint::spin_loop();
        spins += 1;
        if spins % PATIENCE != 0 {
            continue;
        }
        rustix::thread::sched_yield();
        if holder != 0
            && holder != me
            && abandoned(holder)
            && word.compare_exchange(holder, me, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            return;
        }
    }
}

/// Gives a lock word back.
pub(crate) fn release(word: &AtomicU32) {
    word.store(0, Ordering::Release);
}

pub(crate) struct Guard<'a, T> {
    lock: &'a SpinLock<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard has the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has the lock, and is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        release(&self.lock.holder);
    }
}

/// Holds a lock word of a [`session::Local`] for one direction of a session.
pub(crate) struct Turn<'a>(&'a AtomicU32);

impl<'a> Turn<'a> {
    pub(crate) fn take(word: &'a AtomicU32) -> Self {
        acquire(word, process::is_gone);
        Self(word)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        release(self.0);
    }
}
