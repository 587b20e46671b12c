//! Why something may not happen, in words that say what to do.

use std::fmt;
use std::net::IpAddr;

use dataplane::MacAddr;

use crate::model::{AttachKind, EndpointId, NetworkId, SandboxKey, VhostName};

/// Something that only one endpoint of a network can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// An IP address. Docker never hands one out twice, so an idle holder is one that Docker has
    /// forgotten.
    Address(IpAddr),
    /// An Ethernet address.
    Mac(MacAddr),
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "address {address}"),
            Self::Mac(mac) => write!(f, "Ethernet address {mac}"),
        }
    }
}

/// Why something may not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Nobody created this network here.
    #[error(
        "dockervpp does not know network {}: it was made by another agent or the state directory \
         was lost; remove it with `docker network rm` and create it again",
        .0.short()
    )]
    UnknownNetwork(NetworkId),
    /// Nobody created this endpoint here.
    #[error(
        "dockervpp does not know endpoint {}: its container was gone or the state directory was \
         lost; start the container again",
        .0.short()
    )]
    UnknownEndpoint(EndpointId),
    /// The endpoint is on another network.
    #[error("endpoint {} belongs to network {}, not to {}", .endpoint.short(), .actual.short(), .asked.short())]
    WrongNetwork {
        /// The endpoint.
        endpoint: EndpointId,
        /// Its network.
        actual: NetworkId,
        /// The network in the request.
        asked: NetworkId,
    },
    /// The id is taken by a different network.
    #[error("network {} exists already with other settings; remove it first", .0.short())]
    NetworkDiffers(NetworkId),
    /// The id is taken by a different endpoint.
    #[error("endpoint {} exists already with other settings; remove it first", .0.short())]
    EndpointDiffers(EndpointId),
    /// The subnet belongs to another network.
    #[error(
        "subnet {asked} overlaps subnet {held} of network {}: choose another `--subnet`, or remove \
         that network (`docker network rm {0}`); if Docker no longer has it, the agent finds that \
         out within a minute, so run the command again, or say `dockervpp forget --network {0}`",
        .holder.short()
    )]
    Overlap {
        /// The subnet in the request.
        asked: String,
        /// The subnet that exists.
        held: String,
        /// The network that has it.
        holder: NetworkId,
    },
    /// The address is outside of the network.
    #[error("address {address} is in none of the subnets of network {}", .network.short())]
    OutsideSubnets {
        /// The address.
        address: IpAddr,
        /// The network.
        network: NetworkId,
    },
    /// The address is the gateway's.
    #[error("address {0} is the network's gateway")]
    IsGateway(IpAddr),
    /// Another endpoint of the network has it.
    #[error("{claim} already belongs to endpoint {} of this network; choose another", .holder.short())]
    Taken {
        /// What is taken.
        claim: Claim,
        /// By whom.
        holder: EndpointId,
    },
    /// Options of a device that the endpoint does not have.
    #[error(
        "the options `vhost-user.…` are for endpoints of kind `vhost-user`, and this one is \
         `{0}`: add `attach=vhost-user`"
    )]
    NoDevice(AttachKind),
    /// Another endpoint has the socket.
    #[error(
        "the vhost-user socket `{name}` belongs to endpoint {}; choose another `vhost-user.socket`",
        .holder.short()
    )]
    SocketTaken {
        /// Name of its folder.
        name: VhostName,
        /// Who has it.
        holder: EndpointId,
    },
    /// The endpoint is in another container.
    #[error("endpoint {} is already joined to {sandbox}; it must leave first", .endpoint.short())]
    Joined {
        /// The endpoint.
        endpoint: EndpointId,
        /// Where it is.
        sandbox: SandboxKey,
    },
    /// The network still has endpoints.
    #[error(
        "network {} still has {count} endpoints; stop their containers first, or forget each with \
         `dockervpp forget --endpoint`",
        .network.short()
    )]
    InUse {
        /// The network.
        network: NetworkId,
        /// How many.
        count: usize,
    },
    /// Stored records contradict each other.
    #[error("endpoint {0} belongs to network {1}, which is missing")]
    Orphan(EndpointId, NetworkId),
}

/// A prefix does not name exactly one object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// It names none.
    #[error("no {kind} has an id that begins with `{prefix}`; `dockervpp show {kind}s` lists them")]
    None {
        /// `network` or `endpoint`.
        kind: &'static str,
        /// The prefix.
        prefix: String,
    },
    /// It names several.
    #[error("several {kind}s have ids that begin with `{prefix}`: {}", .candidates.join(", "))]
    Several {
        /// `network` or `endpoint`.
        kind: &'static str,
        /// The prefix.
        prefix: String,
        /// Their ids.
        candidates: Vec<String>,
    },
}
