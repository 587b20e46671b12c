//! Published ports: sockets of the host that hold them, and serve whom the kernel does not lead past.
//!
//! * `claim`: finding a port that is free, and keeping it.
//! * `stream`, `datagram`: the agent as a go-between for TCP and UDP.
//!
//! TCP ports of an endpoint with sessions are spliced into these ([`transport::splice`]), while its address is the
//! stack's: the sockets have all connections, and no rule knows the port. A packet to any other published port
//! is given the endpoint's address by the kernel (`rules`) before it could reach these sockets; what does reach
//! them comes from the host's own loopback addresses, or over IPv6 to an endpoint that has IPv4 alone. There
//! the endpoint sees the gateway instead of the client, as it does with spliced connections of such clients.

mod claim;
mod datagram;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use transport::splice::{Door, OpenDoor, Splicer};

use self::claim::{Claim, Serving, Task};
use super::plan::{Opening, Target};
use crate::engine::{EngineError, Lead, PublishedAt};
use crate::model::{EndpointId, PortMapping, Protocol};

/// TCP connections and UDP flows that the agent serves at a time, for all endpoints.
const SERVED: usize = 4096;

/// How long the address is the stack's before ports are spliced again: a packet client that comes and goes would have
/// the rules written each time.
pub(super) const CALM: Duration = Duration::from_secs(5);

/// How long a port that could not be spliced leads in packets before it is tried again.
const AGAIN: Duration = Duration::from_mins(1);

/// The published ports of all endpoints. Dropping it closes them.
#[derive(Debug)]
pub(super) struct Ports {
    /// `Some` until it is dropped.
    runtime: Option<Runtime>,
    served: Arc<Semaphore>,
    claims: BTreeMap<EndpointId, Vec<Claim>>,
    /// Of endpoints whose TCP ports can be spliced.
    ways: BTreeMap<EndpointId, Way>,
}

/// How connections are spliced into an endpoint's sessions.
#[derive(Debug, Clone)]
pub(in super::super) struct Way {
    pub(in super::super) splicer: Splicer,
    /// Who stands in for clients that cannot be shown.
    pub(in super::super) gateways: (Option<Ipv4Addr>, Option<Ipv6Addr>),
}

/// Ports that were claimed for an endpoint and are not its own yet.
#[derive(Debug)]
pub(super) struct Draft {
    endpoint: EndpointId,
    claims: Vec<Kept>,
}

#[derive(Debug)]
enum Kept {
    /// The endpoint has it already, at this place.
    Old(usize),
    New(Claim),
}

