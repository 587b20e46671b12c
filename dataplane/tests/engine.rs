//! The engine with memif clients of this process: frames in, frames out, ports that come and go.

mod support;

use dataplane::control::{CaptureScope, Direction, PortOwner};
use dataplane::offload::{Sum, checksum};
use dataplane::packet::Protocol;
use dataplane::{DataplaneError, DomainConfig, DropReason, MacAddr, PortConfig};
use support::{Station, broadcast, engine, mac, two_stations, unicast};

#[test]
fn frames_reach_the_station_they_name_and_no_other() {
    let engine = engine();
    let domain = engine.create_domain(DomainConfig::new("test")).expect("domain");
    let mut stations: Vec<Station> = (1..=3).map(|n| Station::join(&engine, domain, n)).collect();
    let frame = unicast(mac(1), mac(2), 100);
    stations[0].send(&frame);
    assert_eq!(stations[1].receive(), frame);
    // What is sent to everybody comes after, so nothing else can have been on the way.
    let all = broadcast(mac(2), 1);
    stations[1].send(&all);
    assert_eq!(stations[0].receive(), all);
    assert_eq!(stations[2].receive(), all);
    assert_eq!(engine.fdb(domain).expect("fdb").len(), 3);
}

#[test]
fn every_length_from_60_to_the_mtu_arrives_unchanged() {
    let engine = engine();
    let mut config = DomainConfig::new("jumbo");
    config.mtu = 9000;
    let domain = engine.create_domain(config).expect("domain");
    let (mut one, mut two) = (Station::join(&engine, domain, 1), Station::join(&engine, domain, 2));
    for length in (60..=9014).step_by(37).chain([9014]) {
        let frame = unicast(mac(1), mac(2), length);
        one.send(&frame);
        assert_eq!(two.receive(), frame, "length {length}");
    }
    one.send(&unicast(mac(1), mac(2), 9015));
    one.wait_for_drop(DropReason::Oversize);
}

/// A frame of TCP over IPv4 whose sums say nothing.
fn segment(payload: usize) -> Vec<u8> {
    let mut frame = unicast(mac(1), mac(2), 54 + payload);
    let length = u16::try_from(40 + payload).expect("it fits").to_be_bytes();
    let ip =
        [&[0x45, 0][..], &length, &[0, 0, 0x40, 0, 64, 6, 0xde, 0xad, 10, 0, 0, 1, 10, 0, 0, 2]];
    let tcp = [0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0, 99, 0xbe, 0xef, 0, 0];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14..34].copy_from_slice(&ip.concat());
    frame[34..54].copy_from_slice(&tcp);
    frame
}

/// Whether the sums of a frame of TCP over IPv4 are right.
fn is_right(frame: &[u8]) -> bool {
    let length = u32::try_from(frame.len() - 34).expect("it fits");
    let (from, to) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let pseudo = Sum::pseudo_header4(from, to, Protocol::TCP, length);
    checksum(&frame[14..34]) == 0 && pseudo.plus(&frame[34..]).finish() == 0
}

#[test]
fn segments_of_who_leaves_them_uncut_arrive_in_packets_with_sums_that_are_right() {
    let engine = engine();
    let domain = engine.create_domain(DomainConfig::new("test")).expect("domain");
    let (mut one, mut two) =
        (Station::uncut(&engine, domain, 1), Station::join(&engine, domain, 2));
    let sent = segment(3000);
    one.send(&sent);
    let mut data = Vec::new();
    for length in [1460, 1460, 80] {
        let frame = two.receive();
        assert!(is_right(&frame), "{frame:02x?}");
        assert_eq!(frame.len(), 54 + length);
        data.extend_from_slice(&frame[54..]);
    }
    assert_eq!(data, sent[54..]);
    // What fits passes as it is.
    one.send(&segment(1460));
    assert_eq!(two.receive(), segment(1460));
    // All else is too long, and so is a segment of who was not said to do so.
    one.send(&unicast(mac(1), mac(2), 3000));
    one.wait_for_drop(DropReason::Oversize);
    let mut back = segment(3000);
    back[..12].rotate_left(6);
    two.send(&back);
    two.wait_for_drop(DropReason::Oversize);
}

