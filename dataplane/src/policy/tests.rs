//! Frames that an endpoint may send, and such that it may not.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use smoltcp::wire::{
    ArpPacket, EthernetFrame, EthernetProtocol, Icmpv6Message, Icmpv6Packet, IpProtocol,
    Ipv4Packet, Ipv6Packet, NdiscOption, NdiscOptionType,
};

use super::*;
use crate::DropReason;
use crate::DropReason::{Malformed, SpoofedArp, SpoofedIp, SpoofedMac, SpoofedNd};

const OWN: MacAddr = MacAddr([2, 0x42, 10, 0, 0, 1]);
const OTHER: MacAddr = MacAddr([2, 0x42, 10, 0, 0, 2]);
const ALL: MacAddr = MacAddr::BROADCAST;
const OWN4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OWN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const OTHER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const NOBODY4: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const NOBODY6: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
const NODES6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

fn guard(antispoof: Antispoof) -> Guard {
    let policy =
        PortPolicy { antispoof, ipv4: Some(OWN4), ipv6: Some(OWN6), ..PortPolicy::default() };
    policy.guard(Some(OWN)).unwrap()
}

/// What the guard says of a frame whose first 64 bytes, or all of it, are seen: as the worker shows it.
fn says(antispoof: Antispoof, frame: &[u8]) -> Result<(), DropReason> {
    let header = &frame[..frame.len().min(64)];
    guard(antispoof).check(if needs_more(header) { frame } else { header })
}

fn full(frame: &[u8]) -> Result<(), DropReason> {
    says(Antispoof::Full, frame)
}

fn mac_only(frame: &[u8]) -> Result<(), DropReason> {
    says(Antispoof::Mac, frame)
}

fn ethernet(src: MacAddr, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&ALL.0[..], &src.0, &ether_type.to_be_bytes(), payload].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

fn arp(sender: MacAddr, operation: u8, ip: Ipv4Addr) -> Vec<u8> {
    let parts: [&[u8]; 6] = [
        &[0, 1, 8, 0, 6, 4, 0, operation],
        &sender.0,
        &ip.octets(),
        &[0; 6],
        &OTHER4.octets(),
        &[],
    ];
    ethernet(OWN, 0x0806, &parts.concat())
}

fn ipv4(src: Ipv4Addr, dst: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(src.octets());
    packet.extend(dst.octets());
    packet.resize(46, 0);
    ethernet(OWN, 0x0800, &packet)
}

fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], next, 255];
    packet.extend(src.octets());
    packet.extend(dst.octets());
    packet.extend(payload);
    ethernet(OWN, 0x86dd, &packet)
}

/// A message of neighbour discovery with room for `fixed` bytes, a target and a link-layer address.
fn discovery(kind: u8, target: Option<Ipv6Addr>, option: Option<(u8, MacAddr)>) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.into_iter().flat_map(|ip| ip.octets()));
    if kind == 134 {
        message.extend([0; 8]);
    }
    if let Some((option, mac)) = option {
        message.extend([option, 1]);
        message.extend(mac.0);
    }
    message
}

fn solicitation(src: Ipv6Addr, target: Ipv6Addr, source: Option<MacAddr>) -> Vec<u8> {
    ipv6(src, NODES6, 58, &discovery(135, Some(target), source.map(|mac| (1, mac))))
}

fn advertisement(target: Ipv6Addr, own: MacAddr) -> Vec<u8> {
    ipv6(OWN6, NODES6, 58, &discovery(136, Some(target), Some((2, own))))
}

/// The same frame behind tags.
fn tagged(frame: &[u8], tags: usize) -> Vec<u8> {
    let tags = [0x81, 0, 0, 0].repeat(tags);
    [&frame[..12], &tags, &frame[12..]].concat()
}

