//! The body of the fuzz target: a stack with a listener, a UDP socket and a connection of its own, and a
//! station that sends it whatever the input says.
//!
//! Whatever comes, there is no panic, what the stack sends is well-formed, and it sends and keeps a bounded
//! amount.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use dataplane::MacAddr;
use dataplane::offload::{Checksum, Segmenter, Sum, VirtioNetHeader, checksum, complete_checksum};
use dataplane::packet::{EtherType, EthernetHeader, Ipv4Header, Ipv6Header, Protocol};
use dataplane::stack_port::Tag;
use stack::{Addressing, Config, ConnectionId, Event, Ipv4Config, Ipv6Config, Link, Stack, UdpId};

const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const STATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const OWN4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const STATION4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OWN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const STATION6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const MTU: u16 = 1500;

/// Input bytes, taken from the front; zeros when there are none left.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn long(&mut self) -> u32 {
        u32::from(self.word()) << 16 | u32::from(self.word())
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Checks and keeps what the stack sends.
#[derive(Default)]
struct Wire {
    last: Option<(Vec<u8>, VirtioNetHeader)>,
    sent: u64,
    gone: Vec<Tag>,
    holds_back: bool,
}

impl Link for Wire {
    fn room(&self) -> usize {
        2048_usize.saturating_sub(self.gone.len())
    }

    fn send<R>(
        &mut self,
        len: usize,
        tag: Tag,
        fill: impl FnOnce(&mut [u8]) -> (VirtioNetHeader, R),
    ) -> (R, bool) {
        let mut frame = vec![0xa5; len];
        let (offload, result) = fill(&mut frame);
        check(&frame, offload);
        self.sent += 1;
        self.last = Some((frame, offload));
        self.gone.push(tag);
        (result, true)
    }

    fn gone(&mut self) -> Option<Tag> {
        if self.holds_back { None } else { self.gone.pop() }
    }
}

/// A frame of the stack is sound, as a whole and in the pieces that it is cut into.
fn check(frame: &[u8], offload: VirtioNetHeader) {
    assert_eq!(&frame[6..12], &OWN.0, "from its own station");
    assert!(frame.len() <= EthernetHeader::LEN + 65_535);
    if offload.segmentation.is_some() {
        let mut cut = Segmenter::new(frame, offload, MTU.into()).expect("it can be cut");
        while let Some(piece) = cut.next_segment() {
            check_packet(&[piece.headers, piece.payload].concat());
        }
        return;
    }
    assert!(frame.len() <= EthernetHeader::LEN + usize::from(MTU), "it fits the network");
    let mut frame = frame.to_vec();
    if let Checksum::Partial { start, offset } = offload.checksum {
        complete_checksum(&mut frame, start, offset).expect("the field is inside");
    }
    check_packet(&frame);
}

fn check_packet(frame: &[u8]) {
    let ethernet = EthernetHeader::parse(frame).expect("a header");
    let packet = &frame[ethernet.len()..];
    match ethernet.ether_type {
        EtherType::ARP => assert_eq!(packet.len(), 28),
        EtherType::IPV4 => {
            let header = Ipv4Header::parse(packet).expect("a header");
            assert_eq!(header.total_len, packet.len());
            assert_eq!(header.src, OWN4);
            assert_eq!(checksum(&packet[..header.header_len]), 0);
            if header.is_fragment {
                return;
            }
            let payload = &packet[header.header_len..];
            let length = u32::try_from(payload.len()).expect("short");
            let sum = match header.protocol {
                Protocol::ICMP => Sum::default(),
                other => Sum::pseudo_header4(header.src, header.dst, other, length),
            };
            assert_eq!(sum.plus(payload).finish(), 0);
        }
        EtherType::IPV6 => {
            let header = Ipv6Header::parse(packet).expect("a header");
            assert_eq!(header.total_len, packet.len());
            assert!(header.src == OWN6 || header.src == OWN.link_local());
            if header.payload(packet).expect("a payload").is_fragment {
                return;
            }
            let payload = &packet[Ipv6Header::LEN..];
            let length = u32::try_from(payload.len()).expect("short");
            let sum = Sum::pseudo_header6(header.src, header.dst, header.next, length);
            assert_eq!(sum.plus(payload).finish(), 0);
        }
        other => panic!("a frame of type {other:?}"),
    }
}

