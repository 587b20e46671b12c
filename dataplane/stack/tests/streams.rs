//! Streams between two stacks, whatever the wire does.

mod support;

use std::time::Duration;

use dataplane::offload::{Checksum, VirtioNetHeader};
use proptest::prelude::*;
use stack::ConnectionId;
use support::{Dice, FAIR, Weather, World};

/// Sends `sizes` bytes both ways and closes; checks that each side gets exactly what the other sent.
fn exchange(world: &mut World, v6: bool, sizes: [usize; 2]) {
    let (near, far) = world.pair(v6);
    let ids = [near, far];
    let mut dice = Dice(0x9e37_79b9);
    let data =
        sizes.map(|size| (0..size).map(|_| dice.next().to_le_bytes()[0]).collect::<Vec<u8>>());
    let (mut sent, mut received) = ([0; 2], [Vec::new(), Vec::new()]);
    let mut shut = [false; 2];
    let mut n = 0;
    world.run_until(Duration::from_hours(1), |world| {
        n += 1;
        if std::env::var("TRACE").is_ok() {
            for on in 0..2 {
                println!(
                    "{n} {:?} {on} sent {} recvd {} unacked {} readable {} shut {} pc {} {:?}",
                    world.now,
                    sent[on],
                    received[on].len(),
                    world.stacks[on].unacknowledged(ids[on]),
                    world.stacks[on].readable(ids[on]),
                    shut[on],
                    world.stacks[on].peer_closed(ids[on]),
                    world.stacks[on].error(ids[on])
                );
            }
        }
        for on in 0..2 {
            let rest = &data[on][sent[on]..];
            // In pieces, as programs do.
            let piece = &rest[..rest.len().min(100_000)];
            sent[on] += world.write(on, ids[on], piece);
            if sent[on] == sizes[on] && !shut[on] {
                world.stacks[on].shutdown(ids[on]).expect("open");
                shut[on] = true;
            }
            world.read(on, ids[on], &mut received[on]);
        }
        (0..2).all(|on| {
            shut[on] && received[on].len() >= sizes[1 - on] && world.stacks[on].peer_closed(ids[on])
        })
    });
    assert!(received[0] == data[1], "1 sent {}, 0 got {}", sizes[1], received[0].len());
    assert!(received[1] == data[0], "0 sent {}, 1 got {}", sizes[0], received[1].len());
    for (on, id) in ids.into_iter().enumerate() {
        assert_eq!(world.stacks[on].error(id), None);
        world.stacks[on].close(world.now, id);
    }
    world.pass(Duration::from_mins(10));
    for on in 0..2 {
        assert_eq!(world.stacks[on].connection_counts(), (0, 0), "nothing is left of it");
    }
}

/// Sends `sizes` bytes both ways between two that do not read for `pauses` after each time they did.
fn exchange_with_pauses(world: &mut World, v6: bool, sizes: [usize; 2], pauses: [Duration; 2]) {
    let ids = <[_; 2]>::from(world.pair(v6));
    let mut dice = Dice(0x9e37_79b9);
    let data =
        sizes.map(|size| (0..size).map(|_| dice.next().to_le_bytes()[0]).collect::<Vec<u8>>());
    let (mut sent, mut received) = ([0; 2], [Vec::new(), Vec::new()]);
    let mut reads_at = pauses.map(|pause| world.now + pause);
    let end = world.now + Duration::from_hours(1);
    while (0..2).any(|on| received[on].len() < sizes[1 - on]) {
        assert!(world.now < end, "{sent:?} of {sizes:?} sent");
        for on in 0..2 {
            sent[on] += world.write(on, ids[on], &data[on][sent[on]..]);
            if reads_at[on] <= world.now {
                world.read(on, ids[on], &mut received[on]);
                reads_at[on] = world.now + pauses[on];
            }
        }
        world.pass(Duration::from_millis(10));
    }
    for on in 0..2 {
        assert!(received[on] == data[1 - on], "what {on} got");
        assert_eq!(world.stacks[on].error(ids[on]), None);
    }
}

#[test]
fn a_stream_each_way() {
    for v6 in [false, true] {
        exchange(&mut World::new(FAIR, 1), v6, [3_000_000, 2_000_000]);
        exchange(&mut World::new(Weather { cut: true, ..FAIR }, 1), v6, [3_000_000, 2_000_000]);
    }
}

