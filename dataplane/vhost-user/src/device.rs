//! What a front end said of its device so far, and the queues that follow from it. No socket, no thread.
//!
//! Queues come in pairs: ring `2n` is the front end's receive ring, `2n + 1` its transmit ring (virtio
//! 1.2, 5.1.2).

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::bell::{self, NotEventfd};
use crate::features::Features;
use crate::memory::MemoryTable;
use crate::receive::RxQueue;
use crate::ring::{RingAddresses, RingError, SplitRing};
use crate::state::LinkState;
use crate::transmit::TxQueue;

/// What a device may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Queues in each direction at most. 1..=16.
    pub queue_pairs: u16,
    /// Memory that a front end may share, in bytes: what it leaves untouched is charged to whoever touches
    /// it first, which may be this process.
    pub memory_limit: u64,
}

/// The queues of a device that a front end enabled.
#[derive(Debug)]
pub struct Queues {
    /// From the front end.
    pub rx: Vec<RxQueue>,
    /// To the front end.
    pub tx: Vec<TxQueue>,
    /// Shared by all of them.
    pub state: Arc<LinkState>,
}

/// Why a message was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("ring {index} of a device with {rings}")]
    NoRing { index: u32, rings: usize },
    #[error("features {0:#x}, which were not offered")]
    Features(u64),
    #[error("ring {index}: {source}")]
    Ring { index: usize, source: RingError },
    #[error("ring {index}: {source}")]
    Event { index: u32, source: NotEventfd },
    #[error("ring {0} cannot be polled: it needs a descriptor for kicks")]
    NoKick(u32),
    #[error("a descriptor cannot be duplicated: {0}")]
    Descriptor(#[source] std::io::Error),
}

/// What was said of one ring.
#[derive(Debug, Default)]
struct Ring {
    size: u32,
    addresses: Option<RingAddresses>,
    /// Where the front end says that it begins: only repeated where the ring itself does not say.
    base: u16,
    kick: Option<OwnedFd>,
    call: Option<OwnedFd>,
    enabled: bool,
}

/// A device as its front end set it up so far.
#[derive(Debug)]
pub(crate) struct Device {
    config: DeviceConfig,
    features: Features,
    memory: Option<Arc<MemoryTable>>,
    rings: Vec<Ring>,
}

impl Device {
    pub(crate) fn new(config: DeviceConfig) -> Self {
        let rings = (0..config.queue_pairs.clamp(1, 16) * 2).map(|_| Ring::default()).collect();
        Self { config, features: Features::default(), memory: None, rings }
    }

    pub(crate) fn config(&self) -> DeviceConfig {
        self.config
    }

    pub(crate) fn set_features(&mut self, features: u64) -> Result<(), Refusal> {
        let features = Features(features);
        if !features.within(Features::offered(self.config.queue_pairs)) {
            return Err(Refusal::Features(features.0));
        }
        self.features = features;
        Ok(())
    }

    pub(crate) fn set_memory(&mut self, memory: MemoryTable) {
        self.memory = Some(Arc::new(memory));
    }

    pub(crate) fn set_size(&mut self, index: u32, size: u32) -> Result<(), Refusal> {
        self.ring(index)?.size = size;
        Ok(())
    }

    pub(crate) fn set_addresses(
        &mut self,
        index: u32,
        addresses: RingAddresses,
    ) -> Result<(), Refusal> {
        self.ring(index)?.addresses = Some(addresses);
        Ok(())
    }

    pub(crate) fn set_base(&mut self, index: u32, base: u16) -> Result<(), Refusal> {
        self.ring(index)?.base = base;
        Ok(())
    }

    /// Stops a ring; returns where it stopped.
    pub(crate) fn stop(&mut self, index: u32) -> Result<u16, Refusal> {
        let base = self.ring(index)?.base;
        let made = self.rings.get(index as usize).and_then(|ring| self.split_ring(ring).ok()?);
        let stopped = made.map_or(base, |ring| ring.used_index());
        let ring = self.ring(index)?;
        ring.base = stopped;
        ring.kick = None;
        ring.call = None;
        Ok(stopped)
    }

    /// Starts a ring.
    pub(crate) fn set_kick(&mut self, index: u32, kick: Option<OwnedFd>) -> Result<(), Refusal> {
        let ring = self.ring(index)?;
        let kick = kick.ok_or(Refusal::NoKick(index))?;
        let kick = bell::eventfd(kick).map_err(|source| Refusal::Event { index, source })?;
        ring.kick = Some(kick);
        Ok(())
    }

    pub(crate) fn set_call(&mut self, index: u32, call: Option<OwnedFd>) -> Result<(), Refusal> {
        let ring = self.ring(index)?;
        let call = call.map(bell::eventfd).transpose();
        ring.call = call.map_err(|source| Refusal::Event { index, source })?;
        Ok(())
    }

    pub(crate) fn enable(&mut self, index: u32, enabled: bool) -> Result<(), Refusal> {
        self.ring(index)?.enabled = enabled;
        Ok(())
    }

    /// Stops and disables all rings.
    pub(crate) fn disable_all(&mut self) {
        for ring in &mut self.rings {
            ring.enabled = false;
            ring.kick = None;
        }
    }

    fn ring(&mut self, index: u32) -> Result<&mut Ring, Refusal> {
        let rings = self.rings.len();
        self.rings.get_mut(index as usize).ok_or(Refusal::NoRing { index, rings })
    }

    /// The queues of all rings that are started and enabled; none when that is no ring.
    pub(crate) fn queues(&self, state: &Arc<LinkState>) -> Result<Option<Queues>, Refusal> {
        let mut queues = Queues { rx: Vec::new(), tx: Vec::new(), state: Arc::clone(state) };
        let Some(memory) = &self.memory else { return Ok(None) };
        for (index, ring) in self.rings.iter().enumerate() {
            let enabled = ring.enabled || !self.features.rings_begin_disabled();
            let Some(kick) = ring.kick.as_ref().filter(|_| enabled) else { continue };
            let made = self.split_ring(ring).map_err(|source| Refusal::Ring { index, source })?;
            let Some(split) = made else { continue };
            let (memory, state) = (Arc::clone(memory), Arc::clone(state));
            let call = ring.call.as_ref().map(duplicate).transpose()?;
            if index % 2 == 0 {
                queues.tx.push(TxQueue::new(split, memory, self.features, call, state));
            } else {
                let kick = duplicate(kick)?;
                queues.rx.push(RxQueue::new(split, memory, self.features, kick, call, state));
            }
        }
        let none = queues.rx.is_empty() && queues.tx.is_empty();
        Ok((!none).then_some(queues))
    }

    /// The ring at its places, once it has some.
    fn split_ring(&self, ring: &Ring) -> Result<Option<SplitRing>, RingError> {
        let (Some(memory), Some(addresses)) = (&self.memory, ring.addresses) else {
            return Ok(None);
        };
        SplitRing::at(memory, addresses, ring.size, self.features.named_events()).map(Some)
    }
}

fn duplicate(fd: &OwnedFd) -> Result<OwnedFd, Refusal> {
    fd.as_fd().try_clone_to_owned().map_err(Refusal::Descriptor)
}
