//! What an owner is told.

use std::net::{IpAddr, SocketAddr};

use crate::{ConnectionId, ListenerId, UdpId};

bitflags::bitflags! {
    /// What changed at a connection since its last event.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Ready: u8 {
        /// The connection attempt succeeded.
        const CONNECTED = 1;
        /// There is new data.
        const READABLE = 1 << 1;
        /// There is room again, after it had run out.
        const WRITABLE = 1 << 2;
        /// The peer will send no more; what it sent can still be read.
        const PEER_CLOSED = 1 << 3;
        /// It is over; [`Stack::error`](crate::Stack::error) tells why, if not by agreement.
        const CLOSED = 1 << 4;
    }
}

/// Something that an owner will want to see to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A connection changed.
    Connection(ConnectionId, Ready),
    /// [`Stack::accept`](crate::Stack::accept) has something.
    Acceptable(ListenerId),
    /// [`Stack::udp_receive`](crate::Stack::udp_receive) has something.
    Datagram(UdpId),
    /// A datagram to this address was answered: nobody has that port.
    DatagramRefused(UdpId, SocketAddr),
    /// Something else is known of how long packets to this address may be, which [`Stack::path_mtu`](crate::Stack::path_mtu)
    /// tells: a router said that its way takes less, or said so too long ago.
    PathChanged(IpAddr),
}
