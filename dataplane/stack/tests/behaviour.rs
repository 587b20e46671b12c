//! What an owner sees of connections, and what a peer sees of an endpoint.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dataplane::offload::VirtioNetHeader;
use stack::{Config, Event, Ready, SendError, Stack, StackError};
use support::{FAIR, World, config, ipv4, ipv6, mac};

const SOON: Duration = Duration::from_secs(5);
const LATE: Duration = Duration::from_secs(2000);

fn at(n: u8, port: u16) -> SocketAddr {
    (ipv4(n), port).into()
}

#[test]
fn nobody_listens() {
    let mut world = World::new(FAIR, 1);
    for remote in [at(2, 80), (ipv6(2), 80).into()] {
        let id = world.connect(0, remote);
        world.run_until(SOON, |world| world.stacks[0].error(id).is_some());
        assert_eq!(world.stacks[0].error(id), Some(StackError::Refused));
        assert_eq!(world.events(0, id), Ready::CLOSED);
        world.stacks[0].close(world.now, id);
        assert_eq!(world.stacks[0].connection_counts(), (0, 0));
    }
    assert_eq!(world.stacks[1].counters().refused, 2);
}

#[test]
fn nobody_is_there() {
    let mut world = World::new(FAIR, 1);
    let id = world.connect(0, at(77, 80));
    world.run_until(SOON, |world| world.stacks[0].error(id).is_some());
    assert_eq!(world.stacks[0].error(id), Some(StackError::Unreachable));
    assert_eq!(world.events(0, id), Ready::CLOSED);
    // Once given up, it is at peace, though its owner does not close it.
    let sent = world.stacks[0].counters().frames_out;
    world.pass(LATE);
    assert_eq!(world.stacks[0].counters().frames_out, sent);
    let no_gateway = world.stacks[0].connect(world.now, None, "9.9.9.9:80".parse().unwrap());
    assert_eq!(no_gateway, Err(StackError::Unreachable));
    assert_eq!(world.stacks[0].connect(world.now, None, at(1, 80)), Err(StackError::Unreachable));
}

#[test]
fn somebody_is_there_and_silent() {
    let mut world = World::new(FAIR, 1);
    world.listen(1, at(2, 80));
    let (near, _) = world.pair_on(false, 81);
    world.weather.loss = 100;
    world.deaf = true;
    let id = world.connect(0, at(2, 80));
    assert_eq!(world.write(0, near, &[7; 1000]), 1000);
    let start = world.now;
    world.run_until(LATE, |world| world.stacks[0].error(id).is_some());
    // In the end, nobody answers for its Ethernet address either.
    assert_eq!(world.stacks[0].error(id), Some(StackError::Unreachable));
    assert!(world.now - start < Duration::from_secs(140));
    world.run_until(LATE, |world| world.stacks[0].error(near).is_some());
    assert_eq!(world.stacks[0].error(near), Some(StackError::TimedOut));
}

#[test]
fn an_idle_connection_stays() {
    let mut world = World::new(FAIR, 1);
    let (near, far) = world.pair(false);
    world.pass(Duration::from_secs(100_000));
    assert_eq!(world.write(0, near, b"still here"), 10);
    let mut got = Vec::new();
    world.run_until(SOON, |world| world.read(1, far, &mut got) > 0);
    assert_eq!(got, b"still here");
    assert_eq!(world.stacks[0].error(near), None);
}

