//! Datagrams of programs to and from peers that are no sessions.
//!
//! Each pair of a port of the endpoint and a peer has a session of its own, made when the program sends
//! there or when the peer sends to a port on which a program listens. The stack has one socket for each
//! port and IP version, however many sessions use it.
//!
//! Peers can lie about who they are and be as many as they like: those that sent first have
//! [`MOST_BY_PEERS`] sessions at most, of which the one that was used least recently gives way, and get
//! [`NEW_PER_SECOND`] new ones a second; what comes beyond is lost.

mod flow;

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use dataplane::stack_port::StackPort;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use session::Closed;
use session::broker::{Attempt, EndpointKey, Handle, Joined, ListenAt, ListenerId};
use session::wire::Protocol;
use slotmap::{Key, KeyData, SlotMap};
use stack::{Received, Stack, StackError, UdpId};

use self::flow::{Flow, Turn};
use crate::listeners::Listeners;
use crate::refusal::refusal;

/// Sessions of an endpoint with peers that sent first.
const MOST_BY_PEERS: usize = 256;

/// New sessions a second with peers that sent first.
const NEW_PER_SECOND: u32 = 2000;

slotmap::new_key_type! {
    /// A session; never that of another one later.
    struct FlowId;
}

/// A socket of the stack.
#[derive(Debug)]
struct Port {
    id: UdpId,
    /// Sessions and listeners that need it.
    users: usize,
}

