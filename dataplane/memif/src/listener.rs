//! The server's shell: one listening socket, any number of interfaces behind it.
//!
//! Everything hangs on one epoll descriptor, which is the listener's own: wait until it is readable
//! or [`Listener::next_deadline`] has come, then call [`Listener::poll`]. Nothing blocks and nothing
//! runs in between. A client that is slow, wrong or hostile costs its own connection, within the
//! caps and deadlines of [`ListenerConfig`].

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::address::Address;
use crate::config::{InterfaceConfig, ListenerConfig};
use crate::error::AcceptError;
use crate::handshake::{Announcement, HandshakeError, Lookup, Offer, ServerHandshake, disconnect};
use crate::link::{Control, Credentials, DisconnectReason, Facts, Link};
use crate::memory::{Queues, RegionError, server_queues};
use crate::netns;
use crate::parameters::{InterfaceId, Limits, Role};
use crate::socket::{ControlSocket, ListeningSocket, ReceiveError, Received};
use crate::text::Reason;

/// Offered to everyone: as many as VPP, so that its zero-copy clients do not hold back pools.
/// What an interface really takes is in its [`Limits`].
const OFFERED_REGIONS: u16 = 256;
/// Connections accepted, and descriptors looked at, in one go.
const BURST: usize = 64;
/// How long not to accept when descriptors or memory ran out.
const PAUSE: Duration = Duration::from_millis(100);
/// The epoll token of the listening socket; connections count on from it.
const LISTENING: u64 = 0;

/// A memif server.
#[derive(Debug)]
pub struct Listener {
    config: ListenerConfig,
    interfaces: BTreeMap<InterfaceId, Interface>,
    pending: BTreeMap<u64, Pending>,
    linked: BTreeMap<u64, InterfaceId>,
    next_token: u64,
    paused_until: Option<Instant>,
    epoll: OwnedFd,
    socket: ListeningSocket,
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenerEvent {
    /// A client is connected.
    Connected {
        /// To this interface.
        id: InterfaceId,
        /// The link; dropping it disconnects.
        link: Link,
    },
    /// A client was not taken, or gave up.
    Refused {
        /// The interface that it was admitted to, if it came that far.
        id: Option<InterfaceId>,
        /// Who it is.
        client: Credentials,
        /// Why.
        error: AcceptError,
    },
    /// A link is over, whichever end ended it; the interface waits for its next client.
    Disconnected {
        /// The interface.
        id: InterfaceId,
        /// Why.
        reason: DisconnectReason,
    },
    /// No connection can be accepted for a while, descriptors or memory having run out.
    Paused {
        /// The kernel's answer.
        error: io::Error,
        /// When it is tried again.
        until: Instant,
    },
}

/// The listener already has an interface with this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this listener already has an interface {0}")]
pub struct InterfaceExists(pub InterfaceId);

#[derive(Debug)]
struct Interface {
    config: InterfaceConfig,
    link: Option<(u64, Arc<Control>)>,
}

impl Interface {
    /// Looks at the control socket first, so that a client that died and came back at once is not
    /// told that it is still connected.
    fn is_taken(&self) -> bool {
        self.link.as_ref().is_some_and(|(_, control)| control.poll().is_none())
    }
}

/// A connection whose handshake is under way.
#[derive(Debug)]
struct Pending {
    socket: ControlSocket,
    handshake: ServerHandshake<OwnedFd>,
    client: Credentials,
}

/// How a step with a pending connection ended.
enum Progress {
    Waiting,
    Announced(Announcement<OwnedFd>),
}

impl Listener {
    /// Listens at `address`, in the network namespace of the calling thread.
    pub fn bind(address: &Address, config: ListenerConfig) -> io::Result<Self> {
        Self::new(ListeningSocket::bind(address)?, config)
    }

    /// Listens at `address` in another network namespace, which matters to abstract addresses.
    /// The listener keeps that namespace alive until it is dropped.
    pub fn bind_in(
        namespace: BorrowedFd<'_>,
        address: &Address,
        config: ListenerConfig,
    ) -> io::Result<Self> {
        Self::new(netns::within(namespace, || ListeningSocket::bind(address))?, config)
    }

    /// Listens on a bound socket, as handed over by a service manager or another process. Whoever
    /// bound it removes its file.
    pub fn from_socket(socket: OwnedFd, config: ListenerConfig) -> io::Result<Self> {
        Self::new(ListeningSocket::adopt(socket)?, config)
    }

    fn new(socket: ListeningSocket, config: ListenerConfig) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let token = epoll::EventData::new_u64(LISTENING);
        epoll::add(&epoll, &socket, token, epoll::EventFlags::IN)?;
        Ok(Self {
            config,
            interfaces: BTreeMap::new(),
            pending: BTreeMap::new(),
            linked: BTreeMap::new(),
            next_token: LISTENING + 1,
            paused_until: None,
            epoll,
            socket,
        })
    }

    /// The socket file, if it listens at a path.
    pub fn path(&self) -> Option<&Path> {
        self.socket.path()
    }

