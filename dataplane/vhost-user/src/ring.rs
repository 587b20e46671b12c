//! A split ring at its places in the front end's memory (virtio 1.2, section 2.7).

use shm::signal;
use shm::{Cells, Mapping, OutOfBounds, SharedU16};

use crate::memory::MemoryTable;

/// The largest ring (virtio 1.2, 2.7).
pub(crate) const MAX_RING: u32 = 32_768;

/// Bytes in front of the entries of the available and of the used ring: flags and index.
const RING_HEAD: usize = 4;
/// Bytes of an entry of the available ring: a descriptor's number.
const AVAILABLE_ENTRY: usize = 2;
/// Bytes of an entry of the used ring: a descriptor's number and a length.
const USED_ENTRY: usize = 8;
/// Bytes behind the entries: the place at which the other side is to be woken.
const EVENT: usize = 2;

/// Where a ring is, as addresses in the front end's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingAddresses {
    /// The table of descriptors.
    pub descriptors: u64,
    /// The ring of buffers that the front end offers.
    pub available: u64,
    /// The ring of buffers that are given back.
    pub used: u64,
}

/// Why a ring cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// Its size is no power of two, or too large.
    #[error("a ring of {0} entries; it must be a power of two up to {MAX_RING}")]
    Size(u32),
    /// A part of it is not inside one region of the memory, or not aligned.
    #[error("the {part} of a ring is not inside the memory: {source}")]
    Place {
        /// Which part.
        part: &'static str,
        /// What does not fit.
        source: OutOfBounds,
    },
}

/// A used buffer: its first descriptor's number, and the bytes written into it.
pub(crate) type Used = [u8; USED_ENTRY];

/// What goes into the used ring for a buffer.
#[inline]
pub(crate) fn used(head: u16, written: u32) -> Used {
    (u64::from(head) | u64::from(written) << 32).to_le_bytes()
}

/// A ring.
#[derive(Debug)]
pub(crate) struct SplitRing {
    size: u16,
    pub(crate) descriptors: Cells,
    available: Entries,
    used: Entries,
    available_index: SharedU16,
    used_index: SharedU16,
    waking: Waking,
}

/// Entries of a ring.
#[derive(Debug)]
struct Entries {
    mapping: Mapping,
    first: usize,
}

/// How the two sides say that they want to be woken.
#[derive(Debug)]
enum Waking {
    /// A flag each.
    Flags { ours: SharedU16, theirs: SharedU16 },
    /// A place in the ring each (`VIRTIO_F_EVENT_IDX`).
    Places { ours: SharedU16, theirs: SharedU16 },
}

impl SplitRing {
    /// The ring of `size` entries at `addresses`.
    ///
    /// # Errors
    /// [`RingError`].
    pub(crate) fn at(
        memory: &MemoryTable,
        addresses: RingAddresses,
        size: u32,
        named_events: bool,
    ) -> Result<Self, RingError> {
        let entries = check_size(size)?;
        let count = usize::from(entries);
        let descriptors = locate(memory, "descriptor table", addresses.descriptors, count * 16)?;
        let available_len = RING_HEAD + count * AVAILABLE_ENTRY + EVENT;
        let available = locate(memory, "available ring", addresses.available, available_len)?;
        let used_len = RING_HEAD + count * USED_ENTRY + EVENT;
        let used = locate(memory, "used ring", addresses.used, used_len)?;
        let word = |part, (mapping, offset): (&Mapping, usize), at: usize| {
            SharedU16::new(mapping, offset + at).map_err(|source| RingError::Place { part, source })
        };
        let waking = if named_events {
            Waking::Places {
                ours: word("used ring", used, used_len - EVENT)?,
                theirs: word("available ring", available, available_len - EVENT)?,
            }
        } else {
            Waking::Flags {
                ours: word("used ring", used, 0)?,
                theirs: word("available ring", available, 0)?,
            }
        };
        Ok(Self {
            size: entries,
            descriptors: Cells::new(descriptors.0, descriptors.1, count)
                .map_err(|source| RingError::Place { part: "descriptor table", source })?,
            available_index: word("available ring", available, 2)?,
            used_index: word("used ring", used, 2)?,
            available: Entries { mapping: available.0.clone(), first: available.1 + RING_HEAD },
            used: Entries { mapping: used.0.clone(), first: used.1 + RING_HEAD },
            waking,
        })
    }

