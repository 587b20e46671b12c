//! Network stacks of this process as stations: frames in, frames out, nothing dropped while there is
//! hope, and nobody held up by a station that does not read.

mod support;

use std::time::{Duration, Instant};

use dataplane::control::PortOwner;
use dataplane::offload::{Checksum, Segmentation, SegmentationKind, Sum, VirtioNetHeader};
use dataplane::packet::Protocol;
use dataplane::stack_port::{StackFrame, StackPort, Tag, WaitFor};
use dataplane::{
    Dataplane, DataplaneError, DomainConfig, DomainId, DropReason, PortConfig, PortCounters, PortId,
};
use support::{PATIENCE, Station, broadcast, engine, mac, numbered, unicast};

struct Stack {
    engine: Dataplane,
    id: PortId,
    port: StackPort,
    gone: Vec<Tag>,
}

impl Stack {
    fn join(engine: &Dataplane, domain: DomainId, n: u8) -> Self {
        let config = PortConfig::new(format!("stack-{n}"), Some(mac(n)));
        let id = engine.create_port(domain, config).expect("port");
        let port = engine.attach_stack(id).expect("attaches");
        Self { engine: engine.clone(), id, port, gone: Vec::new() }
    }

    fn try_send(&mut self, bytes: &[u8], offload: VirtioNetHeader, tag: u32) -> bool {
        self.collect();
        let mut frame = self.port.new_frame(bytes.len());
        frame.bytes_mut().copy_from_slice(bytes);
        frame.offload = offload;
        let sent = self.port.send(frame, Tag(tag)).is_ok();
        self.port.flush();
        sent
    }

    fn send(&mut self, bytes: &[u8], tag: u32) {
        assert!(self.try_send(bytes, VirtioNetHeader::PLAIN, tag), "room");
    }

    fn receive(&mut self) -> StackFrame {
        let start = Instant::now();
        loop {
            if let Some(frame) = self.port.receive() {
                return frame;
            }
            assert!(start.elapsed() < PATIENCE, "no frame came");
            self.port.wait(WaitFor::Frames, Some(Duration::from_millis(50))).expect("waits");
        }
    }

    fn receive_bytes(&mut self) -> Vec<u8> {
        let frame = self.receive();
        let bytes = frame.bytes().to_vec();
        self.port.recycle(frame);
        bytes
    }

    fn collect(&mut self) {
        while let Some(tag) = self.port.gone() {
            self.gone.push(tag);
        }
    }

    fn wait_gone(&mut self, count: usize) {
        let start = Instant::now();
        self.collect();
        while self.gone.len() < count {
            assert!(start.elapsed() < PATIENCE, "{} of {count} frames are gone", self.gone.len());
            let patience = Some(Duration::from_millis(50));
            self.port.wait(WaitFor::FramesAndRoom, patience).expect("waits");
            self.collect();
        }
    }

    fn counters(&self) -> PortCounters {
        self.engine.port(self.id).expect("exists").counters
    }
}

fn domain(engine: &Dataplane) -> DomainId {
    engine.create_domain(DomainConfig::new("test")).expect("domain")
}

/// A TCP segment of `payload` bytes that is still to be cut into packets of `size`.
fn super_segment(from: u8, to: u8, payload: usize, size: u16) -> (Vec<u8>, VirtioNetHeader) {
    let mut frame = vec![0; 54 + payload];
    frame[..6].copy_from_slice(&mac(to).0);
    frame[6..12].copy_from_slice(&mac(from).0);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    let total = u16::try_from(40 + payload).expect("below 64 KiB");
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame[23] = 6;
    frame[26..34].copy_from_slice(&[10, 0, 0, from, 10, 0, 0, to]);
    frame[46] = 5 << 4;
    for (at, byte) in frame[54..].iter_mut().enumerate() {
        *byte = at.to_le_bytes()[0] ^ at.to_le_bytes()[1];
    }
    let (src, dst) = ([10, 0, 0, from].into(), [10, 0, 0, to].into());
    let length = u32::from(total) - 20;
    let sum = !Sum::pseudo_header4(src, dst, Protocol::TCP, length).finish();
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
    let offload = VirtioNetHeader {
        checksum: Checksum::Partial { start: 34, offset: 16 },
        segmentation: Some(Segmentation {
            kind: SegmentationKind::Tcp4,
            ecn: false,
            header_len: 54,
            size,
        }),
    };
    (frame, offload)
}

