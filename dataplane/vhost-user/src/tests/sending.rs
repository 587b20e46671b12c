//! Frames to the front end.

use proptest::prelude::*;

use super::driver::{NEXT, WRITE};
use super::*;
use crate::TxError;

const HEADER: [u8; HEADER_LEN] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0];

impl Machine {
    /// Offers an empty buffer of `length` bytes.
    fn post(&mut self, index: u16, length: u32) {
        let address = GUEST + BUFFERS + u64::from(index) * 0x4000;
        self.driver.describe(index, address, length, WRITE, 0);
        self.driver.offer(index);
    }

    /// Reads what came into the buffers that `post` offers: header and frame.
    fn received(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut bytes = Vec::new();
        let mut buffers = 1;
        while buffers > 0 {
            let (index, length) = self.driver.take_used()?;
            let address = GUEST + BUFFERS + u64::from(index) * 0x4000;
            let first = bytes.is_empty();
            bytes.extend(self.get(address, length as usize));
            if first {
                buffers = u16::from_le_bytes([bytes[10], bytes[11]]);
            }
            buffers -= 1;
        }
        let frame = bytes.split_off(HEADER_LEN);
        Some((bytes, frame))
    }
}

#[test]
fn frames_arrive_in_order_behind_their_headers() {
    for named in [false, true] {
        let mut machine = Machine::new();
        machine.driver.begin_at(u16::MAX - 20);
        let mut tx = machine.tx(features(named));
        for lap in 0..6u8 {
            for index in 0..SIZE {
                machine.post(index, 2048);
            }
            for n in 0..SIZE {
                tx.push(&HEADER, &vec![lap; 60 + usize::from(n)][..]).expect("room");
            }
            assert_eq!(tx.push(&HEADER, &[0; 60][..]), Err(TxError::Full));
            assert_eq!(machine.received(), None, "nothing is seen before it is flushed");
            tx.flush().expect("open");
            for n in 0..SIZE {
                let (header, frame) = machine.received().expect("came");
                assert_eq!(header, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 0]);
                assert_eq!(frame, vec![lap; 60 + usize::from(n)]);
            }
        }
    }
}

#[test]
fn a_long_frame_takes_several_buffers_which_are_published_at_once() {
    let mut machine = Machine::new();
    let mut tx = machine.tx(features(true));
    for index in 0..4 {
        machine.post(index, 100);
    }
    let frame: Vec<u8> = (0..=255).collect();
    assert_eq!(tx.push(&HEADER, &[&frame[..], &frame].concat()[..]), Err(TxError::Full));
    tx.push(&HEADER, &frame[..]).expect("three buffers");
    assert_eq!(machine.driver.used_index(), 0);
    tx.flush().expect("open");
    assert_eq!(machine.driver.used_index(), 3);
    let (header, seen) = machine.received().expect("came");
    assert_eq!(header[10..], [3, 0]);
    assert_eq!(seen, frame);
    // The fourth is still there.
    tx.push(&HEADER, &frame[..80]).expect("one buffer");
    tx.flush().expect("open");
    assert_eq!(machine.received().expect("came").1, &frame[..80]);
}

#[test]
fn without_merged_buffers_a_frame_fits_into_one_or_is_refused() {
    let mut machine = Machine::new();
    let mut tx = machine.tx(unmerged());
    machine.post(0, 100);
    machine.post(1, 100);
    assert_eq!(tx.push(&HEADER, &[9; 89][..]), Err(TxError::Length(89)));
    tx.push(&HEADER, &[9; 88][..]).expect("fits exactly");
    tx.flush().expect("open");
    assert_eq!(machine.received().expect("came").1, [9; 88]);
}

#[test]
fn a_frame_that_never_fits_is_refused_and_takes_nothing() {
    let mut machine = Machine::new();
    let mut tx = machine.tx(features(true));
    for index in 0..SIZE {
        machine.post(index, 20);
    }
    assert_eq!(tx.push(&HEADER, &[9; 400][..]), Err(TxError::Length(400)));
    tx.push(&HEADER, &[9; 300][..]).expect("fits");
}