#[test]
fn half_closed_both_ways() {
    let mut world = World::new(FAIR, 1);
    let (near, far) = world.pair(true);
    world.events(0, near);
    world.write(0, near, b"question");
    world.stacks[0].shutdown(near).unwrap();
    assert_eq!(world.stacks[0].send(near, |_| (0, ())), Err(StackError::NotOpen));
    let mut got = Vec::new();
    world.run_until(SOON, |world| world.stacks[1].peer_closed(far));
    assert!(world.events(1, far).contains(Ready::READABLE | Ready::PEER_CLOSED));
    world.read(1, far, &mut got);
    assert_eq!(got, b"question");
    world.write(1, far, b"answer");
    world.stacks[1].close(world.now, far);
    world.run_until(SOON, |world| world.stacks[0].peer_closed(near));
    // Long after smoltcp's own rest is over, what was received can still be read.
    world.pass(Duration::from_secs(30));
    got.clear();
    world.read(0, near, &mut got);
    assert_eq!(got, b"answer");
    assert!(world.events(0, near).contains(Ready::PEER_CLOSED | Ready::CLOSED));
    assert_eq!(world.stacks[1].connection_counts(), (0, 0), "the side that closed last rests not");
    world.stacks[0].close(world.now, near);
    assert_eq!(world.stacks[0].connection_counts(), (0, 1));
    world.pass(Duration::from_secs(61));
    assert_eq!(world.stacks[0].connection_counts(), (0, 0));
}

#[test]
fn resets() {
    let mut world = World::new(FAIR, 1);
    let (near, far) = world.pair(false);
    world.write(1, far, b"before");
    world.run_until(SOON, |world| world.stacks[0].readable(near) > 0);
    world.stacks[1].abort(world.now, far);
    world.run_until(SOON, |world| world.stacks[0].error(near).is_some());
    assert_eq!(world.stacks[0].error(near), Some(StackError::Reset));
    let mut got = Vec::new();
    world.read(0, near, &mut got);
    assert_eq!(got, b"before", "what came before can be read");
    world.stacks[0].close(world.now, near);
    // Closing with something unread is a reset as well.
    let (near, far) = world.pair(false);
    world.write(0, near, b"never read");
    world.run_until(SOON, |world| world.stacks[1].readable(far) > 0);
    world.stacks[1].close(world.now, far);
    world.run_until(SOON, |world| world.stacks[0].error(near) == Some(StackError::Reset));
    // And so is data for one who has left.
    let (near, far) = world.pair(false);
    world.stacks[1].close(world.now, far);
    world.run_until(SOON, |world| world.stacks[0].peer_closed(near));
    world.write(0, near, b"too late");
    world.run_until(SOON, |world| world.stacks[0].error(near) == Some(StackError::Reset));
    assert_eq!(world.stacks[1].connection_counts(), (0, 0));
}

#[test]
fn the_backlog_is_kept() {
    let mut world = World::new(FAIR, 1);
    let listener = world.stacks[1].listen(world.now, at(2, 80), 2).unwrap();
    let ids: Vec<_> = (0..6).map(|_| world.connect(0, at(2, 80))).collect();
    world.pass(Duration::from_millis(900));
    let connected =
        |world: &World| ids.iter().filter(|&&id| world.stacks[0].writable(id) > 0).count();
    // All that were half-open together; the backlog is about the next ones.
    assert_eq!(connected(&world), 6);
    let more = world.connect(0, at(2, 80));
    world.pass(Duration::from_millis(900));
    assert_eq!(world.stacks[0].writable(more), 0, "no room");
    assert!(world.stacks[1].counters().backlog_full > 0);
    while world.stacks[1].accept(listener).unwrap().is_some() {}
    // It tries again.
    world.run_until(SOON, |world| world.stacks[1].accept(listener).unwrap().is_some());
    assert!(world.stacks[0].writable(more) > 0);
}

#[test]
fn a_flood_of_syns_keeps_nobody_out() {
    let mut world = World::new(FAIR, 1);
    world.listen(1, at(2, 80));
    // The flood's stations are there, but say nothing.
    for n in 0..1000u16 {
        let syn = syn_from(ipv4(9), 1024 + n);
        world.stacks[1].receive(world.now, &syn, VirtioNetHeader::PLAIN, &mut world.ends[1]);
    }
    let counters = world.stacks[1].counters();
    assert_eq!(counters.half_open_evicted, 1000 - 256);
    let id = world.connect(0, at(2, 80));
    world.run_until(SOON, |world| world.stacks[0].writable(id) > 0);
    world.pass(LATE);
    assert_eq!(world.stacks[1].connection_counts(), (1, 0), "the rest is forgotten");
}

