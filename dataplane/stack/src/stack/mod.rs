//! The stack: frames in, frames out, and everything that its owner can ask for.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use dataplane::gateway::Gateway;

use crate::clock::Clock;
use crate::config::Config;
use crate::counters::Counters;
use crate::environment::Environment;
use crate::fragment::{Identifications, Reassembly};
use crate::link::Link;
use crate::names::Names;
use crate::neighbour::{Due, Neighbours};
use crate::routers::Routers;
use crate::tcp::{ConnectionId, ListenerId, Tcp};
use crate::timers::{Timers, Whose};
use crate::udp::{Received, Udp, UdpId};
use crate::{Event, SendError, StackError};

/// What a stack waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// When it wants to be polled at the latest, though nothing happens.
    pub at: Option<Instant>,
    /// It also waits for frames of its own to be gone.
    pub wants_room: bool,
}

/// TCP, UDP and ICMP of one endpoint.
#[derive(Debug)]
pub struct Stack {
    config: Config,
    clock: Clock,
    /// Answers what is asked about our addresses.
    responder: Gateway,
    answers_echo: bool,
    neighbours: Neighbours,
    routers: Routers,
    timers: Timers,
    tcp: Tcp,
    udp: Udp,
    reassembly: Reassembly,
    identifications: Identifications,
    counters: Counters,
    names: Names,
    reply: Vec<u8>,
}

/// The parts, borrowed side by side.
macro_rules! parts {
    ($stack:expr, $now:expr) => {
        (
            Environment {
                now: $now,
                clock: $stack.clock,
                config: &$stack.config,
                neighbours: &mut $stack.neighbours,
                routers: &mut $stack.routers,
                timers: &mut $stack.timers,
                identifications: &mut $stack.identifications,
                counters: &mut $stack.counters,
            },
            &mut $stack.tcp,
            &mut $stack.udp,
        )
    };
}

mod names;
mod receive;

impl Stack {
    /// A stack without connections. `now` is the earliest time that it will hear of.
    pub fn new(config: Config, now: Instant) -> Self {
        let addressing = &config.addressing;
        let ipv4 = addressing.ipv4.iter().map(|own| own.address).collect();
        let ipv6 = addressing.ipv6.iter().map(|own| own.address).collect();
        Self {
            clock: Clock::new(now),
            responder: Gateway::host(addressing.mac, ipv4, ipv6),
            answers_echo: true,
            neighbours: Neighbours::default(),
            routers: Routers::default(),
            timers: Timers::default(),
            tcp: Tcp::new(&config),
            udp: Udp::default(),
            reassembly: Reassembly::default(),
            identifications: Identifications::new(config.seed),
            counters: Counters::default(),
            names: Names::default(),
            reply: Vec::new(),
            config,
        }
    }

