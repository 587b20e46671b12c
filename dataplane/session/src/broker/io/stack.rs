//! What the network stacks of endpoints are asked for, and what they answer.
//!
//! An endpoint without a kernel interface may have a stack of the agent, which speaks to peers that are
//! no sessions. The broker hands it the connects that lead to such peers, and tells it where programs
//! listen; the stack opens and accepts connections, and has the broker make a session for each. The agent
//! is one side of such a session, and the stack moves its bytes.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};

use super::requests::{info, room};
use super::socket::send;
use super::state::State;
use super::thread::Shared;
use crate::broker::core::tuples::Tuple;
use crate::broker::core::waiting::Waiter;
use crate::broker::core::{EndpointKey, Grant, ListenerId, Local, Room, Way};
use crate::layout::Side;
use crate::wire::{Protocol, Refusal, Reply, SessionInfo};

/// The network stack of one endpoint. It is called with the broker locked: it must neither wait nor
/// call the broker back.
pub trait NetworkStack: fmt::Debug + Send + Sync {
    /// Opens a connection, and answers by [`Handle::connected`] or [`Handle::refuse`].
    fn connect(&self, attempt: Attempt);

    /// Takes connections, or datagrams, for a listener, whose program goes on when it is `told`.
    fn listen(&self, at: ListenAt, told: Told);

    /// The listener is gone.
    fn unlisten(&self, listener: ListenerId);

    /// A listener of this port may have room for a connection that [`Handle::accept`] found none for.
    fn room(&self, port: u16);

    /// A packet client has the endpoint's address from now on, or has it no more.
    fn packet_client(&self, connected: bool) {
        let _ = connected;
    }
}

/// The answer to a program that listens, which is sent when this is dropped: when its peers find it, so that none comes
/// too early whom the program itself has told where it listens.
#[derive(Debug)]
pub struct Told(Option<OwnedFd>);

impl Told {
    /// For who listens at `far`.
    pub(super) fn by(far: OwnedFd) -> Self {
        Self(Some(far))
    }

    /// For nobody, in tests of network stacks.
    pub const fn nobody() -> Self {
        Self(None)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(far) = &self.0 {
            // Who went meanwhile is found to be gone as any other listener.
            let _ = send(far, &Reply::Listening, &[]);
        }
    }
}

/// A connect that waits for a network stack's answer.
#[derive(Debug)]
pub struct Attempt {
    grant: Grant,
    client: EndpointKey,
    cookie: u64,
    far: OwnedFd,
}

impl Attempt {
    /// What is to be opened.
    pub fn protocol(&self) -> Protocol {
        self.grant.tuple.protocol
    }

    /// The own address.
    pub fn source(&self) -> SocketAddr {
        self.grant.tuple.source
    }

    /// The peer's address.
    pub fn destination(&self) -> SocketAddr {
        self.grant.tuple.destination
    }
}

/// Its socket, which hangs up when the program gives up.
impl AsFd for Attempt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.far.as_fd()
    }
}

/// Where a program listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAt {
    /// Its name.
    pub listener: ListenerId,
    /// For what.
    pub protocol: Protocol,
    /// The address.
    pub local: Local,
    /// The port.
    pub port: u16,
    /// Connections that may wait, as the program says.
    pub backlog: u32,
}

/// The agent's side of a session.
#[derive(Debug)]
pub struct Joined {
    /// Its socket, for tokens.
    pub socket: OwnedFd,
    /// Its memory.
    pub memory: Arc<OwnedFd>,
    /// What it is, as this side sees it.
    pub info: SessionInfo,
}

/// Why a connection was not handed to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAccepted {
    /// It has to wait; for streams until [`NetworkStack::room`].
    Full,
    /// Nobody listens there.
    Nobody,
    /// There are no descriptors or no memory for a session now. Nobody tells when there are.
    Exhausted,
}

/// By which network stacks answer the broker.
#[derive(Debug, Clone)]
pub struct Handle(Weak<Shared>);

