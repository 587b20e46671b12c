//! The gateway's ports, all of which are closed: TCP is answered with a reset (RFC 9293, 3.10.7.1), UDP
//! with "port unreachable" (RFC 1122, 3.2.2.1; RFC 4443, 3.1), so that nobody waits for an answer in vain.
//!
//! Each answer goes to the port that the packet came from, and only there, so a station that asks without
//! end floods itself.

use std::net::IpAddr;

use super::{Gateway, HOP_LIMIT, Ignored};
use crate::MacAddr;
use crate::offload::{Sum, checksum};
use crate::packet::{EtherType, Ipv4Header, Ipv6Header, Protocol};

/// A packet for one of the gateway's addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// Whose station sent it.
    pub(super) station: MacAddr,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) protocol: Protocol,
    /// All of it, from its IP header on.
    pub(super) packet: &'a [u8],
    /// Where its payload starts.
    pub(super) offset: usize,
}

const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// Of TCP's flags.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 0x10;

/// Answers TCP and UDP.
pub(super) fn answer(
    gateway: &Gateway,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Ignored> {
    match request.protocol {
        Protocol::TCP => {
            let reset = reset(request)?;
            request.write(gateway, Protocol::TCP, reset, TCP_CHECKSUM, out)
        }
        Protocol::UDP => {
            let (protocol, complaint) = port_unreachable(request)?;
            request.write(gateway, protocol, complaint, ICMP_CHECKSUM, out)
        }
        _ => Err(Ignored::Unsupported),
    }
}

/// Where the checksum is.
const TCP_CHECKSUM: usize = 16;
const ICMP_CHECKSUM: usize = 2;

/// The reset that answers a segment. A reset is not answered.
fn reset(request: &Request<'_>) -> Result<Vec<u8>, Ignored> {
    let segment = request.payload();
    let header = segment.first_chunk::<TCP_HEADER>().ok_or(Ignored::Malformed)?;
    let header_len = usize::from(header[12] >> 4) * 4;
    if header_len < TCP_HEADER || header_len > segment.len() {
        return Err(Ignored::Malformed);
    }
    if request.sum(Protocol::TCP, segment.len()).plus(segment).finish() != 0 {
        return Err(Ignored::BadChecksum);
    }
    let flags = header[13];
    if flags & RST != 0 {
        return Err(Ignored::Unsupported);
    }
    let word = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (sequence, acknowledgement, flags) = if flags & ACK != 0 {
        (word(8), 0, RST)
    } else {
        let controls = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        // A segment is shorter than its packet, whose length is a 16-bit field.
        let data = u32::try_from(segment.len() - header_len).unwrap_or(u32::MAX);
        (0, word(4).wrapping_add(data).wrapping_add(controls), RST | ACK)
    };
    let mut reset = vec![0; TCP_HEADER];
    reset[..2].copy_from_slice(&header[2..4]);
    reset[2..4].copy_from_slice(&header[..2]);
    reset[4..8].copy_from_slice(&sequence.to_be_bytes());
    reset[8..12].copy_from_slice(&acknowledgement.to_be_bytes());
    reset[12] = 5 << 4;
    reset[13] = flags;
    Ok(reset)
}

/// The complaint about a datagram: as much of it as fits the smallest MTU (RFC 1812, 4.3.2.3; RFC 4443,
/// 2.4 (c)).
fn port_unreachable(request: &Request<'_>) -> Result<(Protocol, Vec<u8>), Ignored> {
    let datagram = request.payload();
    let header = datagram.first_chunk::<UDP_HEADER>().ok_or(Ignored::Malformed)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if length < UDP_HEADER || length > datagram.len() {
        return Err(Ignored::Malformed);
    }
    let has_sum = header[6..8] != [0, 0];
    if !has_sum && request.src.is_ipv6() {
        return Err(Ignored::BadChecksum);
    }
    if has_sum && request.sum(Protocol::UDP, length).plus(&datagram[..length]).finish() != 0 {
        return Err(Ignored::BadChecksum);
    }
    let (protocol, kind, most) = match request.src {
        IpAddr::V4(_) => (Protocol::ICMP, [3, 3], 576 - Ipv4Header::LEN),
        IpAddr::V6(_) => (Protocol::ICMPV6, [1, 4], 1280 - Ipv6Header::LEN),
    };
    let mut complaint = vec![0; 8];
    complaint[..2].copy_from_slice(&kind);
    let quoted = request.packet.len().min(most - complaint.len());
    complaint.extend_from_slice(&request.packet[..quoted]);
    Ok((protocol, complaint))
}

impl Request<'_> {
    fn payload(&self) -> &[u8] {
        &self.packet[self.offset..]
    }

    /// The pseudo-header's sum, the same both ways.
    fn sum(&self, protocol: Protocol, length: usize) -> Sum {
        // Part of a packet, whose length is a 16-bit field.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Sum::pseudo_header4(src, dst, protocol, length),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Sum::pseudo_header6(src, dst, protocol, length),
            _ => Sum::default(),
        }
    }

    /// Writes the answer: `message`, whose checksum at `at` is filled in.
    fn write(
        &self,
        gateway: &Gateway,
        protocol: Protocol,
        mut message: Vec<u8>,
        at: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Ignored> {
        let sum = match protocol {
            Protocol::ICMP => checksum(&message),
            _ => self.sum(protocol, message.len()).plus(&message).finish(),
        };
        message[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        match (self.dst, self.src) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                gateway.write_ethernet(self.station, EtherType::IPV4, out);
                super::icmp4::write_header(src, dst, protocol, message.len(), out);
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                gateway.write_ethernet(self.station, EtherType::IPV6, out);
                super::icmp6::write_header(src, dst, protocol, HOP_LIMIT, message.len(), out);
            }
            _ => return Err(Ignored::Malformed),
        }
        out.extend_from_slice(&message);
        Ok(())
    }
}
