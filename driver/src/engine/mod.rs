//! What the driver asks of whatever forwards packets.
//!
//! Calls block for milliseconds at most and may come from several threads at once. Every verb is
//! idempotent: repeating one that succeeded succeeds again, and taking away what is not there is
//! fine. A verb that fails leaves nothing behind.

pub mod embedded;
pub mod fake;

use std::time::Duration;

use dataplane::{MacAddr, PortCounters};
use serde::Serialize;

use crate::model::{EndpointId, EndpointSpec, IfName, NetworkId, NetworkSpec, SandboxKey};

/// An engine: `embedded`, `fake`, later `vpp`.
pub trait Engine: Send + Sync {
    /// Its name, as in `--engine`.
    fn name(&self) -> &'static str;

    /// Creates the network's bridge domain and gateway.
    fn create_network(&self, network: &NetworkSpec) -> Result<(), EngineError>;

    /// Removes it; its endpoints are gone by then.
    fn delete_network(&self, network: &NetworkId) -> Result<(), EngineError>;

    /// Creates the endpoint's port (and nothing in any container yet).
    fn create_endpoint(&self, endpoint: &EndpointSpec) -> Result<(), EngineError>;

    /// Removes the port and whatever is left of the endpoint on the host, also of one that is joined or
    /// that this engine never knew.
    fn delete_endpoint(&self, endpoint: &EndpointId) -> Result<(), EngineError>;

    /// Makes the link that Docker moves into the container, and binds the endpoint's sockets in
    /// the sandbox's network namespace as soon as that exists (possibly after this returns).
    fn join(&self, endpoint: &EndpointId, sandbox: &SandboxKey) -> Result<Attachment, EngineError>;

    /// Closes the sockets; no reference to the network namespace is left when this returns.
    fn leave(&self, endpoint: &EndpointId) -> Result<(), EngineError>;

    /// After a restart of the agent: takes a joined endpoint up again in its running container.
    /// The network and the endpoint were created again before. [`Restored::Gone`] when the
    /// container is no longer there.
    fn rejoin(&self, endpoint: &EndpointId, sandbox: &SandboxKey) -> Result<Restored, EngineError>;

    /// Whether the sandbox of a joined endpoint can still hold its container: `false` once its
    /// network namespace is gone for good, `true` while the engine still waits for it to appear.
    /// Docker does not report the containers that die with the daemon, so the driver asks.
    fn sandbox_alive(
        &self,
        endpoint: &EndpointId,
        sandbox: &SandboxKey,
    ) -> Result<bool, EngineError>;

    /// Removes from the host what an agent that died left of endpoints that are not `known`; says how
    /// many links that were. Called after a restart, when every known endpoint was created again.
    fn sweep(&self, known: &dyn Fn(&EndpointId) -> bool) -> Result<usize, EngineError> {
        let _ = known;
        Ok(0)
    }

    /// What an endpoint looks like now; `None` when the engine does not have it.
    fn endpoint_status(&self, endpoint: &EndpointId)
    -> Result<Option<EndpointStatus>, EngineError>;

    /// The forwarding table of a network.
    fn fdb(&self, network: &NetworkId) -> Result<Vec<FdbLine>, EngineError>;

    /// Starts a capture.
    fn capture(
        &self,
        scope: &CaptureScope,
        snap_length: u32,
    ) -> Result<Box<dyn FrameSource>, EngineError>;

    /// What the engine found wrong with this host, in words, for `show` and `doctor`.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What `join` made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The link in the host's namespace that Docker moves into the container.
    pub link: IfName,
}

/// The outcome of [`Engine::rejoin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// The container runs and its endpoint works again.
    Running,
    /// The container's namespace is gone; the driver forgets the endpoint.
    Gone,
}

/// What an endpoint looks like now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointStatus {
    /// What owns the address: `none`, `tap` or `memif`.
    pub owner: &'static str,
    /// Name of the interface in the container, once known.
    pub interface: Option<String>,
    /// The memif client, while one is connected.
    pub memif: Option<MemifClient>,
    /// The sockets bound in the container, with the leading `@`.
    pub sockets: Vec<String>,
    /// Counters of the port.
    #[serde(skip)]
    pub counters: PortCounters,
}

/// A connected memif client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemifClient {
    /// What it calls itself.
    pub name: String,
    /// Queues from the client.
    pub rx_queues: u16,
    /// Queues to the client.
    pub tx_queues: u16,
    /// Slots in each ring.
    pub ring_size: u32,
}

/// One line of a forwarding table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdbLine {
    /// The address.
    pub mac: MacAddr,
    /// The endpoint behind it; `None` is the gateway.
    pub endpoint: Option<EndpointId>,
    /// Belongs to the endpoint by configuration, not learnt.
    pub pinned: bool,
    /// Time since it was last seen.
    pub age: Duration,
}

/// What to capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaptureScope {
    /// All frames of a network, each once.
    Network(NetworkId),
    /// All frames from and to an endpoint.
    Endpoint(EndpointId),
}

/// A running capture; dropping it ends it.
pub trait FrameSource: Send {
    /// The next frame, or `None` when `timeout` passed first; an error when what it watches is gone.
    fn next(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<dataplane::control::CapturedFrame>, EngineError>;

    /// The endpoint whose port this is; `None` for the gateway, or when the port is gone.
    fn endpoint_of(&self, port: dataplane::PortId) -> Option<EndpointId>;

    /// Frames lost because the reader was too slow.
    fn lost(&self) -> u64;
}

/// Why an engine refused, in words for the person at the `docker` command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The network is unknown to the engine.
    #[error("the engine has no network {0}")]
    NoNetwork(NetworkId),
    /// The endpoint is unknown to the engine.
    #[error("the engine has no endpoint {0}")]
    NoEndpoint(EndpointId),
    /// The host lacks something; the text says what to do.
    #[error("{what}; {remedy}")]
    Host {
        /// What is missing.
        what: String,
        /// The command or setting that helps.
        remedy: String,
    },
    /// The data path refused.
    #[error(transparent)]
    Dataplane(#[from] dataplane::DataplaneError),
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
}
