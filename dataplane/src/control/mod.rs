//! The handle of the running engine: domains and ports come, go and move while traffic runs.

mod error;
mod memif_server;
mod registry;
mod segments;
mod status;
#[cfg(feature = "vhost-user")]
mod vhost_servers;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use self::memif_server::MemifServer;
use self::registry::Registry;
use crate::packet_socket::PacketSocket;
use crate::stack_port::StackPort;
use crate::tap::TapDevice;
use crate::worker::{self, WorkerHandle};
use crate::{DomainConfig, MemifConfig, PortConfig, WorkerConfig};

pub use self::error::DataplaneError;
pub use self::status::{
    DomainId, FdbEntry, MemifStatus, PortId, PortOwner, PortStatus, VhostStatus, VxlanPeer,
    VxlanStatus,
};
#[cfg(feature = "vhost-user")]
pub use self::vhost_servers::AddressClaim;
pub use crate::capture::{Capture, CaptureScope, CapturedFrame, Direction};

/// The running engine. Cheap to clone; the last clone stops the threads.
///
/// Every call returns when the workers have done what it asks for.
#[derive(Debug, Clone)]
pub struct Dataplane {
    engine: Arc<Engine>,
}

#[derive(Debug)]
struct Engine {
    registry: Arc<Mutex<Registry>>,
    /// Held by calls that change something, so that two of them never meet at one port.
    changes: Mutex<()>,
    memif: MemifServer,
    #[cfg(feature = "vhost-user")]
    vhost: vhost_servers::VhostServers,
    workers: Vec<(WorkerHandle, Option<JoinHandle<()>>)>,
}

impl Dataplane {
    /// Starts the worker threads and the thread that serves memif control sockets.
    ///
    /// # Errors
    /// [`DataplaneError::BadConfig`] or [`DataplaneError::Io`].
    pub fn start(config: WorkerConfig) -> Result<Self, DataplaneError> {
        if config.workers == 0 || config.workers > 256 {
            return Err(DataplaneError::BadConfig {
                what: "number of workers",
                expected: "1 to 256",
                found: config.workers.to_string(),
            });
        }
        // A client that takes pages of its memory away must not take the process with it.
        shm::fault::install().map_err(io("installing the SIGBUS handler"))?;
        let registry = Arc::new(Mutex::new(Registry::default()));
        let memif = MemifServer::start(Arc::clone(&registry))?;
        let mut engine = Engine {
            #[cfg(feature = "vhost-user")]
            vhost: vhost_servers::VhostServers::new(Arc::clone(&registry)),
            registry,
            changes: Mutex::default(),
            memif,
            workers: Vec::new(),
        };
        for number in 0..config.workers {
            let (handle, thread) = worker::spawn(number, &config, engine.memif.fault_hook())
                .map_err(io("starting a worker thread"))?;
            lock(&engine.registry).add_worker(handle.clone());
            engine.workers.push((handle, Some(thread)));
        }
        Ok(Self { engine: Arc::new(engine) })
    }

    /// Returns when each worker has done something since it was called, and not while one is stuck.
    ///
    /// # Errors
    /// [`DataplaneError::Stopped`].
    pub fn take_turns(&self) -> Result<(), DataplaneError> {
        self.engine.workers.iter().try_for_each(|(worker, _)| worker.run(|_| ()))
    }

    /// Creates a bridge domain, on the worker that has the fewest ports; one that goes on behind other hosts, on the
    /// worker that has its sockets. Those are opened in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`DataplaneError::BadConfig`], [`DataplaneError::VniInUse`], [`DataplaneError::Vtep`].
    pub fn create_domain(&self, config: DomainConfig) -> Result<DomainId, DataplaneError> {
        let _changes = lock(&self.engine.changes);
        config.check()?;
        let seed = random_seed()?;
        if let Some(vxlan) = &config.vxlan {
            let local = vxlan.local;
            return self.create_segment(config, local, seed);
        }
        let (id, worker) = lock(&self.engine.registry).place_domain();
        worker.run(move |worker| worker.fabric.add_domain(id, &config, seed, None))??;
        Ok(id)
    }

