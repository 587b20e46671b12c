//! From what VPP says that it has to what of it is this agent's. Pure.

mod host;
mod translation;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dataplane::MacAddr;
use ipnet::IpNet;
use vpp_api_client::api::interface::SwInterfaceDetails;
use vpp_api_client::api::interface_types::{IfStatusFlags, IfType, InterfaceIndex};
use vpp_api_client::api::ip::{IpAddressDetails, IpTableDetails};
use vpp_api_client::api::l2::{BridgeDomainDetails, L2FibTableDetails};
use vpp_api_client::api::memif::{MemifDetails, MemifRole, MemifSocketFilenameDetails};

use super::plan::is_own_socket;
use super::state::{Bridged, Bvi, Family, Pin, Port, PortTerms, Role, SocketFile, State, Table};
use super::tag::{Owner, Side, Tag};

pub(super) use self::host::{HostDumps, instances};
pub(super) use self::translation::TranslationDumps;

/// What VPP has, in its own words.
#[derive(Debug, Default)]
pub(super) struct Dumps {
    pub(super) interfaces: Vec<SwInterfaceDetails>,
    pub(super) domains: Vec<BridgeDomainDetails>,
    pub(super) tables: Vec<IpTableDetails>,
    pub(super) memifs: Vec<MemifDetails>,
    pub(super) sockets: Vec<MemifSocketFilenameDetails>,
    /// Of the domains that are this agent's.
    pub(super) fib: Vec<L2FibTableDetails>,
    /// Of the loopbacks that are this agent's.
    pub(super) bvis: BTreeMap<InterfaceIndex, BviDumps>,
    pub(super) translation: TranslationDumps,
    pub(super) hosts: HostDumps,
}

/// What VPP says of a loopback.
#[derive(Debug, Default)]
pub(super) struct BviDumps {
    /// The numbers of its tables; 0 is VPP's own.
    pub(super) tables: BTreeMap<Family, u32>,
    pub(super) addresses: Vec<IpAddressDetails>,
}

/// VPP's numbers for the agent's objects.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers {
    /// Loopbacks, ports, and ends of pipes.
    pub(super) interfaces: BTreeMap<Tag, InterfaceIndex>,
    /// Whole pipes, by their outer end.
    pub(super) pipes: BTreeMap<Tag, InterfaceIndex>,
    /// Instances of pipes that somebody has.
    pub(super) pipe_instances: BTreeSet<u32>,
    /// Bridge domains.
    pub(super) domains: BTreeMap<Tag, u32>,
    /// Tables.
    pub(super) tables: BTreeMap<Table, u32>,
    /// Sockets.
    pub(super) sockets: BTreeMap<SocketFile, u32>,
    /// The operator's outside interface, if one is named and there.
    pub(super) outside: Option<InterfaceIndex>,
}

impl Numbers {
    /// What an interface is for.
    pub(super) fn interface(&self, index: InterfaceIndex) -> Option<&Tag> {
        self.interfaces.iter().find(|(_, found)| **found == index).map(|(tag, _)| tag)
    }
}

/// What of VPP is the agent's.
#[derive(Debug, Clone, Default)]
pub(super) struct Sight {
    pub(super) state: State,
    pub(super) numbers: Numbers,
    /// Ports to which a peer is connected.
    pub(super) connected: BTreeSet<Tag>,
    /// Interfaces that an agent has made and not tagged any more.
    pub(super) adopted: Vec<Tag>,
}

/// How an interface is known that an agent made and then died, before it tagged it.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims {
    /// Ports by their socket.
    pub(super) sockets: BTreeMap<SocketFile, Tag>,
    /// Loopbacks by their address.
    pub(super) macs: BTreeMap<MacAddr, Tag>,
    /// Outer ends of pipes by their instance.
    pub(super) pipes: BTreeMap<u32, Tag>,
}

impl Claims {
    /// What is claimed by who wants `wanted`.
    pub(super) fn of(wanted: &State) -> Self {
        let ports = wanted.ports.iter().map(|(tag, port)| (port.socket.clone(), tag.clone()));
        let bvis = wanted.bvis.iter().map(|(tag, bvi)| (bvi.mac, tag.clone()));
        let pipes = wanted.pipes.keys().map(|tag| (host::instance(tag), tag.clone()));
        Self { sockets: ports.collect(), macs: bvis.collect(), pipes: pipes.collect() }
    }
}

