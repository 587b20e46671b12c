//! Which port is which endpoint.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataplane::PortId;
use session::broker::EndpointKey;

use super::endpoint::Endpoint;
use crate::engine::EngineError;
use crate::model::EndpointId;

/// The endpoints of an engine. The lock is held for the look-up only, except that creations hold it so
/// that two of the same id do not race.
#[derive(Debug, Default)]
pub(in crate::engine) struct Endpoints(Mutex<HashMap<EndpointId, Arc<Endpoint>>>);

impl Endpoints {
    pub(in crate::engine) fn find(&self, id: &EndpointId) -> Option<Arc<Endpoint>> {
        self.lock().get(id).cloned()
    }

    pub(in crate::engine) fn get(&self, id: &EndpointId) -> Result<Arc<Endpoint>, EngineError> {
        self.find(id).ok_or_else(|| EngineError::NoEndpoint(id.clone()))
    }

    pub(in crate::engine) fn of_port(&self, port: PortId) -> Option<EndpointId> {
        let endpoints = self.lock();
        endpoints.values().find(|endpoint| endpoint.port == port).map(|found| found.spec.id.clone())
    }

    /// Which endpoint has which name at the session broker.
    pub(in crate::engine) fn session_keys(&self) -> HashMap<EndpointKey, EndpointId> {
        let endpoints = self.lock();
        endpoints
            .values()
            .map(|endpoint| (endpoint.session_key(), endpoint.spec.id.clone()))
            .collect()
    }

    /// Names of all vhost-user sockets.
    pub(in crate::engine) fn vhost_sockets(&self) -> BTreeSet<String> {
        let endpoints = self.lock();
        endpoints.values().filter_map(|it| it.spec.vhost_socket()).map(String::from).collect()
    }

    pub(in crate::engine) fn lock(&self) -> MutexGuard<'_, HashMap<EndpointId, Arc<Endpoint>>> {
        // Entries are whole: they are inserted when all else has succeeded.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
