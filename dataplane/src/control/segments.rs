//! Segments on several hosts.

use std::net::IpAddr;

use super::{Dataplane, lock};
use crate::control::{PortId, VxlanStatus};
use crate::vxlan::{Peer, Sockets, VtepAddress};
use crate::{DataplaneError, DomainConfig, DomainId};

impl Dataplane {
    /// Creates a domain at a local address; the caller holds the lock of changes.
    pub(super) fn create_segment(
        &self,
        config: DomainConfig,
        local: VtepAddress,
        seed: u64,
    ) -> Result<DomainId, DataplaneError> {
        let (id, worker, known) = lock(&self.engine.registry).place_segment(local);
        let opened = if known { Ok(None) } else { Sockets::open(local).map(Some) };
        let made =
            opened.map_err(|source| DataplaneError::Vtep { local, source }).and_then(|opened| {
                worker.run(move |worker| worker.add_segment(id, &config, seed, opened))?
            });
        if made.is_err() {
            lock(&self.engine.registry).forget_domain(id);
        }
        made.map(|()| id)
    }

    /// Makes these the other hosts of a segment, while traffic runs: what was learnt of those that stay is kept.
    /// `own` are addresses of this host that were named among them. When it fails, all is as before.
    ///
    /// # Errors
    /// [`DataplaneError::NoSegment`], [`DataplaneError::WrongFamily`], [`DataplaneError::TooManyPorts`].
    pub fn set_vxlan_peers(
        &self,
        domain: DomainId,
        peers: &[Peer],
        own: Vec<IpAddr>,
    ) -> Result<(), DataplaneError> {
        let _changes = lock(&self.engine.changes);
        let worker = lock(&self.engine.registry).domain_worker(domain)?;
        let former = worker.run(move |worker| worker.fabric.peers(domain))?;
        let removed = former.iter().filter(|(_, peer)| !peers.contains(peer));
        let removed: Vec<PortId> = removed.map(|(id, _)| *id).collect();
        let new = peers.iter().filter(|peer| !former.iter().any(|(_, held)| held == *peer));
        let added: Vec<(PortId, Peer)> =
            new.map(|peer| (lock(&self.engine.registry).next_port(), *peer)).collect();
        let (to_add, to_remove) = (added.clone(), removed.clone());
        worker.run(move |worker| worker.change_peers(domain, &to_add, &to_remove, own))??;
        let mut registry = lock(&self.engine.registry);
        for (id, _) in added {
            registry.add_port(id, domain);
        }
        for id in removed {
            registry.forget_port(id);
        }
        Ok(())
    }

    /// What a segment looks like; `None` for a domain of this host only.
    ///
    /// # Errors
    /// [`DataplaneError::NoDomain`].
    pub fn vxlan(&self, domain: DomainId) -> Result<Option<VxlanStatus>, DataplaneError> {
        let worker = lock(&self.engine.registry).domain_worker(domain)?;
        worker.run(move |worker| worker.fabric.segment_status(domain))?
    }
}
