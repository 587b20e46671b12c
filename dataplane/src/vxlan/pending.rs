//! Checksums and segments that the sender's kernel left to a card that was never asked.
//!
//! Linux leaves the checksum of a frame open when what it sends through promises to complete it, and a virtual link
//! (veth, virtio) promises that for the inner frame of a tunnel too. On such a link nobody completes it: the
//! receiver's kernel knows by a mark that is not in the datagram, and a program that has the datagram from a socket
//! does not. So hosts that are containers or virtual machines of one machine send frames whose checksum is the
//! sum of the pseudo-header alone. A sum that is right by itself and happens to be the same is completed to itself.
//!
//! The same links promise to cut large TCP segments, and deliver them whole to a socket of UDP. Such a frame is
//! longer than the segment's MTU, and is cut to that.

#![forbid(unsafe_code)]

use crate::offload::{Checksum, Segmentation, SegmentationKind, Sum, VirtioNetHeader};
use crate::packet::{EtherType, EthernetHeader, Ipv4Header, Ipv6Header, Protocol};

/// What a frame that came as a datagram still needs, on a segment of this MTU.
pub(crate) fn offload(frame: &[u8], mtu: usize) -> VirtioNetHeader {
    let Some((start, offset)) = open_at(frame) else { return VirtioNetHeader::PLAIN };
    let checksum = Checksum::Partial { start, offset };
    VirtioNetHeader { checksum, segmentation: segmentation(frame, usize::from(start), offset, mtu) }
}

/// How a TCP segment that is longer than the MTU is to be cut.
fn segmentation(frame: &[u8], start: usize, offset: u16, mtu: usize) -> Option<Segmentation> {
    let ethernet = EthernetHeader::parse(frame)?;
    if frame.len() - ethernet.len() <= mtu || offset != TCP_CHECKSUM {
        return None;
    }
    let header = usize::from(*frame.get(start + 12)? >> 4) * 4;
    let size = mtu.checked_sub(start - ethernet.len() + header).filter(|size| *size > 0)?;
    Some(Segmentation {
        kind: if ethernet.ether_type == EtherType::IPV4 {
            SegmentationKind::Tcp4
        } else {
            SegmentationKind::Tcp6
        },
        ecn: false,
        header_len: u16::try_from(start + header).ok()?,
        size: u16::try_from(size).ok()?,
    })
}

/// Place of the checksum in the header of TCP (RFC 9293, section 3.1).
const TCP_CHECKSUM: u16 = 16;

