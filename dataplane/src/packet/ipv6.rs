//! The IPv6 header and the walk over its extension headers (RFC 8200).

use std::net::Ipv6Addr;

use super::{Protocol, be16};

/// An IPv6 header whose length holds for the bytes that it was parsed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Header {
    /// From whom.
    pub src: Ipv6Addr,
    /// To whom.
    pub dst: Ipv6Addr,
    /// What follows this header: an extension header or the payload.
    pub next: Protocol,
    /// Hops left.
    pub hop_limit: u8,
    /// Length of this header and all that follows; not more than there are bytes.
    pub total_len: usize,
}

/// What the extension headers lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Payload {
    /// The protocol.
    pub protocol: Protocol,
    /// Where it starts, from the start of the IPv6 header; not beyond `total_len`.
    pub offset: usize,
    /// One fragment of several.
    pub is_fragment: bool,
    /// A fragment that is not the first: what is at `offset` is no header.
    pub is_later_fragment: bool,
    /// A routing header came before: the final destination may be another address.
    pub is_routed: bool,
}

impl Ipv6Header {
    /// Length without extension headers.
    pub const LEN: usize = 40;

    /// Parses the header of a packet; bytes after its end, such as Ethernet padding, are allowed.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let fixed = packet.first_chunk::<{ Self::LEN }>()?;
        let total_len = Self::LEN + usize::from(be16(fixed, 4)?);
        let address = |at: usize| fixed[at..].first_chunk::<16>().map(|octets| (*octets).into());
        (fixed[0] >> 4 == 6 && total_len <= packet.len()).then_some(Self {
            src: address(8)?,
            dst: address(24)?,
            next: Protocol(fixed[6]),
            hop_limit: fixed[7],
            total_len,
        })
    }

    /// Walks over the extension headers of the packet that this header was parsed from. `None` when
    /// they are cut short or more than any honest sender uses.
    pub fn payload(&self, packet: &[u8]) -> Option<Ipv6Payload> {
        let packet = packet.get(..self.total_len)?;
        let (mut is_fragment, mut is_later_fragment, mut is_routed) = (false, false, false);
        let (mut next, mut offset) = (self.next, Self::LEN);
        for _ in 0..=MAX_EXTENSIONS {
            let length = |bytes: &[u8]| usize::from(bytes[1]);
            let header = packet.get(offset..)?.first_chunk::<8>();
            let step = match next.0 {
                HOP_BY_HOP | DESTINATION => (length(header?) + 1) * 8,
                ROUTING => {
                    is_routed = true;
                    (length(header?) + 1) * 8
                }
                FRAGMENT => {
                    // An atomic fragment (RFC 6946) is a whole packet.
                    let position = be16(header?, 2)?;
                    is_fragment |= position & 0xfff9 != 0;
                    is_later_fragment |= position & 0xfff8 != 0;
                    8
                }
                AUTHENTICATION => (length(header?) + 2) * 4,
                _ => {
                    return Some(Ipv6Payload {
                        protocol: next,
                        offset,
                        is_fragment,
                        is_later_fragment,
                        is_routed,
                    });
                }
            };
            next = Protocol(header?[0]);
            offset += step;
            if is_fragment {
                // What follows in a later fragment is not a header.
                return (offset <= packet.len()).then_some(Ipv6Payload {
                    protocol: next,
                    offset,
                    is_fragment,
                    is_later_fragment,
                    is_routed,
                });
            }
        }
        None
    }
}

const MAX_EXTENSIONS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        packet[6] = next;
        packet[7] = 255;
        packet[23] = 1;
        packet[39] = 2;
        packet.extend_from_slice(payload);
        packet
    }

    fn payload(packet: &[u8]) -> Option<Ipv6Payload> {
        Ipv6Header::parse(packet)?.payload(packet)
    }

    #[test]
    fn a_plain_packet() {
        let packet = packet(58, &[1, 2, 3]);
        let header = Ipv6Header::parse(&packet).unwrap();
        assert_eq!(header.src, "::1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(header.dst, "::2".parse::<Ipv6Addr>().unwrap());
        assert_eq!((header.hop_limit, header.total_len), (255, 43));
        let expected = Ipv6Payload {
            protocol: Protocol::ICMPV6,
            offset: 40,
            is_fragment: false,
            is_later_fragment: false,
            is_routed: false,
        };
        assert_eq!(header.payload(&packet), Some(expected));
    }

    #[test]
    fn extension_headers_are_walked() {
        let mut extensions = vec![0; 8 + 16 + 8 + 12 + 4];
        extensions[0] = ROUTING;
        extensions[8..10].copy_from_slice(&[FRAGMENT, 1]);
        extensions[24] = AUTHENTICATION;
        extensions[32..34].copy_from_slice(&[6, 1]);
        let expected = Ipv6Payload {
            protocol: Protocol::TCP,
            offset: 84,
            is_fragment: false,
            is_later_fragment: false,
            is_routed: true,
        };
        assert_eq!(payload(&packet(HOP_BY_HOP, &extensions)), Some(expected));
        extensions[27] = 1;
        let fragment = payload(&packet(HOP_BY_HOP, &extensions)).unwrap();
        assert!(fragment.is_fragment && !fragment.is_later_fragment);
        extensions[27] = 8;
        let fragment = payload(&packet(HOP_BY_HOP, &extensions)).unwrap();
        assert!(fragment.is_fragment && fragment.is_later_fragment);
    }

    #[test]
    fn walks_that_lead_nowhere() {
        assert_eq!(payload(&packet(HOP_BY_HOP, &[6, 1, 0, 0, 0, 0, 0, 0])), None, "cut short");
        assert_eq!(payload(&packet(HOP_BY_HOP, &[0; 8 * 9])), None, "endless");
        assert_eq!(Ipv6Header::parse(&packet(6, &[0; 8])[..47]), None);
    }

    proptest! {
        #[test]
        fn never_points_outside(next: u8, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let packet = packet(next, &bytes);
            if let Some(found) = payload(&packet) {
                prop_assert!(found.offset <= packet.len());
            }
        }
    }
}