/// Whose objects are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Viewer<'a> {
    pub(super) owner: &'a Owner,
    pub(super) claims: &'a Claims,
    /// Where the agent's own sockets are.
    pub(super) directory: &'a Path,
}

impl Viewer<'_> {
    /// The agent's interfaces among `interfaces`.
    pub(super) fn interfaces(
        &self,
        interfaces: &[SwInterfaceDetails],
        memifs: &[MemifDetails],
        sockets: &[MemifSocketFilenameDetails],
    ) -> BTreeMap<Tag, InterfaceIndex> {
        let of_socket = |index| {
            let memif = memifs.iter().find(|memif| memif.sw_if_index == index)?;
            let file = sockets.iter().find(|file| file.socket_id == memif.socket_id)?;
            self.claims.sockets.get(&SocketFile(file.socket_filename.to_string()))
        };
        let mut found = BTreeMap::new();
        for details in interfaces {
            let tag = match &*details.tag {
                "" if &*details.interface_dev_type == LOOPBACK => {
                    self.claims.macs.get(&MacAddr(details.l2_address.0)).cloned()
                }
                "" if details.type_ == IfType::PIPE => self.end_of_pipe(details, interfaces),
                "" => of_socket(details.sw_if_index).cloned(),
                text => self.owner.read(text),
            };
            if let Some(tag) = tag {
                found.entry(tag).or_insert(details.sw_if_index);
            }
        }
        found
    }

    /// The agent's bridge domains among `domains`.
    pub(super) fn domains(&self, domains: &[BridgeDomainDetails]) -> BTreeMap<Tag, u32> {
        let tagged = domains.iter().filter_map(|it| Some((self.owner.read(&it.bd_tag)?, it.bd_id)));
        tagged.collect()
    }

    /// What of all that is the agent's.
    pub(super) fn sight(&self, dumps: &Dumps) -> Sight {
        let mut sight = Sight::default();
        sight.numbers.interfaces =
            self.interfaces(&dumps.interfaces, &dumps.memifs, &dumps.sockets);
        sight.numbers.domains = self.domains(&dumps.domains);
        sight.state.domains = sight.numbers.domains.keys().cloned().collect();
        for details in &dumps.tables {
            let family = if details.table.is_ip6 { Family::V6 } else { Family::V4 };
            if let Some(network) = self.owner.read(&details.table.name) {
                let table = Table { network, family };
                sight.state.tables.insert(table.clone());
                sight.numbers.tables.insert(table, details.table.table_id);
            }
        }
        for details in &dumps.interfaces {
            let index = details.sw_if_index;
            let Some(tag) = sight.numbers.interface(index).cloned() else { continue };
            let memif = dumps.memifs.iter().find(|memif| memif.sw_if_index == index);
            match (Kind::of(&tag), memif, dumps.bvis.get(&index)) {
                (Kind::Port, Some(memif), _) => sight.add_port(&tag, details, memif, dumps),
                (Kind::Bvi, None, Some(bvi)) => sight.add_bvi(&tag, details, bvi, dumps),
                (Kind::Pipe, None, None) if details.type_ == IfType::PIPE => {}
                // A tag of ours on what we never make: not ours.
                _ => {
                    sight.numbers.interfaces.remove(&tag);
                    continue;
                }
            }
            if details.tag.is_empty() {
                sight.adopted.push(tag);
            }
        }
        sight.add_pipes(dumps);
        self.add_sockets(&mut sight, dumps);
        sight.add_pins(&dumps.fib);
        sight.add_translation(self, &dumps.translation);
        sight.add_hosts(self, dumps);
        sight
    }

    fn add_sockets(&self, sight: &mut Sight, dumps: &Dumps) {
        for details in &dumps.sockets {
            let file = SocketFile(details.socket_filename.to_string());
            let used = dumps.memifs.iter().any(|memif| memif.socket_id == details.socket_id);
            let by_us = sight.state.ports.values().any(|port| port.socket == file);
            if by_us || (!used && is_own_socket(&file, self.directory)) {
                sight.state.sockets.insert(file.clone());
                sight.numbers.sockets.insert(file, details.socket_id);
            }
        }
    }
}

