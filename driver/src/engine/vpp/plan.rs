//! From Docker's networks and endpoints to what VPP should have. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::state::{
    Bridged, Bvi, Family, Inside, Namespace, Outside, Pin, Pipe, Port, PortTerms, Role, SocketFile,
    State, Table,
};
use super::tag::{IdStart, Reach, Side, Subject, Tag};
use crate::engine::attachment::{gateway_mac, gateways};
use crate::host::socket::AbstractName;
use crate::model::{EndpointId, EndpointSpec, NetworkId, NetworkSpec, SandboxKey};

/// Ports of an isolated network are in this split-horizon group: they reach the gateway only.
const ISOLATED: u8 = 1;

/// Queues in each direction of a container's memif interface that says nothing.
const QUEUES: u16 = 4;

/// What the driver has asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Inventory {
    /// Networks.
    pub(super) networks: BTreeMap<NetworkId, NetworkSpec>,
    /// Endpoints.
    pub(super) endpoints: BTreeMap<EndpointId, EndpointPlan>,
    /// Networks have a way out, over the operator's outside interface.
    pub(super) way_out: bool,
    /// All that the driver remembers is in here. Until then, what is not may belong to what comes.
    pub(super) whole: bool,
}

/// An endpoint.
#[derive(Debug, Clone)]
pub(super) struct EndpointPlan {
    /// What it is.
    pub(super) spec: EndpointSpec,
    /// Where its port of the agent listens for VPP.
    pub(super) link: SocketFile,
    /// What has its address while no client is connected.
    pub(super) rest: Rest,
    /// Where the container's memif clients connect.
    pub(super) memif: BTreeMap<Side, SocketFile>,
    /// The front end of its vhost-user device, which the agent serves.
    pub(super) front_end: FrontEnd,
    /// Its published ports, as they are reached from outside, with the port in the container.
    pub(super) published: BTreeMap<Outside, u16>,
    /// `memif` is all there is; before, VPP may have names from an agent before this one.
    pub(super) settled: bool,
}

/// What has an endpoint's address at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rest {
    /// The endpoint's port of the agent.
    Link,
    /// VPP's own host stack, with an app socket at this path.
    Host(String),
}

impl Rest {
    /// The port in the network's bridge domain.
    pub(super) fn tag(&self, endpoint: &EndpointId) -> Tag {
        let side = match self {
            Self::Link => Side::Link,
            Self::Host(_) => Side::Outer,
        };
        Tag::port(endpoint, side)
    }
}

/// What a front end has of its endpoint's address. While it has all of it VPP serves no memif clients there, so that
/// none can come in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "vhost-user"),
    expect(dead_code, reason = "nobody serves front ends then")
)]
pub(super) enum FrontEnd {
    /// There is none, or it has no ring to be served.
    Absent,
    /// It gets the address unless a memif client has it.
    Asks,
    /// It has the address.
    Owns,
}

impl EndpointPlan {
    /// Whether the address is the front end's, where the ports of `connected` have a client.
    fn is_front_ends(&self, connected: &BTreeSet<Tag>) -> bool {
        match self.front_end {
            FrontEnd::Absent => false,
            FrontEnd::Asks => {
                !Tag::client_ports(&self.spec.id).iter().any(|tag| connected.contains(tag))
            }
            FrontEnd::Owns => true,
        }
    }
}

impl Inventory {
    /// What VPP should have, where it has `is` and the ports of `connected` have a client.
    pub(super) fn wanted(&self, is: &State, connected: &BTreeSet<Tag>) -> State {
        let mut wanted = State::default();
        for network in self.networks.values() {
            add_network(&mut wanted, network, self.way_out);
        }
        wanted.translates = is.translates || !wanted.ways_out.is_empty();
        for plan in self.endpoints.values() {
            if let Some(network) = self.networks.get(&plan.spec.network) {
                add_ports(&mut wanted, network, plan, plan.is_front_ends(connected));
                add_published(&mut wanted, network, plan);
            }
        }
        let known: BTreeSet<Subject> = self.subjects().collect();
        let unsettled: BTreeSet<IdStart> = self
            .endpoints
            .iter()
            .filter(|(_, plan)| !plan.settled)
            .map(|(id, _)| IdStart::from(id))
            .collect();
        wanted.keep(is, |subject| match subject {
            Subject::Endpoint(id) if unsettled.contains(id) => true,
            subject => !self.whole && !known.contains(subject),
        });
        for plan in self.endpoints.values() {
            if plan.is_front_ends(connected) {
                turn_away(&mut wanted, plan);
            }
            add_pin(&mut wanted, plan, is, connected);
        }
        wanted
    }

