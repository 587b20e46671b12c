//! The switch of one worker: its domains, its ports, and a frame's way from one to another.
//!
//! A frame is copied once per hop: from the sender's memory into the receiver's. What the decision
//! depends on, the first 64 bytes, is copied out before, and the receiver gets exactly those bytes:
//! a sender that changes them meanwhile cannot make the frame differ from the decision.

mod captures;
mod deliver;
mod outgoing;
mod stack;
mod switch;
mod uncut;
mod vhost;
mod vxlan;

use memif::RingFault;

use crate::bridge::{Bridge, BridgeConfig, PortGroup, PortSlot, Tick};
use crate::capture::{CaptureScope, Sink};
use crate::control::{DataplaneError, FdbEntry, PortId};
use crate::gateway::Gateway;
use crate::offload::{BadOffload, Checksum, complete_checksum};
use crate::stack_port::BufferPool;
use crate::tap::TapWriter;
use crate::vxlan::Sockets;
use crate::worker::port::Port;
use crate::{DomainConfig, DomainId, DropReason, PortConfig};

pub(crate) use stack::{OFFER_INTERVAL, Parcel};
use vxlan::Vtep;
pub(crate) use vxlan::{SegmentPlace, Tunnel};

/// Bytes of a frame that decisions are made on.
const HEADER: usize = 64;
/// Frames that a [`TapWriter`] collects before it is flushed.
const TAP_BATCH: usize = 64;
/// Bytes that it collects.
const TAP_ARENA: usize = 8 * crate::tap::BUFFER_LEN;

/// A domain and what it needs besides the bridge.
#[derive(Debug)]
struct Domain {
    id: DomainId,
    bridge: Bridge,
    gateway: Option<Gateway>,
    group: PortGroup,
    mtu: usize,
    segment: Option<SegmentPlace>,
}

/// Where a TAP frame goes: a port, and the flow that chooses its queue.
#[derive(Debug, Clone, Copy)]
struct TapToken {
    port: PortSlot,
    flow: u32,
}

/// Domains and ports of one worker.
#[derive(Debug)]
pub(crate) struct Fabric {
    /// A domain keeps its place, which its ports know.
    domains: Vec<Option<Domain>>,
    ports: Vec<Option<Port>>,
    writer: TapWriter<TapToken>,
    dirty: Vec<PortSlot>,
    /// Ports with parked frames.
    parked: Vec<PortSlot>,
    /// Buffers of frames from and to stacks.
    pool: BufferPool,
    captures: Vec<Sink>,
    /// Local addresses at which other hosts are heard; each keeps its place.
    vteps: Vec<Option<Vtep>>,
    /// Something waits in an outbox of theirs.
    vxlan_waits: bool,
    faults: Vec<(PortId, RingFault)>,
    tick: Tick,
    /// Reused for flooding, for frames to the gateway and for its replies.
    targets: Vec<PortSlot>,
    scratch: Vec<u8>,
    reply: Vec<u8>,
    /// A frame that is looked at whole, or that a front end did not complete.
    copy: Vec<u8>,
    /// Frames of one stream from a peer, put together.
    train: vxlan::Train,
}

impl Fabric {
    pub(crate) fn new() -> Self {
        Self {
            domains: Vec::new(),
            ports: Vec::new(),
            writer: TapWriter::new(TAP_BATCH, TAP_ARENA),
            dirty: Vec::new(),
            parked: Vec::new(),
            pool: BufferPool::default(),
            captures: Vec::new(),
            vteps: Vec::new(),
            vxlan_waits: false,
            faults: Vec::new(),
            tick: Tick(0),
            targets: Vec::new(),
            scratch: Vec::new(),
            reply: Vec::new(),
            copy: Vec::new(),
            train: vxlan::Train::default(),
        }
    }

    pub(crate) fn set_time(&mut self, tick: Tick) {
        self.tick = tick;
    }

    /// Adds a domain; `sockets` are there when it is the first one at its local address.
    pub(crate) fn add_domain(
        &mut self,
        id: DomainId,
        config: &DomainConfig,
        seed: u64,
        sockets: Option<Sockets>,
    ) -> Result<(), DataplaneError> {
        let segment = config.vxlan.as_ref();
        let segment = segment.map(|vxlan| self.add_segment(vxlan, sockets)).transpose()?;
        let group = if config.isolation { PortGroup::Isolated } else { PortGroup::Open };
        let domain = Some(Domain {
            id,
            bridge: Bridge::new(&BridgeConfig::for_domain(config, seed)),
            gateway: config.gateway.as_ref().map(Gateway::new),
            group,
            mtu: config.mtu as usize,
            segment,
        });
        match self.domains.iter_mut().find(|place| place.is_none()) {
            Some(free) => *free = domain,
            None => self.domains.push(domain),
        }
        Ok(())
    }

    pub(crate) fn remove_domain(&mut self, id: DomainId) -> Result<(), DataplaneError> {
        let in_use = self.stations(id);
        if in_use > 0 {
            return Err(DataplaneError::DomainInUse { domain: id, ports: in_use });
        }
        for (peer, _) in self.peers(id) {
            self.remove_peer(peer);
        }
        for place in &mut self.domains {
            place.take_if(|domain| domain.id == id);
        }
        self.captures.retain(|sink| sink.scope != CaptureScope::Domain(id));
        Ok(())
    }

