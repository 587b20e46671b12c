//! Where the checksum that a sender left open may stand.

use crate::packet::{EtherType, EthernetHeader, Ipv4Header, Ipv6Header, Protocol};

/// Extension headers of IPv6, and "nothing follows" (RFC 8200; 51 is RFC 4302, 135 RFC 6275, 139 RFC 7401, 140 RFC 5533). No kernel
/// leaves a checksum open behind one.
const EXTENSIONS: [u8; 9] = [0, 43, 44, 51, 59, 60, 135, 139, 140];

/// Whether a checksum over the bytes from `start` on may be completed in a frame after its addresses were
/// checked: completing writes into it. It must be behind the IP header, and not in ARP or ICMPv6, whose
/// contents are checked too, nor behind headers that hide them.
pub(crate) fn may_complete(frame: &[u8], start: u16) -> bool {
    let Some(ethernet) = EthernetHeader::parse(frame) else { return false };
    let packet = frame.get(ethernet.len()..).unwrap_or_default();
    let header = match ethernet.ether_type {
        EtherType::IPV4 => Ipv4Header::parse(packet).map(|it| it.header_len),
        EtherType::IPV6 => Ipv6Header::parse(packet)
            .filter(|it| it.next != Protocol::ICMPV6 && !EXTENSIONS.contains(&it.next.0))
            .map(|_| Ipv6Header::LEN),
        // A second tag hides what comes after it, and so does a length (IEEE 802.3).
        EtherType::ARP | EtherType::VLAN | EtherType::SERVICE_VLAN => None,
        EtherType(number) if number < 0x0600 => None,
        _ => Some(0),
    };
    header.is_some_and(|header| usize::from(start) >= ethernet.len() + header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ether_type: u16, ip: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(ether_type.to_be_bytes());
        frame.extend(ip);
        frame.resize(120, 0);
        frame
    }

    fn v4(header: u8) -> [u8; 10] {
        [header, 0, 0, 100, 0, 0, 0, 0, 64, 17]
    }

    fn v6(next: u8) -> [u8; 8] {
        [0x60, 0, 0, 0, 0, 60, next, 64]
    }

    #[test]
    fn behind_the_ip_header_and_not_in_it() {
        let plain = frame(0x0800, &v4(0x45));
        let options = frame(0x0800, &v4(0x47));
        let six = frame(0x86dd, &v6(6));
        for (frame, first) in [(&plain, 34), (&options, 42), (&six, 54)] {
            assert!(may_complete(frame, first));
            for start in 0..first {
                assert!(!may_complete(frame, start), "{start}");
            }
        }
    }

    #[test]
    fn not_where_it_is_about_neighbours_or_hidden() {
        for next in [58, 0, 43, 44, 51, 59, 60, 135] {
            assert!(!may_complete(&frame(0x86dd, &v6(next)), 60), "{next}");
        }
        for ether_type in [0x0806, 0x8100] {
            let mut inner = frame(ether_type, &[0, 5, 0x81, 0]);
            inner.truncate(100);
            assert!(!may_complete(&inner, 90), "{ether_type:x}");
        }
        assert!(!may_complete(&frame(0x0800, &[0x41]), 60), "no IPv4 header");
        assert!(!may_complete(&[0; 9], 4));
    }

    #[test]
    fn behind_one_tag_and_in_other_protocols() {
        let mut tagged = vec![0, 5, 8, 0];
        tagged.extend(v4(0x45));
        assert!(may_complete(&frame(0x8100, &tagged), 38));
        assert!(!may_complete(&frame(0x8100, &tagged), 37));
        // A session of PPPoE.
        assert!(may_complete(&frame(0x8864, &[]), 40) && !may_complete(&frame(0x8864, &[]), 13));
    }
}
