//! What a request does.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};

use super::listener::ListenerSockets;
use super::memory::Kept;
use super::pool::{Sharing, alone};
use super::socket::{Received, is_kernel_listener, is_unix, send, takes_replies};
use super::stack::{ListenAt, Told};
use super::state::State;
use crate::broker::core::broker::{Ask, Grant, ListenVerdict, Verdict};
use crate::broker::core::registry::Record;
use crate::broker::core::waiting::{Door, PATIENCE, Waiter};
use crate::broker::core::{EndpointKey, ListenerId, Local, Room};
use crate::layout::Side;
use crate::wire::{Malformed, Protocol, Refusal, Reply, Request, Reuse, SessionInfo};

/// A listen, parsed.
#[derive(Debug, Clone, Copy)]
struct Listen {
    protocol: Protocol,
    address: std::net::SocketAddr,
    backlog: u32,
    reuse: Reuse,
    cookie: u64,
}

impl State {
    /// Does what a message asks for.
    pub(super) fn request(&mut self, key: EndpointKey, received: Received, now: Duration) {
        let Received { bytes, len, first, second, surplus } = received;
        self.discard(key, surplus);
        let request = Request::decode(&bytes[..len.min(bytes.len())]);
        match (request, first, second) {
            (
                Ok(Request::Connect { protocol, source, destination, cookie, sharing }),
                Some(far),
                None,
            ) if is_unix(&far, SocketType::STREAM) => {
                let ask = Ask { protocol, source, destination }.canonical();
                let deadline = now + PATIENCE;
                let waiter = Waiter { client: key, ask, cookie, sharing, answer: far, deadline };
                self.connect(waiter, now);
            }
            (
                Ok(Request::Listen { protocol, address, backlog, reuse, cookie }),
                Some(far),
                kernel,
            ) if is_unix(&far, SocketType::SEQPACKET) => {
                let listen = Listen { protocol, address, backlog, reuse, cookie };
                self.listen(key, listen, far, kernel);
            }
            (Ok(Request::Resume), Some(held), Some(answer)) if takes_replies(&answer) => {
                self.resume(key, &held, &answer);
                self.discard(key, [held, answer]);
            }
            (Ok(Request::Describe), Some(answer), None) if takes_replies(&answer) => {
                self.describe(key, &answer);
                self.discard(key, [answer]);
            }
            (request, first, second) => {
                let refusal = match request {
                    Err(Malformed::Version(_)) => Refusal::Version,
                    _ => Refusal::Malformed,
                };
                // The answer of a resume goes to its second descriptor.
                let second_answers = matches!(request, Ok(Request::Resume));
                let answer = second.as_ref().filter(|_| second_answers).or(first.as_ref());
                match answer.filter(|it| takes_replies(it)) {
                    Some(answer) => self.reply(key, answer, &Reply::Refused(refusal)),
                    None => self.broker.count(key, |counters| counters.malformed += 1),
                }
                self.discard(key, first.into_iter().chain(second));
            }
        }
    }

    fn describe(&mut self, key: EndpointKey, answer: &OwnedFd) {
        self.described = true;
        self.remove_closed_listeners(key);
        let Some(endpoint) = self.broker.endpoint(key) else { return };
        let reply = Reply::Endpoint {
            kernel: endpoint.kernel,
            ipv4: endpoint.ipv4.map(|ip| (ip, 0).into()),
            ipv6: endpoint.ipv6.map(|ip| (ip, 0).into()),
        };
        self.reply(key, answer, &reply);
    }

    /// Takes listeners out whose programs are gone, before the kernel's event says so.
    fn remove_closed_listeners(&mut self, key: EndpointKey) {
        let own = self.broker.listeners().filter(|(_, listener)| listener.endpoint == key);
        let closed: Vec<_> =
            own.map(|(id, _)| id).filter(|id| room(self.listeners.get(id)) == Room::Gone).collect();
        for id in closed {
            self.remove_listener(id);
        }
    }

