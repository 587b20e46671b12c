//! The embedded engine behind the [`Engine`] trait: a network is a bridge domain of the data path, an
//! endpoint one of its ports.
//!
//! * `network`, `info`, `rooms`: what follows from the specifications alone.
//! * `eth`: the link that becomes `eth0`.
//! * `sockets`, `info_server`: what is bound in the container's network namespace.
//! * `endpoint`: joining and leaving, which puts these together.
//!
//! Two threads serve all endpoints: one waits for sandboxes and links to appear, one answers on the
//! info sockets. Both sleep when there is nothing to do.

mod capture;
mod endpoint;
mod error;
mod eth;
mod info;
mod info_server;
mod network;
mod rooms;
mod sockets;
mod tables;

use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use dataplane::control::{FdbEntry, PortOwner, PortStatus};
use dataplane::{Dataplane, PortConfig, WorkerConfig, control};

use self::capture::PortCapture;
use self::endpoint::{Endpoint, Services};
use self::error::from_netns;
use self::eth::LinkMaker;
use self::info_server::InfoServer;
use self::network::domain_config;
use self::rooms::Rooms;
use self::tables::{Network, Tables};
use super::{
    Attachment, CaptureScope, EndpointStatus, Engine, EngineError, FdbLine, FrameSource,
    MemifClient, Restored,
};
use crate::host::netns::NetNs;
use crate::host::watch::Watch;
use crate::model::{EndpointId, EndpointSpec, NetworkId, NetworkSpec, SandboxKey};

/// How the embedded engine runs.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The worker threads.
    pub workers: WorkerConfig,
    /// Queues of each TAP, 1..=256. A domain lives on one worker, so that more than one gains little
    /// and costs a descriptor each.
    pub tap_queues: u16,
    /// Marks the links of this agent, so that two agents on one host leave each other's alone.
    pub owner: String,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { workers: WorkerConfig::default(), tap_queues: 1, owner: "dockervpp".to_owned() }
    }
}

/// The embedded engine. Dropping it closes every socket and stops the data path; links stay in their
/// containers and work again after [`Engine::rejoin`].
#[derive(Debug)]
pub struct EmbeddedEngine {
    services: Arc<Services>,
    tables: Arc<Tables>,
}

impl EmbeddedEngine {
    /// Starts the data path and the two threads.
    pub fn start(options: EmbeddedOptions) -> Result<Self, EngineError> {
        let thread = |what: &str| {
            let what = format!("cannot start the {what} thread");
            move |source| EngineError::Io { what, source }
        };
        let services = Services {
            links: LinkMaker::new(options.owner, options.tap_queues)?,
            dataplane: Dataplane::start(options.workers)?,
            watch: Watch::start().map_err(thread("watch"))?,
            info: InfoServer::start().map_err(thread("info"))?,
            rooms: Mutex::new(Rooms::default()),
        };
        Ok(Self { services: Arc::new(services), tables: Arc::default() })
    }

    fn dataplane(&self) -> &Dataplane {
        &self.services.dataplane
    }

    fn endpoint(&self, id: &EndpointId) -> Result<Arc<Endpoint>, EngineError> {
        self.tables.endpoint(id).ok_or_else(|| EngineError::NoEndpoint(id.clone()))
    }

    fn port_status(&self, endpoint: &Endpoint) -> Result<Option<PortStatus>, EngineError> {
        let ports = self.dataplane().ports()?;
        Ok(ports.into_iter().find(|status| status.id == endpoint.port))
    }

    fn fdb_line(&self, entry: &FdbEntry) -> FdbLine {
        FdbLine {
            mac: entry.mac,
            endpoint: entry.port.and_then(|port| self.tables.endpoint_of(port)),
            pinned: entry.pinned,
            age: entry.age,
        }
    }
}

impl Engine for EmbeddedEngine {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn create_network(&self, network: &NetworkSpec) -> Result<(), EngineError> {
        match self.tables.networks().entry(network.id.clone()) {
            Entry::Occupied(entry) if *entry.get().spec == *network => Ok(()),
            Entry::Occupied(_) => Err(different("network", network.id.as_str())),
            Entry::Vacant(entry) => {
                let domain = self.dataplane().create_domain(domain_config(network))?;
                entry.insert(Network { spec: Arc::new(network.clone()), domain });
                Ok(())
            }
        }
    }

    fn delete_network(&self, network: &NetworkId) -> Result<(), EngineError> {
        let mut networks = self.tables.networks();
        let Some(found) = networks.get(network) else { return Ok(()) };
        match self.dataplane().delete_domain(found.domain) {
            Ok(()) | Err(dataplane::DataplaneError::NoDomain(_)) => {}
            Err(error) => return Err(error.into()),
        }
        networks.remove(network);
        Ok(())
    }

