//! What a side keeps to itself.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::copying::Copying;

/// The own positions of one side of a session, and the locks of its two directions.
///
/// The peer may scribble over shared memory, so a side never reads its own positions back from it:
/// they are kept here, out of the peer's reach. Processes that inherited a session from each other
/// must share one `Local`; whoever makes sessions that can be inherited places it in memory that
/// such processes share. All zero bytes are a valid fresh `Local`.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Local {
    /// Held by whoever reads: zero, or a number that tells who.
    pub reading: AtomicU32,
    /// Held by whoever writes.
    pub writing: AtomicU32,
    head: AtomicU64,
    tail: AtomicU64,
    peer_head: AtomicU64,
    /// How long copies go into the ring.
    pub(crate) copying: Copying,
}

impl Local {
    /// For a session that moved no byte yet.
    pub const fn new() -> Self {
        Self {
            reading: AtomicU32::new(0),
            writing: AtomicU32::new(0),
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            peer_head: AtomicU64::new(0),
            copying: Copying::new(),
        }
    }

    /// Takes positions over that were read from shared memory: for a side that lost its own.
    pub(crate) fn adopt(&self, head: u64, tail: u64, peer_head: u64) {
        self.set_head(head);
        self.set_tail(tail);
        self.set_peer_head(peer_head);
    }

    pub(crate) fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    pub(crate) fn set_head(&self, head: u64) {
        self.head.store(head, Ordering::Relaxed);
    }

    pub(crate) fn tail(&self) -> u64 {
        self.tail.load(Ordering::Relaxed)
    }

    pub(crate) fn set_tail(&self, tail: u64) {
        self.tail.store(tail, Ordering::Relaxed);
    }

    pub(crate) fn peer_head(&self) -> u64 {
        self.peer_head.load(Ordering::Relaxed)
    }

    pub(crate) fn set_peer_head(&self, head: u64) {
        self.peer_head.store(head, Ordering::Relaxed);
    }
}
