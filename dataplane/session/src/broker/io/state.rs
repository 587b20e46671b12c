//! What is served: endpoints' sockets, listeners, sessions, and connects that wait.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::Options;
use super::listener::{ListenerSockets, Weight};
use super::memory::{Kept, Maker, Seen};
use super::pool::Pool;
use super::socket::{receive, send};
use super::stack::NetworkStack;
use crate::broker::core::registry::{Record, Registry};
use crate::broker::core::waiting::{Door, Waiting};
use crate::broker::core::{
    Broker, Counters, Endpoint, EndpointKey, Grant, ListenerId, Room, SessionId,
};
use crate::wire::{Protocol, Refusal, Reply};

/// Requests of one endpoint, or connections of one kernel socket, that are served before the next
/// gets its turn.
pub(super) const PER_TURN: usize = 32;

/// How often all sessions may be looked at at once.
const SWEEP_FOR_ROOM_EVERY: Duration = Duration::from_millis(250);

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Stop,
    /// A socket of an endpoint.
    Socket(u64),
    /// The far end of a listener.
    Far(ListenerId),
    /// The kernel socket of a listener.
    Kernel(ListenerId),
}

impl Tag {
    pub(super) fn data(self) -> EventData {
        EventData::new_u64(match self {
            Self::Stop => 0,
            Self::Socket(id) => id << 2 | 1,
            Self::Far(id) => id.0 << 2 | 2,
            Self::Kernel(id) => id.0 << 2 | 3,
        })
    }

    pub(super) fn of(data: u64) -> Self {
        match (data & 3, data >> 2) {
            (1, id) => Self::Socket(id),
            (2, id) => Self::Far(ListenerId(id)),
            (3, id) => Self::Kernel(ListenerId(id)),
            _ => Self::Stop,
        }
    }
}

/// All that is served.
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: Options,
    pub(super) broker: Broker,
    pub(super) registry: Registry<Arc<Kept>>,
    pub(super) waiting: Waiting<OwnedFd>,
    pub(super) listeners: HashMap<ListenerId, ListenerSockets>,
    pub(super) by_cookie: HashMap<(EndpointKey, u64), usize>,
    /// The network stacks of endpoints that have one.
    pub(super) stacks: HashMap<EndpointKey, Arc<dyn NetworkStack>>,
    /// Connects that a network stack works on.
    pub(super) stack_grants: HashMap<SessionId, Grant>,
    /// Doors at which peers of a network stack wait for room.
    pub(super) stack_doors: HashSet<Door>,
    pub(super) maker: Maker,
    /// Memories that get more sessions.
    pub(super) pool: Pool,
    pub(super) weight: Weight,
    /// Descriptors of programs, and whose they are, that are to be closed when the lock is released:
    /// closing one may wait as long as the program likes (`SO_LINGER`, also of a socket that is in
    /// flight in another).
    pub(super) trash: Vec<(EndpointKey, OwnedFd)>,
    /// Sessions that were made so far.
    pub(super) made: u64,
    /// The last session for somebody outside could not be made, for want of descriptors or memory.
    pub(super) exhausted: bool,
    /// An endpoint was described: what was removed by then is closed before its next request is read,
    /// so that two questions in a row tell a program that what it let go of is free again.
    pub(super) described: bool,
    /// Doors where something changed for those who wait.
    pub(super) doors: Vec<Door>,
    swept_for_room: Duration,
    epoll: Arc<OwnedFd>,
    sockets: HashMap<u64, (EndpointKey, OwnedFd)>,
    last_socket: u64,
}

impl State {
    pub(super) fn new(options: Options, epoll: Arc<OwnedFd>) -> io::Result<Self> {
        Ok(Self {
            options,
            broker: Broker::default(),
            registry: Registry::default(),
            waiting: Waiting::default(),
            listeners: HashMap::new(),
            by_cookie: HashMap::new(),
            stacks: HashMap::new(),
            stack_grants: HashMap::new(),
            stack_doors: HashSet::new(),
            maker: Maker::new()?,
            pool: Pool::default(),
            weight: Weight::measure()?,
            trash: Vec::new(),
            made: 0,
            exhausted: false,
            described: false,
            doors: Vec::new(),
            swept_for_room: Duration::ZERO,
            epoll,
            sockets: HashMap::new(),
            last_socket: 0,
        })
    }

