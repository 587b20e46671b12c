//! TCP segments that a sender left whole for a card that was never asked.
//!
//! A kernel leaves to the next device that a large segment is cut, and its checksum completed. Who passes such a segment
//! on over a link that cannot say so passes on neither how it is to be cut nor what its checksum is: VPP does over memif
//! (v26.06, `src/vnet/interface_output.c`, `vnet_interface_output_handle_offload`: buffers with `VNET_BUFFER_F_GSO` are
//! left as they are). What stands in the field of the checksum is then the sum of a pseudo-header that the translation of
//! addresses has changed as if it were a checksum, so that it says nothing.

use super::segment::{IPV4_CHECKSUM, Layout, Network, low16, put16};
use super::{Checksum, Segmentation, SegmentationKind, VirtioNetHeader, checksum};
use crate::packet::{EtherType, EthernetHeader, Protocol};

/// Place of the checksum in the header of TCP (RFC 9293, section 3.1).
const TCP_CHECKSUM: usize = 16;

/// What a TCP segment that makes a packet of more than `mtu` bytes still needs. Its checksum becomes one that is left open,
/// and that of IPv4 is made anew. `None` for all else, which is not changed.
pub(crate) fn uncut(frame: &mut [u8], mtu: usize) -> Option<VirtioNetHeader> {
    let kind = match EthernetHeader::parse(frame)?.ether_type {
        EtherType::IPV4 => SegmentationKind::Tcp4,
        EtherType::IPV6 => SegmentationKind::Tcp6,
        _ => return None,
    };
    let layout = Layout::of(frame, kind)?;
    let Layout { l3, l4, headers_len, end, network, .. } = layout;
    if end - l3 <= mtu || end != frame.len() {
        return None;
    }
    let size = mtu.checked_sub(headers_len - l3).filter(|size| *size > 0)?;
    if let Network::V4(_) = network {
        put16(frame, l3 + IPV4_CHECKSUM, 0);
        let sum = checksum(&frame[l3..l4]);
        put16(frame, l3 + IPV4_CHECKSUM, sum);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a part of an IP packet")]
    let length = (end - l4) as u32;
    let open = !network.pseudo_header(Protocol::TCP, length).finish();
    put16(frame, l4 + TCP_CHECKSUM, open);
    Some(VirtioNetHeader {
        checksum: Checksum::Partial { start: low16(l4), offset: low16(TCP_CHECKSUM) },
        segmentation: Some(Segmentation {
            kind,
            ecn: false,
            header_len: low16(headers_len),
            size: low16(size),
        }),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::offload::Segmenter;
    use crate::offload::test_frames::{headers, pseudo_header};

    /// A frame of TCP over IPv4 or IPv6, with checksums that say nothing.
    fn frame(six: bool, payload: &[u8]) -> Vec<u8> {
        let mut frame = headers(six, 0, u16::try_from(20 + payload.len()).unwrap());
        if !six {
            frame[24..26].copy_from_slice(&[0xde, 0xad]);
        }
        frame.extend([0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0, 99, 0xbe, 0xef, 0, 0]);
        frame.extend(payload);
        frame
    }

    /// Whether the sums of a packet of TCP are right.
    fn is_right(packet: &[u8], six: bool) -> bool {
        let tcp = &packet[if six { 54 } else { 34 }..];
        let pseudo = pseudo_header(six, u32::try_from(tcp.len()).unwrap());
        let ip = six || checksum(&packet[14..34]) == 0;
        ip && pseudo.plus(tcp).finish() == 0
    }

    #[test]
    fn a_segment_is_cut_to_the_mtu_with_sums_that_are_right() {
        for (six, first) in [(false, 1500 - 40), (true, 1500 - 60)] {
            let payload: Vec<u8> = (0..=255).cycle().take(4000).collect();
            let mut whole = frame(six, &payload);
            let offload = uncut(&mut whole, 1500).unwrap();
            let mut segments = Segmenter::new(&whole, offload, 1500).unwrap();
            let (mut got, mut lengths) = (Vec::new(), Vec::new());
            while let Some(segment) = segments.next_segment() {
                let mut packet = vec![0; segment.len()];
                segment.write_to(&mut packet).unwrap();
                assert!(is_right(&packet, six), "segment {}", lengths.len());
                let data = &packet[packet.len() - segment.payload.len()..];
                got.extend_from_slice(data);
                lengths.push(data.len());
            }
            assert_eq!((lengths[0], lengths.len()), (first, 3));
            assert_eq!(got, payload);
        }
    }

    #[test]
    fn left_whole_its_sums_are_right_once_they_are_completed() {
        for six in [false, true] {
            let mut whole = frame(six, &[7; 3001]);
            let Checksum::Partial { start, offset } = uncut(&mut whole, 1500).unwrap().checksum
            else {
                panic!("it is open")
            };
            crate::offload::complete_checksum(&mut whole, start, offset).unwrap();
            assert!(is_right(&whole, six));
        }
    }

    #[test]
    fn nothing_else_is_changed() {
        let fits = frame(false, &[7; 1460]);
        let padded = [frame(false, &[7; 3000]), vec![0]].concat();
        let mut datagram = frame(false, &[7; 3000]);
        datagram[23] = 17;
        let mut fragment = frame(false, &[7; 3000]);
        fragment[20] = 0x20;
        let mut arp = frame(false, &[7; 3000]);
        arp[13] = 6;
        for frame in [fits, padded, datagram, fragment, arp] {
            let mut now = frame.clone();
            assert_eq!(uncut(&mut now, 1500), None);
            assert_eq!(now, frame);
        }
        assert_eq!(uncut(&mut frame(false, &[7; 3000]), 40), None, "no room for data");
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(mut bytes in proptest::collection::vec(any::<u8>(), 0..150), six: bool) {
            if bytes.len() > 15 {
                bytes[12..15].copy_from_slice(if six { &[0x86, 0xdd, 0x60] } else { &[8, 0, 0x45] });
            }
            if let Some(offload) = uncut(&mut bytes, 60) {
                prop_assert!(Segmenter::new(&bytes, offload, 60).is_ok());
            }
        }
    }
}
