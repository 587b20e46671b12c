//! Ethernet II with at most one VLAN tag (IEEE 802.3, 802.1Q).

use super::be16;
use crate::MacAddr;

/// What an Ethernet frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// A VLAN tag (802.1Q).
    pub const VLAN: Self = Self(0x8100);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// A service VLAN tag (802.1ad).
    pub const SERVICE_VLAN: Self = Self(0x88a8);

    fn is_tag(self) -> bool {
        matches!(self, Self::VLAN | Self::SERVICE_VLAN)
    }
}

/// An Ethernet header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EthernetHeader {
    /// To whom.
    pub dst: MacAddr,
    /// From whom.
    pub src: MacAddr,
    /// The tag control information of the outer VLAN tag.
    pub tag: Option<u16>,
    /// What follows the header; a tag when there are two.
    pub ether_type: EtherType,
}

impl EthernetHeader {
    /// Length without a tag.
    pub const LEN: usize = 14;
    /// Length of a VLAN tag.
    pub const TAG_LEN: usize = 4;

    /// Parses the header of a frame.
    #[inline]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (dst, rest) = frame.split_first_chunk()?;
        let (src, _) = rest.split_first_chunk()?;
        let outer = EtherType(be16(frame, 12)?);
        let (tag, ether_type) = if outer.is_tag() {
            (Some(be16(frame, 14)?), EtherType(be16(frame, 16)?))
        } else {
            (None, outer)
        };
        Some(Self { dst: MacAddr(*dst), src: MacAddr(*src), tag, ether_type })
    }

    /// Its length: where the payload starts.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub fn len(&self) -> usize {
        Self::LEN + if self.tag.is_some() { Self::TAG_LEN } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_tagged() {
        let mut frame = [0; 18];
        frame[0] = 2;
        frame[11] = 9;
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        let header = EthernetHeader::parse(&frame[..14]).unwrap();
        assert_eq!((header.tag, header.ether_type, header.len()), (None, EtherType::IPV6, 14));
        assert_eq!((header.dst.0[0], header.src.0[5]), (2, 9));
        frame[12..18].copy_from_slice(&[0x81, 0, 0x20, 7, 8, 6]);
        let header = EthernetHeader::parse(&frame).unwrap();
        assert_eq!((header.tag, header.ether_type), (Some(0x2007), EtherType::ARP));
        assert_eq!(header.len(), 18);
        assert_eq!(EthernetHeader::parse(&frame[..17]), None);
        assert_eq!(EthernetHeader::parse(&frame[..13]), None);
    }
}
