//! What the container's kernel is told of its neighbours: that all of them are at one station, which is not the
//! kernel's own. Otherwise it would not send, and what it sends could not be counted.
//!
//! ARP (RFC 826), neighbour discovery (RFC 4861). Questions about the endpoint's own addresses, by which a kernel
//! looks for another one that has them, are not answered.

use std::net::{Ipv4Addr, Ipv6Addr};

use dataplane::MacAddr;
use dataplane::packet::{EtherType, EthernetHeader, Ipv6Header, Protocol};

use crate::config::Addressing;
use crate::headers::{IpInfo, write_ethernet};

/// The Ethernet address of everybody else: the endpoint's own with another last bit.
pub(super) fn station(own: MacAddr) -> MacAddr {
    let mut octets = own.0;
    octets[5] ^= 1;
    MacAddr(octets)
}

/// The answer to an ARP request of the kernel; `None` for any other ARP packet.
pub(super) fn arp_answer(packet: &[u8], addressing: &Addressing) -> Option<Vec<u8>> {
    let own = addressing.ipv4?.address;
    let packet = packet.first_chunk::<ARP_LEN>()?;
    let sender = Ipv4Addr::from(*packet[14..].first_chunk::<4>()?);
    let target = Ipv4Addr::from(*packet[24..].first_chunk::<4>()?);
    if packet[..8] != ARP_REQUEST || sender != own || target == own {
        return None;
    }
    let station = station(addressing.mac);
    let mut frame = vec![0; EthernetHeader::LEN + ARP_LEN];
    write_ethernet(&mut frame, addressing.mac, station, EtherType::ARP);
    let answer = &mut frame[EthernetHeader::LEN..];
    answer[..8].copy_from_slice(&ARP_REQUEST);
    answer[7] = ARP_REPLY;
    answer[8..14].copy_from_slice(&station.0);
    answer[14..18].copy_from_slice(&target.octets());
    answer[18..24].copy_from_slice(&addressing.mac.0);
    answer[24..28].copy_from_slice(&own.octets());
    Some(frame)
}

/// The answer to a neighbour solicitation of the kernel, given as the ICMPv6 message of the packet; `None` for any
/// other message.
pub(super) fn advertisement(
    header: &Ipv6Header,
    message: &[u8],
    addressing: &Addressing,
) -> Option<Vec<u8>> {
    let target = Ipv6Addr::from(*message.get(8..)?.first_chunk::<16>()?);
    let solicits = message[..2] == [SOLICITATION, 0] && header.hop_limit == ON_LINK;
    let from_us = addressing.is_own(header.src.into());
    if !solicits || !from_us || target.is_multicast() || addressing.is_own(target.into()) {
        return None;
    }
    let station = station(addressing.mac);
    let mut frame = vec![0; EthernetHeader::LEN + Ipv6Header::LEN + ADVERTISEMENT_LEN];
    write_ethernet(&mut frame, addressing.mac, station, EtherType::IPV6);
    let packet = &mut frame[EthernetHeader::LEN..];
    let info = IpInfo { src: target.into(), dst: header.src.into(), protocol: Protocol::ICMPV6 };
    info.write(packet, Some(ON_LINK));
    let answer = &mut packet[Ipv6Header::LEN..];
    answer[0] = ADVERTISEMENT;
    answer[4] = SOLICITED_AND_OVERRIDE;
    answer[8..24].copy_from_slice(&target.octets());
    answer[24..26].copy_from_slice(&[TARGET_LINK_LAYER, 1]);
    answer[26..32].copy_from_slice(&station.0);
    let sum = info.pseudo_header(answer.len()).plus(answer).finish();
    answer[2..4].copy_from_slice(&sum.to_be_bytes());
    Some(frame)
}

const ARP_LEN: usize = 28;
/// Hardware type, protocol type, their address lengths, and the operation.
const ARP_REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
const ARP_REPLY: u8 = 2;

/// Proves that a message crossed no router (RFC 4861, 3.1).
const ON_LINK: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Flags of an advertisement (RFC 4861, 4.4).
const SOLICITED_AND_OVERRIDE: u8 = 0x60;
const TARGET_LINK_LAYER: u8 = 2;
/// An advertisement with one option.
const ADVERTISEMENT_LEN: usize = 32;
