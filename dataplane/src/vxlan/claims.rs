//! What no other host may say of a segment: that it has an address that every host has for itself.
//!
//! The gateway has the same IP address on each host, and each host's containers use their own. A claim to it
//! from elsewhere would lead their packets away. Only claims are refused: other addresses behind a peer are its
//! own affair.

#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::DropReason;
use crate::packet::{EtherType, EthernetHeader, Ipv6Header, Protocol};

/// Addresses that no other host has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    ipv4: Vec<Ipv4Addr>,
    ipv6: Vec<Ipv6Addr>,
}

impl Claims {
    pub(crate) fn new(anycast: &[IpAddr]) -> Self {
        let mut claims = Self::default();
        for address in anycast {
            match address {
                IpAddr::V4(address) => claims.ipv4.push(*address),
                IpAddr::V6(address) => claims.ipv6.push(*address),
            }
        }
        claims
    }

    /// Looks at a frame of another host.
    ///
    /// # Errors
    /// The reason to drop it under.
    #[inline]
    pub(crate) fn check(&self, frame: &[u8]) -> Result<(), DropReason> {
        let Some(ethernet) = EthernetHeader::parse(frame) else { return Ok(()) };
        let packet = frame.get(ethernet.len()..).unwrap_or_default();
        match ethernet.ether_type {
            EtherType::ARP if self.is_claimed_by_arp(packet) => Err(DropReason::SpoofedArp),
            EtherType::IPV6 if self.is_claimed_by_discovery(packet) => Err(DropReason::SpoofedNd),
            _ => Ok(()),
        }
    }

    /// The sender's address of ARP for IPv4, in requests, answers and announcements (RFC 826).
    fn is_claimed_by_arp(&self, packet: &[u8]) -> bool {
        let sender = packet.get(SENDER_IP..).and_then(<[u8]>::first_chunk::<4>);
        sender.is_some_and(|octets| self.ipv4.contains(&Ipv4Addr::from(*octets)))
    }

    /// The target of an advertisement, and the source of whatever names its link-layer address
    /// (RFC 4861, section 4).
    fn is_claimed_by_discovery(&self, packet: &[u8]) -> bool {
        let Some(ip) = Ipv6Header::parse(packet) else { return false };
        let Some(payload) = ip.payload(packet) else { return false };
        if payload.protocol != Protocol::ICMPV6 {
            return false;
        }
        let message = packet.get(payload.offset..ip.total_len).unwrap_or_default();
        match message.first() {
            Some(&ADVERTISEMENT) => {
                let target = message.get(TARGET..).and_then(<[u8]>::first_chunk::<16>);
                target.is_some_and(|octets| self.ipv6.contains(&Ipv6Addr::from(*octets)))
            }
            Some(ROUTER_SOLICITATION..=REDIRECT) => self.ipv6.contains(&ip.src),
            _ => false,
        }
    }
}

const SENDER_IP: usize = 14;
const TARGET: usize = 8;
const ROUTER_SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GATEWAY4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    const OTHER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9);

    fn claims() -> Claims {
        Claims::new(&[GATEWAY4.into(), GATEWAY6.into()])
    }

    fn arp(operation: u8, sender: Ipv4Addr) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation, 2, 2, 2, 2, 2, 2]);
        frame.extend(sender.octets());
        frame.extend([0, 0, 0, 0, 0, 0]);
        frame.extend(GATEWAY4.octets());
        frame
    }

    fn icmp6(source: Ipv6Addr, kind: u8, target: Ipv6Addr) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 58, 255]);
        frame.extend(source.octets());
        frame.extend(Ipv6Addr::LOCALHOST.octets());
        frame.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        frame.extend(target.octets());
        frame
    }

    #[test]
    fn nobody_else_has_the_gateways_address() {
        for operation in [1, 2] {
            let claimed = claims().check(&arp(operation, GATEWAY4));
            assert_eq!(claimed, Err(DropReason::SpoofedArp));
            assert_eq!(claims().check(&arp(operation, Ipv4Addr::new(10, 0, 0, 9))), Ok(()));
        }
        let claimed = [
            icmp6(OTHER6, 136, GATEWAY6),
            icmp6(GATEWAY6, 135, OTHER6),
            icmp6(GATEWAY6, 133, OTHER6),
            icmp6(GATEWAY6, 137, OTHER6),
        ];
        for frame in claimed {
            assert_eq!(claims().check(&frame), Err(DropReason::SpoofedNd));
            assert_eq!(Claims::default().check(&frame), Ok(()));
        }
    }

    #[test]
    fn to_ask_for_it_is_no_claim() {
        assert_eq!(claims().check(&icmp6(OTHER6, 135, GATEWAY6)), Ok(()));
        assert_eq!(claims().check(&icmp6(OTHER6, 136, OTHER6)), Ok(()));
        assert_eq!(claims().check(&icmp6(GATEWAY6, 129, OTHER6)), Ok(()), "an echo claims nothing");
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), v6: bool) {
            let _ = claims().check(&bytes);
            if bytes.len() > 14 {
                bytes[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 6] });
                let _ = claims().check(&bytes);
            }
        }
    }
}