impl Handle {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// The connection is there: tells the program, and returns the agent's side of the session. `None`
    /// when the program is gone, or no session could be made.
    pub fn connected(&self, attempt: Attempt) -> Option<Joined> {
        let shared = self.0.upgrade()?;
        let Attempt { grant, client, cookie, far } = attempt;
        let made = shared.with(|state| state.connected(&grant, client, cookie, &far));
        shared.wake_janitor();
        let (memory, info) = made?;
        Some(Joined { socket: far, memory, info })
    }

    /// Says whether a packet client has the endpoint's address now, instead of its stack.
    pub fn set_packet_client(&self, key: EndpointKey, connected: bool) {
        if let Some(shared) = self.0.upgrade() {
            shared.with(|state| {
                state.broker.set_packet_client(key, connected);
                if let Some(stack) = state.stacks.get(&key) {
                    stack.packet_client(connected);
                }
            });
        }
    }

    /// There is no connection.
    pub fn refuse(&self, attempt: Attempt, refusal: Refusal) {
        let Some(shared) = self.0.upgrade() else { return };
        let Attempt { grant, client, far, .. } = attempt;
        shared.with(|state| {
            if state.stack_grants.remove(&grant.id).is_some() {
                state.broker.end(&grant);
                if refusal == Refusal::TimedOut {
                    state.broker.count(client, |counters| counters.timed_out += 1);
                }
                state.reply(client, &far, &Reply::Refused(refusal));
            }
        });
    }

