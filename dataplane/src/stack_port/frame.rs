//! Owned frames and where their buffers rest.

use crate::offload::VirtioNetHeader;

/// A mark that a stack puts on a frame and gets back when the frame has left the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub u32);

/// A frame in a buffer of its own, from the Ethernet header on.
#[derive(Debug)]
pub struct StackFrame {
    buffer: Box<[u8]>,
    len: usize,
    /// What it still needs before it may go on a wire.
    pub offload: VirtioNetHeader,
    pub(super) tag: Tag,
}

impl StackFrame {
    /// The longest frame: an Ethernet header with a VLAN tag, and an IP packet of 64 KiB.
    pub const MAX_LEN: usize = 18 + 65_536;

    /// The frame.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// The frame, to be filled in or changed. A new frame holds old bytes.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.len]
    }

    /// Its sender's mark.
    #[inline]
    pub(crate) fn tag(&self) -> Tag {
        self.tag
    }

    /// Makes the frame shorter.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

/// What the consumer of a frame tells its producer.
#[derive(Debug)]
pub(crate) struct Return {
    pub(crate) tag: Tag,
    /// Bytes of the frame.
    pub(crate) len: usize,
    /// The frame's buffer, or another one in its place.
    pub(crate) buffer: Option<Box<[u8]>>,
}

impl Return {
    /// The frame is gone, and here is its buffer.
    pub(crate) fn of(frame: StackFrame) -> Self {
        Self { tag: frame.tag, len: frame.len, buffer: Some(frame.buffer) }
    }
}

/// Buffers that nobody uses. The one that was used last is used next, since it is in the cache.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
}

impl BufferPool {
    /// Takes a frame of MTU 1500; most frames are shorter still.
    const SMALL: usize = 2048;
    /// Buffers that rest; further ones are freed.
    const SMALL_RESTING: usize = 512;
    const LARGE_RESTING: usize = 64;

    /// A frame of `len` bytes, at most [`StackFrame::MAX_LEN`].
    #[inline]
    pub(crate) fn frame(&mut self, len: usize) -> StackFrame {
        let len = len.min(StackFrame::MAX_LEN);
        let size = if len <= Self::SMALL { Self::SMALL } else { StackFrame::MAX_LEN };
        let buffer = self.resting(len).unwrap_or_else(|| vec![0; size].into_boxed_slice());
        StackFrame { buffer, len, offload: VirtioNetHeader::PLAIN, tag: Tag(0) }
    }

    /// A buffer for `len` bytes, if one rests.
    #[inline]
    pub(crate) fn resting(&mut self, len: usize) -> Option<Box<[u8]>> {
        if len <= Self::SMALL { self.small.pop() } else { self.large.pop() }
    }

    #[inline]
    pub(crate) fn rest(&mut self, buffer: Box<[u8]>) {
        let (list, most) = if buffer.len() <= Self::SMALL {
            (&mut self.small, Self::SMALL_RESTING)
        } else {
            (&mut self.large, Self::LARGE_RESTING)
        };
        if list.len() < most {
            list.push(buffer);
        }
    }
}