    /// Removes a bridge domain that has no ports of this host.
    ///
    /// # Errors
    /// [`DataplaneError::DomainInUse`] when it still has ports, [`DataplaneError::NoDomain`].
    pub fn delete_domain(&self, domain: DomainId) -> Result<(), DataplaneError> {
        let _changes = lock(&self.engine.changes);
        let worker = lock(&self.engine.registry).domain_worker(domain)?;
        worker.run(move |worker| worker.remove_domain(domain))??;
        lock(&self.engine.registry).forget_domain(domain);
        Ok(())
    }

    /// Adds a port without a device.
    ///
    /// # Errors
    /// [`DataplaneError::DuplicateAddress`] when the address belongs to another port of the domain,
    /// [`DataplaneError::NoDomain`].
    pub fn create_port(
        &self,
        domain: DomainId,
        config: PortConfig,
    ) -> Result<PortId, DataplaneError> {
        let _changes = lock(&self.engine.changes);
        let worker = lock(&self.engine.registry).domain_worker(domain)?;
        let id = lock(&self.engine.registry).next_port();
        worker.run(move |worker| worker.fabric.create_port(id, domain, &config))??;
        lock(&self.engine.registry).add_port(id, domain);
        Ok(id)
    }

    /// Removes a port with all its devices; returns when the worker has let go of them.
    ///
    /// # Errors
    /// [`DataplaneError::NoPort`].
    pub fn delete_port(&self, port: PortId) -> Result<(), DataplaneError> {
        let _changes = lock(&self.engine.changes);
        self.engine.memif.unlisten(port)?;
        #[cfg(feature = "vhost-user")]
        self.engine.vhost.unlisten(port);
        let worker = lock(&self.engine.registry).port_worker(port)?;
        worker.run(move |worker| {
            worker.fabric.end_captures(port);
            worker.take_port(port).map(drop)
        })??;
        lock(&self.engine.registry).forget_port(port);
        Ok(())
    }

    /// Moves a port, with its devices, links and counters, to another domain. When that refuses, the
    /// port stays where it was.
    ///
    /// # Errors
    /// [`DataplaneError::DuplicateAddress`], [`DataplaneError::NoPort`],
    /// [`DataplaneError::NoDomain`].
    pub fn move_port(&self, port: PortId, domain: DomainId) -> Result<(), DataplaneError> {
        let _changes = lock(&self.engine.changes);
        // Held throughout: the memif thread must not look for the port while it is on its way.
        let mut registry = lock(&self.engine.registry);
        let former = registry.port_domain(port)?;
        let from = registry.domain_worker(former)?;
        let to = registry.domain_worker(domain)?;
        let moving = from.run(move |worker| worker.take_port(port))??;
        if let Err((moving, error)) = to.run(move |worker| worker.put_port(moving, domain))? {
            // Its old domain had it a moment ago, and nobody else may change anything now.
            let back = from.run(move |worker| worker.put_port(moving, former))?;
            return Err(back.err().map_or(error, |(_, error)| error));
        }
        registry.move_port(port, domain);
        Ok(())
    }

    /// Gives the port its TAP; closes the one it had. The port must have neither a veth pair nor a network stack.
    ///
    /// # Errors
    /// [`DataplaneError::NoPort`], [`DataplaneError::Occupied`], [`DataplaneError::Io`].
    pub fn attach_tap(&self, port: PortId, tap: TapDevice) -> Result<(), DataplaneError> {
        let _changes = lock(&self.engine.changes);
        let worker = lock(&self.engine.registry).port_worker(port)?;
        worker.run(move |worker| worker.attach_tap(port, tap))?
    }

    /// Takes the port's TAP away and closes it.
    ///
    /// # Errors
    /// [`DataplaneError::NoPort`].
    pub fn detach_tap(&self, port: PortId) -> Result<(), DataplaneError> {
        let _changes = lock(&self.engine.changes);
        let worker = lock(&self.engine.registry).port_worker(port)?;
        worker.run(move |worker| worker.detach_tap(port))?
    }

