//! Bytes that can be told from any others: a pattern by position, and a checksum.

/// FNV-1a, 64 bits (Fowler, Noll, Vo).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum(u64);

impl Default for Checksum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Checksum {
    /// Takes more bytes in.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The sum so far.
    pub const fn value(self) -> u64 {
        self.0
    }
}

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = Checksum::default();
    sum.add(bytes);
    sum.value()
}

/// The word at `index` of the stream `seed`: every position of every stream differs.
fn word(seed: u64, index: u64) -> [u8; 8] {
    // SplitMix64 (Steele, Lea, Flood 2014).
    let mut z = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_le_bytes()
}

/// Fills `out` with what stands at `position` of the stream `seed`.
pub fn fill(seed: u64, position: u64, out: &mut [u8]) {
    let (mut index, mut skip) = (position / 8, usize::try_from(position % 8).unwrap_or(0));
    let mut at = 0;
    while at < out.len() {
        let word = word(seed, index);
        let take = (8 - skip).min(out.len() - at);
        out[at..at + take].copy_from_slice(&word[skip..skip + take]);
        at += take;
        (index, skip) = (index + 1, 0);
    }
}

/// `len` bytes of the stream `seed`, from `position` on.
pub fn pattern(seed: u64, position: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    fill(seed, position, &mut out);
    out
}

/// Where `bytes` first differ from what stands at `position` of the stream `seed`.
pub fn difference(seed: u64, position: u64, bytes: &[u8]) -> Option<u64> {
    let expected = pattern(seed, position, bytes.len());
    let at = bytes.iter().zip(&expected).position(|(got, wanted)| got != wanted)?;
    Some(position + at as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_does_not_depend_on_how_it_is_cut() {
        let whole = pattern(7, 0, 100);
        let mut cut = pattern(7, 0, 13);
        cut.extend(pattern(7, 13, 87));
        assert_eq!(whole, cut);
        assert_eq!(difference(7, 13, &whole[13..]), None);
        assert_eq!(difference(7, 12, &whole[13..]), Some(12));
    }
}
