//! The shared memory of a session, version 1. All numbers are of the host's byte order.
//!
//! A memory has room for one session or for several, which lie behind each other as if each had a memory
//! of its own ([`Place`]). Of each:
//!
//! ```text
//! 0      header: magic u64, version u32, ring size u32
//! 0x100  direction first -> second: five lines of 64 bytes
//! 0x400  direction second -> first: the same
//! 4096   ring first -> second
//! +size  ring second -> first
//! ```
//!
//! A direction has one line for each thing that one side writes alone, so that a write of one side
//! never takes a line from the other that it does not have to read:
//!
//! ```text
//! +0    writer: bytes written so far u64 (the tail), end of stream u32, and how long packets to it may be u32,
//!       see `datagram::Mtu`; zero: not said
//! +64   reader: bytes read so far u64 (the head), closed u32 (see `Closed`), will u32: not zero when
//!       the reader's going away, however it comes to pass, shall be a reset; left u32: not zero
//!       when a process of the reader closed its last descriptor
//! +128  reader armed u32: set by the reader, cleared by the writer
//! +192  writer armed u32: set by the writer, cleared by the reader
//! +256  writer: tokens sent u64, datagrams dropped for want of room u64; for people who look
//! ```

use shm::Mapping;

/// First word of the memory: `dvppsess`.
pub const MAGIC: u64 = u64::from_le_bytes(*b"dvppsess");

/// Version of this layout.
pub const VERSION: u32 = 1;

/// Bytes before the rings.
pub const HEADER_BYTES: usize = 4096;

/// Bounds of a ring's size in bytes; sizes are powers of two.
pub const RING_BYTES: core::ops::RangeInclusive<u32> = 4096..=16 << 20;

/// Which of the two sides of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that connected.
    First,
    /// The one that accepted.
    Second,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A ring size that the layout allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingSize(u32);

impl RingSize {
    /// Of a new session: two rings of this size stay in a second-level cache of 1 MiB.
    pub const DEFAULT: Self = Self(256 << 10);

    /// `bytes`, if it is a power of two within [`RING_BYTES`].
    pub fn new(bytes: u32) -> Option<Self> {
        (bytes.is_power_of_two() && RING_BYTES.contains(&bytes)).then_some(Self(bytes))
    }

    /// The size in bytes.
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }

    /// The size in bytes, as in the messages of the broker.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Bytes of the whole shared memory.
    pub const fn memory_bytes(self) -> usize {
        HEADER_BYTES + 2 * self.bytes()
    }
}

/// Where a session is in its memory: one of equally long places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    ring_size: RingSize,
    index: u16,
    count: u16,
}

impl Place {
    /// Places that one memory can have.
    pub const MOST: u16 = 64;

    /// Place `index` of `count`, if the memory can have so many.
    pub fn new(ring_size: RingSize, index: u16, count: u16) -> Option<Self> {
        (index < count && count <= Self::MOST).then_some(Self { ring_size, index, count })
    }

    /// Size of the session's rings.
    pub const fn ring_size(self) -> RingSize {
        self.ring_size
    }

    /// Which place it is.
    pub const fn index(self) -> u16 {
        self.index
    }

    /// How many places the memory has.
    pub const fn count(self) -> u16 {
        self.count
    }

    /// Bytes of the memory in front of it.
    pub const fn offset(self) -> usize {
        self.index as usize * self.ring_size.memory_bytes()
    }

    /// Bytes of the whole memory.
    pub const fn memory_bytes(self) -> usize {
        self.count as usize * self.ring_size.memory_bytes()
    }
}

/// A memory of its own.
impl From<RingSize> for Place {
    fn from(ring_size: RingSize) -> Self {
        Self { ring_size, index: 0, count: 1 }
    }
}

/// Writes the header of fresh, zeroed memory; the maker of the memory does this before it hands it
/// out. `None` when the memory is too short.
pub fn initialise(mapping: &Mapping, size: RingSize) -> Option<()> {
    if mapping.len() < size.memory_bytes() {
        return None;
    }
    mapping.write(0, &header(size)).ok()
}

