//! What VPP says about hosts of endpoints: pipes, routes and app namespaces. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vpp_api_client::api::interface::SwInterfaceDetails;
use vpp_api_client::api::interface_types::{IfStatusFlags, IfType, InterfaceIndex};

use super::{Dumps, Sight, Viewer};
use crate::engine::vpp::cli_text::NamespaceLine;
use crate::engine::vpp::state::{Namespace, Pipe, Table};
use crate::engine::vpp::tag::{Side, Tag};

/// In VPP's own words.
#[derive(Debug, Default)]
pub(in crate::engine::vpp) struct HostDumps {
    /// App namespaces.
    pub(in crate::engine::vpp) namespaces: Vec<NamespaceLine>,
    /// The next hop of default routes with one path, and the interface, by the number of the table and whether
    /// it is of IPv6.
    pub(in crate::engine::vpp) routes: BTreeMap<(u32, bool), (IpAddr, InterfaceIndex)>,
}

/// Instances of pipes that VPP gives away by itself are small; the agent's are these.
const INSTANCES: std::ops::Range<u32> = 8192..16384;

/// The instance of an endpoint's pipe: the same after every restart, so that a pipe is known that an agent made and
/// did not come to tag. Two endpoints may have the same; then one of them gets another.
pub(in crate::engine::vpp) fn instance(tag: &Tag) -> u32 {
    // FNV-1a, 32 bit: only evenly spread.
    let text = tag.subject().to_string();
    let hash = text
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    INSTANCES.start + hash % (INSTANCES.end - INSTANCES.start)
}

/// Instances to try for an endpoint's pipe, beginning with its own.
pub(in crate::engine::vpp) fn instances(tag: &Tag) -> impl Iterator<Item = u32> {
    let own = instance(tag);
    (own..INSTANCES.end).chain(INSTANCES.start..own)
}

/// The instance of a pipe, by its name.
fn instance_of_name(name: &str) -> Option<u32> {
    name.strip_prefix("pipe")?.parse().ok()
}

/// The other end of a pipe.
fn sibling<'a>(
    end: &SwInterfaceDetails,
    interfaces: &'a [SwInterfaceDetails],
) -> Option<&'a SwInterfaceDetails> {
    interfaces.iter().find(|it| {
        it.type_ == IfType::PIPE
            && it.sup_sw_if_index == end.sup_sw_if_index
            && it.sw_if_index != end.sw_if_index
    })
}

impl Viewer<'_> {
    /// What the end of a pipe is for that has no tag: what the other end is not, or what its instance says.
    pub(super) fn end_of_pipe(
        &self,
        end: &SwInterfaceDetails,
        interfaces: &[SwInterfaceDetails],
    ) -> Option<Tag> {
        let other = sibling(end, interfaces)?;
        if !other.tag.is_empty() {
            let tag = self.owner.read(&other.tag)?;
            let side = if tag.is_side(Side::Outer) { Side::Inner } else { Side::Outer };
            return tag.beside(side);
        }
        let whole = interfaces.iter().find(|it| it.sw_if_index.0 == end.sup_sw_if_index)?;
        let outer = self.claims.pipes.get(&instance_of_name(&whole.interface_name)?)?;
        // VPP makes the outer one first.
        let side = if end.sw_if_index < other.sw_if_index { Side::Outer } else { Side::Inner };
        outer.beside(side)
    }
}

impl Sight {
    /// Pipes of which both ends are known.
    pub(super) fn add_pipes(&mut self, dumps: &Dumps) {
        let names = dumps.interfaces.iter().filter_map(|it| instance_of_name(&it.interface_name));
        self.numbers.pipe_instances = names.collect();
        let details = |tag: &Tag| {
            let index = *self.numbers.interfaces.get(tag)?;
            dumps.interfaces.iter().find(|it| it.sw_if_index == index)
        };
        let is_up = |it: &SwInterfaceDetails| it.flags.contains(IfStatusFlags::ADMIN_UP);
        let mut found = Vec::new();
        for tag in self.numbers.interfaces.keys().filter(|tag| tag.is_side(Side::Outer)) {
            let [host, inner] = [Side::Host, Side::Inner].map(|side| tag.beside(side));
            let ends = (details(tag), inner.as_ref().and_then(details));
            let (Some(outer), Some(inner)) = ends else { continue };
            let place = self.place(inner.sw_if_index, dumps);
            let pipe = Pipe {
                outer: self.place(outer.sw_if_index, dumps),
                inner: place.is_some_and(|it| Some(it.network) == host),
                up: is_up(outer) && is_up(inner),
            };
            found.push((tag.clone(), pipe, InterfaceIndex(outer.sup_sw_if_index)));
        }
        for (tag, pipe, whole) in found {
            self.numbers.pipes.insert(tag.clone(), whole);
            self.state.pipes.insert(tag, pipe);
        }
    }

    /// App namespaces, and default routes of hosts.
    pub(super) fn add_hosts(&mut self, viewer: &Viewer<'_>, dumps: &Dumps) {
        for line in &dumps.hosts.namespaces {
            let Some(tag) = viewer.owner.read(&line.id).filter(|tag| tag.is_side(Side::Host))
            else {
                continue;
            };
            let index = self.numbers.interfaces.get(&tag);
            let loopback = dumps.interfaces.iter().find(|it| Some(&it.sw_if_index) == index);
            let bound = loopback.is_some_and(|it| *it.interface_name == line.interface);
            let namespace = Namespace { socket: line.socket.clone(), bound };
            self.state.namespaces.insert(tag, namespace);
        }
        for ((number, is_ipv6), (hop, interface)) in &dumps.hosts.routes {
            let mut tables = self.numbers.tables.iter();
            let table = tables
                .find(|(table, found)| **found == *number && table.family.is_ipv6() == *is_ipv6);
            let Some((table, _)) = table else { continue };
            if self.numbers.interfaces.get(&table.network) == Some(interface)
                && table.network.is_side(Side::Host)
            {
                self.state.routes.insert(Table::clone(table), *hop);
            }
        }
    }
}
