//! The VXLAN header (RFC 7348, section 5): flags, and the identifier of the segment.

#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

/// Bytes of the header.
pub const LEN: usize = 8;

/// What is in front of an IP packet of the segment in an IPv4 packet of the underlay: its Ethernet header, this
/// header, UDP and IPv4 (14 + 8 + 8 + 20 bytes).
pub const OVERHEAD_IPV4: u32 = 50;

/// The same with IPv6 (14 + 8 + 8 + 40 bytes).
pub const OVERHEAD_IPV6: u32 = 70;

/// The flag that says that the identifier is valid. All other bits are reserved: zero when sent, ignored when
/// received.
const VALID_VNI: u8 = 0x08;

/// A VXLAN network identifier: 24 bits, not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vni(u32);

/// The number is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a VXLAN network identifier is a number, 1 to {max}", max = Vni::MAX)]
pub struct BadVni;

impl Vni {
    /// The largest one.
    pub const MAX: u32 = 0xff_ffff;

    /// # Errors
    /// [`BadVni`] unless it is 1..=[`Vni::MAX`].
    pub fn new(number: u32) -> Result<Self, BadVni> {
        if (1..=Self::MAX).contains(&number) { Ok(Self(number)) } else { Err(BadVni) }
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Vni {
    type Err = BadVni;

    fn from_str(text: &str) -> Result<Self, BadVni> {
        Self::new(text.parse().map_err(|_| BadVni)?)
    }
}

/// Why a datagram carries no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// Fewer bytes than the header has.
    #[error("the VXLAN header is cut short")]
    Short,
    /// The flag `I` is not set.
    #[error("the VXLAN header names no network")]
    NoVni,
    /// The identifier is zero.
    #[error("the VXLAN header names network 0")]
    Zero,
}

/// The header of a frame of this segment.
#[inline]
pub fn encode(vni: Vni) -> [u8; LEN] {
    let [_, high, middle, low] = vni.0.to_be_bytes();
    [VALID_VNI, 0, 0, 0, high, middle, low, 0]
}

/// The segment of a datagram; the frame is what follows the first [`LEN`] bytes.
///
/// # Errors
/// [`BadHeader`].
#[inline]
pub fn parse(datagram: &[u8]) -> Result<Vni, BadHeader> {
    let Some(&[flags, _, _, _, high, middle, low, _]) = datagram.first_chunk::<LEN>() else {
        return Err(BadHeader::Short);
    };
    if flags & VALID_VNI == 0 {
        return Err(BadHeader::NoVni);
    }
    Vni::new(u32::from_be_bytes([0, high, middle, low])).map_err(|_| BadHeader::Zero)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_layout_of_the_rfc() {
        let vni = Vni::new(0x12_3456).unwrap();
        assert_eq!(encode(vni), [8, 0, 0, 0, 0x12, 0x34, 0x56, 0]);
        assert_eq!(parse(&encode(vni)), Ok(vni));
    }

    #[test]
    fn what_is_no_header() {
        assert_eq!(parse(&[8, 0, 0, 0, 0, 0, 1]), Err(BadHeader::Short));
        assert_eq!(parse(&[0xf7, 0, 0, 0, 0, 0, 1, 0]), Err(BadHeader::NoVni));
        assert_eq!(parse(&[8, 0, 0, 0, 0, 0, 0, 255]), Err(BadHeader::Zero));
        for text in ["0", "16777216", "-1", "x", ""] {
            assert_eq!(text.parse::<Vni>(), Err(BadVni), "{text}");
        }
        assert_eq!("16777215".parse::<Vni>().unwrap().get(), Vni::MAX);
    }

    proptest! {
        #[test]
        fn every_segment_is_read_back_whatever_is_reserved(number in 1..=Vni::MAX, noise: [u8; 8]) {
            let vni = Vni::new(number).unwrap();
            let mut header = encode(vni);
            let reserved = [!VALID_VNI, 255, 255, 255, 0, 0, 0, 255];
            for (byte, (noise, reserved)) in header.iter_mut().zip(noise.into_iter().zip(reserved)) {
                *byte |= noise & reserved;
            }
            prop_assert_eq!(parse(&header), Ok(vni));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            match parse(&bytes) {
                Ok(vni) => {
                    prop_assert!(bytes[0] & VALID_VNI != 0);
                    prop_assert_eq!(&encode(vni)[4..7], &bytes[4..7]);
                }
                Err(BadHeader::Short) => prop_assert!(bytes.len() < LEN),
                Err(BadHeader::NoVni) => prop_assert!(bytes[0] & VALID_VNI == 0),
                Err(BadHeader::Zero) => prop_assert_eq!(&bytes[4..7], &[0, 0, 0]),
            }
        }
    }
}