fn legal() -> Vec<(&'static str, Vec<u8>)> {
    let local = OWN.link_local();
    let broadcast = Ipv4Addr::BROADCAST;
    let report = [&[58, 0, 5, 2, 0, 0, 1, 0][..], &[143, 0, 0, 0, 0, 0, 0, 0]].concat();
    vec![
        ("ARP request", arp(OWN, 1, OWN4)),
        ("ARP reply", arp(OWN, 2, OWN4)),
        ("ARP probe", arp(OWN, 1, NOBODY4)),
        ("gratuitous ARP", {
            let mut frame = arp(OWN, 1, OWN4);
            frame[38..42].copy_from_slice(&OWN4.octets());
            frame
        }),
        ("UDP over IPv4", ipv4(OWN4, OTHER4)),
        ("DHCP discover", ipv4(NOBODY4, broadcast)),
        ("IGMP report before an address", ipv4(NOBODY4, Ipv4Addr::new(224, 0, 0, 22))),
        ("TCP over IPv6", ipv6(OWN6, OTHER6, 6, &[0; 20])),
        ("UDP over IPv6, link-local", ipv6(local, NODES6, 17, &[0; 8])),
        ("ping", ipv6(OWN6, OTHER6, 58, &[128, 0, 0, 0, 0, 0, 0, 0])),
        ("duplicate address detection", solicitation(NOBODY6, OWN6, None)),
        ("the same, link-local", solicitation(NOBODY6, local, None)),
        ("solicitation", solicitation(OWN6, OTHER6, Some(OWN))),
        ("solicitation, link-local", solicitation(local, OTHER6, Some(OWN))),
        ("advertisement", advertisement(OWN6, OWN)),
        ("advertisement, link-local", advertisement(local, OWN)),
        ("router solicitation", ipv6(NOBODY6, NODES6, 58, &discovery(133, None, None))),
        (
            "the same with an address",
            ipv6(local, NODES6, 58, &discovery(133, None, Some((1, OWN)))),
        ),
        ("MLD report from nobody", ipv6(NOBODY6, NODES6, 0, &report)),
        ("MLD report", ipv6(local, NODES6, 0, &report)),
        (
            "first fragment of a ping",
            ipv6(OWN6, OTHER6, 44, &[58, 0, 0, 1, 0, 0, 0, 1, 128, 0, 0, 0]),
        ),
        ("later fragment", ipv6(OWN6, OTHER6, 44, &[58, 0, 0, 8, 0, 0, 0, 1, 136, 0, 0, 0])),
        ("first fragment of a datagram", ipv6(OWN6, OTHER6, 44, &[17, 0, 0, 1, 0, 0, 0, 1, 1, 2])),
        ("another protocol", ethernet(OWN, 0x88b5, &[1, 2, 3])),
    ]
}

#[test]
fn what_an_honest_endpoint_sends_passes() {
    for (name, frame) in legal() {
        for tags in 0..3 {
            let frame = tagged(&frame, tags);
            assert_eq!(full(&frame), Ok(()), "{name}, {tags} tags");
            assert_eq!(mac_only(&frame), Ok(()), "{name}, {tags} tags");
        }
    }
}

#[test]
fn claims_to_be_another_station_are_told_apart() {
    let local = OTHER.link_local();
    let fragment = [&[58, 0, 0, 1, 0, 0, 0, 1][..], &discovery(136, Some(OWN6), None)].concat();
    let hidden = [60, 0, 0, 1, 0, 0, 0, 1, 58, 0, 0, 0, 0, 0, 0, 0];
    let behind = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &discovery(136, Some(OTHER6), None)].concat();
    let cases = [
        ("ARP for another", arp(OWN, 1, OTHER4), SpoofedArp),
        ("a reply for another", arp(OWN, 2, OTHER4), SpoofedArp),
        ("a reply from nobody", arp(OWN, 2, NOBODY4), SpoofedArp),
        ("IPv4 of another", ipv4(OTHER4, OWN4), SpoofedIp),
        ("loopback", ipv4(Ipv4Addr::LOCALHOST, OTHER4), SpoofedIp),
        ("nobody to one", ipv4(NOBODY4, OTHER4), SpoofedIp),
        ("IPv6 of another", ipv6(OTHER6, OWN6, 17, &[0; 8]), SpoofedIp),
        ("link-local of another", ipv6(local, NODES6, 17, &[0; 8]), SpoofedIp),
        ("nobody to one over IPv6", ipv6(NOBODY6, OTHER6, 17, &[0; 8]), SpoofedIp),
        ("solicitation of another", solicitation(OTHER6, OWN6, None), SpoofedIp),
        ("detection of another's address", solicitation(NOBODY6, OTHER6, None), SpoofedNd),
        ("advertisement of another", advertisement(OTHER6, OWN), SpoofedNd),
        ("a router", ipv6(OWN6, NODES6, 58, &discovery(134, None, None)), SpoofedNd),
        ("a redirect", ipv6(OWN6, NODES6, 58, &discovery(137, Some(OTHER6), None)), SpoofedNd),
        ("discovery in fragments", ipv6(OWN6, NODES6, 44, &fragment), SpoofedNd),
        ("hidden by fragments", ipv6(OWN6, NODES6, 44, &hidden), Malformed),
        ("behind an extension header", ipv6(OWN6, NODES6, 60, &behind), SpoofedNd),
    ];
    for (name, frame, reason) in cases {
        for tags in 0..3 {
            let frame = tagged(&frame, tags);
            assert_eq!(full(&frame), Err(reason), "{name}, {tags} tags");
        }
        if ![Malformed, SpoofedNd].contains(&reason) {
            assert_eq!(mac_only(&frame), Ok(()), "a router may: {name}");
        }
    }
}