    fn create_endpoint(&self, endpoint: &EndpointSpec) -> Result<(), EngineError> {
        let network = self.tables.network(&endpoint.network)?;
        match self.tables.endpoints().entry(endpoint.id.clone()) {
            Entry::Occupied(entry) if entry.get().spec == *endpoint => Ok(()),
            Entry::Occupied(_) => Err(different("endpoint", endpoint.id.as_str())),
            Entry::Vacant(entry) => {
                let name = endpoint.id.short().to_owned();
                let config = PortConfig { name, mac: Some(endpoint.mac) };
                let port = self.dataplane().create_port(network.domain, config)?;
                entry.insert(Arc::new(Endpoint::new(endpoint.clone(), network.spec, port)));
                Ok(())
            }
        }
    }

    fn delete_endpoint(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        let Some(found) = self.tables.endpoint(endpoint) else {
            // An agent that died may have left a link of an endpoint that this one never knew.
            return self.services.links.remove(endpoint);
        };
        self.leave(endpoint)?;
        self.services.delete(&found)?;
        self.tables.endpoints().remove(endpoint);
        Ok(())
    }

    fn join(&self, endpoint: &EndpointId, sandbox: &SandboxKey) -> Result<Attachment, EngineError> {
        self.services.join(&self.endpoint(endpoint)?, sandbox)
    }

    fn leave(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        let Some(found) = self.tables.endpoint(endpoint) else { return Ok(()) };
        let heir = self.services.leave(&found)?;
        if let Some(heir) = heir.and_then(|heir| self.tables.endpoint(&heir)) {
            self.services.pursue_again(&heir);
        }
        Ok(())
    }

    fn rejoin(&self, endpoint: &EndpointId, sandbox: &SandboxKey) -> Result<Restored, EngineError> {
        self.services.rejoin(&self.endpoint(endpoint)?, sandbox)
    }

    fn sandbox_alive(
        &self,
        endpoint: &EndpointId,
        sandbox: &SandboxKey,
    ) -> Result<bool, EngineError> {
        if NetNs::open(&sandbox.0).map_err(from_netns)?.is_some() {
            return Ok(true);
        }
        Ok(self.tables.endpoint(endpoint).is_some_and(|endpoint| endpoint.awaits_sandbox()))
    }

    fn sweep(&self, known: &dyn Fn(&EndpointId) -> bool) -> Result<usize, EngineError> {
        self.services.links.sweep(known)
    }

    fn endpoint_status(
        &self,
        endpoint: &EndpointId,
    ) -> Result<Option<EndpointStatus>, EngineError> {
        let Some(found) = self.tables.endpoint(endpoint) else { return Ok(None) };
        let Some(status) = self.port_status(&found)? else { return Ok(None) };
        let outlook = found.outlook();
        Ok(Some(EndpointStatus {
            owner: owner_name(status.owner),
            interface: outlook.interface,
            memif: status.memif.map(|memif| MemifClient {
                name: memif.peer,
                rx_queues: memif.queues.0,
                tx_queues: memif.queues.1,
                ring_size: memif.ring_size,
            }),
            sockets: outlook.sockets,
            counters: status.counters,
        }))
    }

    fn fdb(&self, network: &NetworkId) -> Result<Vec<FdbLine>, EngineError> {
        let entries = self.dataplane().fdb(self.tables.network(network)?.domain)?;
        Ok(entries.iter().map(|entry| self.fdb_line(entry)).collect())
    }

    fn capture(
        &self,
        scope: &CaptureScope,
        snap_length: u32,
    ) -> Result<Box<dyn FrameSource>, EngineError> {
        let scope = match scope {
            CaptureScope::Network(id) => {
                control::CaptureScope::Domain(self.tables.network(id)?.domain)
            }
            CaptureScope::Endpoint(id) => control::CaptureScope::Port(self.endpoint(id)?.port),
        };
        let capture = self.dataplane().capture(scope, snap_length)?;
        Ok(Box::new(PortCapture { capture, tables: Arc::clone(&self.tables) }))
    }

    fn warnings(&self) -> Vec<String> {
        self.services.links.warnings()
    }
}

fn owner_name(owner: PortOwner) -> &'static str {
    match owner {
        PortOwner::None => "none",
        PortOwner::Tap => "tap",
        PortOwner::Memif => "memif",
    }
}

fn different(kind: &str, id: &str) -> EngineError {
    EngineError::Host {
        what: format!("{kind} {id} exists already, with other settings"),
        remedy: "remove it first".to_owned(),
    }
}
