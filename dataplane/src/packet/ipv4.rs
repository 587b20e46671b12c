//! The IPv4 header (RFC 791).

use std::net::Ipv4Addr;

use super::{Protocol, be16};

/// An IPv4 header whose lengths hold for the bytes that it was parsed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Header {
    /// From whom.
    pub src: Ipv4Addr,
    /// To whom.
    pub dst: Ipv4Addr,
    /// What follows.
    pub protocol: Protocol,
    /// Length of the header with its options. 20..=60.
    pub header_len: usize,
    /// Length of header and payload; not less than `header_len`, not more than there are bytes.
    pub total_len: usize,
    /// One fragment of several.
    pub is_fragment: bool,
}

impl Ipv4Header {
    /// Length without options.
    pub const LEN: usize = 20;

    /// Parses the header of a packet; bytes after its end, such as Ethernet padding, are allowed.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let fixed = packet.first_chunk::<{ Self::LEN }>()?;
        let header_len = usize::from(fixed[0] & 0xf) * 4;
        let total_len = usize::from(be16(fixed, 2)?);
        let holds = fixed[0] >> 4 == 4
            && header_len >= Self::LEN
            && header_len <= total_len
            && total_len <= packet.len();
        let address = |at: usize| fixed[at..].first_chunk::<4>().map(|octets| (*octets).into());
        holds.then_some(Self {
            src: address(12)?,
            dst: address(16)?,
            protocol: Protocol(fixed[9]),
            header_len,
            total_len,
            // More fragments, or an offset.
            is_fragment: be16(fixed, 6)? & 0x3fff != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> [u8; 28] {
        let mut packet = [0; 28];
        packet[..4].copy_from_slice(&[0x45, 0, 0, 28]);
        packet[9] = 17;
        packet[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        packet
    }

    #[test]
    fn a_header_and_its_payload() {
        let header = Ipv4Header::parse(&packet()).unwrap();
        assert_eq!(header.src, Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(header.dst, Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!((header.header_len, header.total_len), (20, 28));
        assert_eq!((header.protocol, header.is_fragment), (Protocol::UDP, false));
    }

    #[test]
    fn fragments() {
        for (field, is_fragment) in [(0x4000u16, false), (0x2000, true), (1, true), (0x8000, false)]
        {
            let mut packet = packet();
            packet[6..8].copy_from_slice(&field.to_be_bytes());
            assert_eq!(Ipv4Header::parse(&packet).unwrap().is_fragment, is_fragment);
        }
    }

    #[test]
    fn lengths_that_do_not_hold() {
        let with = |at: usize, value: u8| {
            let mut packet = packet();
            packet[at] = value;
            Ipv4Header::parse(&packet)
        };
        assert_eq!(with(0, 0x65), None, "version");
        assert_eq!(with(0, 0x44), None, "header shorter than 20");
        assert_eq!(with(0, 0x4f), None, "header longer than the packet");
        assert_eq!(with(3, 19), None, "packet shorter than its header");
        assert_eq!(with(3, 29), None, "packet longer than the bytes");
        assert_eq!(Ipv4Header::parse(&packet()[..19]), None);
    }
}