#[test]
fn one_whose_peer_does_not_read_still_acknowledges() {
    for v6 in [false, true] {
        let mut world = World::new(FAIR, 1);
        let (near, far) = world.pair(v6);
        world.write(0, near, &vec![1; 3_000_000]);
        // The answers to probes of the closed window look like acknowledgements that come thrice, so
        // smoltcp repeats more than the window takes.
        world.pass(Duration::from_mins(1));
        assert!(world.stacks[0].unacknowledged(near) > 0, "the window is closed");
        world.write(1, far, b"heard?");
        let mut received = Vec::new();
        world.run_until(Duration::from_mins(1), |world| {
            world.read(0, near, &mut received);
            world.stacks[1].unacknowledged(far) == 0
        });
        assert_eq!(received, b"heard?");
    }
}

#[test]
fn a_closed_window_lets_acknowledgements_in_that_are_beyond_it() {
    let mut world = World::new(FAIR, 1);
    let (near, far) = world.pair(false);
    world.write(0, near, &vec![1; 3_000_000]);
    world.write(1, far, &vec![2; 3_000_000]);
    world.pass(Duration::from_secs(10));
    // 0 reads, and nobody hears of the room.
    (world.limit, world.record) = (Some(0), true);
    world.read(0, near, &mut Vec::new());
    world.poll();
    let Some((0, mut update)) = world.seen.pop() else { panic!("0 tells of its window") };
    let seq = TCP_SEQ..TCP_SEQ + 4;
    let number = u32::from_be_bytes(update[seq.clone()].try_into().expect("four bytes"));
    // As Linux does, whose last bytes were beyond the edge of a window that shrank.
    update[seq].copy_from_slice(&number.wrapping_add(7).to_be_bytes());
    world.seen.clear();
    let checksum = Checksum::Partial { start: 34, offset: 16 };
    let offload = VirtioNetHeader { checksum, segmentation: None };
    world.stacks[1].receive(world.now, &update, offload, &mut world.ends[1]);
    world.poll();
    let sent = world.seen.iter().any(|(from, frame)| *from == 1 && frame.len() > HEADERS);
    assert!(sent, "1 goes on at once");
}

/// Where the sequence number is in a frame of IPv4, and the data, without options.
const TCP_SEQ: usize = 14 + 20 + 4;
const HEADERS: usize = 14 + 20 + 20;

/// Buffers of the stacks of these tests, in bytes.
const BUFFER: usize = 1 << 20;

/// Queues as much as the window of a peer takes that does not read. In the middle of it the peer tells the
/// rest of its window, rounded down, and so does not take the last bytes that are on their way.
fn overtake_a_shrinking_window(world: &mut World, near: ConnectionId, far: ConnectionId) {
    let data = vec![7; BUFFER];
    // So much that congestion control lets it all go at once later.
    let (mut sent, mut received) = (0, Vec::new());
    world.run_until(Duration::from_mins(1), |world| {
        sent += world.write(0, near, &data[..(8 * BUFFER - sent).min(BUFFER)]);
        world.read(1, far, &mut received);
        received.len() == 8 * BUFFER
    });
    world.pass(Duration::from_millis(10));
    let first = 200_013;
    assert_eq!(world.write(0, near, &data[..first]), first);
    world.poll();
    world.now += Duration::from_micros(10);
    assert_eq!(world.write(0, near, &data[first..]), BUFFER - first);
    world.poll();
}

#[test]
fn what_a_shrinking_window_cut_off_is_repeated_when_it_opens() {
    let mut world = World::new(FAIR, 1);
    let (near, far) = world.pair(false);
    overtake_a_shrinking_window(&mut world, near, far);
    world.pass(Duration::from_secs(10));
    let unacknowledged = world.stacks[0].unacknowledged(near);
    assert!((1..32).contains(&unacknowledged), "{unacknowledged} were cut off");
    let mut received = Vec::new();
    world.run_until(Duration::from_mins(1), |world| {
        world.read(1, far, &mut received);
        received.len() == BUFFER
    });
}

