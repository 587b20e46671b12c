//! What the stacks of the lab do with connections: send back, swallow, pour out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use dataplane::stack_port::StackPort;
use stack::{ConnectionId, Event, ListenerId, Ready, Stack, UdpId};

/// What is done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Everything comes back; closes after the peer.
    Echo,
    /// Everything is compared with [`pattern`]; closes after the peer.
    Swallow,
    /// Pours out so many bytes of the pattern, then closes.
    Pour(u64),
    /// The same two without looking at the bytes.
    Discard,
    PourZeros(u64),
}

/// The byte at a place of every tested stream: no period that matches a buffer or segment.
pub(crate) fn fill_pattern(from: u64, bytes: &mut [u8]) {
    let phase = usize::try_from(from % PERIOD as u64).expect("small");
    let mut at = 0;
    while at < bytes.len() {
        let start = (phase + at) % PERIOD;
        let count = (PERIOD - start).min(bytes.len() - at);
        bytes[at..at + count].copy_from_slice(&TABLE[start..start + count]);
        at += count;
    }
}

/// Whether `bytes` are those of the pattern from `from` on.
pub(crate) fn is_pattern(from: u64, bytes: &[u8]) -> bool {
    let phase = usize::try_from(from % PERIOD as u64).expect("small");
    let mut at = 0;
    while at < bytes.len() {
        let start = (phase + at) % PERIOD;
        let count = (PERIOD - start).min(bytes.len() - at);
        if bytes[at..at + count] != TABLE[start..start + count] {
            return false;
        }
        at += count;
    }
    true
}

/// A prime.
const PERIOD: usize = 16_381;
static TABLE: [u8; PERIOD] = table();

const fn table() -> [u8; PERIOD] {
    let mut table = [0; PERIOD];
    let mut state = 0x2545_f491_u32;
    let mut at = 0;
    while at < PERIOD {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        table[at] = state.to_le_bytes()[1];
        at += 1;
    }
    table
}

#[derive(Debug)]
struct Running {
    job: Job,
    /// Bytes that are still to be sent back.
    kept: Vec<u8>,
    received: u64,
    sent: u64,
    intact: bool,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) intact: bool,
    pub(crate) error: Option<stack::StackError>,
}

/// All services of one stack.
#[derive(Debug, Default)]
pub(crate) struct Services {
    listeners: HashMap<ListenerId, Job>,
    running: HashMap<ConnectionId, Running>,
    pub(crate) ended: HashMap<ConnectionId, Ended>,
    pub(crate) last: Vec<Ended>,
    echo: Vec<UdpId>,
    pub(crate) datagrams: Vec<(UdpId, stack::Received)>,
    pub(crate) refused: Vec<UdpId>,
}

impl Services {
    pub(crate) fn listen(&mut self, stack: &mut Stack, at: SocketAddr, job: Job, now: Instant) {
        let listener = stack.listen(now, at, 128).expect("listens");
        self.listeners.insert(listener, job);
    }

    pub(crate) fn connect(
        &mut self,
        stack: &mut Stack,
        to: SocketAddr,
        job: Job,
        now: Instant,
    ) -> ConnectionId {
        let id = stack.connect(now, None, to).expect("starts");
        self.running.insert(id, Running::new(job));
        id
    }

    pub(crate) fn udp_echo(&mut self, stack: &mut Stack, at: SocketAddr, now: Instant) {
        self.echo.push(stack.udp_bind(now, at).expect("binds"));
    }