#[test]
fn what_is_dropped_is_counted_once_with_its_reason() {
    let (_engine, mut one, mut two) = two_stations();
    one.send(&[0; 13]);
    one.wait_for_drop(DropReason::Malformed);
    one.send(&unicast(mac(1), mac(1), 60));
    one.wait_for_drop(DropReason::Hairpin);
    one.send(&unicast(mac(2), mac(9), 60));
    one.wait_for_drop(DropReason::Spoofed);
    one.send(&unicast(mac(1), mac(2), 60));
    two.receive();
    let counters = one.counters();
    assert_eq!((counters.rx_frames, counters.dropped_total()), (4, 3));
    assert_eq!((two.counters().tx_frames, two.counters().tx_bytes), (1, 60));
}

#[test]
fn a_full_ring_drops_and_counts_every_frame_that_did_not_fit() {
    let (_engine, mut one, mut two) = two_stations();
    let sent = 5000;
    for n in 0..sent {
        one.send_now_or_later(&unicast(mac(1), mac(2), 60 + n % 40));
    }
    // Two reads nothing meanwhile: its ring holds 1024 frames.
    one.wait_until(|one| one.counters().rx_frames == sent as u64);
    let counters = two.counters();
    assert_eq!(counters.tx_frames + counters.dropped(DropReason::Full), sent as u64);
    assert!(counters.dropped(DropReason::Full) > 0);
    for n in 0..counters.tx_frames {
        assert_eq!(two.receive().len(), 60 + usize::try_from(n).expect("small") % 40);
    }
}

#[test]
fn a_second_client_is_refused_and_a_client_that_left_is_replaced() {
    let (_engine, mut one, mut two) = two_stations();
    assert!(two.try_second_client().is_err());
    two.disconnect();
    one.wait_until(|_| two.owner() == PortOwner::None);
    one.send(&unicast(mac(1), mac(2), 60));
    two.wait_for_drop(DropReason::NoDevice);
    two.reconnect();
    one.send(&unicast(mac(1), mac(2), 62));
    assert_eq!(two.receive().len(), 62);
}

#[test]
fn isolated_stations_do_not_reach_each_other() {
    let engine = engine();
    let mut config = DomainConfig::new("isolated");
    config.isolation = true;
    let domain = engine.create_domain(config).expect("domain");
    let mut one = Station::join(&engine, domain, 1);
    let _two = Station::join(&engine, domain, 2);
    one.send(&unicast(mac(1), mac(2), 60));
    one.wait_for_drop(DropReason::Isolated);
}

#[test]
fn isolated_stations_reach_an_open_one_and_it_them() {
    let engine = engine();
    let mut config = DomainConfig::new("isolated");
    config.isolation = true;
    let domain = engine.create_domain(config).expect("domain");
    let mut one = Station::join(&engine, domain, 1);
    let mut two = Station::join(&engine, domain, 2);
    let mut gateway = Station::open_to_all(&engine, domain, 3);
    one.send(&unicast(mac(1), mac(3), 60));
    assert_eq!(gateway.receive().len(), 60);
    gateway.send(&unicast(mac(3), mac(1), 61));
    assert_eq!(one.receive().len(), 61);
    // A broadcast of one station reaches the open port alone; one of the open port, all.
    one.send(&unicast(mac(1), MacAddr::BROADCAST, 62));
    assert_eq!(gateway.receive().len(), 62);
    gateway.send(&unicast(mac(3), MacAddr::BROADCAST, 63));
    assert_eq!((one.receive().len(), two.receive().len()), (63, 63));
}