    /// Whether the stack answers ping.
    pub fn set_answers_echo(&mut self, answers: bool) {
        self.answers_echo = answers;
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Connections, and connections that rest in time-wait.
    pub fn connection_counts(&self) -> (usize, usize) {
        self.tcp.len()
    }

    // Frames and time.

    /// Sends everything that is due, and tells what comes next. Call it after frames were received,
    /// after the calls that are to have an effect, and when it asked for.
    pub fn poll<L: Link>(&mut self, now: Instant, link: &mut L) -> Next {
        let mut any_gone = false;
        while let Some(tag) = link.gone() {
            any_gone = true;
            let waited = self.neighbours.gone(tag);
            self.tcp.wake(waited);
        }
        if any_gone {
            self.tcp.feed_starved();
        }
        while let Some((rang, whose)) = self.timers.due(now) {
            let (mut env, tcp, _) = parts!(self, now);
            match whose {
                Whose::Connection(id) => tcp.alarm(id, rang, &mut env),
                Whose::Neighbour(index) => match env.neighbours.due(index, now) {
                    Due::Nothing => {}
                    Due::Ask(address, again) => {
                        env.timers.set(again, whose);
                        env.ask(address, link);
                    }
                    Due::Failed(waited, lost) => {
                        env.counters.udp_unresolved += lost as u64;
                        for id in waited {
                            tcp.unreachable(id, &mut env);
                        }
                    }
                },
            }
        }
        let (mut env, tcp, udp) = parts!(self, now);
        tcp.expire(now);
        tcp.egress(&mut env, link);
        udp.expire(now);
        self.reassembly.expire(now, &mut self.counters);
        let expiries = self.tcp.next_expiry().into_iter().chain(self.udp.next_expiry());
        let expiries = expiries.chain(self.reassembly.next_expiry());
        let at = self.timers.next().into_iter().chain(expiries).min();
        Next { at, wants_room: self.tcp.is_starved() || self.neighbours.is_crowded() }
    }

    /// The next thing to see to.
    pub fn next_event(&mut self) -> Option<Event> {
        self.tcp.next_event().or_else(|| self.udp.next_event())
    }

    // Listeners.

    /// Listens on an address of this endpoint, or on all of one IP version (`0.0.0.0`, `::`).
    ///
    /// # Errors
    /// [`StackError::NotOwn`], [`StackError::InUse`].
    pub fn listen(
        &mut self,
        now: Instant,
        local: SocketAddr,
        backlog: usize,
    ) -> Result<ListenerId, StackError> {
        let (env, tcp, _) = parts!(self, now);
        tcp.listen(local, backlog, &env)
    }

    /// Changes how many connections may wait to be accepted.
    ///
    /// # Errors
    /// [`StackError::Gone`].
    pub fn set_backlog(&mut self, listener: ListenerId, backlog: usize) -> Result<(), StackError> {
        self.tcp.set_backlog(listener, backlog)
    }

    /// Ends a listener; connections that nobody has accepted are reset.
    pub fn unlisten(&mut self, now: Instant, listener: ListenerId) {
        let (mut env, tcp, _) = parts!(self, now);
        tcp.unlisten(listener, &mut env);
    }

    /// The next connection of a listener.
    ///
    /// # Errors
    /// [`StackError::Gone`].
    pub fn accept(&mut self, listener: ListenerId) -> Result<Option<ConnectionId>, StackError> {
        self.tcp.accept(listener)
    }

    // Connections.

    /// Starts a connection; [`Ready::CONNECTED`](crate::Ready) or [`Ready::CLOSED`](crate::Ready) tells
    /// how it went. Without a local address or port, suitable ones are chosen.
    ///
    /// # Errors
    /// [`StackError::Unreachable`], [`StackError::NotOwn`], [`StackError::InUse`], [`StackError::TooMany`].
    pub fn connect(
        &mut self,
        now: Instant,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> Result<ConnectionId, StackError> {
        let (mut env, tcp, _) = parts!(self, now);
        tcp.connect(local, remote, &mut env)
    }

    /// Has `fill` write data to be sent into the connection's buffer, as far as it is free in one piece;
    /// `fill` answers how many bytes it wrote, and what this call answers.
    ///
    /// # Errors
    /// [`StackError::NotOpen`] before the connection is established and after it was shut down,
    /// [`StackError::Gone`].
    pub fn send<R>(
        &mut self,
        connection: ConnectionId,
        fill: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, StackError> {
        self.tcp.send(connection, fill)
    }

    /// Has `take` look at received data, as far as it lies in one piece; `take` answers how many bytes
    /// it took, and what this call answers. It sees nothing when there is nothing: see
    /// [`Stack::peer_closed`] and [`Stack::error`].
    ///
    /// # Errors
    /// [`StackError::NotOpen`] before the connection is established, [`StackError::Gone`].
    pub fn read<R>(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        take: impl FnOnce(&[u8]) -> (usize, R),
    ) -> Result<R, StackError> {
        let (mut env, tcp, _) = parts!(self, now);
        tcp.read(connection, take, &mut env)
    }

    /// Bytes that can be read now.
    pub fn readable(&self, connection: ConnectionId) -> usize {
        self.tcp.amounts(connection).map_or(0, |(readable, _)| readable)
    }

    /// Bytes that [`Stack::send`] would take now.
    pub fn writable(&self, connection: ConnectionId) -> usize {
        self.tcp.amounts(connection).map_or(0, |(_, writable)| writable)
    }

    /// Bytes that the peer has not acknowledged yet.
    pub fn unacknowledged(&self, connection: ConnectionId) -> usize {
        self.tcp.unsent(connection).unwrap_or(0)
    }

    /// Whether the peer will send no more.
    pub fn peer_closed(&self, connection: ConnectionId) -> bool {
        self.tcp.peer_closed(connection).unwrap_or(true)
    }

    /// Why the connection ended, if not by agreement.
    pub fn error(&self, connection: ConnectionId) -> Option<StackError> {
        self.tcp.error(connection)
    }

    /// The connection's local and remote address.
    pub fn ends(&self, connection: ConnectionId) -> Option<(SocketAddr, SocketAddr)> {
        self.tcp.ends(connection)
    }

    /// The connections that the owner has.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.tcp.ids()
    }

    /// Sends no more after what was given to [`Stack::send`]; the peer may still send.
    ///
    /// # Errors
    /// [`StackError::NotOpen`], [`StackError::Gone`].
    pub fn shutdown(&mut self, connection: ConnectionId) -> Result<(), StackError> {
        self.tcp.shutdown(connection)
    }

    /// Leaves a connection: what was given to [`Stack::send`] is still sent. It is reset when there is
    /// data that nobody has read.
    pub fn close(&mut self, now: Instant, connection: ConnectionId) {
        let (mut env, tcp, _) = parts!(self, now);
        tcp.close(connection, &mut env);
    }

    /// Leaves a connection and resets it.
    pub fn abort(&mut self, now: Instant, connection: ConnectionId) {
        let (mut env, tcp, _) = parts!(self, now);
        tcp.abort(connection, &mut env);
    }

    // UDP.

    /// A socket for datagrams to an address of this endpoint, or to all of one IP version.
    ///
    /// # Errors
    /// [`StackError::NotOwn`], [`StackError::InUse`].
    pub fn udp_bind(&mut self, now: Instant, local: SocketAddr) -> Result<UdpId, StackError> {
        let (env, _, udp) = parts!(self, now);
        udp.bind(local, &env)
    }

    /// Takes datagrams from `remote` only; `None`: from all.
    ///
    /// # Errors
    /// [`StackError::Gone`].
    pub fn udp_connect(
        &mut self,
        socket: UdpId,
        remote: Option<SocketAddr>,
    ) -> Result<(), StackError> {
        self.udp.connect(socket, remote)
    }

    /// Sends a datagram of `len` bytes that `fill` writes; it is on its way when this returns.
    ///
    /// # Errors
    /// [`SendError`]; `fill` was not called then.
    pub fn udp_send<L: Link>(
        &mut self,
        now: Instant,
        socket: UdpId,
        to: SocketAddr,
        len: usize,
        link: &mut L,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), SendError> {
        let (mut env, _, udp) = parts!(self, now);
        udp.send(socket, to, len, &mut env, link, fill)
    }

    /// Longest packet that the way to `remote` takes: the own network's, or what routers said, less than
    /// [`Config::path_timeout`] ago, when packets were longer than theirs (RFC 1191, RFC 8201). Datagrams that are longer go in fragments.
    pub fn path_mtu(&mut self, now: Instant, remote: IpAddr) -> u16 {
        let (env, _, udp) = parts!(self, now);
        udp.path_mtu(remote, &env)
    }

    /// Longest packet of the own network.
    pub fn mtu(&self) -> u16 {
        self.config.addressing.mtu
    }

    /// The next datagram of a socket.
    ///
    /// # Errors
    /// [`StackError::Gone`].
    pub fn udp_receive(&mut self, socket: UdpId) -> Result<Option<Received>, StackError> {
        self.udp.read(socket)
    }

    /// Closes a UDP socket.
    pub fn udp_close(&mut self, socket: UdpId) {
        self.udp.close(socket);
    }

    /// The own address from which `remote` is spoken to.
    pub fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        self.config.addressing.source_for(remote)
    }

    /// Whether `address` is one of this endpoint's.
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.config.addressing.is_own(address)
    }
}
