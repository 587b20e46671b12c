//! What Docker may have forgotten: when it last named each object, and the end of those that it
//! verifiably does not have (`reconcile` finds out which).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::warn;

use super::{Driver, DriverError};
use crate::model::{EndpointId, NetworkId};
use crate::reconcile::DockerView;
use crate::reconcile::decide::{OurEndpoint, Ours};
use crate::state::{EndpointRecord, Standing, StateError};

/// For how long it is remembered that Docker named an object that the state does not have: longer
/// than any creation takes.
const MEMORY: Duration = Duration::from_mins(10);

/// What the driver knows of Docker's side.
#[derive(Debug, Default)]
pub(super) struct DockerSide {
    heard: Mutex<Heard>,
    view: Mutex<DockerView>,
    doubt: Notify,
}

/// When Docker named which object; what it named before the agent started counts from the start.
#[derive(Debug)]
struct Heard {
    start: Instant,
    networks: HashMap<NetworkId, Instant>,
    endpoints: HashMap<EndpointId, Instant>,
}

impl Default for Heard {
    fn default() -> Self {
        Self { start: Instant::now(), networks: HashMap::new(), endpoints: HashMap::new() }
    }
}

impl Heard {
    fn quiet<T: Eq + Hash>(&self, heard: &HashMap<T, Instant>, id: &T, now: Instant) -> Duration {
        now.saturating_duration_since(heard.get(id).copied().unwrap_or(self.start))
    }

    fn network_quiet(&self, id: &NetworkId, now: Instant) -> Duration {
        self.quiet(&self.networks, id, now)
    }

    fn endpoint_quiet(&self, id: &EndpointId, now: Instant) -> Duration {
        self.quiet(&self.endpoints, id, now)
    }
}

impl Driver {
    /// What Docker should have at `now`: everything that is finished.
    pub fn docker_should_have(&self, now: Instant) -> Ours {
        let state = self.snapshot();
        // Looked up before the lock is taken: the engine may take its time.
        let running: Vec<bool> =
            state.endpoints().map(|record| self.seems_to_run(record)).collect();
        let heard = self.lock(&self.docker.heard);
        let networks = state.networks().filter(|record| record.standing == Standing::Settled);
        let networks = networks
            .map(|record| (record.spec.id.clone(), heard.network_quiet(&record.spec.id, now)));
        let endpoints = state.endpoints().zip(running);
        let endpoints = endpoints.filter(|(record, _)| record.standing == Standing::Settled);
        let endpoints = endpoints.map(|(record, running)| {
            let quiet = heard.endpoint_quiet(&record.spec.id, now);
            let network = record.spec.network.clone();
            (record.spec.id.clone(), OurEndpoint { network, quiet, running })
        });
        Ours { networks: networks.collect(), endpoints: endpoints.collect() }
    }

    /// Forgets a network that Docker verifiably does not have, with what is left in it; says whether
    /// it did. It stays if Docker named it or an endpoint in it within `grace`, or a container runs
    /// on it.
    pub fn forget_network_unknown_to_docker(
        &self,
        id: &NetworkId,
        grace: Duration,
    ) -> Result<bool, DriverError> {
        let _network = self.gate.take_network(id);
        let state = self.snapshot();
        let settled =
            state.find_network(id).is_some_and(|record| record.standing == Standing::Settled);
        let now = Instant::now();
        let quiet = {
            let heard = self.lock(&self.docker.heard);
            heard.network_quiet(id, now) >= grace
                && state
                    .endpoints_of(id)
                    .all(|record| heard.endpoint_quiet(&record.spec.id, now) >= grace)
        };
        let runs = state.endpoints_of(id).any(|record| self.seems_to_run(record));
        if !settled || !quiet || runs {
            return Ok(false);
        }
        self.remove_network(id)?;
        Ok(true)
    }

    /// Forgets an endpoint that Docker verifiably does not have; says whether it did. It stays if
    /// Docker named it within `grace`. Its container may run: Docker let it go by force.
    pub fn forget_endpoint_unknown_to_docker(
        &self,
        id: &EndpointId,
        grace: Duration,
    ) -> Result<bool, DriverError> {
        let Some(network) = self.state().find_endpoint(id).map(|it| it.spec.network.clone()) else {
            return Ok(false);
        };
        let _network = self.gate.share_network(&network);
        let _endpoint = self.gate.take_endpoint(id);
        let settled = self
            .state()
            .find_endpoint(id)
            .is_some_and(|record| record.standing == Standing::Settled);
        let quiet = self.lock(&self.docker.heard).endpoint_quiet(id, Instant::now()) >= grace;
        if !settled || !quiet {
            return Ok(false);
        }
        self.remove_endpoint(id)?;
        Ok(true)
    }

    /// What was last seen of Docker.
    pub fn docker_view(&self) -> DockerView {
        self.lock(&self.docker.view).clone()
    }

    /// Notes what was seen of Docker.
    pub fn saw_docker(&self, view: DockerView) {
        *self.lock(&self.docker.view) = view;
    }

    /// Waits until a request was refused because of something that Docker may have forgotten.
    pub async fn docker_doubted(&self) {
        self.docker.doubt.notified().await;
    }

    /// Docker has just named this network.
    pub(super) fn heard_of_network(&self, id: &NetworkId) {
        self.lock(&self.docker.heard).networks.insert(id.clone(), Instant::now());
    }

    /// Docker has just named this endpoint.
    pub(super) fn heard_of_endpoint(&self, id: &EndpointId) {
        self.lock(&self.docker.heard).endpoints.insert(id.clone(), Instant::now());
    }

    /// Asks for a look at Docker if a network stands in the way that it may have forgotten.
    pub(super) fn doubt_holder(&self, error: &DriverError) {
        if matches!(error, DriverError::State(StateError::Overlap { .. })) {
            self.docker.doubt.notify_one();
        }
    }

    /// Drops what was heard of objects that are gone. Those that were named lately may be in the
    /// making and stay.
    pub(super) fn drop_old_hearsay(&self, now: Instant) {
        let state = self.snapshot();
        let lately = |at: &Instant| now.saturating_duration_since(*at) < MEMORY;
        let mut heard = self.lock(&self.docker.heard);
        heard.networks.retain(|id, at| state.find_network(id).is_some() || lately(at));
        heard.endpoints.retain(|id, at| state.find_endpoint(id).is_some() || lately(at));
    }

    /// Whether a container runs on the endpoint, or may: when that cannot be found out it does.
    fn seems_to_run(&self, record: &EndpointRecord) -> bool {
        let Some(sandbox) = &record.sandbox else { return false };
        self.is_alive(record, sandbox).unwrap_or_else(|error| {
            warn!(endpoint = record.spec.id.short(), %error, "taken for running");
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::fake::{FakeEngine, World};
    use crate::store::Store;

    #[test]
    fn hearsay_of_what_is_gone_is_dropped_in_time() {
        let directory = tempfile::tempdir().unwrap();
        let (store, state) = Store::open(directory.path()).unwrap();
        let driver = Driver::new(Arc::new(FakeEngine::on(&World::default())), store, state);
        driver.heard_of_network(&"n1".parse().unwrap());
        driver.heard_of_endpoint(&"e1".parse().unwrap());
        let left = || {
            let heard = driver.lock(&driver.docker.heard);
            heard.networks.len() + heard.endpoints.len()
        };
        driver.collect(Instant::now());
        assert_eq!(left(), 2, "they may be in the making");
        driver.collect(Instant::now() + MEMORY);
        assert_eq!(left(), 0);
    }
}
