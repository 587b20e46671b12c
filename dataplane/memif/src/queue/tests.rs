//! Both ends of a link in one process, over memory that Miri understands.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;
use rustix::event::EventfdFlags;
use shm::Mapping;

use super::*;
use crate::descriptor::Descriptor;
use crate::layout::ClientLayout;
use crate::parameters::{BufferSize, RingSize};
use crate::ring::Ring;

/// One direction of a link: the sender, the receiver, the memory between them.
struct Pipe {
    tx: TxQueue,
    rx: RxQueue,
    memory: Mapping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Client,
    Server,
}

fn layout(log2: u8, buffer: u16) -> ClientLayout {
    ClientLayout {
        client_to_server: 1,
        server_to_client: 1,
        ring_size: RingSize::from_log2(log2).expect("in range"),
        buffer_size: BufferSize::new(buffer).expect("in range"),
    }
}

fn pipe(sender: Sender, layout: ClientLayout) -> Pipe {
    let memory = Mapping::heap(usize::try_from(layout.region_bytes()).expect("small"));
    let regions: Regions = Arc::from([memory.clone()]);
    let index = u32::from(sender == Sender::Server);
    let ring = || {
        let offset = usize::try_from(layout.ring_offset(index)).expect("small");
        Ring::at(&memory, offset, layout.ring_size).expect("inside")
    };
    ring().initialise();
    shm::signal::disarm(&ring().flags);
    let own = OwnBuffers {
        base: u32::try_from(layout.buffers_offset(index)).expect("small"),
        stride: u32::try_from(layout.stride()).expect("small"),
        capacity: u32::from(layout.buffer_size.bytes()),
        mask: layout.ring_size.slots() - 1,
    };
    let (tx_side, rx_side) = match sender {
        Sender::Client => (Side::Client(own), Side::Server),
        Sender::Server => (Side::Server, Side::Client(own)),
    };
    let eventfd =
        || rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("fd");
    let state = Arc::new(LinkState::new());
    let rx = RxQueue::new(ring(), rx_side, Arc::clone(&regions), eventfd(), Arc::clone(&state));
    let tx = TxQueue::new(ring(), tx_side, regions, eventfd(), state);
    Pipe { tx, rx, memory }
}

fn drain(rx: &mut RxQueue, max: usize) -> Vec<Vec<u8>> {
    let batch = rx.batch(max).expect("a well-behaved peer");
    batch.frames().map(|frame| frame.to_vec()).collect()
}

#[test]
fn frames_arrive_in_order_over_many_laps() {
    for sender in [Sender::Client, Sender::Server] {
        let mut pipe = pipe(sender, layout(3, 128));
        // More than 65,536 slots, so that the indices wrap.
        let laps = if cfg!(miri) { 20 } else { 9000 };
        let mut next = 0u32;
        for _ in 0..laps {
            for i in 0..8 {
                pipe.tx.push(&(next + i).to_le_bytes()[..]).expect("room");
            }
            assert_eq!(pipe.tx.push(&[0u8; 4][..]), Err(TxError::Full));
            pipe.tx.flush().expect("open");
            let frames = drain(&mut pipe.rx, 64);
            let expected: Vec<_> = (next..next + 8).map(|i| i.to_le_bytes().to_vec()).collect();
            assert_eq!(frames, expected);
            next += 8;
            assert!(drain(&mut pipe.rx, 64).is_empty());
        }
    }
}

#[test]
fn nothing_is_seen_before_flush() {
    let mut pipe = pipe(Sender::Client, layout(3, 128));
    pipe.tx.push(&[1u8][..]).expect("room");
    assert!(drain(&mut pipe.rx, 8).is_empty());
    pipe.tx.flush().expect("open");
    assert_eq!(drain(&mut pipe.rx, 8), [[1]]);
}

#[test]
fn long_frames_are_chained_and_short_ones_after_them_are_not() {
    for sender in [Sender::Client, Sender::Server] {
        let mut pipe = pipe(sender, layout(4, 64));
        let long: Vec<u8> = (0..=255).collect();
        for _ in 0..10 {
            pipe.tx.push(&long[..]).expect("room");
            pipe.tx.push(&[9u8; 10][..]).expect("room");
            pipe.tx.flush().expect("open");
            assert_eq!(drain(&mut pipe.rx, 1), std::slice::from_ref(&long));
            assert_eq!(drain(&mut pipe.rx, 8), [vec![9; 10]]);
            assert!(drain(&mut pipe.rx, 8).is_empty());
        }
    }
}

