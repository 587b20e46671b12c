//! The client: sends by its rhythm, and times what comes back.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::socket::{Ready, Socket};
use crate::benchmark::{Rhythm, SocketLoad};
use crate::pace::Pace;
use crate::worker::orders::{Meter, tell};
use crate::worker::timing::Timing;
use crate::worker::{Place, Report, Tally};

/// Bytes of one read.
const BUFFER: usize = 256 << 10;
/// Writes or reads of one connection before the others get their turn.
const TURN: usize = 8;
/// Longest wait for an answer after the end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait: orders from the parent wake nobody.
const NAP: Duration = Duration::from_millis(5);

struct Connection {
    socket: Socket,
    /// Bytes of messages that have begun and are not written yet.
    unwritten: usize,
    /// When the messages whose answers are awaited were due, in nanoseconds since the start.
    due: VecDeque<u64>,
    /// Bytes of the first of those answers that are there.
    answered: usize,
}

struct Client {
    poll: Poll,
    connections: Vec<Connection>,
    ready: Ready,
    message: usize,
    rhythm: Rhythm,
    start: Instant,
    /// Messages of the fixed rate that have begun.
    begun: u64,
    timing: Timing,
    tally: Tally,
    out: Vec<u8>,
    into: Vec<u8>,
}

/// Connects and works until told to stop.
pub(in crate::worker) fn load(place: &Place, load: SocketLoad) -> Result<()> {
    super::room_for(load.connections)?;
    let mut meter = Meter::start()?;
    let pace = match load.rhythm {
        Rhythm::Fixed(rate) => Some(Pace::new(rate).context("at least 1 a second")?),
        _ => None,
    };
    let mut client = Client::connect(place, load)?;
    tell(&Report::Linked)?;
    if load.rhythm == Rhythm::RoundTrip {
        for number in 0..client.connections.len() {
            client.begin(number, client.now());
        }
    }
    let mut events = Events::with_capacity(1024);
    while meter.runs(&client.tally)? {
        client.timing.follow(&meter)?;
        if let Some(pace) = pace.filter(|_| meter.may_begin()) {
            client.keep_pace(pace);
        }
        client.turn(&mut events, meter.may_begin())?;
    }
    if load.rhythm != Rhythm::Stream {
        client.end_flight(&mut events)?;
    }
    ensure!(client.tally.sent > 0, "nothing was sent");
    meter.finish(client.tally)
}

