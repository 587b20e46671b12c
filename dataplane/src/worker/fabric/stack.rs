//! Frames from and to network stacks of this process.
//!
//! What such a stack sends to one port is not dropped because that port is busy: it is parked at the
//! port and offered again each turn, in order. Parked frames hold up nobody else. A port that takes
//! nothing for [`PATIENCE`] loses them, so nothing is kept for a station that never reads.

use std::time::Duration;

use memif::queue::TxError;

use super::Fabric;
use super::deliver::{Pushed, push_packets};
use super::outgoing::Outgoing;
use crate::DropReason;
use crate::bridge::{PortSlot, Verdict};
use crate::capture::Direction;
use crate::control::{PortId, PortOwner};
use crate::packet::flow_hash;
use crate::stack_port::{Return, StackFrame};

/// How long a port may take nothing before it loses what is parked, in ticks. Well below the second
/// after which the stack would repeat the frames.
const PATIENCE: u64 = 100;
/// Frames that are parked at one port: all that one stack can have on the way.
const MOST_PARKED: usize = crate::stack_port::FROM_STACK;

/// How soon parked frames must be offered again: their receivers do not tell when they have room.
pub(crate) const OFFER_INTERVAL: Duration = Duration::from_micros(50);

/// A frame of a stack on its way to one port.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(super) frame: StackFrame,
    from: PortSlot,
    sender: PortId,
    /// Packets of it that were delivered, when it has to be cut.
    pub(super) delivered: usize,
}

impl Fabric {
    /// A frame that a stack sent.
    #[inline]
    pub(crate) fn ingress_stack(&mut self, from: PortSlot, mut frame: StackFrame) {
        let Some(port) = self.port(from) else { return };
        let sender = port.id;
        if port.owner() != PortOwner::Stack {
            port.counters.received(frame.bytes().len());
            port.counters.dropped(DropReason::NotOwner);
            return self.report_gone(from, sender, Return::of(frame));
        }
        let offload = frame.offload;
        let segment = offload.segmentation.map_or(0, |segmentation| usize::from(segmentation.size));
        let outgoing = Outgoing::Private { bytes: frame.bytes(), offload };
        match self.admit(from, &outgoing, segment) {
            Some(Verdict::Unicast(to)) => {
                return self.post(to, Parcel { frame, from, sender, delivered: 0 });
            }
            Some(Verdict::Flood { to_gateway }) => {
                self.flood(from, &outgoing);
                if to_gateway {
                    self.private_to_gateway(from, offload, frame.bytes_mut());
                }
            }
            Some(Verdict::Gateway) => self.private_to_gateway(from, offload, frame.bytes_mut()),
            Some(Verdict::Drop(reason)) => self.drop_at(from, reason),
            None => {}
        }
        self.report_gone(from, sender, Return::of(frame));
    }

    /// Delivers a parcel, or parks it.
    #[inline]
    fn post(&mut self, to: PortSlot, parcel: Parcel) {
        let Some(Some(port)) = self.ports.get_mut(usize::from(to.0)) else {
            return self.finish(parcel);
        };
        let waits = !port.parked.is_empty();
        if waits && port.parked.len() >= MOST_PARKED {
            port.counters.dropped(DropReason::Full);
            return self.finish(parcel);
        }
        if waits {
            return port.parked.push_back(parcel);
        }
        if let Some(parcel) = self.offer(to, parcel) {
            self.park(to, parcel);
        }
    }

    #[cold]
    fn park(&mut self, to: PortSlot, parcel: Parcel) {
        let tick = self.tick;
        let Some(Some(port)) = self.ports.get_mut(usize::from(to.0)) else { return };
        port.parked.push_back(parcel);
        port.parked_since = tick;
        self.parked.push(to);
    }

    /// Gives a parcel to the device that owns its destination; gives it back when there is no room.
    fn offer(&mut self, to: PortSlot, mut parcel: Parcel) -> Option<Parcel> {
        let Some(port) = self.port(to) else {
            self.finish(parcel);
            return None;
        };
        match port.owner() {
            PortOwner::Memif => {
                if !self.offer_memif(to, &mut parcel) {
                    return Some(parcel);
                }
            }
            PortOwner::Vhost => {
                if !self.offer_vhost(to, &mut parcel) {
                    return Some(parcel);
                }
            }
            PortOwner::Stack => return self.offer_stack(to, parcel),
            PortOwner::Tap | PortOwner::Veth | PortOwner::Vxlan | PortOwner::None => {
                let offload = parcel.frame.offload;
                self.deliver(to, &Outgoing::Private { bytes: parcel.frame.bytes(), offload });
                self.finish(parcel);
                return None;
            }
        }
        self.capture_delivered(to, &parcel);
        self.finish(parcel);
        None
    }

