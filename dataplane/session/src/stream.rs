//! One side of a session.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use shm::{Mapping, OutOfBounds};

use crate::Local;
use crate::copying::Way;
use crate::layout::{Direction, MAGIC, Place, RingSize, Side, VERSION};

/// Tokens that make a socket unwritable whose send buffer has the smallest size (`SO_SNDBUF` 0, which
/// the kernel raises to 4608 bytes: Linux 6.18 `unix_writable` compares four times what is queued). Each side
/// gives its own socket that size before it sends them for the first time.
pub const FILL_TOKENS: usize = 2;

/// Bytes after which a long copy is published, so that both sides work at the same time and what
/// was copied is still in the cache when the other side wants it.
const CHUNK: usize = 32 << 10;

/// The peer broke the rules of the shared memory; the session cannot go on. It counts as reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer wrote positions to the session's memory that cannot be")]
pub struct Broken;

impl From<OutOfBounds> for Broken {
    fn from(_: OutOfBounds) -> Self {
        Self
    }
}

/// The outcome of a copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Moved {
    /// Bytes copied; zero when there were none, or no room.
    pub bytes: usize,
    /// After a write: send the peer one token. After a read: drain the tokens of the own socket.
    pub wake: bool,
}

/// One side of a session: its view of the shared memory, and its own positions.
///
/// Any number of threads may look, arm and disarm; reading is for one at a time, and so is writing
/// (the locks in [`Local`] are for that). Breaking that rule garbles bytes, not memory.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'a> {
    mapping: &'a Mapping,
    pub(crate) local: &'a Local,
    pub(crate) out: Direction,
    pub(crate) into: Direction,
    size: RingSize,
}

impl<'a> Stream<'a> {
    /// `side` of the session at `place` of `mapping`.
    ///
    /// # Errors
    /// [`Broken`] when the memory is too short for its places.
    #[inline]
    pub fn new(
        mapping: &'a Mapping,
        local: &'a Local,
        side: Side,
        place: impl Into<Place>,
    ) -> Result<Self, Broken> {
        let place = place.into();
        if mapping.len() < place.memory_bytes() {
            return Err(Broken);
        }
        let out = Direction::from(side, place);
        let into = Direction::from(side.other(), place);
        Ok(Self { mapping, local, out, into, size: place.ring_size() })
    }

    /// Whether the header at `place` is one of this version with rings of its size.
    ///
    /// # Errors
    /// [`Broken`] when it is not.
    pub fn check_header(mapping: &Mapping, place: impl Into<Place>) -> Result<(), Broken> {
        let place = place.into();
        let header = mapping.read_array::<16>(place.offset())?;
        let magic = header[..8] == MAGIC.to_ne_bytes();
        let version = header[8..12] == VERSION.to_ne_bytes();
        if magic && version && header[12..] == place.ring_size().get().to_ne_bytes() {
            Ok(())
        } else {
            Err(Broken)
        }
    }

    /// Takes the own positions from shared memory, for a process that was given the session without
    /// what the former holder kept. Nobody else may use the side meanwhile.
    ///
    /// # Errors
    /// [`Broken`] when they cannot be.
    pub fn adopt_positions(&self) -> Result<(), Broken> {
        let head = self.word64(self.into.head())?.load(Ordering::Acquire);
        let tail = self.word64(self.out.tail())?.load(Ordering::Acquire);
        let peer_head = self.word64(self.out.head())?.load(Ordering::Acquire);
        if tail.wrapping_sub(peer_head) > self.size.bytes() as u64 {
            return Err(Broken);
        }
        self.local.adopt(head, tail, peer_head);
        self.readable().map(|_| ())
    }

    /// Bytes that wait to be read.
    ///
    /// # Errors
    /// [`Broken`] when the peer claims more than the ring holds.
    #[inline]
    pub fn readable(&self) -> Result<usize, Broken> {
        let tail = self.word64(self.into.tail())?.load(Ordering::Acquire);
        self.used(tail, self.local.head())
    }

    /// The peer's tail, which changes with every byte that it writes: what
    /// [`arm_reader`](Self::arm_reader) wants to know.
    ///
    /// # Errors
    /// Never for a session that [`new`](Self::new) made.
    #[inline]
    pub fn seen(&self) -> Result<u64, Broken> {
        Ok(self.word64(self.into.tail())?.load(Ordering::Acquire))
    }