#[test]
fn a_frame_that_never_fits_is_refused_and_one_that_fits_later_is_full() {
    let mut pipe = pipe(Sender::Client, layout(6, 64));
    let length = 64 * MAX_SEGMENTS;
    assert_eq!(pipe.tx.push(&vec![0; length + 1][..]), Err(TxError::Length(length + 1)));
    assert_eq!(pipe.tx.push(&[][..]), Err(TxError::Length(0)));
    pipe.tx.push(&vec![0; length][..]).expect("room");
    pipe.tx.push(&vec![0; 64 * 63 - length][..]).expect("room");
    assert_eq!(pipe.tx.push(&[0; 65][..]), Err(TxError::Full));
    pipe.tx.push(&[0; 64][..]).expect("room");
}

#[test]
fn forwarding_sends_the_header_that_was_decided_on() {
    let mut input = pipe(Sender::Client, layout(4, 64));
    let mut output = pipe(Sender::Server, layout(4, 128));
    let sent: Vec<u8> = (0..200).collect();
    input.tx.push(&sent[..]).expect("room");
    input.tx.flush().expect("open");
    let batch = input.rx.batch(8).expect("open");
    let frame = batch.frames().next().expect("one frame");
    let (header, length) = frame.header::<18>();
    assert_eq!((&header[..], length), (&sent[..18], 18));
    // The sender changes the bytes after the decision was made.
    for offset in 0..input.memory.len() - 4 {
        if input.memory.read_array::<4>(offset) == Ok([0, 1, 2, 3]) {
            input.memory.write(offset, &[0xff; 18]).expect("inside");
        }
    }
    output.tx.forward(&header, &frame).expect("room");
    output.tx.flush().expect("open");
    assert_eq!(drain(&mut output.rx, 8), [sent]);
}

#[test]
fn a_closed_link_says_so() {
    let mut pipe = pipe(Sender::Client, layout(3, 64));
    pipe.tx.state().close();
    assert_eq!(pipe.rx.batch(4).err(), Some(RingFault::Disconnected));
    assert_eq!(pipe.rx.arm(), Err(RingFault::Disconnected));
    pipe.tx.push(&[1u8][..]).expect("memory is still there");
    assert_eq!(pipe.tx.flush(), Err(RingFault::Disconnected));
}

#[test]
fn arming_sees_frames_that_wait() {
    let mut pipe = pipe(Sender::Client, layout(3, 64));
    assert_eq!(pipe.rx.arm(), Ok(Armed::Sleep));
    pipe.rx.disarm();
    pipe.tx.push(&[1u8][..]).expect("room");
    pipe.tx.flush().expect("open");
    assert_eq!(pipe.tx.kicks(), 0);
    assert_eq!(pipe.rx.arm(), Ok(Armed::Ready));
}

#[test]
fn descriptors_that_lie_are_faults() {
    let cases = [
        (Descriptor { chained: false, region: 1, length: 10, offset: 0 }, RingFault::BadRegion(1)),
        (
            Descriptor { chained: false, region: 0, length: u32::MAX, offset: u32::MAX },
            RingFault::OutOfRegion { offset: u32::MAX, length: u32::MAX },
        ),
        (
            Descriptor { chained: false, region: 0, length: 0, offset: 0 },
            RingFault::EmptyDescriptor,
        ),
    ];
    for (lie, fault) in cases {
        let mut pipe = pipe(Sender::Client, layout(3, 64));
        pipe.tx.push(&[7u8; 20][..]).expect("room");
        pipe.tx.push(&[7u8; 20][..]).expect("room");
        pipe.tx.flush().expect("open");
        raw_ring(&pipe, 0).cells.store(1, lie.encode());
        assert_eq!(drain(&mut pipe.rx, 8), [[7; 20]], "the frame before the lie is delivered");
        assert_eq!(pipe.rx.batch(8).err(), Some(fault));
    }
}

#[test]
fn a_server_that_claims_too_long_a_frame_is_found_out() {
    let mut pipe = pipe(Sender::Server, layout(3, 64));
    pipe.tx.push(&[7u8; 20][..]).expect("room");
    pipe.tx.flush().expect("open");
    let lie = Descriptor { chained: false, region: 0, length: 65, offset: 0 };
    raw_ring(&pipe, 1).cells.store(0, lie.encode());
    assert_eq!(pipe.rx.batch(8).err(), Some(RingFault::Oversize { length: 65, capacity: 64 }));
}