#[test]
fn the_last_bytes_of_a_stream_come_when_the_window_opens() {
    let mut world = World::new(FAIR, 1);
    let (near, far) = world.pair(false);
    world.stacks[1].shutdown(far).expect("open");
    world.run_until(Duration::from_mins(1), |world| world.stacks[0].peer_closed(near));
    overtake_a_shrinking_window(&mut world, near, far);
    world.pass(Duration::from_millis(1));
    let more = world.write(0, near, &vec![7; 150_000]);
    world.stacks[0].shutdown(near).expect("open");
    assert_eq!(world.stacks[0].writable(near), 0);
    assert_eq!(world.write(0, near, b"late"), 0, "after its end");
    world.pass(Duration::from_secs(10));
    let mut received = Vec::new();
    world.run_until(Duration::from_mins(1), |world| {
        world.read(1, far, &mut received);
        world.stacks[1].peer_closed(far)
    });
    assert_eq!(received.len(), BUFFER + more);
}

#[test]
fn large_segments_leave_whole_and_fit_the_peer_when_cut() {
    let mut world = World::new(FAIR, 1);
    world.record = true;
    exchange(&mut world, false, [1_000_000, 0]);
    let longest = world.seen.iter().map(|(_, frame)| frame.len()).max();
    assert!(longest > Some(60_000), "{longest:?}");
}

#[test]
fn both_sides_repeat_at_once_and_hear_each_other() {
    let weather = Weather { loss: 4, duplication: 4, reordering: 0, cut: false };
    exchange(&mut World::new(weather, 15_431_407_613_188_036_228), false, [133_039, 198_534]);
}

/// Endpoint 1 sees the other only behind a gateway, which is the other itself.
fn far(weather: Weather, seed: u64) -> World {
    let (mut one, two) = (support::config(1), support::config(2));
    if let (Some(ipv4), Some(ipv6)) = (&mut one.addressing.ipv4, &mut one.addressing.ipv6) {
        (ipv4.prefix, ipv4.gateway) = (32, Some(support::ipv4(2)));
        (ipv6.prefix, ipv6.gateway) = (128, Some(support::ipv6(2)));
    }
    World::with(one, two, weather, seed)
}

#[test]
fn through_a_gateway() {
    for cut in [false, true] {
        for v6 in [false, true] {
            let mut world = far(Weather { cut, ..FAIR }, 1);
            world.record = true;
            exchange(&mut world, v6, [2_000_000, 1_000_000]);
            let from_far = world.seen.iter().filter(|(from, _)| *from == 0);
            let lengths: Vec<_> = from_far.map(|(_, frame)| frame.len()).collect();
            assert!(lengths.iter().max() > Some(&20_000), "{:?}", lengths.iter().max());
            let full = lengths.iter().filter(|len| **len > 1000).count();
            assert!(full < 2_000_000 / 1500 / 4, "{full} frames, as if none were large");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn every_stream_arrives_intact(
        seed: u64,
        v6: bool,
        cut: bool,
        loss in 0..10u32,
        duplication in 0..10u32,
        reordering in 0..30u32,
        gateway: bool,
        sizes in [0..300_000usize, 0..300_000usize],
    ) {
        let weather = Weather { loss, duplication, reordering, cut };
        let world = if gateway { far } else { World::new };
        exchange(&mut world(weather, seed), v6, sizes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn windows_that_close_open_again(
        seed: u64,
        v6: bool,
        cut: bool,
        loss in 0..3u32,
        reordering in 0..5u32,
        sizes in [0..2_000_000usize, 0..2_000_000usize],
        pauses in [0..5_000u64, 0..5_000u64],
    ) {
        let weather = Weather { loss, duplication: 0, reordering, cut };
        let pauses = pauses.map(Duration::from_millis);
        exchange_with_pauses(&mut World::new(weather, seed), v6, sizes, pauses);
    }
}

#[test]
fn a_window_that_opened_unheard_is_asked_for() {
    let weather = Weather { loss: 2, duplication: 0, reordering: 3, cut: true };
    let pauses = [Duration::from_millis(1001), Duration::ZERO];
    let mut world = World::new(weather, 9_106_744_689_114_369_160);
    exchange_with_pauses(&mut world, false, [941_943, 1_048_570], pauses);
}

#[test]
fn a_fin_is_repeated_although_acknowledgements_come_thrice() {
    let weather = Weather { loss: 2, duplication: 0, reordering: 5, cut: true };
    exchange(&mut World::new(weather, 2_798_143_547_954), false, [74_381, 101_461]);
}
