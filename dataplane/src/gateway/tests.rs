//! The gateway against smoltcp: it writes the requests and reads, checksums verified, the replies.

use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress, IpProtocol,
    Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr, TcpPacket, TcpRepr,
};

use super::*;

pub(super) const GATEWAY: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(super) const STATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
pub(super) const GATEWAY4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(super) const STATION4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
pub(super) const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0x12, 0x3456);
pub(super) const STATION6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9);
const SOLICITED_NODE: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff12, 0x3456);
const SOLICITED_NODE_MAC: MacAddr = MacAddr([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);

fn gateway() -> Gateway {
    Gateway::new(&GatewayConfig { mac: GATEWAY, ipv4: vec![GATEWAY4], ipv6: vec![GATEWAY6] })
}

pub(super) fn respond(frame: &[u8]) -> Result<Vec<u8>, Ignored> {
    let mut out = vec![1, 2, 3];
    match gateway().respond(frame, &mut out) {
        Reply::Send => Ok(out),
        Reply::Ignored(why) => {
            assert!(out.is_empty());
            Err(why)
        }
    }
}

pub(super) fn ethernet(dst: MacAddr, ethertype: EthernetProtocol, payload_len: usize) -> Vec<u8> {
    let repr = EthernetRepr {
        src_addr: EthernetAddress(STATION.0),
        dst_addr: EthernetAddress(dst.0),
        ethertype,
    };
    let mut frame = vec![0; 14 + payload_len];
    repr.emit(&mut EthernetFrame::new_unchecked(&mut frame));
    frame
}

fn arp(operation: ArpOperation, source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(MacAddr::BROADCAST, EthernetProtocol::Arp, 28);
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(STATION.0),
        source_protocol_addr: source,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    repr.emit(&mut ArpPacket::new_unchecked(&mut frame[14..]));
    // As it comes off a wire: padded to the shortest frame.
    frame.resize(60, 0);
    frame
}

fn ping4(data: &[u8]) -> Vec<u8> {
    let icmp = Icmpv4Repr::EchoRequest { ident: 77, seq_no: 5, data };
    let ip = Ipv4Repr {
        src_addr: STATION4,
        dst_addr: GATEWAY4,
        next_header: IpProtocol::Icmp,
        payload_len: icmp.buffer_len(),
        hop_limit: 64,
    };
    let mut frame = ethernet(GATEWAY, EthernetProtocol::Ipv4, 20 + icmp.buffer_len());
    let caps = ChecksumCapabilities::default();
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &caps);
    icmp.emit(&mut Icmpv4Packet::new_unchecked(&mut frame[34..]), &caps);
    frame
}

fn icmp6(eth: MacAddr, src: Ipv6Addr, dst: Ipv6Addr, hops: u8, icmp: &Icmpv6Repr<'_>) -> Vec<u8> {
    let ip = Ipv6Repr {
        src_addr: src,
        dst_addr: dst,
        next_header: IpProtocol::Icmpv6,
        payload_len: icmp.buffer_len(),
        hop_limit: hops,
    };
    let mut frame = ethernet(eth, EthernetProtocol::Ipv6, 40 + icmp.buffer_len());
    ip.emit(&mut Ipv6Packet::new_unchecked(&mut frame[14..]));
    let mut packet = Icmpv6Packet::new_unchecked(&mut frame[54..]);
    icmp.emit(&src, &dst, &mut packet, &ChecksumCapabilities::default());
    frame
}

fn ping6(data: &[u8]) -> Vec<u8> {
    let echo = Icmpv6Repr::EchoRequest { ident: 77, seq_no: 5, data };
    icmp6(GATEWAY, STATION6, GATEWAY6, 64, &echo)
}

fn solicitation(src: Ipv6Addr, target: Ipv6Addr, hops: u8) -> Vec<u8> {
    let lladdr = (!src.is_unspecified()).then_some(EthernetAddress(STATION.0).into());
    let ndisc = Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr: target, lladdr });
    icmp6(SOLICITED_NODE_MAC, src, SOLICITED_NODE, hops, &ndisc)
}

