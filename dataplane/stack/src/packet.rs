//! Looking at a received frame: whose it is, and whether it is sound.

use std::net::IpAddr;

use dataplane::MacAddr;
use dataplane::offload::{Checksum, VirtioNetHeader, checksum};
use dataplane::packet::{EtherType, EthernetHeader, Ipv4Header, Ipv6Header, Protocol};

use crate::config::Addressing;
use crate::fragment::Fragment;
use crate::headers::IpInfo;

/// Why a frame is not looked at any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ignored {
    Malformed,
    BadChecksum,
    NotForUs,
}

/// What a frame carries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    Arp(&'a [u8]),
    Ip(Packet<'a>),
    Fragment(Fragment<'a>),
}

/// An IP packet whose lengths hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) src_mac: MacAddr,
    pub(crate) info: IpInfo,
    /// From the IP header to the end.
    pub(crate) bytes: &'a [u8],
    /// Where the IP payload starts.
    pub(crate) offset: usize,
    /// The payload of each packet that this one stands for.
    pub(crate) segment: Option<usize>,
}

impl<'a> Packet<'a> {
    pub(crate) fn payload(&self) -> &'a [u8] {
        &self.bytes[self.offset..]
    }

    pub(crate) fn src(&self) -> IpAddr {
        self.info.src
    }

    pub(crate) fn dst(&self) -> IpAddr {
        self.info.dst
    }
}

/// Parses a frame from the network. Checksums are checked, unless the sender vouches for them: then the
/// frame never was on a wire.
pub(crate) fn parse<'a>(
    frame: &'a [u8],
    offload: VirtioNetHeader,
    addressing: &Addressing,
) -> Result<Content<'a>, Ignored> {
    let ethernet = EthernetHeader::parse(frame).ok_or(Ignored::Malformed)?;
    if !ethernet.src.is_unicast() {
        return Err(Ignored::Malformed);
    }
    let to_us = ethernet.dst == addressing.mac || ethernet.dst.is_multicast();
    if !to_us || ethernet.tag.is_some() {
        return Err(Ignored::NotForUs);
    }
    let body = &frame[ethernet.len()..];
    let (info, bytes, offset) = match ethernet.ether_type {
        EtherType::ARP => return Ok(Content::Arp(body)),
        EtherType::IPV4 => match ipv4(&ethernet, body)? {
            Parsed::Whole(info, bytes, offset) => (info, bytes, offset),
            Parsed::Part(fragment) => return part(fragment, offload),
        },
        EtherType::IPV6 => match ipv6(&ethernet, body)? {
            Parsed::Whole(info, bytes, offset) => (info, bytes, offset),
            Parsed::Part(fragment) => return part(fragment, offload),
        },
        _ => return Err(Ignored::NotForUs),
    };
    let vouched = !matches!(offload.checksum, Checksum::Present);
    if !vouched && !is_sound(info, &bytes[offset..]) {
        return Err(Ignored::BadChecksum);
    }
    let segment = offload.segmentation.map(|segmentation| usize::from(segmentation.size));
    Ok(Content::Ip(Packet { src_mac: ethernet.src, info, bytes, offset, segment }))
}

/// What an IP header leads to.
enum Parsed<'a> {
    /// A packet, and where its payload starts.
    Whole(IpInfo, &'a [u8], usize),
    Part(Fragment<'a>),
}

/// A fragment has nothing left undone: its sender saw the whole packet. The packet's checksum is checked when
/// it is put together.
fn part(fragment: Fragment<'_>, offload: VirtioNetHeader) -> Result<Content<'_>, Ignored> {
    let undone = matches!(offload.checksum, Checksum::Partial { .. });
    if undone || offload.segmentation.is_some() {
        return Err(Ignored::Malformed);
    }
    Ok(Content::Fragment(fragment))
}

fn ipv4<'a>(ethernet: &EthernetHeader, body: &'a [u8]) -> Result<Parsed<'a>, Ignored> {
    let header = Ipv4Header::parse(body).ok_or(Ignored::Malformed)?;
    if checksum(&body[..header.header_len]) != 0 {
        return Err(Ignored::BadChecksum);
    }
    // Nobody speaks from a group (RFC 1122, 3.2.1.3).
    if header.src.is_multicast() || header.src.is_broadcast() || header.src.is_loopback() {
        return Err(Ignored::Malformed);
    }
    let info = IpInfo { src: header.src.into(), dst: header.dst.into(), protocol: header.protocol };
    let packet = &body[..header.total_len];
    if header.is_fragment {
        let fragment = Fragment::of_ipv4(ethernet, info, header.header_len, packet);
        return fragment.map(Parsed::Part).ok_or(Ignored::Malformed);
    }
    Ok(Parsed::Whole(info, packet, header.header_len))
}

fn ipv6<'a>(ethernet: &EthernetHeader, body: &'a [u8]) -> Result<Parsed<'a>, Ignored> {
    let header = Ipv6Header::parse(body).ok_or(Ignored::Malformed)?;
    let payload = header.payload(body).ok_or(Ignored::Malformed)?;
    if header.src.is_multicast() || header.src.is_loopback() || payload.is_routed {
        return Err(Ignored::Malformed);
    }
    let info =
        IpInfo { src: header.src.into(), dst: header.dst.into(), protocol: payload.protocol };
    let packet = &body[..header.total_len];
    if payload.is_fragment {
        let fragment = Fragment::of_ipv6(ethernet, info, payload.offset, packet);
        return fragment.map(Parsed::Part).ok_or(Ignored::Malformed);
    }
    Ok(Parsed::Whole(info, packet, payload.offset))
}

/// Whether the checksum of a TCP segment, UDP datagram or ICMP message is right. Others are not
/// looked at.
fn is_sound(info: IpInfo, payload: &[u8]) -> bool {
    match info.protocol {
        Protocol::ICMP => checksum(payload) == 0,
        // No checksum was made (RFC 768); IPv6 does not allow that (RFC 8200, 8.1).
        Protocol::UDP if info.src.is_ipv4() && payload.get(6..8) == Some(&[0, 0]) => true,
        Protocol::TCP | Protocol::UDP | Protocol::ICMPV6 => {
            info.pseudo_header(payload.len()).plus(payload).finish() == 0
        }
        _ => true,
    }
}
