//! Which domain is which network, and which port is which endpoint.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::{DomainId, PortId};

use super::endpoint::Endpoint;
use crate::engine::EngineError;
use crate::model::{EndpointId, NetworkId, NetworkSpec};

/// A network and its domain.
#[derive(Debug, Clone)]
pub(super) struct Network {
    pub(super) spec: Arc<NetworkSpec>,
    pub(super) domain: DomainId,
}

/// The networks and endpoints of the engine. The locks are held for the look-up only, except that
/// creations hold them so that two of the same id do not race.
#[derive(Debug, Default)]
pub(super) struct Tables {
    networks: Mutex<HashMap<NetworkId, Network>>,
    endpoints: Mutex<HashMap<EndpointId, Arc<Endpoint>>>,
}

impl Tables {
    pub(super) fn network(&self, id: &NetworkId) -> Result<Network, EngineError> {
        let network = self.networks().get(id).cloned();
        network.ok_or_else(|| EngineError::NoNetwork(id.clone()))
    }

    pub(super) fn endpoint(&self, id: &EndpointId) -> Option<Arc<Endpoint>> {
        self.endpoints().get(id).cloned()
    }

    pub(super) fn endpoint_of(&self, port: PortId) -> Option<EndpointId> {
        let endpoints = self.endpoints();
        endpoints.values().find(|endpoint| endpoint.port == port).map(|found| found.spec.id.clone())
    }

    pub(super) fn networks(&self) -> MutexGuard<'_, HashMap<NetworkId, Network>> {
        // Entries are whole: they are inserted when all else has succeeded.
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn endpoints(&self) -> MutexGuard<'_, HashMap<EndpointId, Arc<Endpoint>>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
