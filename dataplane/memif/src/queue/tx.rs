//! Sending.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use shm::{Mapping, Payload};

use super::guess::Guess;
use super::posted::{CELLS_IN_LINE, Posted};
use super::{
    Frame, LinkState, MAX_SEGMENTS, Regions, RingFault, Segment, Side, check_alive, check_range,
};
use crate::descriptor::Descriptor;
use crate::ring::Ring;

/// Frames to the peer. `Send`; every method takes `&mut self`, so a queue has one user at a time.
#[derive(Debug)]
pub struct TxQueue {
    ring: Ring,
    side: Side,
    regions: Regions,
    interrupt: OwnedFd,
    state: Arc<LinkState>,
    /// The next slot to fill.
    next: u16,
    /// Slots before this one were published.
    published: u16,
    /// The peer's index when it was last loaded.
    peer: u16,
    /// First words of the descriptors of the slots that are filled and not yet published.
    staged: Vec<u64>,
    next_buffer: Guess,
    posted: Posted,
    kicks: u64,
}

/// Slots between the one that is being filled and the one whose buffer and descriptor the processor fetches: the
/// receiver has those lines, and may be some hundreds of nanoseconds away.
const FETCH_AHEAD: u16 = 16;

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TxError {
    /// The ring has no room now. memif has no signal for room: poll, or try again after a while.
    #[error("the ring is full")]
    Full,
    /// The frame has no bytes, or would need more than [`MAX_SEGMENTS`] of the peer's buffers.
    #[error("a frame of {0} bytes does not fit into the peer's buffers")]
    Length(usize),
    /// The link is down or the peer broke the rules.
    #[error(transparent)]
    Fault(#[from] RingFault),
}

impl Payload for Frame<'_> {
    #[inline]
    fn payload_len(&self) -> usize {
        self.len()
    }

    #[inline]
    fn copy_part(&self, offset: usize, target: &Mapping, target_offset: usize, length: usize) {
        let (mut skip, mut to, mut left) = (offset, target_offset, length);
        for segment in self.segments() {
            let size = segment.length as usize;
            if skip >= size {
                skip -= size;
                continue;
            }
            let take = (size - skip).min(left);
            // Both ranges were checked when they were loaded.
            let _ = self.mapping(segment).copy_to(segment.offset as usize + skip, target, to, take);
            (skip, to, left) = (0, to + take, left - take);
            if left == 0 {
                return;
            }
        }
    }
}

/// A frame whose first bytes were copied and decided on: those bytes are sent as they were decided
/// on, the rest goes straight from the sender's memory to the receiver's.
#[derive(Debug, Clone, Copy)]
struct Snapshot<'a> {
    header: &'a [u8],
    frame: &'a Frame<'a>,
}

impl Payload for Snapshot<'_> {
    #[inline]
    fn payload_len(&self) -> usize {
        self.frame.len()
    }

    #[inline]
    fn copy_part(&self, offset: usize, target: &Mapping, target_offset: usize, length: usize) {
        let fixed = self.header.len().saturating_sub(offset).min(length);
        if fixed > 0 {
            self.header.copy_part(offset, target, target_offset, fixed);
        }
        if length > fixed {
            self.frame.copy_part(offset + fixed, target, target_offset + fixed, length - fixed);
        }
    }
}

impl TxQueue {
    pub(crate) fn new(
        ring: Ring,
        side: Side,
        regions: Regions,
        interrupt: OwnedFd,
        state: Arc<LinkState>,
    ) -> Self {
        if let Side::Client(own) = side {
            for slot in 0..ring.size() {
                let empty =
                    Descriptor { chained: false, region: 0, length: 0, offset: own.offset(slot) };
                ring.cells.store(slot, empty.encode());
            }
        }
        let staged = Vec::with_capacity(usize::from(ring.size()));
        Self {
            ring,
            side,
            regions,
            interrupt,
            state,
            next: 0,
            published: 0,
            peer: 0,
            staged,
            next_buffer: Guess::default(),
            posted: Posted::default(),
            kicks: 0,
        }
    }

