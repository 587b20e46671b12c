//! Words and cells at fixed places of a mapping. Each keeps the mapping alive, so it stays valid
//! after the link that it belonged to is gone.

#![allow(unsafe_code)]

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::mapping::place;
use crate::signal::Word;
use crate::{Mapping, OutOfBounds};

macro_rules! shared_word {
    ($(#[$doc:meta])* $name:ident, $atomic:ty, $value:ty) => {
        $(#[$doc])*
        pub struct $name {
            word: NonNull<$value>,
            _mapping: Mapping,
        }

        // SAFETY: the word is only reached through an atomic, and `_mapping` keeps it mapped.
        unsafe impl Send for $name {}
        // SAFETY: as for `Send`.
        unsafe impl Sync for $name {}

        impl $name {
            /// The word at `offset`.
            ///
            /// # Errors
            /// [`OutOfBounds`] when it is not inside the mapping or not aligned.
            pub fn new(mapping: &Mapping, offset: usize) -> Result<Self, OutOfBounds> {
                let word = place::<$value>(mapping, offset, size_of::<$value>())?;
                Ok(Self { word, _mapping: mapping.clone() })
            }

            #[inline]
            fn atomic(&self) -> &$atomic {
                // SAFETY: `place` checked bounds and alignment, `_mapping` keeps the memory, and
                // nothing in this process accesses it otherwise than atomically.
                unsafe { <$atomic>::from_ptr(self.word.as_ptr()) }
            }

            /// Loads the value without ordering anything.
            #[inline]
            pub fn load_relaxed(&self) -> $value {
                self.atomic().load(Ordering::Relaxed)
            }

            /// Loads the value; what the peer wrote before storing it is visible afterwards.
            #[inline]
            pub fn load_acquire(&self) -> $value {
                self.atomic().load(Ordering::Acquire)
            }

            /// Stores the value without ordering anything.
            #[inline]
            pub fn store_relaxed(&self, value: $value) {
                self.atomic().store(value, Ordering::Relaxed);
            }

            /// Stores the value after everything that this thread wrote before.
            #[inline]
            pub fn store_release(&self, value: $value) {
                self.atomic().store(value, Ordering::Release);
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.load_relaxed()).finish()
            }
        }
    };
}

shared_word!(
    /// A 16-bit word shared with another process.
    SharedU16,
    AtomicU16,
    u16
);
shared_word!(
    /// A 32-bit word shared with another process.
    SharedU32,
    AtomicU32,
    u32
);

impl Word for SharedU16 {
    fn load_acquire(&self) -> u16 {
        Self::load_acquire(self)
    }

    fn load_relaxed(&self) -> u16 {
        Self::load_relaxed(self)
    }

    fn store_release(&self, value: u16) {
        Self::store_release(self, value);
    }

    fn store_relaxed(&self, value: u16) {
        Self::store_relaxed(self, value);
    }
}

/// A table of 16-byte cells, a power of two of them, shared with another process. A cell is loaded
/// or stored as two 64-bit words; order between cells and words comes from an index word.
pub struct Cells {
    first: NonNull<u64>,
    mask: usize,
    _mapping: Mapping,
}

// SAFETY: cells are only reached through atomics, and `_mapping` keeps them mapped.
unsafe impl Send for Cells {}
// SAFETY: as for `Send`.
unsafe impl Sync for Cells {}

impl Cells {
    /// `count` cells at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`] when they are not inside the mapping, not aligned to 8 bytes, or not a power
    /// of two.
    pub fn new(mapping: &Mapping, offset: usize, count: usize) -> Result<Self, OutOfBounds> {
        let len = count.saturating_mul(16);
        let first = place::<u64>(mapping, offset, len)?;
        if !count.is_power_of_two() {
            return Err(OutOfBounds { offset, len, size: mapping.len() });
        }
        Ok(Self { first, mask: count - 1, _mapping: mapping.clone() })
    }

    /// The two words of cell `index` modulo the count.
    #[inline]
    pub fn load(&self, index: u16) -> [u64; 2] {
        let (low, high) = self.words(index);
        [low.load(Ordering::Relaxed), high.load(Ordering::Relaxed)]
    }

    /// Replaces both words of cell `index` modulo the count.
    #[inline]
    pub fn store(&self, index: u16, words: [u64; 2]) {
        let (low, high) = self.words(index);
        low.store(words[0], Ordering::Relaxed);
        high.store(words[1], Ordering::Relaxed);
    }

    /// Replaces the first word of cell `index` modulo the count.
    #[inline]
    pub fn store_low(&self, index: u16, word: u64) {
        self.words(index).0.store(word, Ordering::Relaxed);
    }

    /// Asks the processor to fetch the cache line of cell `index` modulo the count for writing.
    #[inline]
    pub fn prefetch_write(&self, index: u16) {
        crate::copy::prefetch_write(core::ptr::from_ref(self.words(index).0).cast());
    }

    #[inline]
    fn words(&self, index: u16) -> (&AtomicU64, &AtomicU64) {
        let at = (usize::from(index) & self.mask) * 2;
        // SAFETY: `at + 1 < 2 * count`, which `new` checked to lie inside the mapping, aligned;
        // `_mapping` keeps it mapped, and it is accessed atomically only.
        unsafe {
            let low = self.first.as_ptr().add(at);
            (AtomicU64::from_ptr(low), AtomicU64::from_ptr(low.add(1)))
        }
    }
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").field("count", &(self.mask + 1)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_checked_for_place_and_alignment() {
        let mapping = Mapping::heap(128);
        assert!(SharedU16::new(&mapping, 126).is_ok());
        assert!(SharedU16::new(&mapping, 127).is_err());
        assert!(SharedU16::new(&mapping, 128).is_err());
        assert!(SharedU32::new(&mapping, 2).is_err());
    }

    #[test]
    fn cells_wrap_and_stay_inside() {
        let mapping = Mapping::heap(64);
        assert!(Cells::new(&mapping, 0, 3).is_err());
        assert!(Cells::new(&mapping, 8, 4).is_err());
        assert!(Cells::new(&mapping, 0, 0).is_err());
        let cells = Cells::new(&mapping, 0, 4).expect("fits");
        cells.store(6, [1, 2]);
        assert_eq!(cells.load(2), [1, 2]);
        cells.store_low(2, 9);
        assert_eq!(cells.load(u16::MAX - 1), [9, 2]);
    }

    #[test]
    fn a_word_outlives_the_mapping_it_was_made_from() {
        let mapping = Mapping::heap(64);
        let word = SharedU16::new(&mapping, 6).expect("fits");
        drop(mapping);
        word.store_release(7);
        assert_eq!(word.load_acquire(), 7);
    }

    #[test]
    fn payload_written_before_the_index_is_seen_after_it() {
        let mapping = Mapping::heap(4096);
        let index = SharedU16::new(&mapping, 0).expect("fits");
        let writer = std::thread::spawn({
            let mapping = mapping.clone();
            move || {
                let index = SharedU16::new(&mapping, 0).expect("fits");
                mapping.write(64, &[7; 200]).expect("fits");
                index.store_release(1);
            }
        });
        while index.load_acquire() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(mapping.read_array::<200>(64).expect("fits"), [7; 200]);
        writer.join().expect("the writer does not panic");
    }
}