#[test]
fn the_front_end_is_woken_once_for_a_batch() {
    let mut machine = Machine::new();
    let mut tx = machine.tx(features(true));
    machine.driver.want_call_at(1);
    for index in 0..8 {
        machine.post(index, 2048);
    }
    for _ in 0..4 {
        tx.push(&HEADER, &[9; 60][..]).expect("room");
    }
    tx.flush().expect("open");
    assert_eq!(tx.calls(), 1);
    tx.push(&HEADER, &[9; 60][..]).expect("room");
    tx.flush().expect("open");
    assert_eq!(tx.calls(), 1, "it asked for one");
    tx.flush().expect("open");
}

#[test]
fn the_eventfd_of_the_front_end_is_written() {
    let mut machine = Machine::new();
    let theirs = eventfd();
    let state = Arc::new(LinkState::new(None));
    let call = Some(theirs.try_clone().expect("fd"));
    let features = features(false);
    let ring = machine.ring(features);
    let mut tx = TxQueue::new(ring, Arc::clone(&machine.table), features, call, state);
    machine.post(0, 2048);
    tx.push(&HEADER, &[9; 60][..]).expect("room");
    assert!(!rang(&theirs));
    tx.flush().expect("open");
    assert!(rang(&theirs));
}

#[test]
fn kicks_are_not_wanted_for_new_buffers() {
    let machine = Machine::new();
    let _tx = machine.tx(features(false));
    assert!(!machine.driver.kicks_wanted());
}

#[test]
fn an_old_driver_gets_the_short_header() {
    let mut machine = Machine::new();
    let mut tx = machine.tx(Features(0));
    machine.post(0, 2048);
    tx.push(&HEADER, &[9; 60][..]).expect("room");
    tx.flush().expect("open");
    assert_eq!(machine.driver.take_used(), Some((0, 70)));
    let bytes = machine.get(GUEST + BUFFERS, 70);
    assert_eq!((&bytes[..10], &bytes[10..]), (&HEADER[..10], &[9; 60][..]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_arrives_whole_whatever_the_buffers_are(
        frame_len in 1usize..4000,
        // Each buffer is a chain of two descriptors.
        buffers in prop::collection::vec((0u32..300, 12u32..1500), 1..8),
    ) {
        let mut machine = Machine::new();
        let mut tx = machine.tx(features(true));
        let mut room = 0;
        for (n, &(first, second)) in (0u16..).zip(&buffers) {
            let address = GUEST + BUFFERS + u64::from(n) * 0x4000;
            machine.driver.describe(2 * n, address, first, NEXT | WRITE, 2 * n + 1);
            machine.driver.describe(2 * n + 1, address + u64::from(first), second, WRITE, 0);
            machine.driver.offer(2 * n);
            room += (first + second) as usize;
        }
        let frame: Vec<u8> = (0..=255).cycle().take(frame_len).collect();
        let pushed = tx.push(&HEADER, &frame[..]);
        prop_assert_eq!(pushed.is_ok(), frame_len + HEADER_LEN <= room, "{:?}", pushed);
        tx.flush().expect("open");
        let mut bytes = Vec::new();
        let mut count = 0u16;
        while let Some((head, length)) = machine.driver.take_used() {
            bytes.extend(machine.get(GUEST + BUFFERS + u64::from(head / 2) * 0x4000, length as usize));
            count += 1;
        }
        if pushed.is_ok() {
            prop_assert_eq!(&bytes[..10], &HEADER[..10]);
            prop_assert_eq!(&bytes[10..12], &count.to_le_bytes());
            prop_assert_eq!(&bytes[12..], &frame[..]);
        } else {
            prop_assert_eq!(count, 0);
        }
    }
}
