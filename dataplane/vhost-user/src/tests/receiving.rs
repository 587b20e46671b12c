//! Frames from the front end, in every form that a buffer may have.

use proptest::prelude::*;

use super::driver::{INDIRECT, NEXT, descriptor};
use super::*;

#[test]
fn frames_arrive_in_order_and_their_buffers_come_back() {
    for named in [false, true] {
        let mut machine = Machine::new();
        // Indices wrap on the way.
        machine.driver.begin_at(u16::MAX - 100);
        let mut rx = machine.rx(features(named));
        let laps = if cfg!(miri) { 10 } else { 40 };
        for lap in 0..laps {
            let frames: Vec<_> = (0..SIZE).map(|n| vec![lap; 14 + usize::from(n)]).collect();
            for (index, frame) in (0..).zip(&frames) {
                machine.send(index, frame);
            }
            assert_eq!(drain(&mut rx, 10), frames[..10]);
            assert_eq!(drain(&mut rx, 64), frames[10..]);
            assert!(drain(&mut rx, 64).is_empty());
            for index in 0..u32::from(SIZE) {
                assert_eq!(machine.driver.take_used(), Some((index, 0)));
            }
            assert_eq!(machine.driver.take_used(), None);
        }
    }
}

#[test]
fn buffers_stay_the_agents_until_the_batch_is_dropped() {
    let mut machine = Machine::new();
    let mut rx = machine.rx(features(true));
    machine.send(3, &[7; 60]);
    let batch = rx.batch(8).expect("open");
    assert_eq!(machine.driver.used_index(), 0);
    drop(batch);
    assert_eq!(machine.driver.take_used(), Some((3, 0)));
}

#[test]
fn a_queue_goes_on_where_the_one_before_it_stopped() {
    let mut machine = Machine::new();
    let mut rx = machine.rx(features(true));
    machine.send(0, &[1; 60]);
    assert_eq!(drain(&mut rx, 8).len(), 1);
    // This one is taken and not given back, as by a process that dies.
    machine.send(1, &[2; 61]);
    std::mem::forget(rx.batch(8).expect("open"));
    machine.send(2, &[3; 62]);
    let mut next = machine.rx(features(true));
    assert_eq!(drain(&mut next, 8), [vec![2; 61], vec![3; 62]]);
}

#[test]
fn the_front_end_is_woken_when_and_only_when_it_wants_that() {
    let mut machine = Machine::new();
    let mut rx = machine.rx(features(false));
    for (wanted, calls) in [(false, 0), (true, 1)] {
        machine.driver.want_calls(wanted);
        machine.send(0, &[1; 60]);
        drain(&mut rx, 8);
        assert_eq!(rx.calls(), calls);
    }
    let mut machine = Machine::new();
    let mut rx = machine.rx(features(true));
    machine.driver.want_call_at(2);
    for calls in [0, 0, 1, 1] {
        machine.send(0, &[1; 60]);
        drain(&mut rx, 8);
        assert_eq!(rx.calls(), calls);
    }
}

#[test]
fn arming_asks_for_kicks_and_sees_frames_that_wait() {
    for named in [false, true] {
        let mut machine = Machine::new();
        let mut rx = machine.rx(features(named));
        rx.disarm();
        if named {
            assert_ne!(machine.driver.kick_wanted_at(), 0, "behind");
        } else {
            assert!(!machine.driver.kicks_wanted());
        }
        assert_eq!(rx.arm(), Ok(true));
        if named {
            assert_eq!(machine.driver.kick_wanted_at(), 0, "the next one");
        } else {
            assert!(machine.driver.kicks_wanted());
        }
        machine.send(0, &[1; 60]);
        assert_eq!(rx.arm(), Ok(false));
        rx.state().close();
        assert!(rx.arm().is_err());
    }
}

#[test]
fn a_frame_goes_over_the_border_of_two_regions() {
    let (low, high) = (Mapping::heap(0x8000), Mapping::heap(0x4000));
    let parts = [(low.clone(), GUEST, USER), (high.clone(), GUEST + 0x8000, USER + 0x10_0000)];
    let mut machine = Machine {
        table: Arc::new(MemoryTable::of_several(&parts)),
        driver: Driver::new(&low, 0x1000, SIZE),
        memory: low.clone(),
    };
    let mut rx = machine.rx(features(true));
    let bytes: Vec<u8> = (0..=255).collect();
    low.write(0x8000 - 100, &bytes[..100]).expect("inside");
    high.write(0, &bytes[100..]).expect("inside");
    machine.driver.describe(0, GUEST + 0x8000 - 100, 256, 0, 0);
    machine.driver.offer(0);
    assert_eq!(drain(&mut rx, 8), [&bytes[HEADER_LEN..]]);
}

/// Offers `bytes` in pieces of the given lengths, in the ring's own table or in one of their own.
fn offer_in_pieces(machine: &mut Machine, bytes: &[u8], cuts: &[usize], indirect: bool) {
    let mut pieces = Vec::new();
    let mut left = bytes;
    for &cut in cuts {
        let (piece, rest) = left.split_at(cut.min(left.len()));
        pieces.push(piece);
        left = rest;
    }
    pieces.push(left);
    let mut table = Vec::new();
    for (index, piece) in (0u16..).zip(&pieces) {
        let address = machine.put(u64::from(index) * 0x2000, piece);
        let last = usize::from(index) + 1 == pieces.len();
        let (flags, next) = if last { (0, 0) } else { (NEXT, index + 1) };
        if indirect {
            table.extend(descriptor(address, length(piece), flags, next));
        } else {
            machine.driver.describe(index, address, length(piece), flags, next);
        }
    }
    if indirect {
        let address = machine.put(0x4_0000, &table);
        machine.driver.describe(9, address, length(&table), INDIRECT, 0);
    }
    machine.driver.offer(if indirect { 9 } else { 0 });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_arrives_whole_however_it_is_cut(
        frame_len in 0usize..5000,
        cuts in prop::collection::vec(0usize..2000, 0..9),
        indirect: bool,
        room in 0usize..6000,
    ) {
        let mut machine = Machine::new();
        let mut rx = machine.rx(features(true));
        let header: Vec<u8> = (100..112).collect();
        let frame: Vec<u8> = (0..=255).cycle().take(frame_len).collect();
        offer_in_pieces(&mut machine, &[&header[..], &frame].concat(), &cuts, indirect);
        let batch = rx.batch(8).expect("well-behaved");
        let seen = batch.frames().next().expect("one frame");
        prop_assert_eq!(&seen.header()[..], &header[..]);
        prop_assert_eq!(seen.len(), frame.len());
        prop_assert_eq!(seen.to_vec(), frame.clone());
        let mut out = vec![0; room];
        let copied = seen.copy_to(&mut out);
        prop_assert_eq!(copied, room.min(frame.len()));
        prop_assert_eq!(&out[..copied], &frame[..copied]);
        let (skip, target) = (room.min(frame.len()), Mapping::heap(8192));
        shm::Payload::copy_part(&seen, skip, &target, 5, frame.len() - skip);
        let mut part = vec![0; frame.len() - skip];
        target.read(5, &mut part).expect("inside");
        prop_assert_eq!(part, &frame[skip..]);
    }
}
