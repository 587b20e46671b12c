//! `memif-station`: a program that speaks TCP and UDP over memif, by a network stack of its own.
//!
//! * `memif-station SOCKET MAC IPV4/PREFIX IPV6/PREFIX serve PORT` echoes streams and datagrams, and says
//!   whose they are.
//! * `memif-station SOCKET MAC IPV4/PREFIX IPV6/PREFIX ask ADDRESS:PORT BYTES` sends so many bytes, and a
//!   hundred datagrams, to a server that echoes, and compares what comes back; `ask-stream` the former only.
//!
//! A prefix length may be followed by `@` and the gateway. It ends when the link does.

use std::collections::{HashMap, HashSet, VecDeque};
use std::env;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use dataplane::MacAddr;
use dataplane::offload::{Checksum, Segmenter, VirtioNetHeader, complete_checksum};
use dataplane::stack_port::Tag;
use memif::queue::TxError;
use memif::{Address, ClientConfig, InterfaceId, RxQueue, TxQueue, wait_for_frames};
use stack::{
    Addressing, Config, ConnectionId, Event, Ipv4Config, Ipv6Config, Link, Ready, Stack, UdpId,
};

const USAGE: &str =
    "memif-station SOCKET MAC IPV4/PREFIX IPV6/PREFIX serve PORT | ask[-stream] ADDRESS:PORT BYTES";

/// How long the server may take to come, and a client to be answered.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a datagram's answer is waited for before it is sent again.
const AGAIN: Duration = Duration::from_secs(1);

const MTU: u16 = 1500;
const DATAGRAMS: u32 = 100;
/// Frames are no longer than this.
const LARGEST: usize = 2048;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("memif-station: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [socket, mac, v4, v6, job, what, ref more @ ..] = words[..] else {
        bail!("usage: {USAGE}")
    };
    let mut station = Station::open(socket, mac, v4, v6)?;
    match (job, more) {
        ("serve", []) => station.serve(what.parse().context("PORT")?),
        ("ask" | "ask-stream", [bytes]) => {
            let to = what.parse().context("ADDRESS:PORT")?;
            station.ask_by_stream(to, bytes.parse().context("BYTES")?)?;
            if job == "ask" { station.ask_by_datagrams(to) } else { Ok(()) }
        }
        _ => bail!("usage: {USAGE}"),
    }
}

/// The link's transmit queue, for the stack.
struct Wire {
    queue: TxQueue,
    gone: VecDeque<Tag>,
    fault: bool,
}

impl Wire {
    fn push(&mut self, frame: &[u8]) {
        // A peer that does not read loses frames, after a while.
        let end = Instant::now() + Duration::from_millis(100);
        loop {
            match self.queue.push(frame) {
                Ok(()) => return,
                Err(TxError::Fault(_)) => self.fault = true,
                Err(_) if Instant::now() < end => {
                    self.fault |= self.queue.flush().is_err();
                    std::thread::yield_now();
                }
                Err(_) => {}
            }
            if self.fault || Instant::now() >= end {
                return;
            }
        }
    }
}

impl Link for Wire {
    fn room(&self) -> usize {
        usize::MAX
    }

    fn send<R>(
        &mut self,
        len: usize,
        tag: Tag,
        fill: impl FnOnce(&mut [u8]) -> (VirtioNetHeader, R),
    ) -> (R, bool) {
        let mut frame = vec![0; len];
        let (offload, result) = fill(&mut frame);
        if offload.segmentation.is_some() {
            let mut piece = [0; LARGEST];
            if let Ok(mut segments) = Segmenter::new(&frame, offload, MTU.into()) {
                while let Some(segment) = segments.next_segment() {
                    let length = segment.write_to(&mut piece).unwrap_or(0);
                    self.push(&piece[..length]);
                }
            }
        } else {
            if let Checksum::Partial { start, offset } = offload.checksum {
                // Inside: the stack made the frame.
                let _ = complete_checksum(&mut frame, start, offset);
            }
            self.push(&frame);
        }
        self.gone.push_back(tag);
        (result, true)
    }

    fn gone(&mut self) -> Option<Tag> {
        self.gone.pop_front()
    }
}

struct Station {
    stack: Stack,
    wire: Wire,
    receive: Vec<RxQueue>,
    /// Who sent datagrams.
    known: HashSet<SocketAddr>,
    _link: memif::Link,
}