    /// Hands a connection from `remote` to `local`, an address of `server`, to one of its listeners; with
    /// datagrams, a session for all that `remote` sends there.
    ///
    /// # Errors
    /// [`NotAccepted`].
    pub fn accept(
        &self,
        server: EndpointKey,
        protocol: Protocol,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<Joined, NotAccepted> {
        let tuple = Tuple { protocol, source: remote, destination: local };
        self.accept_by(server, Way::Stack, tuple)
    }

    /// As [`accept`](Self::accept), for a connection of a socket of the host.
    ///
    /// # Errors
    /// [`NotAccepted`].
    pub fn accept_spliced(
        &self,
        server: EndpointKey,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<Joined, NotAccepted> {
        let tuple = Tuple { protocol: Protocol::Stream, source: remote, destination: local };
        self.accept_by(server, Way::Splice, tuple)
    }

    fn accept_by(
        &self,
        server: EndpointKey,
        way: Way,
        tuple: Tuple,
    ) -> Result<Joined, NotAccepted> {
        let shared = self.0.upgrade().ok_or(NotAccepted::Nobody)?;
        let joined = shared.with(|state| state.accept_from_outside(server, way, tuple));
        shared.wake_janitor();
        joined
    }
}

impl State {
    pub(super) fn set_stack(&mut self, key: EndpointKey, stack: Arc<dyn NetworkStack>) {
        self.broker.set_stack(key);
        self.stacks.insert(key, stack);
    }

    /// An endpoint goes, and with it what its stack works on.
    pub(super) fn drop_stack(&mut self, key: EndpointKey) {
        self.stacks.remove(&key);
        self.stack_grants.retain(|_, grant| grant.client != Some(key));
        self.stack_doors.retain(|(endpoint, ..)| *endpoint != key);
    }

    /// A connect that leads to no session.
    pub(super) fn connect_by_stack(&mut self, waiter: Waiter<OwnedFd>) {
        let Waiter { client, ask, cookie, answer: far, .. } = waiter;
        let granted = match self.stacks.get(&client) {
            Some(_) => self.broker.connect_by_stack(client, &ask),
            None => Err(Refusal::Unreachable),
        };
        let grant = match granted {
            Ok(grant) => grant,
            Err(refusal) => {
                self.reply(client, &far, &Reply::Refused(refusal));
                return self.discard(client, [far]);
            }
        };
        // A connection may take long; datagrams need nobody's consent.
        let told = match ask.protocol {
            Protocol::Stream => send(&far, &Reply::Pending, &[]),
            Protocol::Datagram => Ok(()),
        };
        if told.is_err() {
            self.broker.end(&grant);
            self.broker.count(client, |counters| counters.undelivered += 1);
            return self.discard(client, [far]);
        }
        self.stack_grants.insert(grant.id, grant);
        if let Some(stack) = self.stacks.get(&client) {
            stack.connect(Attempt { grant, client, cookie, far });
        }
    }

    /// Has the stack of an endpoint, if there is one, take what comes for a listener.
    pub(super) fn listen_by_stack(&self, key: EndpointKey, at: ListenAt, told: Told) {
        if let Some(stack) = self.stacks.get(&key) {
            stack.listen(at, told);
        }
    }

    /// Tells a stack that something changed at a door where it found no room.
    pub(super) fn tell_stack_of_room(&mut self, key: EndpointKey, protocol: Protocol, port: u16) {
        if self.stack_doors.remove(&(key, protocol, port))
            && let Some(stack) = self.stacks.get(&key)
        {
            stack.room(port);
        }
    }

    fn connected(
        &mut self,
        grant: &Grant,
        client: EndpointKey,
        cookie: u64,
        far: &OwnedFd,
    ) -> Option<(Arc<OwnedFd>, SessionInfo)> {
        self.stack_grants.remove(&grant.id)?;
        let (record, lent) = self.tell_connected(grant, client, far, Ok([cookie, 0]), None)?;
        // From now on the tokens of this side alone decide whether it can write.
        let _ = sockopt::set_socket_send_buffer_size(far, 0);
        self.broker.count(client, |counters| counters.connected += 1);
        let info = info(&record, Side::Second);
        self.made += 1;
        self.registry.add(record);
        Some((lent, info))
    }

    fn accept_from_outside(
        &mut self,
        server: EndpointKey,
        way: Way,
        tuple: Tuple,
    ) -> Result<Joined, NotAccepted> {
        loop {
            let listeners = &self.listeners;
            let chosen =
                self.broker.accept_from_outside(server, way, tuple, |id| room(listeners.get(&id)));
            let (grant, listener) = match chosen {
                Ok(granted) => granted,
                // Nothing holds datagrams until there is room.
                Err(Room::Full) if tuple.protocol == Protocol::Datagram => {
                    return Err(NotAccepted::Full);
                }
                Err(Room::Full) => {
                    let door = (server, tuple.protocol, tuple.destination.port());
                    self.stack_doors.insert(door);
                    self.want_room_at(&door);
                    return Err(NotAccepted::Full);
                }
                Err(Room::Gone | Room::Free) => return Err(NotAccepted::Nobody),
            };
            match self.hand_over(&grant, server, listener) {
                Ok(joined) => {
                    self.exhausted = false;
                    return Ok(joined);
                }
                // The listener ended just now, or has no room after all: perhaps another has.
                Err(HandOver::Listener) => {
                    self.broker.end(&grant);
                    self.remove_listener(listener);
                }
                Err(HandOver::Session(error)) => {
                    // Whoever comes would say so again.
                    if !std::mem::replace(&mut self.exhausted, true) {
                        tracing::warn!(%error, "no session can be made for those outside until there is room again");
                    }
                    self.broker.end(&grant);
                    return Err(NotAccepted::Exhausted);
                }
            }
        }
    }

    fn hand_over(
        &mut self,
        grant: &Grant,
        server: EndpointKey,
        listener: ListenerId,
    ) -> Result<Joined, HandOver> {
        let (near, far) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let cookie = sockopt::socket_cookie(&near)?;
        for end in [&near, &far] {
            // So that tokens alone decide whether a side can write.
            sockopt::set_socket_send_buffer_size(end, 0)?;
        }
        let (record, lent) = self.make_record(grant, server, [0, cookie], None)?;
        let accept = Reply::Accept(info(&record, Side::Second));
        let sockets = self.listeners.get(&listener).ok_or(HandOver::Listener)?;
        send(&sockets.far, &accept, &[near.as_fd(), lent.as_fd()])
            .map_err(|_| HandOver::Listener)?;
        self.broker.count(server, |counters| counters.accepted += 1);
        let info = info(&record, Side::First);
        self.made += 1;
        self.registry.add(record);
        Ok(Joined { socket: far, memory: lent, info })
    }
}

/// Why a session was not handed over.
enum HandOver {
    /// The listener does not take it.
    Listener,
    /// There is none.
    Session(Errno),
}

impl From<Errno> for HandOver {
    fn from(error: Errno) -> Self {
        Self::Session(error)
    }
}
