//! Properties of streams, datagrams and messages.
#![allow(clippy::cast_possible_truncation)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use shm::Mapping;

use crate::layout::{HEADER_BYTES, Place, RingSize, Side, glance, initialise};
use crate::wire::{Malformed, Protocol, Refusal, Reply, Request, Reuse, SessionInfo, Transport};
use crate::{Broken, Closed, Local, Room, Stream, datagram};

const SIZE: u32 = 4096;

struct Pair {
    memory: Mapping,
    first: Local,
    second: Local,
    size: RingSize,
}

impl Pair {
    fn new() -> Self {
        let size = RingSize::new(SIZE).expect("a valid size");
        let memory = Mapping::heap(size.memory_bytes());
        initialise(&memory, size).expect("fits");
        Self { memory, first: Local::new(), second: Local::new(), size }
    }

    fn side(&self, side: Side) -> Stream<'_> {
        let local = if side == Side::First { &self.first } else { &self.second };
        Stream::new(&self.memory, local, side, self.size).expect("long enough")
    }
}

/// Whether there was room.
fn send_datagram(stream: &Stream<'_>, parts: &[&[u8]]) -> bool {
    let length = parts.iter().map(|part| part.len()).sum();
    let Some(mut slot) = datagram::Slot::reserve(stream, length).expect("sound") else {
        return false;
    };
    for part in parts {
        slot.put(part).expect("sound");
    }
    slot.publish().expect("sound");
    true
}

#[test]
fn one_side_tells_the_other_how_long_packets_may_be() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    assert_eq!((a.told_mtu(), b.told_mtu()), (None, None));
    let mtu = datagram::Mtu { path: 1280, own: u16::MAX };
    b.tell_mtu(mtu);
    assert_eq!((a.told_mtu(), b.told_mtu()), (Some(mtu), None));
    b.tell_mtu(datagram::Mtu { path: 0, own: 1500 });
    assert_eq!(a.told_mtu(), None);
    // What is around it stays.
    assert_eq!((a.readable(), a.peer_ended()), (Ok(0), false));
}

#[test]
fn an_armed_reader_is_woken_once_and_a_polling_one_never() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    assert!(!a.write(b"one").expect("sound").wake);
    let seen = b.seen().expect("sound");
    assert!(b.arm_reader(seen).expect("sound"));
    assert!(a.write(b"two").expect("sound").wake);
    assert!(!a.write(b"three").expect("sound").wake);
    assert!(!b.arm_reader(seen).expect("sound"), "there is news");
    let mut out = [0; 16];
    assert_eq!(b.read(&mut out).expect("sound").bytes, 11);
    assert_eq!(&out[..11], b"onetwothree");
}

#[test]
fn a_full_ring_puts_the_writer_to_sleep_until_a_third_is_free() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    assert_eq!(a.write(&[7; 5000]).expect("sound").bytes, SIZE as usize);
    assert!(a.arm_writer(Room::Any).expect("sound"));
    assert!(a.note_filled().expect("sound") && a.is_filled().expect("sound"));
    let mut out = vec![0; 1000];
    assert!(!b.read(&mut out).expect("sound").wake);
    assert!(b.must_keep_tokens(), "the writer counts on them");
    assert!(!a.arm_writer(Room::Any).expect("sound"), "there is room for a byte");
    assert!(a.is_filled().expect("sound"), "others may sleep");
    assert!(b.read(&mut out).expect("sound").wake);
    assert!(!b.must_keep_tokens());
    assert!(!a.writer_is_armed().expect("sound") && !a.note_filled().expect("sound"));
    assert!(!a.arm_writer(Room::Any).expect("sound"), "there is room");
}

#[test]
fn poll_calls_writable_what_linux_calls_so() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    let size = SIZE as usize;
    // Free is at least half of what is used: up to two thirds, and one byte for rounding.
    let most = size - size / 3;
    let _ = a.write(&vec![1; most]).expect("sound");
    assert!(a.is_roomy().expect("sound"));
    assert!(!a.arm_writer(Room::Ample).expect("sound"));
    let _ = a.write(&[1; 2]).expect("sound");
    assert!(!a.is_roomy().expect("sound"));
    assert!(a.arm_writer(Room::Ample).expect("sound"), "a poll sleeps");
    assert!(a.note_filled().expect("sound"));
    assert!(b.must_keep_tokens());
    assert!(b.read(&mut [0; 2]).expect("sound").wake);
    assert!(a.is_roomy().expect("sound"));
}