    pub(super) fn add_endpoint(&mut self, key: EndpointKey, endpoint: Endpoint) {
        self.broker.add_endpoint(key, endpoint);
    }

    pub(super) fn serve(&mut self, key: EndpointKey, socket: OwnedFd) -> io::Result<u64> {
        self.last_socket += 1;
        let id = self.last_socket;
        epoll::add(&*self.epoll, &socket, Tag::Socket(id).data(), EventFlags::IN)?;
        self.sockets.insert(id, (key, socket));
        Ok(id)
    }

    /// Removes an endpoint; the caller closes what is in the trash then.
    pub(super) fn remove_endpoint(&mut self, key: EndpointKey) {
        self.stop_serving(key);
        self.drop_listeners(key);
        self.drop_stack(key);
        self.pool.forget(key);
        self.broker.remove_endpoint(key);
        let given_up = self.waiting.drop_of(key).into_iter().map(|waiter| waiter.answer);
        self.trash.extend(given_up.map(|answer| (key, answer)));
        self.doors.extend(self.waiting.doors_of(key));
        self.admit_all();
    }

    /// Hears no more requests of an endpoint.
    pub(super) fn stop_serving(&mut self, key: EndpointKey) {
        let own = self.sockets.extract_if(|_, (owner, _)| *owner == key);
        self.trash.extend(own.map(|(_, socket)| socket));
    }

    /// Forgets all listeners of an endpoint.
    pub(super) fn drop_listeners(&mut self, key: EndpointKey) {
        let own = self.broker.listeners().filter(|(_, listener)| listener.endpoint == key);
        let own: Vec<_> = own.map(|(id, _)| id).collect();
        for id in own {
            self.remove_listener(id);
        }
    }

    /// Has descriptors of an endpoint closed when the lock is released.
    pub(super) fn discard(&mut self, key: EndpointKey, fds: impl IntoIterator<Item = OwnedFd>) {
        self.trash.extend(fds.into_iter().map(|fd| (key, fd)));
    }

    /// Something happened; answers whether the process has no descriptor left.
    pub(super) fn handle(&mut self, tag: Tag, flags: EventFlags, now: Duration) -> bool {
        let exhausted = self.dispatch(tag, flags, now);
        self.admit_all();
        exhausted
    }

    /// Looks at the doors where something changed.
    fn admit_all(&mut self) {
        while let Some(door) = self.doors.pop() {
            self.admit(&door);
            let (endpoint, protocol, port) = door;
            self.tell_stack_of_room(endpoint, protocol, port);
        }
    }

    fn dispatch(&mut self, tag: Tag, flags: EventFlags, now: Duration) -> bool {
        match tag {
            Tag::Stop | Tag::Kernel(_) => false,
            Tag::Socket(id) => self.requests(id, now),
            Tag::Far(id) => {
                let gone = EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP;
                if flags.intersects(gone) {
                    self.remove_listener(id);
                } else {
                    self.room_again(id);
                }
                false
            }
        }
    }

    fn requests(&mut self, id: u64, now: Duration) -> bool {
        for _ in 0..PER_TURN {
            let Some((key, socket)) = self.sockets.get(&id) else { return false };
            let key = *key;
            match receive(socket.as_fd()) {
                Ok(Some(received)) => {
                    self.request(key, received, now);
                    if std::mem::take(&mut self.described) {
                        return false;
                    }
                }
                Ok(None) => return false,
                Err(error) => {
                    tracing::warn!(%error, "a request was lost");
                    return true;
                }
            }
        }
        false
    }

    /// Registers the sockets of a listener that the broker took.
    pub(super) fn add_sockets(
        &mut self,
        key: EndpointKey,
        id: ListenerId,
        sockets: ListenerSockets,
    ) -> io::Result<()> {
        epoll::add(&*self.epoll, &sockets.far, Tag::Far(id).data(), EventFlags::RDHUP)?;
        if let Some(kernel) = &sockets.kernel {
            epoll::add(&*self.epoll, kernel, Tag::Kernel(id).data(), EventFlags::IN)?;
        }
        *self.by_cookie.entry((key, sockets.cookie)).or_default() += 1;
        self.listeners.insert(id, sockets);
        Ok(())
    }

