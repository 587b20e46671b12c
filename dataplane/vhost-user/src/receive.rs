//! Frames from the front end: its transmit queue.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use shm::{Mapping, Payload};

use crate::bell::Bell;
use crate::chain::{Direction, collect};
use crate::features::Features;
use crate::memory::{MemoryTable, Place};
use crate::ring::{SplitRing, Used, used};
use crate::state::{LinkState, QueueFault};
use crate::{HEADER_LEN, MAX_FRAME};

/// Frames from the front end. `Send`; every method takes `&mut self`, so a queue has one user at a time.
#[derive(Debug)]
pub struct RxQueue {
    ring: SplitRing,
    memory: Arc<MemoryTable>,
    hint: u16,
    kick: OwnedFd,
    call: Option<Bell>,
    state: Arc<LinkState>,
    header_len: usize,
    /// The next buffer to take.
    next: u16,
    /// The front end's index when it was last loaded.
    peer: u16,
    pieces: Vec<Place>,
    taken: Vec<Taken>,
    done: Vec<Used>,
    /// A fault found behind frames that were still delivered.
    pending: Option<QueueFault>,
}

/// A buffer of the current batch.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// Where its pieces begin and end.
    pieces: (usize, usize),
    length: usize,
    header: [u8; HEADER_LEN],
}

impl RxQueue {
    pub(crate) fn new(
        ring: SplitRing,
        memory: Arc<MemoryTable>,
        features: Features,
        kick: OwnedFd,
        call: Option<OwnedFd>,
        state: Arc<LinkState>,
    ) -> Self {
        // Buffers are given back in the order in which they came, so nothing is ever taken beyond what was
        // given back: that is where an earlier back end stopped, whatever became of it.
        let next = ring.used_index();
        Self {
            ring,
            memory,
            hint: 0,
            kick,
            call: call.map(Bell::new),
            state,
            header_len: features.header_len(),
            next,
            peer: next,
            pieces: Vec::new(),
            taken: Vec::new(),
            done: Vec::new(),
            pending: None,
        }
    }

    /// Up to `max` frames; empty when none wait. Dropping the batch gives their buffers back and wakes
    /// the front end if it wants that.
    ///
    /// # Errors
    /// [`QueueFault`] when the connection is down or the front end broke the rules; frames before the
    /// bad buffer are delivered first.
    #[inline]
    pub fn batch(&mut self, max: usize) -> Result<RxBatch<'_>, QueueFault> {
        self.pieces.clear();
        self.taken.clear();
        self.done.clear();
        if let Some(fault) = self.pending {
            return Err(fault);
        }
        let available = usize::from(self.available(max)?).min(max);
        for at in (self.next..=u16::MAX).chain(0..=u16::MAX).take(available) {
            if let Err(fault) = self.take(at) {
                self.pending = Some(fault);
                if self.taken.is_empty() {
                    return Err(fault);
                }
                break;
            }
        }
        Ok(RxBatch { queue: self })
    }

    /// Buffers that wait, reloading the front end's index if the cached one does not cover `max`.
    #[inline]
    fn available(&mut self, max: usize) -> Result<u16, QueueFault> {
        let cached = self.peer.wrapping_sub(self.next);
        if usize::from(cached) >= max {
            return Ok(cached);
        }
        if !self.state.is_open() {
            return Err(QueueFault::Disconnected);
        }
        if self.memory.is_lost() {
            return Err(QueueFault::MemoryLost);
        }
        let peer = self.ring.available();
        let claimed = peer.wrapping_sub(self.next);
        if claimed > self.ring.size() {
            return Err(QueueFault::IndexOverrun { claimed, size: self.ring.size() });
        }
        self.peer = peer;
        Ok(claimed)
    }

    /// Takes the buffer that was offered at `index`.
    #[inline]
    fn take(&mut self, index: u16) -> Result<(), QueueFault> {
        let head = self.ring.head(index);
        let first = self.pieces.len();
        let direction = Direction::FromFrontEnd;
        let total =
            collect(&self.ring, &self.memory, &mut self.hint, head, direction, &mut self.pieces)?;
        let length = total.checked_sub(self.header_len).ok_or(QueueFault::ShortChain(total))?;
        if length > MAX_FRAME {
            return Err(QueueFault::LongFrame(length));
        }
        let (header, first) = self.split_header(first);
        self.taken.push(Taken { pieces: (first, self.pieces.len()), length, header });
        self.done.push(used(head, 0));
        Ok(())
    }

    /// Copies the header out of the pieces from `first` on, which begin with the frame afterwards.
    #[inline]
    fn split_header(&mut self, mut first: usize) -> ([u8; HEADER_LEN], usize) {
        let mut header = [0; HEADER_LEN];
        let mut copied = 0;
        while copied < self.header_len
            && let Some(piece) = self.pieces.get_mut(first)
        {
            let take = (piece.length as usize).min(self.header_len - copied);
            let mapping = self.memory.mapping(piece.region);
            // Checked when it was located.
            let _ = mapping.read(piece.offset, &mut header[copied..copied + take]);
            copied += take;
            piece.offset += take;
            #[expect(clippy::cast_possible_truncation, reason = "at most the header's length")]
            let taken = take as u32;
            piece.length -= taken;
            if piece.length == 0 {
                first += 1;
            }
        }
        (header, first)
    }

    /// Gives the buffers of the current batch back.
    #[inline]
    fn finish(&mut self) {
        let old = self.next;
        self.ring.write_used(old, &self.done);
        #[expect(clippy::cast_possible_truncation, reason = "at most the size of the ring")]
        let new = old.wrapping_add(self.done.len() as u16);
        self.next = new;
        if self.ring.publish(old, new)
            && let Some(call) = &mut self.call
        {
            call.ring();
        }
    }

    /// Asks the front end to wake this end; `false` when frames wait already.
    ///
    /// # Errors
    /// [`QueueFault`] when the connection is down.
    pub fn arm(&mut self) -> Result<bool, QueueFault> {
        if !self.state.is_open() {
            return Err(QueueFault::Disconnected);
        }
        Ok(self.ring.arm(self.next))
    }

    /// Tells the front end that this end polls.
    pub fn disarm(&mut self) {
        self.ring.disarm(self.next);
    }

    /// Entries of the ring.
    pub fn ring_size(&self) -> u16 {
        self.ring.size()
    }

    /// How often the front end was woken.
    pub fn calls(&self) -> u64 {
        self.call.as_ref().map_or(0, Bell::rings)
    }

    /// The connection that this queue belongs to.
    pub fn state(&self) -> &Arc<LinkState> {
        &self.state
    }
}