    #[inline]
    pub(crate) fn size(&self) -> u16 {
        self.size
    }

    /// The front end's index: what it offers is before it.
    #[inline]
    pub(crate) fn available(&self) -> u16 {
        self.available_index.load_acquire()
    }

    /// This end's own index, as it stands in the memory.
    pub(crate) fn used_index(&self) -> u16 {
        self.used_index.load_acquire()
    }

    /// The number of the first descriptor of the buffer that was offered at `index`: a claim.
    #[inline]
    pub(crate) fn head(&self, index: u16) -> u16 {
        let slot = usize::from(index & (self.size - 1));
        let bytes =
            self.available.mapping.read_array(self.available.first + slot * AVAILABLE_ENTRY);
        // The place was checked when the ring was made; no table has as many descriptors.
        bytes.map_or(u16::MAX, u16::from_le_bytes)
    }

    /// Writes used buffers from `index` on; they are seen after [`SplitRing::publish`].
    #[inline]
    pub(crate) fn write_used(&self, index: u16, buffers: &[Used]) {
        for (at, buffer) in (index..=u16::MAX).chain(0..=u16::MAX).zip(buffers) {
            let slot = usize::from(at & (self.size - 1));
            // The place was checked when the ring was made.
            let _ = self.used.mapping.write(self.used.first + slot * USED_ENTRY, buffer);
        }
    }

    /// Publishes the used buffers from `old` to `new`; says whether the front end wants to be woken.
    #[inline]
    pub(crate) fn publish(&self, old: u16, new: u16) -> bool {
        match &self.waking {
            Waking::Flags { theirs, .. } => signal::publish(&self.used_index, theirs, new),
            Waking::Places { theirs, .. } => {
                signal::publish_past(&self.used_index, theirs, old, new)
            }
        }
    }

    /// Asks to be woken for the next offered buffer; `false` when there is one beyond `seen` already.
    pub(crate) fn arm(&self, seen: u16) -> bool {
        match &self.waking {
            Waking::Flags { ours, .. } => signal::arm(&self.available_index, ours, seen),
            Waking::Places { ours, .. } => signal::arm_at(&self.available_index, ours, seen),
        }
    }

    /// Says that this end polls. A named place stays behind, and wakes it once in 65,536 buffers.
    pub(crate) fn disarm(&self, seen: u16) {
        match &self.waking {
            Waking::Flags { ours, .. } => signal::disarm(ours),
            Waking::Places { ours, .. } => ours.store_relaxed(seen.wrapping_sub(1)),
        }
    }
}

fn check_size(size: u32) -> Result<u16, RingError> {
    let fits = size.is_power_of_two() && size <= MAX_RING;
    u16::try_from(size).ok().filter(|_| fits).ok_or(RingError::Size(size))
}

fn locate<'a>(
    memory: &'a MemoryTable,
    part: &'static str,
    address: u64,
    length: usize,
) -> Result<(&'a Mapping, usize), RingError> {
    memory.locate_user(address, length).map_err(|source| RingError::Place { part, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_no_ring_has_are_refused() {
        for size in [0, 3, 65_536, u32::MAX] {
            assert_eq!(check_size(size), Err(RingError::Size(size)));
        }
        assert_eq!(check_size(1), Ok(1));
        assert_eq!(check_size(32_768), Ok(32_768));
    }

    #[test]
    fn a_ring_that_is_not_inside_the_memory_is_refused() {
        let mapping = Mapping::heap(4096);
        let memory = MemoryTable::of(&mapping, 0, 0x1000);
        let good = RingAddresses { descriptors: 0x1000, available: 0x1100, used: 0x1200 };
        assert!(SplitRing::at(&memory, good, 16, true).is_ok());
        for bad in [
            RingAddresses { descriptors: 0x1f10, ..good },
            RingAddresses { descriptors: 0x1004, ..good },
            RingAddresses { available: 0x1101, ..good },
            RingAddresses { available: 0x1ff0, ..good },
            RingAddresses { used: 0x1f7c, ..good },
            RingAddresses { used: u64::MAX, ..good },
        ] {
            let refused = SplitRing::at(&memory, bad, 16, true);
            assert!(matches!(refused, Err(RingError::Place { .. })), "{bad:?}");
        }
    }
}