#[test]
fn the_ethernet_address_is_checked_for_routers_too() {
    let cases = [
        ("Ethernet", ethernet(OTHER, 0x88b5, &[]), SpoofedMac),
        (
            "IPv4",
            {
                let mut f = ipv4(OWN4, OTHER4);
                f[11] ^= 1;
                f
            },
            SpoofedMac,
        ),
        ("a group", ethernet(MacAddr([3, 0, 0, 0, 0, 1]), 0x88b5, &[]), Malformed),
        ("ARP", arp(OTHER, 1, OWN4), SpoofedArp),
        (
            "ARP of another kind",
            {
                let mut f = arp(OWN, 1, OWN4);
                f[15] = 6;
                f
            },
            SpoofedArp,
        ),
        ("solicitation", solicitation(OWN6, OTHER6, Some(OTHER)), SpoofedNd),
        ("advertisement", advertisement(OWN6, OTHER), SpoofedNd),
        (
            "router solicitation",
            ipv6(OWN6, NODES6, 58, &discovery(133, None, Some((1, OTHER)))),
            SpoofedNd,
        ),
        (
            "router advertisement",
            ipv6(OWN6, NODES6, 58, &discovery(134, None, Some((1, OTHER)))),
            SpoofedNd,
        ),
        ("an endless option", ipv6(OWN6, NODES6, 58, &[133, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Malformed),
        ("half an option", ipv6(OWN6, NODES6, 58, &[133, 0, 0, 0, 0, 0, 0, 0, 1, 1]), Malformed),
        ("half a message", ipv6(OWN6, NODES6, 58, &[136, 0, 0, 0, 0, 0, 0, 0, 1, 1]), Malformed),
        ("a third tag", tagged(&ipv4(OWN4, OTHER4), 3), Malformed),
        ("a runt of ARP", arp(OWN, 1, OWN4)[..41].to_vec(), Malformed),
    ];
    for (name, frame, reason) in cases {
        for antispoof in [Antispoof::Full, Antispoof::Mac] {
            assert_eq!(says(antispoof, &frame), Err(reason), "{name}, {antispoof:?}");
        }
        assert_eq!(says(Antispoof::None, &frame), Ok(()), "{name}");
    }
}

#[test]
fn headers_cut_short_are_malformed() {
    assert_eq!(full(&ipv4(OWN4, OTHER4)[..33]), Err(Malformed));
    assert_eq!(full(&ipv6(OWN6, OTHER6, 17, &[0; 8])[..53]), Err(Malformed));
    assert_eq!(full(&ipv6(OWN6, OTHER6, 58, &[128; 40])[..60]), Err(Malformed));
    assert_eq!(full(&ethernet(OWN, 0x8100, &[])[..14]), Err(Malformed));
}

#[test]
fn an_endpoint_without_an_address_of_a_family_has_none_there() {
    let policy = PortPolicy { antispoof: Antispoof::Full, ..PortPolicy::default() };
    let guard = policy.guard(Some(OWN)).unwrap();
    for source in [OWN4, NOBODY4, Ipv4Addr::BROADCAST] {
        assert_eq!(guard.check(&ipv4(source, OTHER4)), Err(SpoofedIp), "{source}");
    }
    assert_eq!(guard.check(&ipv6(OWN6, OTHER6, 17, &[0; 8])), Err(SpoofedIp));
    assert_eq!(guard.check(&ipv6(OWN.link_local(), OTHER6, 17, &[0; 8])), Ok(()));
    assert!(policy.guard(None).is_err(), "there is nothing to compare with");
}

/// What somebody who reads the frame on his own takes it to say about its sender: addresses that are not
/// the endpoint's.
fn foreign_claims(frame: &[u8]) -> Vec<String> {
    let mut claims = Vec::new();
    let mut bytes = frame.to_vec();
    // As a host does with tags of VLAN 0.
    while bytes.len() > 16 && bytes[12..14] == [0x81, 0] {
        bytes.drain(12..16);
    }
    let Ok(frame) = EthernetFrame::new_checked(&bytes[..]) else { return claims };
    if frame.src_addr().0 != OWN.0 {
        claims.push(format!("Ethernet {}", frame.src_addr()));
    }
    match frame.ethertype() {
        EthernetProtocol::Arp => {
            let Ok(arp) = ArpPacket::new_checked(frame.payload()) else { return claims };
            let sender = arp.source_protocol_addr();
            if arp.source_hardware_addr() != OWN.0
                || ![&OWN4.octets()[..], &[0; 4]].contains(&sender)
            {
                claims.push(format!("ARP {sender:?}"));
            }
        }
        EthernetProtocol::Ipv4 => {
            let Ok(packet) = Ipv4Packet::new_checked(frame.payload()) else { return claims };
            if ![OWN4, NOBODY4].contains(&packet.src_addr()) {
                claims.push(format!("IPv4 {}", packet.src_addr()));
            }
        }
        EthernetProtocol::Ipv6 => {
            let Ok(packet) = Ipv6Packet::new_checked(frame.payload()) else { return claims };
            let own = [OWN6, OWN.link_local()];
            if !own.contains(&packet.src_addr()) && !packet.src_addr().is_unspecified() {
                claims.push(format!("IPv6 {}", packet.src_addr()));
            }
            if packet.next_header() == IpProtocol::Icmpv6 {
                discovery_claims(packet.payload(), &own, &mut claims);
            }
        }
        EthernetProtocol::Unknown(_) => {}
    }
    claims
}

fn discovery_claims(message: &[u8], own: &[Ipv6Addr], claims: &mut Vec<String>) {
    let Ok(message) = Icmpv6Packet::new_checked(message) else { return };
    match message.msg_type() {
        Icmpv6Message::RouterAdvert | Icmpv6Message::Redirect => claims.push("a router".to_owned()),
        Icmpv6Message::NeighborAdvert if !own.contains(&message.target_addr()) => {
            claims.push(format!("neighbour {}", message.target_addr()));
        }
        Icmpv6Message::NeighborAdvert
        | Icmpv6Message::NeighborSolicit
        | Icmpv6Message::RouterSolicit => {}
        _ => return,
    }
    let mut options = message.payload();
    while let Ok(option) = NdiscOption::new_checked(options) {
        let kind = option.option_type();
        let link_layer =
            [NdiscOptionType::SourceLinkLayerAddr, NdiscOptionType::TargetLinkLayerAddr];
        if link_layer.contains(&kind) && option.link_layer_addr().as_bytes() != OWN.0 {
            claims.push(format!("link layer {}", option.link_layer_addr()));
        }
        options = &options[usize::from(option.data_len()) * 8..];
    }
}

/// A frame that was legal before some of its bytes were changed, mostly to what another station's are.
fn changed() -> impl Strategy<Value = Vec<u8>> {
    let legal: Vec<_> = legal().into_iter().map(|(_, frame)| frame).collect();
    let change = (0..100usize, prop_oneof![Just(2u8), Just(1), Just(58), 130..140u8, any::<u8>()]);
    let changes = proptest::collection::vec(change, 0..4);
    (proptest::sample::select(legal), 0..4usize, changes, 0..40usize).prop_map(
        |(frame, tags, changes, cut)| {
            let mut frame = tagged(&frame, tags);
            for (at, octet) in changes {
                if let Some(place) = frame.get_mut(at) {
                    *place = octet;
                }
            }
            frame.truncate(frame.len() - if cut > 30 { cut } else { 0 });
            frame
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_that_passes_claims_another_station(frame in changed()) {
        if full(&frame).is_ok() {
            let claims = foreign_claims(&frame);
            prop_assert!(claims.is_empty(), "{:?}: {:02x?}", claims, frame);
        }
    }

    #[test]
    fn routers_may_all_that_ends_may(frame in changed()) {
        if full(&frame).is_ok() {
            prop_assert_eq!(mac_only(&frame), Ok(()));
        }
    }

    #[test]
    fn any_bytes_can_be_looked_at(mut frame in proptest::collection::vec(any::<u8>(), 0..120), own: bool) {
        if own && frame.len() > 12 {
            frame[6..12].copy_from_slice(&OWN.0);
        }
        let _ = full(&frame);
        prop_assert!(says(Antispoof::None, &frame).is_ok());
    }
}