    /// Takes a listener out whose program is gone.
    pub(super) fn remove_listener(&mut self, id: ListenerId) {
        let Some(listener) = self.broker.listener(id).copied() else { return };
        self.forget_listener(listener.endpoint, id);
        self.drop_sockets(listener.endpoint, id);
        // Who waited for it is sent on to another, or away.
        self.doors.push((listener.endpoint, listener.binding.protocol, listener.binding.port));
    }

    /// Forgets a listener that has no sockets here.
    pub(super) fn forget_listener(&mut self, key: EndpointKey, id: ListenerId) {
        self.broker.unlisten(id);
        if let Some(stack) = self.stacks.get(&key) {
            stack.unlisten(id);
        }
    }

    fn drop_sockets(&mut self, key: EndpointKey, id: ListenerId) {
        let Some(sockets) = self.listeners.remove(&id) else { return };
        let name = (key, sockets.cookie);
        if let Some(count) = self.by_cookie.get_mut(&name) {
            *count -= 1;
            if *count == 0 {
                self.by_cookie.remove(&name);
            }
        }
        let kernel = sockets.kernel.and_then(Arc::into_inner);
        self.discard(key, std::iter::once(sockets.far).chain(kernel));
    }

    /// Has the kernel say when the backlogs of these listeners have room.
    pub(super) fn want_room(&mut self, ids: &[ListenerId]) {
        for id in ids {
            if let Some(sockets) = self.listeners.get_mut(id)
                && !std::mem::replace(&mut sockets.wants_room, true)
            {
                let events = EventFlags::RDHUP | EventFlags::OUT;
                if let Err(error) =
                    epoll::modify(&*self.epoll, &sockets.far, Tag::Far(*id).data(), events)
                {
                    tracing::warn!(%error, "a listener is not watched");
                }
            }
        }
    }

    fn room_again(&mut self, id: ListenerId) {
        let Some(sockets) = self.listeners.get_mut(&id) else { return };
        sockets.wants_room = false;
        let far = Tag::Far(id).data();
        // Fails only for sockets that are not in the set; these are.
        let _ = epoll::modify(&*self.epoll, &sockets.far, far, EventFlags::RDHUP);
        if std::mem::take(&mut sockets.kernel_rests)
            && let Some(kernel) = &sockets.kernel
        {
            let _ = epoll::modify(&*self.epoll, kernel, Tag::Kernel(id).data(), EventFlags::IN);
        }
        if let Some(listener) = self.broker.listener(id) {
            self.doors.push((listener.endpoint, listener.binding.protocol, listener.binding.port));
        }
    }

    /// The kernel socket of a listener, if what it has can be handed over now; when the backlog is full
    /// the kernel's queue is left alone until there is room.
    pub(super) fn kernel_to_accept(
        &mut self,
        id: ListenerId,
    ) -> Option<(EndpointKey, Arc<OwnedFd>)> {
        let endpoint = self.broker.listener(id)?.endpoint;
        let sockets = self.listeners.get_mut(&id)?;
        let kernel = sockets.kernel.as_ref()?;
        if sockets.room() == Room::Free {
            return Some((endpoint, Arc::clone(kernel)));
        }
        let data = Tag::Kernel(id).data();
        // Fails only for sockets that are not in the set; these are.
        let _ = epoll::modify(&*self.epoll, kernel, data, EventFlags::empty());
        sockets.kernel_rests = true;
        self.want_room(&[id]);
        None
    }

    /// Hands a connection of the kernel to its listener.
    pub(super) fn accepted_kernel(
        &mut self,
        id: ListenerId,
        endpoint: EndpointKey,
        connection: OwnedFd,
    ) {
        let delivered = self.listeners.get(&id).is_some_and(|sockets| {
            send(&sockets.far, &Reply::AcceptKernel, &[connection.as_fd()]).is_ok()
        });
        self.broker.count(endpoint, |counters| {
            if delivered {
                counters.accepted_kernel += 1;
            } else {
                counters.undelivered += 1;
            }
        });
        self.discard(endpoint, [connection]);
    }