    /// Copies a frame into the ring. The peer sees it after [`TxQueue::flush`].
    ///
    /// # Errors
    /// [`TxError`]; nothing was taken then.
    #[inline]
    pub fn push<P: Payload + ?Sized>(&mut self, frame: &P) -> Result<(), TxError> {
        let length = frame.payload_len();
        let first = self.buffer(self.next)?;
        self.fetch_ahead(&first);
        if (1..=first.length as usize).contains(&length) {
            let target = &self.regions[usize::from(first.region)];
            frame.copy_part(0, target, first.offset as usize, length);
            #[expect(clippy::cast_possible_truncation, reason = "at most the buffer's u32 length")]
            self.fill(Segment { length: length as u32, ..first });
            return Ok(());
        }
        self.push_chained(frame, length)
    }

    /// Sends a received frame on: `header` replaces its first bytes (it is the copy that the
    /// decision was made on), the rest is copied once, from slot to slot.
    ///
    /// # Errors
    /// [`TxError`]; nothing was taken then.
    #[inline]
    pub fn forward(&mut self, header: &[u8], frame: &Frame<'_>) -> Result<(), TxError> {
        self.push(&Snapshot { header, frame })
    }

    /// A frame that needs several buffers.
    #[inline(never)]
    fn push_chained<P: Payload + ?Sized>(
        &mut self,
        frame: &P,
        length: usize,
    ) -> Result<(), TxError> {
        let mut parts = [Segment::default(); MAX_SEGMENTS];
        let (mut count, mut placed) = (0, 0);
        while placed < length || count == 0 {
            if count == MAX_SEGMENTS || length == 0 {
                return Err(TxError::Length(length));
            }
            #[expect(clippy::cast_possible_truncation, reason = "below MAX_SEGMENTS")]
            let mut part = self.buffer(self.next.wrapping_add(count as u16))?;
            let take = (part.length as usize).min(length - placed);
            #[expect(clippy::cast_possible_truncation, reason = "at most the buffer's u32 length")]
            let taken = take as u32;
            part.length = taken;
            part.chained = placed + take < length;
            parts[count] = part;
            placed += take;
            count += 1;
        }
        let mut offset = 0;
        for part in &parts[..count] {
            let target = &self.regions[usize::from(part.region)];
            frame.copy_part(offset, target, part.offset as usize, part.length as usize);
            offset += part.length as usize;
            self.fill(*part);
        }
        Ok(())
    }

    /// The empty buffer of a slot, checked.
    #[expect(clippy::inline_always, reason = "a call for each frame took a third of the rate")]
    #[inline(always)]
    fn buffer(&mut self, slot: u16) -> Result<Segment, TxError> {
        if !self.is_free(slot) {
            self.reload()?;
            if !self.is_free(slot) {
                return Err(TxError::Full);
            }
        }
        match self.side {
            Side::Client(own) => Ok(Segment {
                region: 0,
                chained: false,
                offset: own.offset(slot),
                length: own.capacity,
            }),
            Side::Server => {
                let free = self.peer.wrapping_sub(slot);
                let posted = self.posted.get(&self.ring, slot, free);
                if posted.length == 0 {
                    return Err(RingFault::EmptyDescriptor.into());
                }
                check_range(&self.regions, posted.region, posted.offset, posted.length)?;
                Ok(Segment {
                    region: posted.region,
                    chained: false,
                    offset: posted.offset,
                    length: posted.length,
                })
            }
        }
    }

    /// Whether a slot is free by the cached view of the peer's index.
    #[inline]
    fn is_free(&self, slot: u16) -> bool {
        match self.side {
            // `peer` is the tail: what the server has read.
            Side::Client(_) => slot.wrapping_sub(self.peer) < self.ring.size(),
            // `peer` is the head: what the client has posted.
            Side::Server => {
                let left = self.peer.wrapping_sub(slot);
                left != 0 && left <= self.ring.size()
            }
        }
    }

    #[cold]
    fn reload(&mut self) -> Result<(), RingFault> {
        check_alive(&self.state, &self.regions)?;
        let size = self.ring.size();
        match self.side {
            Side::Client(_) => {
                let tail = self.ring.tail.load_acquire();
                let unread = self.published.wrapping_sub(tail);
                if unread > size {
                    return Err(RingFault::IndexOverrun { claimed: unread, size });
                }
                self.peer = tail;
            }
            Side::Server => {
                let head = self.ring.head.load_acquire();
                let posted = head.wrapping_sub(self.published);
                if posted > size {
                    return Err(RingFault::IndexOverrun { claimed: posted, size });
                }
                self.peer = head;
            }
        }
        Ok(())
    }