#[test]
fn a_buffer_outside_the_region_is_not_written() {
    let mut pipe = pipe(Sender::Server, layout(3, 64));
    let lie = Descriptor { chained: false, region: 0, length: 64, offset: u32::MAX - 10 };
    raw_ring(&pipe, 1).cells.store(0, lie.encode());
    let fault = RingFault::OutOfRegion { offset: u32::MAX - 10, length: 64 };
    assert_eq!(pipe.tx.push(&[1u8; 8][..]), Err(TxError::Fault(fault)));
}

/// As VPP sends what a kernel gave it to be cut.
#[test]
fn the_longest_packet_arrives_in_buffers_of_2048_bytes() {
    let mut pipe = pipe(Sender::Client, layout(10, 2048));
    let longest: Vec<u8> = (0..=250).cycle().take(65_535 + 18).collect();
    for _ in 0..40 {
        pipe.tx.push(&longest[..]).expect("room");
        pipe.tx.flush().expect("open");
        assert_eq!(drain(&mut pipe.rx, 8), std::slice::from_ref(&longest));
    }
}

#[test]
fn chains_that_are_too_long_are_faults() {
    let mut pipe = pipe(Sender::Client, layout(6, 64));
    let ring = raw_ring_of(&pipe, 0, layout(6, 64));
    for slot in 0..64 {
        let chained = usize::from(slot) < MAX_SEGMENTS;
        ring.cells.store(slot, Descriptor { chained, region: 0, length: 8, offset: 0 }.encode());
    }
    ring.head.store_release(40);
    assert_eq!(pipe.rx.batch(8).err(), Some(RingFault::LongChain));
}

#[test]
fn an_empty_buffer_that_changes_after_it_was_loaded_is_used_as_it_was() {
    let mut pipe = pipe(Sender::Server, layout(3, 64));
    let ring = raw_ring(&pipe, 1);
    pipe.tx.push(&[1u8; 8][..]).expect("room");
    let lie = Descriptor { chained: false, region: 9, length: 64, offset: u32::MAX - 10 };
    for slot in 1..8 {
        ring.cells.store(slot, lie.encode());
    }
    for number in 2..=4_u8 {
        pipe.tx.push(&[number; 8][..]).expect("loaded together with the first");
    }
    let fault = TxError::Fault(RingFault::BadRegion(9));
    assert_eq!(pipe.tx.push(&[5u8; 8][..]), Err(fault));
    pipe.tx.flush().expect("open");
    assert_eq!(drain(&mut pipe.rx, 8), [[1; 8], [2; 8], [3; 8], [4; 8]]);
}

#[test]
fn a_buffer_that_is_not_posted_yet_is_not_loaded() {
    let mut pipe = pipe(Sender::Server, layout(3, 64));
    let ring = raw_ring(&pipe, 1);
    let posted = |slot: u16| ring.cells.load(slot);
    let buffers: Vec<_> = (0..8).map(posted).collect();
    for slot in 2..8 {
        ring.cells.store(slot, [0, 0]);
    }
    ring.head.store_release(2);
    for number in 1..=2_u8 {
        pipe.tx.push(&[number; 8][..]).expect("room");
    }
    assert_eq!(pipe.tx.push(&[3u8; 8][..]), Err(TxError::Full));
    for slot in 2..8_u16 {
        ring.cells.store(slot, buffers[usize::from(slot)]);
    }
    ring.head.store_release(8);
    for number in 3..=8_u8 {
        pipe.tx.push(&[number; 8][..]).expect("room by now");
    }
    pipe.tx.flush().expect("open");
    let expected: Vec<Vec<u8>> = (1..=8_u8).map(|number| vec![number; 8]).collect();
    assert_eq!(drain(&mut pipe.rx, 8), expected);
}

#[test]
fn chains_without_an_end_are_faults() {
    let mut pipe = pipe(Sender::Client, layout(3, 64));
    let ring = raw_ring(&pipe, 0);
    for slot in 0..8 {
        let part = Descriptor { chained: true, region: 0, length: 8, offset: 0 };
        ring.cells.store(slot, part.encode());
    }
    ring.head.store_release(3);
    assert!(drain(&mut pipe.rx, 8).is_empty(), "a frame that is not complete waits");
    ring.head.store_release(8);
    assert_eq!(pipe.rx.batch(8).err(), Some(RingFault::EndlessChain));
}

