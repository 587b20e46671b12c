//! Segmentation with smoltcp as the judge of each segment's headers and checksums.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket,
};

use super::*;

const FLAGS: u8 = 0xd9; // CWR, ECE, ACK, PSH, FIN

/// A frame to be cut, and what was put into it.
#[derive(Debug, Clone)]
struct Original {
    kind: SegmentationKind,
    v6: bool,
    tagged: bool,
    ip_options: usize,
    tcp_options: usize,
    sequence: u32,
    identification: u16,
    payload: Vec<u8>,
    size: u16,
}

impl Original {
    fn l3(&self) -> usize {
        if self.tagged { 18 } else { 14 }
    }

    fn l4(&self) -> usize {
        self.l3() + if self.v6 { 40 + self.ip_options * 8 } else { 20 + self.ip_options * 4 }
    }

    fn is_tcp(&self) -> bool {
        self.kind != SegmentationKind::Udp
    }

    fn headers_len(&self) -> usize {
        self.l4() + if self.is_tcp() { 20 + self.tcp_options * 4 } else { 8 }
    }

    fn header(&self) -> VirtioNetHeader {
        VirtioNetHeader {
            checksum: Checksum::Partial {
                start: u16::try_from(self.l4()).unwrap(),
                offset: if self.is_tcp() { 16 } else { 6 },
            },
            segmentation: Some(Segmentation {
                kind: self.kind,
                ecn: true,
                header_len: 0,
                size: self.size,
            }),
        }
    }

    fn frame(&self) -> Vec<u8> {
        let protocol = if self.is_tcp() { 6 } else { 17 };
        let mut frame = vec![2; 12];
        if self.tagged {
            frame.extend([0x81, 0, 0, 7]);
        }
        let ip_len = self.headers_len() - self.l3() + self.payload.len();
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(u16::try_from(ip_len - 40).unwrap().to_be_bytes());
            frame.extend([if self.ip_options > 0 { 60 } else { protocol }, 64]);
            frame.extend(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).octets());
            frame.extend(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).octets());
            for left in (0..self.ip_options).rev() {
                frame.extend([if left > 0 { 60 } else { protocol }, 0, 1, 4, 0, 0, 0, 0]);
            }
        } else {
            frame.extend([8, 0, 0x45 + u8::try_from(self.ip_options).unwrap(), 0]);
            frame.extend(u16::try_from(ip_len).unwrap().to_be_bytes());
            frame.extend(self.identification.to_be_bytes());
            frame.extend([0x40, 0, 64, protocol, 0, 0]);
            frame.extend(Ipv4Addr::new(10, 0, 0, 1).octets());
            frame.extend(Ipv4Addr::new(10, 0, 0, 2).octets());
            frame.extend(vec![1; self.ip_options * 4]);
        }
        frame.extend([0x12, 0x34, 0x56, 0x78]);
        if self.is_tcp() {
            frame.extend(self.sequence.to_be_bytes());
            frame.extend([0, 0, 0, 9]);
            frame.extend([u8::try_from(self.tcp_options + 5).unwrap() << 4, FLAGS, 1, 0]);
            frame.extend([0xaa, 0xaa, 0, 0]);
            frame.extend(vec![1; self.tcp_options * 4]);
        } else {
            frame.extend([0, 0, 0xaa, 0xaa]);
        }
        assert_eq!(frame.len(), self.headers_len());
        frame.extend(&self.payload);
        frame
    }

    fn segments(&self) -> Vec<Vec<u8>> {
        let frame = self.frame();
        let mut segmenter = Segmenter::new(&frame, self.header(), 65_535).unwrap();
        let expected = self.payload.len().div_ceil(usize::from(self.size)).max(1);
        assert_eq!(segmenter.remaining(), expected);
        let mut segments = Vec::new();
        while let Some(segment) = segmenter.next_segment() {
            let mut out = vec![0; segment.len()];
            assert_eq!(segment.write_to(&mut out), Some(out.len()));
            assert_eq!(segment.write_to(&mut out[1..]), None);
            segments.push(out);
        }
        assert_eq!((segments.len(), segmenter.remaining()), (expected, 0));
        segments
    }

    /// Checks the IP header of segment `index` and returns what follows it.
    fn ip_payload<'s>(&self, segment: &'s [u8], index: usize) -> &'s [u8] {
        let mut untagged = segment.to_vec();
        if self.tagged {
            assert_eq!(segment[12..16], [0x81, 0, 0, 7]);
            untagged.drain(12..16);
        }
        let frame = EthernetFrame::new_checked(&untagged[..]).unwrap();
        assert_eq!(frame.src_addr().0, [2; 6]);
        if self.v6 {
            assert_eq!(frame.ethertype(), EthernetProtocol::Ipv6);
            let packet = Ipv6Packet::new_checked(frame.payload()).unwrap();
            assert_eq!(packet.total_len(), frame.payload().len());
        } else {
            let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
            assert!(packet.verify_checksum());
            assert_eq!(usize::from(packet.total_len()), frame.payload().len());
            let count = u16::try_from(index).unwrap();
            assert_eq!(packet.ident(), self.identification.wrapping_add(count));
            assert!(packet.dont_frag());
        }
        &segment[self.l4()..]
    }

    fn addresses(&self) -> (smoltcp::wire::IpAddress, smoltcp::wire::IpAddress) {
        if self.v6 {
            let address = |last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into();
            (address(1), address(2))
        } else {
            let address = |last| Ipv4Addr::new(10, 0, 0, last).into();
            (address(1), address(2))
        }
    }

    fn check(&self) {
        let segments = self.segments();
        let (src, dst) = self.addresses();
        let mut payload = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            let (first, last) = (index == 0, index + 1 == segments.len());
            let transport = self.ip_payload(segment, index);
            let piece = if self.is_tcp() {
                let tcp = TcpPacket::new_checked(transport).unwrap();
                assert!(tcp.verify_checksum(&src, &dst));
                let done = u32::try_from(payload.len()).unwrap();
                #[expect(clippy::cast_sign_loss, reason = "the crate's representation")]
                let sequence = tcp.seq_number().0 as u32;
                assert_eq!(sequence, self.sequence.wrapping_add(done));
                assert_eq!((tcp.fin(), tcp.psh(), tcp.cwr()), (last, last, first));
                assert!(tcp.ack() && tcp.ece());
                tcp.payload().to_vec()
            } else {
                let udp = UdpPacket::new_checked(transport).unwrap();
                assert!(udp.checksum() != 0 && udp.verify_checksum(&src, &dst));
                assert_eq!(usize::from(udp.len()), transport.len());
                udp.payload().to_vec()
            };
            assert!(last || piece.len() == usize::from(self.size));
            payload.extend(piece);
        }
        assert_eq!(payload, self.payload);
    }
}

