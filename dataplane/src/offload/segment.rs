//! Cutting one large TCP or UDP frame into packets.
//!
//! What each segment's headers say follows RFC 9293 (sequence numbers, FIN and PSH on the last
//! segment), RFC 3168, 6.1.2 (CWR on the first one), RFC 791 and RFC 6864 (identification counts up),
//! and for UDP RFC 768: each segment is a datagram of its own.

use super::checksum::nonzero;
use super::{BadOffload, Checksum, Segmentation, SegmentationKind, Sum, VirtioNetHeader, checksum};
use crate::packet::{EtherType, EthernetHeader, Ipv4Header, Ipv6Header, Protocol};

/// Cuts a frame; yields one segment at a time, ready for a wire.
#[derive(Debug, Clone)]
pub struct Segmenter<'a> {
    /// Headers of the segment under way.
    headers: [u8; MAX_HEADERS],
    layout: Layout,
    /// As the frame has them: sequence number and flags, identification.
    sequence: u32,
    flags: u8,
    identification: u16,
    payload: &'a [u8],
    size: usize,
    /// Segments yielded.
    index: usize,
    count: usize,
}

/// A segment in two pieces, so that it can be copied straight to where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'s> {
    /// From the Ethernet to the TCP or UDP header.
    pub headers: &'s [u8],
    /// What follows.
    pub payload: &'s [u8],
}

impl<'a> Segmenter<'a> {
    /// The most segments that one frame is cut into. It keeps a station from turning one frame into
    /// tens of thousands; with frames of 64 KiB it admits segments of 64 bytes and more.
    pub const MAX_SEGMENTS: usize = 1024;

    /// Prepares to cut `frame` as `header` says into IP packets of at most `mtu` bytes.
    ///
    /// # Errors
    /// [`BadOffload`] when the header asks for no segmentation or does not fit the frame.
    pub fn new(frame: &'a [u8], header: VirtioNetHeader, mtu: usize) -> Result<Self, BadOffload> {
        let segmentation = header.segmentation.ok_or(BadOffload::Incomplete)?;
        let layout = Layout::parse(frame, segmentation, header.checksum)?;
        let (original, payload) = frame[..layout.end].split_at(layout.headers_len);
        let size = usize::from(segmentation.size).max(1);
        let longest = layout.headers_len - layout.l3 + size.min(payload.len());
        if longest > mtu.min(MAX_PACKET) {
            return Err(BadOffload::SegmentSize(longest));
        }
        let count = payload.len().div_ceil(size).max(1);
        if count > Self::MAX_SEGMENTS {
            return Err(BadOffload::TooManySegments(count));
        }
        let mut headers = [0; MAX_HEADERS];
        headers[..original.len()].copy_from_slice(original);
        Ok(Self {
            sequence: u32::from_be_bytes(octets(&headers, layout.l4 + TCP_SEQUENCE)),
            flags: headers[layout.l4 + TCP_FLAGS],
            identification: u16::from_be_bytes(octets(&headers, layout.l3 + IPV4_IDENTIFICATION)),
            headers,
            layout,
            payload,
            size,
            index: 0,
            count,
        })
    }

    /// Segments that are still to come.
    pub fn remaining(&self) -> usize {
        self.count - self.index
    }

    /// Passes over `count` segments, which were sent before.
    pub fn skip(&mut self, count: usize) {
        self.index = (self.index + count).min(self.count);
    }

    /// The next segment; `None` after the last.
    pub fn next_segment(&mut self) -> Option<Segment<'_>> {
        if self.index == self.count {
            return None;
        }
        let start = self.index * self.size;
        let payload = &self.payload[start..self.payload.len().min(start + self.size)];
        self.write_ip(payload.len());
        match self.layout.transport {
            Transport::Tcp => self.write_tcp(start),
            Transport::Udp => self.write_udp(payload.len()),
        }
        self.write_checksum(payload);
        self.index += 1;
        Some(Segment { headers: &self.headers[..self.layout.headers_len], payload })
    }

    fn write_ip(&mut self, payload_len: usize) {
        let Layout { l3, l4, headers_len, .. } = self.layout;
        match self.layout.network {
            Network::V4(_) => {
                let identification = self.identification.wrapping_add(low16(self.index));
                put16(&mut self.headers, l3 + 2, low16(headers_len - l3 + payload_len));
                put16(&mut self.headers, l3 + IPV4_IDENTIFICATION, identification);
                put16(&mut self.headers, l3 + IPV4_CHECKSUM, 0);
                let sum = checksum(&self.headers[l3..l4]);
                put16(&mut self.headers, l3 + IPV4_CHECKSUM, sum);
            }
            Network::V6(_) => {
                let length = headers_len - l3 - Ipv6Header::LEN + payload_len;
                put16(&mut self.headers, l3 + 4, low16(length));
            }
        }
    }

    fn write_tcp(&mut self, start: usize) {
        let l4 = self.layout.l4;
        let mut flags = self.flags;
        if self.index > 0 {
            flags &= !CWR;
        }
        if self.index + 1 < self.count {
            flags &= !(FIN | PSH);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a place in a frame of 64 KiB")]
        let sequence = self.sequence.wrapping_add(start as u32);
        self.headers[l4 + TCP_FLAGS] = flags;
        self.headers[l4 + TCP_SEQUENCE..][..4].copy_from_slice(&sequence.to_be_bytes());
    }

    fn write_udp(&mut self, payload_len: usize) {
        put16(&mut self.headers, self.layout.l4 + 4, low16(UDP_LEN + payload_len));
    }

    fn write_checksum(&mut self, payload: &[u8]) {
        let Layout { l4, headers_len, network, transport, .. } = self.layout;
        let (protocol, field) = (transport.protocol(), l4 + transport.checksum_offset());
        put16(&mut self.headers, field, 0);
        #[expect(clippy::cast_possible_truncation, reason = "below 64 KiB")]
        let length = (headers_len - l4 + payload.len()) as u32;
        let pseudo = network.pseudo_header(protocol, length);
        let sum = pseudo.plus(&self.headers[l4..headers_len]).plus(payload).finish();
        put16(&mut self.headers, field, nonzero(sum));
    }
}

