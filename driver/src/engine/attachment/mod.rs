//! An endpoint's side in its container, the same whichever engine forwards its packets.
//!
//! * `gateway`, `info`, `rooms`: what follows from the specifications alone.
//! * `eth`: the link that becomes `eth0`; `veth`: the host's end of one that is a veth pair.
//! * `sockets`, `info_server`: what is bound in the container's network namespace.
//! * `station`: the network stack of an endpoint whose kernel has no way to the network. (With `tcp=vcl` it is the engine's:
//!   [`HostStacks`].)
//! * `vhost`: the folders of vhost-user sockets.
//! * `endpoint`: what an endpoint is and has; `services`: joining and leaving, which puts these together.
//!
//! Each endpoint has a port of the agent's data path, for its link or its network stack; what that port
//! is bridged with is the engine's affair, and so is who serves memif clients ([`MemifSockets`]).
//!
//! Three threads serve all endpoints: one waits for sandboxes and links to appear, one answers on the
//! info sockets, one is the session broker; and each joined endpoint of kind `userspace` or `vhost-user` has one for its
//! network stack, of kind `vhost-user` another for its
//! socket. They sleep when there is nothing to do.

mod capture;
mod endpoint;
mod error;
mod eth;
mod gateway;
mod info;
mod info_server;
mod rooms;
mod services;
mod sockets;
mod station;
mod tables;
mod veth;
mod vhost;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use dataplane::{Dataplane, WorkerConfig, control};
use session::broker::{self, EndpointKey, Service};
use transport::Host;

use self::capture::PortCapture;
pub(super) use self::endpoint::Endpoint;
use self::error::from_netns;
pub(super) use self::error::{from_link, from_tap};
use self::eth::LinkMaker;
pub(super) use self::gateway::gateway_mac;
pub(super) use self::info::gateways;
use self::info_server::InfoServer;
use self::rooms::Rooms;
use self::services::Services;
use self::tables::Endpoints;
use self::vhost::VhostFolders;
use super::session::{ListenerStatus, SessionStatus};
use super::{
    Attachment, EndpointStatus, EngineError, FrameSource, MemifClient, Restored, VhostDevice,
    VhostFrontEnd,
};
use crate::host::netns::NetNs;
use crate::host::root::HostRoot;
use crate::host::socket::AbstractName;
use crate::host::watch::Watch;
use crate::model::{Antispoof, EndpointId, EndpointSpec, SandboxKey};

/// How endpoints are attached to containers.
#[derive(Debug, Clone)]
pub struct AttachmentOptions {
    /// The worker threads.
    pub workers: WorkerConfig,
    /// Queues of each TAP, 1..=256. A domain lives on one worker, so that more than one gains little
    /// and costs a descriptor each.
    pub tap_queues: u16,
    /// Marks the links of this agent, so that two agents on one host leave each other's alone.
    pub owner: String,
    /// Where the folders of vhost-user sockets are.
    pub vhost_directory: PathBuf,
    /// Where the namespaces of containers and the settings of the kernel are.
    pub host: HostRoot,
}

impl Default for AttachmentOptions {
    fn default() -> Self {
        Self {
            workers: WorkerConfig::default(),
            tap_queues: 1,
            owner: "dockervpp".to_owned(),
            vhost_directory: PathBuf::from("/run/dockervpp/vhost-user"),
            host: HostRoot::own(),
        }
    }
}

/// Who serves memif clients where it is not the agent's data path. The sockets are bound by it too.
pub(super) trait MemifSockets: Debug + Send + Sync {
    /// Serves the clients of an endpoint on a name in its container's network namespace, as well as on
    /// those that were named before. An error means that the name can be tried again.
    fn listen(
        &self,
        endpoint: &EndpointId,
        sandbox: &SandboxKey,
        name: &AbstractName,
    ) -> Result<(), EngineError>;

    /// Closes all of the endpoint's names; no reference to the namespace is left when this returns.
    fn unlisten(&self, endpoint: &EndpointId) -> Result<(), EngineError>;

    /// Keeps the endpoint's address for the front end of its vhost-user device: memif clients are turned away until
    /// [`Self::release`]. An error says why it cannot have it.
    #[cfg(feature = "vhost-user")]
    fn claim(&self, endpoint: &EndpointId) -> Result<(), EngineError>;

    /// The front end has left the address.
    #[cfg(feature = "vhost-user")]
    fn release(&self, endpoint: &EndpointId);
}