    /// Offers an interface.
    pub fn add(&mut self, config: InterfaceConfig) -> Result<(), InterfaceExists> {
        if self.interfaces.contains_key(&config.id) {
            return Err(InterfaceExists(config.id));
        }
        self.interfaces.insert(config.id, Interface { config, link: None });
        Ok(())
    }

    /// Withdraws an interface; its client, if it has one, is disconnected. Whether there was one.
    pub fn remove(&mut self, id: InterfaceId) -> bool {
        let Some(interface) = self.interfaces.remove(&id) else { return false };
        if let Some((token, control)) = interface.link {
            self.forget(token, &control);
            control.close("the interface was removed");
        }
        self.pending.retain(|_, pending| {
            let admitted = pending.handshake.id() == Some(id);
            if admitted {
                pending.handshake.refuse(HandshakeError::UnknownInterface(id));
                pending.flush().ok();
            }
            !admitted
        });
        true
    }

    /// Whether an interface has a client.
    pub fn is_connected(&self, id: InterfaceId) -> bool {
        self.interfaces.get(&id).is_some_and(Interface::is_taken)
    }

    /// When to call [`Listener::poll`] even if the descriptor is not readable.
    pub fn next_deadline(&self) -> Option<Instant> {
        let handshakes = self.pending.values().filter_map(|it| it.handshake.poll_timeout());
        handshakes.chain(self.paused_until).min()
    }

