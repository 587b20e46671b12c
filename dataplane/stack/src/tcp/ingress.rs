//! Segments that come in.

use dataplane::packet::EtherType;
use smoltcp::socket::tcp::State;

use super::connection::{Connection, Handshake, Holder};
use super::segment::{Control, Flow, SEQ, Segment, mss_option};
use super::settle::Cause;
use super::time_wait::Verdict;
use super::{ConnectionId, ListenerId, Tcp};
use crate::StackError;
use crate::config::Route;
use crate::environment::Environment;
use crate::headers::ip_len;
use crate::icmp::{Complaint, Report};
use crate::link::Link;
use crate::neighbour::{EVERYBODY, Known, Neighbour};
use crate::packet::Packet;

impl Tcp {
    /// A segment for one of our addresses, its checksum checked.
    pub(crate) fn receive<L: Link>(
        &mut self,
        packet: &Packet<'_>,
        env: &mut Environment<'_>,
        link: &mut L,
    ) {
        let Some(segment) = Segment::parse(packet.payload()) else {
            env.counters.malformed += 1;
            return;
        };
        let flow = segment.flow(packet);
        if flow.remote.port() == 0 || flow.remote.ip().is_unspecified() {
            env.counters.malformed += 1;
            return;
        }
        if let Some(&id) = self.flows.get(&flow) {
            return self.deliver(id, packet, &segment, env, link);
        }
        match self.time_wait.judge(&flow, &segment) {
            Some(Verdict::Ignore) => return,
            Some(Verdict::Acknowledge(control)) => {
                return answer(control, &flow, packet, env, link);
            }
            Some(Verdict::New) | None => {}
        }
        if segment.is_syn()
            && !segment.is_ack()
            && !segment.is_rst()
            && let Some(listener) = self.listener_for(flow.local)
        {
            return self.open(listener, flow, packet, &segment, env, link);
        }
        if !segment.is_rst() {
            env.counters.refused += 1;
            answer(Control::refusal(&segment), &flow, packet, env, link);
        }
    }

    /// Whether a segment belongs to a connection.
    pub(crate) fn has_connection(&self, packet: &Packet<'_>) -> bool {
        let segment = Segment::parse(packet.payload());
        segment.is_some_and(|segment| self.flows.contains_key(&segment.flow(packet)))
    }

    /// A SYN for a listener. It is not answered when there is no room, as in Linux: the peer tries again.
    fn open<L: Link>(
        &mut self,
        id: ListenerId,
        flow: Flow,
        packet: &Packet<'_>,
        segment: &Segment,
        env: &mut Environment<'_>,
        link: &mut L,
    ) {
        let Some(route) = env.config.addressing.route(flow.remote.ip()) else { return };
        let Some(listener) = self.listeners.get(id) else { return };
        let full = listener.complete.len() > listener.backlog;
        if full || self.connections.len() >= env.config.connections {
            env.counters.backlog_full += 1;
            return;
        }
        if listener.half_open_count >= env.config.half_open.max(1) {
            self.evict_half_open(id, env);
        }
        let socket = self.spare_socket(env.config);
        let seed = self.secret_for(&flow, env.config);
        let holder = Holder::Listener(id, Handshake::HalfOpen);
        let now = env.smoltcp_now();
        let mut connection = Connection::new(socket, flow, route, holder, env.config, seed, now);
        if !connection.listen() {
            return;
        }
        connection.state = connection.socket().state();
        let connection = self.add(connection);
        if let Some(listener) = self.listeners.get_mut(id) {
            listener.half_open.push_back(connection);
            listener.half_open_count += 1;
            if listener.half_open.len() > 2 * env.config.half_open.max(1) {
                let half_open = Holder::Listener(id, Handshake::HalfOpen);
                let connections = &self.connections;
                listener
                    .half_open
                    .retain(|&it| connections.get(it).is_some_and(|it| it.holder == half_open));
            }
        }
        self.deliver(connection, packet, segment, env, link);
    }

    /// The oldest half-open connection of a listener gives way: with a flood of SYNs, it is the one
    /// that is least likely to be completed.
    fn evict_half_open(&mut self, id: ListenerId, env: &mut Environment<'_>) {
        loop {
            let Some(listener) = self.listeners.get_mut(id) else { return };
            let Some(oldest) = listener.half_open.pop_front() else { return };
            let half_open = Holder::Listener(id, Handshake::HalfOpen);
            if self.connections.get(oldest).is_some_and(|it| it.holder == half_open) {
                env.counters.half_open_evicted += 1;
                return self.remove(oldest);
            }
        }
    }