impl Station {
    fn open(socket: &str, mac: &str, v4: &str, v6: &str) -> Result<Self> {
        let address: Address = socket.parse()?;
        let config = ClientConfig::new(InterfaceId::default());
        let mut link = memif::connect(&address, config, PATIENCE)?;
        let queues = link.take_queues().context("the link has no queues")?;
        let queue = queues.tx.into_iter().next().context("the link has no transmit queue")?;
        let (address, prefix, gateway) = parse_place::<Ipv4Addr>(v4)?;
        let ipv4 = Some(Ipv4Config { address, prefix, gateway });
        let (address, prefix, gateway) = parse_place::<Ipv6Addr>(v6)?;
        let ipv6 = Some(Ipv6Config { address, prefix, gateway });
        let addressing = Addressing { mac: parse_mac(mac)?, ipv4, ipv6, mtu: MTU };
        // Nobody attacks a test's own station.
        let stack = Stack::new(Config::new(addressing, 1), Instant::now());
        let wire = Wire { queue, gone: VecDeque::new(), fault: false };
        Ok(Self { stack, wire, receive: queues.rx, known: HashSet::new(), _link: link })
    }

    /// Frames in, frames out, and a sleep when there are none.
    fn turn(&mut self) -> Result<()> {
        let Self { stack, wire, receive, .. } = self;
        let mut buffer = [0; LARGEST];
        let mut idle = true;
        for queue in &mut *receive {
            for frame in queue.batch(64)?.frames() {
                idle = false;
                let length = frame.copy_to(&mut buffer);
                stack.receive(Instant::now(), &buffer[..length], VirtioNetHeader::PLAIN, wire);
            }
        }
        let next = stack.poll(Instant::now(), wire);
        wire.queue.flush()?;
        ensure!(!wire.fault, "the link is down");
        if idle {
            let most = Duration::from_millis(20);
            let left = next.at.map_or(most, |at| at.saturating_duration_since(Instant::now()));
            wait_for_frames(receive, Some(left.min(most)))?;
        }
        Ok(())
    }

