//! Writing Ethernet and IP headers.

use std::net::IpAddr;

use dataplane::MacAddr;
use dataplane::offload::{Sum, checksum};
use dataplane::packet::{EtherType, EthernetHeader, Ipv4Header, Ipv6Header, Protocol};

/// Hops of packets to other stations.
const HOP_LIMIT: u8 = 64;

/// Length of the Ethernet header and the IP header towards `address`.
pub(crate) fn headers_len(address: IpAddr) -> usize {
    EthernetHeader::LEN + ip_len(address)
}

/// Length of the IP header towards `address`.
pub(crate) fn ip_len(address: IpAddr) -> usize {
    if address.is_ipv4() { Ipv4Header::LEN } else { Ipv6Header::LEN }
}

/// Writes an Ethernet header to the start of `frame`.
pub(crate) fn write_ethernet(frame: &mut [u8], dst: MacAddr, src: MacAddr, ether_type: EtherType) {
    frame[..6].copy_from_slice(&dst.0);
    frame[6..12].copy_from_slice(&src.0);
    frame[12..14].copy_from_slice(&ether_type.0.to_be_bytes());
}

/// From and to whom a packet goes, and what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IpInfo {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: Protocol,
}

impl IpInfo {
    /// Of a frame that this stack made: without IP options or extension headers. `None` for ARP.
    pub(crate) fn of_own(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(EthernetHeader::LEN..)?;
        if frame[12..14] == EtherType::IPV4.0.to_be_bytes() {
            let header = Ipv4Header::parse(packet)?;
            let (src, dst) = (header.src.into(), header.dst.into());
            return Some(Self { src, dst, protocol: header.protocol });
        }
        if frame[12..14] == EtherType::IPV6.0.to_be_bytes() {
            let header = Ipv6Header::parse(packet)?;
            let (src, dst) = (header.src.into(), header.dst.into());
            return Some(Self { src, dst, protocol: header.next });
        }
        None
    }

    /// Writes the IP header of a packet whose payload fills `packet` behind it. Both addresses are of
    /// one version.
    pub(crate) fn write(self, packet: &mut [u8], hop_limit: Option<u8>) {
        let total = packet.len();
        let hops = hop_limit.unwrap_or(HOP_LIMIT);
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let header = &mut packet[..Ipv4Header::LEN];
                header.fill(0);
                header[0] = 0x45;
                header[2..4].copy_from_slice(&low16(total).to_be_bytes());
                // Never to be fragmented, so that its identification is free (RFC 6864).
                header[6] = 0x40;
                header[8] = hops;
                header[9] = self.protocol.0;
                header[12..16].copy_from_slice(&src.octets());
                header[16..20].copy_from_slice(&dst.octets());
                let sum = checksum(header);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let header = &mut packet[..Ipv6Header::LEN];
                header[..4].copy_from_slice(&[0x60, 0, 0, 0]);
                let length = low16(total - Ipv6Header::LEN);
                header[4..6].copy_from_slice(&length.to_be_bytes());
                header[6..8].copy_from_slice(&[self.protocol.0, hops]);
                header[8..24].copy_from_slice(&src.octets());
                header[24..40].copy_from_slice(&dst.octets());
            }
            _ => debug_assert!(false, "addresses of two IP versions"),
        }
    }

    /// The sum of the pseudo-header of a payload of `length` bytes.
    #[inline]
    pub(crate) fn pseudo_header(self, length: usize) -> Sum {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                Sum::pseudo_header4(src, dst, self.protocol, length)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                Sum::pseudo_header6(src, dst, self.protocol, length)
            }
            _ => Sum::default(),
        }
    }

    pub(crate) fn ether_type(self) -> EtherType {
        if self.src.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 }
    }
}

/// A length below 64 KiB.
pub(crate) fn low16(value: usize) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}
