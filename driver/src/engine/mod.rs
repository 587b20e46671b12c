//! What the driver asks of whatever forwards packets.
//!
//! Calls block for milliseconds at most and may come from several threads at once. Every verb is
//! idempotent: repeating one that succeeded succeeds again, and taking away what is not there is
//! fine. A verb that fails leaves nothing behind.

mod attachment;
pub mod embedded;
pub mod fake;
pub mod host_counts;
pub mod session;
pub mod vpp;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ::session::broker;
use dataplane::control::VxlanStatus;
use dataplane::vxlan::Peer;
use dataplane::{MacAddr, PortCounters};
use serde::Serialize;
use transport::HostCounters;

pub use self::attachment::AttachmentOptions;
use self::session::{ListenerStatus, SessionStatus};
use crate::model::{
    Antispoof, EndpointId, EndpointSpec, IfName, NetworkId, NetworkSpec, PortMapping, Protocol,
    SandboxKey,
};

/// An engine: `embedded`, `vpp`, or `fake` for tests.
pub trait Engine: Send + Sync {
    /// Its name, as in `--engine`.
    fn name(&self) -> &'static str;

    /// What a new network shall be: what only this host knows is filled in, and what cannot work here is refused.
    /// Networks that were made before are not asked about.
    fn prepare_network(&self, network: &NetworkSpec) -> Result<NetworkSpec, EngineError> {
        Ok(network.clone())
    }

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

    /// Makes ports of a joined endpoint reachable from outside the host, in place of those that were
    /// before. Returns those that this engine does not serve; an error means that none is served.
    fn publish(
        &self,
        endpoint: &EndpointId,
        ports: &[PortMapping],
    ) -> Result<Vec<PortMapping>, EngineError> {
        let _ = endpoint;
        Ok(ports.to_vec())
    }

    /// The published ports of an endpoint that can be reached.
    fn published(&self, endpoint: &EndpointId) -> Vec<PublishedAt> {
        let _ = endpoint;
        Vec::new()
    }

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

    /// The sessions of all endpoints.
    fn sessions(&self) -> Vec<SessionStatus> {
        Vec::new()
    }

    /// The session listeners of all endpoints.
    fn listeners(&self) -> Vec<ListenerStatus> {
        Vec::new()
    }

    /// The forwarding table of a network.
    fn fdb(&self, network: &NetworkId) -> Result<Vec<FdbLine>, EngineError>;

    /// The other hosts of a network; `None` when it is on this host only, or unknown.
    fn vxlan(&self, network: &NetworkId) -> Result<Option<VxlanStatus>, EngineError> {
        let _ = network;
        Ok(None)
    }

    /// Starts a capture.
    fn capture(
        &self,
        scope: &CaptureScope,
        snap_length: u32,
    ) -> Result<Box<dyn FrameSource>, EngineError>;

    /// Puts back what others took from the host meanwhile. Called from time to time, so it costs next to
    /// nothing when all is well.
    fn tend(&self) {}

    /// Returns when each of the engine's worker threads has done something since it was called, and not
    /// while one is stuck.
    fn take_turns(&self) -> Result<(), EngineError> {
        Ok(())
    }

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

/// A port of the host that leads to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedAt {
    /// The protocol.
    pub protocol: Protocol,
    /// The host's address; `None` is every address.
    pub host_ip: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// The endpoint's port.
    pub container_port: u16,
    /// How what comes there gets to the endpoint.
    pub lead: Lead,
}

/// How what comes to a published port gets to its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// In packets whose addresses the kernel, or VPP, translates.
    Packets,
    /// By a socket of the host, which the agent splices into sessions.
    Splice,
}

impl PublishedAt {
    /// Whether this is what the mapping asks for.
    pub fn serves(&self, mapping: &PortMapping) -> bool {
        let any = |address: Option<IpAddr>| address.filter(|it| !it.is_unspecified());
        let last = mapping.host_port_end.max(mapping.host_port);
        self.protocol == mapping.protocol
            && self.container_port == mapping.container_port
            && any(self.host_ip) == any(mapping.host_ip)
            && (mapping.host_port == 0 || (mapping.host_port..=last).contains(&self.host_port))
    }
}

