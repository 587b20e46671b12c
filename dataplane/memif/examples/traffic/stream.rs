//! Frames that can be checked: what the generator writes and what the sink expects.
//!
//! After the Ethernet header come 64-bit little-endian words. The first is the tag: stream, frame
//! length and number. The others follow from the tag by one multiplication and additions, which the
//! compiler turns into vector code.

use memif::TxQueue;
use memif::queue::TxError;

use crate::options::Check;

pub(crate) type Mac = [u8; 6];

/// Bytes of the Ethernet header.
pub(crate) const HEADER: usize = 14;
/// Header and tag.
pub(crate) const SMALLEST: usize = HEADER + 8;
/// As a memif buffer, a peer may keep only 16 bits of a length.
pub(crate) const LARGEST: usize = 65_535;
/// For local experiments (IEEE 802).
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
const NUMBER_BITS: u32 = 40;
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const STEP: u64 = 0xd1b5_4a32_d192_ed03;

fn tag(stream: u8, length: usize, number: u64) -> u64 {
    u64::from(stream) << 56 | (length as u64) << NUMBER_BITS | number
}

/// Writes tag and pattern.
fn fill(payload: &mut [u8], tag: u64) {
    let mut word = tag.wrapping_mul(SPREAD);
    let (first, rest) = payload.split_at_mut(8);
    first.copy_from_slice(&tag.to_le_bytes());
    let mut words = rest.chunks_exact_mut(8);
    for chunk in &mut words {
        word = word.wrapping_add(STEP);
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    let rest = words.into_remainder();
    let last = word.wrapping_add(STEP).to_le_bytes();
    rest.copy_from_slice(&last[..rest.len()]);
}

/// Whether `payload` is what [`fill`] writes for `tag`.
fn is_intact(payload: &[u8], tag: u64) -> bool {
    let mut word = tag.wrapping_mul(SPREAD);
    let mut difference = 0;
    let mut words = payload[8..].chunks_exact(8);
    for chunk in &mut words {
        word = word.wrapping_add(STEP);
        difference |= word ^ word_at(chunk);
    }
    let rest = words.remainder();
    let last = word.wrapping_add(STEP).to_le_bytes();
    difference == 0 && rest == &last[..rest.len()]
}

fn word_at(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(word)
}

/// Makes the frames of one queue.
#[derive(Debug)]
pub(crate) struct Generator {
    stream: u8,
    next: u64,
    /// Frames left to make.
    left: u64,
    /// A burst is stamped whole before it is copied: copying what was only just written in small
    /// pieces would stall.
    frames: Vec<Vec<u8>>,
    /// Where in `frames` the ones not yet sent are.
    unsent: std::ops::Range<usize>,
    sizes: Vec<usize>,
    pub(crate) sent: u64,
    pub(crate) bytes: u64,
}

impl Generator {
    pub(crate) fn new(
        stream: u8,
        count: Option<u64>,
        burst: usize,
        sizes: Vec<usize>,
        header: [u8; HEADER],
    ) -> Self {
        let largest = sizes.iter().copied().max().unwrap_or(SMALLEST);
        let mut frame = vec![0; largest];
        frame[..HEADER].copy_from_slice(&header);
        Self {
            stream,
            next: 0,
            left: count.unwrap_or(u64::MAX),
            frames: vec![frame; burst],
            unsent: 0..0,
            sizes,
            sent: 0,
            bytes: 0,
        }
    }

    /// The Ethernet header of frames from `source` to `destination`.
    pub(crate) fn header(destination: Mac, source: Mac) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..6].copy_from_slice(&destination);
        header[6..12].copy_from_slice(&source);
        header[12..].copy_from_slice(&ETHERTYPE);
        header
    }

    /// Whether everything was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0 && self.unsent.is_empty()
    }

    /// Sends at most `limit` frames; fewer if the ring is full. Returns how many.
    pub(crate) fn send(&mut self, tx: &mut TxQueue, limit: usize) -> Result<usize, TxError> {
        if self.unsent.is_empty() {
            self.stamp();
        }
        let mut sent = 0;
        while sent < limit && !self.unsent.is_empty() {
            let frame = &self.frames[self.unsent.start][..];
            let length = usize::from(u16::from_le_bytes([frame[HEADER + 5], frame[HEADER + 6]]));
            match tx.push(&frame[..length]) {
                Ok(()) => {}
                Err(TxError::Full) => break,
                Err(error) => return Err(error),
            }
            self.unsent.start += 1;
            self.sent += 1;
            self.bytes += length as u64;
            sent += 1;
        }
        tx.flush()?;
        Ok(sent)
    }

    fn stamp(&mut self) {
        let mut count = 0;
        for frame in &mut self.frames {
            if self.left == 0 {
                break;
            }
            #[expect(clippy::cast_possible_truncation, reason = "a remainder by a small length")]
            let length = self.sizes[(self.next % self.sizes.len() as u64) as usize];
            let tag = tag(self.stream, length, self.next);
            fill(&mut frame[HEADER..length], tag);
            self.next = (self.next + 1) % (1 << NUMBER_BITS);
            self.left -= 1;
            count += 1;
        }
        self.unsent = 0..count;
    }
}

