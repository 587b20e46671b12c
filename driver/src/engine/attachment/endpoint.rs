//! One endpoint: a port, and while a container has it a link, sockets, and the wait for the sandbox.
//!
//! An endpoint is locked by the verb that works on it ([`Services`](super::services::Services)). The watch thread never
//! waits for that lock: it comes again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dataplane::PortId;
use session::broker;
use session::layout::RingSize;
use transport::{Host, HostCounters};

use super::sockets::Sockets;
use crate::engine::EngineError;
use crate::host::watch::JobId;
use crate::model::{EndpointId, EndpointSpec, NetworkSpec, SandboxKey, SessionOptions};

/// A sandbox that has not appeared for so long after Join never will.
const SANDBOX_PATIENCE: Duration = Duration::from_mins(2);

/// An endpoint.
#[derive(Debug)]
pub(in crate::engine) struct Endpoint {
    pub(in crate::engine) spec: EndpointSpec,
    pub(in crate::engine) network: Arc<NetworkSpec>,
    pub(in crate::engine) port: PortId,
    session_network: broker::NetworkKey,
    pub(super) presence: Mutex<Presence>,
}

/// What a port's owner can be asked about an endpoint.
#[derive(Debug, Default)]
pub(in crate::engine) struct Outlook {
    pub(in crate::engine) interface: Option<String>,
    pub(in crate::engine) sockets: Vec<String>,
    /// None without a network stack.
    pub(in crate::engine) host: Option<HostCounters>,
    pub(in crate::engine) splicer: Option<transport::splice::Splicer>,
}

/// Where it is.
#[derive(Debug)]
pub(super) enum Presence {
    Apart,
    Joined(Box<Joined>),
    Deleted,
}

/// What an endpoint has while it is in a sandbox.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) sandbox: SandboxKey,
    pub(super) since: Instant,
    /// The sandbox was there at some time.
    pub(super) seen: bool,
    pub(super) sockets: Sockets,
    pub(super) job: Option<JobId>,
    /// The station of an endpoint whose kernel has no way to the network.
    pub(super) station: Option<Host>,
    /// A failure was logged; the same again is not.
    pub(super) complained: bool,
}

impl Endpoint {
    /// `session_network` is the network's name at the session broker.
    pub(in crate::engine) fn new(
        spec: EndpointSpec,
        network: Arc<NetworkSpec>,
        session_network: broker::NetworkKey,
        port: PortId,
    ) -> Self {
        Self { spec, network, port, session_network, presence: Mutex::new(Presence::Apart) }
    }

    /// Its name at the session broker: the port's, which no other endpoint ever has.
    pub(in crate::engine) fn session_key(&self) -> broker::EndpointKey {
        broker::EndpointKey(self.port.0.into())
    }

    pub(super) fn session_endpoint(&self) -> broker::Endpoint {
        let SessionOptions { ring, limit } = self.spec.session;
        let limits = broker::Limits::default();
        let new_sessions = self.spec.policy.sessions.and_then(|limit| limit.rate(|rate| rate));
        broker::Endpoint {
            network: self.session_network,
            ipv4: self.spec.ipv4.map(|net| net.addr()),
            ipv6: self.spec.ipv6.map(|net| net.addr()),
            kernel: self.spec.attach.has_kernel(),
            isolated: self.network.isolation,
            ring_size: ring.map_or(RingSize::DEFAULT, |ring| ring.0),
            limits: broker::Limits {
                sessions: limit.unwrap_or(limits.sessions),
                new_sessions: new_sessions
                    .map(|(per_second, burst)| broker::Rate { per_second, burst }),
                ..limits
            },
        }
    }

    pub(in crate::engine) fn outlook(&self) -> Outlook {
        match &*self.lock() {
            Presence::Joined(joined) => Outlook {
                interface: joined.sockets.interface().map(str::to_owned),
                sockets: joined.sockets.names(),
                host: joined.station.as_ref().map(Host::counters),
                splicer: joined.station.as_ref().and_then(Host::splicer),
            },
            Presence::Apart | Presence::Deleted => Outlook::default(),
        }
    }

    /// Whether a joined endpoint's sandbox may still come.
    pub(in crate::engine) fn awaits_sandbox(&self) -> bool {
        match &*self.lock() {
            Presence::Joined(joined) => !joined.seen && joined.since.elapsed() < SANDBOX_PATIENCE,
            Presence::Apart | Presence::Deleted => false,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Presence> {
        // Each step of a verb leaves a state that `leave` can take down.
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Joined {
    pub(super) fn new(sandbox: &SandboxKey) -> Self {
        Self {
            sandbox: sandbox.clone(),
            since: Instant::now(),
            seen: false,
            sockets: Sockets::default(),
            job: None,
            station: None,
            complained: false,
        }
    }
}

/// Whether the endpoint is in this sandbox; an error when it is in another, or deleted.
pub(super) fn is_in(
    presence: &Presence,
    endpoint: &EndpointId,
    sandbox: &SandboxKey,
) -> Result<bool, EngineError> {
    match presence {
        Presence::Apart => Ok(false),
        Presence::Joined(joined) if joined.sandbox == *sandbox => Ok(true),
        Presence::Joined(joined) => Err(EngineError::Host {
            what: format!("endpoint {endpoint} is attached to the sandbox {}", joined.sandbox),
            remedy: "disconnect that container first".to_owned(),
        }),
        Presence::Deleted => Err(EngineError::NoEndpoint(endpoint.clone())),
    }
}