    /// From stack to stack: the buffer changes hands, and the sender gets another one for it.
    fn offer_stack(&mut self, to: PortSlot, parcel: Parcel) -> Option<Parcel> {
        let Some(Some(port)) = self.ports.get_mut(usize::from(to.0)) else { return Some(parcel) };
        let Some(stack) = &mut port.stack else { return Some(parcel) };
        stack.collect(&mut self.pool);
        if stack.is_abandoned() {
            port.counters.dropped(DropReason::NoDevice);
            self.finish(parcel);
            return None;
        }
        if !stack.has_room() {
            return Some(parcel);
        }
        self.capture_delivered(to, &parcel);
        let Parcel { frame, from, sender, .. } = parcel;
        let len = frame.bytes().len();
        let tag = frame.tag();
        let Some(Some(port)) = self.ports.get_mut(usize::from(to.0)) else { return None };
        let Some(stack) = &mut port.stack else { return None };
        if let Err(frame) = stack.push(frame, &mut self.pool) {
            return Some(Parcel { frame, from, sender, delivered: 0 });
        }
        port.counters.transmitted(len);
        self.mark_dirty(to);
        let buffer = self.pool.resting(len);
        self.report_gone(from, sender, Return { tag, len, buffer });
        None
    }

    /// `false` when the ring is full; the parcel then knows what has been delivered of it.
    fn offer_memif(&mut self, to: PortSlot, parcel: &mut Parcel) -> bool {
        let Some(Some(port)) = self.ports.get_mut(usize::from(to.0)) else { return true };
        let mtu = self.domains.get(port.domain_index).and_then(Option::as_ref).map_or(0, |d| d.mtu);
        let Some(memif) = &mut port.memif else { return true };
        let bytes = parcel.frame.bytes();
        let index = match memif.queues.len() {
            0 => {
                port.counters.dropped(DropReason::NoDevice);
                return true;
            }
            count => flow_hash(bytes) as usize % count,
        };
        let offload = parcel.frame.offload;
        let counters = &port.counters;
        let (mut full, mut fault) = (false, None);
        let report = |outcome: Result<(), TxError>, length: usize| match outcome {
            Ok(()) => {
                counters.transmitted(length);
                Pushed::GoOn
            }
            Err(TxError::Full) => {
                full = true;
                Pushed::Stop
            }
            Err(TxError::Length(_)) => {
                counters.dropped(DropReason::NoBuffer);
                Pushed::GoOn
            }
            Err(TxError::Fault(found)) => {
                counters.dropped(DropReason::NoDevice);
                fault = Some(found);
                Pushed::Stop
            }
            Err(_) => {
                counters.dropped(DropReason::Device);
                Pushed::GoOn
            }
        };
        let queue = &mut memif.queues[index];
        let skip = parcel.delivered;
        match push_packets(bytes, offload, mtu, skip, &mut self.scratch, queue, report) {
            Ok(delivered) => parcel.delivered = delivered,
            Err(_) => counters.dropped(DropReason::BadOffload),
        }
        if let Some(fault) = fault {
            memif.state.close();
            self.faults.push((port.id, fault));
        }
        self.mark_dirty(to);
        !full
    }

    fn capture_delivered(&mut self, to: PortSlot, parcel: &Parcel) {
        if self.port(to).is_some_and(|port| port.captured) {
            let offload = parcel.frame.offload;
            let frame = Outgoing::Private { bytes: parcel.frame.bytes(), offload };
            self.capture(to, Direction::Egress, false, &frame);
        }
    }

    /// Whether frames are parked somewhere.
    #[inline]
    pub(crate) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Offers parked frames again.
    #[inline]
    pub(crate) fn offer_parked(&mut self) {
        if !self.parked.is_empty() {
            self.offer_all();
        }
    }

