//! One endpoint: a port, and while a container has it a link, sockets, and the wait for the sandbox.
//!
//! An endpoint is locked by the verb that works on it. The watch thread never waits for that lock: it
//! comes again. When [`Services::leave`] returns nothing of the agent refers to the sandbox any more.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use dataplane::{Dataplane, DataplaneError, MemifConfig, PortId};

use super::error::from_netns;
use super::eth::{Former, LinkMaker, link_name};
use super::info::document;
use super::info_server::InfoServer;
use super::rooms::Rooms;
use super::sockets::Sockets;
use crate::engine::{Attachment, EngineError, Restored};
use crate::host::netns::NetNs;
use crate::host::watch::{Attempt, JobId, Watch};
use crate::model::{EndpointId, EndpointSpec, NetworkSpec, SandboxKey};

/// Clients of the info socket wait so long for the interface to be found; then they are told without.
const INTERFACE_PATIENCE: Duration = Duration::from_secs(5);

/// A sandbox that has not appeared for so long after Join never will.
const SANDBOX_PATIENCE: Duration = Duration::from_mins(2);

/// An endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) spec: EndpointSpec,
    pub(super) network: Arc<NetworkSpec>,
    pub(super) port: PortId,
    presence: Mutex<Presence>,
}

/// What a port's owner can be asked about an endpoint.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    pub(super) interface: Option<String>,
    pub(super) sockets: Vec<String>,
}

#[derive(Debug)]
enum Presence {
    Apart,
    Joined(Box<Joined>),
    Deleted,
}

#[derive(Debug)]
struct Joined {
    sandbox: SandboxKey,
    since: Instant,
    /// The sandbox was there at some time.
    seen: bool,
    sockets: Sockets,
    job: Option<JobId>,
    /// A failure was logged; the same again is not.
    complained: bool,
}

impl Endpoint {
    pub(super) fn new(spec: EndpointSpec, network: Arc<NetworkSpec>, port: PortId) -> Self {
        Self { spec, network, port, presence: Mutex::new(Presence::Apart) }
    }

    pub(super) fn outlook(&self) -> Outlook {
        match &*self.lock() {
            Presence::Joined(joined) => Outlook {
                interface: joined.sockets.interface().map(str::to_owned),
                sockets: joined.sockets.names(),
            },
            Presence::Apart | Presence::Deleted => Outlook::default(),
        }
    }