impl Client {
    fn connect(place: &Place, load: SocketLoad) -> Result<Self> {
        ensure!(load.connections > 0 && load.message > 0, "at least one connection and one byte");
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        let mut ready = Ready::default();
        for number in 0..load.connections as usize {
            let mut socket = Socket::connect(place)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut socket, Token(number), interest)?;
            let due = VecDeque::new();
            connections.push(Connection { socket, unwritten: 0, due, answered: 0 });
            ready.add(number);
        }
        let message = load.message as usize;
        Ok(Self {
            poll,
            connections,
            ready,
            message,
            rhythm: load.rhythm,
            start: Instant::now(),
            begun: 0,
            timing: Timing::default(),
            tally: Tally::default(),
            out: vec![0x61; message],
            into: vec![0; BUFFER],
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Begins a message that was due at `due`.
    fn begin(&mut self, number: usize, due: u64) {
        let connection = &mut self.connections[number];
        connection.unwritten += self.message;
        connection.due.push_back(due);
        self.ready.add(number);
    }

    /// Begins all that is due, on one connection after the other.
    fn keep_pace(&mut self, pace: Pace) {
        let due = pace.released(self.now());
        let count = self.connections.len() as u64;
        while self.begun < due {
            let number = usize::try_from(self.begun % count).unwrap_or_default();
            self.begin(number, pace.due(self.begun));
            self.begun += 1;
        }
    }

    /// Waits for events unless there is something to do or a rate to keep, and does it.
    fn turn(&mut self, events: &mut Events, may_begin: bool) -> Result<()> {
        let waits = self.ready.is_empty() && !matches!(self.rhythm, Rhythm::Fixed(_));
        let patience = if waits { NAP } else { Duration::ZERO };
        match self.poll.poll(events, Some(patience)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for token in events.iter().map(Event::token) {
            self.ready.add(token.0);
        }
        for number in self.ready.take() {
            let more = match self.rhythm {
                Rhythm::Stream => may_begin && self.write_on(number)?,
                Rhythm::RoundTrip | Rhythm::Fixed(_) => self.exchange(number, may_begin)?,
            };
            if more {
                self.ready.add(number);
            }
        }
        Ok(())
    }

    /// Takes the answers to all that was sent. A server that cannot send them back reads no further: without this, bytes
    /// stay on the way that nobody counts.
    fn end_flight(&mut self, events: &mut Events) -> Result<()> {
        for (number, connection) in self.connections.iter_mut().enumerate() {
            connection.forget_unbegun(self.message);
            self.ready.add(number);
        }
        let (mut moved, mut before) = (Instant::now(), self.tally);
        while self.connections.iter().any(|it| !it.due.is_empty()) {
            self.turn(events, false)?;
            if self.tally != before {
                (moved, before) = (Instant::now(), self.tally);
            }
            ensure!(moved.elapsed() < PATIENCE, "answers are missing: {:?}", self.tally);
        }
        Ok(())
    }

    /// Writes messages while there is room; whether there may be more.
    fn write_on(&mut self, number: usize) -> Result<bool> {
        let connection = &mut self.connections[number];
        for _ in 0..TURN {
            if connection.unwritten == 0 {
                connection.unwritten = self.message;
            }
            if !connection.write(&self.out)? {
                return Ok(false);
            }
            self.tally.sent += u64::from(connection.unwritten == 0);
        }
        Ok(true)
    }

    /// Writes what has begun and reads what came back; whether there may be more.
    fn exchange(&mut self, number: usize, may_begin: bool) -> Result<bool> {
        self.write_out(number)?;
        for _ in 0..TURN {
            let connection = &mut self.connections[number];
            let Some(bytes) = connection.socket.take(&mut self.into)? else { return Ok(false) };
            if bytes == 0 {
                bail!("the server closed a connection");
            }
            self.tally.received_bytes += bytes as u64;
            connection.answered += bytes;
            while self.connections[number].answered >= self.message {
                let connection = &mut self.connections[number];
                connection.answered -= self.message;
                let due = connection.due.pop_front().context("an answer to nothing")?;
                let now = self.now();
                self.timing.record(now.saturating_sub(due));
                self.tally.received += 1;
                if self.rhythm == Rhythm::RoundTrip && may_begin {
                    self.begin(number, now);
                }
            }
            self.write_out(number)?;
        }
        Ok(true)
    }

    fn write_out(&mut self, number: usize) -> Result<()> {
        let (message, connection) = (self.message, &mut self.connections[number]);
        while connection.unwritten > 0 {
            let before = connection.unwritten.div_ceil(message);
            let room = connection.write(&self.out)?;
            self.tally.sent += (before - connection.unwritten.div_ceil(message)) as u64;
            if !room {
                break;
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Drops the messages of which nothing was written.
    fn forget_unbegun(&mut self, message: usize) {
        let unbegun = self.unwritten / message;
        self.unwritten %= message;
        self.due.truncate(self.due.len() - unbegun);
    }

    /// Writes the rest of the message that has begun; whether there was room.
    fn write(&mut self, out: &[u8]) -> Result<bool> {
        // Of several messages that wait, the first one's rest.
        let rest = (self.unwritten - 1) % out.len() + 1;
        match self.socket.put(&out[out.len() - rest..])? {
            Some(bytes) => {
                self.unwritten -= bytes;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}