/// An arming that found room leaves the mark without tokens: whoever sleeps next has to send them.
#[test]
fn tokens_are_taken_for_sent_only_when_they_were() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    assert!(!a.arm_writer(Room::Ample).expect("sound"));
    while a.write(&[0; 1024]).expect("sound").bytes > 0 {}
    assert!(a.writer_is_armed().expect("sound") && !a.is_filled().expect("sound"));
    assert!(a.arm_writer(Room::Ample).expect("sound"));
    assert!(a.note_filled().expect("sound") && a.is_filled().expect("sound"));
    a.note_drained();
    assert!(a.writer_is_armed().expect("sound") && !a.is_filled().expect("sound"));
    assert!(b.read(&mut vec![0; SIZE as usize]).expect("sound").wake);
}

#[test]
fn a_will_is_the_peers_to_read_and_can_be_taken_back() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    a.set_will_to_reset(true);
    assert!(b.peer_wills_reset() && !a.peer_wills_reset());
    assert_eq!(b.peer_closed(), None, "nobody is gone yet");
    a.set_will_to_reset(false);
    assert!(!b.peer_wills_reset());
}

#[test]
fn who_left_is_seen_until_somebody_stays() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    a.leave();
    assert!(b.peer_left() && !a.peer_left() && !b.peer_ended());
    a.stay();
    assert!(!b.peer_left());
}

#[test]
fn another_process_of_a_side_goes_on_where_the_first_stopped() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    let other = Local::new();
    let _ = a.write(b"for the first ").expect("sound");
    let mut out = [0; 64];
    assert_eq!(b.read(&mut out[..14]).expect("sound").bytes, 14);
    let _ = a.write(b"for the other").expect("sound");
    let second = Stream::new(&pair.memory, &other, Side::Second, pair.size).expect("long enough");
    second.adopt_positions().expect("sound");
    assert_eq!(second.read(&mut out).expect("sound").bytes, 13);
    assert_eq!(&out[..13], b"for the other");
    let _ = second.write(b"one").expect("sound");
    b.follow_reader();
    b.follow_writer();
    assert_eq!(b.readable(), Ok(0));
    let _ = b.write(b"two").expect("sound");
    assert_eq!(a.read(&mut out).expect("sound").bytes, 6);
    assert_eq!(&out[..6], b"onetwo");
}

#[test]
fn endings_are_seen_after_the_bytes() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    let _ = a.write(b"bye").expect("sound");
    a.end();
    assert!(b.peer_ended());
    assert_eq!(b.readable(), Ok(3));
    assert!(!b.arm_reader(b.seen().expect("sound")).expect("sound"));
    assert_eq!(b.peer_closed(), None);
    a.close(Closed::Reset);
    assert_eq!(b.peer_closed(), Some(Closed::Reset));
}

#[test]
fn a_reset_is_no_end() {
    for (how, ends) in [(Closed::Orderly, true), (Closed::Reset, false)] {
        let pair = Pair::new();
        let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
        a.close(how);
        assert_eq!((b.peer_ended(), b.peer_closed()), (ends, Some(how)));
    }
}

/// A peer that says that it is gone, and is not, would otherwise be asked again and again.
#[test]
fn a_claim_to_be_gone_keeps_nobody_from_sleeping() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    a.word32(a.into.closed()).expect("inside").store(1, Ordering::Release);
    assert_eq!(b.peer_closed(), Some(Closed::Orderly));
    assert!(b.arm_reader(b.seen().expect("sound")).expect("sound"));
    while b.write(&[0; 1024]).expect("sound").bytes > 0 {}
    assert!(b.arm_writer(Room::Any).expect("sound"));
}

#[test]
fn positions_that_cannot_be_break_the_session_and_nothing_else() {
    let pair = Pair::new();
    let a = pair.side(Side::First);
    let _ = a.write(b"x").expect("sound");
    pair.memory.write(0x100 + 64, &77u64.to_ne_bytes()).expect("fits");
    assert_eq!(a.writable(), Err(Broken));
    pair.memory.write(0x400, &(u64::from(SIZE) + 1).to_ne_bytes()).expect("fits");
    assert_eq!(a.readable(), Err(Broken));
    assert_eq!(a.read(&mut [0; 8]), Err(Broken));
}

