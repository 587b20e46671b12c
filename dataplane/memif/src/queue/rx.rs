//! Receiving.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::{IoSliceMut, ReadWriteFlags};

use super::guess::Guess;
use super::{
    Frames, LinkState, MAX_SEGMENTS, Regions, RingFault, Segment, Side, check_alive, check_range,
};
use crate::descriptor::Descriptor;
use crate::ring::Ring;

/// Frames from the peer. `Send`; every method takes `&mut self`, so a queue has one user at a time.
#[derive(Debug)]
pub struct RxQueue {
    ring: Ring,
    side: Side,
    regions: Regions,
    interrupt: OwnedFd,
    state: Arc<LinkState>,
    /// The next slot to read.
    next: u16,
    /// Slots before this one were given back to the peer.
    released: u16,
    /// The peer's index when it was last loaded.
    peer: u16,
    /// The slots of the current batch.
    segments: Vec<Segment>,
    /// Whether the current batch has frames of several slots.
    has_chains: bool,
    /// A fault found behind frames that were still delivered.
    pending_fault: Option<RingFault>,
    next_buffer: Guess,
}

/// What [`RxQueue::arm`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Armed {
    /// The ring is empty and the peer will write the eventfd: the caller may sleep. Towards senders
    /// without a fence (VPP, DPDK) the first sleep should be short, see [`shm::signal`].
    Sleep,
    /// Frames wait: the caller must not sleep.
    Ready,
}

impl RxQueue {
    pub(crate) fn new(
        ring: Ring,
        side: Side,
        regions: Regions,
        interrupt: OwnedFd,
        state: Arc<LinkState>,
    ) -> Self {
        let segments = Vec::with_capacity(256 + MAX_SEGMENTS);
        let mut queue = Self {
            ring,
            side,
            regions,
            interrupt,
            state,
            next: 0,
            released: 0,
            peer: 0,
            segments,
            has_chains: false,
            pending_fault: None,
            next_buffer: Guess::default(),
        };
        queue.post_all();
        queue
    }

    /// Client: offers every buffer of the ring to the server.
    fn post_all(&mut self) {
        if let Side::Client(_) = self.side {
            for slot in 0..self.ring.size() {
                self.repost(slot);
            }
            self.ring.head.store_release(self.ring.size());
        }
    }

