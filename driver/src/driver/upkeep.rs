//! Bringing the stored state and the engine together: at the start, and from time to time.

use std::time::Instant;

use serde::Serialize;
use tracing::{error, info, warn};

use super::error::failed;
use super::{Driver, DriverError, IDLE_GRACE};
use crate::engine::Restored;
use crate::model::{EndpointId, NetworkId};
use crate::state::{EndpointRecord, Standing, StateError};

/// What [`Driver::restore`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Networks that exist again.
    pub networks: usize,
    /// Endpoints of running containers that work again.
    pub running: usize,
    /// Endpoints that no container has joined.
    pub idle: usize,
    /// Networks and endpoints removed: their container is gone, or their creation or removal was
    /// cut short.
    pub removed: usize,
    /// Networks and endpoints that the engine refused; tried again later.
    pub failed: usize,
}

/// What [`Driver::collect`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Endpoints removed.
    pub endpoints: Vec<EndpointId>,
    /// Networks removed.
    pub networks: Vec<NetworkId>,
}

enum Restoring {
    Running,
    Idle,
    Gone,
}

impl Driver {
    /// Makes the engine have what the state says, and the state forget what is gone. Runs once,
    /// before Docker is served. A network or endpoint that fails does not stop the others.
    pub fn restore(&self) -> RestoreReport {
        let mut report = RestoreReport::default();
        self.remove_remains(&mut report);
        for network in self.snapshot().networks() {
            match self.engine.create_network(&network.spec) {
                Ok(()) => report.networks += 1,
                Err(error) => {
                    error!(network = network.spec.id.short(), %error, "cannot restore a network");
                    report.failed += 1;
                }
            }
        }
        for endpoint in self.snapshot().endpoints() {
            match self.restore_endpoint(endpoint) {
                Ok(Restoring::Running) => report.running += 1,
                Ok(Restoring::Idle) => report.idle += 1,
                Ok(Restoring::Gone) => report.removed += 1,
                Err(error) => {
                    let id = &endpoint.spec.id;
                    error!(endpoint = id.short(), %error, "cannot restore an endpoint");
                    self.lock(&self.unrestored).insert(id.clone());
                    report.failed += 1;
                }
            }
        }
        self.sweep_host();
        report
    }

    /// Removes what Docker has forgotten: endpoints whose container is gone, endpoints that stayed
    /// idle for [`IDLE_GRACE`], remains of removals that failed. Tries again to restore what could
    /// not be restored. Failures are logged and left for the next time.
    pub fn collect(&self, now: Instant) -> Collected {
        self.drop_old_hearsay(now);
        self.engine.tend();
        let mut collected = Collected::default();
        let state = self.snapshot();
        for record in state.endpoints() {
            let id = &record.spec.id;
            match self.collect_endpoint(&record.spec.network, id, now) {
                Ok(true) => collected.endpoints.push(id.clone()),
                Ok(false) => {}
                Err(error) => warn!(endpoint = id.short(), %error, "cannot tidy up an endpoint"),
            }
        }
        for network in state.networks().filter(|record| record.standing == Standing::Unsettled) {
            let id = &network.spec.id;
            match self.collect_network(id) {
                Ok(true) => collected.networks.push(id.clone()),
                Ok(false) => {}
                Err(error) => warn!(network = id.short(), %error, "cannot tidy up a network"),
            }
        }
        collected
    }

    /// Forgets a network that Docker no longer has; refused while it has endpoints.
    pub fn forget_network(&self, id: &NetworkId) -> Result<(), DriverError> {
        let _network = self.gate.take_network(id);
        let count = self.state().endpoints_of(id).count();
        if count > 0 {
            return Err(StateError::InUse { network: id.clone(), count }.into());
        }
        self.remove_network(id)
    }

    /// Forgets an endpoint that Docker no longer has; refused while its container is there.
    pub fn forget_endpoint(&self, id: &EndpointId) -> Result<(), DriverError> {
        let Some(record) = self.state().find_endpoint(id).cloned() else {
            return Err(StateError::UnknownEndpoint(id.clone()).into());
        };
        let _network = self.gate.share_network(&record.spec.network);
        let _endpoint = self.gate.take_endpoint(id);
        let Some(record) = self.state().find_endpoint(id).cloned() else { return Ok(()) };
        match &record.sandbox {
            Some(sandbox) if self.is_alive(&record, sandbox)? => {
                Err(StateError::Joined { endpoint: id.clone(), sandbox: sandbox.clone() }.into())
            }
            _ => self.remove_endpoint(id),
        }
    }