impl Segment<'_> {
    /// Its length, in bytes.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a segment has headers at least")]
    pub fn len(&self) -> usize {
        self.headers.len() + self.payload.len()
    }

    /// Copies it to the start of `out` and tells its length; `None` when `out` is too short.
    pub fn write_to(&self, out: &mut [u8]) -> Option<usize> {
        let (headers, rest) = out.split_at_mut_checked(self.headers.len())?;
        rest.get_mut(..self.payload.len())?.copy_from_slice(self.payload);
        headers.copy_from_slice(self.headers);
        Some(self.len())
    }
}

/// Tagged Ethernet, the longest IPv4 and TCP headers, and room for some IPv6 extension headers.
const MAX_HEADERS: usize = 192;
/// The length of an IP packet is a 16-bit field.
pub(super) const MAX_PACKET: usize = 65_535;

const IPV4_IDENTIFICATION: usize = 4;
pub(super) const IPV4_CHECKSUM: usize = 10;
pub(super) const TCP_SEQUENCE: usize = 4;
pub(super) const TCP_FLAGS: usize = 13;
const TCP_MIN_LEN: usize = 20;
const UDP_LEN: usize = 8;

const FIN: u8 = 0x01;
pub(super) const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

#[derive(Debug, Clone, Copy)]
pub(super) enum Network {
    V4(Ipv4Header),
    V6(Ipv6Header),
}

impl Network {
    /// What checksums of the layer above begin with, for `length` bytes of it.
    pub(super) fn pseudo_header(self, protocol: Protocol, length: u32) -> Sum {
        match self {
            Self::V4(ip) => Sum::pseudo_header4(ip.src, ip.dst, protocol, length),
            Self::V6(ip) => Sum::pseudo_header6(ip.src, ip.dst, protocol, length),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    fn protocol(self) -> Protocol {
        match self {
            Self::Tcp => Protocol::TCP,
            Self::Udp => Protocol::UDP,
        }
    }

    fn checksum_offset(self) -> usize {
        match self {
            Self::Tcp => 16,
            Self::Udp => 6,
        }
    }
}

/// Where the headers of a frame are. `l3 <= l4 <= headers_len <= end`, and `headers_len` is not
/// more than [`MAX_HEADERS`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) l3: usize,
    pub(super) l4: usize,
    pub(super) headers_len: usize,
    /// End of the IP packet.
    pub(super) end: usize,
    pub(super) network: Network,
    transport: Transport,
}

impl Layout {
    fn parse(
        frame: &[u8],
        segmentation: Segmentation,
        checksum: Checksum,
    ) -> Result<Self, BadOffload> {
        let layout = Self::of(frame, segmentation.kind).ok_or(BadOffload::Headers)?;
        let field = layout.transport.checksum_offset();
        match checksum {
            Checksum::Partial { start, offset }
                if usize::from(start) == layout.l4 && usize::from(offset) == field =>
            {
                Ok(layout)
            }
            _ => Err(BadOffload::Headers),
        }
    }

    pub(super) fn of(frame: &[u8], kind: SegmentationKind) -> Option<Self> {
        let ethernet = EthernetHeader::parse(frame)?;
        let l3 = ethernet.len();
        let packet = frame.get(l3..)?;
        let transport = match kind {
            SegmentationKind::Tcp4 | SegmentationKind::Tcp6 => Transport::Tcp,
            SegmentationKind::Udp => Transport::Udp,
        };
        let (network, total_len, offset) = match ethernet.ether_type {
            EtherType::IPV4 if kind != SegmentationKind::Tcp6 => {
                let ip = Ipv4Header::parse(packet)?;
                let fits = ip.protocol == transport.protocol() && !ip.is_fragment;
                fits.then_some((Network::V4(ip), ip.total_len, ip.header_len))?
            }
            EtherType::IPV6 if kind != SegmentationKind::Tcp4 => {
                let ip = Ipv6Header::parse(packet)?;
                let found = ip.payload(packet)?;
                let fits = found.protocol == transport.protocol()
                    && !found.is_fragment
                    // The pseudo-header would need the final destination.
                    && !found.is_routed;
                fits.then_some((Network::V6(ip), ip.total_len, found.offset))?
            }
            _ => return None,
        };
        let (l4, end) = (l3 + offset, l3 + total_len);
        let l4_len = match transport {
            Transport::Tcp => usize::from(frame[l4..end].get(12)? >> 4) * 4,
            Transport::Udp => UDP_LEN,
        };
        let shortest = if matches!(transport, Transport::Tcp) { TCP_MIN_LEN } else { UDP_LEN };
        let headers_len = l4 + l4_len;
        (l4_len >= shortest && headers_len <= end.min(MAX_HEADERS)).then_some(Self {
            l3,
            l4,
            headers_len,
            end,
            network,
            transport,
        })
    }
}

pub(super) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

pub(super) fn octets<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|octet| bytes.get(at + octet).copied().unwrap_or(0))
}

#[expect(clippy::cast_possible_truncation, reason = "lengths and counts below 64 KiB")]
pub(super) fn low16(value: usize) -> u16 {
    value as u16
}
