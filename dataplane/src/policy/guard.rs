//! Whether a frame claims only what belongs to the endpoint that sent it.
//!
//! An IPv4 frame, and an IPv6 frame that carries TCP or UDP, is compared with two keys and done. The rest
//! takes a longer look: ARP, ICMPv6, extension headers, VLAN tags, and whatever does not match.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Antispoof, neighbour};
use crate::packet::{EtherType, EthernetHeader, Ipv6Header, Protocol};
use crate::{DropReason, MacAddr};

/// What the frames of a port are compared with. The default checks nothing.
#[derive(Debug, Clone, Default)]
pub struct Guard(Option<Keys>);

/// What belongs to an endpoint, as it stands in frames.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) mac: MacAddr,
    /// Ethernet source and type of an IPv4 and of an IPv6 frame, as they stand in memory.
    start4: [u8; 8],
    start6: [u8; 8],
    /// Packets of others may be forwarded.
    pub(super) forwards: bool,
    ipv4: Option<[u8; 4]>,
    /// The address, or `link_local` once more.
    ipv6: [u8; 16],
    link_local: [u8; 16],
}

/// VLAN tags that are looked behind. A host takes any number of tags for VLAN 0 away (IEEE 802.1p), so a
/// frame with more cannot pass unchecked.
const MOST_TAGS: usize = 2;

/// Ethernet and IPv4 headers.
const HEAD4: usize = EthernetHeader::LEN + 20;
/// Ethernet and IPv6 headers.
const HEAD6: usize = EthernetHeader::LEN + Ipv6Header::LEN;

impl Guard {
    pub(super) fn new(
        antispoof: Antispoof,
        mac: MacAddr,
        ipv4: Option<Ipv4Addr>,
        ipv6: Option<Ipv6Addr>,
    ) -> Self {
        let link_local = mac.link_local();
        let start = |ether_type: EtherType| {
            let ([m0, m1, m2, m3, m4, m5], [t0, t1]) = (mac.0, ether_type.0.to_be_bytes());
            [m0, m1, m2, m3, m4, m5, t0, t1]
        };
        Self(Some(Keys {
            mac,
            start4: start(EtherType::IPV4),
            start6: start(EtherType::IPV6),
            forwards: antispoof != Antispoof::Full,
            ipv4: ipv4.map(|ip| ip.octets()),
            ipv6: ipv6.unwrap_or(link_local).octets(),
            link_local: link_local.octets(),
        }))
    }

    /// What is checked.
    pub fn antispoof(&self) -> Antispoof {
        match &self.0 {
            None => Antispoof::None,
            Some(keys) if keys.forwards => Antispoof::Mac,
            Some(_) => Antispoof::Full,
        }
    }

    /// Whether anything is checked.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Checks a frame by its first bytes, which must be all of it where [`needs_more`] says so.
    ///
    /// # Errors
    /// Why the frame is to be dropped.
    #[inline]
    pub fn check(&self, frame: &[u8]) -> Result<(), DropReason> {
        match &self.0 {
            None => Ok(()),
            Some(keys) if keys.is_plain(frame) => Ok(()),
            Some(keys) => keys.look(frame),
        }
    }
}

/// Whether a frame that starts like this must be seen whole to be checked: neighbour discovery does not fit
/// in the first 64 bytes.
#[inline]
pub fn needs_more(header: &[u8]) -> bool {
    let Some(head) = header.first_chunk::<21>() else { return false };
    match u16::from_be_bytes([head[12], head[13]]) {
        0x86dd => may_be_discovery(head[20]),
        0x8100 | 0x88a8 => tagged_needs_more(header),
        _ => false,
    }
}

#[cold]
fn tagged_needs_more(header: &[u8]) -> bool {
    behind_tags(header).is_ok_and(|(ether_type, packet)| {
        ether_type == EtherType::IPV6 && packet.get(6).is_some_and(|next| may_be_discovery(*next))
    })
}

/// Whether a next header leads, or may lead, to ICMPv6: the extension headers that [`Ipv6Header::payload`]
/// walks over.
#[inline]
fn may_be_discovery(next: u8) -> bool {
    matches!(next, 0 | 43 | 44 | 51 | 58 | 60)
}

/// What follows the Ethernet header and its tags.
fn behind_tags(frame: &[u8]) -> Result<(EtherType, &[u8]), DropReason> {
    let mut rest = frame.get(12..).ok_or(DropReason::Malformed)?;
    for _ in 0..=MOST_TAGS {
        let (kind, behind) = rest.split_first_chunk().ok_or(DropReason::Malformed)?;
        let kind = EtherType(u16::from_be_bytes(*kind));
        if kind != EtherType::VLAN && kind != EtherType::SERVICE_VLAN {
            return Ok((kind, behind));
        }
        rest = behind.get(2..).ok_or(DropReason::Malformed)?;
    }
    Err(DropReason::Malformed)
}

