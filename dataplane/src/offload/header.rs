//! `struct virtio_net_hdr`, little endian (virtio 1.2, section 5.1.6): what the sender of a frame
//! leaves to the receiver.

/// What a frame still needs before it may go on a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VirtioNetHeader {
    /// State of its TCP or UDP checksum.
    pub checksum: Checksum,
    /// How to cut it; `None` when it is one packet.
    pub segmentation: Option<Segmentation>,
}

/// State of a frame's TCP or UDP checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksum {
    /// The frame carries it; nothing is known about it.
    #[default]
    Present,
    /// The sender vouches for it (`DATA_VALID`).
    Valid,
    /// The field holds the sum of the pseudo-header only (`NEEDS_CSUM`).
    Partial {
        /// First byte of the frame that the checksum covers.
        start: u16,
        /// The field's place, counted from `start`.
        offset: u16,
    },
}

/// How a frame is to be cut into packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segmentation {
    /// The protocol.
    pub kind: SegmentationKind,
    /// Segments may carry ECN's CWR flag: on the first one only.
    pub ecn: bool,
    /// Length of all headers, as the sender says; a hint that is never relied upon.
    pub header_len: u16,
    /// Payload of each segment but the last, in bytes.
    pub size: u16,
}

/// Protocol of a frame that is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentationKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over either: each segment is a datagram of its own.
    Udp,
}

/// An offload that makes no sense for the frame it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadOffload {
    /// Fewer bytes than the header has.
    #[error("the virtio-net header is cut short")]
    ShortHeader,
    /// A segmentation type that was never offered to the sender.
    #[error("unknown segmentation type {0}")]
    UnknownType(u8),
    /// What the sender leaves to us has no name in this header.
    #[error("the frame needs what a virtio-net header cannot say")]
    Unnamed,
    /// Segmentation without a segment size or without a checksum to complete.
    #[error("segmentation without a segment size or a partial checksum")]
    Incomplete,
    /// The checksum field lies outside the frame.
    #[error("the checksum field lies outside the frame")]
    ChecksumRange,
    /// The frame's headers are not those of the segmentation type.
    #[error("the headers of the frame do not fit its segmentation type")]
    Headers,
    /// The packets would be longer than the MTU.
    #[error("segments of {0} bytes are longer than the MTU")]
    SegmentSize(usize),
    /// The frame is longer than any packet, and the rest of it is lost.
    #[error("a frame of {0} bytes is longer than any packet")]
    Truncated(usize),
    /// The segments are so short that there would be too many.
    #[error("the frame would become {0} segments")]
    TooManySegments(usize),
}

impl VirtioNetHeader {
    /// Length of the layout with `num_buffers`, used in rings.
    pub const LEN: usize = 12;
    /// Length of the layout without `num_buffers`, used on TAPs and packet sockets.
    pub const SHORT_LEN: usize = 10;

    /// A complete frame.
    pub const PLAIN: Self = Self { checksum: Checksum::Present, segmentation: None };

