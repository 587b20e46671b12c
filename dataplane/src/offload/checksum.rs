//! The Internet checksum (RFC 1071), eight bytes at a time.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::BadOffload;
use crate::packet::Protocol;

/// A one's complement sum under way. It is kept in the machine's byte order, which RFC 1071 (2)(B)
/// allows until the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of the IPv4 pseudo-header (RFC 9293, 3.1) of a payload of `length` bytes.
    pub fn pseudo_header4(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, length: u32) -> Self {
        Self::default().plus(&src.octets()).plus(&dst.octets()).add_tail(protocol, length)
    }

    /// The sum of the IPv6 pseudo-header (RFC 8200, 8.1) of a payload of `length` bytes.
    pub fn pseudo_header6(src: Ipv6Addr, dst: Ipv6Addr, protocol: Protocol, length: u32) -> Self {
        Self::default().plus(&src.octets()).plus(&dst.octets()).add_tail(protocol, length)
    }

    /// Adds bytes. Only the last piece of a sum may have an odd number of them.
    #[inline]
    #[must_use]
    pub fn plus(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<8>();
        // Halves of 32 bits: 2^32 additions fit before the accumulator could overflow.
        let sum = words.iter().fold(self.0, |sum, word| {
            let word = u64::from_ne_bytes(*word);
            sum + (word & 0xffff_ffff) + (word >> 32)
        });
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let last = u64::from_ne_bytes(last);
        Self(fold32(sum + (last & 0xffff_ffff) + (last >> 32)))
    }

    /// The checksum: the complement of the sum, as a number.
    #[inline]
    pub fn finish(self) -> u16 {
        let mut sum = fold32(self.0);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        #[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits")]
        let sum = sum as u16;
        !u16::from_be(sum)
    }

    fn add_tail(self, protocol: Protocol, length: u32) -> Self {
        self.plus(&length.to_be_bytes()).plus(&[0, 0, 0, protocol.0])
    }
}

/// The checksum of some bytes; 0 when they contain their own, correct one.
pub fn checksum(bytes: &[u8]) -> u16 {
    Sum::default().plus(bytes).finish()
}

/// Completes a partial checksum: sums the frame from `start`, where the field, at `start + offset`,
/// holds the sum of the pseudo-header.
///
/// # Errors
/// [`BadOffload::ChecksumRange`] when the field lies outside the frame, which is then unchanged.
pub fn complete_checksum(frame: &mut [u8], start: u16, offset: u16) -> Result<(), BadOffload> {
    let start = usize::from(start);
    let covered = frame.get_mut(start..).ok_or(BadOffload::ChecksumRange)?;
    let sum = checksum(covered);
    let field = covered.get_mut(usize::from(offset)..).and_then(<[u8]>::first_chunk_mut);
    *field.ok_or(BadOffload::ChecksumRange)? = nonzero(sum).to_be_bytes();
    Ok(())
}

/// UDP writes a sum of zero as all ones, since zero means "none" (RFC 768); for TCP both are the
/// same sum.
pub(super) fn nonzero(checksum: u16) -> u16 {
    if checksum == 0 { u16::MAX } else { checksum }
}

fn fold32(sum: u64) -> u64 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    (sum & 0xffff_ffff) + (sum >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the RFC describes it, 16 bits at a time in network order.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 1071, section 3: the sum is ddf2.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[]), 0xffff);
    }

    #[test]
    fn the_largest_sums_do_not_overflow() {
        let bytes = vec![0xff; 65_535];
        assert_eq!(checksum(&bytes), naive(&bytes));
    }

    #[test]
    fn a_udp_checksum_of_zero_is_written_as_all_ones() {
        let mut frame = [0, 0, 0xff, 0xff, 0, 0];
        complete_checksum(&mut frame, 2, 2).unwrap();
        assert_eq!(frame, [0, 0, 0xff, 0xff, 0xff, 0xff]);
    }

    proptest! {
        #[test]
        fn equals_the_naive_sum(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut: u8) {
            prop_assert_eq!(checksum(&bytes), naive(&bytes));
            let cut = usize::from(cut & !1).min(bytes.len() & !1);
            let pieces = Sum::default().plus(&bytes[..cut]).plus(&bytes[cut..]).finish();
            prop_assert_eq!(pieces, naive(&bytes));
        }

        #[test]
        fn completes_or_refuses(
            mut frame in proptest::collection::vec(any::<u8>(), 0..100),
            start in 0..120u16,
            offset in 0..60u16,
        ) {
            let before = frame.clone();
            let field = usize::from(start) + usize::from(offset);
            let fits = field + 2 <= frame.len();
            prop_assert_eq!(complete_checksum(&mut frame, start, offset).is_ok(), fits);
            if fits {
                let sum = u16::from_be_bytes([frame[field], frame[field + 1]]);
                let expected = naive(&before[usize::from(start)..]);
                prop_assert_eq!(sum, if expected == 0 { 0xffff } else { expected });
                frame[field..field + 2].copy_from_slice(&before[field..field + 2]);
            }
            prop_assert_eq!(frame, before);
        }

        #[test]
        fn pseudo_headers_are_what_they_say(a: [u8; 4], b: [u8; 4], c: [u8; 16], length: u32) {
            let tail = [length.to_be_bytes(), [0, 0, 0, 17]].concat();
            let sum = Sum::pseudo_header4(a.into(), b.into(), Protocol::UDP, length);
            prop_assert_eq!(sum.finish(), naive(&[&a[..], &b, &tail].concat()));
            let sum = Sum::pseudo_header6(c.into(), c.into(), Protocol::UDP, length);
            prop_assert_eq!(sum.finish(), naive(&[&c[..], &c, &tail].concat()));
        }
    }
}
