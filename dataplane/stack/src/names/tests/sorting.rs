//! What is a question for a name server, and how many are remembered.

use std::time::{Duration, Instant};

use dataplane::offload::{Checksum, Segmentation, SegmentationKind};
use proptest::prelude::*;

use super::*;
use crate::names::flows::{DATAGRAM, Flows, MOST, STREAM};
use crate::names::neighbour::station;
use crate::names::{NameFlow, Sorted, sort};

fn to_server(server: IpAddr, port: u16) -> Vec<u8> {
    let ends = (SocketAddr::new(own(server), 40_000), SocketAddr::new(server, port));
    datagram((station(OWN), OWN), ends.0, ends.1, b"which address has a.test?")
}

fn is_query(frame: &[u8]) -> bool {
    matches!(sort(frame, PLAIN, &addressing()), Sorted::Query(_))
}

#[test]
fn what_the_endpoint_sends_to_port_53_is_a_query() {
    for server in [SERVER4.into(), SERVER6.into(), GATEWAY4.into(), GATEWAY6.into()] {
        let asked = to_server(server, 53);
        let Sorted::Query(query) = sort(&asked, PLAIN, &addressing()) else {
            panic!("{server}: no query")
        };
        let (local, remote) = (SocketAddr::new(own(server), 40_000), SocketAddr::new(server, 53));
        assert_eq!(query.flow, NameFlow { protocol: Protocol::UDP, local, remote });
        assert_eq!(query.packet, &asked[EthernetHeader::LEN..]);
        let syn = segment((station(OWN), OWN), local, remote, 2);
        assert!(is_query(&syn), "{server}: TCP");
    }
}

#[test]
fn padding_is_no_part_of_a_query() {
    let mut asked = to_server(SERVER4.into(), 53);
    let len = asked.len();
    asked.extend([0; 9]);
    let Sorted::Query(query) = sort(&asked, PLAIN, &addressing()) else { panic!("no query") };
    assert_eq!(query.packet.len(), len - EthernetHeader::LEN);
}

#[test]
fn all_else_is_a_stray() {
    let link = (station(OWN), OWN);
    let at = |ip: &str, port| SocketAddr::new(ip.parse().unwrap(), port);
    let from = at("10.1.2.5", 40_000);
    let strays = [
        to_server(SERVER4.into(), 5353),
        to_server(SERVER6.into(), 54),
        segment(link, from, at("198.51.100.2", 80), 2),
        datagram(link, at("10.1.2.6", 1), at("198.51.100.2", 53), b"another's"),
        datagram(link, at("fd00:1::6", 1), at("2001:db8::2", 53), b"another's"),
        datagram(link, at("fe80::ff:fe00:5", 1), at("2001:db8::2", 53), b"link-local"),
        datagram(link, at("10.1.2.5", 0), at("198.51.100.2", 53), b"no port"),
        datagram(link, from, at("10.1.2.5", 53), b"to itself"),
        datagram(link, from, at("10.1.2.255", 53), b"to everybody"),
        datagram(link, from, at("224.0.0.251", 53), b"to a group"),
        datagram(link, at("fd00:1::5", 1), at("ff02::fb", 53), b"to a group"),
        datagram(link, from, at("198.51.100.2", 53), &[0; 1473]),
        b"short".to_vec(),
    ];
    for stray in strays {
        assert_eq!(sort(&stray, PLAIN, &addressing()), Sorted::Stray, "{stray:?}");
    }
}

#[test]
fn pings_and_fragments_are_strays() {
    let info = |dst: IpAddr, protocol| IpInfo { src: own(dst), dst, protocol };
    let ping = frame(station(OWN), OWN, info(SERVER4.into(), Protocol::ICMP), &[8, 0, 0, 0, 0, 0]);
    let ping6 = frame(station(OWN), OWN, info(SERVER6.into(), Protocol::ICMPV6), &[128, 0, 0, 0]);
    let mut part = to_server(SERVER4.into(), 53);
    part[EthernetHeader::LEN + 6] = 0x20;
    for stray in [ping, ping6, part] {
        assert_eq!(sort(&stray, PLAIN, &addressing()), Sorted::Stray);
    }
}

#[test]
fn what_is_left_undone_must_be_the_protocols() {
    let asked = to_server(SERVER4.into(), 53);
    let with = |checksum, kind: Option<SegmentationKind>| {
        let segmentation =
            kind.map(|kind| Segmentation { kind, ecn: false, header_len: 0, size: 512 });
        let offload = VirtioNetHeader { checksum, segmentation };
        matches!(sort(&asked, offload, &addressing()), Sorted::Query(_))
    };
    let right = Checksum::Partial { start: 34, offset: 6 };
    assert!(with(right, None) && with(right, Some(SegmentationKind::Udp)));
    assert!(!with(Checksum::Partial { start: 34, offset: 16 }, None));
    assert!(!with(Checksum::Partial { start: 14, offset: 6 }, None));
    assert!(!with(right, Some(SegmentationKind::Tcp4)));
}

