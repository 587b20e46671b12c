//! Whether a link is up, and what ended it.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a link is up; shared by the link and its queues.
#[derive(Debug)]
pub struct LinkState {
    open: AtomicBool,
}

impl LinkState {
    pub(crate) fn new() -> Self {
        Self { open: AtomicBool::new(true) }
    }

    /// Marks the link as down; its queues return [`RingFault::Disconnected`] from now on. Their
    /// memory stays mapped until the last queue is dropped.
    pub fn close(&self) {
        self.open.store(false, Ordering::Relaxed);
    }

    /// Whether the link is still up.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }
}

/// What the peer did wrong, or that it is gone. After any of these but `Disconnected` the caller
/// should end the link: a peer that breaks the rules once cannot be talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingFault {
    /// The link is down.
    #[error("the link is down")]
    Disconnected,
    /// The memory is gone: the peer truncated it, or no page could be had.
    #[error("the shared memory was taken away")]
    MemoryLost,
    /// The peer's index claims more than the ring holds.
    #[error("the peer's index claims {claimed} slots of a ring of {size}")]
    IndexOverrun {
        /// Slots that the index claims.
        claimed: u16,
        /// Slots of the ring.
        size: u16,
    },
    /// A descriptor names a region that does not exist.
    #[error("a descriptor names region {0}, which does not exist")]
    BadRegion(u16),
    /// A descriptor's range is not inside its region.
    #[error("a descriptor's {length} bytes at {offset} are outside its region")]
    OutOfRegion {
        /// The claimed offset.
        offset: u32,
        /// The claimed length.
        length: u32,
    },
    /// A descriptor has no bytes.
    #[error("a descriptor of no bytes")]
    EmptyDescriptor,
    /// A length is above the buffer that was posted.
    #[error("a descriptor of {length} bytes in a buffer of {capacity}")]
    Oversize {
        /// The claimed length.
        length: u32,
        /// Capacity of the buffer.
        capacity: u32,
    },
    /// A frame has more descriptors than [`MAX_SEGMENTS`](crate::queue::MAX_SEGMENTS).
    #[error("a frame of more than {} descriptors", crate::queue::MAX_SEGMENTS)]
    LongChain,
    /// The ring is full of a frame that does not end.
    #[error("a chain that fills the whole ring without an end")]
    EndlessChain,
}