    #[cold]
    fn offer_all(&mut self) {
        let mut places = std::mem::take(&mut self.parked);
        places.retain(|&to| self.offer_parked_at(to));
        places.append(&mut self.parked);
        self.parked = places;
        self.flush();
    }

    /// `true` when frames stay parked.
    fn offer_parked_at(&mut self, to: PortSlot) -> bool {
        loop {
            let tick = self.tick;
            let Some(Some(port)) = self.ports.get_mut(usize::from(to.0)) else { return false };
            let Some(parcel) = port.parked.pop_front() else { return false };
            let since = port.parked_since;
            match self.offer(to, parcel) {
                None => {
                    if let Some(port) = self.port_mut(to) {
                        port.parked_since = tick;
                    }
                }
                Some(parcel) if tick.0.saturating_sub(since.0) > PATIENCE => {
                    self.drop_at(to, DropReason::Full);
                    self.finish(parcel);
                    self.drop_parked(to);
                    return false;
                }
                Some(parcel) => {
                    if let Some(port) = self.port_mut(to) {
                        port.parked.push_front(parcel);
                    }
                    return true;
                }
            }
        }
    }

    /// Drops what is parked at a port.
    fn drop_parked(&mut self, to: PortSlot) {
        let Some(port) = self.port_mut(to) else { return };
        for parcel in std::mem::take(&mut port.parked) {
            self.drop_at(to, DropReason::Full);
            self.finish(parcel);
        }
    }

    /// Takes the port's stack away, with its parked frames.
    pub(crate) fn detach_stack(&mut self, slot: PortSlot) {
        self.unpark(slot);
        self.flush();
        if let Some(port) = self.port_mut(slot) {
            port.stack = None;
        }
    }

    /// Before a port goes: nothing of it or for it stays parked.
    pub(super) fn unpark(&mut self, slot: PortSlot) {
        if self.parked.is_empty() {
            return;
        }
        self.drop_parked(slot);
        for to in self.parked.clone() {
            let Some(port) = self.port_mut(to) else { continue };
            let (of_it, others): (Vec<_>, Vec<_>) =
                std::mem::take(&mut port.parked).into_iter().partition(|it| it.from == slot);
            port.parked.extend(others);
            for parcel in of_it {
                self.drop_at(to, DropReason::Full);
                self.finish(parcel);
            }
        }
        self.parked.retain(|&to| to != slot);
    }

    /// Tells the sender of a parcel that it is gone.
    fn finish(&mut self, parcel: Parcel) {
        self.report_gone(parcel.from, parcel.sender, Return::of(parcel.frame));
    }

    fn report_gone(&mut self, from: PortSlot, sender: PortId, gone: Return) {
        let Some(Some(port)) = self.ports.get_mut(usize::from(from.0)) else { return };
        if let Some(stack) = port.stack.as_mut().filter(|_| port.id == sender) {
            stack.report_gone(gone);
            self.mark_dirty(from);
        }
    }

    /// Has a port flushed.
    #[inline]
    pub(super) fn mark_dirty(&mut self, slot: PortSlot) {
        let Some(Some(port)) = self.ports.get_mut(usize::from(slot.0)) else { return };
        if !port.dirty {
            port.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// A frame from another device for a stack: copied once.
    pub(super) fn deliver_stack(&mut self, to: PortSlot, frame: &Outgoing<'_>) {
        let Some(Some(port)) = self.ports.get_mut(usize::from(to.0)) else { return };
        let Some(stack) = &mut port.stack else { return };
        stack.collect(&mut self.pool);
        if stack.is_abandoned() {
            return port.counters.dropped(DropReason::NoDevice);
        }
        let length = frame.len();
        if length > StackFrame::MAX_LEN {
            return port.counters.dropped(DropReason::NoBuffer);
        }
        if !stack.has_room() {
            return port.counters.dropped(DropReason::Full);
        }
        let mut copy = self.pool.frame(length);
        frame.copy_to(copy.bytes_mut());
        copy.offload = frame.offload();
        match stack.push(copy, &mut self.pool) {
            Ok(()) => port.counters.transmitted(length),
            Err(copy) => {
                port.counters.dropped(DropReason::Full);
                if let Some(buffer) = Return::of(copy).buffer {
                    self.pool.rest(buffer);
                }
            }
        }
        self.mark_dirty(to);
    }
}
