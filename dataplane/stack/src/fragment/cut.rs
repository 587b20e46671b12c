//! Cutting.

use dataplane::offload::checksum;
use dataplane::packet::{EthernetHeader, Ipv4Header, Ipv6Header};

use super::{FRAGMENT6, HEADER6_LEN, MORE4, UNIT};
use crate::headers::low16;

/// A packet that is sent in fragments: an Ethernet frame whose IP header has neither options nor
/// extension headers, and whose payload needs nothing more to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut<'a> {
    frame: &'a [u8],
    header_len: usize,
    is_v4: bool,
    id: u32,
    /// Bytes of the payload in each fragment but the last.
    each: usize,
}

/// One fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where its part of the payload starts.
    start: usize,
    /// Where that ends.
    end: usize,
    more: bool,
}

impl<'a> Cut<'a> {
    /// Fragments of at most `mtu` bytes with the identification `id`.
    pub(crate) fn new(frame: &'a [u8], mtu: u16, id: u32) -> Self {
        let is_v4 = frame[EthernetHeader::LEN] >> 4 == 4;
        let header_len = if is_v4 { Ipv4Header::LEN } else { Ipv6Header::LEN };
        let extra = if is_v4 { 0 } else { HEADER6_LEN };
        let room = usize::from(mtu).saturating_sub(header_len + extra);
        let each = (room / UNIT * UNIT).max(UNIT);
        Self { frame, header_len, is_v4, id, each }
    }

    /// How many fragments a payload of `len` bytes makes on a way that takes `mtu` bytes.
    pub(crate) fn count(is_v4: bool, len: usize, mtu: u16) -> usize {
        let headers = if is_v4 { Ipv4Header::LEN } else { Ipv6Header::LEN + HEADER6_LEN };
        let each = (usize::from(mtu).saturating_sub(headers) / UNIT * UNIT).max(UNIT);
        len.div_ceil(each)
    }

    fn payload(&self) -> &'a [u8] {
        &self.frame[EthernetHeader::LEN + self.header_len..]
    }

    /// The fragments in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece> + use<> {
        let (len, each) = (self.payload().len(), self.each);
        (0..len).step_by(each).map(move |start| {
            let end = len.min(start + each);
            Piece { start, end, more: end < len }
        })
    }

    /// Length of a fragment's frame.
    pub(crate) fn frame_len(&self, piece: Piece) -> usize {
        let extra = if self.is_v4 { 0 } else { HEADER6_LEN };
        EthernetHeader::LEN + self.header_len + extra + piece.end - piece.start
    }

    /// Writes a fragment into a frame of its length.
    pub(crate) fn write(&self, piece: Piece, out: &mut [u8]) {
        let data = &self.payload()[piece.start..piece.end];
        let headers = EthernetHeader::LEN + self.header_len;
        out[..headers].copy_from_slice(&self.frame[..headers]);
        let packet = &mut out[EthernetHeader::LEN..];
        let total = packet.len();
        // A multiple of eight below 64 KiB, whose low bits are free.
        let offset = low16(piece.start);
        if self.is_v4 {
            packet[2..4].copy_from_slice(&low16(total).to_be_bytes());
            let [_, _, high, low] = self.id.to_be_bytes();
            packet[4..6].copy_from_slice(&[high, low]);
            let more = if piece.more { MORE4 } else { 0 };
            packet[6..8].copy_from_slice(&((offset / 8) | more).to_be_bytes());
            packet[10..12].fill(0);
            let sum = checksum(&packet[..Ipv4Header::LEN]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            packet[Ipv4Header::LEN..].copy_from_slice(data);
            return;
        }
        let next = packet[6];
        packet[4..6].copy_from_slice(&low16(total - Ipv6Header::LEN).to_be_bytes());
        packet[6] = FRAGMENT6;
        let header = &mut packet[Ipv6Header::LEN..][..HEADER6_LEN];
        header[..2].copy_from_slice(&[next, 0]);
        header[2..4].copy_from_slice(&(offset | u16::from(piece.more)).to_be_bytes());
        header[4..].copy_from_slice(&self.id.to_be_bytes());
        packet[Ipv6Header::LEN + HEADER6_LEN..].copy_from_slice(data);
    }
}
