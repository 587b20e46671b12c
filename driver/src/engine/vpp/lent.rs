//! Tells the agent's data path which addresses VPP has given to memif clients, so that a network stack of the agent
//! that had one ends what it had open, as it does beside a memif client of the agent's own.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dataplane::{Dataplane, PortId};

use super::observe::Sight;
use super::tag::{IdStart, Side, Tag};
use crate::model::EndpointId;

/// The ports of the endpoints whose address is the agent's while no memif client has it.
#[derive(Debug, Default)]
pub(super) struct LentAddresses {
    ports: Mutex<BTreeMap<IdStart, Port>>,
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
        self.lock().insert(IdStart::from(endpoint), port);
    }

    /// The endpoint is gone.
    pub(super) fn forget(&self, endpoint: &EndpointId) {
        self.lock().remove(&IdStart::from(endpoint));
    }

    /// All endpoints are left alone from now on.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Follows what VPP has now.
    pub(super) fn follow(&self, sight: &Sight) {
        for (endpoint, port) in &mut *self.lock() {
            let lent = sight.state.pins.values().any(|owner| is_client(owner, endpoint));
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IdStart, Port>> {
        // Changed by single insertions and removals.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a port of VPP's is one at which memif clients of the endpoint come in.
fn is_client(owner: &Tag, endpoint: &IdStart) -> bool {
    matches!(owner, Tag::Port(id, Side::Plain | Side::Named) if id == endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_lent_to_the_endpoints_own_memif_clients_only() {
        let [one, other] = ["1", "2"].map(|it| it.repeat(64).parse::<EndpointId>().unwrap());
        let lent = |side| is_client(&Tag::port(&one, side), &IdStart::from(&one));
        assert!(lent(Side::Plain) && lent(Side::Named));
        assert!(!lent(Side::Link) && !lent(Side::Outer));
        assert!(!is_client(&Tag::port(&one, Side::Plain), &IdStart::from(&other)));
    }
}
