//! What the owner of a stack does with connections and listeners.

use std::collections::VecDeque;
use std::net::SocketAddr;

use smoltcp::socket::tcp::State;

use super::connection::{Connection, Handshake, Holder};
use super::segment::Flow;
use super::{ConnectionId, Listener, ListenerId, Tcp, any};
use crate::StackError;
use crate::environment::Environment;

/// Ports that are given to connections that do not ask for one, as Linux does by default (ip(7),
/// `ip_local_port_range`).
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

impl Tcp {
    pub(crate) fn listen(
        &mut self,
        local: SocketAddr,
        backlog: usize,
        env: &Environment<'_>,
    ) -> Result<ListenerId, StackError> {
        let own = local.ip().is_unspecified() || env.config.addressing.is_own(local.ip());
        if !own || local.port() == 0 {
            return Err(StackError::NotOwn(local));
        }
        if self.listening.contains_key(&local) {
            return Err(StackError::InUse(local));
        }
        let id = self.listeners.insert(Listener {
            local,
            backlog,
            half_open: VecDeque::new(),
            half_open_count: 0,
            complete: VecDeque::new(),
            announced: false,
        });
        self.listening.insert(local, id);
        Ok(id)
    }

    pub(crate) fn set_backlog(&mut self, id: ListenerId, backlog: usize) -> Result<(), StackError> {
        self.listeners.get_mut(id).ok_or(StackError::Gone)?.backlog = backlog;
        Ok(())
    }

    /// Ends a listener; what nobody has accepted is reset.
    pub(crate) fn unlisten(&mut self, id: ListenerId, env: &mut Environment<'_>) {
        let Some(listener) = self.listeners.remove(id) else { return };
        self.listening.remove(&listener.local);
        for connection in listener.half_open.into_iter().chain(listener.complete) {
            let ours = |it: &Connection| matches!(it.holder, Holder::Listener(of, _) if of == id);
            if self.connections.get(connection).is_some_and(|it| ours(it)) {
                self.abort(connection, env);
            }
        }
    }

    pub(crate) fn accept(&mut self, id: ListenerId) -> Result<Option<ConnectionId>, StackError> {
        let listener = self.listeners.get_mut(id).ok_or(StackError::Gone)?;
        let Some(accepted) = listener.complete.pop_front() else { return Ok(None) };
        if let Some(connection) = self.connections.get_mut(accepted) {
            connection.holder = Holder::Owner;
        }
        self.announce(accepted, crate::Ready::empty());
        Ok(Some(accepted))
    }

    pub(crate) fn connect(
        &mut self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        env: &mut Environment<'_>,
    ) -> Result<ConnectionId, StackError> {
        let addressing = &env.config.addressing;
        if remote.ip().is_multicast() || addressing.is_broadcast(remote.ip()) {
            return Err(StackError::Unreachable);
        }
        if remote.port() == 0 {
            // Nobody can listen there.
            return Err(StackError::Refused);
        }
        let route = addressing.route(remote.ip()).ok_or(StackError::Unreachable)?;
        if self.connections.len() >= env.config.connections {
            return Err(StackError::TooMany);
        }
        let from = addressing.source_for(remote.ip()).ok_or(StackError::Unreachable)?;
        let local = match local {
            Some(local) if local.ip().is_unspecified() => SocketAddr::new(from, local.port()),
            Some(local) if !addressing.is_own(local.ip()) => return Err(StackError::NotOwn(local)),
            Some(local) if local.is_ipv4() != remote.is_ipv4() => {
                return Err(StackError::NotOwn(local));
            }
            Some(local) => local,
            None => SocketAddr::new(from, 0),
        };
        let flow = self.free_flow(local, remote)?;
        let socket = self.spare_socket(env.config);
        let seed = self.secret_for(&flow, env.config);
        let now = env.smoltcp_now();
        let mut connection =
            Connection::new(socket, flow, route, Holder::Owner, env.config, seed, now);
        if !connection.connect() {
            return Err(StackError::Unreachable);
        }
        let id = self.add(connection);
        self.mark_dirty(id);
        Ok(id)
    }

