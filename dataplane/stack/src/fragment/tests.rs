//! Cutting and putting together, and what spoils it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use dataplane::MacAddr;
use dataplane::offload::{Checksum, VirtioNetHeader, checksum};
use dataplane::packet::{EthernetHeader, Protocol};
use proptest::prelude::*;

use super::reassembly::{MOST_BYTES, MOST_PACKETS, PATIENCE};
use super::{Cut, Fragment, Identifications, Reassembly};
use crate::config::{Addressing, Ipv4Config, Ipv6Config};
use crate::counters::Counters;
use crate::headers::{IpInfo, headers_len, write_ethernet};
use crate::packet::{Content, Ignored, parse};

const HERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const THERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn address(v4: bool, n: u8) -> IpAddr {
    if v4 {
        Ipv4Addr::new(10, 0, 0, n).into()
    } else {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n.into()).into()
    }
}

fn addressing() -> Addressing {
    let (ipv4, ipv6) = (Ipv4Addr::new(10, 0, 0, 1), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
    Addressing {
        mac: HERE,
        ipv4: Some(Ipv4Config { address: ipv4, prefix: 24, gateway: None }),
        ipv6: Some(Ipv6Config { address: ipv6, prefix: 64, gateway: None }),
        mtu: 1500,
    }
}

/// A packet of station `n` with a protocol that has no checksum.
fn packet(v4: bool, n: u8, payload: &[u8]) -> (IpInfo, Vec<u8>) {
    let info = IpInfo { src: address(v4, n), dst: address(v4, 1), protocol: Protocol(250) };
    let mut frame = vec![0; headers_len(info.dst)];
    frame.extend_from_slice(payload);
    write_ethernet(&mut frame, HERE, THERE, info.ether_type());
    info.write(&mut frame[EthernetHeader::LEN..], None);
    (info, frame)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251).to_le_bytes()[0]).collect()
}

fn cut(v4: bool, n: u8, payload: &[u8], mtu: u16, id: u32) -> Vec<Vec<u8>> {
    let (_, frame) = packet(v4, n, payload);
    let cut = Cut::new(&frame, mtu, id);
    let write = |piece| {
        let mut out = vec![0xee; cut.frame_len(piece)];
        cut.write(piece, &mut out);
        out
    };
    cut.pieces().map(write).collect()
}

fn fragment(frame: &[u8]) -> Result<Fragment<'_>, Ignored> {
    match parse(frame, VirtioNetHeader::PLAIN, &addressing())? {
        Content::Fragment(fragment) => Ok(fragment),
        other => panic!("no fragment: {other:?}"),
    }
}

