//! The vhost-user devices of ports: a socket and a thread each, which hand the queues of a front end to the
//! port's worker and take them away again.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

use vhost_user_net::server::{Refused, Server, Station};
use vhost_user_net::{DeviceConfig, LinkState, Queues};

use super::registry::Registry;
use super::{DataplaneError, PortId, io, lock};
use crate::VhostConfig;

/// Somebody beside the engine who could give a port's address to others.
pub trait AddressClaim: Send {
    /// Has the address kept for the front end, which has a ring to be served.
    ///
    /// # Errors
    /// Who has it. The front end is disconnected.
    fn claim(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

    /// The front end is gone, or has stopped all of its rings.
    fn release(&mut self);
}

/// The devices.
#[derive(Debug)]
pub(super) struct VhostServers {
    registry: Arc<Mutex<Registry>>,
    servers: Mutex<HashMap<PortId, Server>>,
}

impl VhostServers {
    pub(super) fn new(registry: Arc<Mutex<Registry>>) -> Self {
        Self { registry, servers: Mutex::default() }
    }

    pub(super) fn listen(
        &self,
        port: PortId,
        listener: OwnedFd,
        config: &VhostConfig,
        claim: Option<Box<dyn AddressClaim>>,
    ) -> Result<(), DataplaneError> {
        if !(1..=16).contains(&config.max_queues) {
            return Err(DataplaneError::BadConfig {
                what: "the number of vhost-user queues",
                expected: "1 to 16",
                found: config.max_queues.to_string(),
            });
        }
        self.unlisten(port);
        let device =
            DeviceConfig { queue_pairs: config.max_queues, memory_limit: config.memory_limit };
        let registry = Arc::clone(&self.registry);
        let station = PortStation { registry, port, claim, claimed: false };
        let listener = UnixListener::from(listener);
        let server = Server::start(config.name.clone(), listener, device, Box::new(station))
            .map_err(io("serving a vhost-user socket"))?;
        lock(&self.servers).insert(port, server);
        Ok(())
    }

    pub(super) fn unlisten(&self, port: PortId) {
        let server = lock(&self.servers).remove(&port);
        // Outside of the lock: it waits for the server's thread.
        drop(server);
    }

    /// Ends all of them.
    pub(super) fn stop(&self) {
        let servers = std::mem::take(&mut *lock(&self.servers));
        drop(servers);
    }
}

/// The worker of one port, as its device's thread sees it.
struct PortStation {
    registry: Arc<Mutex<Registry>>,
    port: PortId,
    claim: Option<Box<dyn AddressClaim>>,
    claimed: bool,
}

impl Station for PortStation {
    fn attach(&mut self, queues: Queues) -> Result<(), Refused> {
        let port = self.port;
        if let Some(claim) = self.claim.as_mut().filter(|_| !self.claimed) {
            claim.claim()?;
            self.claimed = true;
        }
        // Held while the job runs, so that the port cannot move meanwhile.
        let registry = lock(&self.registry);
        let worker = registry.port_worker(port)?;
        Ok(worker.run(move |worker| worker.attach_vhost(port, queues))??)
    }

    fn detach(&mut self, state: &Arc<LinkState>) {
        let (port, state) = (self.port, Arc::clone(state));
        let registry = lock(&self.registry);
        // A port or worker that is gone has no queues any more.
        let _ = registry
            .port_worker(port)
            .and_then(|worker| worker.run(move |worker| worker.detach_vhost(port, &state))?);
    }

    fn idle(&mut self) {
        if std::mem::take(&mut self.claimed)
            && let Some(claim) = &mut self.claim
        {
            claim.release();
        }
    }
}