/// Reads a reply with smoltcp, which verifies lengths and checksums; describes it as text.
pub(super) fn read(reply: &[u8]) -> String {
    let caps = ChecksumCapabilities::default();
    let frame = EthernetFrame::new_checked(reply).unwrap();
    assert_eq!(frame.src_addr().0, GATEWAY.0);
    let dst = frame.dst_addr();
    match frame.ethertype() {
        EthernetProtocol::Arp => {
            let repr = ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).unwrap()).unwrap();
            format!("{dst} {repr:?}")
        }
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
            let ip = Ipv4Repr::parse(&packet, &caps).unwrap();
            assert_eq!(packet.total_len() as usize, frame.payload().len());
            let message = if ip.next_header == IpProtocol::Tcp {
                read_tcp(ip.src_addr.into(), ip.dst_addr.into(), packet.payload())
            } else {
                let icmp = Icmpv4Packet::new_checked(packet.payload()).unwrap();
                format!("{:?}", Icmpv4Repr::parse(&icmp, &caps).unwrap())
            };
            format!("{dst} {} > {} {message}", ip.src_addr, ip.dst_addr)
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).unwrap();
            let ip = Ipv6Repr::parse(&packet).unwrap();
            assert_eq!(packet.total_len(), frame.payload().len());
            let (src, to) = (ip.src_addr, ip.dst_addr);
            let message = if ip.next_header == IpProtocol::Tcp {
                read_tcp(src.into(), to.into(), packet.payload())
            } else {
                let icmp = Icmpv6Packet::new_checked(packet.payload()).unwrap();
                format!("{:?}", Icmpv6Repr::parse(&src, &to, &icmp, &caps).unwrap())
            };
            format!("{dst} {src} > {to} ttl {} {message}", ip.hop_limit)
        }
        other @ EthernetProtocol::Unknown(_) => panic!("a reply of type {other}"),
    }
}

fn read_tcp(src: IpAddress, dst: IpAddress, segment: &[u8]) -> String {
    let segment = TcpPacket::new_checked(segment).unwrap();
    let repr = TcpRepr::parse(&segment, &src, &dst, &ChecksumCapabilities::default()).unwrap();
    let TcpRepr { src_port, dst_port, control, seq_number, ack_number, .. } = repr;
    format!("{src_port} > {dst_port} {control:?} {seq_number:?} {ack_number:?}")
}

#[test]
fn an_arp_request_and_a_probe_are_answered() {
    for source in [STATION4, Ipv4Addr::UNSPECIFIED] {
        let reply = respond(&arp(ArpOperation::Request, source, GATEWAY4)).unwrap();
        let frame = EthernetFrame::new_checked(&reply[..]).unwrap();
        assert_eq!(frame.dst_addr().0, STATION.0);
        let repr = ArpRepr::parse(&ArpPacket::new_checked(frame.payload()).unwrap()).unwrap();
        let expected = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: EthernetAddress(GATEWAY.0),
            source_protocol_addr: GATEWAY4,
            target_hardware_addr: EthernetAddress(STATION.0),
            target_protocol_addr: source,
        };
        assert_eq!(repr, expected);
    }
}

#[test]
fn arp_that_is_not_answered() {
    let request = |source, target| respond(&arp(ArpOperation::Request, source, target));
    assert_eq!(request(STATION4, STATION4), Err(Ignored::NotForUs), "an announcement");
    assert_eq!(request(STATION4, Ipv4Addr::new(10, 0, 0, 2)), Err(Ignored::NotForUs));
    assert_eq!(request(GATEWAY4, GATEWAY4), Err(Ignored::Conflict));
    assert_eq!(request(Ipv4Addr::BROADCAST, GATEWAY4), Err(Ignored::Malformed));
    assert_eq!(respond(&arp(ArpOperation::Reply, STATION4, GATEWAY4)), Err(Ignored::Unsupported));
    let frame = arp(ArpOperation::Request, STATION4, GATEWAY4);
    assert_eq!(respond(&frame[..41]), Err(Ignored::Malformed));
}

