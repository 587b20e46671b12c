//! Two stacks on a wire of this process, in a time of their own.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use dataplane::MacAddr;
use dataplane::offload::{Checksum, Segmenter, VirtioNetHeader, complete_checksum};
use dataplane::stack_port::Tag;
use stack::{
    Addressing, Config, ConnectionId, Event, Ipv4Config, Ipv6Config, Link, ListenerId, Ready, Stack,
};

pub(crate) const fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

pub(crate) fn ipv4(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

pub(crate) fn ipv6(n: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n.into())
}

pub(crate) fn addressing(n: u8) -> Addressing {
    Addressing {
        mac: mac(n),
        ipv4: Some(Ipv4Config { address: ipv4(n), prefix: 24, gateway: None }),
        ipv6: Some(Ipv6Config { address: ipv6(n), prefix: 64, gateway: None }),
        mtu: 1500,
    }
}

pub(crate) fn config(n: u8) -> Config {
    Config::new(addressing(n), u128::from(n) << 64 | 0x1234_5678)
}

/// What a wire does to frames: percentages, and the time that each takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) loss: u32,
    pub(crate) duplication: u32,
    pub(crate) reordering: u32,
    /// Cuts large segments into packets and completes checksums, as a real wire would need it.
    pub(crate) cut: bool,
}

pub(crate) const FAIR: Weather = Weather { loss: 0, duplication: 0, reordering: 0, cut: false };

/// A generator whose numbers do not matter much (Marsaglia, "Xorshift RNGs").
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn percent(&mut self, chance: u32) -> bool {
        self.next() % 100 < u64::from(chance)
    }
}

type Frame = (Vec<u8>, VirtioNetHeader);

/// The sending end of a wire.
#[derive(Debug, Default)]
pub(crate) struct End {
    pub(crate) out: VecDeque<Frame>,
    gone: VecDeque<Tag>,
    pub(crate) blocked: bool,
}

impl Link for End {
    fn room(&self) -> usize {
        2048_usize.saturating_sub(self.out.len())
    }

    fn send<R>(
        &mut self,
        len: usize,
        tag: Tag,
        fill: impl FnOnce(&mut [u8]) -> (VirtioNetHeader, R),
    ) -> (R, bool) {
        let mut frame = vec![0xee; len];
        let (offload, result) = fill(&mut frame);
        self.out.push_back((frame, offload));
        if !self.blocked {
            self.gone.push_back(tag);
        }
        (result, true)
    }

    fn gone(&mut self) -> Option<Tag> {
        self.gone.pop_front()
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    arrives: Instant,
    order: u64,
    to: usize,
    frame: Vec<u8>,
    offload: [u8; 12],
}

/// Two stacks, 1 and 2, and a wire between them.
pub(crate) struct World {
    pub(crate) stacks: [Stack; 2],
    pub(crate) ends: [End; 2],
    pub(crate) now: Instant,
    pub(crate) weather: Weather,
    pub(crate) dice: Dice,
    /// Everything that was sent, from whom.
    pub(crate) seen: Vec<(usize, Vec<u8>)>,
    pub(crate) record: bool,
    /// Longer frames do not arrive.
    pub(crate) limit: Option<usize>,
    /// Bytes of the longest frame that was on the wire.
    pub(crate) longest: usize,
    /// The other station that 2 is, from which its frames come.
    pub(crate) sends_as: Option<MacAddr>,
    /// Neighbour discovery is subject to the weather as well.
    pub(crate) deaf: bool,
    flying: BinaryHeap<Reverse<Flying>>,
    order: u64,
    next: [Option<Instant>; 2],
}

impl World {
    pub(crate) fn new(weather: Weather, seed: u64) -> Self {
        Self::with(config(1), config(2), weather, seed)
    }

    pub(crate) fn with(one: Config, two: Config, weather: Weather, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            stacks: [Stack::new(one, now), Stack::new(two, now)],
            ends: [End::default(), End::default()],
            now,
            weather,
            dice: Dice(seed | 1),
            seen: Vec::new(),
            record: false,
            limit: None,
            longest: 0,
            sends_as: None,
            deaf: false,
            flying: BinaryHeap::new(),
            order: 0,
            next: [None; 2],
        }
    }

    /// Polls both and puts what they send on the wire.
    pub(crate) fn poll(&mut self) {
        for from in 0..2 {
            let next = self.stacks[from].poll(self.now, &mut self.ends[from]);
            self.next[from] = next.at;
            while let Some((mut frame, offload)) = self.ends[from].out.pop_front() {
                if let Some(station) = self.sends_as.filter(|_| from == 1) {
                    frame[6..12].copy_from_slice(&station.0);
                }
                if self.record {
                    self.seen.push((from, frame.clone()));
                }
                if self.sends_as.is_some_and(|station| frame[..6] == station.0) {
                    frame[..6].copy_from_slice(&mac(2).0);
                }
                for (frame, offload) in self.on_the_wire(frame, offload) {
                    self.launch(1 - from, &frame, offload);
                }
            }
        }
    }

