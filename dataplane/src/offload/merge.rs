//! Putting TCP segments of one stream back together, as kernels do with what they receive (Linux
//! `net/ipv4/tcp_offload.c`, `tcp_gro_receive`): the receiver takes one large segment in place of dozens.
//!
//! Nothing is lost by it but identifications of IPv4. Only segments that are right are put together: their checksums
//! are looked at, for the large segment has none of its own.

use super::segment::{
    IPV4_CHECKSUM, Layout, MAX_PACKET, Network, PSH, TCP_FLAGS, TCP_SEQUENCE, low16, octets, put16,
};
use super::{Checksum, Segmentation, SegmentationKind, Segmenter, VirtioNetHeader, checksum};
use crate::packet::{EtherType, EthernetHeader, Ipv4Header, Ipv6Header, Protocol};

/// Segments behind each other, as one frame under way.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    bytes: Vec<u8>,
    under_way: Option<UnderWay>,
}

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    layout: Layout,
    kind: SegmentationKind,
    /// Payload of each segment but the last.
    size: usize,
    count: usize,
    /// The sequence number of what comes next.
    next: u32,
    /// Nothing can come behind the last one.
    ended: bool,
}

/// What [`Merger::take`] gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merged<'a> {
    /// The frame.
    pub(crate) bytes: &'a mut [u8],
    /// What it still needs.
    pub(crate) offload: VirtioNetHeader,
    /// Frames that it was.
    pub(crate) count: usize,
}

impl Merger {
    /// Puts a frame behind what is there, or begins with it when nothing is. `false`: it cannot stand there, and
    /// nothing has changed.
    pub(crate) fn push(&mut self, frame: &[u8]) -> bool {
        let Some((layout, kind)) = candidate(frame) else { return false };
        let payload = &frame[layout.headers_len..];
        let Some(found) = &mut self.under_way else {
            let sequence = u32::from_be_bytes(octets(frame, layout.l4 + TCP_SEQUENCE));
            self.bytes.clear();
            self.bytes.extend_from_slice(frame);
            self.under_way = Some(UnderWay {
                layout,
                kind,
                size: payload.len(),
                count: 1,
                next: sequence.wrapping_add(below64k(payload.len())),
                ended: frame[layout.l4 + TCP_FLAGS] & PSH != 0,
            });
            return true;
        };
        if found.ended
            || payload.len() > found.size
            || found.count == Segmenter::MAX_SEGMENTS
            || self.bytes.len() + payload.len() - layout.l3 > MAX_PACKET
            || !is_next(&self.bytes, frame, found, &layout)
        {
            return false;
        }
        let pushed = frame[layout.l4 + TCP_FLAGS] & PSH;
        self.bytes[layout.l4 + TCP_FLAGS] |= pushed;
        self.bytes.extend_from_slice(payload);
        found.count += 1;
        found.next = found.next.wrapping_add(below64k(payload.len()));
        found.ended = pushed != 0 || payload.len() < found.size;
        true
    }

    /// What is there, after which nothing is.
    pub(crate) fn take(&mut self) -> Option<Merged<'_>> {
        let UnderWay { layout, kind, size, count, .. } = self.under_way.take()?;
        let bytes = &mut self.bytes[..];
        if count == 1 {
            return Some(Merged { bytes, offload: VirtioNetHeader::PLAIN, count });
        }
        let Layout { l3, l4, headers_len, network, .. } = layout;
        let length = bytes.len() - l4;
        match network {
            Network::V4(_) => {
                put16(bytes, l3 + 2, low16(l4 - l3 + length));
                put16(bytes, l3 + IPV4_CHECKSUM, 0);
                let sum = checksum(&bytes[l3..l4]);
                put16(bytes, l3 + IPV4_CHECKSUM, sum);
            }
            Network::V6(_) => put16(bytes, l3 + 4, low16(length)),
        }
        let pseudo = network.pseudo_header(Protocol::TCP, below64k(length));
        put16(bytes, l4 + TCP_CHECKSUM, !pseudo.finish());
        let segmentation =
            Segmentation { kind, ecn: false, header_len: low16(headers_len), size: low16(size) };
        let offload = VirtioNetHeader {
            checksum: Checksum::Partial { start: low16(l4), offset: low16(TCP_CHECKSUM) },
            segmentation: Some(segmentation),
        };
        Some(Merged { bytes, offload, count })
    }
}