    /// Up to `max` descriptors' worth of whole frames; empty when none wait. Dropping the batch
    /// gives its slots back, in the ring's own time.
    ///
    /// # Errors
    /// [`RingFault`] when the link is down or the peer broke the rules; frames before the bad
    /// descriptor are delivered first.
    #[inline]
    pub fn batch(&mut self, max: usize) -> Result<RxBatch<'_>, RingFault> {
        self.segments.clear();
        if let Some(fault) = self.pending_fault {
            return Err(fault);
        }
        let available = self.available(max)?;
        if available > 0 {
            self.collect(available, max)?;
        }
        Ok(RxBatch { queue: self })
    }

    /// Slots with frames, reloading the peer's index if the cached one does not cover `max`.
    #[inline]
    fn available(&mut self, max: usize) -> Result<u16, RingFault> {
        let cached = self.peer.wrapping_sub(self.next);
        if usize::from(cached) >= max {
            return Ok(cached);
        }
        check_alive(&self.state, &self.regions)?;
        let index = match self.side {
            Side::Client(_) => &self.ring.tail,
            Side::Server => &self.ring.head,
        };
        let peer = index.load_acquire();
        let claimed = peer.wrapping_sub(self.released);
        if claimed > self.ring.size() {
            return Err(RingFault::IndexOverrun { claimed, size: self.ring.size() });
        }
        let available = peer.wrapping_sub(self.next);
        if available > self.ring.size() {
            return Err(RingFault::IndexOverrun { claimed: available, size: self.ring.size() });
        }
        self.peer = peer;
        if available == 0 {
            self.release();
        } else {
            self.next_buffer.fetch(&self.regions);
        }
        Ok(available)
    }

    /// Loads and checks descriptors until `max` is reached at the end of a frame, or the ring ends.
    #[inline]
    fn collect(&mut self, available: u16, max: usize) -> Result<(), RingFault> {
        let mut whole = 0;
        let mut chain = 0;
        for i in 0..available {
            let slot = self.next.wrapping_add(i);
            let segment = match self.load(slot) {
                Ok(segment) => segment,
                Err(fault) => return self.stop_at(fault, whole),
            };
            self.segments.push(segment);
            chain += 1;
            if segment.chained {
                self.has_chains = true;
                if chain == MAX_SEGMENTS {
                    return self.stop_at(RingFault::LongChain, whole);
                }
                continue;
            }
            chain = 0;
            whole = self.segments.len();
            if whole >= max {
                break;
            }
        }
        if whole == 0 {
            if available == self.ring.size() {
                return Err(RingFault::EndlessChain);
            }
            // Look at the peer's index again next time, whatever the cached one promises.
            self.peer = self.next;
        }
        // What is left is the beginning of a frame that the peer has not finished.
        self.segments.truncate(whole);
        Ok(())
    }

    /// Keeps the frames before a fault; the fault itself comes with the next call.
    #[cold]
    fn stop_at(&mut self, fault: RingFault, whole: usize) -> Result<(), RingFault> {
        self.segments.truncate(whole);
        self.pending_fault = Some(fault);
        if whole == 0 { Err(fault) } else { Ok(()) }
    }

    #[inline]
    fn load(&self, slot: u16) -> Result<Segment, RingFault> {
        let Descriptor { chained, region, length, offset } =
            Descriptor::decode(self.ring.cells.load(slot));
        if length == 0 {
            return Err(RingFault::EmptyDescriptor);
        }
        match self.side {
            Side::Server => {
                check_range(&self.regions, region, offset, length)?;
                Ok(Segment { region, chained, offset, length })
            }
            Side::Client(own) if length > own.capacity => {
                Err(RingFault::Oversize { length, capacity: own.capacity })
            }
            Side::Client(own) => {
                Ok(Segment { region: 0, chained, offset: own.offset(slot), length })
            }
        }
    }

    /// Takes the slots of the current batch as read. The peer learns of it in quarters of the ring,
    /// or when a poll finds nothing: its cache line then moves seldom.
    #[inline]
    fn consume(&mut self) {
        #[expect(clippy::cast_possible_truncation, reason = "no more than the ring has slots")]
        let count = self.segments.len() as u16;
        match self.side {
            Side::Client(_) => {
                for i in 0..count {
                    self.repost(self.next.wrapping_add(i));
                }
            }
            Side::Server if self.has_chains => self.unchain(),
            Side::Server => {}
        }
        self.next = self.next.wrapping_add(count);
        if let Some(last) = self.segments.last() {
            self.next_buffer.learn(last);
        }
        self.segments.clear();
        if self.next.wrapping_sub(self.released) >= self.ring.size() / 4 {
            self.release();
        }
    }

    /// Server: clears the flag that chains slots. DPDK before 26.03 sets it when it sends a long frame
    /// and never clears it, so on the next lap two of its frames would become one.
    #[cold]
    fn unchain(&mut self) {
        self.has_chains = false;
        for (slot, segment) in (0u16..).zip(&self.segments) {
            if segment.chained {
                let Segment { region, offset, length, .. } = *segment;
                let single = Descriptor { chained: false, region, length, offset };
                self.ring.cells.store_low(self.next.wrapping_add(slot), single.low_word());
            }
        }
    }

    /// Client: makes a slot an empty buffer again. Length and flags are written anew: DPDK before
    /// 26.03 leaves NEXT set from former laps.
    #[inline]
    fn repost(&self, slot: u16) {
        if let Side::Client(own) = self.side {
            let empty = Descriptor {
                chained: false,
                region: 0,
                length: own.capacity,
                offset: own.offset(slot),
            };
            self.ring.cells.store(slot, empty.encode());
        }
    }

    /// Gives all read slots back to the peer now. [`RxQueue::batch`] and [`RxQueue::arm`] do it by
    /// themselves; a caller that stops polling without arming calls it.
    #[inline]
    pub fn release(&mut self) {
        if self.released == self.next {
            return;
        }
        self.released = self.next;
        match self.side {
            Side::Client(_) => {
                self.ring.head.store_release(self.next.wrapping_add(self.ring.size()));
            }
            Side::Server => self.ring.tail.store_release(self.next),
        }
    }

    /// Asks the peer for interrupts, unless frames wait already.
    ///
    /// # Errors
    /// [`RingFault`] when the link is down.
    pub fn arm(&mut self) -> Result<Armed, RingFault> {
        check_alive(&self.state, &self.regions)?;
        self.release();
        let index = match self.side {
            Side::Client(_) => &self.ring.tail,
            Side::Server => &self.ring.head,
        };
        Ok(if shm::signal::arm(index, &self.ring.flags, self.next) {
            Armed::Sleep
        } else {
            Armed::Ready
        })
    }

    /// Tells the peer that this end polls: no more interrupts.
    pub fn disarm(&mut self) {
        shm::signal::disarm(&self.ring.flags);
    }

    /// Whether frames wait, without taking any.
    #[inline]
    pub fn has_frames(&self) -> bool {
        let index = match self.side {
            Side::Client(_) => &self.ring.tail,
            Side::Server => &self.ring.head,
        };
        index.load_acquire() != self.next
    }

    /// Reads the eventfd empty, for callers that wait for its level. Never blocks, whatever the
    /// peer, who shares the open file, made of its flags.
    ///
    /// # Errors
    /// What the kernel answers, an empty eventfd excepted.
    pub fn clear_interrupt(&mut self) -> std::io::Result<()> {
        let mut counter = [0; 8];
        let mut parts = [IoSliceMut::new(&mut counter)];
        let current_position = u64::MAX;
        match rustix::io::preadv2(
            &self.interrupt,
            &mut parts,
            current_position,
            ReadWriteFlags::NOWAIT,
        ) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Slots of the ring.
    pub fn ring_size(&self) -> u16 {
        self.ring.size()
    }

    /// The link that this queue belongs to.
    pub fn state(&self) -> &Arc<LinkState> {
        &self.state
    }
}

/// The eventfd that the peer writes while this queue is armed.
impl AsFd for RxQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.interrupt.as_fd()
    }
}

/// Frames taken from a queue; dropping it gives their slots back.
#[derive(Debug)]
pub struct RxBatch<'a> {
    queue: &'a mut RxQueue,
}

impl RxBatch<'_> {
    /// The frames, in order.
    #[inline]
    pub fn frames(&self) -> Frames<'_> {
        Frames::new(&self.queue.regions, &self.queue.segments)
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.segments.is_empty()
    }

    /// Slots in use, at least the number of frames.
    #[inline]
    pub fn slots(&self) -> usize {
        self.queue.segments.len()
    }
}

impl Drop for RxBatch<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.queue.segments.is_empty() {
            self.queue.consume();
        }
    }
}
