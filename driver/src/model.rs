//! What a network and an endpoint are, once a request has been parsed: values that cannot be wrong.
//!
//! Nothing in here knows Docker's JSON (that is the `docker` module) or an engine.

pub mod policy;
pub mod vxlan;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use dataplane::MacAddr;
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use session::layout::RingSize;

pub use self::policy::{Antispoof, PolicyOptions, RateLimit};
pub use self::vxlan::VxlanSpec;

/// The text is not one of Docker's object ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an object id (1 to 64 letters, digits, `-` or `_`)")]
pub struct ParseIdError(String);

fn parse_id(text: &str) -> Result<String, ParseIdError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=64).contains(&text.len()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(ParseIdError(text.chars().take(80).collect()))
    }
}

macro_rules! docker_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The whole id.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first twelve characters, as Docker prints ids.
            pub fn short(&self) -> &str {
                &self.0[..self.0.len().min(12)]
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_id(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

docker_id!(
    /// A Docker network.
    NetworkId
);
docker_id!(
    /// One attachment of a container to a network; new at each container start.
    EndpointId
);

/// The file under which Docker mounts a container's network namespace; on engines before 28.0 it
/// appears only after Join was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SandboxKey(pub PathBuf);

impl fmt::Display for SandboxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// A network device name: 1 to 15 bytes, no `/` and no white space.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName(String);

/// The text cannot name a network device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a network device (1 to 15 bytes without `/`, `:` and white space)")]
pub struct ParseIfNameError(String);

impl IfName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IfName {
    type Err = ParseIfNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
        let reserved = text == "." || text == "..";
        if (1..=15).contains(&text.len()) && text.chars().all(plain) && !reserved {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseIfNameError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for IfName {
    type Error = ParseIfNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IfName> for String {
    fn from(name: IfName) -> Self {
        name.0
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the container's `eth0` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachKind {
    /// A TAP of the bridge domain: any image works at once.
    #[default]
    Auto,
    /// A link that only shows the address: no packet enters the kernel.
    Userspace,
    /// The same, and a vhost-user device for a virtual machine or a DPDK program.
    #[serde(rename = "vhost-user")]
    VhostUser,
    /// An end of a veth pair, whose other end is on the host: any image works at once, without TAPs.
    Veth,
}

impl AttachKind {
    /// Whether the container's kernel sends and receives by the endpoint.
    pub fn has_kernel(self) -> bool {
        match self {
            Self::Auto | Self::Veth => true,
            Self::Userspace | Self::VhostUser => false,
        }
    }
}

impl fmt::Display for AttachKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Userspace => "userspace",
            Self::VhostUser => "vhost-user",
            Self::Veth => "veth",
        })
    }
}

/// What carries TCP of an endpoint without a kernel interface to peers that are no sessions of its
/// network. (Behind a TAP it is the container's kernel.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TcpStack {
    /// The agent's own network stack.
    #[default]
    Stack,
    /// VPP's own host stack.
    Vcl,
}

impl fmt::Display for TcpStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stack => "stack",
            Self::Vcl => "vcl",
        })
    }
}

/// One address family of a network: its subnets with their gateways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool<Net, Addr> {
    /// The subnet.
    pub subnet: Net,
    /// The gateway's address inside it, if the network has one.
    pub gateway: Option<Addr>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Docker's id.
    pub id: NetworkId,
    /// IPv4 subnets.
    pub ipv4: Vec<Pool<Ipv4Net, Ipv4Addr>>,
    /// IPv6 subnets.
    pub ipv6: Vec<Pool<Ipv6Net, Ipv6Addr>>,
    /// MTU in bytes, 576..=65521.
    pub mtu: u32,
    /// `--internal`: no way out; the gateway is not offered to containers.
    pub internal: bool,
    /// Containers reach the gateway only, not each other.
    pub isolation: bool,
    /// The attach kind of endpoints that do not choose one.
    pub attach: AttachKind,
    /// What carries TCP of endpoints of kind `userspace`.
    #[serde(default)]
    pub tcp: TcpStack,
    /// The session options of endpoints that do not choose their own.
    #[serde(default)]
    pub session: SessionOptions,
    /// What endpoints may send that do not choose it.
    #[serde(default)]
    pub policy: PolicyOptions,
    /// The other hosts that have it.
    #[serde(default)]
    pub vxlan: Option<VxlanSpec>,
}

impl NetworkSpec {
    /// What carries TCP of an endpoint that is attached like this; `None` is the container's kernel.
    pub fn tcp_of(&self, attach: AttachKind) -> Option<TcpStack> {
        (!attach.has_kernel()).then_some(self.tcp)
    }
}

