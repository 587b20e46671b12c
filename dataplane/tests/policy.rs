//! Ports with a policy: what a client may send through them, and what it costs its neighbours.

mod support;

use std::net::{Ipv4Addr, Ipv6Addr};

use dataplane::{Antispoof, DomainConfig, DropReason, MacAddr, PortConfig, PortPolicy, Rate};
use support::{Station, engine, mac, unicast};

const OWN4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OWN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const OTHER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

fn checked(antispoof: Antispoof) -> PortPolicy {
    PortPolicy { antispoof, ipv4: Some(OWN4), ipv6: Some(OWN6), ..PortPolicy::default() }
}

fn udp(src: Ipv4Addr, length: usize) -> Vec<u8> {
    let mut frame = unicast(mac(1), mac(2), length);
    frame[12..15].copy_from_slice(&[8, 0, 0x45]);
    frame[26..30].copy_from_slice(&src.octets());
    frame
}

/// A neighbour advertisement, with so many bytes of an option that nobody knows behind it.
fn advertisement(target: Ipv6Addr, own: MacAddr, padding: u8) -> Vec<u8> {
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(target.octets());
    message.extend([2, 1]);
    message.extend(own.0);
    message.extend([200, padding]);
    message.resize(message.len() - 2 + usize::from(padding) * 8, 0);
    let length = u16::try_from(message.len()).expect("short").to_be_bytes();
    let mut frame = [&mac(2).0[..], &mac(1).0, &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend(length);
    frame.extend([58, 255]);
    frame.extend(OWN6.octets());
    frame.extend(OTHER6.octets());
    frame.extend(message);
    frame
}

#[test]
fn what_is_forged_is_dropped_for_its_reason_and_the_rest_passes() {
    let engine = engine();
    let domain = engine.create_domain(DomainConfig::new("test")).expect("domain");
    let mut one = Station::bound(&engine, domain, 1, checked(Antispoof::Full));
    let mut two = Station::join(&engine, domain, 2);
    let mut foreign = udp(OWN4, 100);
    foreign[11] ^= 0x40;
    let arp = [&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2][..], &mac(2).0, &OWN4.octets(), &[0; 10]].concat();
    let forged = [
        (foreign, DropReason::SpoofedMac),
        (udp(Ipv4Addr::new(10, 0, 0, 2), 1400), DropReason::SpoofedIp),
        ([&mac(2).0[..], &mac(1).0, &arp].concat(), DropReason::SpoofedArp),
        (advertisement(OTHER6, mac(1), 1), DropReason::SpoofedNd),
        (advertisement(OWN6, mac(2), 100), DropReason::SpoofedNd),
    ];
    for (frame, reason) in &forged {
        one.send(frame);
        let legal = udp(OWN4, 64);
        one.send(&legal);
        assert_eq!(two.receive(), legal, "nothing comes before it: {reason:?}");
    }
    let counters = one.counters();
    let dropped = forged.iter().map(|(_, reason)| counters.dropped(*reason)).collect::<Vec<_>>();
    assert_eq!(dropped, [1, 1, 1, 2, 2]);
    assert_eq!(counters.rx_frames, 10);
    // Whole frames of every length, those that are looked at whole too.
    for length in [64, 65, 1000, 1514] {
        one.send(&udp(OWN4, length));
        assert_eq!(two.receive(), udp(OWN4, length));
    }
    for padding in [1, 10, 150] {
        let honest = advertisement(OWN6, mac(1), padding);
        one.send(&honest);
        assert_eq!(two.receive(), honest);
    }
}

#[test]
fn a_router_forwards_for_others_under_its_own_address() {
    let engine = engine();
    let domain = engine.create_domain(DomainConfig::new("test")).expect("domain");
    let mut one = Station::bound(&engine, domain, 1, checked(Antispoof::Mac));
    let mut two = Station::join(&engine, domain, 2);
    let routed = udp(Ipv4Addr::new(192, 0, 2, 7), 200);
    one.send(&routed);
    assert_eq!(two.receive(), routed);
    one.send(&unicast(mac(7), mac(2), 60));
    one.wait_for_drop(DropReason::SpoofedMac);
}

#[test]
fn a_port_without_an_address_cannot_be_held_to_it() {
    let engine = engine();
    let domain = engine.create_domain(DomainConfig::new("test")).expect("domain");
    let policy = checked(Antispoof::Mac);
    let refused = engine.create_port(domain, PortConfig { policy, ..PortConfig::new("any", None) });
    assert!(refused.expect_err("nothing to compare with").to_string().contains("policy"));
}

#[test]
fn a_limit_holds_for_its_port_alone() {
    let engine = engine();
    let domain = engine.create_domain(DomainConfig::new("test")).expect("domain");
    let rate = |per_second, burst| Some(Rate { per_second, burst });
    // So slow that time gives nothing during the test.
    let few = PortPolicy { packets: rate(1, 10), ..PortPolicy::default() };
    let small = PortPolicy { bits: rate(8, 8000), ..PortPolicy::default() };
    let mut one = Station::bound(&engine, domain, 1, few);
    let mut two = Station::bound(&engine, domain, 2, small);
    let mut three = Station::join(&engine, domain, 3);
    for _ in 0..50 {
        one.send_now_or_later(&unicast(mac(1), mac(3), 60));
        two.send_now_or_later(&unicast(mac(2), mac(3), 100));
        three.send_now_or_later(&unicast(mac(3), mac(3), 60));
    }
    let mut passed = 100;
    for (station, reason) in [(&mut one, DropReason::RatePackets), (&mut two, DropReason::RateBits)]
    {
        station.wait_until(|it| it.counters().rx_frames == 50);
        let dropped = station.counters().dropped(reason);
        // One frame a second, should the machine be that slow.
        assert!((20..=40).contains(&dropped), "{reason:?}: {dropped}");
        passed -= dropped;
    }
    three.wait_until(|it| it.counters().dropped(DropReason::Hairpin) == 50);
    assert_eq!(three.counters().tx_frames, passed);
}