    /// The ports of all endpoints by their socket, whether wanted now or not.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (SocketFile, Tag)> {
        self.endpoints.iter().flat_map(|(id, plan)| {
            let clients = plan.memif.iter().map(|(side, socket)| (socket.clone(), *side));
            let all = clients.chain([(plan.link.clone(), Side::Link)]);
            all.map(|(socket, side)| (socket, Tag::port(id, side)))
        })
    }

    fn subjects(&self) -> impl Iterator<Item = Subject> {
        let networks = self.networks.keys().map(|id| Tag::network(id).subject());
        let endpoints = self.endpoints.keys().map(|id| Tag::port(id, Side::Link).subject());
        networks.chain(endpoints)
    }
}

/// The socket that VPP is to bind in a container.
pub(super) fn container_socket(sandbox: &SandboxKey, name: &AbstractName) -> SocketFile {
    let name = name.to_string();
    let name = name.trim_start_matches('@');
    SocketFile(format!("abstract:{name},netns_name={sandbox}"))
}

/// The socket on which the agent waits for VPP, below `directory`.
pub(super) fn link_socket(directory: &Path, endpoint: &EndpointId) -> SocketFile {
    let file = format!("{}{LINK_SUFFIX}", IdStart::from(endpoint));
    SocketFile(directory.join(file).to_string_lossy().into_owned())
}

/// The socket on which VPP waits for the process of an endpoint in its host stack, below `directory`, which no
/// container can reach.
pub(super) fn app_socket(directory: &Path, endpoint: &EndpointId) -> String {
    directory.join(format!("{}.app", IdStart::from(endpoint))).to_string_lossy().into_owned()
}

/// How the agent's own sockets end.
const LINK_SUFFIX: &str = ".memif";

/// Whether a socket that no interface uses looks like one of this agent's.
pub(super) fn is_own_socket(file: &SocketFile, directory: &Path) -> bool {
    let text = file.0.as_str();
    let in_container = text.starts_with("abstract:dockervpp/") && text.contains(",netns_name=");
    in_container || (Path::new(text).parent() == Some(directory) && text.ends_with(LINK_SUFFIX))
}

/// The gateway of an internal network is there too: it answers ARP, neighbour discovery and ping, as
/// the network's own address should; internal means that no container is offered it as the way out.
fn add_network(wanted: &mut State, network: &NetworkSpec, way_out: bool) {
    let tag = Tag::network(&network.id);
    wanted.domains.insert(tag.clone());
    let ipv4 = network.ipv4.iter().filter_map(|pool| {
        let gateway = pool.gateway?;
        IpNet::new(gateway.into(), pool.subnet.prefix_len()).ok()
    });
    let ipv6 = network.ipv6.iter().filter_map(|pool| {
        let gateway = pool.gateway?;
        IpNet::new(gateway.into(), pool.subnet.prefix_len()).ok()
    });
    let addresses: BTreeSet<IpNet> = ipv4.chain(ipv6).collect();
    if addresses.is_empty() {
        return;
    }
    let tables: BTreeSet<Family> = addresses.iter().map(Family::of).collect();
    let table = |family: &Family| Table { network: tag.clone(), family: *family };
    wanted.tables.extend(tables.iter().map(table));
    let leads_out = way_out && !network.internal && tables.contains(&Family::V4);
    if leads_out {
        wanted.ways_out.insert(tag.clone());
    }
    let bvi = Bvi {
        inside: leads_out,
        mac: gateway_mac(&network.id),
        mtu: network.mtu,
        tables,
        addresses,
        bridged: true,
        up: true,
    };
    wanted.bvis.insert(tag, bvi);
}

/// The agent's port is left out where nobody is behind it: it would get what is for all.
fn add_ports(wanted: &mut State, network: &NetworkSpec, plan: &EndpointPlan, front_end: bool) {
    let spec = &plan.spec;
    let bridged = Bridged {
        network: Tag::network(&network.id),
        split_horizon: if network.isolation { ISOLATED } else { 0 },
    };
    if let Rest::Host(socket) = &plan.rest {
        add_host(wanted, network, spec, socket, &bridged);
    }
    let mut add = |side, socket: &SocketFile, role, terms| {
        wanted.sockets.insert(socket.clone());
        let bridged = Some(bridged.clone());
        let port = Port { socket: socket.clone(), role, terms, bridged, up: true };
        wanted.ports.insert(Tag::port(&spec.id, side), port);
    };
    if front_end || plan.rest == Rest::Link {
        add(Side::Link, &plan.link, Role::Client, PortTerms::default());
    }
    for (side, socket) in &plan.memif {
        let queues = spec.memif.queues.unwrap_or(QUEUES);
        let queues = u8::try_from(queues).unwrap_or(u8::MAX);
        add(*side, socket, Role::Server, PortTerms { secret: spec.memif.secret.clone(), queues });
    }
}