#[test]
fn a_port_moves_between_workers_with_its_link_and_counters() {
    let engine = support::engine_with_workers(2);
    let first = engine.create_domain(DomainConfig::new("first")).expect("domain");
    let mut one = Station::join(&engine, first, 1);
    let mut two = Station::join(&engine, first, 2);
    let second = engine.create_domain(DomainConfig::new("second")).expect("domain");
    let mut three = Station::join(&engine, second, 3);
    one.send(&unicast(mac(1), mac(2), 60));
    two.receive();
    engine.move_port(two.port, second).expect("moves");
    three.send(&unicast(mac(3), mac(2), 70));
    assert_eq!(two.receive().len(), 70);
    two.send(&unicast(mac(2), mac(3), 71));
    assert_eq!(three.receive().len(), 71);
    assert_eq!(two.counters().tx_frames, 2);
    // A domain that has the address already refuses, and the port stays where it was.
    let twin = PortConfig::new("twin", Some(mac(2)));
    engine.create_port(first, twin).expect("the address is free there now");
    assert!(matches!(
        engine.move_port(two.port, first),
        Err(DataplaneError::DuplicateAddress(address)) if address == mac(2)
    ));
    three.send(&unicast(mac(3), mac(2), 72));
    assert_eq!(two.receive().len(), 72);
}

#[test]
fn other_ports_lose_nothing_while_ports_come_and_go() {
    let (engine, mut one, mut two) = two_stations();
    let domain = one.domain;
    let churn = std::thread::spawn({
        let engine = engine.clone();
        move || {
            for n in 10..40 {
                drop(Station::join(&engine, domain, n));
            }
        }
    });
    let mut sequence = 0;
    while !churn.is_finished() {
        for _ in 0..32 {
            one.send(&support::numbered(mac(1), mac(2), sequence));
            assert_eq!(two.receive(), support::numbered(mac(1), mac(2), sequence));
            sequence += 1;
        }
    }
    churn.join().expect("no panic");
    assert_eq!(engine.ports().expect("ports").len(), 2);
    assert_eq!(one.counters().dropped_total() + two.counters().dropped_total(), 0);
}

#[test]
fn a_capture_sees_both_directions_of_a_port_and_each_frame_of_a_domain_once() {
    let (engine, mut one, mut two) = two_stations();
    let port = engine.capture(CaptureScope::Port(two.port), 64).expect("capture");
    let whole = engine.capture(CaptureScope::Domain(one.domain), 65_535).expect("capture");
    let (there, back) = (unicast(mac(1), mac(2), 100), unicast(mac(2), mac(1), 200));
    one.send(&there);
    two.receive();
    two.send(&back);
    one.receive();
    let next = |capture: &dataplane::control::Capture| {
        capture.next(support::PATIENCE).expect("running").expect("a frame")
    };
    let (first, second) = (next(&port), next(&port));
    assert_eq!(
        (first.direction, first.length, &*first.data),
        (Direction::Egress, 100, &there[..64])
    );
    assert_eq!((second.direction, second.length), (Direction::Ingress, 200));
    let (first, second) = (next(&whole), next(&whole));
    assert_eq!((&*first.data, &*second.data), (&there[..], &back[..]));
    drop(two);
    assert!(matches!(port.next(support::PATIENCE), Err(DataplaneError::Stopped)));
}

#[test]
fn bad_configuration_is_refused_and_nothing_is_half_done() {
    let engine = engine();
    for mtu in [0, 575, 65_522] {
        let config = DomainConfig { mtu, ..DomainConfig::new("bad") };
        assert!(matches!(engine.create_domain(config), Err(DataplaneError::BadConfig { .. })));
    }
    let domain = engine.create_domain(DomainConfig::new("good")).expect("domain");
    let port = |mac| PortConfig::new("port", mac);
    engine.create_port(domain, port(Some(mac(1)))).expect("port");
    assert!(engine.create_port(domain, port(Some(mac(1)))).is_err());
    assert!(engine.create_port(domain, port(Some(MacAddr::BROADCAST))).is_err());
    assert!(matches!(
        engine.delete_domain(domain),
        Err(DataplaneError::DomainInUse { ports: 1, .. })
    ));
    assert_eq!(engine.ports().expect("ports").len(), 1);
}