/// What [`initialise`] writes to the start of the memory.
fn header(size: RingSize) -> [u8; 16] {
    let mut header = [0; 16];
    header[..8].copy_from_slice(&MAGIC.to_ne_bytes());
    header[8..12].copy_from_slice(&VERSION.to_ne_bytes());
    header[12..].copy_from_slice(&size.get().to_ne_bytes());
    header
}

/// Bytes of a place that are not those of the rings and that anybody uses.
#[cfg(feature = "broker")]
pub(crate) const USED_HEADER_BYTES: usize = 0x580;

/// What a place starts with for a new session, whatever was there, for makers that do not map it: until
/// the acceptor has it, its going away is a reset; it says so itself from then on.
#[cfg(feature = "broker")]
pub(crate) fn fresh(size: RingSize) -> [u8; USED_HEADER_BYTES] {
    let mut bytes = [0; USED_HEADER_BYTES];
    bytes[..16].copy_from_slice(&header(size));
    let will = Direction::from(Side::First, size.into()).will();
    bytes[will..will + 4].copy_from_slice(&1_u32.to_ne_bytes());
    bytes
}

/// Where the parts of one direction are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Direction {
    block: usize,
    ring: usize,
}

impl Direction {
    /// The direction in which `side` writes.
    pub(crate) const fn from(side: Side, place: Place) -> Self {
        let (block, ring) = match side {
            Side::First => (0x100, HEADER_BYTES),
            Side::Second => (0x400, HEADER_BYTES + place.ring_size().bytes()),
        };
        Self { block: place.offset() + block, ring: place.offset() + ring }
    }

    pub(crate) const fn ring(self) -> usize {
        self.ring
    }

    pub(crate) const fn tail(self) -> usize {
        self.block
    }

    pub(crate) const fn end_of_stream(self) -> usize {
        self.block + 8
    }

    pub(crate) const fn mtu(self) -> usize {
        self.block + 12
    }

    pub(crate) const fn head(self) -> usize {
        self.block + 64
    }

    pub(crate) const fn closed(self) -> usize {
        self.block + 72
    }

    pub(crate) const fn will(self) -> usize {
        self.block + 76
    }

    pub(crate) const fn left(self) -> usize {
        self.block + 80
    }

    pub(crate) const fn reader_armed(self) -> usize {
        self.block + 128
    }

    pub(crate) const fn writer_armed(self) -> usize {
        self.block + 192
    }

    pub(crate) const fn tokens(self) -> usize {
        self.block + 256
    }

    pub(crate) const fn dropped(self) -> usize {
        self.block + 264
    }
}

/// What the header says of one direction, for people who look at a session from outside. Claims of
/// the two sides, not facts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Glance {
    /// Bytes written so far.
    pub written: u64,
    /// Bytes read so far.
    pub read: u64,
    /// The writer ended the stream.
    pub ended: bool,
    /// The reader is gone.
    pub closed: bool,
    /// Wake-up tokens that the writer sent.
    pub tokens: u64,
    /// A process of the reader closed its last descriptor.
    pub left: bool,
    /// Datagrams for which the writer found no room.
    pub dropped: u64,
}

/// Reads both directions, as written by the first and by the second side, out of the first
/// [`HEADER_BYTES`] of the memory; `None` when that is not a session's memory.
pub fn glance(header: &[u8; HEADER_BYTES]) -> Option<[Glance; 2]> {
    let u64_at = |at: usize| u64::from_ne_bytes(*header[at..].first_chunk().unwrap_or(&[0; 8]));
    let u32_at = |at: usize| u32::from_ne_bytes(*header[at..].first_chunk().unwrap_or(&[0; 4]));
    if u64_at(0) != MAGIC || u32_at(8) != VERSION {
        return None;
    }
    Some([Side::First, Side::Second].map(|side| {
        let direction = Direction::from(side, RingSize::DEFAULT.into());
        Glance {
            written: u64_at(direction.tail()),
            read: u64_at(direction.head()),
            ended: u32_at(direction.end_of_stream()) != 0,
            closed: u32_at(direction.closed()) != 0,
            tokens: u64_at(direction.tokens()),
            left: u32_at(direction.left()) != 0,
            dropped: u64_at(direction.dropped()),
        }
    }))
}
