//! Closed ports against smoltcp: it writes the requests and reads, checksums verified, the replies.

use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
    TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};

use super::Ignored;
use super::tests::{GATEWAY, GATEWAY4, GATEWAY6, STATION4, STATION6, ethernet, read, respond};
use crate::offload::Sum;
use crate::packet::Protocol;

/// A frame of the station, with a payload that `fill` writes.
fn frame(
    v6: bool,
    next_header: IpProtocol,
    payload_len: usize,
    fill: impl FnOnce(&mut [u8], &IpAddress, &IpAddress),
) -> Vec<u8> {
    let caps = ChecksumCapabilities::default();
    let hop_limit = 64;
    if v6 {
        let (src_addr, dst_addr) = (STATION6, GATEWAY6);
        let ip = Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit };
        let mut frame = ethernet(GATEWAY, EthernetProtocol::Ipv6, 40 + payload_len);
        ip.emit(&mut Ipv6Packet::new_unchecked(&mut frame[14..]));
        fill(&mut frame[54..], &src_addr.into(), &dst_addr.into());
        return frame;
    }
    let (src_addr, dst_addr) = (STATION4, GATEWAY4);
    let ip = Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit };
    let mut frame = ethernet(GATEWAY, EthernetProtocol::Ipv4, 20 + payload_len);
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut frame[14..]), &caps);
    fill(&mut frame[34..], &src_addr.into(), &dst_addr.into());
    frame
}

fn datagram(v6: bool, data: &[u8]) -> Vec<u8> {
    let udp = UdpRepr { src_port: 4000, dst_port: 53 };
    frame(v6, IpProtocol::Udp, 8 + data.len(), |payload, src, dst| {
        let mut packet = UdpPacket::new_unchecked(payload);
        let fill = |out: &mut [u8]| out.copy_from_slice(data);
        udp.emit(&mut packet, src, dst, data.len(), fill, &ChecksumCapabilities::default());
    })
}

fn segment(v6: bool, control: TcpControl, ack: Option<i32>, data: &[u8]) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: 4000,
        dst_port: 80,
        control,
        seq_number: TcpSeqNumber(1000),
        ack_number: ack.map(TcpSeqNumber),
        window_len: 500,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: data,
    };
    frame(v6, IpProtocol::Tcp, tcp.buffer_len(), |payload, src, dst| {
        let mut packet = TcpPacket::new_unchecked(payload);
        tcp.emit(&mut packet, src, dst, &ChecksumCapabilities::default());
    })
}

/// What a TCP reply says behind the addresses.
fn reset(request: &[u8]) -> String {
    let text = read(&respond(request).unwrap());
    let at = text.find("80 > 4000").unwrap();
    text[at..].to_owned()
}

#[test]
fn segments_are_reset_as_the_standard_says() {
    for v6 in [false, true] {
        let syn = reset(&segment(v6, TcpControl::Syn, None, b""));
        let expected = |seq: i32, ack: Option<i32>| {
            let ack = ack.map(TcpSeqNumber);
            format!("80 > 4000 {:?} {:?} {ack:?}", TcpControl::Rst, TcpSeqNumber(seq))
        };
        assert_eq!(syn, expected(0, Some(1001)));
        let fin = reset(&segment(v6, TcpControl::Fin, None, b"abc"));
        assert_eq!(fin, expected(0, Some(1004)));
        let data = reset(&segment(v6, TcpControl::None, Some(77), b"abc"));
        assert_eq!(data, expected(77, None));
        let rst = segment(v6, TcpControl::Rst, Some(77), b"");
        assert_eq!(respond(&rst), Err(Ignored::Unsupported));
    }
}

#[test]
fn datagrams_are_told_that_the_port_is_closed() {
    for (v6, header, most) in [(false, 20, 576), (true, 40, 1280)] {
        for length in [0, 1, 100, 1400] {
            let request = datagram(v6, &vec![7; length]);
            let reply = respond(&request).unwrap();
            let kind = if v6 { [1, 4] } else { [3, 3] };
            assert_eq!(reply[14 + header..][..2], kind);
            let message = &reply[14 + header..];
            let length = u32::try_from(message.len()).unwrap();
            let pseudo_header = if v6 {
                Sum::pseudo_header6(GATEWAY6, STATION6, Protocol::ICMPV6, length)
            } else {
                Sum::default()
            };
            assert_eq!(pseudo_header.plus(message).finish(), 0);
            let quoted = &reply[14 + header + 8..];
            assert_eq!(*quoted, request[14..14 + quoted.len()]);
            let whole = request.len() - 14;
            assert_eq!(quoted.len(), whole.min(most - header - 8));
            // smoltcp reads what was quoted whole.
            if quoted.len() == whole {
                assert!(read(&reply).contains("PortUnreachable"), "{}", read(&reply));
            }
        }
    }
}

#[test]
fn what_is_spoilt_is_not_answered() {
    for v6 in [false, true] {
        for mut request in [datagram(v6, b"data"), segment(v6, TcpControl::Syn, None, b"")] {
            *request.last_mut().unwrap() ^= 1;
            assert_eq!(respond(&request), Err(Ignored::BadChecksum));
        }
    }
    // IPv4 may do without a checksum, IPv6 not (RFC 8200, 8.1).
    let without = |v6: bool, at: usize| {
        let mut request = datagram(v6, b"data");
        request[at..at + 2].fill(0);
        respond(&request)
    };
    assert!(without(false, 40).is_ok());
    assert_eq!(without(true, 60), Err(Ignored::BadChecksum));
}

proptest! {
    /// Whatever a station makes of an honest request: no panic, and each reply is right.
    #[test]
    fn replies_are_right_whatever_was_asked(
        v6 in any::<bool>(),
        tcp in any::<bool>(),
        changes in proptest::collection::vec((0..100usize, any::<u8>()), 0..4),
        cut in 0..60usize,
    ) {
        let mut request = if tcp {
            segment(v6, TcpControl::Syn, None, b"some data")
        } else {
            datagram(v6, b"some data")
        };
        for (at, value) in changes {
            let at = at % request.len();
            request[at] = value;
        }
        request.truncate(request.len() - cut.min(request.len()));
        if let Ok(reply) = respond(&request) {
            prop_assert!(reply.len() <= (request.len() + 48).max(86));
        }
    }
}