/// Who has the network stack of endpoints of kind `userspace` with `tcp=vcl`.
pub(super) trait HostStacks: Debug + Send + Sync {
    /// Starts it for an endpoint that joins; dropping what this returns ends it.
    fn start(
        &self,
        endpoint: &EndpointId,
        key: EndpointKey,
        broker: &Service,
    ) -> Result<Host, EngineError>;

    /// The endpoint leaves.
    fn stop(&self, endpoint: &EndpointId);
}

/// Who serves memif clients.
#[derive(Debug)]
pub(super) enum MemifService {
    /// The agent's data path, at the endpoint's port.
    DataPath,
    /// The engine.
    Engine(Arc<dyn MemifSockets>),
}

/// All endpoints and what serves them. Dropping it closes every socket and stops the data path; links
/// stay in their containers and work again after [`Attachments::rejoin`].
#[derive(Debug)]
pub(super) struct Attachments {
    services: Arc<Services>,
    endpoints: Arc<Endpoints>,
}

impl Attachments {
    /// Starts the data path and the three threads.
    pub(super) fn start(
        options: AttachmentOptions,
        memif: MemifService,
        host_stacks: Option<Arc<dyn HostStacks>>,
    ) -> Result<Self, EngineError> {
        let thread = |what: &str| {
            let what = format!("cannot start the {what} thread");
            move |source| EngineError::Io { what, source }
        };
        let services = Services {
            links: LinkMaker::new(options.owner, options.tap_queues)?,
            dataplane: Dataplane::start(options.workers)?,
            memif,
            vhost: VhostFolders::new(options.vhost_directory, options.host.clone()),
            host: options.host,
            host_stacks,
            watch: Watch::start().map_err(thread("watch"))?,
            info: InfoServer::start().map_err(thread("info"))?,
            broker: Service::start(broker::Options::default()).map_err(thread("broker"))?,
            rooms: Mutex::new(Rooms::default()),
        };
        Ok(Self { services: Arc::new(services), endpoints: Arc::default() })
    }

    /// The agent's data path.
    pub(super) fn dataplane(&self) -> &Dataplane {
        &self.services.dataplane
    }

    /// The endpoints.
    pub(super) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Creates an endpoint that `make` gives a port; one that is there already must be the same.
    pub(super) fn create(
        &self,
        spec: &EndpointSpec,
        make: impl FnOnce() -> Result<Endpoint, EngineError>,
    ) -> Result<(), EngineError> {
        let mut endpoints = self.endpoints.lock();
        match endpoints.get(&spec.id) {
            Some(found) if found.spec == *spec => Ok(()),
            Some(_) => Err(different("endpoint", spec.id.as_str())),
            None => {
                endpoints.insert(spec.id.clone(), Arc::new(make()?));
                Ok(())
            }
        }
    }

    /// Takes the endpoint out of its container and removes its link and its port. Says whether it was
    /// known.
    pub(super) fn delete(&self, endpoint: &EndpointId) -> Result<bool, EngineError> {
        let Some(found) = self.endpoints.find(endpoint) else {
            // An agent that died may have left a link of an endpoint that this one never knew.
            return self.services.links.remove(endpoint).map(|()| false);
        };
        self.leave(endpoint)?;
        self.services.delete(&found)?;
        self.endpoints.lock().remove(endpoint);
        Ok(true)
    }

    /// As [`super::Engine::join`].
    pub(super) fn join(
        &self,
        endpoint: &EndpointId,
        sandbox: &SandboxKey,
    ) -> Result<Attachment, EngineError> {
        self.services.join(&self.endpoints.get(endpoint)?, sandbox)
    }

    /// As [`super::Engine::leave`].
    pub(super) fn leave(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        let Some(found) = self.endpoints.find(endpoint) else { return Ok(()) };
        let heir = self.services.leave(&found)?;
        if let Some(heir) = heir.and_then(|heir| self.endpoints.find(&heir)) {
            self.services.pursue_again(&heir);
        }
        Ok(())
    }

    /// As [`super::Engine::rejoin`].
    pub(super) fn rejoin(
        &self,
        endpoint: &EndpointId,
        sandbox: &SandboxKey,
    ) -> Result<Restored, EngineError> {
        self.services.rejoin(&self.endpoints.get(endpoint)?, sandbox)
    }

