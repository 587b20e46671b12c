//! What is believed of the ways to others: how long packets may be there, and who may say so.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use dataplane::MacAddr;
use dataplane::offload::{Checksum, Sum, VirtioNetHeader};
use dataplane::packet::Protocol;
use stack::{ConnectionId, Event, StackError, UdpId};
use support::{FAIR, World, config, ipv4, ipv6, mac};

const SOON: Duration = Duration::from_secs(5);

/// The station of the router, and of somebody else.
const GATEWAY: MacAddr = mac(2);
const NEIGHBOUR: MacAddr = mac(9);

/// From station 1 to station 2 and what a router lets pass, with each IP version.
fn each_version() -> [(SocketAddr, SocketAddr, u16); 2] {
    [
        ((ipv4(1), 999).into(), (ipv4(2), 53).into(), 700),
        ((ipv6(1), 999).into(), (ipv6(2), 53).into(), 1300),
    ]
}

/// Station 1 is alone on its network, as far as it knows: all others, station 2 too, are behind station 2.
fn by_gateway() -> World {
    let mut one = config(1);
    let addressing = &mut one.addressing;
    if let (Some(v4), Some(v6)) = (&mut addressing.ipv4, &mut addressing.ipv6) {
        (v4.prefix, v4.gateway) = (32, Some(ipv4(2)));
        (v6.prefix, v6.gateway) = (128, Some(ipv6(2)));
    }
    World::with(one, config(2), FAIR, 1)
}

/// The complaint of `station` to station 1 about a frame that it sent: its way takes `mtu` bytes (RFC 1191, RFC 4443).
fn too_big(sent: &[u8], mtu: u16, station: MacAddr) -> Vec<u8> {
    complaint(sent, [[3, 4], [2, 0]], mtu, station)
}

/// The same: nobody listens there (RFC 792, RFC 4443).
fn port_unreachable(sent: &[u8], station: MacAddr) -> Vec<u8> {
    complaint(sent, [[3, 3], [1, 4]], 0, station)
}

/// The complaint of `station` with the type and code for each IP version.
fn complaint(sent: &[u8], kinds: [[u8; 2]; 2], mtu: u16, station: MacAddr) -> Vec<u8> {
    let mtu = mtu.to_be_bytes();
    let ether_type = &sent[12..14];
    if ether_type == [8, 0] {
        let mut message = [&kinds[0][..], &[0; 4], &mtu, &sent[14..42]].concat();
        let sum = dataplane::offload::checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut packet = vec![0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 99, 10, 0, 0, 1];
        let sum = dataplane::offload::checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        return [&mac(1).0[..], &station.0, ether_type, &packet, &message].concat();
    }
    let mut message = [&kinds[1][..], &[0; 4], &mtu, &sent[14..62]].concat();
    let length = u32::try_from(message.len()).unwrap();
    let sum = Sum::pseudo_header6(ipv6(99), ipv6(1), Protocol::ICMPV6, length);
    let sum = sum.plus(&message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, 58, 64];
    packet[4..6].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    packet.extend(ipv6(99).octets());
    packet.extend(ipv6(1).octets());
    [&mac(1).0[..], &station.0, ether_type, &packet, &message].concat()
}