#[test]
fn two_stacks_and_a_memif_client_reach_each_other() {
    let engine = engine();
    let domain = domain(&engine);
    let (mut one, mut two) = (Stack::join(&engine, domain, 1), Stack::join(&engine, domain, 2));
    let mut three = Station::join(&engine, domain, 3);
    assert_eq!(engine.port(one.id).expect("exists").owner, PortOwner::Stack);
    one.send(&unicast(mac(1), mac(2), 100), 5);
    assert_eq!(two.receive_bytes(), unicast(mac(1), mac(2), 100));
    one.send(&unicast(mac(1), mac(3), 1000), 6);
    assert_eq!(three.receive(), unicast(mac(1), mac(3), 1000));
    three.send(&unicast(mac(3), mac(1), 1000));
    assert_eq!(one.receive_bytes(), unicast(mac(3), mac(1), 1000));
    two.send(&broadcast(mac(2), 9), 0);
    assert_eq!(one.receive_bytes(), broadcast(mac(2), 9));
    assert_eq!(three.receive(), broadcast(mac(2), 9));
    one.wait_gone(2);
    assert_eq!(one.gone, [Tag(5), Tag(6)]);
    let counters = one.counters();
    assert_eq!((counters.rx_frames, counters.rx_bytes), (2, 1100));
    assert_eq!((counters.tx_frames, counters.tx_bytes), (2, 1060));
}

#[test]
fn a_large_segment_crosses_whole_between_stacks_and_in_packets_to_memif() {
    let engine = engine();
    let domain = domain(&engine);
    let (mut one, mut two) = (Stack::join(&engine, domain, 1), Stack::join(&engine, domain, 2));
    let mut three = Station::join(&engine, domain, 3);
    let (segment, offload) = super_segment(1, 2, 60_000, 1460);
    assert!(one.try_send(&segment, offload, 0));
    let received = two.receive();
    assert_eq!((received.bytes(), received.offload), (&segment[..], offload));
    let (segment, offload) = super_segment(1, 3, 60_000, 1460);
    assert!(one.try_send(&segment, offload, 0));
    let mut payload = Vec::new();
    for _ in 0..60_000usize.div_ceil(1460) {
        payload.extend_from_slice(&three.receive()[54..]);
    }
    assert_eq!(payload, segment[54..]);
}

#[test]
fn frames_longer_than_the_mtu_are_dropped_and_reported_gone() {
    let engine = engine();
    let domain = domain(&engine);
    let (mut one, _two) = (Stack::join(&engine, domain, 1), Stack::join(&engine, domain, 2));
    one.send(&unicast(mac(1), mac(2), 1515), 1);
    let (segment, offload) = super_segment(1, 2, 60_000, 9000);
    assert!(one.try_send(&segment, offload, 2));
    one.wait_gone(2);
    assert_eq!(one.counters().dropped(DropReason::Oversize), 2);
}

#[test]
fn nothing_is_dropped_while_a_ring_is_full_for_a_while() {
    let engine = engine();
    let domain = domain(&engine);
    let mut one = Stack::join(&engine, domain, 1);
    let mut two = Station::join(&engine, domain, 2);
    // More than its ring holds (1024) and more than fit between: it reads only when nothing else moves.
    let (count, mut sent, mut received) = (8000u64, 0, 0);
    while received < count {
        while sent < count
            && one.try_send(&numbered(mac(1), mac(2), sent), VirtioNetHeader::PLAIN, 0)
        {
            sent += 1;
        }
        for _ in 0..100.min(count - received) {
            assert_eq!(two.receive(), numbered(mac(1), mac(2), received));
            received += 1;
        }
    }
    assert_eq!(two.counters().dropped_total(), 0);
    one.wait_gone(8000);
}

#[test]
fn a_segment_of_more_packets_than_the_ring_has_room_for_arrives_whole() {
    let engine = engine();
    let domain = domain(&engine);
    let mut one = Stack::join(&engine, domain, 1);
    let mut two = Station::join(&engine, domain, 2);
    // 30 segments of 42 packets do not fit into 1024 slots.
    let (segment, offload) = super_segment(1, 2, 60_000, 1460);
    for _ in 0..30 {
        assert!(one.try_send(&segment, offload, 0));
    }
    for _ in 0..30 {
        let mut payload = Vec::new();
        while payload.len() < 60_000 {
            payload.extend_from_slice(&two.receive()[54..]);
        }
        assert_eq!(payload, segment[54..]);
    }
    assert_eq!(two.counters().dropped_total(), 0);
}