/// All datagrams of an endpoint. The descriptor ([`AsFd`]) is readable when a session's socket has news.
#[derive(Debug)]
pub(crate) struct Datagrams {
    key: EndpointKey,
    epoll: OwnedFd,
    /// The stack's sockets, by `0.0.0.0` or `::` and the port.
    ports: HashMap<SocketAddr, Port>,
    names: HashMap<UdpId, SocketAddr>,
    listeners: Listeners<UdpId, ()>,
    flows: SlotMap<FlowId, Flow>,
    by_ends: HashMap<(UdpId, SocketAddr), FlowId>,
    awake: Vec<FlowId>,
    /// Counts turns, to tell which flow was used when.
    clock: u64,
    by_peers: usize,
    /// New sessions with peers that sent first, since then.
    fresh: (Instant, u32),
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Datagrams {
    pub(crate) fn new(key: EndpointKey, now: Instant) -> rustix::io::Result<Self> {
        Ok(Self {
            key,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            ports: HashMap::new(),
            names: HashMap::new(),
            listeners: Listeners::default(),
            flows: SlotMap::with_key(),
            by_ends: HashMap::new(),
            awake: Vec::new(),
            clock: 0,
            by_peers: 0,
            fresh: (now, 0),
        })
    }

    /// A program listens.
    pub(crate) fn listen(&mut self, at: &ListenAt, stack: &mut Stack, now: Instant) {
        let Self { ports, names, listeners, .. } = self;
        let use_port = |local: SocketAddr, _| match open(ports, names, local, stack, now) {
            Ok(id) => Some(id),
            Err(error) => {
                tracing::warn!(%local, %error, "no datagrams from the network");
                None
            }
        };
        // Datagrams have no backlog.
        listeners.add(at, use_port);
    }

    /// It listens no more; sessions go on.
    pub(crate) fn unlisten(&mut self, id: ListenerId, stack: &mut Stack) {
        for place in self.listeners.remove(id).gone {
            self.release(place.listener, stack);
        }
    }

    /// A program sends to a peer for the first time.
    pub(crate) fn connect(
        &mut self,
        attempt: Attempt,
        stack: &mut Stack,
        broker: &Handle,
        now: Instant,
    ) {
        let source = attempt.source();
        let opened = open(&mut self.ports, &mut self.names, source, stack, now);
        let id = match opened {
            Ok(id) => id,
            Err(error) => return broker.refuse(attempt, refusal(error)),
        };
        match broker.connected(attempt) {
            Some(joined) => {
                self.add(joined, id, false, stack);
            }
            None => self.release(id, stack),
        }
    }

    /// Takes what came for a socket of the stack.
    pub(crate) fn receive(
        &mut self,
        socket: UdpId,
        stack: &mut Stack,
        broker: &Handle,
        now: Instant,
    ) {
        while let Ok(Some(received)) = stack.udp_receive(socket) {
            let known = self.by_ends.get(&(socket, received.from)).copied();
            let flow = known.or_else(|| self.welcome(socket, &received, stack, broker, now));
            let Some(id) = flow else { continue };
            let Some(flow) = self.flows.get_mut(id) else { continue };
            flow.used = self.clock;
            if !flow.deliver(&received.data) {
                self.close(id, Closed::Orderly, stack);
            }
        }
    }

    /// A session for a peer that sent first.
    fn welcome(
        &mut self,
        socket: UdpId,
        received: &Received,
        stack: &mut Stack,
        broker: &Handle,
        now: Instant,
    ) -> Option<FlowId> {
        let port = self.names.get(&socket)?.port();
        let own = stack.is_own(received.to).then_some(received.to);
        let local = SocketAddr::new(own.or_else(|| stack.source_for(received.from.ip()))?, port);
        if !self.may_welcome(now) {
            return None;
        }
        // What is lost for want of room, or because nobody listens, is lost as on any network.
        let joined = broker.accept(self.key, Protocol::Datagram, local, received.from).ok()?;
        if self.by_peers >= MOST_BY_PEERS {
            let by_peers = self.flows.iter().filter(|(_, flow)| flow.by_peer);
            if let Some((oldest, _)) = by_peers.min_by_key(|(_, flow)| flow.used) {
                self.close(oldest, Closed::Orderly, stack);
            }
        }
        if let Some(port) = self.names.get(&socket).and_then(|name| self.ports.get_mut(name)) {
            port.users += 1;
        }
        self.add(joined, socket, true, stack)
    }

    fn may_welcome(&mut self, now: Instant) -> bool {
        let (since, count) = &mut self.fresh;
        if now.saturating_duration_since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= NEW_PER_SECOND
    }

    /// A session whose socket of the stack is counted already.
    fn add(
        &mut self,
        joined: Joined,
        socket: UdpId,
        by_peer: bool,
        stack: &mut Stack,
    ) -> Option<FlowId> {
        let made = Flow::new(joined, socket, by_peer).and_then(|flow| {
            let ends = (socket, flow.peer());
            let id = self.flows.insert(flow);
            let data = EventData::new_u64(id.data().as_ffi());
            let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
            let added = epoll::add(&self.epoll, self.flows[id].tokens(), data, flags);
            added.inspect_err(|_| drop(self.flows.remove(id)))?;
            Ok((ends, id))
        });
        match made {
            Ok((ends, id)) => {
                self.by_peers += usize::from(by_peer);
                self.by_ends.insert(ends, id);
                self.wake(id);
                Some(id)
            }
            Err(error) => {
                tracing::warn!(%error, "a session of datagrams cannot be served");
                self.release(socket, stack);
                None
            }
        }
    }

    /// Nobody has the port that was sent to.
    pub(crate) fn refused(&mut self, socket: UdpId, remote: SocketAddr, stack: &mut Stack) {
        if let Some(id) = self.by_ends.get(&(socket, remote)).copied() {
            self.close(id, Closed::Reset, stack);
        }
    }

    /// Something else is known of how long packets to an address may be.
    pub(crate) fn path_changed(&mut self, to: IpAddr, stack: &mut Stack, now: Instant) {
        for flow in self.flows.values_mut().filter(|flow| flow.peer().ip() == to) {
            flow.tell_mtu(stack, now);
        }
    }

    fn wake(&mut self, id: FlowId) {
        if let Some(flow) = self.flows.get_mut(id)
            && !std::mem::replace(&mut flow.awake, true)
        {
            flow.wake_up();
            self.awake.push(id);
        }
    }

    /// Each session that is awake sends.
    pub(crate) fn turns(&mut self, stack: &mut Stack, link: &mut StackPort, now: Instant) -> bool {
        let mut any = false;
        let mut at = 0;
        self.clock += 1;
        while let Some(&id) = self.awake.get(at) {
            let Some(flow) = self.flows.get_mut(id) else {
                self.awake.swap_remove(at);
                continue;
            };
            match flow.turn(stack, link, now) {
                Turn::Idle | Turn::Blocked => at += 1,
                Turn::Moved => {
                    any = true;
                    flow.used = self.clock;
                    at += 1;
                }
                Turn::Over => {
                    any = true;
                    self.awake.swap_remove(at);
                    self.close(id, Closed::Orderly, stack);
                }
            }
        }
        any
    }

    /// Whether something waits for earlier frames to be gone.
    pub(crate) fn wants_room(&self) -> bool {
        let flow = |id: &FlowId| self.flows.get(*id);
        self.awake.iter().filter_map(flow).any(Flow::is_blocked)
    }

    /// Whether no session has something to send; those that have nothing sleep from now on.
    pub(crate) fn may_sleep(&mut self, stack: &mut Stack) -> bool {
        let mut all = true;
        let mut at = 0;
        while let Some(&id) = self.awake.get(at) {
            match self.flows.get_mut(id).map(|flow| (flow.try_sleep(), flow)) {
                Some((Ok(true), flow)) if flow.is_blocked() => at += 1,
                Some((Ok(true), flow)) => {
                    flow.awake = false;
                    self.awake.swap_remove(at);
                }
                Some((Ok(false), _)) => {
                    all = false;
                    at += 1;
                }
                Some((Err(_), _)) => {
                    self.awake.swap_remove(at);
                    self.close(id, Closed::Orderly, stack);
                }
                None => {
                    self.awake.swap_remove(at);
                }
            }
        }
        all
    }

    /// Sees what the sessions' sockets have to say, without waiting.
    pub(crate) fn look(&mut self) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            let mut room = [const { MaybeUninit::uninit() }; 64];
            // Interrupted only when it waits.
            let Ok((events, rest)) = epoll::wait(&self.epoll, &mut room, Some(&now)) else {
                return;
            };
            for event in &*events {
                let id = KeyData::from_ffi(event.data.u64()).into();
                if let Some(flow) = self.flows.get_mut(id) {
                    flow.note(event.flags);
                    self.wake(id);
                }
            }
            // Who watches edge-triggered hears of a change only.
            if !rest.is_empty() {
                return;
            }
        }
    }

    fn close(&mut self, id: FlowId, how: Closed, stack: &mut Stack) {
        let Some(flow) = self.flows.remove(id) else { return };
        let ends = (flow.socket, flow.peer());
        if self.by_ends.get(&ends) == Some(&id) {
            self.by_ends.remove(&ends);
        }
        self.by_peers -= usize::from(flow.by_peer);
        // Fails only for sockets that are not watched; this one is.
        let _ = epoll::delete(&self.epoll, flow.tokens());
        flow.close(how);
        self.release(ends.0, stack);
    }

    /// A session or listener needs the stack's socket no more.
    fn release(&mut self, socket: UdpId, stack: &mut Stack) {
        let Some(name) = self.names.get(&socket).copied() else { return };
        let Some(port) = self.ports.get_mut(&name) else { return };
        port.users -= 1;
        if port.users == 0 {
            self.ports.remove(&name);
            self.names.remove(&socket);
            stack.udp_close(socket);
        }
    }

    /// Ends every session; listeners stay.
    pub(crate) fn end_sessions(&mut self, stack: &mut Stack) {
        let all: Vec<_> = self.flows.keys().collect();
        for id in all {
            self.close(id, Closed::Orderly, stack);
        }
    }
}

/// The stack's socket for a port, with one user more.
fn open(
    ports: &mut HashMap<SocketAddr, Port>,
    names: &mut HashMap<UdpId, SocketAddr>,
    local: SocketAddr,
    stack: &mut Stack,
    now: Instant,
) -> Result<UdpId, StackError> {
    let any: IpAddr = match local {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let name = SocketAddr::new(any, local.port());
    if let Some(port) = ports.get_mut(&name) {
        port.users += 1;
        return Ok(port.id);
    }
    let id = stack.udp_bind(now, name)?;
    ports.insert(name, Port { id, users: 1 });
    names.insert(id, name);
    Ok(id)
}
