//! Does what was decided: makes changes durable, asks the engine, and undoes on failure.
//!
//! The order is what makes a crash harmless. A creation is stored as unsettled, done by the engine,
//! then stored as settled; a removal the other way round. A join is stored before the engine does
//! it. So at every point the stored state names whatever the engine may have made, and
//! [`Driver::restore`] brings both together again.
//!
//! All methods block; they may be called from any number of threads.

mod error;
mod external;
mod farewell;
mod stale;
mod upkeep;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use crate::docker::request::EndpointRequest;
use crate::engine::{Attachment, Engine, EngineError};
use crate::gate::Gate;
use crate::model::vxlan::MtuSource;
use crate::model::{EndpointId, IfName, NetworkId, NetworkSpec, PortMapping, SandboxKey};
use crate::state::{
    Begin, Change, Claim, EndpointRecord, Gateways, NetworkRecord, Standing, State, StateError,
};
use crate::store::Store;

use error::failed;
use farewell::Farewells;
use stale::DockerSide;

pub use error::DriverError;
pub use upkeep::{Collected, RestoreReport};

/// How long an endpoint may belong to no container. Docker joins an endpoint within seconds of
/// making it, and removes it right after it left, so one that is idle for longer was forgotten.
pub const IDLE_GRACE: Duration = Duration::from_mins(5);

/// How often a creation may find its address held by an endpoint that Docker has forgotten: both
/// addresses and the Ethernet address can have such holders, and one more look after the last.
const STALE_HOLDERS: usize = 4;

/// The agent's networks and endpoints.
pub struct Driver {
    engine: Arc<dyn Engine>,
    store: Store,
    state: Mutex<State>,
    gate: Gate,
    idle_since: Mutex<HashMap<EndpointId, Instant>>,
    unrestored: Mutex<HashSet<EndpointId>>,
    docker: DockerSide,
    farewells: Farewells,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("engine", &self.engine.name()).finish_non_exhaustive()
    }
}

/// What a container needs to use its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The link in the host that Docker moves into the container.
    pub link: IfName,
    /// The name that the user wants it to have there.
    pub ifname: Option<IfName>,
    /// Where its default routes go.
    pub gateways: Gateways,
}

