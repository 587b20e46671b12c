//! ICMP errors: those that we hear about our own packets, and the one that we send (RFC 792, RFC 4443).

use std::net::{IpAddr, SocketAddr};

use dataplane::packet::{Ipv4Header, Ipv6Header, Protocol};

use crate::headers::{IpInfo, ip_len};
use crate::packet::Packet;

/// What a router or station says about a packet of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// Nobody listens there.
    Port,
    /// It cannot be reached.
    Unreachable,
    /// It is longer than the way takes, which is this many bytes.
    TooBig(u16),
}

/// A complaint and the packet that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) complaint: Complaint,
    pub(crate) protocol: Protocol,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Of a TCP segment. `None` when so little of it is quoted.
    pub(crate) sequence: Option<u32>,
}

/// Hears an ICMP error; `None` for any other message.
pub(crate) fn report(packet: &Packet<'_>) -> Option<Report> {
    let message = packet.payload();
    let (head, quoted) = message.split_at_checked(8)?;
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    if packet.info.protocol == Protocol::ICMP {
        let complaint = match (head[0], head[1]) {
            (3, 2 | 3) => Complaint::Port,
            (3, 4) => Complaint::TooBig(word(6)),
            (3, _) => Complaint::Unreachable,
            _ => return None,
        };
        let header_len = usize::from(quoted.first()? & 0xf) * 4;
        if quoted.first()? >> 4 != 4 || header_len < Ipv4Header::LEN {
            return None;
        }
        let address = |at: usize| Some(IpAddr::from(*quoted.get(at..)?.first_chunk::<4>()?));
        let protocol = Protocol(*quoted.get(9)?);
        return about(complaint, protocol, address(12)?, address(16)?, quoted.get(header_len..)?);
    }
    let complaint = match (head[0], head[1]) {
        (1, 4) => Complaint::Port,
        (1, _) => Complaint::Unreachable,
        (2, 0) => Complaint::TooBig(if word(4) == 0 { word(6) } else { u16::MAX }),
        _ => return None,
    };
    if quoted.first()? >> 4 != 6 {
        return None;
    }
    let address = |at: usize| Some(IpAddr::from(*quoted.get(at..)?.first_chunk::<16>()?));
    let protocol = Protocol(*quoted.get(6)?);
    about(complaint, protocol, address(8)?, address(24)?, quoted.get(Ipv6Header::LEN..)?)
}

fn about(
    complaint: Complaint,
    protocol: Protocol,
    src: IpAddr,
    dst: IpAddr,
    payload: &[u8],
) -> Option<Report> {
    let port = |at: usize| Some(u16::from_be_bytes(*payload.get(at..)?.first_chunk()?));
    let (local, remote) = (SocketAddr::new(src, port(0)?), SocketAddr::new(dst, port(2)?));
    let sequence = payload.get(4..).and_then(|rest| rest.first_chunk());
    let sequence = sequence.map(|bytes| u32::from_be_bytes(*bytes));
    Some(Report { complaint, protocol, local, remote, sequence })
}

/// Length of the IP packet that [`write_port_unreachable`] makes.
pub(crate) fn port_unreachable_len(about: &Packet<'_>) -> usize {
    ip_len(about.src()) + 8 + quoted_len(about)
}

/// As much of the packet as fits into the smallest MTU (RFC 1812, 4.3.2.3; RFC 4443, 3.1).
fn quoted_len(about: &Packet<'_>) -> usize {
    let most = if about.src().is_ipv4() { 576 } else { 1280 };
    about.bytes.len().min(most - ip_len(about.src()) - 8)
}

/// Writes the IP packet which says that nobody listens where `about` went.
pub(crate) fn write_port_unreachable(about: &Packet<'_>, packet: &mut [u8]) {
    let v4 = about.src().is_ipv4();
    let protocol = if v4 { Protocol::ICMP } else { Protocol::ICMPV6 };
    let info = IpInfo { src: about.dst(), dst: about.src(), protocol };
    info.write(packet, None);
    let message = &mut packet[ip_len(about.src())..];
    message[..8].fill(0);
    message[..2].copy_from_slice(if v4 { &[3, 3] } else { &[1, 4] });
    let quoted = quoted_len(about);
    message[8..8 + quoted].copy_from_slice(&about.bytes[..quoted]);
    let sum = if v4 {
        dataplane::offload::checksum(message)
    } else {
        info.pseudo_header(message.len()).plus(message).finish()
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
}
