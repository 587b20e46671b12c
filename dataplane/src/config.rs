//! What a caller says when it creates a domain, a port or the engine itself.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::vxlan::VxlanConfig;
use crate::{DataplaneError, MacAddr, PortPolicy};

/// How the worker threads behave.
#[derive(Debug, Clone, Copy)]
pub struct WorkerConfig {
    /// Worker threads; a bridge domain lives on exactly one. At least 1.
    pub workers: usize,
    /// How long a worker keeps polling after its last frame before it sleeps in the kernel.
    pub spin: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self { workers: 1, spin: Duration::from_micros(50) }
    }
}

/// A bridge domain: one L2 segment.
#[derive(Debug, Clone)]
pub struct DomainConfig {
    /// Name for logs, counters and captures.
    pub name: String,
    /// Largest L3 payload of a frame, in bytes: an Ethernet frame may be 14 (18 with a VLAN tag)
    /// bytes longer. 576..=65521.
    pub mtu: u32,
    /// Ports exchange frames with the gateway only, not with each other (split horizon).
    pub isolation: bool,
    /// The gateway (BVI) of the domain; `None` for a segment without one.
    pub gateway: Option<GatewayConfig>,
    /// Unicast addresses learnt on one port before further ones are flooded but not learnt.
    pub learn_limit_per_port: usize,
    /// A learnt address is forgotten when no frame came from it for this long.
    pub fdb_ageing: Duration,
    /// Broadcast, unknown-unicast and multicast frames that one port may flood per second;
    /// 0 means no limit.
    pub bum_limit: u32,
    /// The segment goes on behind other hosts.
    pub vxlan: Option<VxlanConfig>,
}

impl DomainConfig {
    /// A domain with the defaults of the product: MTU 1500, ageing 300 s, 1024 addresses per port
    /// and 10,000 flooded frames per second and port.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            mtu: 1500,
            isolation: false,
            gateway: None,
            learn_limit_per_port: 1024,
            fdb_ageing: Duration::from_mins(5),
            bum_limit: 10_000,
            vxlan: None,
        }
    }
}

impl DomainConfig {
    pub(crate) fn check(&self) -> Result<(), DataplaneError> {
        if !(576..=65_521).contains(&self.mtu) {
            return Err(DataplaneError::BadConfig {
                what: "the MTU",
                expected: "576 to 65521 bytes",
                found: self.mtu.to_string(),
            });
        }
        match &self.gateway {
            Some(gateway) if !gateway.mac.is_unicast() => Err(DataplaneError::BadConfig {
                what: "the address of the gateway",
                expected: "a unicast address",
                found: gateway.mac.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

/// The gateway of a domain: an address that answers ARP, neighbour discovery and ping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// The IPv4 addresses that it answers for.
    pub ipv4: Vec<Ipv4Addr>,
    /// The IPv6 addresses that it answers for; the link-local address derived from `mac` is
    /// answered as well.
    pub ipv6: Vec<Ipv6Addr>,
}

/// One port of a domain: an endpoint's place in the bridge.
#[derive(Debug, Clone)]
pub struct PortConfig {
    /// Name for logs, counters and captures.
    pub name: String,
    /// The endpoint's own address: pinned in the FDB, never learnt elsewhere. `None` for a port
    /// that only learns.
    pub mac: Option<MacAddr>,
    /// The way to a gateway that is a station of its own: exchanges frames with every endpoint, also in a
    /// domain that isolates its ports, and with no other host.
    pub open: bool,
    /// Its memif client may pass on TCP segments that are longer than the MTU, to be cut, whose checksums nobody has
    /// completed and nobody can check: VPP does with what a kernel gave it so. Only for who is trusted like the kernel.
    pub uncut: bool,
    /// What its devices may send.
    pub policy: PortPolicy,
}

impl PortConfig {
    /// A port that may be isolated, and may send what it likes.
    pub fn new(name: impl Into<String>, mac: Option<MacAddr>) -> Self {
        Self { name: name.into(), mac, open: false, uncut: false, policy: PortPolicy::default() }
    }
}

/// How the engine, as memif server, treats the clients of one port.
#[derive(Debug, Clone)]
pub struct MemifConfig {
    /// Name announced to the peer, at most 31 bytes.
    pub name: String,
    /// Interface id that the client must name.
    pub id: u32,
    /// Secret that the client must send, at most 24 bytes; `None` accepts any.
    pub secret: Option<String>,
    /// Largest number of queues in each direction. 1..=16.
    pub max_queues: u16,
    /// Accept regions that the peer could truncate (`Trusted`); containers get `false`.
    pub trust_regions: bool,
}

impl Default for MemifConfig {
    fn default() -> Self {
        Self {
            name: "dockervpp".to_owned(),
            id: 0,
            secret: None,
            max_queues: 8,
            trust_regions: false,
        }
    }
}

/// How the engine, as vhost-user back end, treats the front ends of one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VhostConfig {
    /// Name for the log.
    pub name: String,
    /// Largest number of queues in each direction. 1..=16.
    pub max_queues: u16,
    /// Memory that a front end may share, in bytes.
    pub memory_limit: u64,
}

impl Default for VhostConfig {
    fn default() -> Self {
        Self { name: "dockervpp".to_owned(), max_queues: 8, memory_limit: 4 << 30 }
    }
}
