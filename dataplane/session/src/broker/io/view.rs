//! What people are shown.

use std::net::SocketAddr;
use std::sync::Arc;

use super::memory::Kept;
use super::state::State;
use crate::broker::core::registry::Record;
use crate::broker::core::{EndpointKey, Grant, Local, Room, SessionId, Way};
use crate::layout::Glance;
use crate::wire::{Protocol, Reuse};

/// How far a session is, as its two sides say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// It waits for room in the backlog of a listener.
    Connecting,
    /// Both directions are open.
    Open,
    /// One side ended its direction.
    HalfClosed,
    /// Both directions ended, or a side is gone.
    Closed,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// Its number; none while it is connecting.
    pub id: Option<SessionId>,
    /// The endpoint that connected; none for a peer that the agent speaks to.
    pub client: Option<EndpointKey>,
    /// The endpoint that accepted; none for a peer that the agent speaks to.
    pub server: Option<EndpointKey>,
    /// Streams or datagrams.
    pub protocol: Protocol,
    /// How the bytes travel.
    pub way: Way,
    /// Address of the connecting side; none while it is connecting and did not choose one.
    pub source: Option<SocketAddr>,
    /// Address of the accepting side.
    pub destination: SocketAddr,
    /// How far it is.
    pub state: SessionState,
    /// Bytes that one ring holds.
    pub ring_bytes: u32,
    /// What the connecting and the accepting side wrote, by what they say.
    pub directions: [Glance; 2],
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerView {
    /// Its endpoint.
    pub endpoint: EndpointKey,
    /// Streams or datagrams.
    pub protocol: Protocol,
    /// Where it listens.
    pub local: Local,
    /// Its port.
    pub port: u16,
    /// With whom it shares.
    pub reuse: Reuse,
    /// It has a kernel socket too.
    pub kernel: bool,
    /// Its backlog is full.
    pub full: bool,
}

pub(super) fn listeners(state: &State) -> Vec<ListenerView> {
    let views = state.broker.listeners().filter_map(|(id, listener)| {
        let sockets = state.listeners.get(&id)?;
        let binding = &listener.binding;
        Some(ListenerView {
            endpoint: listener.endpoint,
            protocol: binding.protocol,
            local: binding.local,
            port: binding.port,
            reuse: binding.reuse,
            kernel: sockets.kernel.is_some(),
            full: sockets.room() == Room::Full,
        })
    });
    views.collect()
}

/// What [`sessions`] needs.
pub(super) fn records(state: &State) -> (Vec<SessionView>, Vec<Record<Arc<Kept>>>) {
    let connecting = state.waiting.iter().map(|((server, protocol, _), waiter)| SessionView {
        id: None,
        client: Some(waiter.client),
        server: Some(*server),
        protocol: *protocol,
        way: Way::CutThrough,
        source: waiter.ask.source,
        destination: waiter.ask.destination,
        state: SessionState::Connecting,
        ring_bytes: 0,
        directions: [Glance::default(); 2],
    });
    let by_stack = state
        .stack_grants
        .values()
        .map(|grant| granted(grant, SessionState::Connecting, 0, [Glance::default(); 2]));
    (connecting.chain(by_stack).collect(), state.registry.iter().cloned().collect())
}

/// The sessions; those that are over are left out.
pub(super) fn sessions(
    mut list: Vec<SessionView>,
    records: Vec<Record<Arc<Kept>>>,
) -> Vec<SessionView> {
    list.extend(records.into_iter().filter_map(|record| {
        let directions = record.memory.glance()?;
        Some(granted(
            &record.grant,
            state(&directions),
            record.memory.place.ring_size().get(),
            directions,
        ))
    }));
    list
}

fn granted(
    grant: &Grant,
    state: SessionState,
    ring_bytes: u32,
    directions: [Glance; 2],
) -> SessionView {
    SessionView {
        id: Some(grant.id),
        client: grant.client,
        server: grant.server,
        protocol: grant.tuple.protocol,
        way: grant.way,
        source: Some(grant.tuple.source),
        destination: grant.tuple.destination,
        state,
        ring_bytes,
        directions,
    }
}

fn state(directions: &[Glance; 2]) -> SessionState {
    let ended = directions.iter().filter(|direction| direction.ended).count();
    if ended == 2 || directions.iter().any(|direction| direction.closed) {
        SessionState::Closed
    } else if ended == 1 {
        SessionState::HalfClosed
    } else {
        SessionState::Open
    }
}
