//! The TCP header (RFC 9293, 3.1), as far as finding connections and offloads need it.

use std::net::SocketAddr;

use dataplane::packet::Protocol;

use crate::headers::IpInfo;
use crate::packet::Packet;

pub(crate) const HEADER_LEN: usize = 20;
/// Where the sequence number is.
pub(crate) const SEQ: usize = 4;
/// Where the checksum is.
pub(crate) const CHECKSUM: u16 = 16;

const FIN: u8 = 1;
const SYN: u8 = 1 << 1;
const RST: u8 = 1 << 2;
const ACK: u8 = 1 << 4;

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAX_SEGMENT_SIZE: u8 = 2;
const WINDOW_SCALE: u8 = 3;
/// Largest shift of a window (RFC 7323, 2.3).
const MAX_WINDOW_SCALE: u8 = 14;

/// The addresses and ports of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// A TCP header whose length holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    flags: u8,
    pub(crate) header_len: usize,
    /// Bytes of data.
    pub(crate) payload: usize,
}

impl Segment {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let fixed = bytes.first_chunk::<HEADER_LEN>()?;
        let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let long = |at: usize| u32::from(word(at)) << 16 | u32::from(word(at + 2));
        let header_len = usize::from(fixed[12] >> 4) * 4;
        (HEADER_LEN..=bytes.len()).contains(&header_len).then(|| Self {
            src_port: word(0),
            dst_port: word(2),
            seq: long(4),
            ack: long(8),
            window: word(14),
            flags: fixed[13],
            header_len,
            payload: bytes.len() - header_len,
        })
    }

    pub(crate) fn is_syn(&self) -> bool {
        self.flags & SYN != 0
    }

    pub(crate) fn is_ack(&self) -> bool {
        self.flags & ACK != 0
    }

    pub(crate) fn is_rst(&self) -> bool {
        self.flags & RST != 0
    }

    pub(crate) fn is_fin(&self) -> bool {
        self.flags & FIN != 0
    }

    /// Whether it only acknowledges.
    pub(crate) fn is_plain_ack(&self) -> bool {
        self.is_ack() && self.payload == 0 && self.flags & (SYN | FIN | RST) == 0
    }

    /// Sequence numbers that it takes.
    pub(crate) fn len(&self) -> u32 {
        let control = u32::from(self.is_syn()) + u32::from(self.is_fin());
        u32::try_from(self.payload).unwrap_or(u32::MAX).wrapping_add(control)
    }

    /// The connection that a received segment belongs to.
    pub(crate) fn flow(&self, packet: &Packet<'_>) -> Flow {
        Flow {
            local: SocketAddr::new(packet.dst(), self.dst_port),
            remote: SocketAddr::new(packet.src(), self.src_port),
        }
    }
}

/// Where the value of the MSS option of a TCP header is, from the start of the header.
pub(crate) fn mss_option(header: &[u8]) -> Option<usize> {
    option(header, MAX_SEGMENT_SIZE, 4)
}

/// By how many bits the sender of this SYN shifts its windows. `None`: it has no such option.
pub(crate) fn window_scale(header: &[u8]) -> Option<u8> {
    let at = option(header, WINDOW_SCALE, 3)?;
    Some(header[at].min(MAX_WINDOW_SCALE))
}

/// Where the value of the first option of this kind is, if all `length` bytes of the option are there.
fn option(header: &[u8], wanted: u8, length: usize) -> Option<usize> {
    let mut at = HEADER_LEN;
    loop {
        match *header.get(at)? {
            END_OF_OPTIONS => return None,
            NO_OPERATION => at += 1,
            kind => {
                let found = usize::from(*header.get(at + 1)?);
                if kind == wanted && found == length && at + length <= header.len() {
                    return Some(at + 2);
                }
                if found < 2 {
                    return None;
                }
                at += found;
            }
        }
    }
}

/// What a segment without data says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) seq: u32,
    /// `None`: no acknowledgement.
    pub(crate) ack: Option<u32>,
    pub(crate) kind: Kind,
    pub(crate) window: u16,
}

/// What a [`Control`] segment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Acknowledge,
    Finish,
    Reset,
}

impl Control {
    /// The reset that answers a segment for which there is no connection (RFC 9293, 3.10.7.1).
    pub(crate) fn refusal(segment: &Segment) -> Self {
        if segment.is_ack() {
            Self { seq: segment.ack, ack: None, kind: Kind::Reset, window: 0 }
        } else {
            let ack = Some(segment.seq.wrapping_add(segment.len()));
            Self { seq: 0, ack, kind: Kind::Reset, window: 0 }
        }
    }

    /// Writes an IP packet from the local to the remote end of `flow`.
    pub(crate) fn write(self, flow: &Flow, packet: &mut [u8]) {
        let info = IpInfo { src: flow.local.ip(), dst: flow.remote.ip(), protocol: Protocol::TCP };
        info.write(packet, None);
        let header = &mut packet[crate::headers::ip_len(info.dst)..];
        header.fill(0);
        header[..2].copy_from_slice(&flow.local.port().to_be_bytes());
        header[2..4].copy_from_slice(&flow.remote.port().to_be_bytes());
        header[4..8].copy_from_slice(&self.seq.to_be_bytes());
        header[8..12].copy_from_slice(&self.ack.unwrap_or(0).to_be_bytes());
        header[12] = 5 << 4;
        let kind = match self.kind {
            Kind::Acknowledge => 0,
            Kind::Finish => FIN,
            Kind::Reset => RST,
        };
        header[13] = kind | if self.ack.is_some() { ACK } else { 0 };
        header[14..16].copy_from_slice(&self.window.to_be_bytes());
        let sum = info.pseudo_header(header.len()).plus(header).finish();
        header[16..18].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Whether sequence number `a` comes after `b` (RFC 9293, 3.4).
pub(crate) fn is_after(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_mss_option_is_found_behind_others() {
        let mut header = [0; HEADER_LEN].to_vec();
        header.extend([1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 5, 180, 0, 0, 0, 0]);
        assert_eq!(mss_option(&header), Some(34));
        assert_eq!(mss_option(&header[..35]), None, "cut short");
        header[23] = 0;
        assert_eq!(mss_option(&header), None, "an option without length");
    }

    #[test]
    fn the_window_scale_is_at_most_14() {
        let mut header = [0; HEADER_LEN].to_vec();
        header.extend([2, 4, 5, 180, 1, 3, 3, 7]);
        assert_eq!(window_scale(&header), Some(7));
        header[27] = 200;
        assert_eq!(window_scale(&header), Some(14));
        assert_eq!(window_scale(&header[..27]), None, "cut short");
        assert_eq!(window_scale(&header[..24]), None);
    }

    #[test]
    fn sequence_numbers_wrap() {
        assert!(is_after(1, u32::MAX) && is_after(10, 9));
        assert!(!is_after(u32::MAX, 1) && !is_after(9, 9));
    }

    proptest! {
        #[test]
        fn takes_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(segment) = Segment::parse(&bytes) {
                prop_assert!(segment.header_len + segment.payload == bytes.len());
                if let Some(at) = mss_option(&bytes[..segment.header_len]) {
                    prop_assert!(at + 2 <= segment.header_len);
                }
            }
        }
    }
}
