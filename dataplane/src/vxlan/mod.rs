//! VXLAN (RFC 7348): one L2 segment on several hosts, over UDP.
//!
//! * [`header`]: the eight bytes in front of each frame, pure.
//! * [`peers`]: who the other hosts are and how many there may be, pure.
//! * `claims`: what no other host may say, pure.
//! * `pending`: what a sender left undone, pure.
//! * `outbox`: frames that wait to be sent, put together so that one system call takes many, pure.
//! * `socket`: the UDP sockets of one local address.
//! * `datagrams`: many of one flow in one message.
//! * [`underlay`]: what the host's kernel says of the way to a peer.
//!
//! Each peer is a port of the bridge domain, so that learning, flooding, limits, counters and captures are
//! those of any port. The socket belongs to the worker of its domains.

mod claims;
mod datagrams;
pub mod header;
mod outbox;
pub mod peers;
mod pending;
mod socket;
pub mod underlay;

use std::net::{IpAddr, SocketAddr};

pub(crate) use self::claims::Claims;
pub(crate) use self::datagrams::Datagram;
pub use self::header::Vni;
pub(crate) use self::outbox::{Outbox, Refused};
pub use self::peers::{MAX_PEERS, Peer, PeersError};
pub(crate) use self::pending::offload as pending_offload;
pub(crate) use self::socket::{Receiver, Sockets};

/// The port of VXLAN (RFC 7348, section 8).
pub const DEFAULT_PORT: u16 = 4789;

/// Where datagrams come in: what two networks must have in common to share a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VtepAddress {
    /// The address of this host; `None` is any, and the kernel chooses the source by its routes.
    pub ip: Option<IpAddr>,
    /// The UDP port.
    pub port: u16,
}

impl std::fmt::Display for VtepAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ip {
            Some(ip) => SocketAddr::new(ip, self.port).fmt(f),
            None => write!(f, "*:{}", self.port),
        }
    }
}

/// How a bridge domain goes on behind other hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VxlanConfig {
    /// Which segment the frames of a datagram are of; not twice at one address.
    pub vni: Vni,
    /// Where datagrams come in.
    pub local: VtepAddress,
    /// Addresses that stations have on each host, like that of the gateway: no other host may say in ARP or
    /// neighbour discovery that it has them.
    pub anycast: Vec<IpAddr>,
}
