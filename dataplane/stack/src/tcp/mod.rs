//! Connections and listeners.

mod calls;
mod connection;
mod device;
mod egress;
mod forgotten;
mod ingress;
mod offer;
mod segment;
mod settle;
mod time_wait;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use slotmap::SlotMap;

use self::connection::{Connection, Handshake, Holder, SpareSocket};
use self::segment::Flow;
use self::time_wait::TimeWait;
use crate::config::Config;
use crate::environment::Environment;
use crate::timers::Whose;
use crate::{Event, Ready};

slotmap::new_key_type! {
    /// A connection; never that of another one later.
    pub struct ConnectionId;

    /// A listener; never that of another one later.
    pub struct ListenerId;
}

/// Sockets with buffers of full size that rest for the next connection.
const SPARE: usize = 16;
/// How long an acknowledgement waits for something to travel with. What is sent in answer, and every
/// second full segment, do not wait for it.
const ACK_DELAY: Duration = Duration::from_millis(1);

#[derive(Debug)]
struct Listener {
    local: SocketAddr,
    backlog: usize,
    /// Oldest first; some may not be half-open any more.
    half_open: VecDeque<ConnectionId>,
    half_open_count: usize,
    /// Complete, to be accepted.
    complete: VecDeque<ConnectionId>,
    announced: bool,
}

/// All TCP of a stack.
pub(crate) struct Tcp {
    connections: SlotMap<ConnectionId, Box<Connection>>,
    flows: HashMap<Flow, ConnectionId>,
    listeners: SlotMap<ListenerId, Listener>,
    listening: HashMap<SocketAddr, ListenerId>,
    time_wait: TimeWait,
    /// To be asked for segments in the next poll.
    dirty: VecDeque<ConnectionId>,
    /// Whose acknowledgement waits, and until when; in that order.
    late: VecDeque<(Instant, ConnectionId)>,
    /// Those that found the link full.
    starved: Vec<ConnectionId>,
    spare: Vec<SpareSocket>,
    /// Bytes of the buffers of all connections.
    memory: usize,
    full_size: (usize, usize),
    scratch: Vec<u8>,
    events: VecDeque<Event>,
    /// Where the search for a free port starts.
    next_port: u16,
    started: u64,
}

impl std::fmt::Debug for Tcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tcp")
            .field("connections", &self.connections.len())
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

impl Tcp {
    pub(crate) fn new(config: &Config) -> Self {
        let [low, high, ..] = config.seed.to_le_bytes();
        Self {
            connections: SlotMap::with_key(),
            flows: HashMap::new(),
            listeners: SlotMap::with_key(),
            listening: HashMap::new(),
            time_wait: TimeWait::default(),
            dirty: VecDeque::new(),
            late: VecDeque::new(),
            starved: Vec::new(),
            spare: Vec::new(),
            memory: 0,
            full_size: config.buffers(0),
            scratch: Vec::new(),
            events: VecDeque::new(),
            next_port: u16::from_le_bytes([low, high]),
            started: 0,
        }
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        loop {
            match self.events.pop_front()? {
                Event::Connection(id, _) => {
                    let Some(connection) = self.connections.get_mut(id) else { continue };
                    connection.announced = false;
                    let ready = std::mem::replace(&mut connection.ready, Ready::empty());
                    if !ready.is_empty() {
                        return Some(Event::Connection(id, ready));
                    }
                }
                Event::Acceptable(id) => {
                    let Some(listener) = self.listeners.get_mut(id) else { continue };
                    listener.announced = false;
                    if !listener.complete.is_empty() {
                        return Some(Event::Acceptable(id));
                    }
                }
                other => return Some(other),
            }
        }
    }