    /// Room for bytes to be written.
    ///
    /// # Errors
    /// [`Broken`] when the peer claims to have read what was never written.
    #[inline]
    pub fn writable(&self) -> Result<usize, Broken> {
        let head = self.word64(self.out.head())?.load(Ordering::Acquire);
        let used = self.used(self.local.tail(), head)?;
        self.local.set_peer_head(head);
        Ok(self.size.bytes() - used)
    }

    /// Bytes that were written and that the peer did not read yet.
    ///
    /// # Errors
    /// As [`writable`](Self::writable).
    pub fn unread_by_peer(&self) -> Result<usize, Broken> {
        Ok(self.size.bytes() - self.writable()?)
    }

    /// Bytes that one ring holds.
    pub const fn ring_bytes(&self) -> usize {
        self.size.bytes()
    }

    /// Whether the writer of the peer ended the stream: what is readable now is all there will be.
    #[inline]
    pub fn peer_ended(&self) -> bool {
        self.word32(self.into.end_of_stream()).is_ok_and(|it| it.load(Ordering::Acquire) != 0)
    }

    /// Whether the peer closed its side, and if so, whether that was a reset: it left bytes unread.
    #[inline]
    pub fn peer_closed(&self) -> Option<Closed> {
        match self.word32(self.out.closed()).map_or(0, |it| it.load(Ordering::Acquire)) {
            0 => None,
            1 => Some(Closed::Orderly),
            _ => Some(Closed::Reset),
        }
    }

    /// Says that no more bytes will be written. A reader that sleeps is woken by what follows: that the socket of
    /// the session is shut down for writing.
    pub fn end(&self) {
        if let Ok(word) = self.word32(self.out.end_of_stream()) {
            word.store(1, Ordering::Release);
        }
    }

    /// Says that this side is gone. A reset is no end of the stream: whoever saw an end before it knows, and whoever did
    /// not is told of none. A reader that sleeps is woken by the end of the session's socket.
    pub fn close(&self, how: Closed) {
        if how == Closed::Orderly {
            self.end();
        }
        if let Ok(word) = self.word32(self.into.closed()) {
            word.store(if how == Closed::Orderly { 1 } else { 2 }, Ordering::Release);
        }
    }

    /// Bytes that this side wrote and read since the session began.
    pub fn totals(&self) -> (u64, u64) {
        (self.local.tail(), self.local.head())
    }

    /// Copies what waits into `out`, as much as fits, and frees its place.
    ///
    /// # Errors
    /// [`Broken`]. Pieces that were copied before are consumed then, and it is not said how many: the session is over.
    #[inline]
    pub fn read(&self, out: &mut [u8]) -> Result<Moved, Broken> {
        let mut moved = Moved::default();
        while moved.bytes < out.len() {
            let rest = &mut out[moved.bytes..];
            let part = rest.len().min(CHUNK);
            let got = self.copy_out(0, &mut rest[..part])?;
            if got == 0 {
                break;
            }
            moved.bytes += got;
            self.free(got)?;
            if got < part {
                break;
            }
        }
        moved.wake = moved.bytes > 0 && self.writer_wants_room()?;
        Ok(moved)
    }

