//! Frames to the front end: its receive queue.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use shm::Payload;

use crate::HEADER_LEN;
use crate::bell::Bell;
use crate::chain::{Direction, collect};
use crate::features::Features;
use crate::memory::{MemoryTable, Place};
use crate::ring::{SplitRing, Used, used};
use crate::state::{LinkState, QueueFault};

/// Pieces of the front end's buffers that one frame may take. A front end whose buffers are in more could
/// make each frame cost what it likes.
const MAX_PIECES: usize = 256;

/// Frames to the front end. `Send`; every method takes `&mut self`, so a queue has one user at a time.
#[derive(Debug)]
pub struct TxQueue {
    ring: SplitRing,
    memory: Arc<MemoryTable>,
    hint: u16,
    call: Option<Bell>,
    state: Arc<LinkState>,
    features: Features,
    header_len: usize,
    /// The next buffer to fill.
    next: u16,
    /// Buffers before this one were published.
    published: u16,
    /// The front end's index when it was last loaded.
    peer: u16,
    /// What was filled and not yet published.
    filled: Vec<Used>,
    /// Of the frame under way: the pieces of its buffers, and each buffer's first descriptor and capacity.
    pieces: Vec<Place>,
    buffers: Vec<(u16, usize)>,
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TxError {
    /// The front end has no buffer left.
    #[error("the front end has no buffer left")]
    Full,
    /// The frame does not fit into the front end's buffers.
    #[error("a frame of {0} bytes does not fit into the front end's buffers")]
    Length(usize),
    /// The connection is down or the front end broke the rules.
    #[error(transparent)]
    Fault(#[from] QueueFault),
}

impl TxQueue {
    pub(crate) fn new(
        ring: SplitRing,
        memory: Arc<MemoryTable>,
        features: Features,
        call: Option<OwnedFd>,
        state: Arc<LinkState>,
    ) -> Self {
        // As for received frames: everything before was given back.
        let next = ring.used_index();
        // That there are new buffers is seen when one is needed.
        ring.disarm(next);
        Self {
            ring,
            memory,
            hint: 0,
            call: call.map(Bell::new),
            state,
            features,
            header_len: features.header_len(),
            next,
            published: next,
            peer: next,
            filled: Vec::new(),
            pieces: Vec::new(),
            buffers: Vec::new(),
        }
    }

    /// Copies a frame into the front end's buffers, behind `header`, whose number of buffers is filled in. The
    /// front end sees it after [`TxQueue::flush`].
    ///
    /// # Errors
    /// [`TxError`]; nothing was taken then.
    #[inline]
    pub fn push<P: Payload + ?Sized>(
        &mut self,
        header: &[u8; HEADER_LEN],
        frame: &P,
    ) -> Result<(), TxError> {
        let length = frame.payload_len();
        self.gather(self.header_len + length, length)?;
        let mut header = *header;
        #[expect(clippy::cast_possible_truncation, reason = "at most the size of the ring")]
        let count = self.buffers.len() as u16;
        header[HEADER_LEN - 2..].copy_from_slice(&count.to_le_bytes());
        match self.pieces[..] {
            [only] => {
                let mapping = self.memory.mapping(only.region);
                // Located, and long enough as `gather` found.
                let _ = mapping.write(only.offset, &header[..self.header_len]);
                frame.copy_part(0, mapping, only.offset + self.header_len, length);
            }
            _ => self.scatter(&header[..self.header_len], frame),
        }
        let mut left = self.header_len + length;
        for &(head, capacity) in &self.buffers {
            let written = left.min(capacity);
            left -= written;
            #[expect(clippy::cast_possible_truncation, reason = "at most a frame with its header")]
            self.filled.push(used(head, written as u32));
        }
        self.next = self.next.wrapping_add(count);
        Ok(())
    }

    /// Takes buffers for `need` bytes: one, or several where these may be merged.
    #[inline]
    fn gather(&mut self, need: usize, length: usize) -> Result<(), TxError> {
        self.pieces.clear();
        self.buffers.clear();
        let mut capacity = 0;
        let mut slot = self.next;
        while capacity < need || self.buffers.is_empty() {
            let more = self.buffers.is_empty() || self.features.merged_buffers();
            if !more || self.pieces.len() >= MAX_PIECES || self.is_whole_ring() {
                return Err(TxError::Length(length));
            }
            self.expect_offered(slot)?;
            let head = self.ring.head(slot);
            let size = collect(
                &self.ring,
                &self.memory,
                &mut self.hint,
                head,
                Direction::ToFrontEnd,
                &mut self.pieces,
            )?;
            let least = if self.buffers.is_empty() { self.header_len } else { 1 };
            if size < least {
                return Err(QueueFault::ShortChain(size).into());
            }
            self.buffers.push((head, size));
            capacity += size;
            slot = slot.wrapping_add(1);
        }
        Ok(())
    }

    fn is_whole_ring(&self) -> bool {
        self.buffers.len() >= usize::from(self.ring.size())
    }

    /// Fails when the front end offers no buffer at `slot`.
    #[inline]
    fn expect_offered(&mut self, slot: u16) -> Result<(), TxError> {
        if slot.wrapping_sub(self.next) < self.peer.wrapping_sub(self.next) {
            return Ok(());
        }
        if !self.state.is_open() {
            return Err(QueueFault::Disconnected.into());
        }
        if self.memory.is_lost() {
            return Err(QueueFault::MemoryLost.into());
        }
        let peer = self.ring.available();
        let claimed = peer.wrapping_sub(self.published);
        if claimed > self.ring.size() || claimed < self.next.wrapping_sub(self.published) {
            return Err(QueueFault::IndexOverrun { claimed, size: self.ring.size() }.into());
        }
        self.peer = peer;
        let offered = slot.wrapping_sub(self.next) < peer.wrapping_sub(self.next);
        if offered { Ok(()) } else { Err(TxError::Full) }
    }

    /// Copies header and frame over several pieces.
    fn scatter<P: Payload + ?Sized>(&self, header: &[u8], frame: &P) {
        let total = header.len() + frame.payload_len();
        let mut done = 0;
        for piece in &self.pieces {
            let take = (piece.length as usize).min(total - done);
            let mapping = self.memory.mapping(piece.region);
            let of_header = header.len().saturating_sub(done).min(take);
            if of_header > 0 {
                // Checked when it was located.
                let _ = mapping.write(piece.offset, &header[done..done + of_header]);
            }
            if take > of_header {
                let from = done + of_header - header.len();
                frame.copy_part(from, mapping, piece.offset + of_header, take - of_header);
            }
            done += take;
            if done == total {
                return;
            }
        }
    }

    /// Publishes what was pushed, at once, and wakes the front end if it wants that. Without frames it
    /// does nothing.
    ///
    /// # Errors
    /// [`QueueFault::Disconnected`] when the connection is down.
    #[inline]
    pub fn flush(&mut self) -> Result<(), QueueFault> {
        if self.filled.is_empty() {
            return Ok(());
        }
        self.ring.write_used(self.published, &self.filled);
        self.filled.clear();
        let old = self.published;
        self.published = self.next;
        if self.ring.publish(old, self.next)
            && let Some(call) = &mut self.call
        {
            call.ring();
        }
        if self.state.is_open() { Ok(()) } else { Err(QueueFault::Disconnected) }
    }

    /// What was agreed on: which frames the front end takes unfinished.
    #[inline]
    pub fn features(&self) -> Features {
        self.features
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
