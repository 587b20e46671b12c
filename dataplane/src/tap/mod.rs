//! TAP devices and their batched I/O.
//!
//! [`TapDevice`] creates a device, or attaches to a persistent one, with one descriptor per queue.
//! A worker owns one [`TapReader`] and one [`TapWriter`] for all the queues that it serves, so buffers
//! are paid per worker and not per device; the writer serves [packet sockets](crate::packet_socket) as well. Both move a batch of frames with one system call through
//! `io_uring`; where that is missing or forbidden they fall back to one call per frame, and
//! [`IoMode`] tells which.
//!
//! No operation outlives the call that started it: every read and write is non-blocking
//! (`RWF_NOWAIT`), so the kernel finishes it at once, and each call waits for all of its completions.
//! Therefore no buffer and no descriptor needs to live longer than the call that lends it.

mod device;
mod reader;
mod ring;
mod writer;

#[cfg(test)]
mod tests;

pub use device::{TapDevice, TapError, TapOffloads, TapOptions};
pub use reader::{Burst, TapReader};
pub use writer::{Outlet, Reservation, TapWriter, WriteError};

use crate::offload::VirtioNetHeader;

/// Bytes of the header in front of each frame: the layout that packet sockets have too.
pub const HEADER_LEN: usize = VirtioNetHeader::SHORT_LEN;

/// Buffer length that takes the largest frame of a TAP: virtio-net header, Ethernet header with a
/// VLAN tag, and an IP packet of 64 KiB that is still to be segmented.
pub const BUFFER_LEN: usize = HEADER_LEN + 18 + 65_536;

/// How frames cross into the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoMode {
    /// A batch per system call.
    IoUring,
    /// A system call per frame.
    Syscall,
}

/// How a reader or writer performs its operations.
#[derive(Debug)]
enum Backend {
    Ring(Box<ring::Ring>),
    /// With the reason why there is no ring; `None` when it was asked for.
    Syscall(Option<std::io::Error>),
}

impl Backend {
    /// `io_uring` when it works here, otherwise system calls.
    fn best(batch: usize) -> Self {
        match ring::Ring::new(batch) {
            Ok(ring) => Self::Ring(Box::new(ring)),
            Err(error) => Self::Syscall(Some(error)),
        }
    }

    fn mode(&self) -> IoMode {
        match self {
            Self::Ring(_) => IoMode::IoUring,
            Self::Syscall(_) => IoMode::Syscall,
        }
    }

    fn fallback_reason(&self) -> Option<&std::io::Error> {
        match self {
            Self::Ring(_) => None,
            Self::Syscall(reason) => reason.as_ref(),
        }
    }
}

/// What became of one operation: bytes moved, or the kernel's error.
type Outcome = Result<usize, rustix::io::Errno>;
