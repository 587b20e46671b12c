//! What a caller sees of the engine's state.

use std::net::IpAddr;
use std::time::Duration;

use crate::vxlan::{Peer, Vni, VtepAddress};
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
    /// The veth pair.
    Veth,
    /// A network stack of this process.
    Stack,
    /// A memif client.
    Memif,
    /// The front end of a vhost-user device.
    Vhost,
    /// Another host, by VXLAN.
    Vxlan,
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

/// The vhost-user device of a port, with the queues that its front end enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VhostStatus {
    /// Queues from the front end, queues to it.
    pub queues: (u16, u16),
    /// Entries of each ring.
    pub ring_size: u32,
}

impl VhostStatus {
    pub(crate) fn of(queues: &vhost_user_net::Queues) -> Self {
        let count = |queues: usize| u16::try_from(queues).unwrap_or(u16::MAX);
        let received = queues.rx.first().map(vhost_user_net::RxQueue::ring_size);
        let sent = queues.tx.first().map(vhost_user_net::TxQueue::ring_size);
        Self {
            queues: (count(queues.rx.len()), count(queues.tx.len())),
            ring_size: received.or(sent).unwrap_or(0).into(),
        }
    }
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
    /// The vhost-user device, while a front end has enabled queues.
    pub vhost: Option<VhostStatus>,
    /// Name of the TAP, when there is one.
    pub tap: Option<String>,
    /// Name of the host's end of the veth pair, when there is one.
    pub veth: Option<String>,
    /// The other host, when it leads to one.
    pub peer: Option<Peer>,
    /// Its counters.
    pub counters: PortCounters,
}

/// A segment on several hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VxlanStatus {
    /// Its identifier.
    pub vni: Vni,
    /// Where its datagrams come in.
    pub local: VtepAddress,
    /// The other hosts, by address.
    pub peers: Vec<VxlanPeer>,
    /// Addresses of this host that were named as peers.
    pub own: Vec<IpAddr>,
    /// Frames of this segment that belong to no peer.
    pub unclaimed: PortCounters,
    /// Datagrams at the local address that belong to no segment; its bytes are those of datagrams.
    pub socket: PortCounters,
}

/// Another host of a segment. Receive is what came from it, transmit what went to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VxlanPeer {
    /// Its port of the domain.
    pub port: PortId,
    /// Who it is.
    pub peer: Peer,
    /// Its counters; lengths are those of frames, without what VXLAN adds.
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