    fn deliver<L: Link>(
        &mut self,
        id: ConnectionId,
        packet: &Packet<'_>,
        segment: &Segment,
        env: &mut Environment<'_>,
        link: &mut L,
    ) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !link.has_room() {
            // What it would say in answer has no place; the peer will repeat itself.
            env.counters.no_room += 1;
            return;
        }
        let mut bytes = packet.bytes;
        let header = &packet.payload()[..segment.header_len];
        let is_of_the_way = connection.is_of_the_way(segment);
        connection.note_offer(segment, header);
        if segment.is_syn() {
            let option = mss_option(header);
            connection.limit_mss(option.map(|at| u16::from_be_bytes([header[at], header[at + 1]])));
            if let Some(at) = option {
                let assumed = connection.assumed_mss().to_be_bytes();
                bytes = patched(&mut self.scratch, packet, at, &assumed);
            }
        }
        if let Some(seq) = connection.seq_at_closed_window(segment) {
            bytes = patched(&mut self.scratch, packet, SEQ, &seq.to_be_bytes());
        }
        connection.heard_from = Some(packet.src_mac);
        // Answers to who wants a connection go back where the question came from. Later they go where everything goes:
        // a neighbour that asks in the name of the peer must not hear the numbers of the connection.
        let hop = connection.route.next_hop();
        let is_new = matches!(connection.state, State::Listen | State::SynReceived);
        let (mac, neighbour) = match env.neighbours.peek(hop) {
            Known::Yes(neighbour, mac) if mac == packet.src_mac || !is_new => {
                (mac, Some(neighbour))
            }
            _ => (packet.src_mac, None),
        };
        if is_of_the_way
            && mac != packet.src_mac
            && let Route::Gateway(gateway) = connection.route
        {
            env.routers.note(gateway, packet.src_mac, env.now);
        }
        let tag = neighbour.map_or(EVERYBODY, Neighbour::tag);
        let path = connection.path(env.config.addressing.mac, mac, tag);
        let sent = connection.ingress(env.smoltcp_now(), bytes, &path, link);
        env.counters.frames_out += u64::from(sent.frames);
        if let Some(neighbour) = neighbour {
            env.neighbours.sent(neighbour, sent.frames);
        }
        connection.unacknowledged += segment.payload;
        self.settle(id, Cause::Received, env);
        self.plan_answer(id, env);
    }

    /// Decides whether what smoltcp has to say is said with the next poll or may wait for more.
    fn plan_answer(&mut self, id: ConnectionId, env: &mut Environment<'_>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let may_wait = connection.state == State::Established
            && connection.socket().send_queue() == 0
            && connection.unacknowledged < 2 * connection.mss;
        if !may_wait {
            return self.mark_dirty(id);
        }
        if connection.unacknowledged > 0 {
            self.mark_late(id, env.now);
        }
    }

    /// A router or the peer's station complains about a segment of ours.
    pub(crate) fn complain(&mut self, report: &Report, env: &mut Environment<'_>) {
        let flow = Flow { local: report.local, remote: report.remote };
        let Some(&id) = self.flows.get(&flow) else { return };
        let Some(connection) = self.connections.get_mut(id) else { return };
        // Who never saw the segment can only guess it (RFC 5927, 4.1; `tcp_v4_err` of Linux v6.18).
        if !report.sequence.is_some_and(|sequence| connection.is_in_flight(sequence)) {
            return;
        }
        match report.complaint {
            Complaint::TooBig(mtu) => connection.shorten(mtu, env.now + env.config.path_timeout),
            // Later it is a soft error (RFC 1122, 4.2.3.9): the way may come back.
            Complaint::Port | Complaint::Unreachable if connection.state == State::SynSent => {
                let port = report.complaint == Complaint::Port;
                let error = if port { StackError::Refused } else { StackError::Unreachable };
                self.fail(id, error, env);
            }
            Complaint::Port | Complaint::Unreachable => {}
        }
    }
}

/// The packet with other bytes in its TCP header, from `at` on.
fn patched<'a>(
    scratch: &'a mut Vec<u8>,
    packet: &Packet<'_>,
    at: usize,
    header: &[u8],
) -> &'a [u8] {
    scratch.clear();
    scratch.extend_from_slice(packet.bytes);
    let at = packet.offset + at;
    scratch[at..at + header.len()].copy_from_slice(header);
    scratch
}

/// Answers a segment that belongs to no connection.
fn answer<L: Link>(
    control: Control,
    flow: &Flow,
    packet: &Packet<'_>,
    env: &mut Environment<'_>,
    link: &mut L,
) {
    let len = ip_len(flow.remote.ip()) + super::segment::HEADER_LEN;
    let ether_type = if flow.remote.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
    env.reply(packet.src_mac, ether_type, len, link, |out| control.write(flow, out));
}