    fn sweep_host(&self) {
        let known = |id: &EndpointId| self.state().find_endpoint(id).is_some();
        match self.engine.sweep(&known) {
            Ok(0) => {}
            Ok(links) => info!(links, "removed links that a dead agent left on the host"),
            Err(error) => warn!(%error, "cannot look for links that a dead agent left on the host"),
        }
    }

    fn remove_remains(&self, report: &mut RestoreReport) {
        let state = self.snapshot();
        let unsettled = |standing| standing == Standing::Unsettled;
        for record in state.endpoints().filter(|record| unsettled(record.standing)) {
            self.count_removal(self.remove_endpoint(&record.spec.id), report);
        }
        for record in state.networks().filter(|record| unsettled(record.standing)) {
            self.count_removal(self.remove_network(&record.spec.id), report);
        }
    }

    #[allow(clippy::unused_self, reason = "reads as a step of the restoration")]
    fn count_removal(&self, result: Result<(), DriverError>, report: &mut RestoreReport) {
        match result {
            Ok(()) => report.removed += 1,
            Err(error) => {
                error!(%error, "cannot remove the remains of an unfinished operation");
                report.failed += 1;
            }
        }
    }

    fn restore_endpoint(&self, record: &EndpointRecord) -> Result<Restoring, DriverError> {
        if record.standing == Standing::Unsettled {
            return Ok(Restoring::Idle);
        }
        let id = &record.spec.id;
        let doing = |source| failed("restore the endpoint", source);
        self.engine_create_endpoint(record).map_err(doing)?;
        let Some(sandbox) = &record.sandbox else { return Ok(Restoring::Idle) };
        match self.engine.rejoin(id, sandbox).map_err(doing)? {
            Restored::Running => {
                if record.external {
                    self.publish(&record.spec.network, id, &record.ports)?;
                }
                Ok(Restoring::Running)
            }
            Restored::Gone => {
                info!(endpoint = id.short(), %sandbox, "the container is gone");
                self.remove_endpoint(id)?;
                Ok(Restoring::Gone)
            }
        }
    }

    /// Whether the endpoint was removed.
    fn collect_endpoint(
        &self,
        network: &NetworkId,
        id: &EndpointId,
        now: Instant,
    ) -> Result<bool, DriverError> {
        let _network = self.gate.share_network(network);
        let _endpoint = self.gate.take_endpoint(id);
        let Some(record) = self.snapshot_endpoint(id) else { return Ok(false) };
        if record.standing == Standing::Settled && self.lock(&self.unrestored).contains(id) {
            let restored = self.restore_endpoint(&record)?;
            self.lock(&self.unrestored).remove(id);
            return Ok(matches!(restored, Restoring::Gone));
        }
        let forgotten = match &record.sandbox {
            _ if record.standing == Standing::Unsettled => true,
            Some(sandbox) => {
                self.lock(&self.idle_since).remove(id);
                !self.is_alive(&record, sandbox)?
            }
            None => self.has_idled(id, now),
        };
        if forgotten {
            info!(endpoint = id.short(), "removing an endpoint that Docker has forgotten");
            self.remove_endpoint(id)?;
        }
        Ok(forgotten)
    }

    fn collect_network(&self, id: &NetworkId) -> Result<bool, DriverError> {
        let _network = self.gate.take_network(id);
        let remains = self
            .state()
            .find_network(id)
            .is_some_and(|record| record.standing == Standing::Unsettled);
        if remains {
            self.remove_network(id)?;
        }
        Ok(remains)
    }

    fn has_idled(&self, id: &EndpointId, now: Instant) -> bool {
        let mut idle_since = self.lock(&self.idle_since);
        let since = *idle_since.entry(id.clone()).or_insert(now);
        now.saturating_duration_since(since) >= IDLE_GRACE
    }

    fn snapshot_endpoint(&self, id: &EndpointId) -> Option<EndpointRecord> {
        self.state().find_endpoint(id).cloned()
    }
}
