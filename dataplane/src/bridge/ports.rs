//! The ports of a domain: dense for flooding, found by slot in one step.

use super::table::{Key, Place};
use super::{PortGroup, PortSlot, Tick, Verdict};
use crate::DropReason;
use crate::bucket::TokenBucket;

/// What the bridge keeps for one port.
#[derive(Debug)]
pub(super) struct Port {
    slot: PortSlot,
    group: PortGroup,
    /// Addresses learnt here.
    learnt: usize,
    pub(super) learn_limited: u64,
    pub(super) flood: TokenBucket,
    pub(super) recent: Recent,
}

impl Port {
    pub(super) fn new(slot: PortSlot, group: PortGroup, flood_rate: u32) -> Self {
        let recent = Recent {
            dst: Key::from(crate::MacAddr::BROADCAST),
            src: Key::from(crate::MacAddr::BROADCAST),
            at: Tick(0),
            generation: 0,
            verdict: Verdict::Drop(DropReason::Malformed),
        };
        Self { slot, group, learnt: 0, learn_limited: 0, flood: flood_bucket(flood_rate), recent }
    }
}

/// The last decision that reached a known station, and all that it depended on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recent {
    pub(super) dst: Key,
    pub(super) src: Key,
    pub(super) at: Tick,
    pub(super) generation: u64,
    pub(super) verdict: Verdict,
}

impl Recent {
    #[inline]
    pub(super) fn answers(&self, dst: Key, src: Key, now: Tick, generation: u64) -> bool {
        self.dst == dst && self.src == src && self.at == now && self.generation == generation
    }
}

/// The ports of one domain.
#[derive(Debug, Default)]
pub(super) struct Ports {
    dense: Vec<Port>,
    /// By slot: position in `dense`, or [`NONE`].
    positions: Vec<u16>,
    /// Ports of each group.
    counts: [usize; PortGroup::COUNT],
}

impl Ports {
    /// Adds a port that is not there yet.
    pub(super) fn add(&mut self, port: Port) {
        let slot = usize::from(port.slot.0);
        if self.positions.len() <= slot {
            self.positions.resize(slot + 1, NONE);
        }
        // Slots are 16 bits wide and distinct, so fewer than 65535 ports precede this one.
        self.positions[slot] = u16::try_from(self.dense.len()).unwrap_or(NONE);
        self.counts[port.group as usize] += 1;
        self.dense.push(port);
    }

    /// Removes a port; `false` when there is none in this slot.
    pub(super) fn remove(&mut self, slot: PortSlot) -> bool {
        let Some(position) = self.position(slot) else { return false };
        let removed = self.dense.swap_remove(position);
        self.counts[removed.group as usize] -= 1;
        if let Some(moved) = self.dense.get(position) {
            self.positions[usize::from(moved.slot.0)] = self.positions[usize::from(slot.0)];
        }
        self.positions[usize::from(slot.0)] = NONE;
        true
    }

    pub(super) fn contains(&self, slot: PortSlot) -> bool {
        self.position(slot).is_some()
    }

    pub(super) fn count(&self) -> usize {
        self.dense.len()
    }

    #[inline]
    pub(super) fn find(&self, slot: PortSlot) -> Option<&Port> {
        let position = *self.positions.get(usize::from(slot.0))?;
        self.dense.get(usize::from(position))
    }

    #[inline]
    pub(super) fn find_mut(&mut self, slot: PortSlot) -> Option<&mut Port> {
        let position = *self.positions.get(usize::from(slot.0))?;
        self.dense.get_mut(usize::from(position))
    }

    /// Counts an address as learnt on `slot` when its limit and `room` allow it.
    pub(super) fn admit_address(&mut self, slot: PortSlot, limit: usize, room: bool) -> bool {
        let Some(port) = self.find_mut(slot) else { return false };
        let admitted = room && port.learnt < limit;
        port.learnt += usize::from(admitted);
        port.learn_limited += u64::from(!admitted);
        admitted
    }

    /// Counts one learnt address less at `place`.
    pub(super) fn forget(&mut self, place: Place) {
        if let Some(port) = self.find_mut(PortSlot(place.0)) {
            port.learnt -= 1;
        }
    }

    /// The verdict for a known station on port `to`.
    pub(super) fn unicast(&self, from: PortSlot, to: PortSlot) -> Verdict {
        if from == to {
            Verdict::Drop(DropReason::Hairpin)
        } else if self.meet(from, to) {
            Verdict::Unicast(to)
        } else {
            Verdict::Drop(DropReason::Isolated)
        }
    }

    /// Why a frame from `from` could be flooded to no port at all.
    pub(super) fn nowhere_to_flood(&self, from: PortSlot) -> Option<DropReason> {
        let own = self.group(from);
        let others = self.dense.len() - 1;
        if others == 0 {
            return Some(DropReason::NoDestination);
        }
        if own == PortGroup::Open {
            return None;
        }
        let met = PortGroup::ALL.into_iter().filter(|group| own.meets(*group));
        let met: usize = met.map(|group| self.counts[group as usize]).sum();
        (met == usize::from(own.meets(own))).then_some(DropReason::Isolated)
    }

    pub(super) fn flood_targets(&self, from: PortSlot) -> impl Iterator<Item = PortSlot> + '_ {
        let own = self.group(from);
        let is_open = own == PortGroup::Open;
        self.dense
            .iter()
            .filter(move |port| port.slot != from)
            .filter(move |port| is_open || own.meets(port.group))
            .map(|port| port.slot)
    }

    /// Whether the domain's own gateway is for this port.
    #[inline]
    pub(super) fn meets_gateway(&self, from: PortSlot) -> bool {
        self.group(from) != PortGroup::Tunnel
    }

    /// Open ports, most of all, are not kept from any: who they send to need not be looked up.
    #[inline]
    fn meet(&self, from: PortSlot, to: PortSlot) -> bool {
        let own = self.group(from);
        own == PortGroup::Open || own.meets(self.group(to))
    }

    #[inline]
    fn group(&self, slot: PortSlot) -> PortGroup {
        self.find(slot).map_or(PortGroup::Open, |port| port.group)
    }

    fn position(&self, slot: PortSlot) -> Option<usize> {
        let position = *self.positions.get(usize::from(slot.0))?;
        (position != NONE).then_some(usize::from(position))
    }
}

/// Flooded frames that pass at once: a tenth of a second's worth, but at least this many.
const MIN_FLOOD_BURST: u64 = 32;

fn flood_bucket(rate: u32) -> TokenBucket {
    let rate = u64::from(rate);
    TokenBucket::new(rate, (rate / 10).max(MIN_FLOOD_BURST))
}

/// No port in this slot; also beyond any position, so `find` needs no test for it.
const NONE: u16 = u16::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_floods_is_a_tenth_of_a_second_but_at_least_32() {
        let admitted = |rate, tries| {
            let mut bucket = flood_bucket(rate);
            (0..tries).filter(|_| bucket.admit(Tick(5), 1)).count()
        };
        assert_eq!(admitted(10_000, 5000), 1000);
        assert_eq!(admitted(1, 5000), 32);
        assert_eq!(admitted(0, 5000), 5000, "no limit");
    }
}
