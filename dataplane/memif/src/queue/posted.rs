//! Descriptors of empty buffers, a cache line at a time.

use crate::descriptor::Descriptor;
use crate::ring::Ring;

/// Descriptors in a cache line.
pub(super) const CELLS_IN_LINE: u16 = 4;

/// The descriptors that a server has loaded and not used yet. The receiver takes a line of them away with each slot that it
/// reads and makes an empty buffer again; who loads all four when it first needs one has to fetch the line once, and
/// what it waits for is never between a frame and its slot again. A slot that was posted does not change until it is used, and
/// each is loaded once: a peer that changes one all the same changes nothing here.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Posted {
    cells: [[u64; 2]; CELLS_IN_LINE as usize],
    /// The first slot that is held.
    first: u16,
    /// How many are.
    count: u16,
}

impl Posted {
    /// The descriptor of `slot`, which is the first of `free` posted ones.
    #[inline]
    pub(super) fn get(&mut self, ring: &Ring, slot: u16, free: u16) -> Descriptor {
        if slot.wrapping_sub(self.first) >= self.count {
            self.load(ring, slot, free);
        }
        Descriptor::decode(self.cells[usize::from(slot % CELLS_IN_LINE)])
    }

    /// Loads the rest of the line that `slot` is in. Not part of its caller, which is part of the loops of those who send, and fast
    /// only as long as it is small.
    #[inline(never)]
    fn load(&mut self, ring: &Ring, slot: u16, free: u16) {
        let in_line = CELLS_IN_LINE - slot % CELLS_IN_LINE;
        self.first = slot;
        self.count = in_line.min(free);
        for i in 0..self.count {
            let slot = slot.wrapping_add(i);
            self.cells[usize::from(slot % CELLS_IN_LINE)] = ring.cells.load(slot);
        }
    }
}
