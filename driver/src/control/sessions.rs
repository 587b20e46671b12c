//! Sessions and listeners as the API shows them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use session::broker::core::Local;
use session::broker::{SessionState, Way};
use session::layout::Glance;
use session::wire::Protocol;

use crate::engine::session::{ListenerStatus, SessionStatus};
use crate::model::{EndpointId, NetworkId};

/// A session, as the endpoint that connected sees it.
///
/// Bytes and wake-ups are what the two programs say of themselves in their shared memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its number in the life of the agent; `null` while it is connecting.
    pub id: Option<u64>,
    /// The network.
    pub network: NetworkId,
    /// The endpoint that connected; `null` when it was removed meanwhile, or for a peer that the agent speaks to.
    pub endpoint: Option<EndpointId>,
    /// The endpoint that accepted; `null` likewise.
    pub peer: Option<EndpointId>,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// `cut-through`, `stack` or `splice`.
    pub transport: String,
    /// Address and port of the side that connected, once it has one.
    pub local: Option<SocketAddr>,
    /// Address and port of the side that accepted.
    pub remote: SocketAddr,
    /// `connecting`, `open`, `half-closed` or `closed`.
    pub state: String,
    /// Bytes that the ring of each direction holds.
    pub ring_bytes: u32,
    /// What the side that connected wrote.
    pub sent: Flow,
    /// What the side that accepted wrote.
    pub received: Flow,
}

/// One direction of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Bytes written so far.
    pub bytes: u64,
    /// Bytes of those that were not read yet.
    pub waiting: u64,
    /// Wake-ups that the writer sent.
    pub wakeups: u64,
}

/// A session listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The network.
    pub network: NetworkId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Where it listens: an address, `*` for all IPv4 addresses, `[::]` for all IPv6 addresses, or
    /// `[::]+*` for both; and the port.
    pub address: String,
    /// Others may listen there too (`SO_REUSEPORT`).
    pub shared: bool,
    /// Connections that come through the kernel arrive there as well.
    pub kernel: bool,
    /// As many connections wait as may.
    pub backlog_full: bool,
}

/// What an endpoint's sessions did so far.
pub type SessionCounters = std::collections::BTreeMap<String, u64>;

pub(super) fn session(network: &NetworkId, status: SessionStatus) -> Session {
    let SessionStatus { client, server, session } = status;
    let [sent, received] =
        session.directions.map(|direction| flow(&direction, session.ring_bytes.into()));
    Session {
        id: session.id.map(|id| id.0),
        network: network.clone(),
        endpoint: client,
        peer: server,
        protocol: protocol(session.protocol).to_owned(),
        transport: match session.way {
            Way::CutThrough => "cut-through",
            Way::Stack => "stack",
            Way::Splice => "splice",
        }
        .to_owned(),
        local: session.source,
        remote: session.destination,
        state: match session.state {
            SessionState::Connecting => "connecting",
            SessionState::Open => "open",
            SessionState::HalfClosed => "half-closed",
            SessionState::Closed => "closed",
        }
        .to_owned(),
        ring_bytes: session.ring_bytes,
        sent,
        received,
    }
}

/// The programs can write what they like; nothing is shown that cannot be.
fn flow(direction: &Glance, ring_bytes: u64) -> Flow {
    Flow {
        bytes: direction.written,
        waiting: direction.written.saturating_sub(direction.read).min(ring_bytes),
        wakeups: direction.tokens,
    }
}

pub(super) fn listener(network: &NetworkId, status: ListenerStatus) -> Listener {
    let listener = status.listener;
    let address = match listener.local {
        Local::One(ip) => SocketAddr::new(ip, listener.port).to_string(),
        Local::AnyV4 => format!("*:{}", listener.port),
        Local::AnyV6 { only: true } => format!("[::]:{}", listener.port),
        Local::AnyV6 { only: false } => format!("[::]+*:{}", listener.port),
    };
    Listener {
        network: network.clone(),
        endpoint: status.endpoint,
        protocol: protocol(listener.protocol).to_owned(),
        address,
        shared: listener.reuse.port,
        kernel: listener.kernel,
        backlog_full: listener.full,
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Stream => "tcp",
        Protocol::Datagram => "udp",
    }
}

/// Counters with their names.
#[derive(Debug, Default)]
pub(crate) struct NamedCounts {
    /// What there is now.
    pub(crate) present: Vec<(&'static str, u64)>,
    /// What happened so far.
    pub(crate) happened: Vec<(&'static str, u64)>,
}

/// All counters by name, those that are zero too.
pub(crate) fn named(counters: &session::broker::Counters) -> NamedCounts {
    let present = vec![
        ("sessions", counters.sessions),
        ("listeners", counters.listeners),
        ("waiting", counters.waiting),
    ];
    let happened = vec![
        ("connected", counters.connected),
        ("accepted", counters.accepted),
        ("accepted-kernel", counters.accepted_kernel),
        ("left-to-kernel", counters.left_to_kernel),
        ("refused", counters.refused),
        ("over-limit", counters.over_limit),
        ("over-rate", counters.over_rate),
        ("timed-out", counters.timed_out),
        ("resumed", counters.resumed),
        ("malformed", counters.malformed),
        ("undelivered", counters.undelivered),
        ("datagrams-dropped", counters.datagrams_dropped),
        ("datagrams-overflowed", counters.datagrams_overflowed),
    ];
    NamedCounts { present, happened }
}

/// The counters that are not zero, by name.
pub(super) fn counters(counters: &session::broker::Counters) -> SessionCounters {
    let NamedCounts { present, happened } = named(counters);
    let counted = present.into_iter().chain(happened).filter(|(_, count)| *count > 0);
    counted.map(|(name, count)| (name.to_owned(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_claims_stays_within_its_ring() {
        let lie = Glance { written: u64::MAX, read: 1, tokens: 7, ..Glance::default() };
        assert_eq!(flow(&lie, 4096), Flow { bytes: u64::MAX, waiting: 4096, wakeups: 7 });
        let lie = Glance { written: 1, read: 2, ..Glance::default() };
        assert_eq!(flow(&lie, 4096).waiting, 0);
    }
}
