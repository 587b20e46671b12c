//! The client's shell: connects, and connects again.
//!
//! As with the listener, one epoll descriptor drives it: wait until the client is readable or
//! [`Client::next_deadline`] has come, then call [`Client::poll`]. [`connect`] does that for
//! programs that want one link and have no event loop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;

use crate::address::Address;
use crate::config::{ClientConfig, Reconnect};
use crate::error::ConnectError;
use crate::handshake::{ClientAction, ClientHandshake, HandshakeError, PeerNames, Stage};
use crate::link::{Control, DisconnectReason, Facts, Link};
use crate::memory::{ClientLayout, ClientMemory, RegionError};
use crate::parameters::{InterfaceId, Role};
use crate::socket::{ControlSocket, ReceiveError, Received};
use crate::text::Reason;
use crate::wait::wait_readable;

/// A memif client.
#[derive(Debug)]
pub struct Client {
    address: Address,
    config: ClientConfig,
    epoll: OwnedFd,
    state: State,
    /// Attempts since the last link that lasted.
    attempts: u32,
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The link is up; dropping it disconnects.
    Connected(Link),
    /// An attempt failed; [`Client::next_deadline`] says when the next one comes.
    Failed(ConnectError),
    /// The link is over, whichever end ended it.
    Disconnected(DisconnectReason),
}

#[derive(Debug)]
enum State {
    /// Until the next attempt; `None`: there is none.
    Waiting(Option<Instant>),
    Connecting(Box<Attempt>),
    Connected {
        control: Arc<Control>,
        since: Instant,
    },
}

/// A connection whose handshake is under way.
#[derive(Debug)]
struct Attempt {
    socket: ControlSocket,
    handshake: ClientHandshake<OwnedFd>,
    memory: Option<ClientMemory>,
}

impl Client {
    /// A client that makes its first attempt at the first [`Client::poll`].
    pub fn new(address: Address, config: ClientConfig, now: Instant) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { address, config, epoll, state: State::Waiting(Some(now)), attempts: 0 })
    }

    /// Where it connects to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// When to call [`Client::poll`] even if the descriptor is not readable.
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting(next) => *next,
            State::Connecting(attempt) => attempt.handshake.poll_timeout(),
            State::Connected { .. } => None,
        }
    }

    /// Does all that can be done at `now` without waiting.
    ///
    /// # Errors
    ///
    /// Only what makes the client itself unusable; a failed attempt is an event.
    pub fn poll(&mut self, now: Instant) -> io::Result<Vec<ClientEvent>> {
        let mut events = Vec::new();
        if let State::Connected { control, since } = &self.state
            && let Some(reason) = control.poll()
        {
            if self.lasted(*since, now) {
                self.attempts = 0;
            }
            events.push(ClientEvent::Disconnected(reason));
            self.wait(now)?;
        }
        if let State::Waiting(Some(next)) = self.state
            && next <= now
        {
            self.attempts = self.attempts.saturating_add(1);
            match self.attempt(now) {
                Ok(attempt) => self.state = State::Connecting(Box::new(attempt)),
                Err(error) => self.fail(error, now, &mut events)?,
            }
        }
        if let State::Connecting(attempt) = &mut self.state {
            match attempt.advance(now) {
                Ok(None) => {}
                Ok(Some(peer)) => self.establish(peer, now, &mut events)?,
                Err(error) => self.fail(error, now, &mut events)?,
            }
        }
        Ok(events)
    }

    fn attempt(&self, now: Instant) -> Result<Attempt, ConnectError> {
        let socket = ControlSocket::connect(&self.address).map_err(|source| {
            ConnectError::Unreachable { address: self.address.clone(), source }
        })?;
        epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(0), epoll::EventFlags::IN)
            .map_err(io::Error::from)?;
        let handshake = ClientHandshake::new(self.config.hello(), self.config.timeouts, now);
        Ok(Attempt { socket, handshake, memory: None })
    }

    fn establish(
        &mut self,
        peer: PeerNames,
        now: Instant,
        events: &mut Vec<ClientEvent>,
    ) -> io::Result<()> {
        let State::Connecting(attempt) = std::mem::replace(&mut self.state, State::Waiting(None))
        else {
            return Ok(());
        };
        match attempt.establish(self.config.id, peer) {
            Ok((control, link)) => {
                self.state = State::Connected { control, since: now };
                events.push(ClientEvent::Connected(link));
                Ok(())
            }
            Err(error) => self.fail(error, now, events),
        }
    }

    fn fail(
        &mut self,
        error: ConnectError,
        now: Instant,
        events: &mut Vec<ClientEvent>,
    ) -> io::Result<()> {
        events.push(ClientEvent::Failed(error));
        self.wait(now)
    }

    /// How far the attempt under way has come.
    fn stage(&self) -> Stage {
        match &self.state {
            State::Connecting(attempt) => attempt.handshake.stage(),
            State::Connected { .. } => Stage::Connected,
            State::Waiting(_) => Stage::Closed,
        }
    }

    /// Lets go of the socket and sets the time of the next attempt.
    fn wait(&mut self, now: Instant) -> io::Result<()> {
        let pause = self.config.reconnect.pause(self.attempts);
        let next = State::Waiting(pause.map(|pause| now + pause));
        let former = std::mem::replace(&mut self.state, next);
        if let State::Connected { control, .. } = former {
            // The link may hold the socket open for longer.
            epoll::delete(&self.epoll, &control)?;
        }
        Ok(())
    }

    /// A server that takes us and drops us at once must not be asked again at once.
    fn lasted(&self, since: Instant, now: Instant) -> bool {
        match self.config.reconnect {
            Reconnect::Never => false,
            Reconnect::Backoff { longest, .. } => now.duration_since(since) >= longest,
        }
    }
}