    fn listen(&mut self, key: EndpointKey, listen: Listen, far: OwnedFd, kernel: Option<OwnedFd>) {
        let Listen { protocol, address, backlog, reuse, cookie } = listen;
        let mut verdict = self.broker.listen(key, protocol, address, reuse, cookie);
        if let ListenVerdict::Conflict(others) = &verdict {
            // A program that ended a moment ago is in nobody's way.
            for id in others {
                if self.listeners.get(id).is_none_or(|sockets| sockets.room() == Room::Gone) {
                    self.remove_listener(*id);
                }
            }
            verdict = self.broker.listen(key, protocol, address, reuse, cookie);
        }
        let id = match verdict {
            ListenVerdict::Listening(id) => id,
            ListenVerdict::Conflict(_) => {
                return self.turn_away(key, Reply::Refused(Refusal::AddressInUse), far, kernel);
            }
            ListenVerdict::UseKernel => return self.turn_away(key, Reply::UseKernel, far, kernel),
            ListenVerdict::Refuse(refusal) => {
                return self.turn_away(key, Reply::Refused(refusal), far, kernel);
            }
        };
        let kernel = kernel.and_then(|it| {
            let fits = is_kernel_listener(&it);
            if fits {
                Some(it)
            } else {
                self.discard(key, [it]);
                None
            }
        });
        let answer = self
            .weight
            .apply(far.as_fd(), backlog)
            .and_then(|()| rustix::io::fcntl_dupfd_cloexec(&far, 0));
        let Ok(answer) = answer else {
            self.forget_listener(key, id);
            self.discard(key, std::iter::once(far).chain(kernel));
            return self.broker.count(key, |counters| counters.undelivered += 1);
        };
        let local = Local::new(address.ip(), reuse.v6_only);
        let port = address.port();
        let at = ListenAt { listener: id, protocol, local, port, backlog };
        let kernel = kernel.map(Arc::new);
        let sockets =
            ListenerSockets { far, kernel, cookie, wants_room: false, kernel_rests: false };
        if let Err(error) = self.add_sockets(key, id, sockets) {
            tracing::warn!(%error, "a listener cannot be served");
            return self.forget_listener(key, id);
        }
        self.doors.push((key, protocol, address.port()));
        self.listen_by_stack(key, at, Told::by(answer));
    }

    /// Answers a listen that leads nowhere.
    fn turn_away(&mut self, key: EndpointKey, reply: Reply, far: OwnedFd, kernel: Option<OwnedFd>) {
        self.reply(key, &far, &reply);
        self.discard(key, std::iter::once(far).chain(kernel));
    }

    fn resume(&mut self, key: EndpointKey, held: &OwnedFd, answer: &OwnedFd) {
        let Ok(cookie) = sockopt::socket_cookie(held) else {
            return self.reply(key, answer, &Reply::UseKernel);
        };
        if let Some((record, side)) = self.registry.find(key, cookie) {
            let info = info(record, side);
            let reply = match self.maker.lend_again(record.memory.memory()) {
                Ok(memory) => send(answer, &Reply::Connected(info), &[memory.as_fd()]),
                Err(_) => send(answer, &Reply::Refused(Refusal::Limit), &[]),
            };
            return self.broker.count(key, |counters| match reply {
                Ok(()) => counters.resumed += 1,
                Err(_) => counters.undelivered += 1,
            });
        }
        if !self.by_cookie.contains_key(&(key, cookie)) {
            return self.reply(key, answer, &Reply::UseKernel);
        }
        let own = self.broker.listeners().filter(|(_, listener)| listener.endpoint == key);
        let sockets = own.filter_map(|(id, _)| self.listeners.get(&id));
        let kernel = sockets.filter(|it| it.cookie == cookie).find_map(|it| it.kernel.as_ref());
        let descriptors: Vec<_> = kernel.iter().map(|it| it.as_fd()).collect();
        let reply = send(answer, &Reply::Listening, &descriptors);
        self.broker.count(key, |counters| match reply {
            Ok(()) => counters.resumed += 1,
            Err(_) => counters.undelivered += 1,
        });
    }