    /// Does all that can be done at `now` without waiting.
    ///
    /// # Errors
    ///
    /// Only what makes the listener itself unusable; what goes wrong with a client is an event.
    pub fn poll(&mut self, now: Instant) -> io::Result<Vec<ListenerEvent>> {
        let mut events = Vec::new();
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            self.watch_listening(epoll::EventFlags::IN)?;
        }
        for token in self.ready()? {
            if token == LISTENING {
                self.accept(now, &mut events)?;
            } else if let Some(id) = self.linked.get(&token).copied() {
                self.reap(id, &mut events);
            } else if let Some(pending) = self.pending.remove(&token) {
                self.advance(token, pending, &mut events);
            }
        }
        self.expire(now, &mut events);
        Ok(events)
    }

    fn ready(&self) -> io::Result<Vec<u64>> {
        let mut ready = Vec::with_capacity(BURST);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&now)) {
            Ok(_) | Err(Errno::INTR) => Ok(ready.iter().map(|event| event.data.u64()).collect()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn accept(&mut self, now: Instant, events: &mut Vec<ListenerEvent>) -> io::Result<()> {
        for _ in 0..BURST {
            match ControlSocket::accept(self.socket.as_fd()) {
                Ok(Some(socket)) => self.welcome(socket, now, events),
                Ok(None) => break,
                Err(error) if is_connections_own(&error) => {}
                Err(error) if is_shortage(&error) => {
                    let until = now + PAUSE;
                    self.paused_until = Some(until);
                    self.watch_listening(epoll::EventFlags::empty())?;
                    events.push(ListenerEvent::Paused { error, until });
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Greets a new connection, unless there are too many.
    fn welcome(&mut self, socket: ControlSocket, now: Instant, events: &mut Vec<ListenerEvent>) {
        let Ok(client) = socket.credentials() else { return };
        let of_user = self.pending.values().filter(|it| it.client.uid == client.uid).count();
        if self.pending.len() >= self.config.pending || of_user >= self.config.pending_per_user {
            let error = AcceptError::Crowded { pending: self.pending.len() };
            let _ = socket.send(&disconnect(&error.to_string()), None);
            events.push(ListenerEvent::Refused { id: None, client, error });
            return;
        }
        let token = self.next_token;
        self.next_token += 1;
        let handshake = ServerHandshake::new(self.offer(), self.config.timeouts, now);
        let mut pending = Pending { socket, handshake, client };
        let data = epoll::EventData::new_u64(token);
        let watched = epoll::add(&self.epoll, &pending.socket, data, epoll::EventFlags::IN);
        match watched.map_err(io::Error::from).and_then(|()| pending.flush()) {
            Ok(()) => drop(self.pending.insert(token, pending)),
            Err(error) => events.push(pending.refused(error.into())),
        }
    }

    /// HELLO comes before the client says which interface it wants, so the most generous counts.
    fn offer(&self) -> Offer {
        let rings = self.interfaces.values().map(|interface| interface.config.limits.rings).max();
        Offer {
            name: self.config.application,
            regions: OFFERED_REGIONS,
            rings: rings.unwrap_or(Limits::default().rings),
        }
    }

    /// Takes what a pending connection sent. It is dropped, and so closed, unless it goes on.
    fn advance(&mut self, token: u64, mut pending: Pending, events: &mut Vec<ListenerEvent>) {
        match pending.advance(&self.interfaces) {
            Ok(Progress::Waiting) => drop(self.pending.insert(token, pending)),
            Ok(Progress::Announced(announcement)) => {
                self.connect(token, pending, announcement, events);
            }
            Err(error) => events.push(pending.refused(error)),
        }
    }

    /// The client announced all: maps its memory and brings the link up.
    fn connect(
        &mut self,
        token: u64,
        mut pending: Pending,
        announcement: Announcement<OwnedFd>,
        events: &mut Vec<ListenerEvent>,
    ) {
        let id = announcement.id;
        self.reap(id, events);
        let Some(interface) = self.interfaces.get_mut(&id) else { return };
        if interface.link.is_some() {
            let error = pending.refuse(HandshakeError::Taken(id).into());
            events.push(pending.refused(error));
            return;
        }
        let config = &interface.config;
        let peer = announcement.peer;
        let queues = match server_queues(announcement.shared, config.policy, &config.limits) {
            Ok(queues) => queues,
            Err(error) => {
                let error = pending.refuse(error.into());
                events.push(pending.refused(error));
                return;
            }
        };
        let facts = Facts { id, role: Role::Server, peer, credentials: pending.client };
        match pending.establish(config, &queues) {
            Ok(control) => {
                interface.link = Some((token, Arc::clone(&control)));
                self.linked.insert(token, id);
                let link = Link::new(control, queues, facts);
                events.push(ListenerEvent::Connected { id, link });
            }
            Err(error) => {
                let (id, client) = (Some(id), facts.credentials);
                events.push(ListenerEvent::Refused { id, client, error });
            }
        }
    }

    /// Forgets an interface's link if it is over.
    fn reap(&mut self, id: InterfaceId, events: &mut Vec<ListenerEvent>) {
        let Some(interface) = self.interfaces.get_mut(&id) else { return };
        let Some((token, control)) = interface.link.take() else { return };
        match control.poll() {
            None => interface.link = Some((token, control)),
            Some(reason) => {
                self.forget(token, &control);
                events.push(ListenerEvent::Disconnected { id, reason });
            }
        }
    }

    /// The link may hold the socket open for longer, so it is taken out of the epoll set by hand.
    fn forget(&mut self, token: u64, control: &Control) {
        self.linked.remove(&token);
        let removed = epoll::delete(&self.epoll, control);
        debug_assert!(removed.is_ok(), "every linked socket is in the set");
    }

    fn expire(&mut self, now: Instant, events: &mut Vec<ListenerEvent>) {
        let late = self.pending.extract_if(.., |_, pending| {
            pending.handshake.poll_timeout().is_some_and(|deadline| deadline <= now)
        });
        for (_, mut pending) in late {
            if let Err(error) = pending.handshake.handle_timeout(now) {
                pending.flush().ok();
                events.push(pending.refused(error.into()));
            }
        }
    }

    fn watch_listening(&self, flags: epoll::EventFlags) -> io::Result<()> {
        let token = epoll::EventData::new_u64(LISTENING);
        Ok(epoll::modify(&self.epoll, &self.socket, token, flags)?)
    }
}

/// Readable when [`Listener::poll`] has something to do.
impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

impl Pending {
    /// Handles every message that is there. The state machine ends a client that sends more than
    /// its limits allow, so this ends too.
    fn advance(
        &mut self,
        interfaces: &BTreeMap<InterfaceId, Interface>,
    ) -> Result<Progress, AcceptError> {
        let lookup = |id: InterfaceId| match interfaces.get(&id) {
            None => Lookup::Unknown,
            Some(it) if it.is_taken() => Lookup::Taken(it.config.terms()),
            Some(it) => Lookup::Free(it.config.terms()),
        };
        loop {
            let outcome = match self.socket.receive() {
                Ok(Received::Nothing) => return Ok(Progress::Waiting),
                Ok(Received::Eof) => Err(self.handshake.handle_eof()),
                Ok(Received::Message(message, fd)) => self.handshake.handle(message, fd, lookup),
                Err(ReceiveError::Protocol(error)) => Err(self.handshake.refuse(error)),
                Err(ReceiveError::Io(error)) => return Err(error.into()),
            };
            let sent = self.flush();
            outcome?;
            sent?;
            if let Some(announcement) = self.handshake.poll_event() {
                return Ok(Progress::Announced(announcement));
            }
        }
    }

    /// Sends what the handshake wants to say.
    fn flush(&mut self) -> io::Result<()> {
        while let Some(message) = self.handshake.poll_transmit() {
            self.socket.send(&message, None)?;
        }
        Ok(())
    }

    /// Tells the client why it is not taken.
    fn refuse(&mut self, error: AcceptError) -> AcceptError {
        self.handshake.refuse(match &error {
            AcceptError::Handshake(error) => error.clone(),
            other => HandshakeError::Memory(Reason::truncated(&other.to_string())),
        });
        self.flush().ok();
        error
    }

    fn refused(&self, error: AcceptError) -> ListenerEvent {
        ListenerEvent::Refused { id: self.handshake.id(), client: self.client, error }
    }

    /// Says CONNECTED. The queues were made before: from here on the client may use its own.
    fn establish(
        mut self,
        config: &InterfaceConfig,
        queues: &Queues,
    ) -> Result<Arc<Control>, AcceptError> {
        self.handshake.accept(config.name)?;
        self.flush()?;
        Ok(Arc::new(
            Control::new(self.socket, queues)
                .map_err(|source| RegionError::System { what: "dup of an eventfd", source })?,
        ))
    }
}

/// Errors of accept(2) that concern the one connection only.
fn is_connections_own(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}
