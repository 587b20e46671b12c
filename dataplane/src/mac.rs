//! Ethernet addresses.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// The broadcast address `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the group bit is set: multicast, broadcast included.
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether a station may use it as its own: neither a group address nor all zeros.
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self.0 != [0; 6]
    }

    /// The address as a number below 2^48, first octet highest.
    #[inline]
    pub fn to_bits(self) -> u64 {
        // Two loads; eight octets put together would go through memory and stall there.
        let [high0, high1, low0, low1, low2, low3] = self.0;
        let high = u16::from_be_bytes([high0, high1]);
        let low = u32::from_be_bytes([low0, low1, low2, low3]);
        u64::from(high) << 32 | u64::from(low)
    }

    /// The address of a number; bits above the 48th are ignored.
    pub fn from_bits(bits: u64) -> Self {
        let [_, _, octets @ ..] = bits.to_be_bytes();
        Self(octets)
    }

    /// The link-local IPv6 address of this station, from its modified EUI-64 identifier
    /// (RFC 4291, appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let bits = self.to_bits();
        let identifier = (bits >> 24 << 40 | 0xfffe << 24 | bits & 0x00ff_ffff) ^ 2 << 56;
        Ipv6Addr::from(0xfe80 << 112 | u128::from(identifier))
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|octet| write!(f, ":{octet:02x}"))
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not six hexadecimal octets joined by `:` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an Ethernet address such as 02:42:ac:11:00:02")]
pub struct ParseMacError(String);

impl FromStr for MacAddr {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|part| matches!(part.len(), 1 | 2));
            *octet = part
                .and_then(|part| u8::from_str_radix(part, 16).ok())
                .ok_or_else(|| ParseMacError(text.to_owned()))?;
        }
        match parts.next() {
            None => Ok(Self(octets)),
            Some(_) => Err(ParseMacError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_displays() {
        let mac = MacAddr([2, 0x42, 0xac, 0x11, 0, 2]);
        assert_eq!(mac.to_string().parse(), Ok(mac));
        assert_eq!("02-42-AC-11-00-02".parse(), Ok(mac));
    }

    #[test]
    fn converts_to_a_number_and_back() {
        let mac = MacAddr([2, 0x42, 0xac, 0x11, 0, 3]);
        assert_eq!(mac.to_bits(), 0x0242_ac11_0003);
        assert_eq!(MacAddr::from_bits(mac.to_bits() | 7 << 48), mac);
    }

    #[test]
    fn derives_the_link_local_address() {
        let mac: MacAddr = "34-56-78-9a-bc-de".parse().unwrap();
        assert_eq!(mac.link_local(), "fe80::3656:78ff:fe9a:bcde".parse::<Ipv6Addr>().unwrap());
    }

    #[test]
    fn refuses_what_is_not_six_octets() {
        for text in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "02:42:ac:11:00:zz",
            "+2:42:ac:11:00:002",
        ] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }
}
