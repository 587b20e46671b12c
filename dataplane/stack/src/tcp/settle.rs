//! What a change of a connection's state means for its owner and its listener.

use smoltcp::socket::tcp::State;

use super::connection::{Connection, Handshake, Holder};
use super::{ConnectionId, ListenerId, Tcp};
use crate::config::Config;
use crate::environment::Environment;
use crate::{Event, Ready, StackError};

/// What may have changed the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Received,
    Sent,
}

impl Connection {
    /// How long the peer may be silent now.
    pub(super) fn timeout(&self, config: &Config) -> Option<smoltcp::time::Duration> {
        let timeout = match self.state {
            State::SynSent | State::SynReceived => config.connect_timeout,
            _ if self.socket().send_queue() > 0 => config.data_timeout,
            _ => return None,
        };
        Some(timeout.into())
    }

    /// Looks at what has changed since the last look.
    fn changes(&mut self, cause: Cause) -> (State, Ready) {
        let socket = self.socket();
        let (old, new) = (self.state, socket.state());
        let queued = (socket.recv_queue(), socket.send_queue());
        let room = socket.send_capacity() - queued.1;
        let has_room = room >= socket.send_capacity() / 3;
        let mut ready = Ready::empty();
        if queued.0 > self.queued.0 {
            ready |= Ready::READABLE;
        }
        if self.send_full && has_room {
            self.send_full = false;
            ready |= Ready::WRITABLE;
        }
        let ended =
            matches!(new, State::CloseWait | State::Closing | State::LastAck | State::TimeWait);
        if ended && !self.peer_closed {
            self.peer_closed = true;
            ready |= Ready::PEER_CLOSED;
        }
        if old == State::SynSent && (new == State::Established || ended) {
            ready |= Ready::CONNECTED | Ready::WRITABLE;
        }
        if new == State::TimeWait && old != new {
            self.last_ack_due = true;
            ready |= Ready::CLOSED;
        }
        if new == State::Closed && old != new {
            ready |= Ready::CLOSED;
            self.error = self.error.or(match (cause, old) {
                (_, State::LastAck | State::TimeWait) => None,
                (Cause::Received, State::SynSent) => Some(StackError::Refused),
                (Cause::Received, _) => Some(StackError::Reset),
                (Cause::Sent, _) => Some(StackError::TimedOut),
            });
        }
        self.queued = queued;
        self.state = new;
        (old, ready)
    }
}

impl Tcp {
    /// Draws the consequences after smoltcp has worked.
    pub(super) fn settle(&mut self, id: ConnectionId, cause: Cause, env: &mut Environment<'_>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let before = connection.queued.1;
        if connection.finish_due && connection.socket().send_queue() == 0 {
            connection.finish();
            self.mark_dirty(id);
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        let (old, ready) = connection.changes(cause);
        let (new, holder) = (connection.state, connection.holder);
        if let Holder::Listener(listener, Handshake::HalfOpen) = holder {
            match new {
                State::SynReceived => return,
                // A reset, or the peer was silent for too long.
                State::Listen | State::Closed => return self.remove(id),
                _ => self.complete(listener, id),
            }
        }
        if holder == Holder::Nobody {
            return self.settle_orphan(id, old != new, before, env);
        }
        self.announce(id, ready);
        if old != new {
            self.mark_dirty(id);
        }
    }

    /// The handshake of a connection for a listener is over.
    fn complete(&mut self, listener_id: ListenerId, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.holder = Holder::Listener(listener_id, Handshake::Complete);
        let Some(listener) = self.listeners.get_mut(listener_id) else { return };
        listener.half_open_count -= 1;
        if listener.half_open_count == 0 {
            listener.half_open.clear();
        }
        listener.complete.push_back(id);
        if !listener.announced {
            listener.announced = true;
            self.events.push_back(Event::Acceptable(listener_id));
        }
    }

    /// A connection that its owner has left ends by itself.
    fn settle_orphan(
        &mut self,
        id: ConnectionId,
        changed: bool,
        queued_before: usize,
        env: &mut Environment<'_>,
    ) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.state == State::TimeWait && !connection.last_ack_due {
            return self.rest(id, env);
        }
        if connection.is_finished() {
            return self.remove(id);
        }
        if connection.socket().recv_queue() > 0 && connection.state != State::Closed {
            // Nobody will read it, and the peer must not think that somebody has (RFC 1122, 4.2.2.13).
            connection.socket_mut().abort();
            connection.state = State::Closed;
            return self.mark_dirty(id);
        }
        if changed || connection.queued.1 < queued_before {
            connection.give_up = Some(env.now + env.config.close_timeout);
        }
        if changed {
            self.mark_dirty(id);
        }
    }

    /// Ends a connection that the peer cannot hear of.
    pub(super) fn fail(&mut self, id: ConnectionId, error: StackError, env: &mut Environment<'_>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.error = Some(error);
        connection.waiting = false;
        connection.silent = true;
        connection.socket_mut().abort();
        self.settle(id, Cause::Sent, env);
    }
}