    /// The addresses and ports of a new connection; chooses the port if there is none.
    fn free_flow(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<Flow, StackError> {
        let is_free =
            |flow: &Flow| !self.flows.contains_key(flow) && !self.time_wait.contains(flow);
        if local.port() != 0 {
            let flow = Flow { local, remote };
            return if is_free(&flow) { Ok(flow) } else { Err(StackError::InUse(local)) };
        }
        let count = EPHEMERAL.end() - EPHEMERAL.start() + 1;
        for n in 0..count {
            let port = EPHEMERAL.start() + self.next_port.wrapping_add(n) % count;
            let local = SocketAddr::new(local.ip(), port);
            let flow = Flow { local, remote };
            let listens =
                self.listening.contains_key(&local) || self.listening.contains_key(&any(local));
            if !listens && is_free(&flow) {
                // Not the next one next time, so that it is harder to guess (RFC 6056).
                self.next_port = self.next_port.wrapping_add(n).wrapping_add(7919);
                return Ok(flow);
            }
        }
        Err(StackError::InUse(local))
    }

    fn owned(&mut self, id: ConnectionId) -> Result<&mut Connection, StackError> {
        let connection = self.connections.get_mut(id).ok_or(StackError::Gone)?;
        if connection.holder == Holder::Owner { Ok(connection) } else { Err(StackError::Gone) }
    }

    pub(crate) fn send<R>(
        &mut self,
        id: ConnectionId,
        fill: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, StackError> {
        let connection = self.owned(id)?;
        if connection.finish_due {
            return Err(StackError::NotOpen);
        }
        let socket = connection.socket_mut();
        let result = socket.send(fill).map_err(|_| StackError::NotOpen)?;
        let (queued, capacity) = (socket.send_queue(), socket.send_capacity());
        connection.send_full = queued == capacity;
        connection.queued.1 = queued;
        self.mark_dirty(id);
        Ok(result)
    }

    pub(crate) fn read<R>(
        &mut self,
        id: ConnectionId,
        take: impl FnOnce(&[u8]) -> (usize, R),
        env: &mut Environment<'_>,
    ) -> Result<R, StackError> {
        let connection = self.owned(id)?;
        let socket = connection.socket_mut();
        if !socket.can_recv() {
            return match connection.state {
                State::SynSent | State::SynReceived => Err(StackError::NotOpen),
                _ => Ok(take(&[]).1),
            };
        }
        let before = socket.recv_queue();
        let result = socket.recv(|bytes| take(bytes)).map_err(|_| StackError::NotOpen)?;
        let (after, capacity) = (socket.recv_queue(), socket.recv_capacity());
        connection.queued.0 = after;
        connection.unannounced_room += before - after;
        if connection.unannounced_room >= capacity / 4 {
            self.mark_dirty(id);
        } else {
            self.mark_late(id, env.now);
        }
        Ok(result)
    }

    /// Bytes that can be read and bytes that can be sent now.
    pub(crate) fn amounts(&self, id: ConnectionId) -> Option<(usize, usize)> {
        let connection = self.connections.get(id)?;
        Some((connection.socket().recv_queue(), connection.room()))
    }

    /// Bytes that the peer has not acknowledged.
    pub(crate) fn unsent(&self, id: ConnectionId) -> Option<usize> {
        Some(self.connections.get(id)?.socket().send_queue())
    }

    pub(crate) fn peer_closed(&self, id: ConnectionId) -> Option<bool> {
        Some(self.connections.get(id)?.peer_closed)
    }

    pub(crate) fn error(&self, id: ConnectionId) -> Option<StackError> {
        self.connections.get(id)?.error
    }

    pub(crate) fn ends(&self, id: ConnectionId) -> Option<(SocketAddr, SocketAddr)> {
        let flow = self.connections.get(id)?.flow;
        Some((flow.local, flow.remote))
    }

    pub(crate) fn shutdown(&mut self, id: ConnectionId) -> Result<(), StackError> {
        let connection = self.owned(id)?;
        if connection.state == State::SynSent {
            return Err(StackError::NotOpen);
        }
        connection.finish();
        self.mark_dirty(id);
        Ok(())
    }

    pub(crate) fn close(&mut self, id: ConnectionId, env: &mut Environment<'_>) {
        let Ok(connection) = self.owned(id) else { return };
        let (state, unread) = (connection.state, connection.socket().recv_queue());
        if state == State::TimeWait && !connection.last_ack_due {
            return self.rest(id, env);
        }
        if state == State::SynSent {
            return self.remove(id);
        }
        if unread > 0 && state != State::TimeWait {
            // The peer must not think that somebody has read it (RFC 1122, 4.2.2.13).
            return self.abort(id, env);
        }
        connection.finish();
        self.leave(id, env);
    }

    pub(crate) fn abort(&mut self, id: ConnectionId, env: &mut Environment<'_>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.holder == Holder::Nobody {
            return;
        }
        if connection.state == State::SynSent {
            return self.remove(id);
        }
        connection.socket_mut().abort();
        connection.state = State::Closed;
        self.leave(id, env);
    }

    /// From now on the connection ends by itself.
    fn leave(&mut self, id: ConnectionId, env: &mut Environment<'_>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if let Holder::Listener(listener, handshake) = connection.holder
            && let Some(listener) = self.listeners.get_mut(listener)
            && handshake == Handshake::HalfOpen
        {
            listener.half_open_count -= 1;
        }
        connection.holder = Holder::Nobody;
        if connection.state == State::Closed && connection.is_finished() {
            return self.remove(id);
        }
        let at = env.now + env.config.close_timeout;
        connection.give_up = Some(at);
        Self::look_at(connection, id, at, env);
        self.mark_dirty(id);
    }

    /// Bytes and state for a table of connections.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.connections.iter().filter(|(_, it)| it.holder == Holder::Owner).map(|(id, _)| id)
    }
}