    /// The kernel socket of a listener does not listen any more.
    pub(super) fn forget_kernel(&mut self, id: ListenerId) {
        if let Some(sockets) = self.listeners.get_mut(&id)
            && let Some(kernel) = sockets.kernel.take()
        {
            let _ = epoll::delete(&*self.epoll, &kernel);
        }
    }

    /// Refuses connects that waited too long.
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some(waiter) = self.waiting.pop_late(now) {
            self.broker.count(waiter.client, |counters| {
                counters.waiting -= 1;
                counters.timed_out += 1;
            });
            self.reply(waiter.client, &waiter.answer, &Reply::Refused(Refusal::TimedOut));
            self.discard(waiter.client, [waiter.answer]);
        }
    }

    /// Forgets all sessions that are over, for an endpoint that has as many as it may have; but not so
    /// often that it keeps the thread busy.
    pub(super) fn sweep_for_room(&mut self, now: Duration) {
        if now.saturating_sub(self.swept_for_room) >= SWEEP_FOR_ROOM_EVERY {
            self.swept_for_room = now;
            self.pool.unlock();
            drop(self.sweep(usize::MAX, true));
        }
    }

    /// Forgets those of the next `count` sessions that are over, and returns what was kept of them. In a
    /// `hurry` the sides of a session are believed at once that it is.
    pub(super) fn sweep(&mut self, count: usize, hurry: bool) -> Vec<Arc<Kept>> {
        let broker = &mut self.broker;
        let mut over = Vec::new();
        let mut seen = Seen::default();
        self.registry.sweep(
            count,
            |record| record.memory.is_over(hurry, &mut seen),
            |record| {
                for lost in lost(&record) {
                    broker.count(lost.endpoint, |counters| lost.count_in(counters));
                }
                broker.end(&record.grant);
                over.push(record.memory);
            },
        );
        over
    }

    /// Lets those in that waited for an endpoint to have fewer sessions.
    pub(super) fn admit_after_sweep(&mut self) {
        self.doors.extend(self.waiting.doors());
        self.doors.extend(self.stack_doors.iter().copied());
        self.admit_all();
    }

    /// Sends a reply that carries nothing.
    pub(super) fn reply(&mut self, key: EndpointKey, answer: impl AsFd, reply: &Reply) {
        let delivered = send(answer, reply, &[]).is_ok();
        self.broker.count(key, |counters| count_reply(counters, reply, delivered));
    }
}

/// Datagrams that found the ring of a session full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    pub(super) endpoint: EndpointKey,
    count: u64,
    /// They came to the endpoint from the network.
    from_network: bool,
}

impl Lost {
    pub(super) fn count_in(self, counters: &mut Counters) {
        let counter = if self.from_network {
            &mut counters.datagrams_overflowed
        } else {
            &mut counters.datagrams_dropped
        };
        *counter = counter.saturating_add(self.count);
    }
}

/// Datagrams that each side of a session dropped, as it says. The agent's side has no endpoint; what it
/// drops was for the other one.
pub(super) fn lost(record: &Record<Arc<Kept>>) -> impl Iterator<Item = Lost> {
    let Grant { client, server, .. } = record.grant;
    let datagrams = record.grant.tuple.protocol == Protocol::Datagram;
    let said = datagrams.then(|| record.memory.glance()).flatten().unwrap_or_default();
    let both = [(client, server), (server, client)].into_iter().zip(said);
    both.filter_map(|((writer, reader), direction)| {
        let from_network = writer.is_none();
        Some(Lost { endpoint: writer.or(reader)?, count: direction.dropped, from_network })
    })
}

fn count_reply(counters: &mut Counters, reply: &Reply, delivered: bool) {
    match reply {
        Reply::UseKernel => counters.left_to_kernel += 1,
        Reply::Refused(Refusal::Malformed | Refusal::Version) => counters.malformed += 1,
        Reply::Refused(Refusal::Limit) => counters.over_limit += 1,
        Reply::Refused(Refusal::TimedOut) => {}
        Reply::Refused(_) => counters.refused += 1,
        _ => {}
    }
    if !delivered {
        counters.undelivered += 1;
    }
}