    /// Parses the first ten bytes, common to both layouts.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadOffload> {
        let Some([flags, kind, rest @ ..]) = bytes.first_chunk::<{ Self::SHORT_LEN }>() else {
            return Err(BadOffload::ShortHeader);
        };
        let [header_len, size, start, offset] = words(*rest);
        let checksum = if flags & NEEDS_CSUM != 0 {
            Checksum::Partial { start, offset }
        } else if flags & DATA_VALID != 0 {
            Checksum::Valid
        } else {
            Checksum::Present
        };
        let kind = match kind & !GSO_ECN {
            GSO_NONE => return Ok(Self { checksum, segmentation: None }),
            GSO_TCPV4 => SegmentationKind::Tcp4,
            GSO_TCPV6 => SegmentationKind::Tcp6,
            GSO_UDP_L4 => SegmentationKind::Udp,
            other => return Err(BadOffload::UnknownType(other)),
        };
        if size == 0 || !matches!(checksum, Checksum::Partial { .. }) {
            return Err(BadOffload::Incomplete);
        }
        let ecn = bytes[1] & GSO_ECN != 0;
        Ok(Self { checksum, segmentation: Some(Segmentation { kind, ecn, header_len, size }) })
    }

    /// The 12-byte layout; its first ten bytes are the short one.
    pub fn encode(self) -> [u8; Self::LEN] {
        let (flags, start, offset) = match self.checksum {
            Checksum::Present => (0, 0, 0),
            Checksum::Valid => (DATA_VALID, 0, 0),
            Checksum::Partial { start, offset } => (NEEDS_CSUM, start, offset),
        };
        let (kind, header_len, size) = match self.segmentation {
            None => (GSO_NONE, 0, 0),
            Some(gso) => {
                let kind = match gso.kind {
                    SegmentationKind::Tcp4 => GSO_TCPV4,
                    SegmentationKind::Tcp6 => GSO_TCPV6,
                    SegmentationKind::Udp => GSO_UDP_L4,
                };
                (kind | if gso.ecn { GSO_ECN } else { 0 }, gso.header_len, gso.size)
            }
        };
        let mut bytes = [0; Self::LEN];
        bytes[0] = flags;
        bytes[1] = kind;
        for (place, word) in bytes[2..10].chunks_exact_mut(2).zip([header_len, size, start, offset])
        {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Whether the frame can go on a wire, or into a ring without offloads, as it is.
    #[inline]
    pub fn is_plain(self) -> bool {
        self.segmentation.is_none() && !matches!(self.checksum, Checksum::Partial { .. })
    }
}

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

fn words(bytes: [u8; 8]) -> [u16; 4] {
    std::array::from_fn(|word| u16::from_le_bytes([bytes[2 * word], bytes[2 * word + 1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tcp_frame_of_the_kernel() {
        let bytes = [1, 0x81, 66, 0, 0xa8, 5, 34, 0, 16, 0, 0, 0];
        let header = VirtioNetHeader {
            checksum: Checksum::Partial { start: 34, offset: 16 },
            segmentation: Some(Segmentation {
                kind: SegmentationKind::Tcp4,
                ecn: true,
                header_len: 66,
                size: 1448,
            }),
        };
        assert_eq!(VirtioNetHeader::parse(&bytes), Ok(header));
        assert_eq!(header.encode(), bytes);
        assert!(!header.is_plain());
    }

    #[test]
    fn every_encoded_header_parses_back() {
        use SegmentationKind::{Tcp4, Tcp6, Udp};
        let partial = Checksum::Partial { start: 54, offset: 6 };
        let gso = |kind| Segmentation { kind, ecn: false, header_len: 54, size: 1000 };
        for header in [
            VirtioNetHeader::PLAIN,
            VirtioNetHeader { checksum: Checksum::Valid, segmentation: None },
            VirtioNetHeader { checksum: partial, segmentation: None },
            VirtioNetHeader { checksum: partial, segmentation: Some(gso(Tcp4)) },
            VirtioNetHeader { checksum: partial, segmentation: Some(gso(Tcp6)) },
            VirtioNetHeader { checksum: partial, segmentation: Some(gso(Udp)) },
        ] {
            assert_eq!(VirtioNetHeader::parse(&header.encode()), Ok(header));
            assert_eq!(VirtioNetHeader::parse(&header.encode()[..10]), Ok(header));
        }
    }

    #[test]
    fn claims_that_make_no_sense() {
        let parse = VirtioNetHeader::parse;
        assert_eq!(parse(&[0; 9]), Err(BadOffload::ShortHeader));
        assert_eq!(parse(&[1, 3, 0, 0, 1, 0, 0, 0, 0, 0]), Err(BadOffload::UnknownType(3)));
        assert_eq!(parse(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0]), Err(BadOffload::Incomplete));
        assert_eq!(parse(&[0, 1, 0, 0, 1, 0, 0, 0, 0, 0]), Err(BadOffload::Incomplete));
    }
}