    pub(crate) fn handle(
        &mut self,
        stack: &mut Stack,
        link: &mut StackPort,
        event: Event,
        now: Instant,
    ) {
        match event {
            Event::Acceptable(listener) => {
                let Some(&job) = self.listeners.get(&listener) else { return };
                while let Ok(Some(id)) = stack.accept(listener) {
                    self.running.insert(id, Running::new(job));
                    self.work(stack, id, now);
                }
            }
            Event::Connection(id, ready) => {
                self.work(stack, id, now);
                if ready.contains(Ready::CLOSED) {
                    self.end(stack, id, now);
                }
            }
            Event::Datagram(socket) => {
                while let Ok(Some(received)) = stack.udp_receive(socket) {
                    if !self.echo.contains(&socket) {
                        self.datagrams.push((socket, received));
                        continue;
                    }
                    let fill = |data: &mut [u8]| data.copy_from_slice(&received.data);
                    let len = received.data.len();
                    // What finds no room is lost, as datagrams are.
                    let _ = stack.udp_send(now, socket, received.from, len, link, fill);
                }
            }
            Event::DatagramRefused(socket, _) => self.refused.push(socket),
            Event::PathChanged(_) => {}
        }
    }

    fn work(&mut self, stack: &mut Stack, id: ConnectionId, now: Instant) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let done = match running.job {
            Job::Echo => running.echo(stack, id, now),
            Job::Swallow => running.swallow(stack, id, now),
            Job::Pour(count) => running.pour(stack, id, count, fill_pattern),
            Job::Discard => running.discard(stack, id, now),
            Job::PourZeros(count) => running.pour(stack, id, count, |_, bytes| bytes.fill(0)),
        };
        if done {
            // Ends with the last acknowledgement; or is over already.
            let _ = stack.shutdown(id);
        }
    }

    fn end(&mut self, stack: &mut Stack, id: ConnectionId, now: Instant) {
        let Some(running) = self.running.remove(&id) else { return };
        let Running { received, sent, intact, .. } = running;
        let ended = Ended { received, sent, intact, error: stack.error(id) };
        self.ended.insert(id, ended);
        self.last.push(ended);
        stack.close(now, id);
    }
}

impl Running {
    fn new(job: Job) -> Self {
        Self { job, kept: Vec::new(), received: 0, sent: 0, intact: true }
    }

    /// Copies as long as both sides go on; `true` when the peer has ended and has everything.
    fn echo(&mut self, stack: &mut Stack, id: ConnectionId, now: Instant) -> bool {
        loop {
            while !self.kept.is_empty() {
                let kept = &self.kept;
                let put = stack.send(id, |buffer| {
                    let count = buffer.len().min(kept.len());
                    buffer[..count].copy_from_slice(&kept[..count]);
                    (count, count)
                });
                match put {
                    Ok(count) if count > 0 => {
                        self.sent += count as u64;
                        self.kept.drain(..count);
                    }
                    _ => return false,
                }
            }
            let kept = &mut self.kept;
            let took = stack.read(now, id, |bytes| {
                kept.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            });
            match took {
                Ok(count) if count > 0 => self.received += count as u64,
                _ => return stack.peer_closed(id),
            }
        }
    }

    fn swallow(&mut self, stack: &mut Stack, id: ConnectionId, now: Instant) -> bool {
        loop {
            let from = self.received;
            let took =
                stack.read(now, id, |bytes| (bytes.len(), (bytes.len(), is_pattern(from, bytes))));
            match took {
                Ok((count, same)) if count > 0 => {
                    self.intact &= same;
                    self.received += count as u64;
                }
                _ => return stack.peer_closed(id),
            }
        }
    }

    fn discard(&mut self, stack: &mut Stack, id: ConnectionId, now: Instant) -> bool {
        loop {
            match stack.read(now, id, |bytes| (bytes.len(), bytes.len())) {
                Ok(count) if count > 0 => self.received += count as u64,
                _ => return stack.peer_closed(id),
            }
        }
    }

    fn pour(
        &mut self,
        stack: &mut Stack,
        id: ConnectionId,
        count: u64,
        fill: impl Fn(u64, &mut [u8]),
    ) -> bool {
        while self.sent < count {
            let (from, left) = (self.sent, count - self.sent);
            let put = stack.send(id, |buffer| {
                let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                fill(from, &mut buffer[..count]);
                (count, count)
            });
            match put {
                Ok(count) if count > 0 => self.sent += count as u64,
                _ => return false,
            }
        }
        true
    }
}
