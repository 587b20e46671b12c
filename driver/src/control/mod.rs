//! The agent's own API: JSON over HTTP on a unix socket that only root can open.
//!
//! Paths begin with the version, `/v1`. Within a version fields are added, never changed or
//! removed. Ids in requests may be cut to any unique prefix.
//!
//! | path | answer |
//! |---|---|
//! | `GET /v1/info` | [`Info`] |
//! | `GET /v1/networks` | list of [`Network`] |
//! | `GET /v1/endpoints` | list of [`Endpoint`] |
//! | `GET /v1/fdb` | list of [`FdbEntry`] |
//! | `GET /v1/counters` | list of [`Counters`] |
//! | `GET /v1/vxlan` | list of [`Vxlan`] |
//! | `GET /v1/sessions` | list of [`sessions::Session`] |
//! | `GET /v1/listeners` | list of [`sessions::Listener`] |
//! | `GET /v1/ports` | list of [`PublishedPort`] |
//! | `GET /v1/capture` | pcapng, until stopped; its number is in the header [`CAPTURE_HEADER`] |
//! | `DELETE /v1/captures/N` | ends a capture properly |
//! | `POST /v1/collect` | removes what Docker has forgotten, now |
//! | `DELETE /v1/networks/ID`, `DELETE /v1/endpoints/ID` | forgets one that Docker no longer has |
//!
//! The lists take `?network=ID`. `capture` takes `network` or `endpoint`, `snaplen`, and to end by
//! itself `count` and `duration_ms`.

pub mod api;
mod capture;
pub mod client;
pub mod sessions;
mod views;

use std::collections::BTreeMap;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::model::{AttachKind, EndpointId, NetworkId, PortMapping, TcpStack};
use crate::reconcile::DockerView;

/// The header that carries a capture's number.
pub const CAPTURE_HEADER: &str = "dockervpp-capture";

/// The agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Its version.
    pub version: String,
    /// Its engine.
    pub engine: String,
    /// Its process id.
    pub pid: u32,
    /// What its engine found wrong with this host.
    pub warnings: Vec<String>,
    /// What it sees of Docker.
    #[serde(default)]
    pub docker: DockerView,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// Its subnets.
    pub subnets: Vec<Subnet>,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// The attach kind of endpoints that do not choose one.
    pub attach: AttachKind,
    /// What carries TCP of endpoints of kind `userspace`.
    #[serde(default)]
    pub tcp: TcpStack,
    /// It has no way out.
    pub internal: bool,
    /// Containers reach the gateway only.
    pub isolation: bool,
    /// How many endpoints it has.
    pub endpoints: usize,
    /// Its VXLAN network identifier, if other hosts have it too.
    #[serde(default)]
    pub vni: Option<u32>,
}

/// A subnet of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// In CIDR form.
    pub subnet: String,
    /// Its gateway.
    pub gateway: Option<String>,
}

/// Where an endpoint is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// No container has it.
    Idle,
    /// A container has it.
    Joined,
    /// It is being created or removed.
    Unsettled,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Its network.
    pub network: NetworkId,
    /// Its Ethernet address.
    pub mac: String,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Net>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Net>,
    /// What its container's interface is.
    pub attach: AttachKind,
    /// What carries its TCP to whoever is no session: `kernel`, `stack` or `vcl`.
    #[serde(default)]
    pub tcp: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// The file of its container's network namespace.
    pub sandbox: Option<String>,
    /// Name of the interface in the container, once known.
    pub interface: Option<String>,
    /// What owns the address now: `none`, `tap`, `stack`, `vcl`, `memif` or `vhost-user`; nothing when the engine does
    /// not say.
    pub owner: Option<String>,
    /// The memif client, while one is connected.
    pub memif: Option<Memif>,
    /// Its vhost-user device, if it has one.
    #[serde(default)]
    pub vhost: Option<Vhost>,
    /// The sockets bound in the container.
    pub sockets: Vec<String>,
    /// Under which addresses it may send: `full`, `mac` or `none`; nothing when the engine does not say.
    #[serde(default)]
    pub antispoof: Option<String>,
    /// How much it may send, by the names of the options.
    #[serde(default)]
    pub rates: BTreeMap<String, String>,
    /// The ports that the user wants published.
    pub ports: Vec<PortMapping>,
    /// It is its container's way out.
    pub external: bool,
}

/// A connected memif client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memif {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vhost {
    /// Path of its socket.
    pub socket: String,
    /// Queues from the connected front end; 0 without one.
    pub rx_queues: u16,
    /// Queues to it.
    pub tx_queues: u16,
    /// Entries of each ring.
    pub ring_size: u32,
}

/// A line of a forwarding table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FdbEntry {
    /// The network.
    pub network: NetworkId,
    /// The address.
    pub mac: String,
    /// The endpoint behind it; `null` is the gateway, or a station of another host.
    pub endpoint: Option<EndpointId>,
    /// The host behind which it is, if that is another one.
    #[serde(default)]
    pub peer: Option<String>,
    /// Configured, not learnt.
    pub pinned: bool,
    /// Seconds since the last frame from it.
    pub age_seconds: f64,
}

/// The counters of an endpoint. Receive is from the container, transmit to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The network.
    pub network: NetworkId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Frames from the container, dropped ones included.
    pub rx_frames: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Frames to the container.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Drops by reason, those that are not zero.
    pub drops: BTreeMap<String, u64>,
    /// Packets of the kernel of a `userspace` container to name servers and from them, those counts that are
    /// not zero.
    #[serde(default)]
    pub names: BTreeMap<String, u64>,
    /// What its sessions did, those counts that are not zero.
    #[serde(default)]
    pub sessions: sessions::SessionCounters,
}

/// A network that other hosts have too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vxlan {
    /// The network.
    pub network: NetworkId,
    /// Its VXLAN network identifier.
    pub vni: u32,
    /// Where datagrams come in: an address of this host, or `*`, and a UDP port.
    pub local: String,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// A file that names other hosts.
    pub peers_file: Option<String>,
    /// The other hosts.
    pub peers: Vec<VxlanPeer>,
    /// Addresses of this host: datagrams from there are dropped.
    pub own: Vec<String>,
    /// Drops of frames of this network that belong to no peer, by reason, those that are not zero.
    pub drops: BTreeMap<String, u64>,
    /// Drops of datagrams that belong to no network, likewise. All networks with the same `local` show these.
    pub socket_drops: BTreeMap<String, u64>,
}

/// Another host. Receive is from it, transmit to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VxlanPeer {
    /// Its address, with its UDP port if that is not 4789.
    pub peer: String,
    /// Frames from it, dropped ones included.
    pub rx_frames: u64,
    /// Their bytes, without what VXLAN adds.
    pub rx_bytes: u64,
    /// Frames to it.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Drops by reason, those that are not zero.
    pub drops: BTreeMap<String, u64>,
}

/// A port that the user wants published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The network.
    pub network: NetworkId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// What is asked for.
    pub mapping: PortMapping,
    /// Whether the port can be reached.
    pub served: bool,
    /// How what comes there gets to the endpoint: `packets`, whose addresses are translated, or `splice`, by a
    /// socket of the host into sessions; `null` when it is not served.
    #[serde(default)]
    pub transport: Option<String>,
}

/// The answer to `DELETE` and failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub error: String,
}
