//! Why the engine refused.

use std::net::IpAddr;

use crate::bridge::BridgeError;
use crate::vxlan::{Vni, VtepAddress};
use crate::{DomainId, MacAddr, PortId};

/// Why the engine refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataplaneError {
    /// The domain does not exist.
    #[error("bridge domain {} does not exist", .0.0)]
    NoDomain(DomainId),
    /// The port does not exist.
    #[error("port {} does not exist", .0.0)]
    NoPort(PortId),
    /// The domain still has ports.
    #[error("bridge domain {} still has {ports} ports; remove them first", domain.0)]
    DomainInUse {
        /// The domain.
        domain: DomainId,
        /// Its ports.
        ports: usize,
    },
    /// A worker has no room for another port.
    #[error("a worker has at most 65,534 ports; start more workers")]
    TooManyPorts,
    /// The address is already pinned in this domain.
    #[error("address {0} already belongs to another port of this bridge domain")]
    DuplicateAddress(MacAddr),
    /// The port already has another device that owns its address while no client is connected.
    #[error("port {} already has {other}; detach that first", port.0)]
    Occupied {
        /// The port.
        port: PortId,
        /// What it has.
        other: &'static str,
    },
    /// Two domains with one identifier at one local address.
    #[error(
        "VXLAN network identifier {vni} is in use at {local} by another network; choose another `vxlan.vni`, or a \
         `vxlan.local` or `vxlan.port` of its own"
    )]
    VniInUse {
        /// The identifier.
        vni: Vni,
        /// The address.
        local: VtepAddress,
    },
    /// The local address cannot be used.
    #[error(
        "cannot receive VXLAN at {local}: {source}; {}",
        if source.kind() == std::io::ErrorKind::AddrInUse {
            "a `vxlan` device of the kernel (Docker Swarm makes some) or another agent has the port: choose another \
             `vxlan.port` on all hosts"
        } else {
            "`vxlan.local` must be an address of this host"
        }
    )]
    Vtep {
        /// The address.
        local: VtepAddress,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A peer cannot be reached from the local address.
    #[error("the peer {peer} is of another IP version than the local address {local}")]
    WrongFamily {
        /// The peer.
        peer: IpAddr,
        /// The local address.
        local: VtepAddress,
    },
    /// The domain is on this host only.
    #[error("bridge domain {} has no VXLAN network identifier", .0.0)]
    NoSegment(DomainId),
    /// A value is out of its range.
    #[error("{what} must be {expected}, not {found}")]
    BadConfig {
        /// The value's name.
        what: &'static str,
        /// What is accepted.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The engine, or the object that a capture watches, is gone.
    #[error("the data path has stopped")]
    Stopped,
}

impl From<BridgeError> for DataplaneError {
    fn from(error: BridgeError) -> Self {
        match error {
            BridgeError::DuplicateAddress(mac) => Self::DuplicateAddress(mac),
            BridgeError::NotUnicast(mac) => Self::BadConfig {
                what: "the address of a port",
                expected: "a unicast address",
                found: mac.to_string(),
            },
            BridgeError::SlotInUse(_) | BridgeError::SlotReserved => Self::TooManyPorts,
        }
    }
}
