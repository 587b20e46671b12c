//! Whether a connection is up, and what ended it.

use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::Shutdown;

/// Whether a connection is up; shared by its queues and whoever speaks on its socket.
#[derive(Debug)]
pub struct LinkState {
    open: AtomicBool,
    fault: OnceLock<QueueFault>,
    /// Shut down with the connection, which wakes whoever reads it.
    socket: Option<OwnedFd>,
}

impl LinkState {
    pub(crate) fn new(socket: Option<OwnedFd>) -> Self {
        Self { open: AtomicBool::new(true), fault: OnceLock::new(), socket }
    }

    /// Marks the connection as down; its queues answer [`QueueFault::Disconnected`] from now on. Their
    /// memory stays mapped until the last queue is dropped.
    pub fn close(&self) {
        self.open.store(false, Ordering::Relaxed);
    }

    /// Ends the connection because the front end broke a rule. Does not wait.
    pub fn fail(&self, fault: QueueFault) {
        // Only the first one counts.
        let _ = self.fault.set(fault);
        self.close();
        if let Some(socket) = &self.socket {
            // A front end that is gone has ended it by itself.
            let _ = rustix::net::shutdown(socket, Shutdown::Both);
        }
    }

    /// What the front end did wrong, if it did.
    pub fn fault(&self) -> Option<QueueFault> {
        self.fault.get().copied()
    }

    /// Whether the connection is still up.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }
}

/// What the front end did wrong, or that it is gone. After any of these but `Disconnected` the connection
/// is to be ended: a front end that breaks the rules once cannot be talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueFault {
    /// The connection is down.
    #[error("the connection is down")]
    Disconnected,
    /// The memory is gone: the front end truncated it, or no page could be had.
    #[error("the shared memory was taken away")]
    MemoryLost,
    /// The front end's index claims more than the ring holds.
    #[error("the ring's index claims {claimed} buffers in a ring of {size}")]
    IndexOverrun {
        /// Buffers that the index claims.
        claimed: u16,
        /// Entries of the ring.
        size: u16,
    },
    /// A descriptor's number is not in its table.
    #[error("descriptor {index} of a table of {size}")]
    BadIndex {
        /// The claimed number.
        index: u16,
        /// Entries of the table.
        size: u16,
    },
    /// A buffer is not inside the memory.
    #[error("a buffer of {length} bytes at {address:#x} is outside the memory")]
    OutOfMemory {
        /// The claimed address.
        address: u64,
        /// The claimed length.
        length: u32,
    },
    /// A table of indirect descriptors has an impossible length, or is inside another.
    #[error("a table of indirect descriptors of {0} bytes, or inside another")]
    BadTable(u32),
    /// A chain has more descriptors than any frame needs, or is a loop.
    #[error("a chain of more than {0} descriptors")]
    LongChain(usize),
    /// A buffer of a frame is to be written, or one to be filled is to be read.
    #[error("a buffer of the wrong direction")]
    WrongDirection,
    /// A chain is shorter than the header in front of each frame.
    #[error("a chain of {0} bytes, shorter than the virtio-net header")]
    ShortChain(usize),
    /// A frame is longer than any may be.
    #[error("a frame of {0} bytes")]
    LongFrame(usize),
}