/// DPDK 22.11 as a client sets the flag for a long frame and leaves it set: the short frames of the
/// next lap were glued together.
#[test]
fn flags_of_a_long_frame_do_not_outlive_it() {
    let mut pipe = pipe(Sender::Client, layout(3, 64));
    pipe.tx.push(&[1; 300][..]).expect("room");
    pipe.tx.flush().expect("open");
    assert_eq!(drain(&mut pipe.rx, 8), [[1; 300]]);
    let ring = raw_ring(&pipe, 0);
    for slot in 0..8 {
        let left = Descriptor::decode(ring.cells.load(slot));
        assert!(!left.chained, "slot {slot}: {left:?}");
    }
}

fn raw_ring(pipe: &Pipe, index: u32) -> Ring {
    raw_ring_of(pipe, index, layout(3, 64))
}

fn raw_ring_of(pipe: &Pipe, index: u32, layout: ClientLayout) -> Ring {
    let offset = usize::try_from(layout.ring_offset(index)).expect("small");
    Ring::at(&pipe.memory, offset, layout.ring_size).expect("inside")
}

#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Flush,
    Take(usize),
    Arm,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1usize..300).prop_map(Step::Push),
        2 => Just(Step::Flush),
        3 => (1usize..40).prop_map(Step::Take),
        1 => Just(Step::Arm),
    ]
}

fn config() -> ProptestConfig {
    let cases = if cfg!(miri) { 4 } else { 256 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Whatever the order of operations, what was flushed arrives once, whole and in order.
    #[test]
    fn a_pipe_is_a_queue(
        sender in prop_oneof![Just(Sender::Client), Just(Sender::Server)],
        log2 in 1u8..6,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut pipe = pipe(sender, layout(log2, 64));
        let (mut pushed, mut flushed) = (VecDeque::new(), VecDeque::new());
        let mut number = 0u8;
        for step in steps {
            match step {
                Step::Push(length) => {
                    number = number.wrapping_add(1);
                    if pipe.tx.push(&vec![number; length][..]).is_ok() {
                        pushed.push_back(vec![number; length]);
                    }
                }
                Step::Flush => {
                    pipe.tx.flush().expect("open");
                    flushed.append(&mut pushed);
                }
                Step::Take(max) => {
                    let frames = drain(&mut pipe.rx, max);
                    prop_assert!(!frames.is_empty() || flushed.is_empty());
                    for frame in frames {
                        prop_assert_eq!(Some(frame), flushed.pop_front());
                    }
                }
                Step::Arm => {
                    let sleep = pipe.rx.arm().expect("open") == Armed::Sleep;
                    prop_assert_eq!(sleep, flushed.is_empty());
                    pipe.rx.disarm();
                }
            }
        }
    }

    /// A peer that writes anything anywhere gets faults, never a panic or a frame outside the region.
    #[test]
    fn scribbling_is_survived(
        sender in prop_oneof![Just(Sender::Client), Just(Sender::Server)],
        steps in prop::collection::vec((step(), 0usize..420, any::<u16>(), any::<u64>()), 1..100),
    ) {
        let mut pipe = pipe(sender, layout(3, 64));
        for (step, at, small, big) in steps {
            match step {
                Step::Push(length) => { let _ = pipe.tx.push(&vec![1; length][..]); }
                Step::Flush => {
                    if cfg!(miri) {
                        // Miri has no ppoll, so the sender must find that nobody sleeps.
                        shm::signal::disarm(&raw_ring(&pipe, u32::from(sender == Sender::Server)).flags);
                    }
                    let _ = pipe.tx.flush();
                }
                Step::Arm => { let _ = pipe.rx.arm(); }
                Step::Take(max) => if let Ok(batch) = pipe.rx.batch(max) {
                    for frame in batch.frames() {
                        prop_assert!(frame.len() <= MAX_SEGMENTS * pipe.memory.len());
                        let (_, seen) = frame.header::<64>();
                        prop_assert_eq!(seen, frame.len().min(64));
                    }
                }
            }
            // Small values now and then, since they pass more checks.
            let value = if big & 1 == 0 { u64::from(small) } else { big };
            let _ = pipe.memory.write(at, &value.to_le_bytes()[..if small & 1 == 0 { 2 } else { 8 }]);
        }
    }
}