    /// Has the processor fetch, for writing, what will be written some slots later; never a slot that the
    /// receiver may still be reading. Where a client's buffers are is guessed, but not beyond the end of its ring, where
    /// the next ones are anywhere.
    #[expect(clippy::inline_always, reason = "as for `buffer`")]
    #[inline(always)]
    fn fetch_ahead(&mut self, current: &Segment) {
        let later = self.next.wrapping_add(FETCH_AHEAD);
        if let Side::Server = self.side {
            self.next_buffer.learn(current);
        }
        if !self.is_free(later) {
            return;
        }
        let mask = self.ring.size() - 1;
        match self.side {
            Side::Client(own) => self.regions[0].prefetch_write(own.offset(later) as usize),
            Side::Server if later & mask > self.next & mask => {
                self.next_buffer.fetch_for_writing(&self.regions, FETCH_AHEAD);
            }
            Side::Server => {}
        }
        if later.is_multiple_of(CELLS_IN_LINE) {
            self.ring.cells.prefetch_write(later);
        }
    }

    /// Fills the next slot, which [`TxQueue::flush`] makes visible.
    #[inline]
    fn fill(&mut self, segment: Segment) {
        let Segment { chained, region, length, offset } = segment;
        self.staged.push(Descriptor { chained, region, length, offset }.low_word());
        self.next = self.next.wrapping_add(1);
    }

    /// Writes the staged descriptors in one go. Four of them share a cache line, and a receiver that
    /// is close behind (or its prefetcher) takes that line away between two writes that are far apart.
    /// The offsets are there already: a client wrote its own at the start, and a server leaves the
    /// client's.
    #[inline]
    fn write_descriptors(&mut self) {
        for (i, &low) in (0u16..).zip(&self.staged) {
            self.ring.cells.store_low(self.published.wrapping_add(i), low);
        }
        self.staged.clear();
    }

    /// Publishes what was pushed and wakes the peer if it sleeps. Without frames it does nothing.
    ///
    /// # Errors
    /// [`RingFault::Disconnected`] when the link is down.
    #[inline]
    pub fn flush(&mut self) -> Result<(), RingFault> {
        if self.next == self.published {
            return Ok(());
        }
        self.write_descriptors();
        self.published = self.next;
        let index = match self.side {
            Side::Client(_) => &self.ring.head,
            Side::Server => &self.ring.tail,
        };
        if shm::signal::publish(index, &self.ring.flags, self.next) {
            self.kick();
        }
        if self.state.is_open() { Ok(()) } else { Err(RingFault::Disconnected) }
    }

    /// Frames (more exactly: slots) pushed and not yet published.
    pub fn unpublished(&self) -> u16 {
        self.next.wrapping_sub(self.published)
    }

    /// Slots that the peer has not given back yet: 0 when it has read everything. A client that has
    /// not yet posted its buffers owes its server all slots; DPDK in zero-copy mode always owes a few.
    ///
    /// # Errors
    /// [`RingFault`] when the link is down or the peer's index makes no sense.
    pub fn in_flight(&mut self) -> Result<u16, RingFault> {
        self.reload()?;
        Ok(match self.side {
            Side::Client(_) => self.published.wrapping_sub(self.peer),
            Side::Server => self.ring.size() - self.peer.wrapping_sub(self.published),
        })
    }

    /// How often the peer was woken.
    pub fn kicks(&self) -> u64 {
        self.kicks
    }

    /// Writes the eventfd. The peer shares the open file and could make a write block by filling the
    /// counter and clearing `O_NONBLOCK`, so it is written only when the kernel says that it takes it;
    /// a counter that is full wakes the peer anyway.
    #[cold]
    fn kick(&mut self) {
        self.kicks += 1;
        let now = Timespec::try_from(Duration::ZERO).ok();
        let mut fds = [PollFd::new(&self.interrupt, PollFlags::OUT)];
        let writable = rustix::event::poll(&mut fds, now.as_ref()).is_ok_and(|ready| ready > 0);
        if writable {
            let _ = rustix::io::write(&self.interrupt, &1u64.to_ne_bytes());
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

/// The eventfd by which this queue wakes the peer.
impl AsFd for TxQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.interrupt.as_fd()
    }
}