#[test]
fn a_flood_of_invented_addresses_asks_nobody() {
    let mut world = World::new(FAIR, 1);
    world.listen(1, at(2, 80));
    for n in 0..200 {
        let syn = syn_from(ipv4(20 + n), 1024);
        world.stacks[1].receive(world.now, &syn, VirtioNetHeader::PLAIN, &mut world.ends[1]);
    }
    world.record = true;
    world.pass(SOON);
    let asked = |(from, frame): &&(usize, Vec<u8>)| *from == 1 && frame[12..14] == [8, 6];
    assert_eq!(world.seen.iter().filter(asked).count(), 0);
    let answered = world.seen.iter().filter(|(from, frame)| *from == 1 && frame[..6] == mac(9).0);
    assert!(answered.count() >= 200, "each goes back to the station that the SYN came from");
}

/// A SYN to endpoint 2 from an address that belongs to nobody here.
fn syn_from(address: std::net::Ipv4Addr, port: u16) -> Vec<u8> {
    let mut other = config(9);
    if let Some(own) = &mut other.addressing.ipv4 {
        own.address = address;
    }
    let now = std::time::Instant::now();
    let (mut stack, mut end) = (Stack::new(other, now), support::End::default());
    let local = Some(SocketAddr::new(address.into(), port));
    stack.connect(now, local, at(2, 80)).unwrap();
    stack.poll(now, &mut end);
    let (request, _) = end.out.pop_front().unwrap();
    let mut reply = request.clone();
    reply[..6].copy_from_slice(&mac(9).0);
    reply[6..12].copy_from_slice(&mac(2).0);
    reply[21] = 2;
    reply[22..28].copy_from_slice(&mac(2).0);
    reply[28..32].copy_from_slice(&ipv4(2).octets());
    reply[32..38].copy_from_slice(&mac(9).0);
    reply[38..42].copy_from_slice(&address.octets());
    stack.receive(now, &reply, VirtioNetHeader::PLAIN, &mut end);
    stack.poll(now, &mut end);
    let (mut syn, offload) = end.out.pop_front().unwrap();
    if let dataplane::offload::Checksum::Partial { start, offset } = offload.checksum {
        dataplane::offload::complete_checksum(&mut syn, start, offset).unwrap();
    }
    syn
}

#[test]
fn ports_and_addresses_are_given_out_once() {
    let mut world = World::new(FAIR, 1);
    let now = world.now;
    let stack = &mut world.stacks[0];
    stack.listen(now, at(1, 80), 1).unwrap();
    assert_eq!(stack.listen(now, at(1, 80), 1), Err(StackError::InUse(at(1, 80))));
    stack.listen(now, "0.0.0.0:80".parse().unwrap(), 1).unwrap();
    assert_eq!(stack.listen(now, at(2, 80), 1), Err(StackError::NotOwn(at(2, 80))));
    let local = Some(at(1, 4000));
    stack.connect(now, local, at(2, 80)).unwrap();
    assert_eq!(stack.connect(now, local, at(2, 80)), Err(StackError::InUse(at(1, 4000))));
    stack.connect(now, local, at(2, 81)).unwrap();
    let mut ports: Vec<_> = (0..1000)
        .map(|_| {
            let id = stack.connect(now, None, at(2, 80)).unwrap();
            stack.ends(id).unwrap().0.port()
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 1000);
    assert!(ports[0] >= 32_768);
}

#[test]
fn a_port_that_rests_can_be_used_by_the_peer_again() {
    let mut world = World::new(FAIR, 1);
    let listener = world.listen(1, at(2, 80));
    let connect = |world: &mut World| {
        let near = world.stacks[0].connect(world.now, Some(at(1, 5000)), at(2, 80)).unwrap();
        world.run_until(SOON, |world| world.stacks[0].writable(near) > 0);
        let mut far = None;
        world.run_until(SOON, |world| {
            far = world.stacks[1].accept(listener).unwrap();
            far.is_some()
        });
        (near, far.unwrap())
    };
    let (near, far) = connect(&mut world);
    world.stacks[1].close(world.now, far);
    world.run_until(SOON, |world| world.stacks[0].peer_closed(near));
    world.stacks[0].close(world.now, near);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.stacks[1].connection_counts(), (0, 1), "it closed first, so it rests");
    // Its numbers may be below those of before; then a challenge and a new attempt are needed.
    let mut world_result = world;
    connect(&mut world_result);
}