/// Place of the checksum in the header of TCP (RFC 9293, section 3.1).
const TCP_CHECKSUM: usize = 16;
const ACK: u8 = 0x10;

/// A complete segment with data that says nothing that a larger one could not say.
fn candidate(frame: &[u8]) -> Option<(Layout, SegmentationKind)> {
    let kind = match EthernetHeader::parse(frame)?.ether_type {
        EtherType::IPV4 => SegmentationKind::Tcp4,
        EtherType::IPV6 => SegmentationKind::Tcp6,
        _ => return None,
    };
    let layout = Layout::of(frame, kind)?;
    let Layout { l3, l4, headers_len, end, network, .. } = layout;
    // Options and extension headers are rare, and some concern each packet.
    let plain = match network {
        Network::V4(_) => l4 == l3 + Ipv4Header::LEN && checksum(&frame[l3..l4]) == 0,
        Network::V6(_) => l4 == l3 + Ipv6Header::LEN,
    };
    let only_data = frame[l4 + TCP_FLAGS] & !PSH == ACK && headers_len < end && end == frame.len();
    if !plain || !only_data {
        return None;
    }
    let pseudo = network.pseudo_header(Protocol::TCP, below64k(end - l4));
    (pseudo.plus(&frame[l4..end]).finish() == 0).then_some((layout, kind))
}

/// Whether all that a larger segment says once is the same, and the data is what comes next.
fn is_next(first: &[u8], frame: &[u8], found: &UnderWay, layout: &Layout) -> bool {
    let Layout { l3, l4, headers_len, network, .. } = *layout;
    let shape = |it: &Layout| (it.l3, it.l4, it.headers_len);
    if shape(&found.layout) != shape(layout) {
        return false;
    }
    // Length, identification and sum of IPv4; length of IPv6; sequence number, flags and sum of TCP differ.
    let network: &[(usize, usize)] = match network {
        Network::V4(_) => &[(0, 2), (6, 10), (12, 20)],
        Network::V6(_) => &[(0, 4), (6, 40)],
    };
    let tcp = [(0, 4), (8, 13), (14, 16), (18, headers_len - l4)];
    let network = network.iter().map(|(from, to)| l3 + from..l3 + to);
    let tcp = tcp.iter().map(|(from, to)| l4 + from..l4 + to);
    first[..l3] == frame[..l3]
        && network.chain(tcp).all(|range| first[range.clone()] == frame[range])
        && u32::from_be_bytes(octets(frame, l4 + TCP_SEQUENCE)) == found.next
}