#[test]
fn a_ping_is_answered_whatever_its_length() {
    for length in [0, 1, 56, 1472, 8972] {
        let data: Vec<u8> = (0..length).map(|at: usize| at.to_le_bytes()[0]).collect();
        let reply = read(&respond(&ping4(&data)).unwrap());
        let echo = Icmpv4Repr::EchoReply { ident: 77, seq_no: 5, data: &data };
        assert_eq!(reply, format!("02-00-00-00-00-09 10.0.0.1 > 10.0.0.9 {echo:?}"));
        let reply = read(&respond(&ping6(&data)).unwrap());
        let echo = Icmpv6Repr::EchoReply { ident: 77, seq_no: 5, data: &data };
        let addresses = "fd00::12:3456 > fd00::9 ttl 64";
        assert_eq!(reply, format!("02-00-00-00-00-09 {addresses} {echo:?}"));
    }
}

#[test]
fn padding_is_not_echoed() {
    for ping in [ping4(b"x"), ping6(b"x")] {
        let reply = respond(&ping).unwrap();
        let padded = [&ping[..], &[0xaa; 20]].concat();
        assert_eq!(respond(&padded), Ok(reply));
    }
}

/// A ping with one byte changed, the header checksum repaired when the byte is in the header.
fn spoilt_ping4(at: usize, value: u8) -> Result<Vec<u8>, Ignored> {
    let mut frame = ping4(b"data");
    frame[at] = value;
    if (14..34).contains(&at) {
        Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
    }
    respond(&frame)
}

#[test]
fn pings_that_are_not_answered() {
    assert_eq!(spoilt_ping4(5, 2), Err(Ignored::NotForUs), "another station");
    assert_eq!(spoilt_ping4(0, 3), Err(Ignored::NotForUs), "a group");
    assert_eq!(spoilt_ping4(6, 3), Err(Ignored::Malformed), "from a group");
    assert_eq!(spoilt_ping4(20, 0x20), Err(Ignored::Fragment));
    assert_eq!(spoilt_ping4(21, 1), Err(Ignored::Fragment));
    assert_eq!(spoilt_ping4(23, 47), Err(Ignored::Unsupported), "GRE");
    assert_eq!(spoilt_ping4(29, 1), Err(Ignored::Conflict), "from our own address");
    assert_eq!(spoilt_ping4(26, 224), Err(Ignored::Malformed), "from a multicast address");
    assert_eq!(spoilt_ping4(26, 127), Err(Ignored::Malformed), "from a loopback address");
    assert_eq!(spoilt_ping4(33, 2), Err(Ignored::NotForUs));
    assert_eq!(spoilt_ping4(40, 1), Err(Ignored::BadChecksum));
    let mut frame = ping4(b"data");
    frame[24] ^= 1;
    assert_eq!(respond(&frame), Err(Ignored::BadChecksum), "of the header");
    let mut frame = ping6(b"data");
    frame[60] ^= 1;
    assert_eq!(respond(&frame), Err(Ignored::BadChecksum), "of ICMPv6");
    let mut tagged = ping4(b"data");
    tagged.splice(12..12, [0x81, 0, 0, 1]);
    assert_eq!(respond(&tagged), Err(Ignored::Tagged));
    let lldp = ethernet(GATEWAY, EthernetProtocol::Unknown(0x88cc), 46);
    assert_eq!(respond(&lldp), Err(Ignored::Unsupported));
}

fn advertisement(solicited: bool, target: Ipv6Addr) -> Icmpv6Repr<'static> {
    let mut flags = NdiscNeighborFlags::ROUTER | NdiscNeighborFlags::OVERRIDE;
    flags.set(NdiscNeighborFlags::SOLICITED, solicited);
    let lladdr = Some(EthernetAddress(GATEWAY.0).into());
    Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr })
}

#[test]
fn solicitations_are_answered() {
    let reply = read(&respond(&solicitation(STATION6, GATEWAY6, 255)).unwrap());
    let expected = advertisement(true, GATEWAY6);
    let addresses = "fd00::12:3456 > fd00::9 ttl 255";
    assert_eq!(reply, format!("02-00-00-00-00-09 {addresses} {expected:?}"));
    // A probe of a station that would use our address.
    let reply = read(&respond(&solicitation(Ipv6Addr::UNSPECIFIED, GATEWAY6, 255)).unwrap());
    let expected = advertisement(false, GATEWAY6);
    let addresses = "fd00::12:3456 > ff02::1 ttl 255";
    assert_eq!(reply, format!("33-33-00-00-00-01 {addresses} {expected:?}"));
}

