//! One segment on several hosts: each an engine at a loopback address of its own.

mod support;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Instant;

use dataplane::control::{PortOwner, VxlanPeer, VxlanStatus};
use dataplane::offload::{Checksum, Segmentation, SegmentationKind, Sum, VirtioNetHeader};
use dataplane::packet::Protocol;
use dataplane::stack_port::{StackPort, Tag};
use dataplane::vxlan::{Peer, Vni, VtepAddress, VxlanConfig, header};
use dataplane::{
    Dataplane, DataplaneError, DomainConfig, DomainId, DropReason, GatewayConfig, MacAddr,
    PortConfig, PortCounters,
};
use support::{PATIENCE, Station, broadcast, engine, engine_with_workers, mac, numbered, unicast};

fn vni(number: u32) -> Vni {
    Vni::new(number).expect("a number of a segment")
}

fn address(host: u8) -> IpAddr {
    [127, 87, 0, host].into()
}

/// A UDP port that nobody has: tests run beside each other.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
    socket.local_addr().expect("bound").port()
}

fn config(segment: u32, ip: Option<IpAddr>, port: u16) -> DomainConfig {
    let local = VtepAddress { ip, port };
    let vxlan = VxlanConfig { vni: vni(segment), local, anycast: Vec::new() };
    DomainConfig { vxlan: Some(vxlan), ..DomainConfig::new("test") }
}

/// A host: an engine with one domain, and other hosts as peers.
struct Host {
    engine: Dataplane,
    domain: DomainId,
    port: u16,
}

impl Host {
    fn new(host: u8, port: u16, peers: &[u8]) -> Self {
        Self::of(config(7, Some(address(host)), port), peers)
    }

    fn of(config: DomainConfig, peers: &[u8]) -> Self {
        let engine = engine();
        let port = config.vxlan.as_ref().expect("a segment").local.port;
        let domain = engine.create_domain(config).expect("domain");
        let host = Self { engine, domain, port };
        host.meet(peers);
        host
    }

    fn meet(&self, peers: &[u8]) {
        let peers: Vec<_> = peers
            .iter()
            .map(|host| Peer::new(address(*host), self.port).expect("a host"))
            .collect();
        self.engine.set_vxlan_peers(self.domain, &peers, Vec::new()).expect("peers");
    }

    fn station(&self, n: u8) -> Station {
        Station::join(&self.engine, self.domain, n)
    }

    fn status(&self) -> VxlanStatus {
        self.engine.vxlan(self.domain).expect("exists").expect("a segment")
    }

    fn peer(&self, host: u8) -> VxlanPeer {
        let peers = self.status().peers;
        *peers.iter().find(|it| it.peer.ip() == address(host)).expect("a peer")
    }

    fn wait_for(&self, what: &str, condition: impl Fn(&VxlanStatus) -> bool) {
        let start = Instant::now();
        while !condition(&self.status()) {
            assert!(start.elapsed() < PATIENCE, "not {what}: {:?}", self.status());
            std::thread::yield_now();
        }
    }
}

/// Somebody with a UDP socket.
struct Outsider(UdpSocket);

impl Outsider {
    fn at(host: u8) -> Self {
        Self(UdpSocket::bind(SocketAddr::new(address(host), 0)).expect("bound"))
    }

    fn send_to_any(&self, port: u16, datagram: &[u8]) {
        self.0.send_to(datagram, ("127.0.0.1", port)).expect("sent");
    }

    fn send(&self, to: u8, port: u16, datagram: &[u8]) {
        self.0.send_to(datagram, SocketAddr::new(address(to), port)).expect("sent");
    }
}

fn datagram(segment: u32, frame: &[u8]) -> Vec<u8> {
    [&header::encode(vni(segment))[..], frame].concat()
}