    /// As [`super::Engine::sandbox_alive`].
    pub(super) fn sandbox_alive(
        &self,
        endpoint: &EndpointId,
        sandbox: &SandboxKey,
    ) -> Result<bool, EngineError> {
        if NetNs::open(&self.services.host, &sandbox.0).map_err(from_netns)?.is_some() {
            return Ok(true);
        }
        Ok(self.endpoints.find(endpoint).is_some_and(|endpoint| endpoint.awaits_sandbox()))
    }

    /// As [`super::Engine::sweep`].
    pub(super) fn sweep(&self, known: &dyn Fn(&EndpointId) -> bool) -> Result<usize, EngineError> {
        self.services.vhost.sweep(&self.endpoints.vhost_sockets());
        self.services.links.sweep(known)
    }

    /// As [`super::Engine::endpoint_status`], of the agent's port.
    pub(super) fn status(
        &self,
        endpoint: &EndpointId,
    ) -> Result<Option<EndpointStatus>, EngineError> {
        let Some(found) = self.endpoints.find(endpoint) else { return Ok(None) };
        let status = match self.dataplane().port(found.port) {
            Ok(status) => status,
            Err(dataplane::DataplaneError::NoPort(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let outlook = found.outlook();
        Ok(Some(EndpointStatus {
            owner: owner_name(status.owner),
            antispoof: antispoof(status.antispoof),
            interface: outlook.interface,
            memif: status.memif.map(|memif| MemifClient {
                name: memif.peer,
                rx_queues: memif.queues.0,
                tx_queues: memif.queues.1,
                ring_size: memif.ring_size,
            }),
            vhost: self.vhost_status(&found.spec, status.vhost),
            sockets: outlook.sockets,
            counters: status.counters,
            engine_drops: BTreeMap::new(),
            host: outlook.host,
            sessions: self.services.broker.counters(found.session_key()),
        }))
    }

    fn vhost_status(
        &self,
        spec: &EndpointSpec,
        front_end: Option<control::VhostStatus>,
    ) -> Option<VhostDevice> {
        let name = spec.vhost_socket()?;
        Some(VhostDevice {
            socket: self.services.vhost.told(&name).display().to_string(),
            front_end: front_end.map(|front_end| VhostFrontEnd {
                rx_queues: front_end.queues.0,
                tx_queues: front_end.queues.1,
                ring_size: front_end.ring_size,
            }),
        })
    }

    /// The sessions of all endpoints.
    pub(super) fn sessions(&self) -> Vec<SessionStatus> {
        let names = self.endpoints.session_keys();
        let name = |key| names.get(&key).cloned();
        let sessions = self.services.broker.sessions().into_iter();
        sessions
            .map(|session| SessionStatus {
                client: session.client.and_then(name),
                server: session.server.and_then(name),
                session,
            })
            .collect()
    }

    /// The session listeners of all endpoints.
    pub(super) fn listeners(&self) -> Vec<ListenerStatus> {
        let names = self.endpoints.session_keys();
        let listeners = self.services.broker.listeners().into_iter();
        listeners
            .filter_map(|listener| {
                let endpoint = names.get(&listener.endpoint)?.clone();
                Some(ListenerStatus { endpoint, listener })
            })
            .collect()
    }

    /// Starts a capture of the agent's data path.
    pub(super) fn capture(
        &self,
        scope: control::CaptureScope,
        snap_length: u32,
    ) -> Result<Box<dyn FrameSource>, EngineError> {
        let capture = self.dataplane().capture(scope, snap_length)?;
        Ok(Box::new(PortCapture { capture, endpoints: Arc::clone(&self.endpoints) }))
    }

    /// What is amiss on this host.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.services.links.warnings()
    }
}

fn owner_name(owner: control::PortOwner) -> &'static str {
    match owner {
        control::PortOwner::None => "none",
        control::PortOwner::Tap => "tap",
        control::PortOwner::Veth => "veth",
        control::PortOwner::Stack => "stack",
        control::PortOwner::Memif => "memif",
        control::PortOwner::Vhost => "vhost-user",
        control::PortOwner::Vxlan => "vxlan",
    }
}

fn antispoof(antispoof: dataplane::Antispoof) -> Antispoof {
    match antispoof {
        dataplane::Antispoof::None => Antispoof::None,
        dataplane::Antispoof::Mac => Antispoof::Mac,
        dataplane::Antispoof::Full => Antispoof::Full,
    }
}

/// What is asked for is there already, but not the same.
pub(super) fn different(kind: &str, id: &str) -> EngineError {
    EngineError::Host {
        what: format!("{kind} {id} exists already, with other settings"),
        remedy: "remove it first".to_owned(),
    }
}