/// Readable when [`Client::poll`] has something to do.
impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

/// Connects once, waiting up to `patience` for a server to be there and to answer. The link does not
/// reconnect; drive a [`Client`] for that.
///
/// # Errors
///
/// What the last attempt failed with. A server that refuses is not asked again.
pub fn connect(
    address: &Address,
    config: ClientConfig,
    patience: Duration,
) -> Result<Link, ConnectError> {
    let start = Instant::now();
    let end = start + patience;
    let config = ClientConfig { reconnect: Reconnect::default(), ..config };
    let mut client = Client::new(address.clone(), config, start)?;
    let mut last = None;
    loop {
        let now = Instant::now();
        for event in client.poll(now)? {
            match event {
                ClientEvent::Connected(link) => return Ok(link),
                ClientEvent::Failed(error) if !may_pass(&error) => return Err(error),
                ClientEvent::Failed(error) => last = Some(error),
                ClientEvent::Disconnected(_) => {}
            }
        }
        if now >= end {
            return Err(match (&client.state, last) {
                (State::Waiting(_), Some(error)) => error,
                _ => HandshakeError::Timeout(client.stage()).into(),
            });
        }
        let until = client.next_deadline().map_or(end, |next| next.min(end));
        wait_readable(&[client.as_fd()], Some(until.saturating_duration_since(now)))?;
    }
}

/// Whether the same attempt could succeed a moment later: the server starts, or starts again.
fn may_pass(error: &ConnectError) -> bool {
    matches!(
        error,
        ConnectError::Unreachable { .. }
            | ConnectError::Handshake(HandshakeError::Eof(_) | HandshakeError::Timeout(_))
    )
}

impl Attempt {
    /// Handles every message that is there, and the deadline; `Some` when the link may come up.
    fn advance(&mut self, now: Instant) -> Result<Option<PeerNames>, ConnectError> {
        loop {
            let outcome = match self.socket.receive() {
                Ok(Received::Nothing) => {
                    let outcome = self.handshake.handle_timeout(now);
                    self.flush().ok();
                    return outcome.map(|()| None).map_err(Into::into);
                }
                Ok(Received::Eof) => Err(self.handshake.handle_eof()),
                Ok(Received::Message(message, fd)) => self.handshake.handle(message, fd),
                Err(ReceiveError::Protocol(error)) => Err(self.handshake.refuse(error)),
                Err(ReceiveError::Io(error)) => return Err(error.into()),
            };
            let sent = self.flush();
            outcome?;
            sent?;
            match self.handshake.poll_event() {
                Some(ClientAction::Prepare(layout)) => self.prepare(layout)?,
                Some(ClientAction::Connected(peer)) => return Ok(Some(peer)),
                None => {}
            }
        }
    }

    fn prepare(&mut self, layout: ClientLayout) -> Result<(), ConnectError> {
        let shared = ClientMemory::create(layout).and_then(|memory| {
            let shared = memory.share()?;
            self.memory = Some(memory);
            Ok(shared)
        });
        match shared {
            Ok(shared) => self.handshake.share(shared)?,
            Err(error) => {
                self.handshake.refuse(out_of_memory(&error));
                self.flush().ok();
                return Err(error.into());
            }
        }
        Ok(self.flush()?)
    }

    /// Sends what the handshake wants to say; our duplicates of the descriptors end with it.
    fn flush(&mut self) -> io::Result<()> {
        while let Some(outgoing) = self.handshake.poll_transmit() {
            let descriptor = outgoing.descriptor.as_ref().map(AsFd::as_fd);
            self.socket.send(&outgoing.message, descriptor)?;
        }
        Ok(())
    }

    /// Turns the connected attempt into a link.
    fn establish(
        self,
        id: InterfaceId,
        peer: PeerNames,
    ) -> Result<(Arc<Control>, Link), ConnectError> {
        let memory = self.memory.expect("CONNECTED comes after the memory was shared");
        let credentials = self.socket.credentials()?;
        let queues = memory.into_queues()?;
        let control = Arc::new(Control::new(self.socket, &queues)?);
        let facts = Facts { id, role: Role::Client, peer, credentials };
        Ok((Arc::clone(&control), Link::new(control, queues, facts)))
    }
}

fn out_of_memory(error: &RegionError) -> HandshakeError {
    HandshakeError::Memory(Reason::truncated(&error.to_string()))
}
