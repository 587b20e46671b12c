//! Asking for Ethernet addresses and hearing answers: ARP (RFC 826) and neighbour discovery (RFC 4861).
//! Questions for our own addresses are answered by [`Gateway`](dataplane::gateway::Gateway).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::MacAddr;
use dataplane::packet::{EtherType, EthernetHeader, Ipv6Header, Protocol};

use crate::headers::{IpInfo, write_ethernet};
use crate::packet::Packet;

/// A station said that an address is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) address: IpAddr,
    pub(crate) mac: MacAddr,
    /// It asks for one of our addresses.
    pub(crate) asks_us: bool,
}

/// Hears the claim in an ARP packet.
pub(crate) fn arp_claim(packet: &[u8], own: Ipv4Addr) -> Option<Claim> {
    let packet = packet.first_chunk::<ARP_LEN>()?;
    if packet[..6] != ETHERNET_IPV4 || !matches!(packet[6..8], [0, 1 | 2]) {
        return None;
    }
    let mac = MacAddr(*packet[8..].first_chunk()?);
    let sender = Ipv4Addr::from(*packet[14..].first_chunk::<4>()?);
    let target = Ipv4Addr::from(*packet[24..].first_chunk::<4>()?);
    let is_station = !sender.is_unspecified() && !sender.is_multicast() && !sender.is_broadcast();
    let asks_us = target == own && packet[7] == 1;
    (mac.is_unicast() && is_station && sender != own).then_some(Claim {
        address: sender.into(),
        mac,
        asks_us,
    })
}

/// Hears the claim in a neighbour advertisement, or of a neighbour that solicits one of our addresses.
pub(crate) fn ndisc_claim(packet: &Packet<'_>, is_own: impl Fn(IpAddr) -> bool) -> Option<Claim> {
    let message = packet.payload();
    let (head, options) = message.split_at_checked(24)?;
    let hop_limit = packet.bytes[7];
    if packet.info.protocol != Protocol::ICMPV6 || hop_limit != ON_LINK || head[1] != 0 {
        return None;
    }
    let target = IpAddr::from(Ipv6Addr::from(*head[8..].first_chunk::<16>()?));
    let (address, wanted, asks_us) = match head[0] {
        ADVERTISEMENT => (target, TARGET_LINK_LAYER, false),
        SOLICITATION if is_own(target) => (packet.src(), SOURCE_LINK_LAYER, true),
        _ => return None,
    };
    if address.is_unspecified() || address.is_multicast() || is_own(address) {
        return None;
    }
    let mac = link_layer_option(options, wanted)?;
    mac.is_unicast().then_some(Claim { address, mac, asks_us })
}

fn link_layer_option(mut options: &[u8], wanted: u8) -> Option<MacAddr> {
    loop {
        let length = usize::from(*options.get(1)?) * 8;
        if length == 0 || length > options.len() {
            return None;
        }
        if options[0] == wanted {
            return options.get(2..)?.first_chunk().map(|octets| MacAddr(*octets));
        }
        options = &options[length..];
    }
}

/// A question for an address: a whole frame. `from` is our address of the same version.
pub(crate) fn question(mac: MacAddr, from: IpAddr, wanted: IpAddr) -> Option<Vec<u8>> {
    match (from, wanted) {
        (IpAddr::V4(from), IpAddr::V4(wanted)) => Some(arp_request(mac, from, wanted)),
        (IpAddr::V6(from), IpAddr::V6(wanted)) => Some(solicitation(mac, from, wanted)),
        _ => None,
    }
}

fn arp_request(mac: MacAddr, from: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0; EthernetHeader::LEN + ARP_LEN];
    write_ethernet(&mut frame, MacAddr::BROADCAST, mac, EtherType::ARP);
    let packet = &mut frame[EthernetHeader::LEN..];
    packet[..6].copy_from_slice(&ETHERNET_IPV4);
    packet[7] = 1;
    packet[8..14].copy_from_slice(&mac.0);
    packet[14..18].copy_from_slice(&from.octets());
    packet[24..28].copy_from_slice(&wanted.octets());
    frame
}

fn solicitation(mac: MacAddr, from: Ipv6Addr, wanted: Ipv6Addr) -> Vec<u8> {
    let [.., x, y, z] = wanted.octets();
    let group =
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(x), u16::from_be_bytes([y, z]));
    let mut frame = vec![0; EthernetHeader::LEN + Ipv6Header::LEN + 32];
    // RFC 2464, 7.
    write_ethernet(&mut frame, MacAddr([0x33, 0x33, 0xff, x, y, z]), mac, EtherType::IPV6);
    let packet = &mut frame[EthernetHeader::LEN..];
    let info = IpInfo { src: from.into(), dst: group.into(), protocol: Protocol::ICMPV6 };
    info.write(packet, Some(ON_LINK));
    let message = &mut packet[Ipv6Header::LEN..];
    message[0] = SOLICITATION;
    message[8..24].copy_from_slice(&wanted.octets());
    message[24..26].copy_from_slice(&[SOURCE_LINK_LAYER, 1]);
    message[26..32].copy_from_slice(&mac.0);
    let sum = info.pseudo_header(message.len()).plus(message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    frame
}

const ARP_LEN: usize = 28;
/// Hardware type, protocol type and their address lengths.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Proves that a message crossed no router (RFC 4861, 3.1).
const ON_LINK: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