    /// Whether a joined endpoint's sandbox may still come.
    pub(super) fn awaits_sandbox(&self) -> bool {
        match &*self.lock() {
            Presence::Joined(joined) => !joined.seen && joined.since.elapsed() < SANDBOX_PATIENCE,
            Presence::Apart | Presence::Deleted => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Presence> {
        // Each step of a verb leaves a state that `leave` can take down.
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memif_config(&self) -> MemifConfig {
        let defaults = MemifConfig::default();
        let options = &self.spec.memif;
        MemifConfig {
            name: format!("dockervpp/{}", self.spec.id.short()),
            secret: options.secret.clone(),
            max_queues: options.queues.unwrap_or(defaults.max_queues),
            trust_regions: options.trusted,
            ..defaults
        }
    }
}

impl Joined {
    fn new(sandbox: &SandboxKey) -> Self {
        Self {
            sandbox: sandbox.clone(),
            since: Instant::now(),
            seen: false,
            sockets: Sockets::default(),
            job: None,
            complained: false,
        }
    }
}

/// What the endpoints of an engine share.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) dataplane: Dataplane,
    pub(super) watch: Watch,
    pub(super) info: InfoServer,
    pub(super) links: LinkMaker,
    pub(super) rooms: Mutex<Rooms>,
}

impl Services {
    /// Makes the link and waits for the sandbox in the background.
    pub(super) fn join(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        sandbox: &SandboxKey,
    ) -> Result<Attachment, EngineError> {
        let mut presence = endpoint.lock();
        let attachment = Attachment { link: link_name(&endpoint.spec.id) };
        if is_in(&presence, &endpoint.spec.id, sandbox)? {
            return Ok(attachment);
        }
        let tap = self.links.make(&endpoint.spec, endpoint.network.mtu)?;
        let attached = tap.map(|tap| self.dataplane.attach_tap(endpoint.port, tap)).transpose();
        if let Err(error) = attached {
            if let Err(error) = self.links.remove(&endpoint.spec.id) {
                tracing::warn!(%error, "a link could not be removed after a failure");
            }
            return Err(error.into());
        }
        let mut joined = Joined::new(sandbox);
        self.rooms().enter(sandbox, &endpoint.spec.id);
        joined.job = Some(self.pursue(endpoint, sandbox));
        *presence = Presence::Joined(Box::new(joined));
        Ok(attachment)
    }

    /// Takes up an endpoint that a former agent had joined.
    pub(super) fn rejoin(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        sandbox: &SandboxKey,
    ) -> Result<Restored, EngineError> {
        let mut presence = endpoint.lock();
        if is_in(&presence, &endpoint.spec.id, sandbox)? {
            return Ok(Restored::Running);
        }
        if self.take_up_link(endpoint, sandbox)? == Restored::Gone {
            return Ok(Restored::Gone);
        }
        let mut joined = Joined::new(sandbox);
        self.rooms().enter(sandbox, &endpoint.spec.id);
        match self.settle(endpoint, &mut joined) {
            Ok(Attempt::Done) => {}
            Ok(Attempt::Again) => joined.job = Some(self.pursue(endpoint, sandbox)),
            Err(error) => {
                if let Err(error) = self.withdraw(endpoint, &mut joined) {
                    tracing::warn!(%error, "an endpoint was not taken down after a failure");
                }
                return Err(error);
            }
        }
        *presence = Presence::Joined(Box::new(joined));
        Ok(Restored::Running)
    }

    /// Takes the endpoint out of its sandbox. Returns who has the sandbox's plain names now, if it is
    /// another endpoint.
    pub(super) fn leave(&self, endpoint: &Endpoint) -> Result<Option<EndpointId>, EngineError> {
        let mut presence = endpoint.lock();
        let Presence::Joined(joined) = &mut *presence else { return Ok(None) };
        self.withdraw(endpoint, joined)?;
        let (job, heir) = (joined.job, self.rooms().first(&joined.sandbox).cloned());
        *presence = Presence::Apart;
        drop(presence);
        if let Some(job) = job {
            self.watch.cancel(job);
        }
        Ok(heir)
    }

    /// Removes the port and the link on the host of an endpoint that has left.
    pub(super) fn delete(&self, endpoint: &Endpoint) -> Result<(), EngineError> {
        let mut presence = endpoint.lock();
        self.links.remove(&endpoint.spec.id)?;
        none_if_gone(self.dataplane.delete_port(endpoint.port))?;
        *presence = Presence::Deleted;
        Ok(())
    }

    /// Has the watch thread settle the endpoint.
    pub(super) fn pursue(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        sandbox: &SandboxKey,
    ) -> JobId {
        let directory = sandbox.0.parent().unwrap_or(Path::new("/"));
        let (services, endpoint) = (Arc::downgrade(self), Arc::clone(endpoint));
        let tend = move || match services.upgrade() {
            Some(services) => services.tend(&endpoint),
            None => Attempt::Done,
        };
        self.watch.add(directory, tend)
    }

    /// Has the watch thread settle the endpoint again, if it is in a sandbox.
    pub(super) fn pursue_again(self: &Arc<Self>, endpoint: &Arc<Endpoint>) {
        if let Presence::Joined(joined) = &mut *endpoint.lock() {
            let former = joined.job.replace(self.pursue(endpoint, &joined.sandbox));
            if let Some(former) = former {
                self.watch.cancel(former);
            }
        }
    }

    /// One step of the watch thread.
    fn tend(&self, endpoint: &Endpoint) -> Attempt {
        let mut presence = match endpoint.presence.try_lock() {
            Ok(presence) => presence,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Attempt::Again,
        };
        let Presence::Joined(joined) = &mut *presence else { return Attempt::Done };
        self.settle(endpoint, joined).unwrap_or_else(|error| {
            if !std::mem::replace(&mut joined.complained, true) {
                tracing::warn!(endpoint = %endpoint.spec.id, %error, "still trying to bind sockets");
            }
            Attempt::Again
        })
    }

    /// Binds what can be bound now: all there is when this says [`Attempt::Done`].
    fn settle(&self, endpoint: &Endpoint, joined: &mut Joined) -> Result<Attempt, EngineError> {
        let Some(netns) = NetNs::open(&joined.sandbox.0).map_err(from_netns)? else {
            return Ok(Attempt::Again);
        };
        joined.seen = true;
        let first = self.rooms().first(&joined.sandbox) == Some(&endpoint.spec.id);
        let errand = joined.sockets.errand(self.links.mark(&endpoint.spec.id), first);
        let findings = netns.run(|| errand.perform()).map_err(from_netns)??;
        drop(netns);
        let taken = joined.sockets.take(findings, |listener| {
            let config = endpoint.memif_config();
            Ok(self.dataplane.listen_memif(endpoint.port, vec![listener], &config)?)
        });
        let interface = joined.sockets.interface();
        if interface.is_some() || joined.since.elapsed() > INTERFACE_PATIENCE {
            let document = document(&endpoint.network, &endpoint.spec, interface).into();
            joined.sockets.publish(&self.info, &document);
        }
        taken?;
        Ok(if joined.sockets.complete(first) { Attempt::Done } else { Attempt::Again })
    }

    /// Finds the link that a former agent made, in the sandbox or still on the host, and serves it.
    fn take_up_link(
        &self,
        endpoint: &Endpoint,
        sandbox: &SandboxKey,
    ) -> Result<Restored, EngineError> {
        let netns = NetNs::open(&sandbox.0).map_err(from_netns)?;
        let inside = match &netns {
            Some(netns) => {
                netns.run(|| self.links.reopen(&endpoint.spec)).map_err(from_netns)??
            }
            None => Former::Absent,
        };
        let former = match inside {
            Former::Absent => self.links.resume(&endpoint.spec)?,
            found => found,
        };
        let tap = match former {
            Former::TakenUp(tap) => tap,
            Former::Absent if netns.is_some() => {
                tracing::warn!(
                    endpoint = %endpoint.spec.id,
                    "the container has lost its link: memif works, ordinary programs do not"
                );
                None
            }
            Former::Absent | Former::Returned => return Ok(Restored::Gone),
        };
        tap.map(|tap| self.dataplane.attach_tap(endpoint.port, tap)).transpose()?;
        Ok(Restored::Running)
    }

    /// Closes everything that refers to the sandbox. May be repeated.
    fn withdraw(&self, endpoint: &Endpoint, joined: &mut Joined) -> Result<(), EngineError> {
        joined.sockets.close(&self.info);
        let unlistened = none_if_gone(self.dataplane.unlisten_memif(endpoint.port));
        let detached = none_if_gone(self.dataplane.detach_tap(endpoint.port));
        self.rooms().leave(&joined.sandbox, &endpoint.spec.id);
        unlistened.and(detached)
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        // Changed by single calls that cannot panic half-way.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the endpoint is in this sandbox; an error when it is in another, or deleted.
fn is_in(
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

/// A port that is not there any more has nothing open.
fn none_if_gone(outcome: Result<(), DataplaneError>) -> Result<(), EngineError> {
    match outcome {
        Err(DataplaneError::NoPort(_)) => Ok(()),
        outcome => Ok(outcome?),
    }
}
