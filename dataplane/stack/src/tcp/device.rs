//! The network as smoltcp sees it from one connection: IP packets of up to 64 KiB, checksums done
//! elsewhere. What leaves gets its Ethernet header here, and what smoltcp left undone is written down.

use std::net::IpAddr;
use std::num::NonZeroUsize;

use dataplane::MacAddr;
use dataplane::offload::{Checksum, Segmentation, SegmentationKind, VirtioNetHeader};
use dataplane::packet::{EthernetHeader, Protocol};
use dataplane::stack_port::Tag;
use smoltcp::phy::{self, ChecksumCapabilities, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use super::segment::{self, CHECKSUM, Segment, is_after, mss_option};
use crate::headers::{IpInfo, ip_len, low16, write_ethernet};
use crate::link::Link;

/// Longest IP packet that is made, to be cut on its way.
///
/// Not 65,535: a frame of 65,536 bytes or more, with Ethernet header and VLAN tag, is cut by Linux itself in front of
/// the next device (`gso_features_check` in `net/core/dev.c`, `GSO_LEGACY_MAX_SIZE`; v6.18), and goes on as 45
/// packets where it could be one.
pub(super) const LONGEST: usize = 65_535 - EthernetHeader::LEN - VLAN_TAG;
const VLAN_TAG: usize = 4;

/// The way from one end of a connection to the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    pub(super) src_mac: MacAddr,
    pub(super) dst_mac: MacAddr,
    pub(super) tag: Tag,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// Data of a segment on the wire, without TCP options.
    pub(super) mss: usize,
    /// The same, as we tell the peer.
    pub(super) own_mss: u16,
    /// The sequence number after everything that was sent so far.
    pub(super) end: Option<u32>,
    /// The first sequence number that the peer does not take.
    pub(super) edge: Option<u32>,
}

impl Path {
    /// The sequence number of an acknowledgement that the peer accepts, when smoltcp says `seq`.
    fn acceptable_seq(&self, seq: u32) -> u32 {
        let furthest = self.end.filter(|&end| is_after(end, seq)).unwrap_or(seq);
        self.edge.filter(|&edge| is_after(furthest, edge)).unwrap_or(furthest)
    }
}

/// What went out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    pub(super) frames: u32,
    pub(super) last: Option<Extent>,
}

/// How far a connection has come in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The sequence number after everything that was sent.
    pub(super) end: u32,
    /// The next one that is expected.
    pub(super) expected: u32,
    /// The window that was offered, as it stood in the header.
    pub(super) window: u16,
}

impl Extent {
    /// What is known after another segment: repetitions do not take back what was sent before.
    pub(super) fn furthest(known: Option<Self>, sent: Option<Self>) -> Option<Self> {
        let (Some(known), Some(sent)) = (known, sent) else { return sent.or(known) };
        let end = if is_after(known.end, sent.end) { known.end } else { sent.end };
        Some(Self { end, ..sent })
    }
}

/// A device for one packet in, and any number out.
pub(super) struct Device<'a, L> {
    pub(super) link: &'a mut L,
    pub(super) path: &'a Path,
    pub(super) sent: &'a mut Sent,
    pub(super) received: Option<&'a [u8]>,
}