    /// Gives the port the packet socket of the host's end of its veth pair; closes the one it had. The port must
    /// have neither a TAP nor a network stack.
    ///
    /// # Errors
    /// [`DataplaneError::NoPort`], [`DataplaneError::Occupied`], [`DataplaneError::Io`].
    pub fn attach_veth(&self, port: PortId, socket: PacketSocket) -> Result<(), DataplaneError> {
        let _changes = lock(&self.engine.changes);
        let worker = lock(&self.engine.registry).port_worker(port)?;
        worker.run(move |worker| worker.attach_veth(port, socket))?
    }

    /// Closes the packet socket of the port's veth pair.
    ///
    /// # Errors
    /// [`DataplaneError::NoPort`].
    pub fn detach_veth(&self, port: PortId) -> Result<(), DataplaneError> {
        let _changes = lock(&self.engine.changes);
        let worker = lock(&self.engine.registry).port_worker(port)?;
        worker.run(move |worker| worker.detach_veth(port))?
    }

    /// Makes a network stack of this process the station behind the port; a stack that it had is cut
    /// off. The port must have neither a TAP nor a veth pair.
    ///
    /// # Errors
    /// [`DataplaneError::NoPort`], [`DataplaneError::Occupied`], [`DataplaneError::Io`].
    pub fn attach_stack(&self, port: PortId) -> Result<StackPort, DataplaneError> {
        let _changes = lock(&self.engine.changes);
        let worker = lock(&self.engine.registry).port_worker(port)?;
        let (input, output, stack) = crate::stack_port::connect()
            .map_err(|errno| io("eventfd of a network stack")(errno.into()))?;
        worker.run(move |worker| worker.attach_stack(port, input, output))??;
        Ok(stack)
    }

    /// Takes the port's network stack away; its [`StackPort`] hears nothing any more.
    ///
    /// # Errors
    /// [`DataplaneError::NoPort`].
    pub fn detach_stack(&self, port: PortId) -> Result<(), DataplaneError> {
        let _changes = lock(&self.engine.changes);
        let worker = lock(&self.engine.registry).port_worker(port)?;
        worker.run(move |worker| worker.detach_stack(port))?
    }

    /// The address of the port's network stack is somebody else's who is not behind this port, as long as `lent`: the stack is told,
    /// and what it sends is dropped ([`StackPort::owns_address`]). Other devices of the port are not concerned.
    ///
    /// # Errors
    /// [`DataplaneError::NoPort`].
    pub fn lend_address(&self, port: PortId, lent: bool) -> Result<(), DataplaneError> {
        // Held while the job runs, so that the port cannot move meanwhile. Changes of other ports may wait for whoever calls.
        let registry = lock(&self.engine.registry);
        let worker = registry.port_worker(port)?;
        worker.run(move |worker| worker.lend_address(port, lent))?
    }

    /// Serves memif clients for this port on sockets that are bound and listening
    /// (`SOCK_SEQPACKET`). Called again it adds sockets: one port may listen on several names. At
    /// most one client at a time owns the port; a second is refused.
    ///
    /// # Errors
    /// [`DataplaneError::NoPort`], [`DataplaneError::BadConfig`], [`DataplaneError::Io`]; no socket
    /// of this call is served then.
    pub fn listen_memif(
        &self,
        port: PortId,
        listeners: Vec<OwnedFd>,
        config: &MemifConfig,
    ) -> Result<(), DataplaneError> {
        let _changes = lock(&self.engine.changes);
        lock(&self.engine.registry).port_worker(port)?;
        self.engine.memif.listen(port, listeners, config)
    }

    /// Closes the memif listeners and the connected client of this port; returns when no descriptor
    /// of theirs is left open.
    ///
    /// # Errors
    /// [`DataplaneError::Stopped`].
    pub fn unlisten_memif(&self, port: PortId) -> Result<(), DataplaneError> {
        let _changes = lock(&self.engine.changes);
        self.engine.memif.unlisten(port)
    }