/// Bytes of each ring of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct RingBytes(pub RingSize);

/// The number is no ring's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are no size of a ring (a power of two from 4 KiB to 16 MiB)")]
pub struct RingBytesError(u32);

impl TryFrom<u32> for RingBytes {
    type Error = RingBytesError;

    fn try_from(bytes: u32) -> Result<Self, Self::Error> {
        RingSize::new(bytes).map(Self).ok_or(RingBytesError(bytes))
    }
}

impl From<RingBytes> for u32 {
    fn from(ring: RingBytes) -> Self {
        ring.0.get()
    }
}

/// How sessions of an endpoint are treated; what is `None` is the default of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SessionOptions {
    /// Size of the rings of sessions that the endpoint makes.
    pub ring: Option<RingBytes>,
    /// Sessions that it may have, made and accepted.
    pub limit: Option<u32>,
}

impl SessionOptions {
    /// These, and where they say nothing `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self { ring: self.ring.or(others.ring), limit: self.limit.or(others.limit) }
    }
}

/// How memif clients of an endpoint are treated.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemifOptions {
    /// Secret that a client must send, at most 24 bytes.
    pub secret: Option<String>,
    /// Largest number of queues in each direction, 1..=16; `None` is the default of the engine.
    pub queues: Option<u16>,
    /// Accept regions that the client could truncate (zero-copy DPDK and VPP clients).
    pub trusted: bool,
}

/// Name of the folder in which an endpoint's vhost-user socket is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VhostName(String);

/// The text names no folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a socket: 1 to 64 letters, digits, `-`, `_` and `.`, no `.` at the start"
)]
pub struct VhostNameError(String);

impl VhostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VhostName {
    type Error = VhostNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits = (1..=64).contains(&text.len()) && text.chars().all(allowed);
        if fits && !text.starts_with('.') { Ok(Self(text)) } else { Err(VhostNameError(text)) }
    }
}

impl From<VhostName> for String {
    fn from(name: VhostName) -> Self {
        name.0
    }
}

impl fmt::Display for VhostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How front ends of an endpoint's vhost-user device are treated; what is `None` is a default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VhostOptions {
    /// Name of the socket's folder; otherwise the start of the endpoint's id.
    pub socket: Option<VhostName>,
    /// Largest number of queues in each direction, 1..=16.
    pub queues: Option<u16>,
    /// Memory that a front end may share, in MiB.
    pub memory: Option<u32>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSpec {
    /// Docker's id.
    pub id: EndpointId,
    /// Its network.
    pub network: NetworkId,
    /// Its Ethernet address.
    #[serde(with = "mac_text")]
    pub mac: MacAddr,
    /// Its IPv4 address with the subnet's prefix length.
    pub ipv4: Option<Ipv4Net>,
    /// Its IPv6 address with the subnet's prefix length.
    pub ipv6: Option<Ipv6Net>,
    /// Its attach kind.
    pub attach: AttachKind,
    /// Its memif options.
    pub memif: MemifOptions,
    /// Its session options.
    #[serde(default)]
    pub session: SessionOptions,
    /// What it may send.
    #[serde(default)]
    pub policy: PolicyOptions,
    /// Its vhost-user options.
    #[serde(default)]
    pub vhost: VhostOptions,
}

impl EndpointSpec {
    /// Name of the folder of its vhost-user socket, if it has one.
    pub fn vhost_socket(&self) -> Option<VhostName> {
        let named = || self.vhost.socket.clone();
        let by_id = || VhostName(self.id.short().to_owned());
        (self.attach == AttachKind::VhostUser).then(|| named().unwrap_or_else(by_id))
    }
}

/// Transport protocol of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A port of a container that `docker run -p` wants reachable from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// The protocol.
    pub protocol: Protocol,
    /// The port in the container.
    pub container_port: u16,
    /// The host's address; `None` is every address.
    pub host_ip: Option<IpAddr>,
    /// First acceptable host port; 0 lets the driver choose any.
    pub host_port: u16,
    /// Last acceptable host port.
    pub host_port_end: u16,
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            None => {}
        }
        match (self.host_port, self.host_port_end) {
            (0, _) => f.write_str("any")?,
            (first, last) if last > first => write!(f, "{first}-{last}")?,
            (port, _) => write!(f, "{port}")?,
        }
        write!(f, "->{}/{}", self.container_port, self.protocol)
    }
}

mod mac_text {
    use dataplane::MacAddr;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    pub(super) fn serialize<S: Serializer>(
        mac: &MacAddr,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(mac)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<MacAddr, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