/// What a sink found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) received: u64,
    pub(crate) bytes: u64,
    /// Numbers that were skipped.
    pub(crate) lost: u64,
    /// Numbers that came after a higher one, or twice.
    pub(crate) disordered: u64,
    /// Frames of ours with a wrong length or pattern.
    pub(crate) damaged: u64,
    /// Frames that no generator made.
    pub(crate) foreign: u64,
}

impl Findings {
    /// Whether every frame was as it should be.
    pub(crate) fn is_clean(&self) -> bool {
        self.lost == 0 && self.disordered == 0 && self.damaged == 0
    }
}

/// Checks frames.
#[derive(Debug)]
pub(crate) struct Sink {
    check: Check,
    /// The next number of each stream; `None` until it is heard of.
    expected: Box<[Option<u64>; 256]>,
    pub(crate) findings: Findings,
}

impl Sink {
    pub(crate) fn new(check: Check) -> Self {
        Self { check, expected: Box::new([None; 256]), findings: Findings::default() }
    }

    /// How many bytes of a frame [`Sink::take`] wants to see.
    pub(crate) fn wants(&self) -> usize {
        match self.check {
            Check::All => LARGEST,
            Check::Number => SMALLEST,
            Check::Nothing => 0,
        }
    }

    /// Takes a frame of `length` bytes, of which `seen` are the first.
    #[inline]
    pub(crate) fn take(&mut self, seen: &[u8], length: usize) {
        self.findings.received += 1;
        self.findings.bytes += length as u64;
        if self.check == Check::Nothing {
            return;
        }
        if seen.len() < SMALLEST || seen[12..HEADER] != ETHERTYPE {
            self.findings.foreign += 1;
            return;
        }
        let payload = &seen[HEADER..];
        let tag = word_at(payload);
        let right_length = tag >> NUMBER_BITS & 0xffff == length as u64;
        if !right_length || (self.check == Check::All && !is_intact(payload, tag)) {
            self.findings.damaged += 1;
            return;
        }
        let number = tag & ((1 << NUMBER_BITS) - 1);
        let expected = &mut self.expected[(tag >> 56) as usize];
        // Number 0 is a generator that starts; a sink may also start in the middle.
        match *expected {
            Some(next) if number < next && number != 0 => {
                self.findings.disordered += 1;
                return;
            }
            Some(next) if number != 0 => self.findings.lost += number - next,
            _ => {}
        }
        *expected = Some(number + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize, number: u64) -> Vec<u8> {
        let mut frame = Generator::header([2; 6], [4; 6]).to_vec();
        frame.resize(length, 0);
        fill(&mut frame[HEADER..], tag(3, length, number));
        frame
    }

    fn findings(frames: &[Vec<u8>]) -> Findings {
        let mut sink = Sink::new(Check::All);
        for frame in frames {
            sink.take(frame, frame.len());
        }
        sink.findings
    }

    #[test]
    fn good_frames_of_any_length_are_clean() {
        let frames: Vec<_> = (SMALLEST..200).zip(0..).map(|(l, n)| frame(l, n)).collect();
        let found = findings(&frames);
        assert!(found.is_clean());
        assert_eq!(found.received, frames.len() as u64);
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        for at in HEADER..91 {
            let mut bad = frame(91, 1);
            bad[at] ^= 1;
            let found = findings(&[frame(91, 0), bad, frame(91, 2)]);
            assert!(!found.is_clean(), "byte {at}");
        }
    }

    #[test]
    fn loss_repetition_and_truncation_are_counted() {
        let found = findings(&[frame(64, 0), frame(64, 4)]);
        assert_eq!((found.lost, found.disordered), (3, 0));
        let found = findings(&[frame(64, 0), frame(64, 1), frame(64, 1)]);
        assert_eq!((found.lost, found.disordered), (0, 1));
        let found = findings(&[frame(64, 0)[..63].to_vec()]);
        assert_eq!(found.damaged, 1);
        let found = findings(&[vec![0; 64]]);
        assert_eq!(found.foreign, 1);
    }
}
