//! The server: reads everything, and sends it back if the rhythm wants that.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mio::event::Event;
use mio::net::{TcpListener, UnixListener};
use mio::{Events, Interest, Poll, Token};

use super::socket::{Ready, Socket};
use crate::benchmark::{Rhythm, SocketLoad};
use crate::worker::orders::{Meter, tell};
use crate::worker::rest::Rest;
use crate::worker::{Place, Report, Tally};

/// Bytes of one read.
const BUFFER: usize = 256 << 10;
/// Reads of one connection before the others get their turn.
const TURN: usize = 8;
/// Longest wait: orders from the parent wake nobody.
const NAP: Duration = Duration::from_millis(5);

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    socket: Socket,
    /// Bytes to be sent back.
    owed: Vec<u8>,
}

struct Server {
    poll: Poll,
    listener: Listener,
    /// `None` once closed by the client.
    connections: Vec<Option<Connection>>,
    ready: Ready,
    echoes: bool,
    buffer: Vec<u8>,
    tally: Tally,
    message: u64,
}

/// Serves until told to stop; then takes what still comes.
pub(in crate::worker) fn serve(place: &Place, load: SocketLoad) -> Result<()> {
    super::room_for(load.connections)?;
    let mut meter = Meter::start()?;
    let mut server = Server::listen(place, load)?;
    tell(&Report::Listening)?;
    let mut events = Events::with_capacity(1024);
    while meter.runs(&server.tally)? {
        server.turn(&mut events)?;
    }
    let mut rest = Rest::begins();
    loop {
        let (began, before) = (Instant::now(), server.tally.received_bytes);
        server.turn(&mut events)?;
        if rest.is_over(began, server.tally.received_bytes != before) {
            return meter.finish(server.tally);
        }
    }
}

impl Server {
    fn listen(place: &Place, load: SocketLoad) -> Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        let listener = match place {
            Place::Tcp(address) => {
                let mut listener = TcpListener::bind(*address)
                    .with_context(|| format!("cannot listen on {address}"))?;
                registry.register(&mut listener, LISTENER, Interest::READABLE)?;
                Listener::Tcp(listener)
            }
            Place::Unix(path) => {
                let mut listener = UnixListener::bind(path)
                    .with_context(|| format!("cannot listen on {}", path.display()))?;
                registry.register(&mut listener, LISTENER, Interest::READABLE)?;
                Listener::Unix(listener)
            }
        };
        Ok(Self {
            poll,
            listener,
            connections: Vec::new(),
            ready: Ready::default(),
            echoes: load.rhythm != Rhythm::Stream,
            buffer: vec![0; BUFFER],
            tally: Tally::default(),
            message: u64::from(load.message),
        })
    }

    /// Waits for events unless there is something to do, and does it.
    fn turn(&mut self, events: &mut Events) -> Result<()> {
        let patience = if self.ready.is_empty() { NAP } else { Duration::ZERO };
        match self.poll.poll(events, Some(patience)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for token in events.iter().map(Event::token) {
            if token == LISTENER {
                self.accept()?;
            } else {
                self.ready.add(token.0);
            }
        }
        for number in self.ready.take() {
            if self.serve(number)? {
                self.ready.add(number);
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let accepted = match &self.listener {
                Listener::Tcp(listener) => listener.accept().and_then(|(socket, _)| {
                    socket.set_nodelay(true)?;
                    Ok(Socket::Tcp(socket))
                }),
                Listener::Unix(listener) => listener.accept().map(|it| Socket::Unix(it.0)),
            };
            let mut socket = match accepted {
                Ok(socket) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot accept"),
            };
            let number = self.connections.len();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(number), interest)?;
            self.connections.push(Some(Connection { socket, owed: Vec::new() }));
            self.ready.add(number);
        }
    }

    /// Whether there may be more to do at once.
    fn serve(&mut self, number: usize) -> Result<bool> {
        let Some(connection) = self.connections.get_mut(number).and_then(Option::as_mut) else {
            return Ok(false);
        };
        if !connection.pay()? {
            // It is told when there is room.
            return Ok(false);
        }
        for _ in 0..TURN {
            match connection.socket.take(&mut self.buffer)? {
                None => return Ok(false),
                Some(0) => {
                    self.connections[number] = None;
                    return Ok(false);
                }
                Some(bytes) => {
                    self.tally.received_bytes += bytes as u64;
                    self.tally.received = self.tally.received_bytes / self.message;
                    if self.echoes {
                        connection.owed.extend_from_slice(&self.buffer[..bytes]);
                        if !connection.pay()? {
                            return Ok(false);
                        }
                    }
                }
            }
        }
        Ok(true)
    }
}

impl Connection {
    /// Sends back what is owed; whether all of it went.
    fn pay(&mut self) -> Result<bool> {
        let mut paid = 0;
        while paid < self.owed.len() {
            match self.socket.put(&self.owed[paid..])? {
                Some(bytes) => paid += bytes,
                None => break,
            }
        }
        self.owed.drain(..paid);
        Ok(self.owed.is_empty())
    }
}
