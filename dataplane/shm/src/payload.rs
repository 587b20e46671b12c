//! Bytes on their way into shared memory.

use crate::Mapping;

/// Bytes that can be copied into shared memory in pieces.
pub trait Payload {
    /// All bytes together.
    fn payload_len(&self) -> usize;

    /// Copies `length` bytes from `offset` on to `target_offset` of `target`. Both ranges are
    /// inside.
    fn copy_part(&self, offset: usize, target: &Mapping, target_offset: usize, length: usize);
}

impl Payload for [u8] {
    #[inline]
    fn payload_len(&self) -> usize {
        self.len()
    }

    #[inline]
    fn copy_part(&self, offset: usize, target: &Mapping, target_offset: usize, length: usize) {
        // The queue checked the target; the source range is inside by contract.
        let _ = target.write(target_offset, &self[offset..offset + length]);
    }
}