    /// Notes what changed at a connection, for its owner if it has one already.
    fn announce(&mut self, id: ConnectionId, ready: Ready) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.ready |= ready;
        let owned = connection.holder == Holder::Owner;
        if owned && !connection.ready.is_empty() && !connection.announced {
            connection.announced = true;
            self.events.push_back(Event::Connection(id, Ready::empty()));
        }
    }

    /// Has a connection asked for segments in the next poll.
    #[inline]
    fn mark_dirty(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.dirty && !connection.waiting {
            connection.dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// Has a connection asked for segments a little later.
    fn mark_late(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.late && !connection.dirty {
            connection.late = true;
            self.late.push_back((now + ACK_DELAY, id));
        }
    }

    /// What these connections waited for has come.
    pub(crate) fn wake(&mut self, ids: Vec<ConnectionId>) {
        for id in ids {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.waiting = false;
                self.mark_dirty(id);
            }
        }
    }

    /// Has a connection looked at not later than `at`.
    fn look_at(
        connection: &mut Connection,
        id: ConnectionId,
        at: Instant,
        env: &mut Environment<'_>,
    ) {
        connection.deadline = Some(connection.deadline.map_or(at, |deadline| deadline.min(at)));
        if connection.alarm.is_none_or(|alarm| at < alarm) {
            connection.alarm = Some(at);
            env.timers.set(at, Whose::Connection(id));
        }
    }

    /// An alarm of a connection rang.
    pub(crate) fn alarm(&mut self, id: ConnectionId, rang: Instant, env: &mut Environment<'_>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.alarm != Some(rang) {
            return;
        }
        connection.alarm = None;
        if connection.give_up.is_some_and(|at| at <= env.now) {
            return self.give_up(id, env);
        }
        let next = connection.deadline.into_iter().chain(connection.give_up).min();
        match next {
            Some(at) if at <= env.now => {
                connection.deadline = None;
                self.mark_dirty(id);
            }
            Some(at) => {
                connection.alarm = Some(at);
                env.timers.set(at, Whose::Connection(id));
            }
            None => {}
        }
    }

    /// Ends a connection that takes too long to end.
    fn give_up(&mut self, id: ConnectionId, env: &mut Environment<'_>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.give_up = None;
        connection.waiting = false;
        if connection.is_finished() || connection.last_sent.is_none() {
            return self.remove(id);
        }
        connection.socket_mut().abort();
        // If even the reset cannot be sent, then no later than this.
        let at = env.now + Duration::from_secs(1);
        connection.give_up = Some(at);
        Self::look_at(connection, id, at, env);
        self.mark_dirty(id);
    }

    /// Forgets a connection without a word.
    fn remove(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(id) else { return };
        self.flows.remove(&connection.flow);
        self.memory -= connection.memory();
        if let Holder::Listener(listener, handshake) = connection.holder
            && let Some(listener) = self.listeners.get_mut(listener)
        {
            match handshake {
                Handshake::HalfOpen => listener.half_open_count -= 1,
                Handshake::Complete => listener.complete.retain(|&other| other != id),
            }
        }
        let socket = connection.into_socket();
        if self.spare.len() < SPARE && socket.buffers == self.full_size {
            self.spare.push(socket);
        }
    }

    /// Replaces a connection by an entry of the time-wait table.
    fn rest(&mut self, id: ConnectionId, env: &Environment<'_>) {
        let Some(connection) = self.connections.get(id) else { return };
        let (flow, last) = (connection.flow, connection.last_sent);
        self.remove(id);
        if let Some(last) = last {
            self.time_wait.add(flow, last, env.now, env.config.time_wait);
        }
    }

    fn add(&mut self, connection: Connection) -> ConnectionId {
        let flow = connection.flow;
        self.memory += connection.memory();
        let id = self.connections.insert(Box::new(connection));
        self.flows.insert(flow, id);
        id
    }

    /// A socket for a new connection.
    fn spare_socket(&mut self, config: &Config) -> SpareSocket {
        let size = config.buffers(self.memory);
        let spare = if size == self.full_size { self.spare.pop() } else { None };
        spare.unwrap_or_else(|| SpareSocket::new(size))
    }

    /// A seed for the sequence numbers of a connection that nobody else can guess (RFC 6528).
    fn secret_for(&mut self, flow: &Flow, config: &Config) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        self.started += 1;
        let mut hasher = DefaultHasher::new();
        (config.seed, self.started, flow).hash(&mut hasher);
        hasher.finish()
    }

    /// The listener for a local address: the one for exactly this, or the one for all addresses.
    fn listener_for(&self, local: SocketAddr) -> Option<ListenerId> {
        let exact = self.listening.get(&local);
        exact.or_else(|| self.listening.get(&any(local))).copied()
    }

    /// Ends what has waited or rested long enough.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.time_wait.expire(now);
        while let Some(&(until, id)) = self.late.front()
            && until <= now
        {
            self.late.pop_front();
            if self.connections.get(id).is_some_and(|connection| connection.late) {
                self.mark_dirty(id);
            }
        }
    }

    /// When [`Tcp::expire`] has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let late = self.late.front().map(|&(until, _)| until);
        self.time_wait.next().into_iter().chain(late).min()
    }

    /// Connections, and connections that rest.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.connections.len(), self.time_wait.len())
    }

    /// Whether connections wait for room on the link.
    pub(crate) fn is_starved(&self) -> bool {
        !self.starved.is_empty()
    }

    /// Frames have left the link.
    pub(crate) fn feed_starved(&mut self) {
        let starved = std::mem::take(&mut self.starved);
        self.wake(starved);
    }
}

/// The same port of all addresses of that IP version.
fn any(local: SocketAddr) -> SocketAddr {
    let address: IpAddr = match local {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(address, local.port())
}
