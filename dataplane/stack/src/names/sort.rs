//! What a frame of the container's kernel is.

use std::net::{IpAddr, SocketAddr};

use dataplane::offload::{Checksum, SegmentationKind, VirtioNetHeader};
use dataplane::packet::{EtherType, EthernetHeader, Ipv4Header, Ipv6Header, Protocol};

use super::neighbour::{advertisement, arp_answer};
use super::{NameFlow, PORT};
use crate::config::Addressing;

/// A frame of the container's kernel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sorted<'a> {
    /// A question for a neighbour, and the whole frame that answers it.
    Neighbour(Vec<u8>),
    /// What a kernel says of its own accord, to routers, groups and possible owners of its addresses.
    Chatter,
    /// For a name server.
    Query(Query<'a>),
    /// Anything else.
    Stray,
}

/// A packet to a name server, whose lengths hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Query<'a> {
    pub(crate) flow: NameFlow,
    /// From the IP header to the end.
    pub(crate) packet: &'a [u8],
}

impl Query<'_> {
    pub(crate) fn ether_type(&self) -> EtherType {
        if self.flow.remote.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 }
    }
}

/// Says what a frame is. `offload` is what the kernel left undone in it.
pub(crate) fn sort<'a>(
    frame: &'a [u8],
    offload: VirtioNetHeader,
    addressing: &Addressing,
) -> Sorted<'a> {
    let Some(ethernet) = EthernetHeader::parse(frame).filter(|it| it.tag.is_none()) else {
        return Sorted::Stray;
    };
    let body = &frame[ethernet.len()..];
    match ethernet.ether_type {
        EtherType::ARP => arp_answer(body, addressing).map_or(Sorted::Chatter, Sorted::Neighbour),
        EtherType::IPV4 => ipv4(body, offload, addressing),
        EtherType::IPV6 => ipv6(body, offload, addressing),
        _ => Sorted::Stray,
    }
}

/// A packet to one station, and where its payload starts.
#[derive(Debug, Clone, Copy)]
struct Parsed<'a> {
    src: IpAddr,
    dst: IpAddr,
    protocol: Protocol,
    packet: &'a [u8],
    offset: usize,
}

fn ipv4<'a>(body: &'a [u8], offload: VirtioNetHeader, addressing: &Addressing) -> Sorted<'a> {
    let Some(header) = Ipv4Header::parse(body) else { return Sorted::Stray };
    if header.protocol == IGMP {
        return Sorted::Chatter;
    }
    if header.is_fragment || header.dst.is_multicast() {
        return Sorted::Stray;
    }
    let (src, dst, protocol) = (header.src.into(), header.dst.into(), header.protocol);
    let packet = &body[..header.total_len];
    let parsed = Parsed { src, dst, protocol, packet, offset: header.header_len };
    query(parsed, offload, addressing)
}

fn ipv6<'a>(body: &'a [u8], offload: VirtioNetHeader, addressing: &Addressing) -> Sorted<'a> {
    let Some(header) = Ipv6Header::parse(body) else { return Sorted::Stray };
    let Some(payload) = header.payload(body) else { return Sorted::Stray };
    if payload.is_fragment || payload.is_routed {
        return Sorted::Stray;
    }
    let packet = &body[..header.total_len];
    if payload.protocol == Protocol::ICMPV6 {
        let message = &packet[payload.offset..];
        if let Some(answer) = advertisement(&header, message, addressing) {
            return Sorted::Neighbour(answer);
        }
        let is_chatter = message.first().is_some_and(|kind| CHATTER.contains(kind));
        return if is_chatter { Sorted::Chatter } else { Sorted::Stray };
    }
    if header.dst.is_multicast() {
        return Sorted::Stray;
    }
    let (src, dst, protocol) = (header.src.into(), header.dst.into(), payload.protocol);
    query(Parsed { src, dst, protocol, packet, offset: payload.offset }, offload, addressing)
}

fn query<'a>(parsed: Parsed<'a>, offload: VirtioNetHeader, addressing: &Addressing) -> Sorted<'a> {
    let Parsed { src, dst, protocol, packet, offset } = parsed;
    let from_us = addressing.source_for(dst) == Some(src);
    if !from_us || addressing.is_own(dst) || addressing.is_broadcast(dst) {
        return Sorted::Stray;
    }
    let Some(ports) = ports(protocol, &packet[offset..]) else { return Sorted::Stray };
    let fits = offload.segmentation.is_some() || packet.len() <= usize::from(addressing.mtu);
    if ports.1 != PORT || ports.0 == 0 || !fits || !is_sound(offload, protocol, offset) {
        return Sorted::Stray;
    }
    let (local, remote) = (SocketAddr::new(src, ports.0), SocketAddr::new(dst, ports.1));
    Sorted::Query(Query { flow: NameFlow { protocol, local, remote }, packet })
}

/// Both ports of a datagram or segment whose header is there.
fn ports(protocol: Protocol, payload: &[u8]) -> Option<(u16, u16)> {
    let header_len = match protocol {
        Protocol::UDP => 8,
        Protocol::TCP => 20,
        _ => return None,
    };
    let header = payload.get(..header_len)?;
    let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    Some((port(0), port(2)))
}

/// Whether what is left undone is what this protocol leaves: the frame is the network's from here on.
fn is_sound(offload: VirtioNetHeader, protocol: Protocol, offset: usize) -> bool {
    let field = if protocol == Protocol::TCP { TCP_CHECKSUM } else { UDP_CHECKSUM };
    let checksum = match offload.checksum {
        Checksum::Present | Checksum::Valid => true,
        Checksum::Partial { start, offset: at } => {
            usize::from(start) == EthernetHeader::LEN + offset && at == field
        }
    };
    let segmentation = offload.segmentation.is_none_or(|it| {
        let is_tcp = matches!(it.kind, SegmentationKind::Tcp4 | SegmentationKind::Tcp6);
        is_tcp == (protocol == Protocol::TCP)
    });
    checksum && segmentation
}

/// IGMP (RFC 3376).
const IGMP: Protocol = Protocol(2);
/// ICMPv6: queries, reports and ends of group membership (RFC 2710), solicitations and advertisements of routers
/// and neighbours, redirects (RFC 4861), reports of version 2 (RFC 3810).
const CHATTER: [u8; 9] = [130, 131, 132, 133, 134, 135, 136, 137, 143];
const UDP_CHECKSUM: u16 = 6;
const TCP_CHECKSUM: u16 = 16;
