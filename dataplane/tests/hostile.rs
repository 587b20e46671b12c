//! Clients that break the rules of a connected link: each loses its own link, with a reason, and
//! nobody else notices.

mod support;

use dataplane::control::PortOwner;
use dataplane::{DomainConfig, DropReason};
use rustix::fs::MemfdFlags;
use support::hostile::HostileClient;
use support::{Station, engine, mac, two_stations, unicast};

/// Lets a hostile client loose on a third port while two stations talk; returns its last words.
fn misbehave(act: impl Fn(&HostileClient)) -> String {
    let (engine, mut one, mut two) = two_stations();
    let mut port = Station::without_client(&engine, one.domain, 3);
    let hostile = HostileClient::connect(port.address());
    port.wait_until(|port| port.owner() == PortOwner::Memif);
    act(&hostile);
    let words = hostile.last_words();
    port.wait_until(|port| port.owner() == PortOwner::None);
    for length in 60..160 {
        one.send(&unicast(mac(1), mac(2), length));
        assert_eq!(two.receive(), unicast(mac(1), mac(2), length));
    }
    // The port is free for a client that behaves.
    port.reconnect();
    one.send(&unicast(mac(1), mac(3), 61));
    assert_eq!(port.receive().len(), 61);
    words
}

#[test]
fn a_region_that_does_not_exist() {
    let words = misbehave(|hostile| {
        hostile.write_descriptor(0, 0, 9, 60, 0);
        hostile.publish(1);
    });
    assert!(words.contains("region 9"), "{words}");
}

#[test]
fn bytes_outside_the_region() {
    for (length, at) in [(60, u32::MAX - 30), (u32::MAX, 0), (u32::MAX, u32::MAX)] {
        let words = misbehave(|hostile| {
            hostile.write_descriptor(0, 0, 0, length, at);
            hostile.publish(1);
        });
        assert!(words.contains("outside its region"), "{words}");
    }
}

#[test]
fn an_index_that_runs_away() {
    let words = misbehave(|hostile| hostile.publish(17));
    assert!(words.contains("17 slots of a ring of 16"), "{words}");
}

#[test]
fn a_chain_without_an_end() {
    let words = misbehave(|hostile| {
        for slot in 0..16 {
            hostile.write_descriptor(slot, 1, 0, 60, 4096);
        }
        hostile.publish(16);
    });
    assert!(words.contains("descriptors") || words.contains("end"), "{words}");
}

#[test]
fn buffers_for_the_server_that_lie_elsewhere() {
    let (engine, mut one, _two) = two_stations();
    let mut port = Station::without_client(&engine, one.domain, 3);
    let hostile = HostileClient::connect(port.address());
    port.wait_until(|port| port.owner() == PortOwner::Memif);
    let ring = &hostile.shared.server_to_client[0];
    let descriptor = ring.offset as usize + 128;
    let far = [&[0, 0, 0, 0][..], &2048u32.to_le_bytes(), &(u32::MAX - 100).to_le_bytes(), &[0; 4]];
    hostile.memory.write(descriptor, &far.concat()).expect("inside");
    let head = ring.offset as usize + 6;
    shm::SharedU16::new(&hostile.memory, head).expect("inside").store_release(1);
    one.send(&unicast(mac(1), mac(3), 60));
    port.wait_until(|port| port.owner() == PortOwner::None);
    assert!(hostile.last_words().contains("outside its region"));
    assert_eq!(port.counters().dropped(DropReason::NoDevice), 1);
}

#[test]
fn a_client_that_scribbles_over_everything_while_traffic_runs() {
    let (engine, mut one, mut two) = two_stations();
    let mut port = Station::without_client(&engine, one.domain, 3);
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..40 {
        let hostile = HostileClient::connect(port.address());
        port.wait_until(|port| port.owner() == PortOwner::Memif);
        for _ in 0..2000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = usize::try_from(random >> 40).expect("24 bits") % 768;
            let value = if random & 1 == 0 { random >> 20 & 0x7f } else { random };
            let width = if random & 2 == 0 { 2 } else { 8 };
            hostile.memory.write(at, &value.to_le_bytes()[..width]).expect("inside");
            let _ = rustix::io::write(
                &hostile.shared.client_to_server[0].interrupt,
                &1u64.to_ne_bytes(),
            );
        }
        one.send(&unicast(mac(1), mac(2), 100));
        two.receive_from(mac(1));
        drop(hostile);
        port.wait_until(|port| port.owner() == PortOwner::None);
    }
}

#[test]
fn memory_that_can_be_truncated_is_refused_and_where_it_is_trusted_survived() {
    let engine = engine();
    let domain = engine.create_domain(DomainConfig::new("test")).expect("domain");
    let mut one = Station::join(&engine, domain, 1);
    let mut trusting = Station::trusting(&engine, domain, 2);
    // The rings must be sealed even then, so this client takes the pages of its buffers only.
    let hostile = HostileClient::connect_with_unsealed_buffers(trusting.address());
    trusting.wait_until(|port| port.owner() == PortOwner::Memif);
    rustix::fs::ftruncate(&hostile.buffers, 0).expect("not sealed");
    hostile.client.write_descriptor(0, 0, 1, 60, 0);
    hostile.client.publish(1);
    trusting.wait_until(|port| port.owner() == PortOwner::None);
    one.send(&unicast(mac(1), mac(2), 60));
    trusting.wait_for_drop(DropReason::NoDevice);
    let sealed = Station::without_client(&engine, domain, 3);
    let unsealed = rustix::fs::memfd_create("unsealed", MemfdFlags::CLOEXEC).expect("memfd");
    rustix::fs::ftruncate(&unsealed, 1 << 20).expect("grows");
    let words = HostileClient::refused(sealed.address(), unsealed);
    assert!(words.contains("sealed"), "{words}");
}