#[test]
fn stations_of_two_hosts_reach_each_other() {
    let port = free_port();
    let (near, far) = (Host::new(1, port, &[2]), Host::new(2, port, &[1]));
    let (mut one, mut two) = (near.station(1), far.station(2));
    one.send(&broadcast(mac(1), 1));
    assert_eq!(two.receive(), broadcast(mac(1), 1));
    for length in [60, 61, 1514] {
        two.send(&unicast(mac(2), mac(1), length));
        assert_eq!(one.receive(), unicast(mac(2), mac(1), length));
        one.send(&unicast(mac(1), mac(2), length));
        assert_eq!(two.receive(), unicast(mac(1), mac(2), length));
    }
    let entries = near.engine.fdb(near.domain).expect("exists");
    let learnt = entries.iter().find(|entry| entry.mac == mac(2)).expect("learnt");
    assert_eq!(learnt.port, Some(near.peer(2).port));
    assert_eq!(near.engine.port(near.peer(2).port).expect("exists").owner, PortOwner::Vxlan);
    let counters = near.peer(2).counters;
    assert_eq!((counters.tx_frames, counters.rx_frames), (4, 3));
    assert_eq!(counters.rx_bytes, 60 + 61 + 1514);
}

#[test]
fn ipv6_hosts_and_both_versions_at_one_socket() {
    if UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    }
    let port = free_port();
    let six: IpAddr = "::1".parse().expect("an address");
    let far = Host::of(config(7, Some(six), port), &[]);
    // Any address, but another port.
    let near = Host::of(config(7, None, free_port()), &[]);
    let peers = |ip, port| [Peer::new(ip, port).expect("a host")];
    near.engine.set_vxlan_peers(near.domain, &peers(six, port), Vec::new()).expect("peers");
    far.engine.set_vxlan_peers(far.domain, &peers(six, near.port), Vec::new()).expect("peers");
    let (mut one, mut two) = (near.station(1), far.station(2));
    one.send(&broadcast(mac(1), 1));
    assert_eq!(two.receive(), broadcast(mac(1), 1));
    two.send(&unicast(mac(2), mac(1), 700));
    assert_eq!(one.receive(), unicast(mac(2), mac(1), 700));

    let third = Host::new(3, free_port(), &[]);
    let both = [peers(six, port)[0], peers(address(3), third.port)[0]];
    near.engine.set_vxlan_peers(near.domain, &both, Vec::new()).expect("peers");
    // The kernel chooses the source: an address of IPv4, on a socket of IPv6.
    one.send(&broadcast(mac(1), 2));
    third.wait_for("a stranger", |status| status.unclaimed.dropped(DropReason::Stranger) == 1);
    assert_eq!(two.receive(), broadcast(mac(1), 2));
    Outsider::at(3).send_to_any(near.port, &datagram(7, &broadcast(mac(3), 3)));
    assert_eq!(one.receive(), broadcast(mac(3), 3), "of IPv4, at a socket of IPv6");
    let refused =
        far.engine.set_vxlan_peers(far.domain, &peers(address(1), port), Vec::new()).unwrap_err();
    assert!(matches!(refused, DataplaneError::WrongFamily { .. }), "{refused}");
    assert_eq!(far.status().peers.len(), 1, "all is as before");
}

#[test]
fn a_full_mesh_has_no_loop() {
    let port = free_port();
    let hosts = [
        Host::new(11, port, &[12, 13]),
        Host::new(12, port, &[11, 13]),
        Host::new(13, port, &[11, 12]),
    ];
    let mut stations = [hosts[0].station(1), hosts[1].station(2), hosts[2].station(3)];
    for n in 0..50 {
        stations[0].send_now_or_later(&broadcast(mac(1), n));
        for station in &mut stations[1..] {
            assert_eq!(station.receive(), broadcast(mac(1), n), "once, in order");
        }
    }
    for (host, from) in [(1, 11), (2, 11)] {
        assert_eq!(hosts[host].peer(from).counters.rx_frames, 50);
    }
    // Nothing went on from one of the others to the third.
    assert_eq!(hosts[1].peer(13).counters.tx_frames, 0);
    assert_eq!(hosts[2].peer(12).counters.rx_frames, 0);
}

