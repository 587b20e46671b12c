//! What a caller sees of the engine's state.

use std::time::Duration;

use crate::{Antispoof, MacAddr, PortCounters};

/// A bridge domain of this engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainId(pub u32);

/// A port of this engine; never used again after its removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u32);

/// Which device owns the endpoint's address now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortOwner {
    /// No device: frames to it are dropped.
    None,
    /// The TAP.
    Tap,
    /// A network stack of this process.
    Stack,
    /// A memif client.
    Memif,
}

/// The memif link of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemifStatus {
    /// What the client calls itself.
    pub peer: String,
    /// Queues from the client, queues to the client.
    pub queues: (u16, u16),
    /// Slots of each ring.
    pub ring_size: u32,
}

/// What a port looks like now.
#[derive(Debug, Clone)]
pub struct PortStatus {
    /// Its id.
    pub id: PortId,
    /// Its domain.
    pub domain: DomainId,
    /// Its name.
    pub name: String,
    /// Its pinned address.
    pub mac: Option<MacAddr>,
    /// What is checked of what its devices send.
    pub antispoof: Antispoof,
    /// The device that owns the address now.
    pub owner: PortOwner,
    /// The memif client, while one is connected.
    pub memif: Option<MemifStatus>,
    /// Name of the TAP, when there is one.
    pub tap: Option<String>,
    /// Its counters.
    pub counters: PortCounters,
}

/// One line of a domain's FDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdbEntry {
    /// The address.
    pub mac: MacAddr,
    /// Where it is; `None` is the gateway.
    pub port: Option<PortId>,
    /// Configured with the port, not learnt.
    pub pinned: bool,
    /// Time since the last frame from it; zero for pinned addresses.
    pub age: Duration,
}
