//! The verbs of endpoints: joining a sandbox, being taken up after a restart, leaving it, and their end.
//!
//! Each locks its endpoint. When [`Services::leave`] returns nothing of the agent refers to the sandbox any more.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use dataplane::Dataplane;
use dataplane::tap::TapDevice;
use session::broker;

use super::endpoint::{Endpoint, Joined, Presence, is_in};
use super::error::{from_netns, none_if_gone};
use super::eth::{Former, KernelEnd, LinkMaker, ServedBy, link_name};
use super::info::document;
use super::info_server::InfoServer;
use super::rooms::Rooms;
use super::sockets::{Served, memif_config};
use super::station;
use super::vhost::VhostFolders;
use super::{HostStacks, MemifService};
use crate::engine::{Attachment, EngineError, Restored};
use crate::host::netns::NetNs;
use crate::host::root::HostRoot;
use crate::host::watch::{Attempt, JobId, Watch};
use crate::model::{AttachKind, EndpointId, SandboxKey, TcpStack};

/// Clients of the info socket wait so long for the interface to be found; then they are told without.
const INTERFACE_PATIENCE: Duration = Duration::from_secs(5);

/// What the endpoints of an engine share.
#[derive(Debug)]
pub(in crate::engine) struct Services {
    pub(in crate::engine) dataplane: Dataplane,
    pub(in crate::engine) memif: MemifService,
    pub(in crate::engine) vhost: VhostFolders,
    pub(in crate::engine) host: HostRoot,
    /// None where the engine has no other stack than the agent's.
    pub(in crate::engine) host_stacks: Option<Arc<dyn HostStacks>>,
    pub(in crate::engine) watch: Watch,
    pub(in crate::engine) info: InfoServer,
    pub(in crate::engine) broker: broker::Service,
    pub(in crate::engine) links: LinkMaker,
    pub(in crate::engine) rooms: Mutex<Rooms>,
}

impl Services {
    /// Makes the link and waits for the sandbox in the background.
    pub(in crate::engine) fn join(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        sandbox: &SandboxKey,
    ) -> Result<Attachment, EngineError> {
        let mut presence = endpoint.lock();
        let attachment = Attachment { link: link_name(&endpoint.spec.id) };
        if is_in(&presence, &endpoint.spec.id, sandbox)? {
            return Ok(attachment);
        }
        let served_by = self.served_by(endpoint);
        let end = self.links.make(&endpoint.spec, endpoint.network.mtu, served_by)?;
        let attached = self.attach_port(endpoint, end);
        let kernel = attached.inspect_err(|_| self.undo_link(endpoint))?;
        let mut joined = Joined::new(sandbox);
        self.rooms().enter(sandbox, &endpoint.spec.id);
        self.broker.add_endpoint(endpoint.session_key(), endpoint.session_endpoint());
        let started = self.start_station(endpoint, &mut joined, kernel);
        if let Err(error) = started.and_then(|()| self.serve_vhost(endpoint)) {
            self.undo_join(endpoint, &mut joined);
            self.undo_link(endpoint);
            return Err(error);
        }
        joined.job = Some(self.pursue(endpoint, sandbox));
        *presence = Presence::Joined(Box::new(joined));
        Ok(attachment)
    }

    /// Takes up an endpoint that a former agent had joined.
    pub(in crate::engine) fn rejoin(
        self: &Arc<Self>,
        endpoint: &Arc<Endpoint>,
        sandbox: &SandboxKey,
    ) -> Result<Restored, EngineError> {
        let mut presence = endpoint.lock();
        if is_in(&presence, &endpoint.spec.id, sandbox)? {
            return Ok(Restored::Running);
        }
        let (restored, kernel) = self.take_up_link(endpoint, sandbox)?;
        if restored == Restored::Gone {
            return Ok(Restored::Gone);
        }
        let mut joined = Joined::new(sandbox);
        self.rooms().enter(sandbox, &endpoint.spec.id);
        self.broker.add_endpoint(endpoint.session_key(), endpoint.session_endpoint());
        let started = self.start_station(endpoint, &mut joined, kernel);
        let served = started.and_then(|()| self.serve_vhost(endpoint));
        match served.and_then(|()| self.settle(endpoint, &mut joined)) {
            Ok(Attempt::Done) => {}
            Ok(Attempt::Again) => joined.job = Some(self.pursue(endpoint, sandbox)),
            Err(error) => {
                self.undo_join(endpoint, &mut joined);
                return Err(error);
            }
        }
        *presence = Presence::Joined(Box::new(joined));
        Ok(Restored::Running)
    }