fn originals() -> impl Strategy<Value = Original> {
    let kinds = prop_oneof![
        Just((SegmentationKind::Tcp4, false)),
        Just((SegmentationKind::Tcp6, true)),
        Just((SegmentationKind::Udp, false)),
        Just((SegmentationKind::Udp, true)),
    ];
    let headers = (kinds, any::<bool>(), 0..4usize, 0..11usize);
    let numbers = (any::<u32>(), any::<u16>(), 7..2000u16);
    let payload = proptest::collection::vec(any::<u8>(), 0..6000);
    (headers, numbers, payload).prop_map(|(headers, numbers, payload)| {
        let ((kind, v6), tagged, ip_options, tcp_options) = headers;
        let (sequence, identification, size) = numbers;
        Original {
            kind,
            v6,
            tagged,
            ip_options,
            tcp_options,
            sequence,
            identification,
            payload,
            size,
        }
    })
}

fn plain_tcp(payload_len: usize, size: u16) -> Original {
    Original {
        kind: SegmentationKind::Tcp4,
        v6: false,
        tagged: false,
        ip_options: 0,
        tcp_options: 0,
        sequence: u32::MAX - 10,
        identification: u16::MAX,
        payload: vec![5; payload_len],
        size,
    }
}

#[test]
fn the_largest_frame_and_wrapping_numbers() {
    plain_tcp(65_495, 1460).check();
    plain_tcp(65_495, 64).check();
    plain_tcp(0, 1460).check();
}

#[test]
fn limits() {
    let refused = |original: &Original, mtu| {
        Segmenter::new(&original.frame(), original.header(), mtu).map(|_| ()).unwrap_err()
    };
    let original = plain_tcp(4000, 1461);
    assert_eq!(refused(&original, 1500), BadOffload::SegmentSize(1501));
    assert!(Segmenter::new(&original.frame(), original.header(), 1501).is_ok());
    assert_eq!(refused(&plain_tcp(4000, 1), 1500), BadOffload::TooManySegments(4000));
}

