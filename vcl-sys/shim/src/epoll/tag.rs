//! How registrations of ours are told from those of the program in what the kernel reports.

use core::sync::atomic::{AtomicU32, Ordering};

use rustix::rand::GetRandomFlags;

const INDEX_BITS: u32 = 20;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;

/// Upper half of every tag; zero until the first one is made. What programs store there (pointers,
/// descriptors, small numbers) is very unlikely to be the same random number.
static MAGIC: AtomicU32 = AtomicU32::new(0);

/// Names a place in a set of registrations, and which registration it was that had the place then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Tag {
    /// Registrations that one set can have.
    pub(super) const LIMIT: u32 = INDEX_MASK;

    /// Wakes who sleeps, and means nothing else.
    pub(super) const WAKE: Self = Self { index: INDEX_MASK, generation: 0 };

    /// The data of an event.
    pub(super) fn to_data(self) -> u64 {
        let low = self.generation << INDEX_BITS | self.index & INDEX_MASK;
        u64::from(magic()) << 32 | u64::from(low)
    }

    /// The reverse; `None` for the program's own data.
    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn from_data(data: u64) -> Option<Self> {
        let magic = MAGIC.load(Ordering::Relaxed);
        if magic == 0 || (data >> 32) as u32 != magic {
            return None;
        }
        let low = data as u32;
        Some(Self { index: low & INDEX_MASK, generation: low >> INDEX_BITS })
    }

    /// The generation that follows.
    pub(super) const fn next(generation: u32) -> u32 {
        (generation + 1) & (u32::MAX >> INDEX_BITS)
    }
}

fn magic() -> u32 {
    let magic = MAGIC.load(Ordering::Relaxed);
    if magic != 0 {
        return magic;
    }
    let mut bytes = [0u8; 4];
    if rustix::rand::getrandom(&mut bytes, GetRandomFlags::NONBLOCK).is_err() {
        // Early in the life of a machine; the address space is placed at random, too.
        let somewhere = ((&raw const MAGIC) as usize >> 12).to_ne_bytes();
        bytes = *somewhere.first_chunk().unwrap_or(&[0x5a; 4]);
    }
    // Addresses of programs have zeros on top, those of the kernel ones.
    let fresh = u32::from_ne_bytes(bytes) & 0x3fff_ffff | 0x4000_0000;
    match MAGIC.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => fresh,
        Err(other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_the_kernel_and_other_data_is_none() {
        let tag = Tag { index: 77, generation: Tag::next(4094) };
        assert_eq!(Tag::from_data(tag.to_data()), Some(tag));
        assert_eq!(Tag::next(4095), 0);
        for data in [0, 5, u64::MAX, 0x7f12_3456_7890, 0xffff_8880_0000_0000] {
            assert_eq!(Tag::from_data(data), None);
        }
    }
}
