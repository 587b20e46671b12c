//! The other hosts of a segment.

#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::{DEFAULT_PORT, header};

/// Other hosts of one segment. Each frame to unknown or to all is sent to each of them, so their number is what
/// one frame can become.
pub const MAX_PEERS: usize = 64;

/// Another host: where datagrams to it go. Those from it are known by its IP address, for their source port is
/// any (RFC 7348, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    ip: IpAddr,
    port: u16,
}

/// The text names no peer, or the list is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeersError {
    /// Not an address.
    #[error(
        "`{0}` is not an IPv4 or IPv6 address, with or without a UDP port (192.0.2.1, 192.0.2.1:4789, 2001:db8::1, \
         [2001:db8::1]:4789)"
    )]
    NoAddress(String),
    /// An address that no host has.
    #[error("`{0}` cannot be the address of another host")]
    NoHost(IpAddr),
    /// The port is zero.
    #[error("the UDP port of `{0}` must not be 0")]
    NoPort(IpAddr),
    /// The same address with several ports.
    #[error("{0} is named twice, with the ports {1} and {2}: a host is known by its address")]
    Twice(IpAddr, u16, u16),
    /// Too many.
    #[error(
        "{0} peers are more than the {MAX_PEERS} of a network: each frame to all stations is sent to each of them"
    )]
    TooMany(usize),
}

impl Peer {
    /// A peer.
    ///
    /// # Errors
    /// [`PeersError::NoHost`] and [`PeersError::NoPort`].
    pub fn new(ip: IpAddr, port: u16) -> Result<Self, PeersError> {
        let ip = ip.to_canonical();
        let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        // Which link a link-local address is on cannot be said.
        let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if ip.is_unspecified() || ip.is_multicast() || broadcast || link_local {
            return Err(PeersError::NoHost(ip));
        }
        if port == 0 {
            return Err(PeersError::NoPort(ip));
        }
        Ok(Self { ip, port })
    }

    /// Reads an address, with a UDP port or without, which then is `port`.
    ///
    /// # Errors
    /// [`PeersError`].
    pub fn parse(text: &str, port: u16) -> Result<Self, PeersError> {
        let no_address = || PeersError::NoAddress(text.chars().take(60).collect());
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Self::new(ip, port);
        }
        let address: SocketAddr = text.parse().map_err(|_| no_address())?;
        Self::new(address.ip(), address.port())
    }

    /// Its address.
    pub fn ip(self) -> IpAddr {
        self.ip
    }

    /// Its UDP port.
    pub fn port(self) -> u16 {
        self.port
    }

    /// What VXLAN adds to an IP packet on the way there, in bytes.
    pub fn overhead(self) -> u32 {
        if self.ip.is_ipv4() { header::OVERHEAD_IPV4 } else { header::OVERHEAD_IPV6 }
    }

    /// The list without repetitions, in order.
    ///
    /// # Errors
    /// [`PeersError::Twice`] and [`PeersError::TooMany`].
    pub fn list(peers: impl IntoIterator<Item = Self>) -> Result<Vec<Self>, PeersError> {
        let mut list: Vec<Self> = peers.into_iter().collect();
        list.sort_unstable();
        list.dedup();
        if let Some([one, other]) =
            list.array_windows::<2>().find(|[one, other]| one.ip == other.ip)
        {
            return Err(PeersError::Twice(one.ip, one.port, other.port));
        }
        if list.len() > MAX_PEERS {
            return Err(PeersError::TooMany(list.len()));
        }
        Ok(list)
    }
}

impl From<Peer> for SocketAddr {
    fn from(peer: Peer) -> Self {
        Self::new(peer.ip, peer.port)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.port == DEFAULT_PORT {
            return self.ip.fmt(f);
        }
        SocketAddr::from(*self).fmt(f)
    }
}

impl FromStr for Peer {
    type Err = PeersError;

    fn from_str(text: &str) -> Result<Self, PeersError> {
        Self::parse(text, DEFAULT_PORT)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(text: &str) -> Peer {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_with_and_without_a_port() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4789", "192.0.2.1"),
            ("192.0.2.1:8472", "192.0.2.1:8472"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:8472", "[2001:db8::1]:8472"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(peer(text).to_string(), shown);
        }
        assert_eq!((peer("192.0.2.1").overhead(), peer("2001:db8::1").overhead()), (50, 70));
    }

    #[test]
    fn what_is_no_host() {
        for text in
            ["", "host", "192.0.2", "192.0.2.1:", "192.0.2.1:x", "192.0.2.1:65536", "192.0.2.0/24"]
        {
            assert!(matches!(text.parse::<Peer>(), Err(PeersError::NoAddress(_))), "{text}");
        }
        for text in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "fe80::1"] {
            assert!(matches!(text.parse::<Peer>(), Err(PeersError::NoHost(_))), "{text}");
        }
        assert!(matches!("192.0.2.1:0".parse::<Peer>(), Err(PeersError::NoPort(_))));
    }

    #[test]
    fn a_list_has_each_host_once_and_not_too_many() {
        let [one, other] = ["192.0.2.2", "192.0.2.1"].map(peer);
        assert_eq!(Peer::list([one, other, one]), Ok(vec![other, one]));
        let again = peer("192.0.2.1:8472");
        assert_eq!(Peer::list([other, again]), Err(PeersError::Twice(other.ip, 4789, 8472)));
        let many = |count: u8| Peer::list((1..=count).map(|n| peer(&format!("192.0.2.{n}"))));
        assert_eq!(many(64).unwrap().len(), MAX_PEERS);
        assert_eq!(many(65), Err(PeersError::TooMany(65)));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(ip: IpAddr, port: u16) {
            if let Ok(peer) = Peer::new(ip, port) {
                prop_assert_eq!(peer.to_string().parse(), Ok(peer));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-f:.\\[\\]/ ]{0,30}") {
            if let Ok(peer) = text.parse::<Peer>() {
                prop_assert!(peer.port() != 0 && !peer.ip().is_multicast());
            }
        }
    }
}
