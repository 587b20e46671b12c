//! The data path: one type to send, one to receive, the same on both ends of a link.
//!
//! Both cache the peer's index and reload it only when the cached one does not suffice, publish once
//! per batch, and treat everything that the peer wrote as a claim: an index may not run ahead of
//! what the ring holds, a descriptor is loaded once and checked as a private copy.

mod frame;
mod guess;
mod posted;
mod rx;
mod state;
#[cfg(test)]
mod tests;
mod tx;

use std::sync::Arc;

use shm::Mapping;

pub use frame::{Frame, Frames};
pub use rx::{Armed, RxBatch, RxQueue};
pub use shm::Payload;
pub use state::{LinkState, RingFault};
pub use tx::{TxError, TxQueue};

/// Descriptors of one frame at most: the longest IP packet with its Ethernet header and a tag, in buffers of 2048 bytes,
/// which VPP and DPDK have unless they are told otherwise. VPP sends such frames, as a kernel gave it segments to be cut.
pub const MAX_SEGMENTS: usize = (65_535_usize + 18).div_ceil(2048);

/// The regions of a link, by index.
pub(crate) type Regions = Arc<[Mapping]>;

/// A buffer that was checked to lie inside its region.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Segment {
    pub(crate) region: u16,
    /// Further segments of the same frame follow.
    pub(crate) chained: bool,
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// Where a client's buffers are: slot `i` of a ring always uses the same one, so what the peer
/// writes into the descriptor's offset is never needed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnBuffers {
    pub(crate) base: u32,
    pub(crate) stride: u32,
    pub(crate) capacity: u32,
    pub(crate) mask: u16,
}

impl OwnBuffers {
    #[inline]
    pub(crate) fn offset(self, slot: u16) -> u32 {
        self.base + u32::from(slot & self.mask) * self.stride
    }
}

/// Who owns the buffers, which decides who writes `head` and who `tail`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    /// This end: it writes `head`.
    Client(OwnBuffers),
    /// The peer: this end writes `tail`.
    Server,
}

/// Checks that the link is up and its memory is still there.
#[inline]
pub(crate) fn check_alive(state: &LinkState, regions: &[Mapping]) -> Result<(), RingFault> {
    if !state.is_open() {
        return Err(RingFault::Disconnected);
    }
    if regions.iter().any(Mapping::is_lost) {
        return Err(RingFault::MemoryLost);
    }
    Ok(())
}

/// Checks that a buffer lies inside its region.
#[inline]
pub(crate) fn check_range(
    regions: &[Mapping],
    region: u16,
    offset: u32,
    length: u32,
) -> Result<(), RingFault> {
    let mapping = regions.get(usize::from(region)).ok_or(RingFault::BadRegion(region))?;
    if offset as usize + length as usize > mapping.len() {
        return Err(RingFault::OutOfRegion { offset, length });
    }
    Ok(())
}
