//! What VPP says about translation of addresses: NAT44-ED, and ways out of tables. Pure.

use std::collections::BTreeSet;

use vpp_api_client::api::interface_types::InterfaceIndex;
use vpp_api_client::api::nat_types::NatConfigFlags;
use vpp_api_client::api::nat44_ed::{
    Nat44InterfaceAddrDetails, Nat44InterfaceDetails, Nat44StaticMappingDetails,
};

use super::{Sight, Viewer};
use crate::engine::vpp::state::{Family, Inside, Outside, Table};
use crate::engine::vpp::tag::{Reach, Tag};

/// In VPP's own words.
#[derive(Debug, Default)]
pub(in crate::engine::vpp) struct TranslationDumps {
    /// The operator's outside interface, if one is named and there.
    pub(in crate::engine::vpp) outside: Option<InterfaceIndex>,
    pub(in crate::engine::vpp) interfaces: Vec<Nat44InterfaceDetails>,
    /// Interfaces whose addresses are the pool.
    pub(in crate::engine::vpp) pool: Vec<Nat44InterfaceAddrDetails>,
    pub(in crate::engine::vpp) mappings: Vec<Nat44StaticMappingDetails>,
    /// IPv4 tables whose default route leads to table 0.
    pub(in crate::engine::vpp) leading_out: BTreeSet<u32>,
}

impl Sight {
    pub(super) fn add_translation(&mut self, viewer: &Viewer<'_>, said: &TranslationDumps) {
        self.numbers.outside = said.outside;
        let has = |index: InterfaceIndex, flag| {
            said.interfaces.iter().any(|it| it.sw_if_index == index && it.flags.contains(flag))
        };
        self.state.translates = said.outside.is_some_and(|outside| {
            has(outside, NatConfigFlags::OUTSIDE)
                && said.pool.iter().any(|it| it.sw_if_index == outside)
        });
        for (tag, bvi) in &mut self.state.bvis {
            let index = self.numbers.interfaces.get(tag);
            bvi.inside = index.is_some_and(|index| has(*index, NatConfigFlags::INSIDE));
        }
        let tables = self.numbers.tables.iter();
        let leading = tables.filter(|(table, number)| {
            table.family == Family::V4 && said.leading_out.contains(number)
        });
        self.state.ways_out = leading.map(|(table, _)| table.network.clone()).collect();
        for mapping in &said.mappings {
            if let Some((outside, inside)) = self.published(viewer, mapping, said.outside) {
                self.state.published.insert(outside, inside);
            }
        }
    }

    /// Of a port that is published on the outside interface VPP says two things: that, and what follows
    /// from it for each address.
    fn published(
        &self,
        viewer: &Viewer<'_>,
        mapping: &Nat44StaticMappingDetails,
        outside: Option<InterfaceIndex>,
    ) -> Option<(Outside, Inside)> {
        let tag = viewer.owner.read(&mapping.tag)?;
        let address = match tag {
            Tag::Published(_, Reach::One) => Some(mapping.external_ip_address),
            Tag::Published(_, Reach::Any) if Some(mapping.external_sw_if_index) == outside => None,
            _ => return None,
        };
        let mut tables = self.numbers.tables.iter();
        let of_vrf = |(table, number): &(&Table, &u32)| {
            table.family == Family::V4 && **number == mapping.vrf_id
        };
        let network = tables.find(of_vrf)?.0.network.clone();
        let outside = Outside { address, protocol: mapping.protocol, port: mapping.external_port };
        let (address, port) = (mapping.local_ip_address, mapping.local_port);
        Some((outside, Inside { tag, network, address, port }))
    }
}