struct Scene {
    stack: Stack,
    wire: Wire,
    now: Instant,
    connections: Vec<ConnectionId>,
    udp: UdpId,
}

impl Scene {
    fn new() -> Self {
        let addressing = Addressing {
            mac: OWN,
            ipv4: Some(Ipv4Config { address: OWN4, prefix: 24, gateway: None }),
            ipv6: Some(Ipv6Config { address: OWN6, prefix: 64, gateway: None }),
            mtu: MTU,
        };
        let mut config = Config::new(addressing, 1);
        config.connections = 20;
        config.half_open = 8;
        config.receive_buffer = 70_000;
        config.send_buffer = 70_000;
        let now = Instant::now();
        let mut stack = Stack::new(config, now);
        for any in ["0.0.0.0:80", "[::]:80"] {
            stack.listen(now, any.parse().expect("an address"), 4).expect("listens");
        }
        let udp = stack.udp_bind(now, (OWN4, 53).into()).expect("binds");
        let remote = SocketAddr::from((STATION4, 80));
        let own = stack.connect(now, Some((OWN4, 4000).into()), remote).expect("starts");
        let mut scene = Self { stack, wire: Wire::default(), now, connections: vec![own], udp };
        // The station is known, so that answers are about what was asked.
        let mut arp = [&OWN.0[..], &STATION.0, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
        arp.extend([&STATION.0[..], &STATION4.octets(), &[0; 6], &OWN4.octets()].concat());
        scene.receive(&arp, VirtioNetHeader::PLAIN);
        scene.poll();
        scene
    }

    fn receive(&mut self, frame: &[u8], offload: VirtioNetHeader) {
        self.stack.receive(self.now, frame, offload, &mut self.wire);
    }

    fn poll(&mut self) {
        let before = self.wire.sent;
        self.stack.poll(self.now, &mut self.wire);
        assert!(self.wire.sent - before < 10_000, "a poll sends a bounded number of frames");
        while let Some(event) = self.stack.next_event() {
            match event {
                Event::Acceptable(listener) => {
                    while let Ok(Some(id)) = self.stack.accept(listener) {
                        self.connections.push(id);
                    }
                }
                Event::Datagram(socket) => {
                    while let Ok(Some(_)) = self.stack.udp_receive(socket) {}
                }
                _ => {}
            }
        }
        let (open, _) = self.stack.connection_counts();
        assert!(open <= 20, "{open} connections");
    }

    /// Something that the owner does with one of its connections.
    fn act(&mut self, input: &mut Input<'_>) {
        let (what, which) = (input.byte(), usize::from(input.byte()));
        let id = self.connections[which % self.connections.len()];
        let (stack, now) = (&mut self.stack, self.now);
        match what % 7 {
            0 => drop(stack.read(now, id, |bytes| (bytes.len(), ()))),
            1 => drop(stack.send(id, |buffer| {
                let count = buffer.len().min(usize::from(input.word()));
                buffer[..count].fill(what);
                (count, ())
            })),
            2 => drop(stack.shutdown(id)),
            3 => stack.close(now, id),
            4 => stack.abort(now, id),
            5 => self.wire.holds_back = input.byte() & 1 != 0,
            _ => {
                let to = SocketAddr::from((STATION4, input.word()));
                let length = usize::from(input.word());
                let fill = |data: &mut [u8]| data.fill(what);
                // Refusals are fine.
                let _ = stack.udp_send(now, self.udp, to, length, &mut self.wire, fill);
            }
        }
    }

    /// A fragment of one of a few packets.
    fn fragment(input: &mut Input<'_>) -> Vec<u8> {
        let (id, v4) = (input.byte(), input.byte() & 1 == 0);
        let (offset, more) = (input.word() & 0xfff8, input.byte() & 1 != 0);
        let length = usize::from(input.byte()) * 8;
        let mut data = input.bytes(length).to_vec();
        data.resize(length, 0);
        let mut frame = if v4 {
            let mut frame = frame(v4, Protocol::UDP, &data);
            let field = (offset / 8) | if more { 0x2000 } else { 0 };
            frame[18..20].copy_from_slice(&[0, id & 3]);
            frame[20..22].copy_from_slice(&field.to_be_bytes());
            frame
        } else {
            let field = offset | u16::from(more);
            let header = [&[17, 0][..], &field.to_be_bytes(), &[0, 0, 0, id & 3]].concat();
            frame(v4, Protocol(44), &[&header[..], &data].concat())
        };
        if v4 {
            frame[24..26].fill(0);
            let sum = checksum(&frame[14..34]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        frame
    }

    /// A packet of which only some fields are the input's, with right checksums.
    fn packet(input: &mut Input<'_>) -> Vec<u8> {
        let kind = input.byte();
        let v4 = kind & 1 == 0;
        let protocol = match (kind >> 1 & 3, v4) {
            (0 | 1, _) => Protocol::TCP,
            (2, _) => Protocol::UDP,
            (_, true) => Protocol::ICMP,
            (_, false) => Protocol::ICMPV6,
        };
        let mut payload = match protocol {
            Protocol::TCP => {
                let ports =
                    if kind & 8 == 0 { [80, 4000] } else { [1024 + u16::from(kind >> 4), 80] };
                let mut header = [ports[0].to_be_bytes(), ports[1].to_be_bytes()].concat();
                header.extend(input.long().to_be_bytes());
                header.extend(input.long().to_be_bytes());
                let options = usize::from(input.byte() & 3) * 4;
                let length = u8::try_from((20 + options) / 4).expect("small");
                header.extend([length << 4, input.byte()]);
                header.extend(input.word().to_be_bytes());
                header.extend([0; 4]);
                let mut given = input.bytes(options).to_vec();
                given.resize(options, 0);
                header.extend(given);
                header
            }
            Protocol::UDP => [&[0, 99][..], &input.word().to_be_bytes(), &[0; 4]].concat(),
            _ => input.bytes(8).to_vec(),
        };
        let length = usize::from(input.word() % 1400);
        payload.extend(input.bytes(length));
        if protocol == Protocol::UDP {
            let length = u16::try_from(payload.len()).expect("short");
            payload[4..6].copy_from_slice(&length.to_be_bytes());
        }
        let field = match protocol {
            Protocol::TCP => 16,
            Protocol::UDP => 6,
            _ => 2,
        };
        let length = u32::try_from(payload.len()).expect("short");
        let sum = match (protocol, v4) {
            (Protocol::ICMP, _) => Sum::default(),
            (_, true) => Sum::pseudo_header4(STATION4, OWN4, protocol, length),
            (_, false) => Sum::pseudo_header6(STATION6, OWN6, protocol, length),
        };
        if let Some(place) = payload.get_mut(field..field + 2) {
            place.fill(0);
            let sum = sum.plus(&payload).finish();
            payload[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        }
        frame(v4, protocol, &payload)
    }
}

fn frame(v4: bool, protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&OWN.0[..], &STATION.0].concat();
    let length = u16::try_from(payload.len()).expect("short");
    if v4 {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((length + 20).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, protocol.0, 0, 0]);
        frame.extend([STATION4.octets(), OWN4.octets()].concat());
        let sum = checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    } else {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([protocol.0, 255]);
        frame.extend([STATION6.octets(), OWN6.octets()].concat());
    }
    frame.extend(payload);
    frame
}

/// Turns a frame of the stack into an answer: stations, addresses and ports change places, and one byte
/// is the input's. For TCP, the numbers as well, so that the answer fits.
fn answer(mut frame: Vec<u8>, input: &mut Input<'_>) -> Vec<u8> {
    let swap = |frame: &mut [u8], left: usize, right: usize, count: usize| {
        for at in 0..count {
            if left + at < frame.len() && right + at < frame.len() {
                frame.swap(left + at, right + at);
            }
        }
    };
    swap(&mut frame, 0, 6, 6);
    let v4 = frame[12..14] == [8, 0];
    let (l4, tcp) = if v4 { (34, frame[23] == 6) } else { (54, frame.get(20) == Some(&6)) };
    if v4 {
        swap(&mut frame, 26, 30, 4);
    } else {
        swap(&mut frame, 22, 38, 16);
    }
    swap(&mut frame, l4, l4 + 2, 2);
    if tcp && frame.len() >= l4 + 20 {
        let seq = u32::from_be_bytes(*frame[l4 + 4..].first_chunk().expect("long enough"));
        let header = usize::from(frame[l4 + 12] >> 4) * 4;
        let data = frame.len() - l4 - header.min(frame.len() - l4);
        let flags = u32::from(frame[l4 + 13]);
        let length = u32::try_from(data).expect("short") + (flags & 1) + (flags >> 1 & 1);
        let ack = seq.wrapping_add(length);
        let their_seq = if flags & 0x10 == 0 {
            77u32.to_be_bytes()
        } else {
            *frame[l4 + 8..].first_chunk().expect("long enough")
        };
        frame[l4 + 4..l4 + 8].copy_from_slice(&their_seq);
        frame[l4 + 8..l4 + 12].copy_from_slice(&ack.to_be_bytes());
        frame[l4 + 13] |= 0x10;
        if input.byte() & 1 == 0 {
            frame.truncate(l4 + header);
            if v4 {
                let length = u16::try_from(frame.len() - 14).expect("short");
                frame[16..18].copy_from_slice(&length.to_be_bytes());
                frame[24..26].fill(0);
                let sum = checksum(&frame[14..34]);
                frame[24..26].copy_from_slice(&sum.to_be_bytes());
            } else {
                let length = u16::try_from(frame.len() - 54).expect("short");
                frame[18..20].copy_from_slice(&length.to_be_bytes());
            }
        }
    }
    let (at, value) = (usize::from(input.word()), input.byte());
    if at < frame.len() {
        frame[at] = value;
    }
    frame
}

/// Runs the input against a stack.
pub(crate) fn stack_frames(data: &[u8]) {
    let mut scene = Scene::new();
    let mut input = Input(data);
    while !input.0.is_empty() {
        match input.byte() % 8 {
            0 => {
                let length = usize::from(input.word());
                let frame = input.bytes(length).to_vec();
                scene.receive(&frame, VirtioNetHeader::PLAIN);
            }
            1 => {
                let offload = VirtioNetHeader::parse(input.bytes(10)).unwrap_or_default();
                let frame = Scene::packet(&mut input);
                scene.receive(&frame, offload);
            }
            2 => {
                let frame = Scene::packet(&mut input);
                scene.receive(&frame, VirtioNetHeader::PLAIN);
            }
            3 => {
                let frame = Scene::fragment(&mut input);
                scene.receive(&frame, VirtioNetHeader::PLAIN);
            }
            4 => {
                scene.now += Duration::from_millis(u64::from(input.word()) * 10);
                scene.poll();
            }
            5 => scene.act(&mut input),
            _ => {
                scene.poll();
                if let Some((frame, _)) = scene.wire.last.clone() {
                    let frame = answer(frame, &mut input);
                    // Vouched for, so that it is looked at although its checksum is wrong.
                    let offload = VirtioNetHeader { checksum: Checksum::Valid, segmentation: None };
                    scene.receive(&frame, offload);
                }
            }
        }
    }
    scene.poll();
}