    /// Ports of a domain on this host.
    pub(crate) fn stations(&self, id: DomainId) -> usize {
        self.ports().filter(|port| port.domain == id && port.tunnel.is_none()).count()
    }

    pub(crate) fn create_port(
        &mut self,
        id: PortId,
        domain: DomainId,
        config: &PortConfig,
    ) -> Result<PortSlot, DataplaneError> {
        self.insert(Port::new(id, domain, config)?).map_err(|(_, error)| error)
    }

    /// Takes a port into its domain; gives it back when the domain refuses.
    pub(crate) fn insert(
        &mut self,
        mut port: Port,
    ) -> Result<PortSlot, (Box<Port>, DataplaneError)> {
        let free = self.ports.iter().position(Option::is_none).unwrap_or(self.ports.len());
        let slot = match u16::try_from(free) {
            Ok(slot) if slot < u16::MAX => PortSlot(slot),
            _ => return Err((Box::new(port), DataplaneError::TooManyPorts)),
        };
        let Some(index) = self.domain_index(port.domain) else {
            let error = DataplaneError::NoDomain(port.domain);
            return Err((Box::new(port), error));
        };
        let Some(domain) = &mut self.domains[index] else { unreachable!("found a moment ago") };
        port.domain_index = index;
        let group = match port.tunnel {
            Some(_) => PortGroup::Tunnel,
            None if port.open => PortGroup::Gateway,
            None => domain.group,
        };
        if let Err(error) = domain.bridge.add_port(slot, port.mac, group) {
            return Err((Box::new(port), error.into()));
        }
        if free == self.ports.len() {
            self.ports.push(Some(port));
        } else {
            self.ports[free] = Some(port);
        }
        self.mark_captured();
        Ok(slot)
    }

    /// Takes a port out, with frames that wait for it flushed.
    pub(crate) fn remove(&mut self, slot: PortSlot) -> Option<Port> {
        self.unpark(slot);
        self.flush();
        let port = self.ports.get_mut(usize::from(slot.0))?.take()?;
        if let Some(Some(domain)) = self.domains.get_mut(port.domain_index) {
            domain.bridge.remove_port(slot);
        }
        Some(port)
    }

    pub(crate) fn slot(&self, id: PortId) -> Option<PortSlot> {
        let at = self.ports.iter().position(|port| port.as_ref().is_some_and(|port| port.id == id));
        at.and_then(|at| u16::try_from(at).ok()).map(PortSlot)
    }

    pub(crate) fn port_mut(&mut self, slot: PortSlot) -> Option<&mut Port> {
        self.ports.get_mut(usize::from(slot.0))?.as_mut()
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter().flatten()
    }

    pub(crate) fn fdb(&self, id: DomainId) -> Result<Vec<FdbEntry>, DataplaneError> {
        let index = self.domain_index(id).ok_or(DataplaneError::NoDomain(id))?;
        let Some(domain) = &self.domains[index] else { unreachable!("found a moment ago") };
        let mut entries: Vec<_> = domain
            .bridge
            .entries(self.tick)
            .map(|entry| FdbEntry {
                mac: entry.mac,
                port: entry.port.and_then(|slot| self.port(slot)).map(|port| port.id),
                pinned: entry.pinned,
                age: entry.age,
            })
            .collect();
        entries.sort_by_key(|entry| entry.mac);
        Ok(entries)
    }

    /// Forgets aged addresses, a part of the tables at a time.
    pub(crate) fn age(&mut self) {
        for domain in self.domains.iter_mut().flatten() {
            let budget = (domain.bridge.cells() / 16).max(64);
            domain.bridge.age(self.tick, budget);
        }
    }

    /// Ring faults found while sending, since the last call.
    pub(crate) fn take_faults(&mut self) -> Vec<(PortId, RingFault)> {
        std::mem::take(&mut self.faults)
    }

    #[inline]
    pub(crate) fn drop_at(&self, slot: PortSlot, reason: DropReason) {
        if let Some(port) = self.port(slot) {
            port.counters.dropped(reason);
        }
    }

    #[inline]
    fn port(&self, slot: PortSlot) -> Option<&Port> {
        self.ports.get(usize::from(slot.0))?.as_ref()
    }

    fn domain_index(&self, id: DomainId) -> Option<usize> {
        self.domains.iter().position(|place| place.as_ref().is_some_and(|domain| domain.id == id))
    }

    /// The domain of a port.
    #[inline]
    fn domain_of(&self, slot: PortSlot) -> Option<&Domain> {
        self.domains.get(self.port(slot)?.domain_index)?.as_ref()
    }
}

/// Completes a checksum that the kernel left open.
fn complete(bytes: &mut [u8], checksum: Checksum) -> Result<(), BadOffload> {
    match checksum {
        Checksum::Partial { start, offset } => complete_checksum(bytes, start, offset),
        Checksum::Present | Checksum::Valid => Ok(()),
    }
}