/// The complaint of station 2 to station 1 about an IPv4 packet: its destination cannot be reached (RFC 792).
fn unreachable(sent: &[u8]) -> Vec<u8> {
    let mut frame = too_big(sent, 0, mac(2));
    frame[35..38].copy_from_slice(&[1, 0, 0]);
    let sum = dataplane::offload::checksum(&frame[34..]);
    frame[36..38].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// Station 1 hears a frame.
fn hear(world: &mut World, frame: &[u8]) {
    world.stacks[0].receive(world.now, frame, VirtioNetHeader::PLAIN, &mut world.ends[0]);
}

/// The first long frame that station 1 sent.
fn long_frame(world: &World) -> Vec<u8> {
    let long = |(from, frame): &&(usize, Vec<u8>)| *from == 0 && frame.len() > 1000;
    world.seen.iter().find(long).unwrap().1.clone()
}

/// The ends of a connection from station 1 to station 2, and a long frame of 10,000 bytes that are under way there.
fn connected(world: &mut World) -> (ConnectionId, ConnectionId, Vec<u8>) {
    world.weather.cut = true;
    let (near, far) = world.pair(false);
    world.record = true;
    world.write(0, near, &[1; 10_000]);
    world.poll();
    (near, far, long_frame(world))
}

/// Sends a long datagram from station 1.
fn send_long(world: &mut World, client: UdpId, to: SocketAddr) {
    let (stack, end) = (&mut world.stacks[0], &mut world.ends[0]);
    stack.udp_send(world.now, client, to, 1400, end, |data| data.fill(7)).unwrap();
    world.pass(Duration::from_millis(10));
}

#[test]
fn datagrams_go_in_pieces_that_their_way_takes() {
    for (own, to, shorter) in each_version() {
        let mut world = by_gateway();
        world.record = true;
        let server = world.stacks[1].udp_bind(world.now, to).unwrap();
        let client = world.stacks[0].udp_bind(world.now, own).unwrap();
        let send = |world: &mut World| {
            send_long(world, client, to);
            world.stacks[1].udp_receive(server).unwrap().map(|received| received.data.len())
        };
        assert_eq!(send(&mut world), Some(1400));
        let path_mtu = |world: &mut World| world.stacks[0].path_mtu(world.now, to.ip());
        assert_eq!((path_mtu(&mut world), world.stacks[0].mtu()), (1500, 1500));
        let sent = long_frame(&world);
        for news in [true, false] {
            hear(&mut world, &too_big(&sent, shorter, GATEWAY));
            let told = world.stacks[0].next_event() == Some(Event::PathChanged(to.ip()));
            assert_eq!(told, news);
        }
        assert_eq!(path_mtu(&mut world), shorter);
        world.limit = Some(14 + usize::from(shorter));
        assert_eq!(send(&mut world), Some(1400));
        // The way may have changed, which is told though nothing is sent.
        assert_eq!(world.stacks[0].next_event(), None);
        world.pass(Duration::from_secs(601));
        assert_eq!(world.stacks[0].next_event(), Some(Event::PathChanged(to.ip())));
        assert_eq!(path_mtu(&mut world), 1500);
        assert_eq!(send(&mut world), None);
    }
}

#[test]
fn only_the_router_of_a_datagram_knows_its_way() {
    for ((own, to, shorter), (start, end)) in each_version().into_iter().zip(ENDS) {
        let cases = [
            (by_gateway(), GATEWAY, true),
            (by_gateway(), NEIGHBOUR, false),
            // Station 2 is a neighbour itself: no router is between.
            (World::new(FAIR, 1), mac(2), false),
        ];
        for (mut world, station, believed) in cases {
            world.record = true;
            let client = world.stacks[0].udp_bind(world.now, own).unwrap();
            // As programs do, which hear from anybody.
            send_long(&mut world, client, to);
            while world.stacks[0].next_event().is_some() {}
            let sent = long_frame(&world);
            // Nothing was sent from or to there.
            for at in start..end {
                let mut of_another = sent.clone();
                of_another[at] ^= 1;
                hear(&mut world, &too_big(&of_another, shorter, station));
                assert_eq!(world.stacks[0].next_event(), None, "byte {at}");
            }
            hear(&mut world, &too_big(&sent, shorter, station));
            let told = world.stacks[0].next_event();
            assert_eq!(told, believed.then_some(Event::PathChanged(to.ip())));
            let mtu = if believed { shorter } else { 1500 };
            assert_eq!(world.stacks[0].path_mtu(world.now, to.ip()), mtu);
        }
    }
}

/// Where the addresses and ports of a frame begin, and end, with each IP version.
const ENDS: [(usize, usize); 2] = [(26, 38), (22, 58)];

#[test]
fn only_who_gets_a_datagram_knows_that_nobody_listens() {
    for ((own, to, _), (start, end)) in each_version().into_iter().zip(ENDS) {
        let cases = [
            (by_gateway(), GATEWAY, true),
            (by_gateway(), NEIGHBOUR, false),
            // Station 2 is a neighbour itself.
            (World::new(FAIR, 1), mac(2), true),
            (World::new(FAIR, 1), NEIGHBOUR, false),
        ];
        for (mut world, station, believed) in cases {
            world.record = true;
            // Somebody listens there.
            world.stacks[1].udp_bind(world.now, to).unwrap();
            let client = world.stacks[0].udp_bind(world.now, own).unwrap();
            send_long(&mut world, client, to);
            let sent = long_frame(&world);
            // Nothing was sent from or to there.
            for at in start..end {
                let mut of_another = sent.clone();
                of_another[at] ^= 1;
                hear(&mut world, &port_unreachable(&of_another, station));
                assert_eq!(world.stacks[0].next_event(), None, "byte {at}");
            }
            hear(&mut world, &port_unreachable(&sent, station));
            let told = world.stacks[0].next_event();
            assert_eq!(told, believed.then_some(Event::DatagramRefused(client, to)));
        }
    }
}

#[test]
fn what_waits_for_the_router_goes_in_pieces_that_its_way_takes() {
    for (own, to, shorter) in each_version() {
        let mut world = by_gateway();
        world.record = true;
        let server = world.stacks[1].udp_bind(world.now, to).unwrap();
        let client = world.stacks[0].udp_bind(world.now, own).unwrap();
        send_long(&mut world, client, to);
        assert!(world.stacks[1].udp_receive(server).unwrap().is_some());
        let sent = long_frame(&world);
        hear(&mut world, &too_big(&sent, shorter, GATEWAY));
        // Nobody hears that it is asked for again, a minute later: it is lost.
        world.limit = Some(0);
        world.pass(Duration::from_secs(61));
        send_long(&mut world, client, to);
        world.pass(Duration::from_secs(10));
        world.limit = Some(14 + usize::from(shorter));
        send_long(&mut world, client, to);
        let received = world.stacks[1].udp_receive(server).unwrap();
        assert_eq!(received.map(|received| received.data.len()), Some(1400));
    }
}

#[test]
fn no_way_is_learnt_from_what_is_said_of_short_datagrams() {
    let [(own, to, shorter), _] = each_version();
    let mut world = by_gateway();
    world.record = true;
    let client = world.stacks[0].udp_bind(world.now, own).unwrap();
    let (stack, end) = (&mut world.stacks[0], &mut world.ends[0]);
    stack.udp_send(world.now, client, to, 576 - 28, end, |_| ()).unwrap();
    world.pass(Duration::from_millis(10));
    let (_, sent) = world.seen.iter().find(|(_, frame)| frame.len() == 14 + 576).unwrap().clone();
    hear(&mut world, &too_big(&sent, shorter, GATEWAY));
    assert_eq!(world.stacks[0].path_mtu(world.now, to.ip()), 1500);
}

#[test]
fn a_way_that_takes_less_is_learnt() {
    let mut world = by_gateway();
    let (near, far, sent) = connected(&mut world);
    hear(&mut world, &too_big(&sent, 700, GATEWAY));
    let mut got = Vec::new();
    world.run_until(SOON, |world| {
        world.read(1, far, &mut got);
        got.len() == 10_000
    });
    world.limit = Some(14 + 700);
    let pass = |world: &mut World, got: &mut Vec<u8>| {
        let before = got.len();
        world.longest = 0;
        world.write(0, near, &[2; 10_000]);
        world.run_until(SOON, |world| {
            world.read(1, far, got);
            got.len() == before + 10_000
        });
        world.longest
    };
    assert_eq!(pass(&mut world, &mut got), 14 + 700);
    // The way may have changed, some time later.
    world.limit = None;
    world.pass(Duration::from_secs(590));
    assert_eq!(pass(&mut world, &mut got), 14 + 700);
    world.pass(Duration::from_secs(10));
    assert_eq!(pass(&mut world, &mut got), 14 + 1500);
    // And has not, as it turns out.
    world.limit = Some(14 + 700);
    world.seen.clear();
    world.write(0, near, &[3; 10_000]);
    world.poll();
    let sent = long_frame(&world);
    hear(&mut world, &too_big(&sent, 700, GATEWAY));
    world.run_until(SOON, |world| {
        world.read(1, far, &mut got);
        got.len() == 50_000
    });
}

/// Much arrives at the other end, and the longest packets are as long as the own network takes.
fn assert_goes_in_full_segments(world: &mut World, near: ConnectionId, far: ConnectionId) {
    let mut got = Vec::new();
    world.longest = 0;
    world.write(0, near, &vec![3; 50_000]);
    world.run_until(SOON, |world| {
        world.read(1, far, &mut got);
        got.len() >= 50_000
    });
    assert_eq!(world.longest, 14 + 1500);
}

#[test]
fn only_the_router_of_a_segment_knows_its_way() {
    for (mut world, station) in [(by_gateway(), NEIGHBOUR), (World::new(FAIR, 1), mac(2))] {
        let (near, far, sent) = connected(&mut world);
        hear(&mut world, &too_big(&sent, 700, station));
        assert_goes_in_full_segments(&mut world, near, far);
    }
}

#[test]
fn a_second_router_of_the_gateway_is_believed_once_it_passed_something_on() {
    // It answers with one address and sends from the other (VRRP).
    const OTHER: MacAddr = mac(3);
    let [(own, to, shorter), _] = each_version();
    // Who begins a connection may be a neighbour, which pretends to be far away.
    let cases = [(0, Some(OTHER), true), (0, None, false), (1, Some(OTHER), false)];
    for (begins, sends_as, believed) in cases {
        let mut world = by_gateway();
        world.sends_as = sends_as;
        let listens = 1 - begins;
        let at = [SocketAddr::from((ipv4(1), 80)), (ipv4(2), 80).into()][listens];
        let listener = world.listen(listens, at);
        let near = world.connect(begins, at);
        let mut far = None;
        world.run_until(SOON, |world| {
            far = far.or(world.stacks[listens].accept(listener).unwrap());
            far.is_some() && world.stacks[begins].writable(near) > 0
        });
        for (from, id) in [(begins, near), (listens, far.unwrap())] {
            world.write(from, id, &[1; 1000]);
            world.run_until(SOON, |world| world.stacks[from].unacknowledged(id) == 0);
        }
        world.record = true;
        let client = world.stacks[0].udp_bind(world.now, own).unwrap();
        send_long(&mut world, client, to);
        let sent = long_frame(&world);
        hear(&mut world, &too_big(&sent, shorter, OTHER));
        let mtu = if believed { shorter } else { 1500 };
        assert_eq!(world.stacks[0].path_mtu(world.now, to.ip()), mtu);
    }
}

#[test]
fn a_neighbour_that_speaks_for_the_peer_hears_no_numbers() {
    let mut world = by_gateway();
    world.record = true;
    let (near, _, _) = connected(&mut world);
    world.run_until(SOON, |world| world.stacks[0].unacknowledged(near) == 0);
    let is_tcp = |(from, frame): &&(usize, Vec<u8>)| *from == 1 && frame[12..14] == [8, 0];
    let (_, mut guessed) = world.seen.iter().rfind(is_tcp).unwrap().clone();
    guessed[6..12].copy_from_slice(&NEIGHBOUR.0);
    guessed[38] ^= 0x80;
    let checksum = Checksum::Partial { start: 34, offset: 16 };
    let offload = VirtioNetHeader { checksum, segmentation: None };
    // At once, or not much later.
    world.stacks[0].receive(world.now, &guessed, offload, &mut world.ends[0]);
    world.seen.clear();
    world.pass(Duration::from_secs(2));
    let answers: Vec<_> = world.seen.iter().filter(|(from, _)| *from == 0).collect();
    assert!(!answers.is_empty(), "what is not expected is answered");
    assert!(answers.iter().all(|(_, frame)| frame[..6] == GATEWAY.0));
}

#[test]
fn a_router_knows_only_segments_that_are_in_flight() {
    let mut world = by_gateway();
    let (near, far, sent) = connected(&mut world);
    let first = u32::from_be_bytes(*sent[38..].first_chunk().unwrap());
    // Before what is in flight, behind it, and far away.
    for sequence in [first.wrapping_sub(1), first.wrapping_add(10_000), first ^ 1 << 31] {
        let mut guessed = sent.clone();
        guessed[38..42].copy_from_slice(&sequence.to_be_bytes());
        hear(&mut world, &too_big(&guessed, 700, GATEWAY));
    }
    assert_goes_in_full_segments(&mut world, near, far);
    // By now it has arrived.
    hear(&mut world, &too_big(&sent, 700, GATEWAY));
    assert_goes_in_full_segments(&mut world, near, far);
}

#[test]
fn whoever_guesses_does_not_end_an_attempt() {
    let mut world = World::new(FAIR, 1);
    world.limit = Some(0);
    world.record = true;
    let remote = SocketAddr::from((ipv4(2), 80));
    let id = world.connect(0, remote);
    world.poll();
    // Station 2 is there, and its answers get lost.
    let mut answer = [&mac(1).0[..], &mac(2).0, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]].concat();
    answer.extend([&mac(2).0[..], &ipv4(2).octets(), &mac(1).0, &ipv4(1).octets()].concat());
    hear(&mut world, &answer);
    world.poll();
    let (_, syn) = world.seen.iter().find(|(_, frame)| frame[12..14] == [8, 0]).unwrap().clone();
    for (change, refused) in [(1, false), (0, true)] {
        let mut about = syn.clone();
        about[41] ^= change;
        hear(&mut world, &unreachable(&about));
        let error = world.stacks[0].error(id);
        assert_eq!(error, refused.then_some(StackError::Unreachable));
    }
}
