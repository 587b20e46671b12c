//! A buffer's descriptors, each read once.

use crate::memory::{MemoryTable, Place};
use crate::ring::SplitRing;
use crate::state::QueueFault;
use virtio_bindings::virtio_ring::{VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};

/// Descriptors of one buffer at most: a frame of 64 KiB in pieces of 4 KiB, cut at both ends, with a header
/// of its own, is far below.
pub(crate) const MAX_PIECES: usize = 64;

/// Bytes of a descriptor.
const DESCRIPTOR: usize = 16;

/// Who reads a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// This end: it holds a frame.
    FromFrontEnd,
    /// The front end: it is to be filled.
    ToFrontEnd,
}

/// A descriptor (virtio 1.2, 2.7.5), as a private copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Descriptor {
    address: u64,
    length: u32,
    flags: u32,
    next: u16,
}

impl Descriptor {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the parts of a word")]
    fn decode([address, rest]: [u64; 2]) -> Self {
        Self {
            address: u64::from_le(address),
            length: u64::from_le(rest) as u32,
            flags: u32::from((u64::from_le(rest) >> 32) as u16),
            next: (u64::from_le(rest) >> 48) as u16,
        }
    }

    #[inline]
    fn has(self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// Where descriptors are read from.
#[derive(Clone, Copy)]
enum Table {
    Ring,
    /// A table in a buffer, of so many entries.
    Indirect {
        place: Place,
        entries: u16,
    },
}

/// Adds the pieces of the buffer that begins with descriptor `head` to `pieces`; returns their bytes.
///
/// # Errors
/// [`QueueFault`]; some pieces may have been added.
#[inline]
pub(crate) fn collect(
    ring: &SplitRing,
    memory: &MemoryTable,
    hint: &mut u16,
    head: u16,
    direction: Direction,
    pieces: &mut Vec<Place>,
) -> Result<usize, QueueFault> {
    let (mut table, mut index) = (Table::Ring, head);
    let mut total = 0usize;
    for _ in 0..MAX_PIECES {
        let descriptor = load(ring, memory, table, index)?;
        if descriptor.has(VRING_DESC_F_INDIRECT) {
            table = open(memory, hint, table, descriptor)?;
            index = 0;
            continue;
        }
        let writable = descriptor.has(VRING_DESC_F_WRITE);
        if writable != (direction == Direction::ToFrontEnd) {
            return Err(QueueFault::WrongDirection);
        }
        total += descriptor.length as usize;
        place(memory, hint, descriptor, pieces)?;
        if !descriptor.has(VRING_DESC_F_NEXT) {
            return Ok(total);
        }
        index = descriptor.next;
    }
    Err(QueueFault::LongChain(MAX_PIECES))
}

#[inline]
fn load(
    ring: &SplitRing,
    memory: &MemoryTable,
    table: Table,
    index: u16,
) -> Result<Descriptor, QueueFault> {
    match table {
        Table::Ring if index < ring.size() => Ok(Descriptor::decode(ring.descriptors.load(index))),
        Table::Ring => Err(QueueFault::BadIndex { index, size: ring.size() }),
        Table::Indirect { place, entries } if index < entries => {
            let at = place.offset + usize::from(index) * DESCRIPTOR;
            // The whole table was found inside its region when it was opened.
            let bytes: [u8; DESCRIPTOR] =
                memory.mapping(place.region).read_array(at).map_err(|_| QueueFault::MemoryLost)?;
            let (low, high) = bytes.split_at(8);
            let word = |half: &[u8]| half.try_into().map_or(0, u64::from_ne_bytes);
            Ok(Descriptor::decode([word(low), word(high)]))
        }
        Table::Indirect { entries, .. } => Err(QueueFault::BadIndex { index, size: entries }),
    }
}

/// Goes on in a table of indirect descriptors (virtio 1.2, 2.7.5.3): of the ring's own table only, and as
/// the last of its chain.
fn open(
    memory: &MemoryTable,
    hint: &mut u16,
    table: Table,
    descriptor: Descriptor,
) -> Result<Table, QueueFault> {
    let Descriptor { address, length, .. } = descriptor;
    let entries = u16::try_from(length as usize / DESCRIPTOR).unwrap_or(0);
    let whole = (length as usize).is_multiple_of(DESCRIPTOR) && entries > 0;
    if !whole || matches!(table, Table::Indirect { .. }) || descriptor.has(VRING_DESC_F_NEXT) {
        return Err(QueueFault::BadTable(length));
    }
    match memory.locate(address, length, hint) {
        Some(place) if place.length == length => Ok(Table::Indirect { place, entries }),
        _ => Err(QueueFault::OutOfMemory { address, length }),
    }
}

/// Adds the pieces of one descriptor: several, where it goes on in the next region.
#[inline]
fn place(
    memory: &MemoryTable,
    hint: &mut u16,
    descriptor: Descriptor,
    pieces: &mut Vec<Place>,
) -> Result<(), QueueFault> {
    let Descriptor { mut address, mut length, .. } = descriptor;
    let outside = QueueFault::OutOfMemory { address, length };
    while length > 0 {
        let place = memory.locate(address, length, hint).ok_or(outside)?;
        pieces.push(place);
        length -= place.length;
        if length > 0 {
            address = address.checked_add(u64::from(place.length)).ok_or(outside)?;
        }
    }
    Ok(())
}