/// Mappings with the ports that were chosen for them, so that the same are asked for again.
pub fn with_chosen_ports(asked: &[PortMapping], published: &[PublishedAt]) -> Vec<PortMapping> {
    let mut left: Vec<&PublishedAt> = published.iter().collect();
    let mut choose = |mapping: &PortMapping| {
        let found = left.iter().position(|at| at.serves(mapping))?;
        Some(left.remove(found).host_port)
    };
    let with_choice = |mapping: &PortMapping| match choose(mapping) {
        Some(port) => PortMapping { host_port: port, host_port_end: port, ..mapping.clone() },
        None => mapping.clone(),
    };
    asked.iter().map(with_choice).collect()
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
    /// What owns the address: `none`, `tap`, `stack`, `memif` or `vhost-user`.
    pub owner: &'static str,
    /// Under which addresses it may send.
    pub antispoof: Antispoof,
    /// Name of the interface in the container, once known.
    pub interface: Option<String>,
    /// The memif client, while one is connected.
    pub memif: Option<MemifClient>,
    /// Its vhost-user device, if it has one.
    pub vhost: Option<VhostDevice>,
    /// The sockets bound in the container, with the leading `@`.
    pub sockets: Vec<String>,
    /// Counters of the port.
    #[serde(skip)]
    pub counters: PortCounters,
    /// Drops that the engine counts for reasons of its own.
    #[serde(skip)]
    pub engine_drops: BTreeMap<&'static str, u64>,
    /// What the agent's side of a `userspace` container counts, while it is joined: its network stack, and the
    /// frames that the container's kernel sent.
    #[serde(skip)]
    pub host: Option<HostCounters>,
    /// Counters of its sessions, while the broker serves it.
    #[serde(skip)]
    pub sessions: Option<broker::Counters>,
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

/// A vhost-user device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VhostDevice {
    /// Path of its socket.
    pub socket: String,
    /// Its front end, while one has enabled queues.
    pub front_end: Option<VhostFrontEnd>,
}

/// A connected front end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VhostFrontEnd {
    /// Queues from the front end.
    pub rx_queues: u16,
    /// Queues to the front end.
    pub tx_queues: u16,
    /// Entries of each ring.
    pub ring_size: u32,
}

/// One line of a forwarding table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdbLine {
    /// The address.
    pub mac: MacAddr,
    /// The endpoint behind it; `None` is the gateway, or a station of another host.
    pub endpoint: Option<EndpointId>,
    /// The host behind which it is, if that is another one.
    pub peer: Option<Peer>,
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

    /// What the port is called in the file.
    fn label_of(&self, port: dataplane::PortId) -> String {
        self.endpoint_of(port).map_or_else(|| "gateway".to_owned(), |it| it.short().to_owned())
    }

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
    /// VPP does not do what it was asked for.
    #[error("VPP is not as it should be: {0}; `vppctl show logging` may say more")]
    Vpp(String),
    /// VPP is not there.
    #[error("VPP does not answer at {}: {why}", socket.display())]
    VppAway {
        /// Its API socket.
        socket: std::path::PathBuf,
        /// What happened instead.
        why: String,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mapping_gets_a_port_of_its_own() {
        let mapping = |host_port, host_port_end| PortMapping {
            protocol: Protocol::Tcp,
            container_port: 80,
            host_ip: None,
            host_port,
            host_port_end,
        };
        let at = |host_port| PublishedAt {
            protocol: Protocol::Tcp,
            host_ip: None,
            host_port,
            container_port: 80,
            lead: Lead::Packets,
        };
        let asked = [mapping(0, 0), mapping(8000, 8010), mapping(0, 0), mapping(9000, 9000)];
        let published = [at(40_001), at(8001), at(40_002)];
        let chosen = with_chosen_ports(&asked, &published);
        let ports: Vec<u16> = chosen.iter().map(|it| it.host_port).collect();
        assert_eq!(ports, [40_001, 8001, 40_002, 9000]);
        assert_eq!(chosen[1].host_port_end, 8001);
        assert_eq!(with_chosen_ports(&chosen, &published), chosen, "the same again");
        assert_eq!(with_chosen_ports(&asked, &[]), asked);
    }
}
