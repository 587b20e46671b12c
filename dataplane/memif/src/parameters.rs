//! Sizes, ids and limits as types that cannot be wrong.

/// Which end of a link this is. On the wire the client is the *slave*: it connects and owns the
/// memory; the server is the *master*: it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Connects and owns the memory.
    Client,
    /// Listens.
    Server,
}

impl Role {
    /// The other end.
    #[must_use]
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What a frame starts with. Values as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// An Ethernet header.
    #[default]
    Ethernet,
    /// An IPv4 or IPv6 header.
    Ip,
}

/// Which of the interfaces behind one listening socket is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct InterfaceId(u32);

impl InterfaceId {
    /// The interface numbered `id`.
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The number, as on the wire.
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl std::fmt::Display for InterfaceId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Slots of a ring: a power of two from 2 to 16,384.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RingSize(u8);

impl RingSize {
    /// The largest that peers agree on: 16,384 slots.
    pub const MAX: Self = Self(14);

    /// 2^`log2` slots; `None` unless `log2` is in 1..=14.
    pub const fn from_log2(log2: u8) -> Option<Self> {
        if log2 >= 1 && log2 <= 14 { Some(Self(log2)) } else { None }
    }

    /// The logarithm, as on the wire.
    pub const fn log2(self) -> u8 {
        self.0
    }

    /// The number of slots.
    pub const fn slots(self) -> u16 {
        1 << self.0
    }
}

impl Default for RingSize {
    /// 1024 slots, as VPP and DPDK.
    fn default() -> Self {
        Self(10)
    }
}

/// Capacity of one buffer in bytes, 64..=65,535 (a peer may keep only 16 bits of a length).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferSize(u16);

impl BufferSize {
    /// A buffer of `bytes`; `None` below 64.
    pub const fn new(bytes: u16) -> Option<Self> {
        if bytes >= 64 { Some(Self(bytes)) } else { None }
    }

    /// The capacity in bytes.
    pub const fn bytes(self) -> u16 {
        self.0
    }
}

impl Default for BufferSize {
    /// 2048 bytes, as VPP and DPDK.
    fn default() -> Self {
        Self(2048)
    }
}

/// What a server demands of the memory that a client hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RegionPolicy {
    /// Every region is sealed against shrinking, so the client cannot take pages away.
    #[default]
    Sealed,
    /// Only the region that holds the rings must be sealed: for zero-copy VPP and DPDK clients,
    /// whose buffer pools are not.
    Trusted,
}

/// What a server accepts from one client, checked before any memory is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Regions per link.
    pub regions: u16,
    /// Rings in each direction.
    pub rings: u16,
    /// Largest region in bytes.
    pub region_bytes: u64,
    /// All regions of a link together, in bytes.
    pub total_bytes: u64,
}

impl Default for Limits {
    /// 8 regions of at most 1 GiB, 2 GiB together, and 16 rings in each direction.
    fn default() -> Self {
        Self { regions: 8, rings: 16, region_bytes: 1 << 30, total_bytes: 2 << 30 }
    }
}

/// A region as announced by the client; `F` is the descriptor (an `OwnedFd`, or a number in tests).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionSpec<F> {
    /// Its size in bytes.
    pub size: u64,
    /// Its memory.
    pub fd: F,
}

/// A ring as announced by the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingSpec<F> {
    /// The region that holds it.
    pub region: u16,
    /// Where in the region its header starts, in bytes.
    pub offset: u32,
    /// Its slots.
    pub size: RingSize,
    /// Bytes of private header in each buffer; 0 with every known peer.
    pub private_header_size: u16,
    /// The eventfd that its sender writes and its receiver reads.
    pub interrupt: F,
}

/// All that a client shares with its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSpec<F> {
    /// Regions by index.
    pub regions: Vec<RegionSpec<F>>,
    /// Rings from client to server.
    pub client_to_server: Vec<RingSpec<F>>,
    /// Rings from server to client.
    pub server_to_client: Vec<RingSpec<F>>,
}

impl<F> Default for SharedSpec<F> {
    /// Nothing yet.
    fn default() -> Self {
        Self { regions: Vec::new(), client_to_server: Vec::new(), server_to_client: Vec::new() }
    }
}