    /// Does what a connect leads to; one that finds no room waits.
    fn connect(&mut self, waiter: Waiter<OwnedFd>, now: Duration) {
        let client = waiter.client;
        if !self.broker.has_session_room(client) {
            self.sweep_for_room(now);
        }
        let mut verdict = self.decide(&waiter);
        if verdict == Verdict::Refuse(Refusal::AddressNotAvailable) {
            // Perhaps a session that is over has the addresses still.
            self.sweep_for_room(now);
            verdict = self.decide(&waiter);
        }
        if !self.broker.admit_rate(client, &verdict, now) {
            // Counted as what it is, and not as a limit.
            if send(&waiter.answer, &Reply::Refused(Refusal::Limit), &[]).is_err() {
                self.broker.count(client, |counters| counters.undelivered += 1);
            }
            return self.discard(client, [waiter.answer]);
        }
        let Verdict::Wait(server) = verdict else { return self.conclude(waiter, verdict) };
        let waiting = self.broker.counters(client).map_or(u64::MAX, |counters| counters.waiting);
        let limit = self.broker.endpoint(client).map_or(0, |endpoint| endpoint.limits.waiting);
        if waiting >= u64::from(limit) || self.waiting.len() >= self.options.waiting {
            self.reply(client, &waiter.answer, &Reply::Refused(Refusal::Limit));
            return self.discard(waiter.client, [waiter.answer]);
        }
        let door = (server, waiter.ask.protocol, waiter.ask.destination.port());
        if send(&waiter.answer, &Reply::Pending, &[]).is_ok() {
            self.broker.count(client, |counters| counters.waiting += 1);
            self.waiting.push(door, waiter);
            self.want_room_at(&door);
        } else {
            self.broker.count(client, |counters| counters.undelivered += 1);
            self.discard(waiter.client, [waiter.answer]);
        }
    }

    /// Lets those in that wait at a door, as many as there is room for.
    pub(super) fn admit(&mut self, door: &Door) {
        while let Some(first) = self.waiting.first(door) {
            let (client, ask) = (first.client, first.ask);
            let listeners = &self.listeners;
            let verdict = self.broker.connect(client, &ask, |id| room(listeners.get(&id)));
            if verdict == Verdict::Wait(door.0) {
                return self.want_room_at(door);
            }
            let Some(waiter) = self.waiting.pop(door) else { return };
            self.broker.count(client, |counters| counters.waiting -= 1);
            self.conclude(waiter, verdict);
        }
    }

    fn decide(&mut self, waiter: &Waiter<OwnedFd>) -> Verdict {
        let listeners = &self.listeners;
        self.broker.connect(waiter.client, &waiter.ask, |id| room(listeners.get(&id)))
    }

    /// Has the door looked at when one of its listeners has room. When it is for the endpoint's limit
    /// that somebody waits, it is looked at when sessions were swept.
    pub(super) fn want_room_at(&mut self, door: &Door) {
        let (endpoint, protocol, port) = *door;
        if !self.broker.has_session_room(endpoint) {
            return;
        }
        let at_door = self.broker.listeners().filter(|(_, listener)| {
            let binding = &listener.binding;
            (listener.endpoint, binding.protocol, binding.port) == (endpoint, protocol, port)
        });
        let ids: Vec<_> = at_door.map(|(id, _)| id).collect();
        self.want_room(&ids);
    }

    fn conclude(&mut self, waiter: Waiter<OwnedFd>, verdict: Verdict) {
        let reply = match verdict {
            Verdict::Place(grant, listener) => {
                self.join(&waiter, &grant, listener);
                return self.discard(waiter.client, [waiter.answer]);
            }
            Verdict::UseKernel => Reply::UseKernel,
            Verdict::Stack => return self.connect_by_stack(waiter),
            Verdict::Refuse(refusal) => Reply::Refused(refusal),
            Verdict::Wait(_) => Reply::Refused(Refusal::TimedOut),
        };
        self.reply(waiter.client, &waiter.answer, &reply);
        self.discard(waiter.client, [waiter.answer]);
    }

