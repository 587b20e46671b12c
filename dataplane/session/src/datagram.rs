//! Records with a length in a byte ring: one datagram each, whole or not at all.
//!
//! ```text
//! length u32, zero u32, payload, padding to 8 bytes
//! ```

use core::sync::atomic::Ordering;

use crate::{Broken, Stream};

/// Longest datagram: what fits an IPv6 packet behind its UDP header.
pub const MAX_PAYLOAD: usize = 65_527;

/// The same of IPv4, whose packets count their own header.
pub const MAX_PAYLOAD_V4: usize = 65_507;

const HEADER: usize = 8;

/// Bytes of a ring that a datagram of `len` bytes takes.
const fn record_bytes(len: usize) -> usize {
    HEADER + len.next_multiple_of(8)
}

/// Whether a ring of `ring` bytes can ever hold a datagram of `length` bytes.
pub const fn fits(ring: usize, length: usize) -> bool {
    length <= MAX_PAYLOAD && record_bytes(length) <= ring
}

/// How long IP packets to a peer may be. The agent's network stack says it of peers that are no sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mtu {
    /// On the whole way, as far as is known.
    pub path: u16,
    /// On the own network.
    pub own: u16,
}

impl Mtu {
    fn to_word(self) -> u32 {
        u32::from(self.own) << 16 | u32::from(self.path)
    }

    /// `None` for what is not said.
    fn from_word(word: u32) -> Option<Self> {
        let [own, path] = [word >> 16, word & 0xffff].map(|it| u16::try_from(it).unwrap_or(0));
        (own != 0 && path != 0).then_some(Self { path, own })
    }
}

impl Stream<'_> {
    /// Says how long packets to this side may be.
    pub fn tell_mtu(&self, mtu: Mtu) {
        if let Ok(word) = self.word32(self.out.mtu()) {
            word.store(mtu.to_word(), Ordering::Relaxed);
        }
    }

    /// How long packets to the peer may be, if it said so. It may say anything.
    pub fn told_mtu(&self) -> Option<Mtu> {
        Mtu::from_word(self.word32(self.into.mtu()).ok()?.load(Ordering::Relaxed))
    }
}

/// Room for one datagram, to be filled and published.
#[derive(Debug)]
pub struct Slot<'s, 'a> {
    stream: &'s Stream<'a>,
    length: usize,
    filled: usize,
}

impl<'s, 'a> Slot<'s, 'a> {
    /// Room for a datagram of `length` bytes; `None` when there is none now.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn reserve(stream: &'s Stream<'a>, length: usize) -> Result<Option<Self>, Broken> {
        if !fits(stream.ring_bytes(), length) || stream.writable()? < record_bytes(length) {
            return Ok(None);
        }
        Ok(Some(Self { stream, length, filled: 0 }))
    }

    /// Appends `part`; what goes beyond the length is left out.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn put(&mut self, part: &[u8]) -> Result<(), Broken> {
        let part = &part[..part.len().min(self.length - self.filled)];
        self.stream.copy_in(HEADER + self.filled, part)?;
        self.filled += part.len();
        Ok(())
    }

    /// Publishes the datagram, as long as it was filled; tells whether the peer wants a token.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn publish(self) -> Result<bool, Broken> {
        let Ok(length) = u32::try_from(self.filled) else { return Ok(false) };
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&length.to_ne_bytes());
        self.stream.copy_in(0, &header)?;
        self.stream.publish(record_bytes(self.filled))
    }
}

/// The datagram that waits first, to be copied out and removed.
#[derive(Debug)]
pub struct Waiting<'s, 'a> {
    stream: &'s Stream<'a>,
    length: usize,
}

impl<'s, 'a> Waiting<'s, 'a> {
    /// The first datagram; `None` when none waits.
    ///
    /// # Errors
    /// [`Broken`] when the ring holds no whole record.
    pub fn first(stream: &'s Stream<'a>) -> Result<Option<Self>, Broken> {
        let waiting = stream.readable()?;
        if waiting == 0 {
            return Ok(None);
        }
        let mut header = [0; HEADER];
        if stream.copy_out(0, &mut header)? < HEADER {
            return Err(Broken);
        }
        // Read once: the peer may change it at any time.
        let length = u32::from_ne_bytes(*header.first_chunk().ok_or(Broken)?) as usize;
        if length > MAX_PAYLOAD || record_bytes(length) > waiting {
            return Err(Broken);
        }
        Ok(Some(Self { stream, length }))
    }

    /// Its length.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Copies its bytes from `skip` on; answers how many were left, at most as many as `out` holds.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn read(&self, skip: usize, out: &mut [u8]) -> Result<usize, Broken> {
        let wanted = out.len().min(self.length.saturating_sub(skip));
        self.stream.copy_out(HEADER + skip, &mut out[..wanted])
    }

    /// Takes it out of the ring, with what was not read of it.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn remove(self) -> Result<(), Broken> {
        // A writer of datagrams never waits for room, so nobody is to be woken.
        self.stream.consume(record_bytes(self.length)).map(|_| ())
    }
}