    fn on_the_wire(&self, mut frame: Vec<u8>, offload: VirtioNetHeader) -> Vec<Frame> {
        if !self.weather.cut {
            return vec![(frame, offload)];
        }
        if offload.segmentation.is_none() {
            if let Checksum::Partial { start, offset } = offload.checksum {
                complete_checksum(&mut frame, start, offset).expect("of the stack");
            }
            return vec![(frame, VirtioNetHeader::PLAIN)];
        }
        let mut cut = Segmenter::new(&frame, offload, 1500).expect("of the stack");
        let mut packets = Vec::new();
        while let Some(segment) = cut.next_segment() {
            packets.push(([segment.headers, segment.payload].concat(), VirtioNetHeader::PLAIN));
        }
        packets
    }

    fn launch(&mut self, to: usize, frame: &[u8], offload: VirtioNetHeader) {
        self.longest = self.longest.max(frame.len());
        if self.limit.is_some_and(|limit| frame.len() > limit) {
            return;
        }
        // Only TCP repeats for as long as it takes.
        let is_tcp = matches!((frame[12], frame[20], frame[23]), (8, _, 6) | (0x86, 6, _));
        if (is_tcp || self.deaf) && self.dice.percent(self.weather.loss) {
            return;
        }
        let copies = 1 + usize::from(self.dice.percent(self.weather.duplication));
        for _ in 0..copies {
            let late =
                if self.dice.percent(self.weather.reordering) { self.dice.next() % 500 } else { 0 };
            self.order += 1;
            self.flying.push(Reverse(Flying {
                arrives: self.now + Duration::from_micros(50 + late),
                order: self.order,
                to,
                frame: frame.to_vec(),
                offload: offload.encode(),
            }));
        }
    }

    /// Lets time pass until something happens; `false` when nothing ever will.
    pub(crate) fn step(&mut self) -> bool {
        self.poll();
        let arrival = self.flying.peek().map(|Reverse(flying)| flying.arrives);
        let Some(at) = arrival.into_iter().chain(self.next.into_iter().flatten()).min() else {
            return false;
        };
        self.now = self.now.max(at);
        while self.flying.peek().is_some_and(|Reverse(flying)| flying.arrives <= self.now) {
            let Some(Reverse(flying)) = self.flying.pop() else { break };
            let offload = VirtioNetHeader::parse(&flying.offload).expect("encoded");
            let (stack, end) = (&mut self.stacks[flying.to], &mut self.ends[flying.to]);
            stack.receive(self.now, &flying.frame, offload, end);
        }
        true
    }

    /// Steps until `done`, at most for `limit` of the wire's time.
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + limit;
        loop {
            if done(self) {
                return;
            }
            let goes_on = self.step();
            assert!(goes_on || done(self), "nothing happens any more");
            assert!(self.now < end, "it does not happen in time");
        }
    }

    /// Lets `time` pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let before = self.now;
            if !self.step() || self.now > end {
                self.now = before.max(end);
                self.poll();
            }
        }
    }

    pub(crate) fn listen(&mut self, on: usize, local: SocketAddr) -> ListenerId {
        self.stacks[on].listen(self.now, local, 16).expect("listens")
    }

    pub(crate) fn connect(&mut self, from: usize, remote: SocketAddr) -> ConnectionId {
        self.stacks[from].connect(self.now, None, remote).expect("starts")
    }

    /// A connection from 0 to 1, established.
    pub(crate) fn pair(&mut self, v6: bool) -> (ConnectionId, ConnectionId) {
        self.pair_on(v6, 8080)
    }

    /// The same, to this port.
    pub(crate) fn pair_on(&mut self, v6: bool, port: u16) -> (ConnectionId, ConnectionId) {
        let remote: SocketAddr = if v6 { (ipv6(2), port).into() } else { (ipv4(2), port).into() };
        let listener = self.listen(1, remote);
        let near = self.connect(0, remote);
        let mut far = None;
        self.run_until(Duration::from_mins(5), |world| {
            far = far.or(world.stacks[1].accept(listener).expect("listens"));
            far.is_some() && world.stacks[0].writable(near) > 0
        });
        self.stacks[1].unlisten(self.now, listener);
        (near, far.expect("accepted"))
    }

    pub(crate) fn write(&mut self, on: usize, id: ConnectionId, data: &[u8]) -> usize {
        let mut written = 0;
        while written < data.len() {
            let count = self.stacks[on].send(id, |buffer| {
                let count = buffer.len().min(data.len() - written);
                buffer[..count].copy_from_slice(&data[written..written + count]);
                (count, count)
            });
            match count {
                Ok(count) if count > 0 => written += count,
                _ => break,
            }
        }
        written
    }

    pub(crate) fn read(&mut self, on: usize, id: ConnectionId, out: &mut Vec<u8>) -> usize {
        let before = out.len();
        while self.stacks[on].readable(id) > 0 {
            let took = self.stacks[on].read(self.now, id, |bytes| {
                out.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            });
            if !matches!(took, Ok(count) if count > 0) {
                break;
            }
        }
        out.len() - before
    }

    /// What a connection was told, all together.
    pub(crate) fn events(&mut self, on: usize, id: ConnectionId) -> Ready {
        let mut all = Ready::empty();
        while let Some(event) = self.stacks[on].next_event() {
            if let Event::Connection(of, ready) = event
                && of == id
            {
                all |= ready;
            }
        }
        all
    }
}