#[test]
fn a_process_without_its_own_positions_takes_them_from_memory() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    let _ = a.write(b"hello world").expect("sound");
    let _ = b.write(b"reply").expect("sound");
    let _ = b.read(&mut [0; 6]).expect("sound");
    let fresh = Local::new();
    let again = Stream::new(&pair.memory, &fresh, Side::Second, pair.size).expect("fits");
    again.adopt_positions().expect("sound");
    let mut out = [0; 16];
    assert_eq!(again.read(&mut out).expect("sound").bytes, 5);
    assert_eq!(&out[..5], b"world");
    let _ = again.write(b"!").expect("sound");
    assert_eq!(a.read(&mut out).expect("sound").bytes, 6);
    assert_eq!(&out[..6], b"reply!");
}

#[test]
fn pieces_are_filled_and_taken_in_place() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    let _ = a.write(&[1; 4000]).expect("sound");
    let _ = b.skip(4000).expect("sound");
    let moved =
        a.write_with(300, |memory, offset, len| memory.write(offset, &vec![9; len]).map(|()| len));
    assert_eq!(moved.expect("sound").expect("fits").bytes, 300);
    let mut seen = Vec::new();
    let moved = b.read_with(|memory, offset, len| {
        let mut piece = vec![0; len];
        memory.read(offset, &mut piece).expect("inside");
        seen.extend(piece);
        len
    });
    assert_eq!(moved.expect("sound").bytes, 300);
    assert_eq!(seen, vec![9; 300]);
}

#[test]
fn a_glance_tells_both_directions() {
    let pair = Pair::new();
    let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
    let _ = a.write(b"12345").expect("sound");
    let _ = b.read(&mut [0; 2]).expect("sound");
    b.end();
    let mut header = [0; HEADER_BYTES];
    pair.memory.read(0, &mut header).expect("fits");
    let [out, back] = glance(&header).expect("a session's header");
    assert_eq!((out.written, out.read, out.ended), (5, 2, false));
    assert!(back.ended);
    Stream::check_header(&pair.memory, pair.size).expect("the header is there");
    assert_eq!(glance(&[0; HEADER_BYTES]), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any mix of reads, writes and peeks moves the same bytes in the same order.
    #[test]
    fn bytes_arrive_in_order(steps in prop::collection::vec((0usize..3, 0usize..6000), 1..200)) {
        let pair = Pair::new();
        let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
        let mut expected = VecDeque::new();
        let mut next = 0u8;
        for (what, len) in steps {
            if what == 0 {
                let data: Vec<u8> = (0..len).map(|at| next.wrapping_add(at as u8)).collect();
                let moved = a.write(&data).expect("sound");
                prop_assert_eq!(moved.bytes, len.min(SIZE as usize - expected.len()));
                expected.extend(&data[..moved.bytes]);
                next = next.wrapping_add(moved.bytes as u8);
            } else {
                let mut out = vec![0; len];
                let got = if what == 1 {
                    b.read(&mut out).expect("sound").bytes
                } else {
                    b.peek(0, &mut out).expect("sound")
                };
                prop_assert_eq!(got, len.min(expected.len()));
                prop_assert!(out[..got].iter().eq(expected.iter().take(got)));
                if what == 1 {
                    expected.drain(..got);
                }
            }
            prop_assert_eq!(b.readable().expect("sound"), expected.len());
        }
    }

    #[test]
    fn datagrams_keep_their_boundaries(lengths in prop::collection::vec(0usize..1500, 1..60)) {
        let pair = Pair::new();
        let (a, b) = (pair.side(Side::First), pair.side(Side::Second));
        let mut waiting: VecDeque<usize> = VecDeque::new();
        for len in lengths {
            let data = vec![len as u8; len];
            while !send_datagram(&a, &[&data[..len / 2], &data[len / 2..]]) {
                let length = waiting.pop_front().expect("an empty ring has room");
                let mut out = vec![0; 2000];
                let first = datagram::Waiting::first(&b).expect("sound").expect("waits");
                prop_assert_eq!(first.length(), length);
                prop_assert_eq!(first.read(0, &mut out[..length / 3]), Ok(length / 3));
                prop_assert_eq!(first.read(length / 3, &mut out[length / 3..]), Ok(length - length / 3));
                first.remove().expect("sound");
                prop_assert!(out[..length].iter().all(|&byte| byte == length as u8));
            }
            waiting.push_back(len);
        }
    }

    /// Whatever the peer writes to the memory, every call ends and stays inside it.
    #[test]
    fn a_scribbling_peer_breaks_its_session_only(
        words in prop::collection::vec((0usize..0x700, any::<u64>()), 1..50),
        rings in prop::collection::vec(any::<u8>(), 64),
    ) {
        let pair = Pair::new();
        let a = pair.side(Side::First);
        for (offset, word) in words {
            pair.memory.write(offset & !7, &word.to_ne_bytes()).expect("fits");
            pair.memory.write(HEADER_BYTES + SIZE as usize, &rings).expect("fits");
            let mut out = [0; 5000];
            let _ = a.read(&mut out);
            let _ = a.write(&out);
            if let Ok(Some(first)) = datagram::Waiting::first(&a) {
                let _ = first.read(3, &mut out);
                let _ = first.remove();
            }
            if let Ok(Some(mut slot)) = datagram::Slot::reserve(&a, 100) {
                let _ = slot.put(&out);
                let _ = slot.publish();
            }
            let _ = a.arm_reader(word);
            let _ = a.arm_writer(Room::Any);
            let _ = (a.must_keep_tokens(), a.peer_closed(), a.peer_ended(), a.adopt_positions());
        }
    }

    #[test]
    fn messages_survive_the_wire(request in request(), reply in reply()) {
        prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        prop_assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = Request::decode(&bytes);
        let _ = Reply::decode(&bytes);
    }
}

#[test]
fn other_versions_say_so() {
    let mut bytes = Request::Describe.encode();
    bytes[4] = 9;
    assert_eq!(Request::decode(&bytes), Err(Malformed::Version(9)));
    assert_eq!(Request::decode(&bytes[1..]), Err(Malformed::Length(63)));
}

fn address() -> impl Strategy<Value = SocketAddr> {
    any::<SocketAddr>().prop_map(|it| SocketAddr::new(it.ip(), it.port()))
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Stream), Just(Protocol::Datagram)]
}