/// Where the checksum is to be completed: the first byte that it covers, and its place from there.
fn open_at(frame: &[u8]) -> Option<(u16, u16)> {
    let ethernet = EthernetHeader::parse(frame)?;
    let packet = frame.get(ethernet.len()..)?;
    let (start, end, protocol, pseudo_header) = match ethernet.ether_type {
        EtherType::IPV4 => {
            let ip = Ipv4Header::parse(packet).filter(|ip| !ip.is_fragment)?;
            let length = u32::try_from(ip.total_len.checked_sub(ip.header_len)?).ok()?;
            let sum = Sum::pseudo_header4(ip.src, ip.dst, ip.protocol, length);
            (ip.header_len, ip.total_len, ip.protocol, sum)
        }
        EtherType::IPV6 => {
            let ip = Ipv6Header::parse(packet)?;
            // No kernel leaves it open behind extension headers.
            let length = u32::try_from(ip.total_len.checked_sub(Ipv6Header::LEN)?).ok()?;
            let sum = Sum::pseudo_header6(ip.src, ip.dst, ip.next, length);
            (Ipv6Header::LEN, ip.total_len, ip.next, sum)
        }
        _ => return None,
    };
    let offset = match protocol {
        Protocol::TCP => usize::from(TCP_CHECKSUM),
        Protocol::UDP => 6,
        _ => return None,
    };
    let field = packet.get(start + offset..end)?.first_chunk::<2>()?;
    let found = u16::from_be_bytes(*field);
    let open = !pseudo_header.finish();
    // In one's complement 0 and 0xffff are the same number; but UDP's 0 says that there is none (RFC 768).
    let same = found % 0xffff == open % 0xffff && !(protocol == Protocol::UDP && found == 0);
    let place = (u16::try_from(ethernet.len() + start).ok()?, u16::try_from(offset).ok()?);
    // What follows the packet would be summed too.
    (same && ethernet.len() + end == frame.len()).then_some(place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::offload::{Segmenter, complete_checksum};

    fn checksum(frame: &[u8]) -> Checksum {
        offload(frame, 1500).checksum
    }

    /// A TCP or UDP frame with this in its checksum field.
    fn frame(six: bool, udp: bool, payload: &[u8], field: impl Fn(u16) -> u16) -> Vec<u8> {
        let (protocol, header, offset) = if udp { (17, 8, 6) } else { (6, 20, 16) };
        let length = u16::try_from(header + payload.len()).unwrap();
        let mut frame = vec![2; 12];
        let open = if six {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend([0xfd; 32]);
            let ip = [0xfd; 16].into();
            !Sum::pseudo_header6(ip, ip, Protocol(protocol), length.into()).finish()
        } else {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + length).to_be_bytes());
            frame.extend([0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            let (one, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
            !Sum::pseudo_header4(one, other, Protocol(protocol), length.into()).finish()
        };
        let at = frame.len();
        frame.extend(vec![0x50; header]);
        frame.extend(payload);
        frame[at + offset..at + offset + 2].copy_from_slice(&field(open).to_be_bytes());
        frame
    }

    #[test]
    fn an_open_sum_is_seen_and_another_is_not() {
        for (six, udp) in [(false, false), (false, true), (true, false), (true, true)] {
            let start = if six { 54 } else { 34 };
            let offset = if udp { 6 } else { 16 };
            let open = frame(six, udp, b"payload", |open| open);
            assert_eq!(checksum(&open), Checksum::Partial { start, offset });
            assert_eq!(checksum(&frame(six, udp, b"x", |open| open ^ 1)), Checksum::Present);
            let padded = [&open[..], &[0; 3]].concat();
            assert_eq!(checksum(&padded), Checksum::Present, "it would be summed with the frame");
        }
        assert_eq!(checksum(&frame(false, true, b"x", |_| 0)), Checksum::Present);
    }

    #[test]
    fn a_tcp_segment_beyond_the_mtu_is_to_be_cut() {
        let mut long = frame(false, false, &[7; 3000], |open| open);
        long[46] = 5 << 4;
        let found = offload(&long, 1450).segmentation.unwrap();
        assert_eq!((found.kind, found.size), (SegmentationKind::Tcp4, 1410));
        assert_eq!((found.header_len, offload(&long, 3040).segmentation), (54, None));
        let mut segments = Segmenter::new(&long, offload(&long, 1450), 1450).unwrap();
        assert_eq!(segments.remaining(), 3);
        assert_eq!(segments.next_segment().unwrap().len(), 14 + 1450);
        let datagram = frame(false, true, &[7; 3000], |open| open);
        assert_eq!(offload(&datagram, 1450).segmentation, None);
        assert_eq!(offload(&long, 30).segmentation, None);
    }

    proptest! {
        /// A sum that was complete is the same afterwards, even if it looks open.
        #[test]
        fn completing_what_is_complete_changes_nothing(
            six: bool, payload in proptest::collection::vec(any::<u8>(), 2..40),
        ) {
            let mut whole = frame(six, false, &payload, |open| open);
            let (start, offset) = if six { (54, 16) } else { (34, 16) };
            complete_checksum(&mut whole, start, offset).unwrap();
            let mut twin = whole.clone();
            if let Checksum::Partial { start, offset } = checksum(&twin) {
                complete_checksum(&mut twin, start, offset).unwrap();
            }
            prop_assert_eq!(twin, whole);
        }

        #[test]
        fn any_bytes_are_looked_at(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), v6: bool) {
            let _ = checksum(&bytes);
            if bytes.len() > 15 {
                bytes[12..15].copy_from_slice(if v6 { &[0x86, 0xdd, 0x60] } else { &[8, 0, 0x45] });
                let _ = offload(&bytes, 20);
                if let Checksum::Partial { start, offset } = checksum(&bytes) {
                    prop_assert!(complete_checksum(&mut bytes, start, offset).is_ok());
                }
            }
        }
    }
}
