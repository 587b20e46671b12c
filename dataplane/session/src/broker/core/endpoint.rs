//! An endpoint, its limits and its counters.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::key::NetworkKey;
use super::ports::PortTable;
use super::rate::{Meter, Rate};
use super::tuples::Tuples;
use crate::layout::RingSize;

/// How much of the broker one endpoint may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions, made and accepted.
    pub sessions: u32,
    /// Listeners.
    pub listeners: u32,
    /// Connects that wait for a full backlog.
    pub waiting: u32,
    /// Sessions that it makes in a second; none is no limit.
    pub new_sessions: Option<Rate>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sessions: 16_384, listeners: 4096, waiting: 1024, new_sessions: None }
    }
}

/// What the broker must know of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its network: no session ever leaves it.
    pub network: NetworkKey,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// A kernel interface has the address too, so that the kernel can reach what is no session.
    pub kernel: bool,
    /// The network keeps its containers apart: sessions lead to the endpoint itself only.
    pub isolated: bool,
    /// Size of the rings of sessions that it makes.
    pub ring_size: RingSize,
    /// How much it may use.
    pub limits: Limits,
}

impl Endpoint {
    /// Whether the address is one of its own.
    pub fn has(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.ipv4 == Some(ip),
            IpAddr::V6(ip) => self.ipv6 == Some(ip),
        }
    }

    /// Its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let ipv4 = self.ipv4.map(IpAddr::from);
        ipv4.into_iter().chain(self.ipv6.map(IpAddr::from))
    }

    /// The own address from which it speaks to `destination`.
    pub fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        match destination {
            IpAddr::V4(_) => self.ipv4.map(IpAddr::from),
            IpAddr::V6(_) => self.ipv6.map(IpAddr::from),
        }
    }
}

/// What an endpoint did so far, and has now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sessions that it has now, made and accepted.
    pub sessions: u64,
    /// Listeners that it has now.
    pub listeners: u64,
    /// Connects that wait now for a full backlog.
    pub waiting: u64,
    /// Sessions that it made.
    pub connected: u64,
    /// Sessions that were handed to its listeners.
    pub accepted: u64,
    /// Connections that its kernel sockets accepted and that were handed to its listeners.
    pub accepted_kernel: u64,
    /// Requests that were left to the kernel.
    pub left_to_kernel: u64,
    /// Requests that were refused for lack of a listener or a way, or for the address.
    pub refused: u64,
    /// Requests that were refused for a limit.
    pub over_limit: u64,
    /// Connects that were refused because the endpoint made too many sessions in a short time.
    pub over_rate: u64,
    /// Connects that waited for a full backlog in vain.
    pub timed_out: u64,
    /// Sessions whose memory was given out again.
    pub resumed: u64,
    /// Requests that could not be understood.
    pub malformed: u64,
    /// Answers that could not be delivered.
    pub undelivered: u64,
    /// Datagrams that its programs dropped because their peer's ring was full, as they say.
    pub datagrams_dropped: u64,
    /// Datagrams from the network that found the ring of their session full: its programs did not read in
    /// time.
    pub datagrams_overflowed: u64,
}

/// An endpoint as the broker keeps it.
#[derive(Debug)]
pub(super) struct Resident {
    pub(super) spec: Endpoint,
    pub(super) packet_client: bool,
    pub(super) has_stack: bool,
    pub(super) ports: PortTable,
    pub(super) tuples: Tuples,
    pub(super) counters: Counters,
    made: Meter,
}

impl Resident {
    pub(super) fn new(spec: Endpoint) -> Self {
        Self {
            spec,
            packet_client: false,
            has_stack: false,
            ports: PortTable::default(),
            tuples: Tuples::default(),
            counters: Counters::default(),
            made: Meter::default(),
        }
    }

    /// Takes one of the sessions that it may make in a second; `false`, and counted, when none is left.
    pub(super) fn admit_session(&mut self, now: Duration) -> bool {
        let admitted = self.spec.limits.new_sessions.is_none_or(|rate| self.made.admit(rate, now));
        self.counters.over_rate += u64::from(!admitted);
        admitted
    }

    pub(super) fn has_session_room(&self) -> bool {
        self.counters.sessions < u64::from(self.spec.limits.sessions)
    }
}