impl Ports {
    /// With a thread that serves them all.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("tokio-ports")
            .enable_all()
            .build()?;
        let runtime = Some(runtime);
        Ok(Self {
            runtime,
            served: Arc::new(Semaphore::new(SERVED)),
            claims: BTreeMap::new(),
            ways: BTreeMap::new(),
        })
    }

    /// Finds a port of the host for each mapping, all or none. Those that the endpoint has already and
    /// that fit stay.
    pub(super) fn claim(
        &self,
        endpoint: &EndpointId,
        target: Target,
        mappings: &[PortMapping],
        way: Option<&Way>,
    ) -> Result<Draft, EngineError> {
        let held = self.claims.get(endpoint).map_or(&[][..], Vec::as_slice);
        let mut claims: Vec<Kept> = Vec::with_capacity(mappings.len());
        for (at, mapping) in mappings.iter().enumerate() {
            if mapping.protocol == Protocol::Sctp {
                return Err(EngineError::Host {
                    what: format!("the port {mapping} cannot be published: SCTP is not supported"),
                    remedy: "publish TCP and UDP ports only".to_owned(),
                });
            }
            // One port for all addresses is asked for once for each family by some clients.
            if mapping.host_port != 0 && mappings[..at].contains(mapping) {
                continue;
            }
            let taken = |place: usize| {
                claims.iter().any(|kept| matches!(kept, Kept::Old(other) if *other == place))
            };
            let mut places = held.iter().enumerate();
            let old = places.find(|(place, claim)| claim.at.serves(mapping) && !taken(*place));
            claims.push(if let Some((place, _)) = old {
                Kept::Old(place)
            } else {
                let found = Claim::find(mapping, target);
                let found = found.and_then(|mut claim| self.serve(&mut claim, way).map(|()| claim));
                Kept::New(found.map_err(|error| self.refusal(mapping, &error))?)
            });
        }
        Ok(Draft { endpoint: endpoint.clone(), claims })
    }

    /// The published ports as they are, with those of the draft in place of its endpoint's.
    pub(super) fn openings_with(&self, draft: &Draft) -> Vec<Opening> {
        let others = self.claims.iter().filter(|(endpoint, _)| **endpoint != draft.endpoint);
        let others = others.flat_map(|(_, claims)| claims.iter().map(Claim::opening));
        let held = self.claims.get(&draft.endpoint).map_or(&[][..], Vec::as_slice);
        let own = draft.claims.iter().filter_map(|kept| match kept {
            Kept::Old(place) => held.get(*place).map(Claim::opening),
            Kept::New(claim) => Some(claim.opening()),
        });
        others.chain(own).collect()
    }

    /// The published ports as they are.
    pub(super) fn openings(&self) -> Vec<Opening> {
        self.claims.values().flatten().map(Claim::opening).collect()
    }

    /// Makes a draft's ports its endpoint's, in place of those that it had.
    pub(super) fn take(&mut self, draft: Draft, way: Option<Way>) {
        match way {
            Some(way) => drop(self.ways.insert(draft.endpoint.clone(), way)),
            None => drop(self.ways.remove(&draft.endpoint)),
        }
        let held = self.claims.remove(&draft.endpoint).unwrap_or_default();
        let mut held: Vec<Option<Claim>> = held.into_iter().map(Some).collect();
        let claims = draft.claims.into_iter().filter_map(|kept| match kept {
            Kept::Old(place) => held.get_mut(place).and_then(Option::take),
            Kept::New(claim) => Some(claim),
        });
        let claims: Vec<Claim> = claims.collect();
        if !claims.is_empty() {
            self.claims.insert(draft.endpoint, claims);
        }
    }

    /// Gives all ports of an endpoint back; says whether it had any.
    pub(super) fn release(&mut self, endpoint: &EndpointId) -> bool {
        self.ways.remove(endpoint);
        self.claims.remove(endpoint).is_some()
    }

    /// The ports of an endpoint.
    pub(super) fn of(&self, endpoint: &EndpointId) -> Vec<PublishedAt> {
        self.claims.get(endpoint).into_iter().flatten().map(|claim| claim.at).collect()
    }

    /// Has TCP ports of an endpoint lead as they should now: spliced while that is `allowed` and works, in
    /// packets otherwise. Says whether that changed.
    pub(super) fn settle(&mut self, endpoint: &EndpointId, allowed: bool) -> bool {
        let Some(mut claims) = self.claims.remove(endpoint) else { return false };
        let way = self.ways.get(endpoint).filter(|_| allowed);
        let mut changed = false;
        for claim in &mut claims {
            let before = claim.at.lead;
            if lead(claim, way) == before {
                continue;
            }
            let served = self.serve(claim, way);
            let served = served.or_else(|error| {
                claim.not_before = Some(Instant::now() + AGAIN);
                tracing::warn!(port = claim.at.host_port, %error, "a published port is not spliced");
                self.serve(claim, None)
            });
            if let Err(error) = served {
                tracing::warn!(port = claim.at.host_port, %error, "a published port is not served to this host");
            }
            changed |= claim.at.lead != before;
        }
        self.claims.insert(endpoint.clone(), claims);
        changed
    }

    /// Whether any port of an endpoint would be spliced if that is allowed.
    pub(super) fn would_splice(&self, endpoint: &EndpointId) -> bool {
        let way = self.ways.get(endpoint);
        let mut claims = self.claims.get(endpoint).into_iter().flatten();
        claims.any(|claim| lead(claim, way) == Lead::Splice)
    }

    /// The endpoints whose ports can be spliced.
    pub(super) fn with_ways(&self) -> BTreeSet<EndpointId> {
        self.ways.keys().cloned().collect()
    }

    fn serve(&self, claim: &mut Claim, way: Option<&Way>) -> io::Result<()> {
        // Two at a time would be in each other's way.
        claim.serving = Serving::Nobody;
        claim.at.lead = lead(claim, way);
        claim.serving = match way.filter(|_| claim.at.lead == Lead::Splice) {
            Some(way) => Serving::Splice(splice(claim, way)?),
            None => Serving::GoBetween(self.go_between(claim)?),
        };
        Ok(())
    }

    fn go_between(&self, claim: &Claim) -> io::Result<Vec<Task>> {
        let Some(runtime) = &self.runtime else { return Ok(Vec::new()) };
        let _entered = runtime.enter();
        if claim.at.protocol == Protocol::Tcp {
            claim.listen()?;
        }
        let mut tasks = Vec::new();
        for (door, socket) in claim.sockets()? {
            let behind = claim.target.behind(door);
            let inside = behind.map(|address| SocketAddr::new(address, claim.at.container_port));
            let served = Arc::clone(&self.served);
            let task = match claim.at.protocol {
                Protocol::Tcp => {
                    let listener = std::net::TcpListener::from(socket);
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    runtime.spawn(stream::serve(listener, inside, served))
                }
                Protocol::Udp | Protocol::Sctp => {
                    let socket = std::net::UdpSocket::from(socket);
                    let socket = tokio::net::UdpSocket::from_std(socket)?;
                    runtime.spawn(datagram::serve(socket, inside, served))
                }
            };
            tasks.push(Task(task));
        }
        Ok(tasks)
    }

    /// In words, with the endpoint of ours that has the port, if it is one.
    fn refusal(&self, mapping: &PortMapping, error: &io::Error) -> EngineError {
        let wanted = mapping.host_port..=mapping.host_port_end.max(mapping.host_port);
        let clash = |at: &PublishedAt| {
            at.protocol == mapping.protocol
                && wanted.contains(&at.host_port)
                && (at.host_ip.is_none()
                    || mapping.host_ip.is_none()
                    || at.host_ip == mapping.host_ip)
        };
        let holder = self.claims.iter().find(|(_, claims)| claims.iter().any(|it| clash(&it.at)));
        match (error.kind(), holder) {
            (io::ErrorKind::AddrInUse, Some((endpoint, _))) => EngineError::Host {
                what: format!(
                    "the port of {mapping} is in use: endpoint {} has published it",
                    endpoint.short()
                ),
                remedy: "choose another port of the host".to_owned(),
            },
            (io::ErrorKind::AddrInUse, None) => EngineError::Host {
                what: format!("the port of {mapping} is in use by another program of this host"),
                remedy: "choose another port; `ss -lntup` shows who has it".to_owned(),
            },
            (io::ErrorKind::AddrNotAvailable, _) => EngineError::Host {
                what: format!(
                    "the port {mapping} cannot be published: this host has no such address"
                ),
                remedy: "`ip address` shows the addresses of this host".to_owned(),
            },
            _ => EngineError::Host {
                what: format!("the port {mapping} cannot be published: {error}"),
                remedy: "publish it on another address or port".to_owned(),
            },
        }
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.claims.clear();
        if let Some(runtime) = self.runtime.take() {
            // Waits for nobody: connections end with the agent.
            runtime.shutdown_background();
        }
    }
}