    fn serve(&mut self, port: u16) -> Result<()> {
        let mut echoes: HashMap<ConnectionId, VecDeque<u8>> = HashMap::new();
        for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()] {
            self.stack.listen(Instant::now(), (any, port).into(), 16)?;
            self.stack.udp_bind(Instant::now(), (any, port).into())?;
        }
        println!("serving");
        loop {
            self.turn()?;
            while let Some(event) = self.stack.next_event() {
                match event {
                    Event::Acceptable(listener) => {
                        while let Some(id) = self.stack.accept(listener)? {
                            if let Some((_, from)) = self.stack.ends(id) {
                                println!("stream {from}");
                            }
                            echoes.insert(id, VecDeque::new());
                        }
                    }
                    Event::Connection(..) | Event::DatagramRefused(..) | Event::PathChanged(_) => {}
                    Event::Datagram(socket) => self.echo_datagrams(socket),
                }
            }
            echoes.retain(|id, held| self.echo(*id, held));
        }
    }

    fn echo_datagrams(&mut self, socket: UdpId) {
        while let Ok(Some(received)) = self.stack.udp_receive(socket) {
            if self.known.insert(received.from) {
                println!("datagram {}", received.from);
            }
            let fill = |out: &mut [u8]| out.copy_from_slice(&received.data);
            let (now, length) = (Instant::now(), received.data.len());
            // What finds no room is lost, as datagrams are.
            let _ = self.stack.udp_send(now, socket, received.from, length, &mut self.wire, fill);
        }
    }

    /// Moves what came back; `false` when the connection is over.
    fn echo(&mut self, id: ConnectionId, held: &mut VecDeque<u8>) -> bool {
        let now = Instant::now();
        while held.len() < 1 << 18 {
            let read = self.stack.read(now, id, |bytes| {
                held.extend(bytes);
                (bytes.len(), bytes.len())
            });
            if read.unwrap_or(0) == 0 {
                break;
            }
        }
        self.send_front(id, held);
        let over = self.stack.error(id).is_some();
        if over || held.is_empty() && self.stack.peer_closed(id) && self.stack.readable(id) == 0 {
            self.stack.close(now, id);
            return false;
        }
        true
    }

    fn send_front(&mut self, id: ConnectionId, held: &mut VecDeque<u8>) {
        while !held.is_empty() {
            let (front, _) = held.as_slices();
            let sent = self.stack.send(id, |room| {
                let length = room.len().min(front.len());
                room[..length].copy_from_slice(&front[..length]);
                (length, length)
            });
            match sent {
                Ok(length @ 1..) => drop(held.drain(..length)),
                Ok(0) | Err(_) => return,
            }
        }
    }

    fn ask_by_stream(&mut self, to: SocketAddr, bytes: usize) -> Result<()> {
        let byte = |at: usize| u8::try_from((at ^ at >> 8 ^ at >> 16) & 0xff).unwrap_or_default();
        let mut unsent: VecDeque<u8> = (0..bytes).map(byte).collect();
        let id = self.stack.connect(Instant::now(), None, to)?;
        let end = Instant::now() + PATIENCE;
        let (mut connected, mut shut, mut received) = (false, false, 0);
        while !(shut && self.stack.peer_closed(id) && self.stack.readable(id) == 0) {
            ensure!(Instant::now() < end, "after {received} bytes nothing more comes");
            self.turn()?;
            while let Some(event) = self.stack.next_event() {
                let Event::Connection(_, ready) = event else { continue };
                connected |= ready.contains(Ready::CONNECTED);
            }
            if let Some(error) = self.stack.error(id) {
                bail!("after {received} bytes: {error}");
            }
            if !connected {
                continue;
            }
            self.send_front(id, &mut unsent);
            if unsent.is_empty() && !shut {
                self.stack.shutdown(id)?;
                shut = true;
            }
            let mut right = true;
            self.stack.read(Instant::now(), id, |data| {
                right = data.iter().enumerate().all(|(at, it)| *it == byte(received + at));
                received += data.len();
                (data.len(), ())
            })?;
            ensure!(right, "wrong bytes before {received}");
        }
        ensure!(received == bytes, "{received} of {bytes} bytes came back");
        self.stack.close(Instant::now(), id);
        // The server is to know that its end has come.
        self.turn()?;
        println!("{bytes} bytes");
        Ok(())
    }

    fn ask_by_datagrams(&mut self, to: SocketAddr) -> Result<()> {
        let own = self.stack.source_for(to.ip()).context("an address of that IP version")?;
        let socket = self.stack.udp_bind(Instant::now(), (own, 4000).into())?;
        let end = Instant::now() + PATIENCE;
        for number in 0..DATAGRAMS {
            let mut data = vec![0; 4 + (number as usize * 37) % 1400];
            data.fill(number.to_be_bytes()[3]);
            data[..4].copy_from_slice(&number.to_be_bytes());
            let mut sent: Option<Instant> = None;
            'answered: loop {
                ensure!(Instant::now() < end, "datagram {number} is not answered");
                if sent.is_none_or(|at| at.elapsed() > AGAIN) {
                    sent = Some(Instant::now());
                    let fill = |out: &mut [u8]| out.copy_from_slice(&data);
                    let now = Instant::now();
                    // It is sent again if it was not sent.
                    let _ = self.stack.udp_send(now, socket, to, data.len(), &mut self.wire, fill);
                }
                self.turn()?;
                while self.stack.next_event().is_some() {}
                while let Some(received) = self.stack.udp_receive(socket)? {
                    ensure!(received.from == to, "an answer of {}", received.from);
                    // An answer to an earlier try may come late.
                    if received.data.get(..4) == data.get(..4) {
                        ensure!(*received.data == *data, "datagram {number} came back changed");
                        break 'answered;
                    }
                }
            }
        }
        Ok(())
    }
}

/// `ADDRESS/PREFIX` or `ADDRESS/PREFIX@GATEWAY`.
fn parse_place<A: FromStr<Err = AddrParseError>>(text: &str) -> Result<(A, u8, Option<A>)> {
    let (own, gateway) = text.split_once('@').map_or((text, None), |(a, b)| (a, Some(b)));
    let (address, prefix) = own.split_once('/').context("ADDRESS/PREFIX")?;
    let gateway = gateway.map(str::parse).transpose().context("the gateway")?;
    Ok((address.parse().context("the address")?, prefix.parse()?, gateway))
}

fn parse_mac(text: &str) -> Result<MacAddr> {
    let bytes: Result<Vec<u8>, _> = text.split(':').map(|it| u8::from_str_radix(it, 16)).collect();
    let bytes: [u8; 6] = bytes?.try_into().ok().context("six bytes")?;
    Ok(MacAddr(bytes))
}
