//! What the host's kernel says of the way to a peer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::net::sockopt;

use super::Peer;

/// The way to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The longest packet on it, in bytes, as far as the kernel knows.
    pub mtu: u32,
    /// The peer's address is one of this host.
    pub own: bool,
}

/// Looks at the way to a peer, from `local` if that is said, in the network namespace of the calling thread. Sends
/// nothing.
///
/// # Errors
/// The kernel's: `ENETUNREACH` when it has no route there, `EADDRNOTAVAIL` when `local` is not of this host.
pub fn way(local: Option<IpAddr>, peer: Peer) -> io::Result<Way> {
    let any = match peer.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    // For an address of its own the kernel chooses that very address as the source.
    let free = towards(any, peer)?;
    let own = free.local_addr()?.ip() == peer.ip();
    let socket = match local {
        Some(local) if !own => towards(local, peer)?,
        _ => free,
    };
    let mtu = match peer.ip() {
        IpAddr::V4(_) => sockopt::ip_mtu(&socket)?,
        IpAddr::V6(_) => sockopt::ipv6_mtu(&socket)?,
    };
    Ok(Way { mtu, own })
}

fn towards(source: IpAddr, peer: Peer) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(source, 0))?;
    socket.connect(SocketAddr::from(peer))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_host_is_known_as_one() {
        let way = way(None, "127.0.0.1".parse().unwrap()).unwrap();
        assert!(way.own && way.mtu >= 1280, "{way:?}");
    }
}
