//! Where buffers probably are before their descriptors are read.

use super::{Regions, Segment};

/// Owners use their buffers in order, so the next one is as far from the last as that is from the one before. The
/// processor can then fetch a frame's bytes together with its descriptor and not after it; a wrong guess does no harm.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Guess {
    region: u16,
    last: u32,
    step: u32,
}

impl Guess {
    /// Takes note of a buffer in use.
    #[inline]
    pub(super) fn learn(&mut self, segment: &Segment) {
        self.step = segment.offset.wrapping_sub(self.last);
        self.region = segment.region;
        self.last = segment.offset;
    }

    /// Has the next buffer fetched for reading.
    #[inline]
    pub(super) fn fetch(self, regions: &Regions) {
        if let Some(mapping) = regions.get(usize::from(self.region)) {
            mapping.prefetch(self.last.wrapping_add(self.step) as usize);
        }
    }

    /// Has the buffer `slots` after the last one fetched for writing.
    #[inline]
    pub(super) fn fetch_for_writing(self, regions: &Regions, slots: u16) {
        if let Some(mapping) = regions.get(usize::from(self.region)) {
            let ahead = self.step.wrapping_mul(slots.into());
            mapping.prefetch_write(self.last.wrapping_add(ahead) as usize);
        }
    }
}