    /// Copies what waits, from `skip` bytes on, into `out` and leaves it there.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn peek(&self, skip: usize, out: &mut [u8]) -> Result<usize, Broken> {
        self.copy_out(skip, out)
    }

    /// Drops up to `len` bytes that wait, as if they were read.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn skip(&self, len: usize) -> Result<Moved, Broken> {
        let bytes = self.readable()?.min(len);
        let wake = bytes > 0 && self.consume(bytes)?;
        Ok(Moved { bytes, wake })
    }

    /// Hands what waits to `take`, in one or two pieces given as places in the mapping, and frees as
    /// many bytes as `take` used; it is not called for an empty ring.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn read_with(
        &self,
        mut take: impl FnMut(&Mapping, usize, usize) -> usize,
    ) -> Result<Moved, Broken> {
        let mut moved = Moved::default();
        for _ in 0..2 {
            let (offset, len) = self.piece(self.into, self.local.head(), self.readable()?);
            if len == 0 {
                break;
            }
            let used = take(self.mapping, offset, len).min(len);
            moved.bytes += used;
            self.free(used)?;
            if used < len {
                break;
            }
        }
        moved.wake = moved.bytes > 0 && self.writer_wants_room()?;
        Ok(moved)
    }

    /// Copies as much of `data` as there is room for, and publishes it.
    ///
    /// # Errors
    /// [`Broken`]. Pieces that were copied before are published then, and it is not said how many: the session is over.
    #[inline]
    pub fn write(&self, data: &[u8]) -> Result<Moved, Broken> {
        let mut moved = Moved::default();
        while moved.bytes < data.len() {
            let rest = &data[moved.bytes..];
            let part = rest.len().min(CHUNK);
            let room = self.room_for(part)?;
            if room == 0 {
                break;
            }
            let taken = room.min(part);
            if taken == CHUNK {
                self.copy_chunk_in(&rest[..CHUNK])?;
            } else {
                self.copy_in(0, &rest[..taken])?;
            }
            moved.bytes += taken;
            self.show(taken)?;
            if taken < part {
                break;
            }
        }
        moved.wake = moved.bytes > 0 && self.reader_wants_token()?;
        Ok(moved)
    }

    /// Hands room to `fill`, in one or two pieces given as places in the mapping, and publishes as many
    /// bytes as `fill` wrote; it is not called for a full ring.
    ///
    /// # Errors
    /// What `fill` answers, as the inner result; [`Broken`] as the outer one.
    pub fn write_with<E>(
        &self,
        limit: usize,
        mut fill: impl FnMut(&Mapping, usize, usize) -> Result<usize, E>,
    ) -> Result<Result<Moved, E>, Broken> {
        let mut moved = Moved::default();
        while moved.bytes < limit {
            let room = self.writable()?.min(limit - moved.bytes).min(CHUNK);
            let (offset, len) = self.piece(self.out, self.local.tail(), room);
            if len == 0 {
                break;
            }
            match fill(self.mapping, offset, len) {
                Ok(filled) if filled > 0 => {
                    let filled = filled.min(len);
                    moved.bytes += filled;
                    self.show(filled)?;
                    if filled < len {
                        break;
                    }
                }
                Err(error) if moved.bytes == 0 => return Ok(Err(error)),
                Ok(_) | Err(_) => break,
            }
        }
        moved.wake = moved.bytes > 0 && self.reader_wants_token()?;
        Ok(Ok(moved))
    }

    /// Tokens that this side sent, for people who look.
    pub fn count_token(&self) {
        self.count(self.out.tokens());
    }

    /// Datagrams for which this side found no room, for people who look.
    pub fn count_dropped(&self) {
        self.count(self.out.dropped());
    }

    fn count(&self, at: usize) {
        if let Ok(word) = self.word64(at) {
            word.store(word.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Room for at least one byte of `wanted`; looks at the peer's head only when what it last said
    /// does not suffice.
    #[inline]
    fn room_for(&self, wanted: usize) -> Result<usize, Broken> {
        let known = self.size.bytes() - self.used(self.local.tail(), self.local.peer_head())?;
        if known >= wanted { Ok(known) } else { self.writable() }
    }

    /// Copies the bytes that wait from `skip` on.
    #[inline]
    pub(crate) fn copy_out(&self, skip: usize, out: &mut [u8]) -> Result<usize, Broken> {
        let waiting = self.readable()?.saturating_sub(skip).min(out.len());
        let head = self.local.head().wrapping_add(skip as u64);
        let (offset, first) = self.piece(self.into, head, waiting);
        self.mapping.read(offset, &mut out[..first])?;
        if first < waiting {
            self.mapping.read(self.into.ring(), &mut out[first..waiting])?;
        }
        Ok(waiting)
    }

    /// Copies `data`, for which there is room, to `ahead` bytes after the tail.
    #[inline]
    pub(crate) fn copy_in(&self, ahead: usize, data: &[u8]) -> Result<(), Broken> {
        let tail = self.local.tail().wrapping_add(ahead as u64);
        let (offset, first) = self.piece(self.out, tail, data.len());
        self.mapping.write(offset, &data[..first])?;
        if first < data.len() {
            self.mapping.write(self.out.ring(), &data[first..])?;
        }
        Ok(())
    }

    /// Copies a piece of the length [`CHUNK`], for which there is room, after the tail, the way that is faster.
    fn copy_chunk_in(&self, data: &[u8]) -> Result<(), Broken> {
        let order = self.local.copying.next();
        let before = if order.timed { shm::cycles() } else { 0 };
        match order.way {
            Way::Ordinary => self.copy_in(0, data)?,
            Way::Streaming => {
                let (offset, first) = self.piece(self.out, self.local.tail(), data.len());
                self.mapping.write_streaming(offset, &data[..first])?;
                self.mapping.write_streaming(self.out.ring(), &data[first..])?;
            }
        }
        if order.timed {
            self.local.copying.took(order.way, shm::cycles().wrapping_sub(before));
        }
        Ok(())
    }

    /// Frees `len` bytes that were read, and tells whether the own tokens must be drained, which
    /// wakes the peer's writer.
    #[inline]
    pub(crate) fn consume(&self, len: usize) -> Result<bool, Broken> {
        self.free(len)?;
        self.writer_wants_room()
    }

    /// Frees `len` bytes that were read. [`writer_wants_room`](Self::writer_wants_room) must follow.
    #[inline]
    fn free(&self, len: usize) -> Result<(), Broken> {
        let head = self.local.head().wrapping_add(len as u64);
        self.local.set_head(head);
        self.word64(self.into.head())?.store(head, Ordering::Release);
        Ok(())
    }

    /// Whether the own tokens must be drained, after bytes were freed. It waits until the peer sees all that this
    /// side wrote, so it is asked once for many bytes.
    #[inline]
    fn writer_wants_room(&self) -> Result<bool, Broken> {
        fence(Ordering::SeqCst);
        let armed = self.word32(self.into.writer_armed())?;
        if armed.load(Ordering::Relaxed) == 0 {
            return Ok(false);
        }
        // Waking a writer for every byte of room would have it run for nothing.
        let enough = self.is_ample(self.size.bytes() - self.readable()?);
        Ok(enough && armed.swap(0, Ordering::AcqRel) != 0)
    }

    /// Publishes `len` bytes that were copied in, and tells whether the peer wants a token.
    #[inline]
    pub(crate) fn publish(&self, len: usize) -> Result<bool, Broken> {
        self.show(len)?;
        self.reader_wants_token()
    }

    /// Publishes `len` bytes that were copied in. [`reader_wants_token`](Self::reader_wants_token) must follow.
    #[inline]
    fn show(&self, len: usize) -> Result<(), Broken> {
        let tail = self.local.tail().wrapping_add(len as u64);
        self.local.set_tail(tail);
        self.word64(self.out.tail())?.store(tail, Ordering::Release);
        Ok(())
    }

    /// Whether the peer wants a token, after bytes were published. It waits until the peer sees all that this
    /// side wrote, so it is asked once for many bytes.
    #[inline]
    fn reader_wants_token(&self) -> Result<bool, Broken> {
        fence(Ordering::SeqCst);
        let armed = self.word32(self.out.reader_armed())?;
        Ok(armed.load(Ordering::Relaxed) != 0 && armed.swap(0, Ordering::AcqRel) != 0)
    }

    /// The first piece, up to the end of the ring, of `len` bytes at a position: offset and length.
    #[inline]
    fn piece(&self, direction: Direction, position: u64, len: usize) -> (usize, usize) {
        let size = self.size.bytes();
        #[allow(clippy::cast_possible_truncation)]
        let at = position as usize & (size - 1);
        (direction.ring() + at, len.min(size - at))
    }

    #[inline]
    pub(crate) fn used(&self, tail: u64, head: u64) -> Result<usize, Broken> {
        usize::try_from(tail.wrapping_sub(head))
            .ok()
            .filter(|&used| used <= self.size.bytes())
            .ok_or(Broken)
    }

    #[inline]
    pub(crate) fn word64(&self, offset: usize) -> Result<&'a AtomicU64, Broken> {
        Ok(self.mapping.word64(offset)?)
    }

    #[inline]
    pub(crate) fn word32(&self, offset: usize) -> Result<&'a AtomicU32, Broken> {
        Ok(self.mapping.word32(offset)?)
    }
}

/// How a side went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It had read everything.
    Orderly,
    /// It left bytes unread, or was told to reset.
    Reset,
}
