//! Address resolution (RFC 826; probes and announcements: RFC 5227).

use std::net::Ipv4Addr;

use super::{Gateway, Ignored};
use crate::MacAddr;
use crate::packet::EtherType;

/// Answers a request for one of the gateway's addresses, a probe (sender address zero) included.
pub(super) fn answer(gateway: &Gateway, packet: &[u8], out: &mut Vec<u8>) -> Result<(), Ignored> {
    let request = packet.first_chunk::<PACKET_LEN>().ok_or(Ignored::Malformed)?;
    if request[..OPERATION] != ETHERNET_IPV4 {
        return Err(Ignored::Unsupported);
    }
    let sender = MacAddr(field(request, SENDER_MAC));
    let sender_ip = Ipv4Addr::from(field(request, SENDER_IP));
    let target_ip = Ipv4Addr::from(field(request, TARGET_IP));
    if !sender.is_unicast() || sender_ip.is_multicast() || sender_ip.is_broadcast() {
        return Err(Ignored::Malformed);
    }
    if gateway.ipv4.contains(&sender_ip) {
        return Err(Ignored::Conflict);
    }
    if request[OPERATION..SENDER_MAC] != REQUEST {
        return Err(Ignored::Unsupported);
    }
    if !gateway.ipv4.contains(&target_ip) {
        return Err(Ignored::NotForUs);
    }
    gateway.write_ethernet(sender, EtherType::ARP, out);
    out.extend_from_slice(&ETHERNET_IPV4);
    out.extend_from_slice(&REPLY);
    out.extend_from_slice(&gateway.mac.0);
    out.extend_from_slice(&target_ip.octets());
    out.extend_from_slice(&sender.0);
    out.extend_from_slice(&sender_ip.octets());
    Ok(())
}

const PACKET_LEN: usize = 28;
const OPERATION: usize = 6;
const SENDER_MAC: usize = 8;
const SENDER_IP: usize = 14;
const TARGET_IP: usize = 24;

/// Hardware type, protocol type and their address lengths.
const ETHERNET_IPV4: [u8; OPERATION] = [0, 1, 8, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];

fn field<const N: usize>(packet: &[u8; PACKET_LEN], at: usize) -> [u8; N] {
    std::array::from_fn(|octet| packet[at + octet])
}