/// The endpoint is a station in VPP: to its network it is a neighbour like any other, behind a pipe. Its tables are
/// its own, because two addresses of one table cannot speak TCP with each other.
fn add_host(
    wanted: &mut State,
    network: &NetworkSpec,
    spec: &EndpointSpec,
    socket: &str,
    bridged: &Bridged,
) {
    let [host, outer] = [Side::Host, Side::Outer].map(|side| Tag::port(&spec.id, side));
    let addresses: BTreeSet<IpNet> =
        spec.ipv4.map(IpNet::from).into_iter().chain(spec.ipv6.map(IpNet::from)).collect();
    let tables: BTreeSet<Family> = addresses.iter().map(Family::of).collect();
    let table = |family: Family| Table { network: host.clone(), family };
    wanted.domains.insert(host.clone());
    wanted.tables.extend(tables.iter().copied().map(table));
    let (ipv4, ipv6) = gateways(network, spec);
    let hops = [(Family::V4, ipv4.map(IpAddr::from)), (Family::V6, ipv6.map(IpAddr::from))];
    let hops = hops.into_iter().filter_map(|(family, hop)| Some((table(family), hop?)));
    wanted.routes.extend(hops);
    let bvi = Bvi {
        inside: false,
        mac: spec.mac,
        mtu: network.mtu,
        tables,
        addresses,
        bridged: true,
        up: true,
    };
    wanted.bvis.insert(host.clone(), bvi);
    let pipe = Pipe { outer: Some(bridged.clone()), inner: true, up: true };
    wanted.pipes.insert(outer, pipe);
    wanted.namespaces.insert(host, Namespace { socket: socket.to_owned(), bound: true });
}

fn add_published(wanted: &mut State, network: &NetworkSpec, plan: &EndpointPlan) {
    let tag = Tag::network(&network.id);
    let Some(net) = plan.spec.ipv4.filter(|_| wanted.ways_out.contains(&tag)) else { return };
    for (outside, port) in &plan.published {
        let reach = if outside.address.is_some() { Reach::One } else { Reach::Any };
        let inside = Inside {
            tag: Tag::Published(IdStart::from(&plan.spec.id), reach),
            network: tag.clone(),
            address: net.addr(),
            port: *port,
        };
        wanted.published.entry(outside.clone()).or_insert(inside);
    }
}

/// A front end has the address: memif clients cannot connect, and one that could come in between is hung up on.
fn turn_away(wanted: &mut State, plan: &EndpointPlan) {
    for tag in Tag::client_ports(&plan.spec.id) {
        if let Some(port) = wanted.ports.remove(&tag) {
            wanted.sockets.remove(&port.socket);
        }
    }
}

/// The endpoint's address belongs to the memif client or the front end while one is connected, to the agent's port or
/// VPP's host stack otherwise. VPP drops what another port sends under a pinned address.
fn add_pin(wanted: &mut State, plan: &EndpointPlan, is: &State, connected: &BTreeSet<Tag>) {
    let pin = Pin { network: Tag::network(&plan.spec.network), mac: plan.spec.mac };
    let front_end = plan.is_front_ends(connected);
    let rest = if front_end { &Rest::Link } else { &plan.rest }.tag(&plan.spec.id);
    if !wanted.ports.contains_key(&rest) && !wanted.pipes.contains_key(&rest) {
        return;
    }
    let serves = |tag: &&Tag| connected.contains(*tag) && wanted.ports.contains_key(*tag);
    let sides = Tag::client_ports(&plan.spec.id);
    // Who came first stays.
    let present = is.pins.get(&pin).filter(|tag| sides.contains(tag)).filter(serves);
    let owner = present.or_else(|| sides.iter().find(serves)).unwrap_or(&rest);
    let owner = owner.clone();
    wanted.pins.insert(pin, owner);
}

#[cfg(test)]
pub(super) mod tests;
