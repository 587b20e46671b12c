//! Segments that go out.

use std::time::Duration;

use smoltcp::socket::tcp::State;

use super::connection::Holder;
use super::settle::Cause;
use super::{ConnectionId, Tcp};
use crate::StackError;
use crate::environment::Environment;
use crate::link::Link;
use crate::neighbour::{EVERYBODY, Known, Neighbour};

impl Tcp {
    /// Sends what is due of all connections that have something to say.
    pub(crate) fn egress<L: Link>(&mut self, env: &mut Environment<'_>, link: &mut L) {
        // Those that become dirty meanwhile have their turn as well; each sends a bounded number.
        while let Some(id) = self.dirty.pop_front() {
            let Some(connection) = self.connections.get_mut(id) else { continue };
            connection.dirty = false;
            self.egress_of(id, env, link);
        }
    }

    fn egress_of<L: Link>(&mut self, id: ConnectionId, env: &mut Environment<'_>, link: &mut L) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.is_finished()
            || connection.state == State::TimeWait && !connection.last_ack_due
        {
            // smoltcp would forget what was received and not read when its own rest is over.
            return self.settle(id, Cause::Sent, env);
        }
        let hop = connection.route.next_hop();
        let (neighbour, mac) = match (connection.state, connection.heard_from) {
            // Anybody can claim any address in a SYN: nobody is asked for it, and nothing remembered.
            (State::SynReceived, Some(mac)) => (None, mac),
            _ => match env.reach(hop, link) {
                Known::Yes(neighbour, mac) => (Some(neighbour), mac),
                Known::Asked(neighbour) => {
                    connection.waiting = true;
                    env.neighbours.wait(neighbour, id);
                    return;
                }
                Known::No => return self.unreachable(id, env),
            },
        };
        let timeout = connection.timeout(env.config);
        connection.socket_mut().set_timeout(timeout);
        connection.lost_since = None;
        connection.forget_the_way(env.now);
        let mut path = connection.path(
            env.config.addressing.mac,
            mac,
            neighbour.map_or(EVERYBODY, Neighbour::tag),
        );
        let now = env.smoltcp_now();
        connection.remind(&path, env, link);
        loop {
            if !link.has_room() {
                connection.waiting = true;
                self.starved.push(id);
                break;
            }
            if let Some(neighbour) = neighbour
                && !env.neighbours.has_room(neighbour)
            {
                connection.waiting = true;
                env.neighbours.wait(neighbour, id);
                break;
            }
            let sent = connection.egress(now, &mut path, link);
            if sent.frames == 0 {
                break;
            }
            env.counters.frames_out += u64::from(sent.frames);
            if let Some(neighbour) = neighbour {
                env.neighbours.sent(neighbour, sent.frames);
            }
            connection.unacknowledged = 0;
            connection.unannounced_room = 0;
        }
        let waiting = connection.waiting;
        connection.last_ack_due &= waiting;
        connection.late &= waiting;
        connection.deadline = None;
        if connection.state != State::TimeWait && !waiting {
            let at = connection.poll_at(env.clock, env.now);
            let at = connection.next_reminder(at, env.now).or(at);
            if let Some(at) = at {
                // What is due now was not sent for a reason that smoltcp will see later.
                let at = at.max(env.now + super::ACK_DELAY);
                Self::look_at(connection, id, at, env);
            }
        }
        self.settle(id, Cause::Sent, env);
    }

    /// Nobody has the address of the next hop.
    pub(crate) fn unreachable(&mut self, id: ConnectionId, env: &mut Environment<'_>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.waiting = false;
        match (connection.state, connection.holder) {
            (State::SynSent, _) => self.fail(id, StackError::Unreachable, env),
            (State::SynReceived, _) | (_, Holder::Nobody) => self.remove(id),
            _ => {
                // It may come back, until the time for data is over.
                let since = *connection.lost_since.get_or_insert(env.now);
                if env.now.saturating_duration_since(since) >= env.config.data_timeout {
                    return self.fail(id, StackError::TimedOut, env);
                }
                let at = env.now + Duration::from_secs(1);
                Self::look_at(connection, id, at, env);
            }
        }
    }
}