#[test]
fn a_kernels_own_talk_is_no_stray() {
    let report =
        IpInfo { src: OWN4.into(), dst: "224.0.0.22".parse().unwrap(), protocol: Protocol(2) };
    let solicitation = IpInfo {
        src: OWN.link_local().into(),
        dst: "ff02::2".parse().unwrap(),
        protocol: Protocol::ICMPV6,
    };
    for (info, kind) in [(report, 0x22), (solicitation, 133), (solicitation, 143)] {
        let said = frame(MacAddr([0x33, 0x33, 0, 0, 0, 2]), OWN, info, &[kind, 0, 0, 0]);
        assert_eq!(sort(&said, PLAIN, &addressing()), Sorted::Chatter);
    }
}

#[test]
fn every_address_but_the_own_is_at_one_station() {
    for (from, wanted, answered) in [
        (OWN4.into(), GATEWAY4.into(), true),
        (OWN4.into(), Ipv4Addr::new(10, 1, 2, 99).into(), true),
        (OWN4.into(), OWN4.into(), false),
        (OWN6.into(), GATEWAY6.into(), true),
        (OWN.link_local().into(), GATEWAY6.into(), true),
        (OWN6.into(), OWN6.into(), false),
        (GATEWAY4.into(), Ipv4Addr::new(10, 1, 2, 99).into(), false),
        (GATEWAY6.into(), SERVER6.into(), false),
    ] {
        let question = crate::resolve::question(OWN, from, wanted).unwrap();
        match sort(&question, PLAIN, &addressing()) {
            Sorted::Neighbour(answer) => {
                assert!(answered, "{wanted}");
                let learnt = learnt_from(&answer, from);
                assert_eq!(learnt, Some((wanted, station(OWN))));
            }
            other => assert!(!answered && other == Sorted::Chatter, "{wanted}: {other:?}"),
        }
    }
    assert_ne!(station(OWN), OWN);
}

/// What a station with the address `own` learns from an answer.
fn learnt_from(answer: &[u8], own: IpAddr) -> Option<(IpAddr, MacAddr)> {
    use crate::packet::{Content, parse};
    use crate::resolve::{arp_claim, ndisc_claim};
    let claim = match (parse(answer, PLAIN, &addressing()), own) {
        (Ok(Content::Arp(body)), IpAddr::V4(own)) => arp_claim(body, own),
        (Ok(Content::Ip(packet)), _) => ndisc_claim(&packet, |it| it == own),
        _ => None,
    };
    claim.map(|claim| (claim.address, claim.mac))
}

fn flow(protocol: Protocol, port: u16) -> NameFlow {
    let local = SocketAddr::new(OWN4.into(), port);
    NameFlow { protocol, local, remote: SocketAddr::new(SERVER4.into(), 53) }
}

#[test]
fn flows_end_by_themselves() {
    let now = Instant::now();
    for (protocol, patience) in [(Protocol::UDP, DATAGRAM), (Protocol::TCP, STREAM)] {
        let mut flows = Flows::default();
        let one = flow(protocol, 1);
        assert!(!flows.knows(&one, now));
        let just = Duration::from_millis(1);
        flows.note(one, now + just);
        assert!(flows.knows(&one, now + patience));
        assert!(!flows.knows(&one, now + patience + just));
        flows.note(one, now + patience + just);
        assert!(flows.knows(&one, now + patience + just), "it speaks again");
    }
}

#[test]
fn the_flow_that_was_silent_longest_gives_way() {
    let (now, mut flows) = (Instant::now(), Flows::default());
    let at = |order: usize| now + Duration::from_micros(order as u64);
    let flow = |order: usize| flow(Protocol::UDP, u16::try_from(order).unwrap());
    for order in 0..=MOST {
        flows.note(flow(order), at(order));
    }
    assert_eq!(flows.len(), MOST);
    assert!(!flows.knows(&flow(0), at(MOST)) && flows.knows(&flow(1), at(MOST)));
    assert!(flows.knows(&flow(MOST), at(MOST)));
}

proptest! {
    #[test]
    fn whatever_a_kernel_sends_only_queries_pass(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..120),
        ether_type in prop_oneof![Just(EtherType::ARP), Just(EtherType::IPV4), Just(EtherType::IPV6)],
        typed: bool,
    ) {
        if typed && bytes.len() > 14 {
            bytes[12..14].copy_from_slice(&ether_type.0.to_be_bytes());
            bytes[14] = if ether_type == EtherType::IPV6 { 0x60 } else { 0x45 };
        }
        if let Sorted::Query(query) = sort(&bytes, PLAIN, &addressing()) {
            prop_assert_eq!(query.flow.remote.port(), 53);
            prop_assert!(addressing().is_own(query.flow.local.ip()));
        }
    }

    #[test]
    fn a_query_with_a_changed_byte_stays_the_endpoints_or_is_none(
        six: bool,
        at in 12_usize..80,
        byte: u8,
        cut in 0_usize..80,
    ) {
        let server = if six { IpAddr::from(SERVER6) } else { SERVER4.into() };
        let mut asked = to_server(server, 53);
        if let Some(place) = asked.get_mut(at) {
            *place = byte;
        }
        asked.truncate(asked.len() - cut.min(asked.len()));
        if let Sorted::Query(query) = sort(&asked, PLAIN, &addressing()) {
            prop_assert_eq!(query.flow.remote.port(), 53);
            prop_assert!(addressing().is_own(query.flow.local.ip()));
            prop_assert!(!addressing().is_own(query.flow.remote.ip()));
            prop_assert!(query.packet.len() <= asked.len() - EthernetHeader::LEN);
        }
    }
}
