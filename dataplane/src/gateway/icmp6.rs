//! ICMPv6 echo (RFC 4443, 4) and neighbour solicitations (RFC 4861, 7.1.1 and 7.2.4; duplicate
//! address detection: RFC 4862, 5.4).

use std::net::Ipv6Addr;

use super::closed::{self, Request};
use super::{Gateway, HOP_LIMIT, Ignored, Role};
use crate::MacAddr;
use crate::offload::Sum;
use crate::packet::{EtherType, EthernetHeader, Ipv6Header, Protocol};

/// Answers an echo request to one of the gateway's addresses, or a solicitation for one, and says of
/// ports that they are closed.
pub(super) fn answer(
    gateway: &Gateway,
    ethernet: &EthernetHeader,
    packet: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Ignored> {
    let header = Ipv6Header::parse(packet).ok_or(Ignored::Malformed)?;
    if header.src.is_multicast() || header.src.is_loopback() {
        return Err(Ignored::Malformed);
    }
    if gateway.ipv6.contains(&header.src) {
        return Err(Ignored::Conflict);
    }
    let payload = header.payload(packet).ok_or(Ignored::Malformed)?;
    if payload.is_fragment {
        return Err(Ignored::Fragment);
    }
    if payload.is_routed {
        return Err(Ignored::Unsupported);
    }
    if payload.protocol != Protocol::ICMPV6 {
        if ethernet.dst != gateway.mac || !gateway.ipv6.contains(&header.dst) {
            return Err(Ignored::NotForUs);
        }
        if header.src.is_unspecified() {
            return Err(Ignored::Malformed);
        }
        let request = Request {
            station: ethernet.src,
            src: header.src.into(),
            dst: header.dst.into(),
            protocol: payload.protocol,
            packet: &packet[..header.total_len],
            offset: payload.offset,
        };
        return closed::answer(gateway, &request, out);
    }
    let message = &packet[payload.offset..header.total_len];
    let (fixed, body) = message.split_first_chunk::<4>().ok_or(Ignored::Malformed)?;
    if pseudo_header(header.src, header.dst, message.len()).plus(message).finish() != 0 {
        return Err(Ignored::BadChecksum);
    }
    match [fixed[0], fixed[1]] {
        ECHO_REQUEST => echo(gateway, ethernet, &header, body, out),
        SOLICITATION => solicitation(gateway, ethernet, &header, body, out),
        _ => Err(Ignored::Unsupported),
    }
}

/// Type and code.
const ECHO_REQUEST: [u8; 2] = [128, 0];
const ECHO_REPLY: [u8; 2] = [129, 0];
const SOLICITATION: [u8; 2] = [135, 0];
const ADVERTISEMENT: [u8; 2] = [136, 0];

const IDENTIFIER_AND_SEQUENCE: usize = 4;
/// Proves that a message crossed no router (RFC 4861, 3.1).
const ON_LINK: u8 = 255;

const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The group address that all-nodes maps to (RFC 2464, 7).
const ALL_NODES_MAC: MacAddr = MacAddr([0x33, 0x33, 0, 0, 0, 1]);

fn echo(
    gateway: &Gateway,
    ethernet: &EthernetHeader,
    request: &Ipv6Header,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Ignored> {
    if ethernet.dst != gateway.mac || !gateway.ipv6.contains(&request.dst) {
        return Err(Ignored::NotForUs);
    }
    if request.src.is_unspecified() || body.len() < IDENTIFIER_AND_SEQUENCE {
        return Err(Ignored::Malformed);
    }
    let reply = Message { src: request.dst, dst: request.src, hop_limit: HOP_LIMIT };
    gateway.write_ethernet(ethernet.src, EtherType::IPV6, out);
    reply.write(ECHO_REPLY, body, out);
    Ok(())
}

fn solicitation(
    gateway: &Gateway,
    ethernet: &EthernetHeader,
    request: &Ipv6Header,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Ignored> {
    let target = parse_solicitation(request, body).ok_or(Ignored::Malformed)?;
    if !gateway.ipv6.contains(&target) {
        return Err(Ignored::NotForUs);
    }
    let is_probe = request.src.is_unspecified();
    let (mac, dst, flags) = if is_probe {
        (ALL_NODES_MAC, ALL_NODES, OVERRIDE)
    } else {
        (ethernet.src, request.src, SOLICITED | OVERRIDE)
    };
    let mut advertisement = [0; 28];
    advertisement[0] = flags | if gateway.role == Role::Router { ROUTER } else { 0 };
    advertisement[4..20].copy_from_slice(&target.octets());
    advertisement[20..22].copy_from_slice(&[TARGET_LINK_LAYER, 1]);
    advertisement[22..].copy_from_slice(&gateway.mac.0);
    gateway.write_ethernet(mac, EtherType::IPV6, out);
    Message { src: target, dst, hop_limit: ON_LINK }.write(ADVERTISEMENT, &advertisement, out);
    Ok(())
}

/// The target of a valid solicitation (RFC 4861, 7.1.1).
fn parse_solicitation(request: &Ipv6Header, body: &[u8]) -> Option<Ipv6Addr> {
    let (target, mut options) = body.get(4..)?.split_first_chunk::<16>()?;
    let target = Ipv6Addr::from(*target);
    let is_probe = request.src.is_unspecified();
    let group = solicited_node(target);
    let addressed = request.dst == group || request.dst == target && !is_probe;
    if request.hop_limit != ON_LINK || target.is_multicast() || !addressed {
        return None;
    }
    while let Some((kind, rest)) = options.split_first() {
        let length = usize::from(*rest.first()?) * 8;
        if length == 0 || is_probe && *kind == SOURCE_LINK_LAYER {
            return None;
        }
        options = options.get(length..)?;
    }
    Some(target)
}

/// The solicited-node group of an address (RFC 4291, 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let prefix = u128::from(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0));
    Ipv6Addr::from(prefix | u128::from(address) & 0x00ff_ffff)
}

fn pseudo_header(src: Ipv6Addr, dst: Ipv6Addr, length: usize) -> Sum {
    // A message is shorter than its packet, whose length is a 16-bit field.
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    Sum::pseudo_header6(src, dst, Protocol::ICMPV6, length)
}

/// IPv6 header of a reply.
struct Message {
    src: Ipv6Addr,
    dst: Ipv6Addr,
    hop_limit: u8,
}

impl Message {
    fn write(&self, kind: [u8; 2], body: &[u8], out: &mut Vec<u8>) {
        let length = kind.len() + 2 + body.len();
        let sum = pseudo_header(self.src, self.dst, length).plus(&kind).plus(body).finish();
        write_header(self.src, self.dst, Protocol::ICMPV6, self.hop_limit, length, out);
        out.extend_from_slice(&kind);
        out.extend_from_slice(&sum.to_be_bytes());
        out.extend_from_slice(body);
    }
}

/// Starts a reply.
pub(super) fn write_header(
    src: Ipv6Addr,
    dst: Ipv6Addr,
    protocol: Protocol,
    hop_limit: u8,
    length: usize,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(&[0x60, 0, 0, 0]);
    out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(&[protocol.0, hop_limit]);
    out.extend_from_slice(&src.octets());
    out.extend_from_slice(&dst.octets());
}