/// How a claim should lead.
fn lead(claim: &Claim, way: Option<&Way>) -> Lead {
    let may = claim.not_before.is_none_or(|at| at <= Instant::now());
    let serves = |way: &Way| match claim.at.lead {
        Lead::Splice => way.splicer.serves(),
        Lead::Packets => way.splicer.serves_for(CALM),
    };
    let splices = way.is_some_and(|way| may && serves(way));
    if splices && claim.at.protocol == Protocol::Tcp { Lead::Splice } else { Lead::Packets }
}

/// Opens a door for each socket of a claim.
fn splice(claim: &Claim, way: &Way) -> io::Result<Vec<OpenDoor>> {
    let mut doors = Vec::new();
    for (at, socket) in claim.sockets()? {
        // An endpoint has an address, or nothing to publish.
        let Some(behind) = claim.target.behind(at) else { continue };
        let stand_in = match behind {
            IpAddr::V4(_) => way.gateways.0.map(IpAddr::from),
            IpAddr::V6(_) => way.gateways.1.map(IpAddr::from),
        };
        let inside = SocketAddr::new(behind, claim.at.container_port);
        doors.push(way.splicer.open(Door { socket, inside, stand_in })?);
    }
    Ok(doors)
}

/// The address of the family that a socket of `door`'s family is bound to when any will do.
fn any_of(door: IpAddr) -> SocketAddr {
    let any: IpAddr =
        if door.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(any, 0)
}
