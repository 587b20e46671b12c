//! A ring's words and descriptors in shared memory.

use shm::{Cells, Mapping, OutOfBounds, SharedU16, SharedU32};

use crate::layout;
use crate::parameters::RingSize;

/// One ring. `head` is written by the client only, `tail` by the server only, whichever way the
/// frames go.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) head: SharedU16,
    pub(crate) tail: SharedU16,
    pub(crate) flags: SharedU16,
    pub(crate) cells: Cells,
    cookie: SharedU32,
    size: u16,
}

impl Ring {
    /// The ring at `offset` of a mapping, wherever the peer put it, as long as it is inside.
    pub(crate) fn at(
        mapping: &Mapping,
        offset: usize,
        size: RingSize,
    ) -> Result<Self, OutOfBounds> {
        let overflow = OutOfBounds { offset, len: 0, size: mapping.len() };
        let word = |at: usize| offset.checked_add(at).ok_or(overflow);
        #[expect(clippy::cast_possible_truncation, reason = "the header has 128 bytes")]
        let descriptors = word(layout::RING_HEADER as usize)?;
        Ok(Self {
            head: SharedU16::new(mapping, word(layout::HEAD)?)?,
            tail: SharedU16::new(mapping, word(layout::TAIL)?)?,
            flags: SharedU16::new(mapping, word(layout::FLAGS)?)?,
            cells: Cells::new(mapping, descriptors, usize::from(size.slots()))?,
            cookie: SharedU32::new(mapping, word(layout::COOKIE)?)?,
            size: size.slots(),
        })
    }

    /// Slots.
    #[inline]
    pub(crate) fn size(&self) -> u16 {
        self.size
    }

    /// Client: makes an empty ring of zeroed memory.
    pub(crate) fn initialise(&self) {
        self.reset_indices();
        self.flags.store_relaxed(0);
        self.cookie.store_release(layout::COOKIE_VALUE);
    }

    /// Whether a client initialised it.
    pub(crate) fn has_cookie(&self) -> bool {
        self.cookie.load_acquire() == layout::COOKIE_VALUE
    }

    /// Zeroes both indices, as every server does on CONNECT and every client on CONNECTED.
    pub(crate) fn reset_indices(&self) {
        self.head.store_release(0);
        self.tail.store_release(0);
    }
}
