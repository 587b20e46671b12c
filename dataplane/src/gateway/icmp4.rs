//! ICMP echo (RFC 792; which requests to answer: RFC 1122, 3.2.2.6).

use std::net::Ipv4Addr;

use super::closed::{self, Request};
use super::{Gateway, HOP_LIMIT, Ignored};
use crate::offload::{Sum, checksum};
use crate::packet::{EtherType, EthernetHeader, Ipv4Header, Protocol};

/// Answers an echo request to one of the gateway's addresses, and says of ports that they are closed. The
/// reply has no IP options.
pub(super) fn answer(
    gateway: &Gateway,
    ethernet: &EthernetHeader,
    packet: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Ignored> {
    let header = Ipv4Header::parse(packet).ok_or(Ignored::Malformed)?;
    if checksum(&packet[..header.header_len]) != 0 {
        return Err(Ignored::BadChecksum);
    }
    if ethernet.dst != gateway.mac || !gateway.ipv4.contains(&header.dst) {
        return Err(Ignored::NotForUs);
    }
    if gateway.ipv4.contains(&header.src) {
        return Err(Ignored::Conflict);
    }
    if !is_station(header.src) {
        return Err(Ignored::Malformed);
    }
    if header.is_fragment {
        return Err(Ignored::Fragment);
    }
    if header.protocol != Protocol::ICMP {
        let request = Request {
            station: ethernet.src,
            src: header.src.into(),
            dst: header.dst.into(),
            protocol: header.protocol,
            packet: &packet[..header.total_len],
            offset: header.header_len,
        };
        return closed::answer(gateway, &request, out);
    }
    let message = &packet[header.header_len..header.total_len];
    let (fixed, body) = message.split_first_chunk::<4>().ok_or(Ignored::Malformed)?;
    if checksum(message) != 0 {
        return Err(Ignored::BadChecksum);
    }
    if fixed[..2] != ECHO_REQUEST {
        return Err(Ignored::Unsupported);
    }
    if body.len() < IDENTIFIER_AND_SEQUENCE {
        return Err(Ignored::Malformed);
    }
    gateway.write_ethernet(ethernet.src, EtherType::IPV4, out);
    write_header(header.dst, header.src, Protocol::ICMP, message.len(), out);
    out.extend_from_slice(&ECHO_REPLY);
    out.extend_from_slice(&Sum::default().plus(&ECHO_REPLY).plus(body).finish().to_be_bytes());
    out.extend_from_slice(body);
    Ok(())
}

const ECHO_REQUEST: [u8; 2] = [8, 0];
const ECHO_REPLY: [u8; 2] = [0, 0];
const IDENTIFIER_AND_SEQUENCE: usize = 4;

fn is_station(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // 0/8 is "this network", 127/8 the loopback, 224/4 and above groups and reserved (RFC 6890).
    first != 0 && first != 127 && first < 224
}

/// The header of the reply: never to be fragmented, so its identification is free (RFC 6864).
pub(super) fn write_header(
    src: Ipv4Addr,
    dst: Ipv4Addr,
    protocol: Protocol,
    message_len: usize,
    out: &mut Vec<u8>,
) {
    // Not longer than the request, whose length is a 16-bit field, or short.
    let total_len = u16::try_from(Ipv4Header::LEN + message_len).unwrap_or(u16::MAX);
    let mut header = [0; Ipv4Header::LEN];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&total_len.to_be_bytes());
    header[6] = 0x40;
    header[8] = HOP_LIMIT;
    header[9] = protocol.0;
    header[12..16].copy_from_slice(&src.octets());
    header[16..20].copy_from_slice(&dst.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(&header);
}