#[test]
fn a_udp_checksum_of_zero_is_written_as_all_ones() {
    let mut original = plain_tcp(100, 1000);
    original.kind = SegmentationKind::Udp;
    original.payload[..2].fill(0);
    let segment = original.segments().remove(0);
    // The complement of the checksum is the sum of the rest: with it the whole sum is all ones.
    let field = original.l4() + 6;
    original.payload[..2].copy_from_slice(&segment[field..field + 2]);
    let segment = original.segments().remove(0);
    assert_eq!(segment[field..field + 2], [0xff, 0xff]);
    original.check();
}

#[test]
fn padding_after_the_packet_is_not_payload() {
    let original = plain_tcp(100, 1000);
    let mut frame = original.frame();
    frame.extend([0xee; 7]);
    let mut segmenter = Segmenter::new(&frame, original.header(), 1500).unwrap();
    assert_eq!(segmenter.next_segment().unwrap().payload, &[5; 100]);
}

#[test]
fn claims_that_do_not_fit_the_frame() {
    let original = plain_tcp(4000, 1000);
    let refused = |frame: &[u8], header| Segmenter::new(frame, header, 1500).map(|_| ());
    let header = original.header();
    let with = |at: usize, value: u8| {
        let mut frame = original.frame();
        frame[at] = value;
        refused(&frame, header)
    };
    assert_eq!(with(12, 0x86), Err(BadOffload::Headers), "not IPv4");
    assert_eq!(with(23, 17), Err(BadOffload::Headers), "not TCP");
    assert_eq!(with(20, 0x20), Err(BadOffload::Headers), "a fragment");
    assert_eq!(with(46, 0x40), Err(BadOffload::Headers), "a TCP header of 16 bytes");
    let mut short = plain_tcp(0, 1000).frame();
    short[46] = 0xf0;
    assert_eq!(refused(&short, header), Err(BadOffload::Headers), "a TCP header beyond the end");
    assert_eq!(with(14, 0x46), Err(BadOffload::Headers), "the checksum starts elsewhere");
    assert_eq!(refused(&original.frame()[..3000], header), Err(BadOffload::Headers), "cut short");
    let frame = original.frame();
    let partial = Checksum::Partial { start: 34, offset: 6 };
    let other = VirtioNetHeader { checksum: partial, ..header };
    assert_eq!(refused(&frame, other), Err(BadOffload::Headers), "the field of UDP");
    let other = VirtioNetHeader { checksum: Checksum::Valid, ..header };
    assert_eq!(refused(&frame, other), Err(BadOffload::Headers), "no checksum to complete");
    let other = VirtioNetHeader { segmentation: None, ..header };
    assert_eq!(refused(&frame, other), Err(BadOffload::Incomplete));
}

proptest! {
    #[test]
    fn segments_are_right_and_reassemble(original in originals()) {
        original.check();
    }

    /// Headers with arbitrary damage, and any claim about them.
    #[test]
    fn takes_any_frame_and_any_claim(
        original in originals(),
        damage in proptest::collection::vec((0..120usize, any::<u8>()), 0..6),
        claim in any::<[u8; 12]>(),
        any_claim: bool,
        length in 0..7000usize,
        mtu in 0..70_000usize,
    ) {
        let mut frame = original.frame();
        for (at, value) in damage {
            let at = at % frame.len();
            frame[at] = value;
        }
        frame.truncate(length);
        let header = if any_claim {
            let mut claim = claim;
            claim[0] |= 1;
            claim[1] = [1, 4, 5][usize::from(claim[1]) % 3];
            match VirtioNetHeader::parse(&claim) {
                Ok(header) => header,
                Err(_) => return Ok(()),
            }
        } else {
            original.header()
        };
        if let Ok(mut segmenter) = Segmenter::new(&frame, header, mtu) {
            let mut total = 0;
            while let Some(segment) = segmenter.next_segment() {
                prop_assert!(segment.headers.len() - 14 + segment.payload.len() <= mtu + 4);
                total += segment.payload.len();
            }
            prop_assert!(total <= frame.len());
        }
    }
}
