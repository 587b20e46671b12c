//! Segments on several hosts, as a worker keeps them.

use std::net::IpAddr;

use super::Worker;
use super::inputs::{NO_PORT, Source};
use crate::control::{DataplaneError, PortId};
use crate::vxlan::{Peer, Receiver, Sockets};
use crate::{DomainConfig, DomainId};

impl Worker {
    /// Adds a domain; sockets are given with the first one at its local address.
    pub(crate) fn add_segment(
        &mut self,
        id: DomainId,
        config: &DomainConfig,
        seed: u64,
        opened: Option<(Sockets, Receiver)>,
    ) -> Result<(), DataplaneError> {
        let (sockets, receiver) = opened.unzip();
        self.fabric.add_domain(id, config, seed, sockets)?;
        let local = config.vxlan.as_ref().map(|vxlan| vxlan.local);
        let vtep = local.and_then(|local| self.fabric.vtep_index(local));
        let (Some(receiver), Some(vtep)) = (receiver, vtep) else { return Ok(()) };
        let source = Source::Vxlan { vtep, receiver: Box::new(receiver) };
        if let Err(errno) = self.inputs.add(NO_PORT, PortId(0), source) {
            self.remove_domain(id)?;
            return Err(DataplaneError::Io { what: "watching a UDP socket", source: errno.into() });
        }
        Ok(())
    }

    /// Removes a domain, with its peers; the sockets go with the last one at its local address.
    pub(crate) fn remove_domain(&mut self, id: DomainId) -> Result<(), DataplaneError> {
        let place = self.fabric.segment_place(id)?;
        self.fabric.remove_domain(id)?;
        let Some(place) = place else { return Ok(()) };
        if self.fabric.remove_segment(place) {
            self.inputs.take(
                NO_PORT,
                |source| matches!(source, Source::Vxlan { vtep, .. } if *vtep == place.vtep),
            );
        }
        Ok(())
    }

    /// Adds and removes peers; when one cannot be added, all is as before.
    pub(crate) fn change_peers(
        &mut self,
        domain: DomainId,
        added: &[(PortId, Peer)],
        removed: &[PortId],
        own: Vec<IpAddr>,
    ) -> Result<(), DataplaneError> {
        let place = self.fabric.segment_place(domain)?;
        let place = place.ok_or(DataplaneError::NoSegment(domain))?;
        // A peer with another UDP port is another one, and known by the same address.
        let former: Vec<_> = self.fabric.peers(domain);
        for id in removed {
            self.fabric.remove_peer(*id);
        }
        for (at, (id, peer)) in added.iter().enumerate() {
            let Err(error) = self.fabric.add_peer(*id, domain, place, *peer) else { continue };
            for (id, _) in &added[..at] {
                self.fabric.remove_peer(*id);
            }
            for (id, peer) in former.iter().filter(|(id, _)| removed.contains(id)) {
                if let Err(error) = self.fabric.add_peer(*id, domain, place, *peer) {
                    tracing::error!(%peer, %error, "a peer was lost after a failed change");
                }
            }
            return Err(error);
        }
        self.fabric.set_own(place, own);
        Ok(())
    }
}
