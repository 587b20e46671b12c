//! The 16-byte descriptor of a ring slot, as a private value.
//!
//! Layout (VPP 26.06 `memif/memif.h`, little endian): flags `u16`, region `u16`, length `u32`,
//! offset `u32`, metadata `u32`. A descriptor is loaded once; only the loaded copy is checked and
//! used, because the peer can change the slot at any time.

/// Set on every descriptor of a frame but the last.
const NEXT: u16 = 1;

/// A loaded descriptor: the peer's claim about one buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) chained: bool,
    pub(crate) region: u16,
    pub(crate) length: u32,
    pub(crate) offset: u32,
}

impl Descriptor {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "each field is cut out of its word")]
    pub(crate) fn decode([low, high]: [u64; 2]) -> Self {
        Self {
            chained: low as u16 & NEXT != 0,
            region: (low >> 16) as u16,
            length: (low >> 32) as u32,
            offset: high as u32,
        }
    }

    /// The first word: all but the offset.
    #[inline]
    pub(crate) fn low_word(self) -> u64 {
        let flags = if self.chained { u64::from(NEXT) } else { 0 };
        flags | u64::from(self.region) << 16 | u64::from(self.length) << 32
    }

    #[inline]
    pub(crate) fn encode(self) -> [u64; 2] {
        [self.low_word(), u64::from(self.offset)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn layout_is_that_of_the_header_file() {
        let descriptor =
            Descriptor { chained: true, region: 0x0302, length: 0x0706_0504, offset: 0x0b0a_0908 };
        let words = descriptor.encode();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(bytes, [1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 0]);
    }

    proptest! {
        #[test]
        fn decoding_reverses_encoding(chained: bool, region: u16, length: u32, offset: u32) {
            let descriptor = Descriptor { chained, region, length, offset };
            prop_assert_eq!(Descriptor::decode(descriptor.encode()), descriptor);
        }
    }
}