struct Bench {
    reassembly: Reassembly,
    counters: Counters,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self {
            reassembly: Reassembly::default(),
            counters: Counters::default(),
            now: Instant::now(),
        }
    }

    fn add(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let fragment = fragment(frame).expect("sound");
        let whole = self.reassembly.add(&fragment, self.now, &mut self.counters);
        let (packets, bytes) = self.reassembly.held();
        assert!(packets <= MOST_PACKETS && bytes <= MOST_BYTES);
        whole
    }

    fn payload_of(&mut self, frames: &[Vec<u8>]) -> Option<Vec<u8>> {
        let mut whole = None;
        for frame in frames {
            let done = self.add(frame);
            assert!(whole.is_none() || done.is_none(), "complete once");
            whole = whole.or(done);
        }
        let frame = whole?;
        match parse(&frame, VirtioNetHeader::PLAIN, &addressing()).expect("sound") {
            Content::Ip(packet) => Some(packet.payload().to_vec()),
            other => panic!("no packet: {other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn what_is_cut_comes_together_in_any_order(
        v4: bool,
        len in 1500_usize..=65_507,
        mtu in 1280_u16..=9000,
        id: u32,
        order: u64,
        doubled: u64,
    ) {
        let payload = bytes(len);
        let mut frames = cut(v4, 2, &payload, mtu, id);
        prop_assert_eq!(frames.len(), Cut::count(v4, len, mtu));
        for frame in &frames {
            prop_assert!(frame.len() <= EthernetHeader::LEN + usize::from(mtu));
            let sum = checksum(&frame[14..34]);
            prop_assert!(!v4 || sum == 0);
        }
        if frames.len() == 1 {
            return Ok(());
        }
        let mut dice = order | 1;
        for at in (1..frames.len()).rev() {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            frames.swap(at, (dice >> 33) as usize % (at + 1));
        }
        let last = frames.pop().expect("several");
        for at in 0..frames.len() {
            if doubled >> (at % 64) & 1 == 1 {
                frames.push(frames[at].clone());
            }
        }
        frames.push(last);
        let mut bench = Bench::new();
        prop_assert_eq!(bench.payload_of(&frames), Some(payload));
        prop_assert_eq!((bench.counters.reassembled, bench.counters.reassembly_failed), (1, 0));
        prop_assert_eq!(bench.reassembly.held(), (0, 0));
    }

    #[test]
    fn packets_of_many_come_together_side_by_side(v4: bool, count in 2_u8..20) {
        let payload = |n: u8| bytes(3000 + usize::from(n));
        let all: Vec<_> = (2..2 + count).map(|n| cut(v4, n, &payload(n), 1500, 7)).collect();
        let mut bench = Bench::new();
        for at in 0..3 {
            for (n, frames) in (2..).zip(&all) {
                let whole = bench.add(&frames[at]);
                prop_assert_eq!(whole.is_some(), at == 2);
                if let Some(frame) = whole {
                    prop_assert_eq!(&frame[headers_len(address(v4, n))..], payload(n));
                }
            }
        }
    }

    #[test]
    fn no_input_breaks_it(frames in proptest::collection::vec(
        (any::<bool>(), 2_u8..6, 0_u32..4, any::<u16>(), 0_usize..200), 0..300,
    )) {
        let mut bench = Bench::new();
        for (v4, n, id, field, len) in frames {
            let (_, whole) = packet(v4, n, &bytes(1 + len));
            let cut = Cut::new(&whole, 9000, id);
            let piece = cut.pieces().next().expect("one");
            let mut frame = vec![0; cut.frame_len(piece)];
            cut.write(piece, &mut frame);
            let at = if v4 { 20 } else { 56 };
            frame[at..at + 2].copy_from_slice(&field.to_be_bytes());
            if v4 {
                frame[24..26].fill(0);
                let sum = checksum(&frame[14..34]);
                frame[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            if let Ok(Content::Fragment(fragment)) =
                parse(&frame, VirtioNetHeader::PLAIN, &addressing())
            {
                bench.reassembly.add(&fragment, bench.now, &mut bench.counters);
                let (packets, bytes) = bench.reassembly.held();
                prop_assert!(packets <= MOST_PACKETS && bytes <= MOST_BYTES);
            }
        }
        bench.now += PATIENCE;
        bench.reassembly.expire(bench.now, &mut bench.counters);
        prop_assert_eq!(bench.reassembly.held(), (0, 0));
    }
}

/// Fragments that overlap by one unit, from two ways of cutting.
#[test]
fn overlapping_fragments_spoil_their_packet_for_good() {
    for v4 in [true, false] {
        let payload = bytes(4000);
        let frames = cut(v4, 2, &payload, 1500, 9);
        let others = cut(v4, 2, &payload, 1400, 9);
        for first in [&frames[1], &frames[2]] {
            let mut bench = Bench::new();
            assert_eq!(bench.add(first), None);
            assert_eq!(bench.add(&others[2]), None, "begins inside or before another");
            assert_eq!(bench.counters.reassembly_failed, 1);
            // Neither what was missing nor all of it helps.
            assert_eq!(bench.payload_of(&frames), None);
            assert_eq!(bench.counters.reassembly_failed, 1, "counted once");
            bench.now += PATIENCE;
            assert_eq!(
                bench.payload_of(&frames),
                Some(payload.clone()),
                "the number is free again"
            );
            assert_eq!(bench.counters.reassembly_failed, 1);
        }
    }
}

#[test]
fn fragments_that_contradict_the_end_spoil_their_packet() {
    for v4 in [true, false] {
        let long = cut(v4, 2, &bytes(4000), 1500, 9);
        let short = cut(v4, 2, &bytes(2500), 1500, 9);
        for order in [[&long[2], &short[1]], [&short[1], &long[2]], [&short[1], &long[1]]] {
            let mut bench = Bench::new();
            for frame in order {
                assert_eq!(bench.add(frame), None);
            }
            assert_eq!(bench.counters.reassembly_failed, 1);
            assert_eq!(bench.add(&long[0]), None);
        }
    }
}

#[test]
fn fragments_that_no_sound_packet_has() {
    for v4 in [true, false] {
        let [first, .., last] = &cut(v4, 2, &bytes(4000), 1500, 9)[..] else { panic!("three") };
        // An offset in the field beyond which nothing may lie.
        let mut beyond = last.clone();
        let at = if v4 { 20 } else { 56 };
        let field: u16 = if v4 { 0x1fff } else { 0xfff8 };
        beyond[at..at + 2].copy_from_slice(&field.to_be_bytes());
        // No multiple of eight, though more are said to follow.
        let mut odd = first.clone();
        odd.truncate(first.len() - 4);
        let length = u16::try_from(odd.len() - if v4 { 14 } else { 54 }).expect("short");
        let place = if v4 { 16 } else { 18 };
        odd[place..place + 2].copy_from_slice(&length.to_be_bytes());
        for mut frame in [beyond, odd] {
            if v4 {
                frame[24..26].fill(0);
                let sum = checksum(&frame[14..34]);
                frame[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            assert_eq!(fragment(&frame), Err(Ignored::Malformed));
        }
        // The sender of a fragment left nothing to be done.
        let checksum = Checksum::Partial { start: 34, offset: 6 };
        let undone = VirtioNetHeader { checksum, segmentation: None };
        assert!(matches!(parse(first, undone, &addressing()), Err(Ignored::Malformed)));
    }
}

#[test]
fn whoever_holds_the_most_gives_way() {
    let mut bench = Bench::new();
    let good = cut(true, 3, &bytes(3000), 1500, 1);
    bench.add(&good[0]);
    for id in 0..1000 {
        bench.add(&cut(true, 2, &bytes(3000), 1500, id)[0]);
    }
    assert_eq!(bench.reassembly.held().0, MOST_PACKETS);
    assert_eq!(bench.counters.reassembly_failed, 1001 - MOST_PACKETS as u64);
    bench.add(&good[1]);
    assert!(bench.add(&good[2]).is_some(), "another sender's packets are none of its business");
    // By bytes, too.
    for id in 0..200 {
        let frames = cut(true, 2, &bytes(65_000), 1500, id);
        frames[1..].iter().for_each(|frame| drop(bench.add(frame)));
    }
    assert!(bench.reassembly.held().0 < MOST_PACKETS);
}

#[test]
fn packets_are_given_up_in_time() {
    let mut bench = Bench::new();
    let frames = cut(false, 2, &bytes(3000), 1500, 1);
    bench.add(&frames[0]);
    assert_eq!(bench.reassembly.next_expiry(), Some(bench.now + PATIENCE));
    bench.now += PATIENCE.checked_sub(Duration::from_millis(1)).expect("longer");
    bench.add(&frames[1]);
    bench.now += Duration::from_millis(1);
    assert_eq!(bench.add(&frames[2]), None, "the first ones are gone");
    assert_eq!(bench.counters.reassembly_failed, 1);
}

#[test]
fn numbers_count_up_from_where_nobody_knows() {
    let (here, there) = (packet(false, 2, &[]).0, packet(true, 3, &[]).0);
    let mut numbers = Identifications::new(1);
    let first = numbers.next(here);
    assert_eq!(numbers.next(here), first.wrapping_add(1));
    assert_ne!(numbers.next(there), first.wrapping_add(2), "from another start");
    assert_ne!(Identifications::new(2).next(here), first, "with another secret");
}