#[test]
fn the_link_local_address_is_answered_and_unicast_confirms() {
    let target = GATEWAY.link_local();
    let ndisc = Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr: target, lladdr: None });
    let reply = read(&respond(&icmp6(GATEWAY, STATION6, target, 255, &ndisc)).unwrap());
    let expected = advertisement(true, target);
    assert_eq!(reply, format!("02-00-00-00-00-09 {target} > fd00::9 ttl 255 {expected:?}"));
}

#[test]
fn solicitations_that_are_not_answered() {
    let not_ours = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 1, 0x12, 0x3456);
    assert_eq!(respond(&solicitation(STATION6, not_ours, 255)), Err(Ignored::NotForUs));
    assert_eq!(respond(&solicitation(STATION6, GATEWAY6, 254)), Err(Ignored::Malformed));
    assert_eq!(respond(&solicitation(GATEWAY6, GATEWAY6, 255)), Err(Ignored::Conflict));
    assert_eq!(respond(&solicitation(SOLICITED_NODE, GATEWAY6, 255)), Err(Ignored::Malformed));
    // A probe must not carry a source address (RFC 4861, 7.1.1).
    let lladdr = Some(EthernetAddress(STATION.0).into());
    let ndisc = Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr: GATEWAY6, lladdr });
    let any = Ipv6Addr::UNSPECIFIED;
    let probe = icmp6(SOLICITED_NODE_MAC, any, SOLICITED_NODE, 255, &ndisc);
    assert_eq!(respond(&probe), Err(Ignored::Malformed));
    let advertisement = advertisement(true, STATION6);
    let unsolicited = icmp6(GATEWAY, STATION6, GATEWAY6, 255, &advertisement);
    assert_eq!(respond(&unsolicited), Err(Ignored::Unsupported));
}

#[test]
fn options_without_length_do_not_hang() {
    let mut frame = solicitation(STATION6, GATEWAY6, 255);
    frame[79] = 0;
    let checksum = &mut frame[56..58];
    checksum.fill(0);
    Icmpv6Packet::new_unchecked(&mut frame[54..]).fill_checksum(&STATION6, &SOLICITED_NODE);
    assert_eq!(respond(&frame), Err(Ignored::Malformed));
}

/// Changes bytes and cuts, then repairs the checksums so that the change is looked at.
fn mutate(mut frame: Vec<u8>, changes: &[(usize, u8)], cut: usize) -> Vec<u8> {
    for (at, value) in changes {
        let at = at % frame.len();
        frame[at] = *value;
    }
    frame.truncate(frame.len().saturating_sub(cut));
    match frame.get(12..15) {
        Some([8, 0, 0x45]) if frame.len() >= 42 => {
            Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
            Icmpv4Packet::new_unchecked(&mut frame[34..]).fill_checksum();
        }
        Some([0x86, 0xdd, _]) if frame.len() >= 62 => {
            let packet = Ipv6Packet::new_unchecked(&frame[14..]);
            let (src, dst) = (packet.src_addr(), packet.dst_addr());
            Icmpv6Packet::new_unchecked(&mut frame[54..]).fill_checksum(&src, &dst);
        }
        _ => {}
    }
    frame
}

proptest! {
    #[test]
    fn takes_any_bytes(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(reply) = respond(&frame) {
            read(&reply);
        }
    }

    /// Whatever a station makes of an honest request: no panic, and each reply is right.
    #[test]
    fn replies_are_right_whatever_was_asked(
        which in 0..5usize,
        changes in proptest::collection::vec((0..100usize, any::<u8>()), 0..4),
        cut in prop_oneof![3 => Just(0), 1 => 0..60usize],
    ) {
        let request = match which {
            0 => arp(ArpOperation::Request, STATION4, GATEWAY4),
            1 => ping4(b"some data"),
            2 => ping6(b"some more data"),
            3 => solicitation(STATION6, GATEWAY6, 255),
            _ => solicitation(Ipv6Addr::UNSPECIFIED, GATEWAY6, 255),
        };
        let request = mutate(request, &changes, cut);
        if let Ok(reply) = respond(&request) {
            read(&reply);
            prop_assert!(reply.len() <= request.len().max(86));
        }
    }
}
