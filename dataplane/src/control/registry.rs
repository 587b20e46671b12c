//! Which worker has which domain, and which domain has which port.

use std::collections::HashMap;

use crate::vxlan::VtepAddress;
use crate::worker::WorkerHandle;
use crate::{DataplaneError, DomainId, PortId};

/// Plain bookkeeping. Its lock is held for a look-up, or while a job runs that relies on where a port
/// is; workers never take it.
#[derive(Debug, Default)]
pub(super) struct Registry {
    workers: Vec<WorkerHandle>,
    domains: HashMap<DomainId, usize>,
    ports: HashMap<PortId, DomainId>,
    /// Domains that other hosts have too, and where those are heard.
    segments: HashMap<DomainId, VtepAddress>,
    last_domain: u32,
    last_port: u32,
}

impl Registry {
    pub(super) fn add_worker(&mut self, worker: WorkerHandle) {
        self.workers.push(worker);
    }

    /// A new domain's id, and the worker with the fewest ports (and, among those, domains).
    pub(super) fn place_domain(&mut self) -> (DomainId, WorkerHandle) {
        let load = |index: usize| {
            let domains = self.domains.values().filter(|&&worker| worker == index).count();
            let ports =
                self.ports.values().filter(|id| self.domains.get(id) == Some(&index)).count();
            (ports, domains)
        };
        let index = (0..self.workers.len()).min_by_key(|&index| load(index)).unwrap_or(0);
        self.last_domain += 1;
        let id = DomainId(self.last_domain);
        self.domains.insert(id, index);
        (id, self.workers[index].clone())
    }

    /// A new domain's id, and the worker that has the sockets of this local address: they are not shared between
    /// workers. Says whether that worker has them already.
    pub(super) fn place_segment(&mut self, local: VtepAddress) -> (DomainId, WorkerHandle, bool) {
        let known = self.segments.iter().find(|(_, address)| **address == local);
        let known = known.and_then(|(id, _)| self.domains.get(id)).copied();
        let (id, mut worker) = self.place_domain();
        if let Some(index) = known {
            self.domains.insert(id, index);
            worker = self.workers[index].clone();
        }
        self.segments.insert(id, local);
        (id, worker, known.is_some())
    }

    pub(super) fn domain_worker(&self, id: DomainId) -> Result<WorkerHandle, DataplaneError> {
        let index = self.domains.get(&id).ok_or(DataplaneError::NoDomain(id))?;
        Ok(self.workers[*index].clone())
    }

    pub(super) fn forget_domain(&mut self, id: DomainId) {
        self.domains.remove(&id);
        self.segments.remove(&id);
        // Those of other hosts; the others are gone.
        self.ports.retain(|_, domain| *domain != id);
    }

    pub(super) fn next_port(&mut self) -> PortId {
        self.last_port += 1;
        PortId(self.last_port)
    }

    pub(super) fn add_port(&mut self, id: PortId, domain: DomainId) {
        self.ports.insert(id, domain);
    }

    pub(super) fn port_domain(&self, id: PortId) -> Result<DomainId, DataplaneError> {
        self.ports.get(&id).copied().ok_or(DataplaneError::NoPort(id))
    }

    pub(super) fn port_worker(&self, id: PortId) -> Result<WorkerHandle, DataplaneError> {
        self.domain_worker(self.port_domain(id)?)
    }

    pub(super) fn forget_port(&mut self, id: PortId) {
        self.ports.remove(&id);
    }

    pub(super) fn move_port(&mut self, id: PortId, domain: DomainId) {
        self.ports.insert(id, domain);
    }
}