impl<L: Link> phy::Device for Device<'_, L> {
    type RxToken<'t>
        = RxToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = TxToken<'t, L>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(RxToken<'_>, TxToken<'_, L>)> {
        let packet = self.received.take()?;
        let token = TxToken { link: self.link, path: self.path, sent: self.sent };
        Some((RxToken(packet), token))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_, L>> {
        self.link.has_room().then_some(TxToken {
            link: self.link,
            path: self.path,
            sent: self.sent,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

/// Checksums of received packets were checked before, those of sent ones are left open, but for the
/// IPv4 header's.
///
/// smoltcp makes packets of up to [`LONGEST`] bytes, which are whole or cut on the way. What the peer takes in one segment
/// it hears from the peer's SYN, where [`Connection::assumed_mss`](super::connection::Connection::assumed_mss) stands:
/// towards what is far, its congestion control needs to know the real size, and makes many segments at once all the same.
/// That is not said of the network, since smoltcp 0.14 drops packets of IPv6 that are longer than the network takes.
pub(super) fn capabilities() -> DeviceCapabilities {
    let mut checksum = ChecksumCapabilities::ignored();
    checksum.ipv4 = phy::Checksum::Tx;
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = LONGEST;
    capabilities.checksum = checksum;
    capabilities.segmentation.tcpv4 = NonZeroUsize::new(LONGEST);
    capabilities.segmentation.tcpv6 = NonZeroUsize::new(LONGEST);
    capabilities
}

pub(super) struct RxToken<'a>(&'a [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub(super) struct TxToken<'a, L> {
    link: &'a mut L,
    path: &'a Path,
    sent: &'a mut Sent,
}

impl<L: Link> phy::TxToken for TxToken<'_, L> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let path = self.path;
        let fill = |frame: &mut [u8]| {
            let info = IpInfo { src: path.src, dst: path.dst, protocol: Protocol::TCP };
            write_ethernet(frame, path.dst_mac, path.src_mac, info.ether_type());
            let result = f(&mut frame[EthernetHeader::LEN..]);
            let (offload, last) = leave_undone(frame, info, path);
            (offload, (result, last))
        };
        let ((result, last), taken) = self.link.send(EthernetHeader::LEN + len, path.tag, fill);
        if taken {
            self.sent.frames += 1;
            self.sent.last = Extent::furthest(self.sent.last, last);
        }
        result
    }
}

/// Puts the sum of the pseudo-header where the checksum belongs and says how the frame is to be cut;
/// and, in a SYN, what we can receive from a wire.
fn leave_undone(frame: &mut [u8], info: IpInfo, path: &Path) -> (VirtioNetHeader, Option<Extent>) {
    let start = EthernetHeader::LEN + ip_len(info.dst);
    let bytes = &mut frame[start..];
    let Some(parsed) = Segment::parse(bytes) else { return (VirtioNetHeader::PLAIN, None) };
    if parsed.is_syn()
        && let Some(at) = mss_option(&bytes[..parsed.header_len])
    {
        bytes[at..at + 2].copy_from_slice(&path.own_mss.to_be_bytes());
    }
    // When its timer has run out, smoltcp 0.14 takes back what it has sent, and then acknowledges from
    // there: a peer that has received it already does not accept such a segment. If the same happens to
    // the peer, neither hears the other any more. An acknowledgement has the number after everything
    // that was ever sent (RFC 9293, 3.10.7.4: SND.NXT), but none beyond the peer's window, which may
    // have shrunk since: the peer does not accept that either.
    if parsed.is_plain_ack() {
        bytes[4..8].copy_from_slice(&path.acceptable_seq(parsed.seq).to_be_bytes());
    }
    let sum = !info.pseudo_header(bytes.len()).finish();
    bytes[usize::from(CHECKSUM)..][..2].copy_from_slice(&sum.to_be_bytes());
    let options = parsed.header_len - segment::HEADER_LEN;
    let size = path.mss.saturating_sub(options).max(1);
    let kind = if info.dst.is_ipv4() { SegmentationKind::Tcp4 } else { SegmentationKind::Tcp6 };
    let segmentation = (parsed.payload > size).then(|| Segmentation {
        kind,
        ecn: false,
        header_len: low16(start + parsed.header_len),
        size: low16(size),
    });
    let checksum = Checksum::Partial { start: low16(start), offset: CHECKSUM };
    let end = parsed.seq.wrapping_add(parsed.len());
    let last = Extent { end, expected: parsed.ack, window: parsed.window };
    (VirtioNetHeader { checksum, segmentation }, Some(last))
}
