//! What of VPP is this agent's: the same description for what should be there and for what is. Pure.
//!
//! Objects are named by their tags; the numbers that VPP gives them are not part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use dataplane::MacAddr;
use ipnet::IpNet;

use super::tag::{Subject, Tag};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Of an address.
    pub(super) fn of(net: &IpNet) -> Self {
        match net {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }

    /// Whether it is IPv6, as VPP's messages say it.
    pub(super) fn is_ipv6(self) -> bool {
        self == Self::V6
    }
}

/// A FIB table: one of each family for a network, or for an endpoint in VPP's host stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Table {
    /// The network, or the endpoint's host.
    pub(super) network: Tag,
    /// The family.
    pub(super) family: Family,
}

/// A loopback that is the BVI of its bridge domain: the gateway of a network, or the host of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bvi {
    /// Its Ethernet address.
    pub(super) mac: MacAddr,
    /// Largest packet in bytes.
    pub(super) mtu: u32,
    /// Its addresses are in its tables of these families.
    pub(super) tables: BTreeSet<Family>,
    /// Its addresses.
    pub(super) addresses: BTreeSet<IpNet>,
    /// It is the BVI of the bridge domain with its tag.
    pub(super) bridged: bool,
    /// It is administratively up.
    pub(super) up: bool,
    /// What comes from it is translated on its way out.
    pub(super) inside: bool,
}

/// A memif socket as VPP is told: a path, or `abstract:NAME,netns_name=PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SocketFile(pub(super) String);

impl fmt::Display for SocketFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Role {
    /// VPP listens (memif's master).
    Server,
    /// VPP connects (memif's slave).
    Client,
}

/// A port of an endpoint: a memif interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Port {
    /// Its socket.
    pub(super) socket: SocketFile,
    /// VPP's part.
    pub(super) role: Role,
    /// How it is made. VPP does not tell it again, so it is no part of a comparison.
    pub(super) terms: PortTerms,
    /// Where it is bridged.
    pub(super) bridged: Option<Bridged>,
    /// It is administratively up.
    pub(super) up: bool,
}

/// What clients of a port must keep to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PortTerms {
    /// What they must say, at most 24 bytes.
    pub(super) secret: Option<String>,
    /// Queues in each direction at most; 0 leaves it to VPP.
    pub(super) queues: u8,
}

/// The place of a port in a bridge domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bridged {
    /// The network.
    pub(super) network: Tag,
    /// Ports of the same group other than 0 do not exchange frames.
    pub(super) split_horizon: u8,
}

/// A pair of interfaces of which each receives what the other sends: between an endpoint's host and its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pipe {
    /// Where the outer end is bridged.
    pub(super) outer: Option<Bridged>,
    /// The inner end is in the bridge domain of the host.
    pub(super) inner: bool,
    /// Both ends are administratively up.
    pub(super) up: bool,
}

/// An app namespace of VPP's host stack: who attaches at its socket has the addresses of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Namespace {
    /// The path of its socket.
    pub(super) socket: String,
    /// It is of the host's loopback.
    pub(super) bound: bool,
}

/// An address in a network's FDB that does not move.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Pin {
    /// The network.
    pub(super) network: Tag,
    /// The address.
    pub(super) mac: MacAddr,
}

/// Where a published port is reached from outside.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Outside {
    /// One address of the host; none means those of the outside interface.
    pub(super) address: Option<Ipv4Addr>,
    /// The IP protocol: 6 is TCP, 17 UDP.
    pub(super) protocol: u8,
    /// The port.
    pub(super) port: u16,
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.address {
            write!(f, "{address}:")?;
        }
        let name = if self.protocol == UDP { "udp" } else { "tcp" };
        write!(f, "{}/{name}", self.port)
    }
}

/// IP's number for TCP.
pub(super) const TCP: u8 = 6;

/// IP's number for UDP.
pub(super) const UDP: u8 = 17;

/// Where a published port leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inside {
    /// The endpoint's tag for it.
    pub(super) tag: Tag,
    /// The endpoint's network, in whose table the address is.
    pub(super) network: Tag,
    /// The endpoint's address.
    pub(super) address: Ipv4Addr,
    /// The port there.
    pub(super) port: u16,
}

/// All objects of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct State {
    /// Bridge domains.
    pub(super) domains: BTreeSet<Tag>,
    /// FIB tables.
    pub(super) tables: BTreeSet<Table>,
    /// Gateways by network, and hosts of endpoints.
    pub(super) bvis: BTreeMap<Tag, Bvi>,
    /// Memif sockets.
    pub(super) sockets: BTreeSet<SocketFile>,
    /// Ports.
    pub(super) ports: BTreeMap<Tag, Port>,
    /// Pipes by their outer end.
    pub(super) pipes: BTreeMap<Tag, Pipe>,
    /// App namespaces by the host.
    pub(super) namespaces: BTreeMap<Tag, Namespace>,
    /// Where tables of hosts lead by default.
    pub(super) routes: BTreeMap<Table, IpAddr>,
    /// Addresses that do not move, with the port behind them.
    pub(super) pins: BTreeMap<Pin, Tag>,
    /// The operator's outside interface is ready to translate. It is shared with others, so this is never
    /// taken back.
    pub(super) translates: bool,
    /// Networks whose IPv4 table leads out.
    pub(super) ways_out: BTreeSet<Tag>,
    /// Published ports.
    pub(super) published: BTreeMap<Outside, Inside>,
}

impl State {
    /// Takes over from `other` all that is for subjects of `which`, and is not here.
    pub(super) fn keep(&mut self, other: &Self, which: impl Fn(&Subject) -> bool) {
        let wanted = |tag: &Tag| which(&tag.subject());
        self.domains.extend(other.domains.iter().filter(|tag| wanted(tag)).cloned());
        self.tables.extend(other.tables.iter().filter(|table| wanted(&table.network)).cloned());
        for (tag, bvi) in other.bvis.iter().filter(|(tag, _)| wanted(tag)) {
            self.bvis.entry(tag.clone()).or_insert_with(|| bvi.clone());
        }
        for (tag, pipe) in other.pipes.iter().filter(|(tag, _)| wanted(tag)) {
            self.pipes.entry(tag.clone()).or_insert_with(|| pipe.clone());
        }
        for (tag, namespace) in other.namespaces.iter().filter(|(tag, _)| wanted(tag)) {
            self.namespaces.entry(tag.clone()).or_insert_with(|| namespace.clone());
        }
        for (table, hop) in other.routes.iter().filter(|(table, _)| wanted(&table.network)) {
            self.routes.entry(table.clone()).or_insert(*hop);
        }
        for (tag, port) in other.ports.iter().filter(|(tag, _)| wanted(tag)) {
            if !self.ports.contains_key(tag) {
                self.sockets.insert(port.socket.clone());
                self.ports.insert(tag.clone(), port.clone());
            }
        }
        for (pin, port) in other.pins.iter().filter(|(_, port)| wanted(port)) {
            self.pins.entry(pin.clone()).or_insert_with(|| port.clone());
        }
        self.ways_out.extend(other.ways_out.iter().filter(|tag| wanted(tag)).cloned());
        for (outside, inside) in other.published.iter().filter(|(_, it)| wanted(&it.tag)) {
            self.published.entry(outside.clone()).or_insert_with(|| inside.clone());
        }
    }
}