#[test]
fn strangers_are_heard_by_nobody_and_counted() {
    let port = free_port();
    let host = Host::new(21, port, &[22]);
    let mut station = host.station(1);
    let (peer, stranger) = (Outsider::at(22), Outsider::at(23));
    let frame = broadcast(mac(9), 1);
    stranger.send(21, port, &datagram(7, &frame));
    host.wait_for("strange", |it| it.unclaimed.dropped(DropReason::Stranger) == 1);
    peer.send(21, port, &datagram(8, &frame));
    host.wait_for("unknown", |it| it.socket.dropped(DropReason::UnknownVni) == 1);
    let mut unflagged = datagram(7, &frame);
    unflagged[0] = 0;
    for bad in [&unflagged[..], &unflagged[..5], &[], &datagram(7, &[])[..7]] {
        peer.send(21, port, bad);
    }
    // An empty datagram says nothing, and nothing is left of it to count.
    host.wait_for("malformed", |it| it.socket.dropped(DropReason::Malformed) == 3);
    let own = vec![address(21)];
    let peers = [Peer::new(address(22), port).expect("a host")];
    host.engine.set_vxlan_peers(host.domain, &peers, own).expect("peers");
    Outsider::at(21).send(21, port, &datagram(7, &frame));
    host.wait_for("own", |it| it.unclaimed.dropped(DropReason::OwnAddress) == 1);
    // What the peer's frames get wrong is counted for the peer.
    peer.send(21, port, &datagram(7, &frame[..13]));
    peer.send(21, port, &datagram(7, &unicast(mac(9), mac(1), 1515)));
    peer.send(21, port, &datagram(7, &unicast(mac(1), mac(2), 60)));
    host.wait_for("dropped", |it| it.peers[0].counters.dropped_total() == 3);
    let counters = host.peer(22).counters;
    for reason in [DropReason::Malformed, DropReason::Oversize, DropReason::Spoofed] {
        assert_eq!(counters.dropped(reason), 1, "{reason:?}");
    }
    peer.send(21, port, &datagram(7, &numbered(mac(9), mac(1), 5)));
    assert_eq!(station.receive(), numbered(mac(9), mac(1), 5), "and all that came before did not");
}

#[test]
fn each_host_has_a_gateway_of_its_own() {
    let port = free_port();
    let gateway = MacAddr([2, 0, 0, 0, 0xff, 1]);
    let ip = [10, 0, 0, 1].into();
    let make = |host: u8, peer: u8| {
        let mut config = config(7, Some(address(host)), port);
        config.gateway = Some(GatewayConfig { mac: gateway, ipv4: vec![ip], ipv6: Vec::new() });
        config.vxlan.as_mut().expect("a segment").anycast = vec![IpAddr::from(ip)];
        Host::of(config, &[peer])
    };
    let (near, far) = (make(31, 32), make(32, 31));
    let (mut one, mut two) = (near.station(1), far.station(2));
    let arp = |operation: u8, sender: MacAddr, sender_ip: [u8; 4], target_ip: [u8; 4]| {
        let mut frame = [&MacAddr::BROADCAST.0[..], &sender.0, &[8, 6]].concat();
        frame.extend([0, 1, 8, 0, 6, 4, 0, operation]);
        frame.extend([&sender.0[..], &sender_ip, &[0; 6], &target_ip].concat());
        frame
    };
    let ask = arp(1, mac(1), [10, 0, 0, 9], ip.octets());
    one.send(&ask);
    assert_eq!(one.receive_from(gateway)[20..22], [0, 2], "its own gateway answers");
    assert_eq!(two.receive(), ask);
    // No frame goes through a tunnel to the other gateway, and no claim to its address comes out of one.
    let peer = Outsider::at(32);
    peer.send(31, port, &datagram(7, &unicast(mac(2), gateway, 60)));
    near.wait_for("isolated", |it| it.peers[0].counters.dropped(DropReason::Isolated) == 1);
    peer.send(31, port, &datagram(7, &arp(2, mac(2), ip.octets(), [10, 0, 0, 9])));
    near.wait_for("claimed", |it| it.peers[0].counters.dropped(DropReason::SpoofedArp) == 1);
    // The answer of the far gateway did not come, and none of it went out.
    two.send(&unicast(mac(2), mac(1), 64));
    assert_eq!(one.receive(), unicast(mac(2), mac(1), 64));
    assert_eq!(near.peer(32).counters.tx_frames, 1, "the question alone");
}