impl Driver {
    /// A driver on an opened state. [`Driver::restore`] must run before Docker is served.
    pub fn new(engine: Arc<dyn Engine>, store: Store, state: State) -> Self {
        Self {
            engine,
            store,
            state: Mutex::new(state),
            gate: Gate::default(),
            idle_since: Mutex::default(),
            unrestored: Mutex::default(),
            docker: DockerSide::default(),
            farewells: Farewells::default(),
        }
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// A copy of the state.
    pub fn snapshot(&self) -> State {
        self.state().clone()
    }

    /// Creates a network; repeating the same request succeeds.
    pub fn create_network(&self, asked: &NetworkSpec) -> Result<(), DriverError> {
        let _network = self.gate.take_network(&asked.id);
        self.heard_of_network(&asked.id);
        let spec = &self.prepared(asked)?;
        let mut begin = self.begin_network(spec).inspect_err(|error| self.doubt_holder(error))?;
        if begin == Begin::Leftover {
            self.remove_network(&spec.id)?;
            begin = self.begin_network(spec)?;
        }
        let Begin::Fresh(record) = begin else {
            debug!(network = spec.id.short(), "the network exists already");
            return Ok(());
        };
        if let Err(source) = self.engine.create_network(spec) {
            self.forget(Change::DropNetwork(spec.id.clone()));
            return Err(failed("create the network", source));
        }
        let settled = NetworkRecord { standing: Standing::Settled, ..record };
        if let Err(error) = self.put(vec![Change::PutNetwork(settled)]) {
            self.undo(self.engine.delete_network(&spec.id));
            self.forget(Change::DropNetwork(spec.id.clone()));
            return Err(error);
        }
        info!(network = spec.id.short(), mtu = spec.mtu, "network created");
        Ok(())
    }

    /// Removes a network and what is left in it. Docker has no more endpoints there by then, so
    /// those that are still known are ones whose removal was missed.
    pub fn delete_network(&self, id: &NetworkId) -> Result<(), DriverError> {
        let _network = self.gate.take_network(id);
        self.remove_network(id)
    }

    /// Creates an endpoint; repeating the same request gives the same answer.
    pub fn create_endpoint(
        &self,
        request: &EndpointRequest,
    ) -> Result<EndpointRecord, DriverError> {
        let _network = self.gate.share_network(&request.network);
        for _ in 0..STALE_HOLDERS {
            match self.try_create_endpoint(request) {
                Err(DriverError::State(StateError::Taken { claim, holder }))
                    if self.evict(&request.network, &holder, claim)? => {}
                other => return other,
            }
        }
        self.try_create_endpoint(request)
    }

    /// Removes an endpoint; one that does not exist is fine. Returns when Docker may be told.
    pub fn delete_endpoint(&self, network: &NetworkId, id: &EndpointId) -> Result<(), DriverError> {
        let arrived = Instant::now();
        let left = self.farewells.left(id);
        let removed = self.delete_known_endpoint(network, id);
        // Docker may count it even if it was not removed.
        self.farewells.take_turn(arrived, left, |sandbox| {
            // What cannot be seen is not waited for.
            self.engine.sandbox_alive(id, sandbox).unwrap_or(false)
        });
        removed
    }

    fn delete_known_endpoint(
        &self,
        network: &NetworkId,
        id: &EndpointId,
    ) -> Result<(), DriverError> {
        let _network = self.gate.share_network(network);
        let _endpoint = self.gate.take_endpoint(id);
        match self.known_endpoint(network, id)? {
            Some(_) => self.remove_endpoint(id),
            None => Ok(()),
        }
    }

    /// Gives the endpoint to a container.
    pub fn join(
        &self,
        network: &NetworkId,
        id: &EndpointId,
        sandbox: &SandboxKey,
        ports: Option<Vec<PortMapping>>,
    ) -> Result<Joined, DriverError> {
        let _network = self.gate.share_network(network);
        let _endpoint = self.gate.take_endpoint(id);
        self.heard_of_endpoint(id);
        self.part_from_dead_sandbox(network, id, sandbox)?;
        let before = self.state().endpoint(network, id)?.clone();
        let (record, gateways) = self.transact(|state| {
            let record = state.join(network, id, sandbox, ports)?;
            let gateways = state.gateways(&record.spec);
            Ok((vec![Change::PutEndpoint(record.clone())], (record, gateways)))
        })?;
        let attachment = match self.engine_join(&record, sandbox) {
            Ok(attachment) => attachment,
            Err(source) => {
                self.forget(Change::PutEndpoint(EndpointRecord { sandbox: None, ..before }));
                return Err(failed("attach the container", source));
            }
        };
        info!(
            network = network.short(),
            endpoint = id.short(),
            mac = %record.spec.mac,
            link = %attachment.link,
            "container joined"
        );
        Ok(Joined { link: attachment.link, ifname: record.ifname, gateways })
    }

    /// Takes the endpoint from its container; fine when none has it.
    pub fn leave(&self, network: &NetworkId, id: &EndpointId) -> Result<(), DriverError> {
        let _network = self.gate.share_network(network);
        let _endpoint = self.gate.take_endpoint(id);
        let Some(record) = self.known_endpoint(network, id)? else { return Ok(()) };
        if record.sandbox.is_none() {
            return Ok(());
        }
        self.part(record)
    }

    /// What the network shall be; for one that exists already, what it is.
    fn prepared(&self, asked: &NetworkSpec) -> Result<NetworkSpec, DriverError> {
        let held = self.state().find_network(&asked.id).map(|record| record.spec.clone());
        let Some(held) = held else {
            let prepared = self.engine.prepare_network(asked);
            return prepared.map_err(|source| failed("create the network", source));
        };
        let found = asked.vxlan.as_ref().is_some_and(|it| it.mtu == MtuSource::Underlay);
        Ok(NetworkSpec { mtu: if found { held.mtu } else { asked.mtu }, ..asked.clone() })
    }

    fn begin_network(&self, spec: &NetworkSpec) -> Result<Begin<NetworkRecord>, DriverError> {
        self.transact(|state| {
            let begin = state.begin_network(spec)?;
            let changes = match &begin {
                Begin::Fresh(record) => vec![Change::PutNetwork(record.clone())],
                Begin::Done(_) | Begin::Leftover => Vec::new(),
            };
            Ok((changes, begin))
        })
    }

    fn begin_endpoint(
        &self,
        request: &EndpointRequest,
    ) -> Result<Begin<EndpointRecord>, DriverError> {
        self.transact(|state| {
            let begin = state.begin_endpoint(request)?;
            let changes = match &begin {
                Begin::Fresh(record) => vec![Change::PutEndpoint(record.clone())],
                Begin::Done(_) | Begin::Leftover => Vec::new(),
            };
            Ok((changes, begin))
        })
    }

    fn try_create_endpoint(
        &self,
        request: &EndpointRequest,
    ) -> Result<EndpointRecord, DriverError> {
        let _endpoint = self.gate.take_endpoint(&request.id);
        self.heard_of_network(&request.network);
        self.heard_of_endpoint(&request.id);
        let mut begin = self.begin_endpoint(request)?;
        if begin == Begin::Leftover {
            self.remove_endpoint(&request.id)?;
            begin = self.begin_endpoint(request)?;
        }
        let record = match begin {
            Begin::Fresh(record) => record,
            Begin::Done(record) => return Ok(record),
            Begin::Leftover => return Err(StateError::EndpointDiffers(request.id.clone()).into()),
        };
        if let Err(source) = self.engine_create_endpoint(&record) {
            self.forget(Change::DropEndpoint(request.id.clone()));
            return Err(failed("create the endpoint", source));
        }
        let settled = EndpointRecord { standing: Standing::Settled, ..record };
        if let Err(error) = self.put(vec![Change::PutEndpoint(settled.clone())]) {
            self.undo(self.engine.delete_endpoint(&request.id));
            self.forget(Change::DropEndpoint(request.id.clone()));
            return Err(error);
        }
        debug!(endpoint = request.id.short(), mac = %settled.spec.mac, "endpoint created");
        Ok(settled)
    }

    /// Removes an endpoint that holds what Docker gave to a new one, if it is one that Docker has
    /// forgotten; says whether it did. Holds no other endpoint's pass.
    fn evict(
        &self,
        network: &NetworkId,
        holder: &EndpointId,
        claim: Claim,
    ) -> Result<bool, DriverError> {
        let _endpoint = self.gate.take_endpoint(holder);
        let Some(record) = self.state().find_endpoint(holder).cloned() else { return Ok(true) };
        let forgotten = match (&record.sandbox, claim) {
            (Some(sandbox), _) => !self.is_alive(&record, sandbox)?,
            (None, Claim::Address(_)) => true,
            (None, Claim::Mac(_)) => record.standing == Standing::Unsettled,
        };
        if forgotten {
            let (network, endpoint) = (network.short(), holder.short());
            warn!(network, endpoint, %claim, "removing an endpoint that Docker has forgotten");
            self.remove_endpoint(holder)?;
        }
        Ok(forgotten)
    }

    /// Leaves a container that is no longer there, so that the endpoint can join another.
    fn part_from_dead_sandbox(
        &self,
        network: &NetworkId,
        id: &EndpointId,
        wanted: &SandboxKey,
    ) -> Result<(), DriverError> {
        let record = self.state().endpoint(network, id)?.clone();
        match &record.sandbox {
            Some(held) if held != wanted && !self.is_alive(&record, held)? => self.part(record),
            _ => Ok(()),
        }
    }

    fn part(&self, record: EndpointRecord) -> Result<(), DriverError> {
        let id = record.spec.id.clone();
        if let Some(sandbox) = record.sandbox.clone() {
            self.farewells.remember(&id, sandbox);
        }
        self.put(vec![Change::PutEndpoint(EndpointRecord {
            sandbox: None,
            external: false,
            ..record
        })])?;
        self.lock(&self.unrestored).remove(&id);
        self.engine.leave(&id).map_err(|source| failed("detach the container", source))?;
        info!(endpoint = id.short(), "container left");
        Ok(())
    }

    fn remove_network(&self, id: &NetworkId) -> Result<(), DriverError> {
        let Some(record) = self.state().find_network(id).cloned() else { return Ok(()) };
        if record.standing == Standing::Settled {
            let doomed = NetworkRecord { standing: Standing::Unsettled, ..record };
            self.put(vec![Change::PutNetwork(doomed)])?;
        }
        let left: Vec<EndpointId> =
            self.state().endpoints_of(id).map(|record| record.spec.id.clone()).collect();
        for endpoint in left {
            warn!(
                network = id.short(),
                endpoint = endpoint.short(),
                "removing a left-over endpoint"
            );
            let _endpoint = self.gate.take_endpoint(&endpoint);
            self.remove_endpoint(&endpoint)?;
        }
        self.engine.delete_network(id).map_err(|source| failed("delete the network", source))?;
        self.put(vec![Change::DropNetwork(id.clone())])?;
        info!(network = id.short(), "network deleted");
        Ok(())
    }

    fn remove_endpoint(&self, id: &EndpointId) -> Result<(), DriverError> {
        let Some(record) = self.state().find_endpoint(id).cloned() else { return Ok(()) };
        if record.standing == Standing::Settled {
            let doomed = EndpointRecord { standing: Standing::Unsettled, ..record };
            self.put(vec![Change::PutEndpoint(doomed)])?;
        }
        self.engine.delete_endpoint(id).map_err(|source| failed("delete the endpoint", source))?;
        self.put(vec![Change::DropEndpoint(id.clone())])?;
        self.lock(&self.idle_since).remove(id);
        self.lock(&self.unrestored).remove(id);
        self.farewells.forget(id);
        debug!(endpoint = id.short(), "endpoint deleted");
        Ok(())
    }

    /// The record of an endpoint that may be unknown, which must be on `network`.
    fn known_endpoint(
        &self,
        network: &NetworkId,
        id: &EndpointId,
    ) -> Result<Option<EndpointRecord>, DriverError> {
        match self.state().find_endpoint(id) {
            Some(record) if record.spec.network != *network => Err(StateError::WrongNetwork {
                endpoint: id.clone(),
                actual: record.spec.network.clone(),
                asked: network.clone(),
            }
            .into()),
            other => Ok(other.cloned()),
        }
    }

    fn is_alive(&self, record: &EndpointRecord, sandbox: &SandboxKey) -> Result<bool, DriverError> {
        self.engine
            .sandbox_alive(&record.spec.id, sandbox)
            .map_err(|source| failed("look for the container", source))
    }

    /// Creates the endpoint, after its network if the engine has lost that.
    fn engine_create_endpoint(&self, record: &EndpointRecord) -> Result<(), EngineError> {
        match self.engine.create_endpoint(&record.spec) {
            Err(EngineError::NoNetwork(id)) => {
                let Some(network) = self.state().find_network(&id).cloned() else {
                    return Err(EngineError::NoNetwork(id));
                };
                self.engine.create_network(&network.spec)?;
                self.engine.create_endpoint(&record.spec)
            }
            other => other,
        }
    }

    /// Joins, after creating the endpoint if the engine has lost it.
    fn engine_join(
        &self,
        record: &EndpointRecord,
        sandbox: &SandboxKey,
    ) -> Result<Attachment, EngineError> {
        match self.engine.join(&record.spec.id, sandbox) {
            Err(EngineError::NoEndpoint(_)) => {
                self.engine_create_endpoint(record)?;
                self.engine.join(&record.spec.id, sandbox)
            }
            other => other,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.lock(&self.state)
    }

    /// A lock whose data stays whole even if a thread panicked with it: every change to it is one
    /// insertion or removal.
    #[allow(clippy::unused_self, reason = "reads as one of the driver's locks")]
    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides, makes durable, applies.
    fn transact<T>(
        &self,
        decide: impl FnOnce(&State) -> Result<(Vec<Change>, T), StateError>,
    ) -> Result<T, DriverError> {
        let mut state = self.state();
        let (changes, value) = decide(&state)?;
        self.store.commit(&changes)?;
        for change in changes {
            state.apply(change);
        }
        Ok(value)
    }

    fn put(&self, changes: Vec<Change>) -> Result<(), DriverError> {
        self.transact(|_| Ok((changes, ())))
    }

    /// Takes a change back while another error is on its way; the record stays unsettled if that
    /// fails too, and the next collection or start removes it.
    fn forget(&self, change: Change) {
        if let Err(error) = self.put(vec![change]) {
            error!(%error, "cannot take back a failed change; it is tried again later");
        }
    }

    #[allow(clippy::unused_self, reason = "reads as a step of the driver")]
    fn undo(&self, result: Result<(), EngineError>) {
        if let Err(error) = result {
            warn!(%error, "the engine could not undo a step");
        }
    }
}