fn request() -> impl Strategy<Value = Request> {
    let reuse = any::<(bool, bool, bool)>().prop_map(|(address, port, v6_only)| Reuse {
        address,
        port,
        v6_only,
    });
    prop_oneof![
        (protocol(), address(), any::<u32>(), reuse, any::<u64>()).prop_map(
            |(protocol, address, backlog, reuse, cookie)| Request::Listen {
                protocol,
                address,
                backlog,
                reuse,
                cookie
            }
        ),
        (protocol(), prop::option::of(address()), address(), any::<u64>(), any::<u64>()).prop_map(
            |(protocol, source, destination, cookie, sharing)| Request::Connect {
                protocol,
                source,
                destination,
                cookie,
                sharing
            }
        ),
        Just(Request::Resume),
        Just(Request::Describe),
    ]
}

fn info() -> impl Strategy<Value = SessionInfo> {
    let transport = prop_oneof![Just(Transport::CutThrough), Just(Transport::Stack)];
    let place = (12u32..=24, 1..=Place::MOST, any::<prop::sample::Index>()).prop_map(
        |(bits, count, index)| {
            let size = RingSize::new(1 << bits).expect("within bounds");
            let index = u16::try_from(index.index(count.into())).expect("few");
            Place::new(size, index, count).expect("within bounds")
        },
    );
    let numbers = (any::<u64>(), any::<u64>());
    (numbers, any::<bool>(), protocol(), transport, place, address(), address()).prop_map(
        |((id, memory), first, protocol, transport, place, local, remote)| SessionInfo {
            id,
            side: if first { Side::First } else { Side::Second },
            protocol,
            transport,
            memory,
            place,
            local,
            remote,
        },
    )
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Listening),
        info().prop_map(Reply::Connected),
        Just(Reply::Pending),
        Just(Reply::Refused(Refusal::Unreachable)),
        Just(Reply::UseKernel),
        info().prop_map(Reply::Accept),
        Just(Reply::AcceptKernel),
        any::<bool>().prop_map(|kernel| Reply::Endpoint { kernel, ipv4: None, ipv6: None }),
    ]
}
