//! The wake-up protocol of one side: who wants a token, who waits for room. See the crate's documentation.

use core::sync::atomic::{Ordering, fence};

use crate::{Broken, Stream};

/// The writer asks to be made writable when there is room.
const ARMED: u32 = 1;

/// As [`ARMED`], and the tokens that make its socket unwritable were sent.
const FILLED: u32 = 2;

/// What a writer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Room for a byte: a blocked write goes on with whatever there is.
    Any,
    /// As much as `poll` calls writable, see [`Stream::is_roomy`].
    Ample,
}

impl Stream<'_> {
    /// Whether there is as much room as `poll` calls writable: a third of the ring, so that a block that
    /// was announced as possible fits. Linux says so of TCP when what is free is at least half of
    /// what is queued (`sk_stream_is_writeable` in `include/net/sock.h`, Linux 6.18).
    ///
    /// # Errors
    /// As [`writable`](Self::writable).
    #[inline]
    pub fn is_roomy(&self) -> Result<bool, Broken> {
        Ok(self.is_ample(self.writable()?))
    }

    /// Whether so many free bytes are [ample](Room::Ample).
    #[inline]
    pub(crate) const fn is_ample(&self, free: usize) -> bool {
        free >= (self.ring_bytes() - free) / 2
    }

    /// Whether so many bytes that wait leave the peer's writer less than [ample](Room::Ample) room.
    #[inline]
    pub const fn is_crowded(&self, waiting: usize) -> bool {
        !self.is_ample(self.ring_bytes().saturating_sub(waiting))
    }

    /// Asks for a token when the peer writes, then reports whether its tail is still `seen` and it
    /// did not end the stream. When it returns `false` there is news, and the caller must not sleep.
    /// That the peer says it is gone is none: its socket's end wakes the sleeper, and a peer that only
    /// says so would keep the caller busy for ever.
    ///
    /// # Errors
    /// Never for a session that [`new`](Self::new) made.
    pub fn arm_reader(&self, seen: u64) -> Result<bool, Broken> {
        self.word32(self.into.reader_armed())?.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Ok(self.seen()? == seen && !self.peer_ended())
    }

    /// Says that no token is wanted: the reader looks at the ring by itself.
    pub fn disarm_reader(&self) {
        if let Ok(word) = self.word32(self.into.reader_armed())
            && word.load(Ordering::Relaxed) != 0
        {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Asks to be made writable when there is room, then reports whether there is less than `wanted`.
    /// When it returns `false` the caller must not sleep.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn arm_writer(&self, wanted: Room) -> Result<bool, Broken> {
        // Tokens that are in place stay known.
        self.word32(self.out.writer_armed())?.fetch_max(ARMED, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let room = self.writable()?;
        Ok(match wanted {
            Room::Any => room == 0,
            Room::Ample => !self.is_ample(room),
        })
    }

    /// Notes that the tokens were sent, and tells whether nobody made room since
    /// [`arm_writer`](Self::arm_writer). The reader disarms before it drains, so that a `true` means
    /// that the tokens are still there or will be drained.
    ///
    /// # Errors
    /// Never for a session that [`new`](Self::new) made.
    pub fn note_filled(&self) -> Result<bool, Broken> {
        let word = self.word32(self.out.writer_armed())?;
        let noted = word.compare_exchange(ARMED, FILLED, Ordering::AcqRel, Ordering::Acquire);
        Ok(!matches!(noted, Err(0)))
    }

    /// Notes that the own socket was seen to be writable: tokens that were in place are not any more.
    pub fn note_drained(&self) {
        if let Ok(word) = self.word32(self.out.writer_armed()) {
            // Nothing to do when the reader disarmed this side, as it should.
            let _ = word.compare_exchange(FILLED, ARMED, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Whether the tokens that keep the own socket unwritable are in place, and will be drained when
    /// there is ample room.
    ///
    /// # Errors
    /// Never for a session that [`new`](Self::new) made.
    pub fn is_filled(&self) -> Result<bool, Broken> {
        Ok(self.word32(self.out.writer_armed())?.load(Ordering::Acquire) == FILLED)
    }

    /// Whether nobody made room since [`arm_writer`](Self::arm_writer).
    #[cfg(test)]
    pub(crate) fn writer_is_armed(&self) -> Result<bool, Broken> {
        Ok(self.word32(self.out.writer_armed())?.load(Ordering::Acquire) != 0)
    }

    /// Whether the tokens in the own socket keep the peer's writer asleep and must stay: it said that it
    /// waits, and has no ample room yet.
    pub fn must_keep_tokens(&self) -> bool {
        self.word32(self.into.writer_armed()).is_ok_and(|it| it.load(Ordering::Acquire) != 0)
            && self.readable().is_ok_and(|it| self.is_crowded(it))
    }
}
