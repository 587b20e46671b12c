//! Addresses of IP sockets as the kernel has them: `struct sockaddr_in` and `struct sockaddr_in6`. Pure.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of the longer one.
const LEN: usize = 28;

/// One, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub(crate) struct Name([u8; LEN]);

/// `AF_INET` of Linux.
const INET: u16 = 2;
/// `AF_INET6` of Linux.
const INET6: u16 = 10;

impl Name {
    /// None.
    pub(crate) const EMPTY: Self = Self([0; LEN]);
    /// Bytes of the room for one.
    pub(super) const ROOM: u32 = 28;

    pub(super) fn of(address: SocketAddr) -> Self {
        let mut name = Self::EMPTY;
        let family = if address.is_ipv4() { INET } else { INET6 };
        name.0[..2].copy_from_slice(&family.to_ne_bytes());
        name.0[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address.ip() {
            IpAddr::V4(ip) => name.0[4..8].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => name.0[8..24].copy_from_slice(&ip.octets()),
        }
        name
    }

    /// Bytes of it.
    pub(super) fn length(&self) -> u32 {
        if self.family() == INET { 16 } else { Self::ROOM }
    }

    /// Its address; of IPv4, also where a socket of IPv6 has it.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self.family() {
            INET => self.0[4..].first_chunk::<4>().map(|it| Ipv4Addr::from(*it).into()),
            INET6 => self.0[8..]
                .first_chunk::<16>()
                .map(|it| IpAddr::from(Ipv6Addr::from(*it)).to_canonical()),
            _ => None,
        }
    }

    fn family(&self) -> u16 {
        u16::from_ne_bytes([self.0[0], self.0[1]])
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        for (text, ip) in [
            ("192.0.2.1:4789", "192.0.2.1"),
            ("[2001:db8::1]:4789", "2001:db8::1"),
            ("[::ffff:192.0.2.1]:4789", "192.0.2.1"),
        ] {
            let name = Name::of(text.parse().unwrap());
            assert_eq!(name.ip(), Some(ip.parse().unwrap()), "{text}");
            assert_eq!(name.0[2..4], 4789_u16.to_be_bytes());
        }
        assert_eq!(Name::EMPTY.ip(), None);
    }
}
