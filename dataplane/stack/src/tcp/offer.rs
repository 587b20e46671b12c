//! What a peer said that it takes: the right edge of its window.

use super::device::Extent;
use super::segment::{Segment, is_after, window_scale};

/// The latest window of a peer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Offer {
    /// Bits that its windows are shifted by.
    scale: u8,
    known: Option<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    /// The sequence number that the peer expects.
    expected: u32,
    /// As it stood in the header.
    value: u16,
    /// Bytes.
    size: u32,
}

impl Offer {
    /// Takes what a segment from the peer says; `header` is its TCP header, `sent` what was sent so far,
    /// `reach` the largest window that the peer was offered, in bytes.
    ///
    /// The latest acknowledgement counts, as arrival may be out of order, and only one of what was sent, in
    /// a segment from where the peer can be (RFC 9293, 3.10.7.4).
    pub(super) fn note(
        &mut self,
        segment: &Segment,
        header: &[u8],
        sent: Option<Extent>,
        reach: u32,
    ) {
        if segment.is_rst() {
            return;
        }
        if segment.is_syn() {
            self.scale = window_scale(header).unwrap_or(0);
        }
        let Some(sent) = sent.filter(|_| segment.is_ack()) else { return };
        let is_old = self.known.is_some_and(|known| is_after(known.expected, segment.ack));
        let ahead = segment.seq.wrapping_sub(sent.expected);
        let is_near = segment.is_syn() || ahead <= reach || ahead.wrapping_neg() <= reach;
        if is_old || !is_near || is_after(segment.ack, sent.end) {
            return;
        }
        // The window of a SYN is not shifted (RFC 7323, 2.2).
        let scale = if segment.is_syn() { 0 } else { self.scale };
        let size = u32::from(segment.window) << scale;
        self.known = Some(Window { expected: segment.ack, value: segment.window, size });
    }

    /// What the peer acknowledged and the window that it offered, as it stood in the header.
    pub(super) fn latest(&self) -> Option<(u32, u16)> {
        self.known.map(|known| (known.expected, known.value))
    }

    /// The first sequence number that the peer does not take.
    pub(super) fn edge(&self) -> Option<u32> {
        self.known.map(|known| known.expected.wrapping_add(known.size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: u8 = 1 << 4;
    const SYN: u8 = 1 << 1;
    const RST: u8 = 1 << 2;

    fn header(flags: u8, ack: u32, window: u16) -> Vec<u8> {
        let mut bytes = vec![0; 24];
        bytes[8..12].copy_from_slice(&ack.to_be_bytes());
        bytes[12] = 6 << 4;
        bytes[13] = flags;
        bytes[14..16].copy_from_slice(&window.to_be_bytes());
        if flags & SYN != 0 {
            bytes[20..24].copy_from_slice(&[1, 3, 3, 4]);
        }
        bytes
    }

    fn note(offer: &mut Offer, header: &[u8], end: u32) {
        let sent = Extent { end, expected: 0, window: 0 };
        offer.note(&Segment::parse(header).expect("whole"), header, Some(sent), 1 << 20);
    }

    #[test]
    fn the_edge_is_that_of_the_latest_window_shifted_as_the_syn_said() {
        let mut offer = Offer::default();
        assert_eq!(offer.edge(), None);
        note(&mut offer, &header(SYN | ACK, 1, 1000), 1);
        assert_eq!(offer.edge(), Some(1001), "not that of a SYN");
        note(&mut offer, &header(ACK, 500, 1000), 500);
        assert_eq!(offer.edge(), Some(16_500));
        note(&mut offer, &header(ACK, 400, 2000), 500);
        assert_eq!(offer.edge(), Some(16_500), "an old one");
        note(&mut offer, &header(ACK, 501, 2000), 500);
        assert_eq!(offer.edge(), Some(16_500), "of what was never sent");
        note(&mut offer, &header(ACK | RST, 500, 0), 500);
        assert_eq!(offer.edge(), Some(16_500), "a reset");
        note(&mut offer, &header(0, 500, 0), 500);
        assert_eq!(offer.edge(), Some(16_500), "no acknowledgement");
        let mut far = header(ACK, 500, 0);
        far[4..8].copy_from_slice(&(1_u32 << 30).to_be_bytes());
        note(&mut offer, &far, 500);
        assert_eq!(offer.edge(), Some(16_500), "from where the peer cannot be");
        note(&mut offer, &header(ACK, 500, 0), 500);
        assert_eq!(offer.edge(), Some(500), "closed");
        assert_eq!(offer.latest(), Some((500, 0)));
    }
}
