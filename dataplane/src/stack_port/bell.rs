//! Waking the other side, if it sleeps.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::event::EventfdFlags;
use shm::signal::{self, MASK_INTERRUPT, Word};

/// One side rings it after it has put something into a queue; the other side arms it before it sleeps.
#[derive(Debug)]
pub(super) struct Bell {
    /// Counts the rings.
    index: LocalWord,
    flags: LocalWord,
    fd: Arc<OwnedFd>,
}

impl Bell {
    /// A bell whose owner is awake. Several bells may share a descriptor.
    pub(super) fn new(fd: Arc<OwnedFd>) -> Self {
        Self {
            index: LocalWord(AtomicU16::new(0)),
            flags: LocalWord(AtomicU16::new(MASK_INTERRUPT)),
            fd,
        }
    }

    /// Sender, after it filled a queue: wakes the owner if it sleeps. One thread rings.
    #[inline]
    pub(super) fn ring(&self) {
        let next = self.index.load_relaxed().wrapping_add(1);
        if signal::publish(&self.index, &self.flags, next) {
            // It fails only when the counter is full, and then the descriptor is readable.
            let _ = rustix::io::write(&*self.fd, &1u64.to_ne_bytes());
        }
    }

    /// Owner: what to pass to [`Bell::arm`], taken before the queue is seen empty.
    pub(super) fn seen(&self) -> u16 {
        self.index.load_acquire()
    }

    /// Owner: asks to be woken; `false` when it rang since `seen`, and the owner must not sleep.
    pub(super) fn arm(&self, seen: u16) -> bool {
        signal::arm(&self.index, &self.flags, seen)
    }

    /// Owner: awake again.
    pub(super) fn disarm(&self) {
        signal::disarm(&self.flags);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The descriptor of one or more bells.
pub(super) fn descriptor() -> rustix::io::Result<Arc<OwnedFd>> {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Arc::new)
}

/// A word of this process.
#[derive(Debug)]
struct LocalWord(AtomicU16);

impl Word for LocalWord {
    fn load_acquire(&self) -> u16 {
        self.0.load(Ordering::Acquire)
    }

    fn load_relaxed(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }

    fn store_release(&self, value: u16) {
        self.0.store(value, Ordering::Release);
    }

    fn store_relaxed(&self, value: u16) {
        self.0.store(value, Ordering::Relaxed);
    }
}
