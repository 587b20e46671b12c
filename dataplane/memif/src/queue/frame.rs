//! Received frames: private descriptions of bytes that stay in shared memory.

use shm::Mapping;

use super::Segment;

/// A received frame. Its bytes are still in shared memory, where the peer may change them: copy what
/// a decision depends on ([`Frame::header`]) and decide on the copy.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    regions: &'a [Mapping],
    segments: &'a [Segment],
    length: u32,
}

impl<'a> Frame<'a> {
    /// Its length in bytes, all segments together.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.length as usize
    }

    /// Copies the first bytes, at most `N`; returns the copy and how many bytes of it are the
    /// frame's.
    #[inline]
    pub fn header<const N: usize>(&self) -> ([u8; N], usize) {
        let mut bytes = [0; N];
        let first = &self.segments[0];
        if first.length as usize >= N
            && self.mapping(first).read(first.offset as usize, &mut bytes).is_ok()
        {
            return (bytes, N);
        }
        let length = self.copy_to(&mut bytes);
        (bytes, length)
    }

    /// Copies as much as fits into `out`; returns the number of bytes.
    #[inline]
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let mut done = 0;
        for segment in self.segments {
            let take = (segment.length as usize).min(out.len() - done);
            let part = &mut out[done..done + take];
            // Checked when the frame was received, so this cannot fail.
            let _ = self.mapping(segment).read(segment.offset as usize, part);
            done += take;
        }
        done
    }

    /// A copy of the whole frame.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.copy_to(&mut bytes);
        bytes
    }

    #[inline]
    pub(crate) fn segments(&self) -> &'a [Segment] {
        self.segments
    }

    #[inline]
    pub(crate) fn mapping(&self, segment: &Segment) -> &'a Mapping {
        &self.regions[usize::from(segment.region)]
    }
}

/// The frames of a batch, in order.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    regions: &'a [Mapping],
    segments: &'a [Segment],
    /// How many segments ahead the processor is told to fetch; 0 for not at all.
    ahead: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn new(regions: &'a [Mapping], segments: &'a [Segment]) -> Self {
        Self { regions, segments, ahead: 0 }
    }

    /// Has the processor fetch the beginning of frames that come `slots` later. It pays for a receiver
    /// that looks into each frame before it knows what to do with it, as a switch does; one that only
    /// copies them is faster without.
    #[must_use]
    pub fn fetch_ahead(mut self, slots: usize) -> Self {
        self.ahead = slots;
        for segment in self.segments.iter().take(slots) {
            self.fetch(segment);
        }
        self
    }

    #[inline]
    fn fetch(&self, segment: &Segment) {
        self.regions[usize::from(segment.region)].prefetch(segment.offset as usize);
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        let first = self.segments.first()?;
        let (mut count, mut length) = (1, first.length);
        let mut chained = first.chained;
        while chained {
            let segment = &self.segments[count];
            length += segment.length;
            chained = segment.chained;
            count += 1;
        }
        if self.ahead > 0
            && let Some(later) = self.segments.get(self.ahead)
        {
            self.fetch(later);
        }
        let (segments, rest) = self.segments.split_at(count);
        self.segments = rest;
        Some(Frame { regions: self.regions, segments, length })
    }
}