/// What an interface with a tag must be.
enum Kind {
    Bvi,
    Port,
    Pipe,
    /// Tags of other objects.
    None,
}

impl Kind {
    fn of(tag: &Tag) -> Self {
        match tag {
            Tag::Network(_) | Tag::Port(_, Side::Host) => Self::Bvi,
            Tag::Port(_, Side::Link | Side::Plain | Side::Named) => Self::Port,
            Tag::Port(_, Side::Inner | Side::Outer) => Self::Pipe,
            Tag::Published(..) => Self::None,
        }
    }
}

/// VPP's word for the kind of loopback interfaces.
const LOOPBACK: &str = "Loopback";

impl Sight {
    fn add_port(
        &mut self,
        tag: &Tag,
        details: &SwInterfaceDetails,
        memif: &MemifDetails,
        dumps: &Dumps,
    ) {
        let socket = dumps.sockets.iter().find(|file| file.socket_id == memif.socket_id);
        let Some(socket) = socket else { return };
        let bridged = self.place(details.sw_if_index, dumps);
        let port = Port {
            socket: SocketFile(socket.socket_filename.to_string()),
            role: if memif.role == MemifRole::SLAVE { Role::Client } else { Role::Server },
            terms: PortTerms::default(),
            bridged,
            up: details.flags.contains(IfStatusFlags::ADMIN_UP),
        };
        self.state.ports.insert(tag.clone(), port);
        if details.flags.contains(IfStatusFlags::LINK_UP) {
            self.connected.insert(tag.clone());
        }
    }

    /// Where an interface is bridged. In a domain that is not ours it is where nobody put it: that counts as in
    /// none.
    fn place(&self, index: InterfaceIndex, dumps: &Dumps) -> Option<Bridged> {
        let (bd_id, split_horizon) = dumps.domains.iter().find_map(|domain| {
            let place = domain.sw_if_details.iter().find(|it| it.sw_if_index == index)?;
            Some((domain.bd_id, place.shg))
        })?;
        let network = self.numbers.domains.iter().find(|(_, id)| **id == bd_id)?.0.clone();
        Some(Bridged { network, split_horizon })
    }

    fn add_bvi(&mut self, tag: &Tag, details: &SwInterfaceDetails, said: &BviDumps, dumps: &Dumps) {
        let domain = self.numbers.domains.get(tag);
        let own = |it: &&BridgeDomainDetails| Some(&it.bd_id) == domain;
        let bridged = dumps
            .domains
            .iter()
            .find(own)
            .is_some_and(|it| it.bvi_sw_if_index == details.sw_if_index);
        let tables = said.tables.iter().filter(|(family, number)| {
            let table = Table { network: tag.clone(), family: **family };
            self.numbers.tables.get(&table) == Some(number)
        });
        let bvi = Bvi {
            mac: MacAddr(details.l2_address.0),
            mtu: details.mtu[0],
            tables: tables.map(|(family, _)| *family).collect(),
            addresses: said.addresses.iter().filter_map(configured_address).collect(),
            bridged,
            up: details.flags.contains(IfStatusFlags::ADMIN_UP),
            inside: false,
        };
        self.state.bvis.insert(tag.clone(), bvi);
    }

    fn add_pins(&mut self, fib: &[L2FibTableDetails]) {
        for entry in fib.iter().filter(|entry| entry.static_mac && !entry.bvi_mac) {
            let network = self.numbers.domains.iter().find(|(_, id)| **id == entry.bd_id);
            let port = self.numbers.interface(entry.sw_if_index);
            if let (Some((network, _)), Some(port @ Tag::Port(..))) = (network, port) {
                let pin = Pin { network: network.clone(), mac: MacAddr(entry.mac.0) };
                self.state.pins.insert(pin, port.clone());
            }
        }
    }
}

/// An address that somebody gave the interface: VPP makes link-local ones itself.
fn configured_address(details: &IpAddressDetails) -> Option<IpNet> {
    let net = IpNet::new(details.prefix.address, details.prefix.len).ok()?;
    match net {
        IpNet::V6(net) if net.addr().is_unicast_link_local() => None,
        net => Some(net),
    }
}

#[cfg(test)]
mod tests;
