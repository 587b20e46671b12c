//! Tells the agent's data path which addresses VPP has given to memif clients, so that a network stack of the agent
//! that had one ends what it had open, as it does beside a memif client of the agent's own.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dataplane::{Dataplane, PortId};

use super::observe::Sight;
use super::view::memif_owner;
use crate::model::EndpointId;

/// The ports of the endpoints whose address is the agent's while no memif client has it.
#[derive(Debug, Default)]
pub(super) struct LentAddresses {
    ports: Mutex<HashMap<EndpointId, Port>>,
}

#[derive(Debug)]
struct Port {
    dataplane: Dataplane,
    id: PortId,
    lent: bool,
}

impl LentAddresses {
    /// The endpoint has this port; the next comparison with VPP tells who has its address.
    pub(super) fn know(&self, endpoint: &EndpointId, dataplane: &Dataplane, id: PortId) {
        let port = Port { dataplane: dataplane.clone(), id, lent: false };
        self.lock().insert(endpoint.clone(), port);
    }

    /// The endpoint is gone.
    pub(super) fn forget(&self, endpoint: &EndpointId) {
        self.lock().remove(endpoint);
    }

    /// All endpoints are left alone from now on.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Follows what VPP has now.
    pub(super) fn follow(&self, sight: &Sight) {
        for (endpoint, port) in &mut *self.lock() {
            let lent = memif_owner(sight, endpoint).is_some();
            if lent == port.lent {
                continue;
            }
            match port.dataplane.lend_address(port.id, lent) {
                Ok(()) => port.lent = lent,
                // One that is being removed has no connections.
                Err(error) => tracing::debug!(%error, "nobody is told who has an address"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, Port>> {
        // Changed by single insertions and removals.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use vpp_api_client::api::interface_types::InterfaceIndex;

    use super::*;
    use crate::engine::vpp::state::Pin;
    use crate::engine::vpp::tag::{Side, Tag};

    #[test]
    fn an_address_is_lent_to_the_endpoints_own_memif_clients_only() {
        let [one, other] = ["1", "2"].map(|it| it.repeat(64).parse::<EndpointId>().unwrap());
        let lent = |side, endpoint| {
            let (owner, mut sight) = (Tag::port(&one, side), Sight::default());
            let network = Tag::network(&"3".repeat(64).parse().unwrap());
            let pin = Pin { network, mac: "02:42:0a:00:00:02".parse().unwrap() };
            sight.state.pins.insert(pin, owner.clone());
            sight.numbers.interfaces.insert(owner, InterfaceIndex(7));
            memif_owner(&sight, endpoint).is_some()
        };
        assert!(lent(Side::Plain, &one) && lent(Side::Named, &one));
        assert!(!lent(Side::Link, &one) && !lent(Side::Outer, &one));
        assert!(!lent(Side::Plain, &other));
    }
}