    /// Takes the endpoint out of its sandbox. Returns who has the sandbox's plain names now, if it is
    /// another endpoint.
    pub(in crate::engine) fn leave(
        &self,
        endpoint: &Endpoint,
    ) -> Result<Option<EndpointId>, EngineError> {
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
    pub(in crate::engine) fn delete(&self, endpoint: &Endpoint) -> Result<(), EngineError> {
        let mut presence = endpoint.lock();
        self.links.remove(&endpoint.spec.id)?;
        // An agent that died may have left the socket.
        self.vhost.end(&self.dataplane, endpoint);
        none_if_gone(self.dataplane.delete_port(endpoint.port))?;
        *presence = Presence::Deleted;
        Ok(())
    }

    /// Has the watch thread settle the endpoint.
    pub(in crate::engine) fn pursue(
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
    pub(in crate::engine) fn pursue_again(self: &Arc<Self>, endpoint: &Arc<Endpoint>) {
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
                tracing::warn!(endpoint = endpoint.spec.id.short(), %error, "still trying to bind sockets");
            }
            Attempt::Again
        })
    }

    /// Binds what can be bound now: all there is when this says [`Attempt::Done`].
    fn settle(&self, endpoint: &Endpoint, joined: &mut Joined) -> Result<Attempt, EngineError> {
        let Some(netns) = NetNs::open(&self.host, &joined.sandbox.0).map_err(from_netns)? else {
            return Ok(Attempt::Again);
        };
        joined.seen = true;
        let first = self.rooms().first(&joined.sandbox) == Some(&endpoint.spec.id);
        let bind_memif = matches!(self.memif, MemifService::DataPath);
        let mark = self.links.mark(&endpoint.spec.id);
        let errand = joined.sockets.errand(mark, first, bind_memif);
        let findings = netns.run(|| errand.perform()).map_err(from_netns)??;
        drop(netns);
        let sandbox = &joined.sandbox;
        let taken = joined.sockets.take(findings, |sockets| self.serve(endpoint, sandbox, sockets));
        let interface = joined.sockets.interface();
        if interface.is_some() || joined.since.elapsed() > INTERFACE_PATIENCE {
            let vhost = endpoint.spec.vhost_socket().map(|name| self.vhost.told(&name));
            let document = document(&endpoint.network, &endpoint.spec, interface, vhost).into();
            joined.sockets.publish(&self.info, &document);
        }
        taken?;
        Ok(if joined.sockets.complete(first) { Attempt::Done } else { Attempt::Again })
    }

    fn serve(
        &self,
        endpoint: &Endpoint,
        sandbox: &SandboxKey,
        sockets: Served,
    ) -> Result<(), EngineError> {
        let Served { name, memif, session } = sockets;
        match &self.memif {
            MemifService::DataPath => {
                let config = memif_config(&endpoint.spec);
                self.dataplane.listen_memif(endpoint.port, Vec::from_iter(memif), &config)?;
            }
            MemifService::Engine(engine) => engine.listen(&endpoint.spec.id, sandbox, &name)?,
        }
        let served = self.broker.serve(endpoint.session_key(), session);
        served.map(|_| ()).map_err(|source| EngineError::Io {
            what: "cannot serve a session socket".to_owned(),
            source,
        })
    }

    fn serve_vhost(&self, endpoint: &Endpoint) -> Result<(), EngineError> {
        self.vhost.serve(&self.dataplane, &self.memif, endpoint)
    }

    /// Who serves the endpoint's link.
    fn served_by(&self, endpoint: &Endpoint) -> ServedBy {
        if endpoint.spec.attach == AttachKind::Veth {
            return ServedBy::Pair;
        }
        match (endpoint.network.tcp_of(endpoint.spec.attach), &self.host_stacks) {
            (None, _) => ServedBy::Port,
            (Some(TcpStack::Vcl), Some(_)) => ServedBy::Nobody,
            (Some(_), _) => ServedBy::Names,
        }
    }

    /// Has the data path serve the agent's side of a link, or gives it back if it is the network stack's.
    fn attach_port(
        &self,
        endpoint: &Endpoint,
        end: Option<KernelEnd>,
    ) -> Result<Option<TapDevice>, EngineError> {
        match (self.served_by(endpoint), end) {
            (_, None) => return Ok(None),
            (ServedBy::Names | ServedBy::Nobody, Some(KernelEnd::Tap(tap))) => {
                return Ok(Some(tap));
            }
            (_, Some(KernelEnd::Tap(tap))) => self.dataplane.attach_tap(endpoint.port, tap)?,
            (_, Some(KernelEnd::Veth(end))) => self.dataplane.attach_veth(endpoint.port, end)?,
        }
        Ok(None)
    }

    /// Gives an endpoint whose kernel has no way to the network its network stack.
    fn start_station(
        &self,
        endpoint: &Endpoint,
        joined: &mut Joined,
        kernel: Option<TapDevice>,
    ) -> Result<(), EngineError> {
        let key = endpoint.session_key();
        let (network, spec) = (&endpoint.network, &endpoint.spec);
        joined.station = match (network.tcp_of(spec.attach), &self.host_stacks) {
            (None, _) => None,
            (Some(TcpStack::Vcl), Some(stacks)) => {
                let host = stacks.start(&spec.id, key, &self.broker)?;
                self.broker.set_stack(key, host.network_stack());
                Some(host)
            }
            (Some(_), _) => {
                let (dataplane, port) = (&self.dataplane, endpoint.port);
                Some(station::start(key, network, spec, dataplane, port, kernel, &self.broker)?)
            }
        };
        Ok(())
    }

    /// Ends it.
    fn end_station(&self, endpoint: &Endpoint, joined: &mut Joined) -> Result<(), EngineError> {
        let Some(station) = joined.station.take() else { return Ok(()) };
        if endpoint.network.tcp == TcpStack::Vcl
            && let Some(stacks) = &self.host_stacks
        {
            stacks.stop(&endpoint.spec.id);
            return Ok(());
        }
        drop(station);
        none_if_gone(self.dataplane.detach_stack(endpoint.port))
    }

    /// Finds the link that a former agent made, in the sandbox or still on the host, and serves it. Its TAP
    /// comes back if it is the network stack's.
    fn take_up_link(
        &self,
        endpoint: &Endpoint,
        sandbox: &SandboxKey,
    ) -> Result<(Restored, Option<TapDevice>), EngineError> {
        let served_by = self.served_by(endpoint);
        let netns = NetNs::open(&self.host, &sandbox.0).map_err(from_netns)?;
        let inside = match &netns {
            Some(netns) => {
                netns.run(|| self.links.reopen(&endpoint.spec, served_by)).map_err(from_netns)??
            }
            None => Former::Absent,
        };
        let former = match inside {
            Former::Absent => self.links.resume(&endpoint.spec, served_by)?,
            found => found,
        };
        let end = match former {
            Former::TakenUp(tap) => {
                self.links.take_up_end(&endpoint.spec, endpoint.network.mtu, served_by, tap)?
            }
            Former::Absent if netns.is_some() => {
                tracing::warn!(
                    endpoint = endpoint.spec.id.short(),
                    "the container has lost its link: memif works, ordinary programs do not"
                );
                None
            }
            Former::Absent | Former::Returned => return Ok((Restored::Gone, None)),
        };
        Ok((Restored::Running, self.attach_port(endpoint, end)?))
    }

    /// Closes everything that refers to the sandbox. May be repeated.
    fn withdraw(&self, endpoint: &Endpoint, joined: &mut Joined) -> Result<(), EngineError> {
        joined.sockets.close(&self.info);
        self.broker.remove_endpoint(endpoint.session_key());
        let stack = self.end_station(endpoint, joined);
        let unlistened = match &self.memif {
            MemifService::DataPath => none_if_gone(self.dataplane.unlisten_memif(endpoint.port)),
            MemifService::Engine(engine) => engine.unlisten(&endpoint.spec.id),
        };
        self.vhost.end(&self.dataplane, endpoint);
        let detached = none_if_gone(self.dataplane.detach_tap(endpoint.port));
        let detached = detached.and(none_if_gone(self.dataplane.detach_veth(endpoint.port)));
        self.rooms().leave(&joined.sandbox, &endpoint.spec.id);
        unlistened.and(detached).and(stack)
    }

    /// Removes the link of an endpoint whose join failed: that failure is the one to report.
    fn undo_link(&self, endpoint: &Endpoint) {
        if let Err(error) = self.links.remove(&endpoint.spec.id) {
            tracing::warn!(endpoint = endpoint.spec.id.short(), %error, "a link could not be removed after a failure");
        }
    }

    /// Takes down what a join that failed has opened.
    fn undo_join(&self, endpoint: &Endpoint, joined: &mut Joined) {
        if let Err(error) = self.withdraw(endpoint, joined) {
            tracing::warn!(endpoint = endpoint.spec.id.short(), %error, "an endpoint was not taken down after a failure");
        }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        // Changed by single calls that cannot panic half-way.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