impl Keys {
    /// Whether this is an ordinary frame of the endpoint: nothing in it needs a longer look.
    #[inline]
    fn is_plain(&self, frame: &[u8]) -> bool {
        let Some(head) = frame.first_chunk::<HEAD4>() else { return false };
        let start = octets(head, 6);
        if start == Some(&self.start4) {
            return octets(head, 26) == self.ipv4.as_ref() || self.forwards;
        }
        let Some(head) = frame.first_chunk::<HEAD6>() else { return false };
        start == Some(&self.start6)
            && !may_be_discovery(head[20])
            && (octets(head, 22) == Some(&self.ipv6) || self.forwards)
    }

    #[inline(never)]
    fn look(&self, frame: &[u8]) -> Result<(), DropReason> {
        let source = frame.get(6..).and_then(|rest| rest.first_chunk());
        let source = MacAddr(*source.ok_or(DropReason::Malformed)?);
        if !source.is_unicast() {
            return Err(DropReason::Malformed);
        }
        if source != self.mac {
            return Err(DropReason::SpoofedMac);
        }
        let (ether_type, packet) = behind_tags(frame)?;
        match ether_type {
            EtherType::IPV4 => self.look_at_ipv4(packet),
            EtherType::IPV6 => self.look_at_ipv6(packet),
            EtherType::ARP => self.look_at_arp(packet),
            _ => Ok(()),
        }
    }

    fn look_at_ipv4(&self, packet: &[u8]) -> Result<(), DropReason> {
        if self.forwards {
            return Ok(());
        }
        let head = packet.first_chunk::<20>().ok_or(DropReason::Malformed)?;
        let source = Ipv4Addr::new(head[12], head[13], head[14], head[15]);
        let destination = Ipv4Addr::new(head[16], head[17], head[18], head[19]);
        // Who has no address yet asks everybody (RFC 2131, RFC 3376).
        let asks =
            source.is_unspecified() && (destination.is_broadcast() || destination.is_multicast());
        if self.has_ipv4(source) || asks { Ok(()) } else { Err(DropReason::SpoofedIp) }
    }

    fn look_at_ipv6(&self, packet: &[u8]) -> Result<(), DropReason> {
        let head = packet.first_chunk::<{ Ipv6Header::LEN }>().ok_or(DropReason::Malformed)?;
        let address = |at| octets::<16>(head, at).copied().map(Ipv6Addr::from);
        let source = address(8).ok_or(DropReason::Malformed)?;
        let destination = address(24).ok_or(DropReason::Malformed)?;
        // Who has no address yet asks its neighbours (RFC 4861, RFC 4862, RFC 3810).
        let asks = source.is_unspecified() && destination.is_multicast();
        if !(self.forwards || self.has_ipv6(source) || asks) {
            return Err(DropReason::SpoofedIp);
        }
        if !may_be_discovery(head[6]) {
            return Ok(());
        }
        let header = Ipv6Header::parse(packet).ok_or(DropReason::Malformed)?;
        let payload = header.payload(packet).ok_or(DropReason::Malformed)?;
        if payload.is_later_fragment {
            return Ok(());
        }
        if payload.is_fragment && may_be_discovery(payload.protocol.0) {
            return first_fragment(payload.protocol, &packet[payload.offset..header.total_len]);
        }
        match payload.protocol {
            Protocol::ICMPV6 => {
                neighbour::check(self, source, &packet[payload.offset..header.total_len])
            }
            _ => Ok(()),
        }
    }

    fn look_at_arp(&self, packet: &[u8]) -> Result<(), DropReason> {
        let arp = packet.first_chunk::<28>().ok_or(DropReason::Malformed)?;
        // Ethernet and IPv4 are all that there is here, and the only kind that can be checked.
        if arp[..6] != [0, 1, 8, 0, 6, 4] || arp[8..14] != self.mac.0 {
            return Err(DropReason::SpoofedArp);
        }
        let sender = Ipv4Addr::new(arp[14], arp[15], arp[16], arp[17]);
        // A probe says no address (RFC 5227).
        let probes = sender.is_unspecified() && arp[6..8] == [0, 1];
        if self.forwards || self.has_ipv4(sender) || probes {
            Ok(())
        } else {
            Err(DropReason::SpoofedArp)
        }
    }

    fn has_ipv4(&self, ip: Ipv4Addr) -> bool {
        self.ipv4 == Some(ip.octets())
    }

    /// Whether an IPv6 address is the endpoint's.
    pub(super) fn has_ipv6(&self, ip: Ipv6Addr) -> bool {
        let ip = ip.octets();
        ip == self.ipv6 || ip == self.link_local
    }
}

/// The first fragment of a packet must show what is in it (RFC 7112), and neighbour discovery never comes in
/// fragments (RFC 6980).
fn first_fragment(protocol: Protocol, message: &[u8]) -> Result<(), DropReason> {
    if protocol != Protocol::ICMPV6 {
        return Err(DropReason::Malformed);
    }
    match message.first() {
        Some(kind) if neighbour::is_discovery(*kind) => Err(DropReason::SpoofedNd),
        Some(_) => Ok(()),
        None => Err(DropReason::Malformed),
    }
}

/// The octets at `at`.
#[inline]
fn octets<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..)?.first_chunk()
}
