//! What is shown of endpoints and networks.

use std::collections::BTreeMap;
use std::time::Duration;

use dataplane::MacAddr;
use vpp_api_client::api::interface::SwInterfaceDump;
use vpp_api_client::api::l2::L2FibTableDetails;
use vpp_api_client::api::vlib::CliInband;

use super::container::side_of;
use super::observe::Sight;
use super::tag::{IdStart, Side, Tag};
use super::{VppEngine, cli_text, inspect};
use crate::engine::{EndpointStatus, EngineError, FdbLine, MemifClient};
use crate::model::{EndpointId, NetworkId};

impl VppEngine {
    /// As [`Engine::endpoint_status`](crate::engine::Engine::endpoint_status).
    pub(super) fn status(
        &self,
        endpoint: &EndpointId,
    ) -> Result<Option<EndpointStatus>, EngineError> {
        let Some(mut status) = self.attachments.status(endpoint)? else { return Ok(None) };
        let sight = self.controller.sight();
        // What VPP has not bound is not there, whatever was asked for.
        let bound = |socket: &String| {
            let side = side_of(socket.trim_start_matches('@'));
            !socket.ends_with("/memif")
                || sight.state.ports.contains_key(&Tag::port(endpoint, side))
        };
        status.sockets.retain(bound);
        if let Some(drops) = self.links.drops(self.attachments.dataplane(), endpoint) {
            status.counters.drops.iter_mut().zip(drops).for_each(|(all, more)| *all += more);
        }
        if let Ok(reading) = self.counters.read() {
            let index = |side| sight.numbers.interfaces.get(&Tag::port(endpoint, side));
            for index in [Side::Plain, Side::Named].into_iter().filter_map(index) {
                reading.add(*index, &mut status);
            }
            if let Some(index) = index(Side::Link) {
                reading.add_drops(*index, &mut status);
            }
            if let (Some(inner), Some(outer)) = (index(Side::Inner), index(Side::Outer)) {
                reading.add_pipe(*inner, *outer, &mut status);
            }
        }
        if self.hosts.is_attached(endpoint) {
            status.owner = "vcl";
        }
        if memif_owner(&sight, endpoint).is_some() {
            status.owner = "memif";
            status.memif = self.client(endpoint)?;
        }
        Ok(Some(status))
    }

    /// As [`Engine::fdb`](crate::engine::Engine::fdb).
    pub(super) fn fdb_lines(&self, network: &NetworkId) -> Result<Vec<FdbLine>, EngineError> {
        let names = self.endpoints_by_start();
        let tag = Tag::network(network);
        self.controller.ask(async |client, sight| {
            let Some(bd_id) = sight.numbers.domains.get(&tag) else { return Ok(Vec::new()) };
            let entries = inspect::fib(client, *bd_id).await?;
            Ok(entries.iter().map(|entry| fdb_line(entry, sight, &names)).collect())
        })
    }

    /// Whole ids of the endpoints by the start that is in tags.
    fn endpoints_by_start(&self) -> BTreeMap<IdStart, EndpointId> {
        let endpoints = self.attachments.endpoints().lock();
        endpoints.keys().map(|id| (IdStart::from(id), id.clone())).collect()
    }

    /// The memif client of an endpoint.
    fn client(&self, endpoint: &EndpointId) -> Result<Option<MemifClient>, EngineError> {
        self.controller.ask(async |client, sight| {
            let Some(index) = memif_owner(sight, endpoint) else { return Ok(None) };
            let names = client.dump(&index).await?;
            let Some(name) = names.first().map(|details| details.interface_name.to_string()) else {
                return Ok(None);
            };
            let shown = client.request(&CliInband { cmd: format!("show memif {name}") }).await?;
            Ok(cli_text::memif_client(&shown.reply))
        })
    }
}

/// How to ask for the interface that has the endpoint's address for a memif client.
pub(super) fn memif_owner(sight: &Sight, endpoint: &EndpointId) -> Option<SwInterfaceDump> {
    let sides = Tag::client_ports(endpoint);
    let owner = sight.state.pins.values().find(|tag| sides.contains(tag))?;
    let sw_if_index = *sight.numbers.interfaces.get(owner)?;
    Some(SwInterfaceDump { sw_if_index, ..Default::default() })
}

/// Whether the endpoint's address is at the agent's port.
pub(super) fn has_link(sight: &Sight, endpoint: &EndpointId) -> bool {
    let link = Tag::port(endpoint, Side::Link);
    sight.state.pins.values().any(|tag| *tag == link)
}

fn fdb_line(
    entry: &L2FibTableDetails,
    sight: &Sight,
    names: &BTreeMap<IdStart, EndpointId>,
) -> FdbLine {
    let endpoint = match sight.numbers.interface(entry.sw_if_index) {
        Some(Tag::Port(start, _)) => names.get(start).cloned(),
        _ => None,
    };
    FdbLine {
        mac: MacAddr(entry.mac.0),
        endpoint,
        peer: None,
        pinned: entry.static_mac,
        // VPP does not tell.
        age: Duration::ZERO,
    }
}