#[test]
fn segments_share_a_socket_and_numbers_do_not_meet() {
    let port = free_port();
    let engine = engine_with_workers(2);
    let local = |segment| config(segment, Some(address(41)), port);
    let first = engine.create_domain(local(1)).expect("first");
    let second = engine.create_domain(local(2)).expect("the same socket");
    let refused = engine.create_domain(local(2)).expect_err("the number is in use");
    assert!(matches!(refused, DataplaneError::VniInUse { .. }), "{refused}");
    let elsewhere = engine.create_domain(config(2, Some(address(42)), port)).expect("elsewhere");
    let peers = [Peer::new(address(43), port).expect("a host")];
    for domain in [first, second] {
        engine.set_vxlan_peers(domain, &peers, Vec::new()).expect("peers");
    }
    let mut stations = [Station::join(&engine, first, 1), Station::join(&engine, second, 2)];
    let peer = Outsider::at(43);
    for (at, segment) in [(0, 1), (1, 2)] {
        peer.send(41, port, &datagram(segment, &broadcast(mac(9), 3)));
        assert_eq!(stations[at].receive(), broadcast(mac(9), 3));
    }
    let taken = Dataplane::create_domain(&support::engine(), local(9)).expect_err("taken");
    assert!(taken.to_string().contains("another agent has the port"), "{taken}");
    let foreign = engine.create_domain(config(3, "203.0.113.77".parse().ok(), port)).unwrap_err();
    assert!(foreign.to_string().contains("an address of this host"), "{foreign}");
    let [one, two] = stations;
    drop(one);
    engine.delete_domain(first).expect("without stations");
    let busy = engine.delete_domain(second).expect_err("a station is there");
    assert!(matches!(busy, DataplaneError::DomainInUse { ports: 1, .. }), "{busy}");
    drop(two);
    engine.delete_domain(second).expect("without stations");
    UdpSocket::bind(SocketAddr::new(address(41), port)).expect("the socket went with the last");
    engine.delete_domain(elsewhere).expect("empty");
    assert!(engine.ports().expect("runs").is_empty(), "peers went with their domains");
}

#[test]
fn peers_come_and_go_under_traffic() {
    let port = free_port();
    let (near, far) = (Host::new(51, port, &[52]), Host::new(52, port, &[51]));
    let (mut one, mut two) = (near.station(1), far.station(2));
    two.send(&broadcast(mac(2), 1));
    assert_eq!(one.receive(), broadcast(mac(2), 1));
    let kept = near.peer(52).port;
    for round in 0..20 {
        near.meet(if round % 2 == 0 { &[52, 53, 54] } else { &[52] });
        one.send_now_or_later(&numbered(mac(1), mac(2), round));
        assert_eq!(two.receive(), numbered(mac(1), mac(2), round));
    }
    assert_eq!(near.peer(52).port, kept, "one that stays keeps its port");
    near.meet(&[]);
    assert!(near.engine.fdb(near.domain).expect("exists").iter().all(|it| it.mac != mac(2)));
    two.send(&broadcast(mac(2), 2));
    near.wait_for("a stranger", |it| it.unclaimed.dropped(DropReason::Stranger) == 1);
    let none = engine();
    let alone = none.create_domain(DomainConfig::new("alone")).expect("domain");
    let error = none.set_vxlan_peers(alone, &[], Vec::new()).expect_err("no segment");
    assert!(matches!(error, DataplaneError::NoSegment(_)), "{error}");
    assert_eq!(none.vxlan(alone).expect("exists"), None);
}