    /// Makes the session and hands it to both sides.
    ///
    /// The connecting side is told first: as soon as the other side has the far end it may send
    /// tokens there, and they must not come before the answer.
    fn join(&mut self, waiter: &Waiter<OwnedFd>, grant: &Grant, listener: ListenerId) {
        let far = &waiter.answer;
        let cookies = sockopt::socket_cookie(far).map(|cookie| [waiter.cookie, cookie]);
        let by = Sharing { process: waiter.sharing, listener };
        let by = (by.process != 0 && waiter.ask.protocol == Protocol::Stream).then_some(by);
        let Some((record, lent)) = self.tell_connected(grant, waiter.client, far, cookies, by)
        else {
            return;
        };
        let accept = Reply::Accept(info(&record, Side::Second));
        // Should the listener have ended just now, another one of the same port gets the session, in a
        // memory where the first may have some: the kernel lets programs of one user share a port.
        let mut next = Some(listener);
        while let Some(id) = next {
            let sent = self.listeners.get(&id).map_or(Err(Errno::NOENT), |sockets| {
                send(&sockets.far, &accept, &[far.as_fd(), lent.as_fd()])
            });
            if sent.is_ok() {
                break;
            }
            self.remove_listener(id);
            let listeners = &self.listeners;
            next = self.broker.another(grant, |id| room(listeners.get(&id)));
        }
        if next.is_none() {
            // The connecting side sees its socket hang up, as if the listener had ended just now.
            self.broker.end(grant);
            return self.broker.count(waiter.client, |counters| counters.undelivered += 1);
        }
        self.broker.count(waiter.client, |counters| counters.connected += 1);
        if let Some(server) = grant.server {
            self.broker.count(server, |counters| counters.accepted += 1);
        }
        self.made += 1;
        self.registry.add(record);
    }

    /// Makes the session and tells the side that connects; `None` when nothing came of it.
    pub(super) fn tell_connected(
        &mut self,
        grant: &Grant,
        client: EndpointKey,
        far: &OwnedFd,
        cookies: Result<[u64; 2], Errno>,
        by: Option<Sharing>,
    ) -> Option<(Record<Arc<Kept>>, Arc<OwnedFd>)> {
        let made = cookies.and_then(|cookies| self.make_record(grant, client, cookies, by));
        let (record, lent) = match made {
            Ok(made) => made,
            Err(error) => {
                tracing::warn!(%error, "a session cannot be made");
                self.broker.end(grant);
                self.reply(client, far, &Reply::Refused(Refusal::Limit));
                return None;
            }
        };
        let connected = Reply::Connected(info(&record, Side::First));
        if send(far, &connected, &[lent.as_fd()]).is_err() {
            self.broker.end(grant);
            self.broker.count(client, |counters| counters.undelivered += 1);
            return None;
        }
        Some((record, lent))
    }

    /// The record of a session that belongs to `owner`, and its memory for both sides; with others,
    /// or alone.
    pub(super) fn make_record(
        &mut self,
        grant: &Grant,
        owner: EndpointKey,
        cookies: [u64; 2],
        by: Option<Sharing>,
    ) -> Result<(Record<Arc<Kept>>, Arc<OwnedFd>), Errno> {
        let ring_size = self.broker.endpoint(owner).ok_or(Errno::NOENT)?.ring_size;
        let (kept, lent) = match by {
            Some(by) => self.pool.place(&mut self.maker, owner, by, ring_size)?,
            None => alone(&mut self.maker, ring_size)?,
        };
        Ok((Record { grant: *grant, cookies, memory: Arc::new(kept) }, lent))
    }
}

pub(super) fn room(sockets: Option<&ListenerSockets>) -> Room {
    sockets.map_or(Room::Gone, ListenerSockets::room)
}

/// A session as one side sees it.
pub(super) fn info(record: &Record<Arc<Kept>>, side: Side) -> SessionInfo {
    let tuple = &record.grant.tuple;
    let (local, remote) = match side {
        Side::First => (tuple.source, tuple.destination),
        Side::Second => (tuple.destination, tuple.source),
    };
    SessionInfo {
        id: record.grant.id.0,
        side,
        protocol: tuple.protocol,
        transport: record.grant.way.transport(),
        memory: record.memory.name(),
        place: record.memory.place,
        local,
        remote,
    }
}