/// The eventfd that the front end writes while this queue is armed.
impl AsFd for RxQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kick.as_fd()
    }
}

/// Frames taken from a queue; dropping it gives their buffers back.
#[derive(Debug)]
pub struct RxBatch<'a> {
    queue: &'a mut RxQueue,
}

impl RxBatch<'_> {
    /// The frames, in order.
    #[inline]
    pub fn frames(&self) -> Frames<'_> {
        let RxQueue { memory, pieces, taken, .. } = &*self.queue;
        Frames { memory, pieces, taken, ahead: 0 }
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.taken.is_empty()
    }
}

impl Drop for RxBatch<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.queue.done.is_empty() {
            self.queue.finish();
        }
    }
}

/// The frames of a batch, in order.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    memory: &'a MemoryTable,
    pieces: &'a [Place],
    taken: &'a [Taken],
    ahead: usize,
}

impl Frames<'_> {
    /// Has the processor fetch the beginning of frames that come `frames` later.
    #[must_use]
    pub fn fetch_ahead(mut self, frames: usize) -> Self {
        self.ahead = frames;
        for taken in self.taken.iter().take(frames) {
            self.fetch(taken);
        }
        self
    }

    #[inline]
    fn fetch(&self, taken: &Taken) {
        if let Some(piece) = self.pieces.get(taken.pieces.0) {
            self.memory.mapping(piece.region).prefetch(piece.offset);
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        let (first, rest) = self.taken.split_first()?;
        if self.ahead > 0
            && let Some(later) = self.taken.get(self.ahead)
        {
            self.fetch(later);
        }
        self.taken = rest;
        let pieces = &self.pieces[first.pieces.0..first.pieces.1];
        Some(Frame { memory: self.memory, pieces, length: first.length, header: first.header })
    }
}

/// A received frame. Its bytes are still in the front end's memory, where they may change: copy what a
/// decision depends on, and decide on the copy.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    memory: &'a MemoryTable,
    pieces: &'a [Place],
    length: usize,
    header: [u8; HEADER_LEN],
}

impl Frame<'_> {
    /// Its length in bytes, without the header.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.length
    }

    /// The virtio-net header in front of it, a private copy.
    #[inline]
    pub fn header(&self) -> &[u8; HEADER_LEN] {
        &self.header
    }

    /// Copies as much as fits into `out`; returns the number of bytes.
    #[inline]
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let mut done = 0;
        for piece in self.pieces {
            let take = (piece.length as usize).min(out.len() - done);
            // Checked when it was located.
            let _ =
                self.memory.mapping(piece.region).read(piece.offset, &mut out[done..done + take]);
            done += take;
            if done == out.len() {
                break;
            }
        }
        done
    }

    /// A copy of the whole frame.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        self.copy_to(&mut bytes);
        bytes
    }
}

impl Payload for Frame<'_> {
    #[inline]
    fn payload_len(&self) -> usize {
        self.length
    }

    #[inline]
    fn copy_part(&self, offset: usize, target: &Mapping, target_offset: usize, length: usize) {
        let (mut skip, mut to, mut left) = (offset, target_offset, length);
        for piece in self.pieces {
            let size = piece.length as usize;
            if skip >= size {
                skip -= size;
                continue;
            }
            let take = (size - skip).min(left);
            let mapping = self.memory.mapping(piece.region);
            // Both ranges were checked when they were located.
            let _ = mapping.copy_to(piece.offset + skip, target, to, take);
            (skip, to, left) = (0, to + take, left - take);
            if left == 0 {
                return;
            }
        }
    }
}