#[test]
fn a_peer_that_does_not_read_stops_only_its_own_connection() {
    let mut world = World::new(FAIR, 1);
    let (near, far) = world.pair(false);
    let (other_near, other_far) = world.pair(true);
    let mut sent = 0;
    for _ in 0..2000 {
        sent += world.write(0, near, &[1; 10_000]);
        world.step();
    }
    assert!(sent < 3_000_000, "bounded by both buffers: {sent}");
    world.events(0, near);
    world.write(0, other_near, b"passes");
    let mut got = Vec::new();
    world.run_until(SOON, |world| world.read(1, other_far, &mut got) > 0);
    assert_eq!(got, b"passes");
    // For an hour the peer reads nothing, then everything.
    world.pass(Duration::from_hours(1));
    assert_eq!(world.stacks[0].error(near), None);
    got.clear();
    world.run_until(LATE, |world| {
        world.read(1, far, &mut got);
        got.len() >= sent
    });
    assert_eq!(got.len(), sent);
    assert!(world.events(0, near).contains(Ready::WRITABLE));
}

#[test]
fn frames_that_do_not_leave_hold_back_one_neighbour() {
    let mut world = World::new(FAIR, 1);
    let (near, far) = world.pair(false);
    world.ends[0].blocked = true;
    world.write(0, near, &vec![1; 500_000]);
    world.record = true;
    let mut got = Vec::new();
    for _ in 0..200 {
        world.poll();
        world.write(0, near, &vec![1; 100_000]);
        world.step();
        world.read(1, far, &mut got);
    }
    assert!(world.seen.iter().filter(|(from, _)| *from == 0).count() <= 32);
}

#[test]
fn datagrams() {
    let mut world = World::new(FAIR, 1);
    for (any, address) in [("0.0.0.0:53", IpAddr::from(ipv4(2))), ("[::]:53", ipv6(2).into())] {
        let server = world.stacks[1].udp_bind(world.now, any.parse().unwrap()).unwrap();
        let own: SocketAddr = if address.is_ipv4() { at(1, 999) } else { (ipv6(1), 999).into() };
        let client = world.stacks[0].udp_bind(world.now, own).unwrap();
        let to = SocketAddr::new(address, 53);
        let send = |world: &mut World, len: usize| {
            let (stack, end) = (&mut world.stacks[0], &mut world.ends[0]);
            stack.udp_send(world.now, client, to, len, end, |data| data.fill(len.to_le_bytes()[0]))
        };
        let one_packet = if address.is_ipv4() { 1472 } else { 1452 };
        let most = if address.is_ipv4() { 65_507 } else { 65_527 };
        let lengths = [0, 1, 500, one_packet, one_packet + 1, 9000, most];
        // The first ones wait until the address is known.
        for len in &lengths[..6] {
            send(&mut world, *len).unwrap();
        }
        world.pass(Duration::from_millis(10));
        send(&mut world, most).unwrap();
        assert_eq!(send(&mut world, most + 1), Err(SendError::TooLong(most)));
        world.pass(Duration::from_millis(10));
        assert_eq!(world.stacks[1].next_event(), Some(Event::Datagram(server)));
        for len in lengths {
            let received = world.stacks[1].udp_receive(server).unwrap().unwrap();
            assert_eq!((received.from, received.to), (own, address));
            assert_eq!(*received.data, vec![len.to_le_bytes()[0]; len]);
        }
        assert_eq!(world.stacks[1].udp_receive(server), Ok(None));
        // Nobody is there any more, and a connected socket hears of it.
        world.stacks[1].udp_close(server);
        world.stacks[0].udp_connect(client, Some(to)).unwrap();
        send(&mut world, 5).unwrap();
        world.pass(Duration::from_millis(10));
        assert_eq!(world.stacks[0].next_event(), Some(Event::DatagramRefused(client, to)));
    }
}