#[test]
fn a_station_that_never_reads_holds_up_only_itself() {
    let engine = engine();
    let domain = domain(&engine);
    let (mut one, mut two) = (Stack::join(&engine, domain, 1), Stack::join(&engine, domain, 2));
    let silent = Station::join(&engine, domain, 3);
    for n in 0..1500 {
        assert!(one.try_send(&numbered(mac(1), mac(3), n), VirtioNetHeader::PLAIN, 3));
    }
    one.send(&unicast(mac(1), mac(2), 100), 2);
    assert_eq!(two.receive_bytes(), unicast(mac(1), mac(2), 100));
    // In the end the frames for it are given up, and the sender has its tags back.
    one.wait_gone(1501);
    let counters = silent.counters();
    assert_eq!(counters.tx_frames + counters.dropped(DropReason::Full), 1500);
}

#[test]
fn a_packet_client_takes_the_address_over_while_it_is_connected() {
    let engine = engine();
    let domain = domain(&engine);
    let mut station = Station::join(&engine, domain, 1);
    let mut two = Stack::join(&engine, domain, 2);
    let port = engine.attach_stack(station.port).expect("attaches");
    let mut one = Stack { engine: engine.clone(), id: station.port, port, gone: Vec::new() };
    two.send(&unicast(mac(2), mac(1), 80), 0);
    assert_eq!(station.receive(), unicast(mac(2), mac(1), 80));
    one.send(&unicast(mac(1), mac(2), 80), 0);
    station.wait_for_drop(DropReason::NotOwner);
    one.wait_gone(1);
    station.disconnect();
    station.wait_until(|station| station.owner() == PortOwner::Stack);
    two.send(&unicast(mac(2), mac(1), 90), 0);
    assert_eq!(one.receive_bytes(), unicast(mac(2), mac(1), 90));
}

#[test]
fn a_stack_whose_port_moves_or_goes_keeps_no_frame_on_the_way() {
    let engine = engine();
    let (from, to) = (domain(&engine), domain(&engine));
    let mut one = Stack::join(&engine, from, 1);
    let silent = Station::join(&engine, from, 3);
    let mut there = Stack::join(&engine, to, 4);
    for n in 0..1500 {
        assert!(one.try_send(&numbered(mac(1), mac(3), n), VirtioNetHeader::PLAIN, 3));
    }
    let start = Instant::now();
    while one.counters().rx_frames < 1500 {
        assert!(start.elapsed() < PATIENCE, "the worker does not take the frames");
        std::thread::yield_now();
    }
    engine.move_port(one.id, to).expect("moves");
    one.send(&unicast(mac(1), mac(4), 100), 2);
    assert_eq!(there.receive_bytes(), unicast(mac(1), mac(4), 100));
    one.wait_gone(1501);
    assert!(silent.counters().tx_frames > 0);
    engine.detach_stack(one.id).expect("detaches");
    assert_eq!(engine.port(one.id).expect("exists").owner, PortOwner::None);
    engine.delete_port(one.id).expect("goes");
    assert!(matches!(engine.attach_stack(one.id), Err(DataplaneError::NoPort(_))));
}

#[test]
fn an_address_that_is_lent_is_not_the_stacks_until_it_comes_back() {
    let engine = engine();
    let domain = engine.create_domain(DomainConfig::new("net")).expect("domain");
    let mut one = Stack::join(&engine, domain, 1);
    let mut two = Stack::join(&engine, domain, 2);
    assert!(one.port.owns_address());
    engine.lend_address(one.id, true).expect("it has a port");
    assert!(!one.port.owns_address(), "the stack is told");
    assert_eq!(engine.port(one.id).expect("status").owner, PortOwner::None);
    one.send(&numbered(mac(1), mac(2), 1), 1);
    one.wait_gone(1);
    assert_eq!(one.counters().dropped(DropReason::NotOwner), 1, "what it sends is dropped");
    engine.lend_address(one.id, false).expect("it has a port");
    assert!(one.port.owns_address());
    one.send(&numbered(mac(1), mac(2), 2), 2);
    assert_eq!(two.receive_bytes(), numbered(mac(1), mac(2), 2));
    engine.delete_port(one.id).expect("goes");
    assert!(matches!(engine.lend_address(one.id, true), Err(DataplaneError::NoPort(_))));
}