/// A TCP segment of `payload` bytes that is still to be cut into packets of `size`.
fn super_segment(payload: usize, size: u16) -> (Vec<u8>, VirtioNetHeader) {
    let mut frame = vec![0; 54 + payload];
    frame[..6].copy_from_slice(&mac(2).0);
    frame[6..12].copy_from_slice(&mac(1).0);
    frame[12..15].copy_from_slice(&[8, 0, 0x45]);
    let total = u16::try_from(40 + payload).expect("below 64 KiB");
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame[23] = 6;
    frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    frame[46] = 5 << 4;
    for (at, byte) in frame[54..].iter_mut().enumerate() {
        *byte = at.to_le_bytes()[0] ^ at.to_le_bytes()[1];
    }
    let length = u32::from(total) - 20;
    let sum =
        Sum::pseudo_header4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), Protocol::TCP, length);
    frame[50..52].copy_from_slice(&(!sum.finish()).to_be_bytes());
    let kind = SegmentationKind::Tcp4;
    let segmentation = Some(Segmentation { kind, ecn: false, header_len: 54, size });
    let checksum = Checksum::Partial { start: 34, offset: 16 };
    (frame, VirtioNetHeader { checksum, segmentation })
}

fn send(stack: &mut StackPort, bytes: &[u8], offload: VirtioNetHeader) {
    let mut frame = stack.new_frame(bytes.len());
    frame.bytes_mut().copy_from_slice(bytes);
    frame.offload = offload;
    stack.send(frame, Tag(0)).expect("room");
    stack.flush();
}

fn is_sound(packet: &[u8]) -> bool {
    let length = u32::try_from(packet.len() - 34).expect("short");
    let sum =
        Sum::pseudo_header4([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), Protocol::TCP, length);
    sum.plus(&packet[34..]).finish() == 0
}

#[test]
fn large_segments_are_cut_and_checksums_completed() {
    let port = free_port();
    let (near, far) = (Host::new(61, port, &[62]), Host::new(62, port, &[61]));
    let mut two = far.station(2);
    let id =
        near.engine.create_port(near.domain, PortConfig::new("stack", Some(mac(1)))).expect("port");
    let mut stack = near.engine.attach_stack(id).expect("attaches");
    // More segments than one message of the kernel takes, in packets of two sizes.
    for (payload, size) in [(60_000, 1460), (40_000, 536), (1460, 1460)] {
        let (bytes, offload) = super_segment(payload, size);
        send(&mut stack, &bytes, offload);
        let mut read = Vec::new();
        while read.len() < payload {
            let packet = two.receive();
            assert!(packet.len() <= 54 + usize::from(size) && is_sound(&packet));
            read.extend_from_slice(&packet[54..]);
        }
        assert_eq!(read, bytes[54..]);
    }
    let (mut bytes, offload) = super_segment(100, 1460);
    let partial = VirtioNetHeader { segmentation: None, ..offload };
    send(&mut stack, &bytes, partial);
    let whole = two.receive();
    assert!(whole[..50] == bytes[..50] && is_sound(&whole));
    // A checksum outside of the frame.
    bytes.truncate(45);
    send(&mut stack, &bytes, partial);
    near.wait_for("refused", |it| it.peers[0].counters.dropped(DropReason::BadOffload) == 1);
}

#[test]
fn what_is_longer_than_the_way_takes_is_refused_and_not_cut_up() {
    let port = free_port();
    // The loopback takes 65,536 bytes; the longest datagram has 65,507.
    let long = |host: u8, peer: u8| {
        Host::of(DomainConfig { mtu: 65_521, ..config(7, Some(address(host)), port) }, &[peer])
    };
    let (near, far) = (long(71, 72), long(72, 71));
    let mut two = far.station(2);
    let id =
        near.engine.create_port(near.domain, PortConfig::new("stack", Some(mac(1)))).expect("port");
    let mut stack = near.engine.attach_stack(id).expect("attaches");
    send(&mut stack, &unicast(mac(1), mac(2), 65_507 - 8), VirtioNetHeader::PLAIN);
    let counters = |status: &VxlanStatus| -> PortCounters { status.peers[0].counters };
    near.wait_for("sent", |it| counters(it).tx_frames == 1);
    send(&mut stack, &unicast(mac(1), mac(2), 65_507 - 7), VirtioNetHeader::PLAIN);
    near.wait_for("refused", |it| counters(it).dropped(DropReason::NoBuffer) == 1);
    far.wait_for("received", |it| counters(it).rx_frames == 1);
    send(&mut stack, &numbered(mac(1), mac(2), 1), VirtioNetHeader::PLAIN);
    two.wait_until(|station| station.counters().tx_frames >= 1);
}