#[expect(clippy::cast_possible_truncation, reason = "a part of an IP packet")]
fn below64k(length: usize) -> u32 {
    length as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::offload::complete_checksum;
    use crate::offload::test_frames::{headers, pseudo_header};

    const SIZE: usize = 100;

    /// A frame with data from `start` of a stream on; what is to be different is done to it before its sums are made.
    fn frame(six: bool, start: u32, payload: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
        let length = u16::try_from(32 + payload.len()).unwrap();
        let mut frame = headers(six, u16::from_be_bytes([start.to_be_bytes()[3], 7]), length);
        let l4 = frame.len();
        frame.extend([0x12, 0x34, 0x56, 0x78]);
        frame.extend(start.to_be_bytes());
        frame.extend([0, 0, 0, 9, 8 << 4, ACK, 1, 0, 0, 0, 0, 0]);
        // A time stamp (RFC 7323).
        frame.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        frame.extend(payload);
        change(&mut frame);
        if !six {
            let sum = checksum(&frame[14..34]);
            put16(&mut frame, 24, sum);
        }
        let pseudo = pseudo_header(six, length.into());
        put16(&mut frame, l4 + 16, !pseudo.finish());
        complete_checksum(&mut frame, u16::try_from(l4).unwrap(), 16).unwrap();
        frame
    }

    fn plain(start: u32, length: usize) -> Vec<u8> {
        frame(false, start, &vec![7; length], |_| {})
    }

    fn joins(second: &[u8]) -> bool {
        let mut merger = Merger::default();
        assert!(merger.push(&plain(1000, SIZE)));
        let joined = merger.push(second);
        assert_eq!(merger.take().unwrap().count, 1 + usize::from(joined));
        joined
    }

    #[test]
    fn what_comes_next_is_joined_and_nothing_else() {
        assert!(joins(&plain(1100, SIZE)) && joins(&plain(1100, 1)));
        assert!(!joins(&plain(1200, SIZE)), "a gap");
        assert!(!joins(&plain(1000, SIZE)), "the same again");
        assert!(!joins(&plain(1100, SIZE + 1)), "a longer one");
        let different = |at: usize, value: u8| {
            !joins(&frame(false, 1100, &[7; SIZE], |frame| frame[at] = value))
        };
        assert!(different(5, 9), "Ethernet");
        assert!(different(15, 3), "type of service");
        assert!(different(22, 63), "time to live");
        assert!(different(35, 0x35), "port");
        assert!(different(45, 8), "acknowledgement");
        assert!(different(48, 2), "window");
        assert!(different(61, 3), "time stamp");
        for flags in [ACK | 1, ACK | 2, ACK | 4, 0, ACK | 0x20, ACK | 0x80] {
            assert!(different(47, flags), "flags {flags:#x}");
        }
    }

    #[test]
    fn what_is_damaged_is_left_alone() {
        for at in 14..plain(0, SIZE).len() {
            let mut damaged = plain(1000, SIZE);
            damaged[at] ^= 4;
            assert!(!Merger::default().push(&damaged), "byte {at}");
        }
        let padded = [plain(1000, 1), vec![0]].concat();
        assert!(!Merger::default().push(&padded) && !Merger::default().push(&[]));
        assert!(!Merger::default().push(&plain(1000, 0)), "no data");
    }

    #[test]
    fn a_push_and_a_short_one_are_the_last() {
        let mut merger = Merger::default();
        let pushed = frame(false, 1100, &[7; SIZE], |frame| frame[47] |= PSH);
        assert!(merger.push(&plain(1000, SIZE)) && merger.push(&pushed));
        assert!(!merger.push(&plain(1200, SIZE)));
        assert_eq!(merger.take().unwrap().bytes[47], ACK | PSH);
        assert!(merger.push(&plain(1000, SIZE)) && merger.push(&plain(1100, 3)));
        assert!(!merger.push(&plain(1103, 3)));
        assert_eq!(merger.take().unwrap().bytes[47], ACK);
        assert_eq!(merger.take(), None);
    }

    #[test]
    fn a_frame_alone_is_as_it_came() {
        let (mut merger, alone) = (Merger::default(), plain(1000, SIZE));
        assert!(merger.push(&alone));
        let merged = merger.take().unwrap();
        assert_eq!((&*merged.bytes, merged.offload), (&alone[..], VirtioNetHeader::PLAIN));
    }

    #[test]
    fn a_packet_is_no_longer_than_its_length_can_say() {
        let (mut merger, mut start) = (Merger::default(), 0);
        while merger.push(&plain(start, 1400)) {
            start += 1400;
        }
        let merged = merger.take().unwrap();
        assert!((MAX_PACKET - 1400..=MAX_PACKET).contains(&(merged.bytes.len() - 14)));
    }

    proptest! {
        /// Cut again, it is what it was.
        #[test]
        fn cutting_gives_the_segments_again(
            six: bool, start: u32, count in 2usize..20, last in 1usize..=SIZE, seed: u8,
        ) {
            let mut frames = Vec::new();
            let mut merger = Merger::default();
            for at in 0..count {
                let length = if at + 1 == count { last } else { SIZE };
                let payload: Vec<u8> = (0..length).map(|it| it.to_le_bytes()[0] ^ seed).collect();
                let start = start.wrapping_add(u32::try_from(at * SIZE).unwrap());
                frames.push(frame(six, start, &payload, |frame| {
                    if !six {
                        // As the segmenter counts them.
                        put16(frame, 18, u16::try_from(at).unwrap());
                    }
                }));
                prop_assert!(merger.push(&frames[at]));
            }
            let merged = merger.take().unwrap();
            prop_assert_eq!(merged.count, count);
            let mut segments = Segmenter::new(merged.bytes, merged.offload, 1450).unwrap();
            for expected in frames {
                let mut out = vec![0; expected.len()];
                segments.next_segment().unwrap().write_to(&mut out);
                prop_assert_eq!(out, expected);
            }
            prop_assert!(segments.next_segment().is_none());
        }

        #[test]
        fn any_bytes_are_looked_at(
            one in proptest::collection::vec(any::<u8>(), 0..120), mut other in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let mut merger = Merger::default();
            merger.push(&plain(1000, SIZE));
            merger.push(&one);
            if other.len() > 24 {
                other[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6]);
            }
            merger.push(&other);
            prop_assert!(merger.take().is_some());
        }
    }
}