    /// Serves the front ends of a vhost-user device on a socket that is bound and listening
    /// (`SOCK_STREAM`), in place of the one that the port had. One at a time is connected, and not while a
    /// memif client is, nor while whoever is behind `claim` says no.
    ///
    /// # Errors
    /// [`DataplaneError::NoPort`], [`DataplaneError::BadConfig`], [`DataplaneError::Io`].
    #[cfg(feature = "vhost-user")]
    pub fn listen_vhost(
        &self,
        port: PortId,
        listener: OwnedFd,
        config: &crate::VhostConfig,
        claim: Option<Box<dyn AddressClaim>>,
    ) -> Result<(), DataplaneError> {
        let _changes = lock(&self.engine.changes);
        lock(&self.engine.registry).port_worker(port)?;
        self.engine.vhost.listen(port, listener, config, claim)
    }

    /// Closes the port's vhost-user socket and the connection of its front end; returns when no descriptor
    /// of theirs is left open.
    #[cfg(feature = "vhost-user")]
    pub fn unlisten_vhost(&self, port: PortId) {
        let _changes = lock(&self.engine.changes);
        self.engine.vhost.unlisten(port);
    }

    /// All ports, by id.
    ///
    /// # Errors
    /// [`DataplaneError::Stopped`].
    pub fn ports(&self) -> Result<Vec<PortStatus>, DataplaneError> {
        let mut all = Vec::new();
        for (worker, _) in &self.engine.workers {
            all.extend(worker.run(|worker| {
                worker.fabric.ports().map(worker::port_status).collect::<Vec<_>>()
            })?);
        }
        all.sort_by_key(|status| status.id);
        Ok(all)
    }

    /// One port.
    ///
    /// # Errors
    /// [`DataplaneError::NoPort`].
    pub fn port(&self, port: PortId) -> Result<PortStatus, DataplaneError> {
        let worker = lock(&self.engine.registry).port_worker(port)?;
        worker.run(move |worker| {
            let found = worker.fabric.ports().find(|candidate| candidate.id == port);
            found.map(worker::port_status).ok_or(DataplaneError::NoPort(port))
        })?
    }

    /// The FDB of a domain, sorted by address.
    ///
    /// # Errors
    /// [`DataplaneError::NoDomain`].
    pub fn fdb(&self, domain: DomainId) -> Result<Vec<FdbEntry>, DataplaneError> {
        let worker = lock(&self.engine.registry).domain_worker(domain)?;
        worker.run(move |worker| worker.fabric.fdb(domain))?
    }

    /// Starts a capture of at most `snap_length` bytes of each frame. A capture of a port that moves
    /// to another domain ends.
    ///
    /// # Errors
    /// [`DataplaneError::NoDomain`], [`DataplaneError::NoPort`].
    pub fn capture(
        &self,
        scope: CaptureScope,
        snap_length: u32,
    ) -> Result<Capture, DataplaneError> {
        let worker = match scope {
            CaptureScope::Domain(domain) => lock(&self.engine.registry).domain_worker(domain)?,
            CaptureScope::Port(port) => lock(&self.engine.registry).port_worker(port)?,
        };
        let (sink, capture) = crate::capture::channel(scope, snap_length);
        worker.run(move |worker| worker.fabric.add_capture(sink))??;
        Ok(capture)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.memif.stop();
        #[cfg(feature = "vhost-user")]
        self.vhost.stop();
        for (handle, thread) in &mut self.workers {
            handle.stop();
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}

/// A lock whose data is valid at every step, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random_seed() -> Result<u64, DataplaneError> {
    let mut seed = [0; 8];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| io("random seed of a forwarding table")(errno.into()))?;
    Ok(u64::from_ne_bytes(seed))
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> DataplaneError {
    move |source| DataplaneError::Io { what, source }
}