#[test]
fn long_datagrams_are_lost_whole_or_not_at_all() {
    let mut world = World::new(FAIR, 1);
    let server = world.stacks[1].udp_bind(world.now, at(2, 53)).unwrap();
    let client = world.stacks[0].udp_bind(world.now, at(1, 53)).unwrap();
    let send = |world: &mut World, value: u8| {
        let (stack, end) = (&mut world.stacks[0], &mut world.ends[0]);
        stack.udp_send(world.now, client, at(2, 53), 9000, end, |data| data.fill(value)).unwrap();
        world.pass(Duration::from_millis(10));
    };
    let receive = |world: &mut World| world.stacks[1].udp_receive(server).unwrap();
    send(&mut world, 1);
    assert_eq!(*receive(&mut world).unwrap().data, [1; 9000]);
    // The last fragment is shorter than the others, and alone arrives.
    world.limit = Some(1000);
    send(&mut world, 2);
    assert_eq!(receive(&mut world), None);
    world.limit = None;
    send(&mut world, 3);
    assert_eq!(*receive(&mut world).unwrap().data, [3; 9000]);
    world.pass(Duration::from_secs(61));
    let counters = world.stacks[1].counters();
    assert_eq!((counters.reassembled, counters.reassembly_failed), (2, 1));
    assert_eq!(world.stacks[0].counters().fragmented, 3);
}

#[test]
fn datagrams_to_a_neighbour_that_does_not_read_wait() {
    let mut world = World::new(FAIR, 1);
    let client = world.stacks[0].udp_bind(world.now, at(1, 53)).unwrap();
    let send = |world: &mut World, len: usize| {
        let (stack, end) = (&mut world.stacks[0], &mut world.ends[0]);
        stack.udp_send(world.now, client, at(2, 53), len, end, |_| ())
    };
    send(&mut world, 1).unwrap();
    world.pass(Duration::from_millis(10));
    world.ends[0].blocked = true;
    let sent = (0..10_000).take_while(|_| send(&mut world, 100).is_ok()).count();
    assert_eq!(sent, 256);
    assert_eq!(send(&mut world, 100), Err(SendError::Full));
    assert_eq!(send(&mut world, 9000), Err(SendError::Full));
}

#[test]
fn datagrams_that_nobody_reads_are_bounded() {
    let small = Config { udp_buffer: 10_000, ..config(2) };
    let mut world = World::with(config(1), small, FAIR, 1);
    let server = world.stacks[1].udp_bind(world.now, at(2, 53)).unwrap();
    let client = world.stacks[0].udp_bind(world.now, at(1, 53)).unwrap();
    for _ in 0..100 {
        let (stack, end) = (&mut world.stacks[0], &mut world.ends[0]);
        stack.udp_send(world.now, client, at(2, 53), 1000, end, |_| ()).unwrap();
        world.pass(Duration::from_millis(1));
    }
    let mut count = 0;
    while world.stacks[1].udp_receive(server).unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 8);
    assert_eq!(world.stacks[1].counters().udp_full, 92);
}

#[test]
fn a_listener_that_ends_resets_who_was_not_accepted() {
    let mut world = World::new(FAIR, 1);
    let listener = world.listen(1, at(2, 80));
    let id = world.connect(0, at(2, 80));
    world
        .run_until(SOON, |world| world.stacks[1].next_event() == Some(Event::Acceptable(listener)));
    world.stacks[1].unlisten(world.now, listener);
    world.run_until(SOON, |world| world.stacks[0].error(id) == Some(StackError::Reset));
    assert_eq!(world.stacks[1].connection_counts(), (0, 0));
    assert_eq!(world.stacks[1].accept(listener), Err(StackError::Gone));
}
