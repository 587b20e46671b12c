//! A hash that keeps the frames of a flow together, for spreading flows over queues.

use super::{EtherType, EthernetHeader, Protocol, be16};

/// Hashes addresses, protocol and ports of the flow that a frame belongs to; the first 64 bytes are
/// enough for that. All fragments of a packet hash alike, without ports. Frames that are not IP hash
/// by their Ethernet addresses. The two directions of a flow hash differently.
#[inline]
pub fn flow_hash(frame: &[u8]) -> u32 {
    let l3 = match be16(frame, 12).map(EtherType) {
        Some(EtherType::VLAN) => EthernetHeader::LEN + EthernetHeader::TAG_LEN,
        _ => EthernetHeader::LEN,
    };
    let state = match be16(frame, l3 - 2).map(EtherType) {
        Some(EtherType::IPV4) => ipv4(frame, l3),
        Some(EtherType::IPV6) => ipv6(frame, l3),
        _ => None,
    };
    let state = state.unwrap_or_else(|| {
        let low = word64(frame, 0).unwrap_or(0);
        let high = word32(frame, 8).unwrap_or(0);
        mix(low, u64::from(high))
    });
    // The upper half of the product depends on every bit of its factors.
    (state >> 32) as u32
}

fn ipv4(frame: &[u8], l3: usize) -> Option<u64> {
    let addresses = word64(frame, l3 + 12)?;
    let protocol = Protocol(*frame.get(l3 + 9)?);
    let is_fragment = be16(frame, l3 + 6)? & 0x3fff != 0;
    let ports = if protocol.has_ports() && !is_fragment {
        let header_len = usize::from(*frame.get(l3)? & 0xf) * 4;
        word32(frame, l3 + header_len).unwrap_or(0)
    } else {
        0
    };
    Some(mix(addresses, u64::from(ports) << 8 | u64::from(protocol.0)))
}

fn ipv6(frame: &[u8], l3: usize) -> Option<u64> {
    let word = |at: usize| word64(frame, l3 + at);
    let addresses =
        mix(word(8)? ^ word(24)?.rotate_left(32), word(16)? ^ word(32)?.rotate_left(17));
    let protocol = Protocol(*frame.get(l3 + 6)?);
    let ports = if protocol.has_ports() { word32(frame, l3 + 40).unwrap_or(0) } else { 0 };
    Some(mix(addresses, u64::from(ports) << 8 | u64::from(protocol.0)))
}

/// A multiplication folded in half; the constants are the fractional digits of pi.
fn mix(left: u64, right: u64) -> u64 {
    let product =
        u128::from(left ^ 0x243f_6a88_85a3_08d3) * u128::from(right ^ 0x1319_8a2e_0370_7344);
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let low = product as u64;
    (product >> 64) as u64 ^ low
}

fn word64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|octets| u64::from_le_bytes(*octets))
}

fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|octets| u32::from_le_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn udp4(src: u8, port: u16) -> [u8; 64] {
        let mut frame = [0; 64];
        frame[12..15].copy_from_slice(&[8, 0, 0x45]);
        frame[23] = 17;
        frame[26..34].copy_from_slice(&[10, 0, 0, src, 10, 0, 0, 1]);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame
    }

    fn udp6(src: u8, port: u16) -> [u8; 64] {
        let mut frame = [0; 64];
        frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        frame[20] = 17;
        frame[37] = src;
        frame[53] = 1;
        frame[54..56].copy_from_slice(&port.to_be_bytes());
        frame
    }

    #[test]
    fn what_is_not_of_the_flow_does_not_count() {
        let frame = udp4(1, 1000);
        let mut other = frame;
        other[0] = 77; // a router's address
        other[18] = 9; // identification
        other[22] = 63; // hops left
        other[44] = 1; // payload
        assert_eq!(flow_hash(&frame), flow_hash(&other));
        let mut tagged = frame[..12].to_vec();
        tagged.extend([0x81, 0, 0, 5]);
        tagged.extend(&frame[12..]);
        assert_eq!(flow_hash(&frame), flow_hash(&tagged));
    }

    #[test]
    fn fragments_stay_together() {
        let mut first = udp4(1, 1000);
        first[20] = 0x20;
        let mut second = udp4(1, 4711);
        second[21] = 5;
        assert_eq!(flow_hash(&first), flow_hash(&second));
    }

    #[test]
    fn flows_spread_evenly() {
        for make in [udp4, udp6] {
            for modulus in [2, 3, 4, 8] {
                let mut counts = vec![0; modulus];
                let flows = (0..64).flat_map(|src| (0..64).map(move |port| (src, 32768 + port)));
                for (src, port) in flows {
                    counts[flow_hash(&make(src, port)) as usize % modulus] += 1;
                }
                let fair = 64 * 64 / modulus;
                assert!(counts.iter().all(|count| count * 10 > fair * 8), "{modulus}: {counts:?}");
            }
        }
    }

    #[test]
    fn frames_that_are_not_ip_hash_by_station() {
        let hashes: HashSet<_> = (0..100)
            .map(|station| {
                let mut frame = [0; 60];
                frame[11] = station;
                frame[12..14].copy_from_slice(&[8, 6]);
                flow_hash(&frame)
            })
            .collect();
        assert_eq!(hashes.len(), 100);
    }

    proptest! {
        #[test]
        fn takes_any_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), v6: bool) {
            flow_hash(&bytes);
            if bytes.len() > 14 {
                bytes[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
                flow_hash(&bytes);
            }
        }
    }
}
