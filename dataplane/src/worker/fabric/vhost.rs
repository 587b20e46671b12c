//! Frames from and to front ends of vhost-user devices.
//!
//! A complete frame stays in the front end's memory until it is copied to where it goes. One whose checksum or
//! segments are left undone is copied out first, and what it asks for is checked against that copy.

use shm::Payload;
use vhost_user_net::{Features, Frame, TxError, TxQueue};

use super::deliver::{PacketSink, Pushed, push_packets};
use super::outgoing::{Decided, Outgoing};
use super::stack::Parcel;
use super::{Fabric, HEADER};
use crate::DropReason;
use crate::bridge::PortSlot;
use crate::counters::CounterCells;
use crate::offload::{
    BadOffload, Checksum, SegmentationKind, Segmenter, VirtioNetHeader, may_complete,
};
use crate::packet::flow_hash;
use crate::policy::needs_more;

/// The header of a complete frame.
const PLAIN: [u8; VirtioNetHeader::LEN] = [0; VirtioNetHeader::LEN];

impl Fabric {
    /// A frame that a front end sent.
    #[inline]
    pub(crate) fn ingress_vhost(&mut self, from: PortSlot, frame: &Frame<'_>) {
        match VirtioNetHeader::parse(frame.header()) {
            Ok(offload) if offload.is_plain() => {
                let mut header = [0; HEADER];
                let copied = frame.copy_to(&mut header);
                let header = &header[..copied];
                if needs_more(header) && self.is_guarded(from) {
                    return self.ingress_whole(from, VirtioNetHeader::PLAIN, frame);
                }
                self.switch(from, &Outgoing::Guest { header, frame });
            }
            Ok(offload) => self.ingress_whole(from, offload, frame),
            Err(_) => self.refuse_offload(from, frame.len()),
        }
    }

    /// A frame that has to be looked at whole: the receiver must get what was looked at.
    fn ingress_whole(&mut self, from: PortSlot, offload: VirtioNetHeader, frame: &Frame<'_>) {
        let mtu = self.domain_of(from).map_or(0, |domain| domain.mtu);
        let mut bytes = std::mem::take(&mut self.copy);
        bytes.clear();
        bytes.resize(frame.len(), 0);
        frame.copy_to(&mut bytes);
        match check(&bytes, offload, mtu) {
            Ok(()) => self.switch_private(from, offload, &mut bytes),
            Err(_) => self.refuse_offload(from, bytes.len()),
        }
        self.copy = bytes;
    }

    fn refuse_offload(&mut self, from: PortSlot, length: usize) {
        let Some(port) = self.port(from) else { return };
        port.counters.received(length);
        port.counters.dropped(DropReason::BadOffload);
    }

    /// Pushes a frame into the queue of its flow.
    #[inline]
    pub(super) fn deliver_vhost(&mut self, to: PortSlot, frame: &Outgoing<'_>) {
        let Some(Some(port)) = self.ports.get_mut(usize::from(to.0)) else { return };
        let Some(vhost) = &mut port.vhost else { return };
        let Some(queue) = queue_of(&mut vhost.queues, frame.header()) else {
            return port.counters.dropped(DropReason::NoDevice);
        };
        let counters = &port.counters;
        let mut fault = None;
        let mut push = |outcome: Result<(), TxError>, length: usize| {
            if let Err(TxError::Fault(found)) = outcome {
                fault = Some(found);
            }
            count(counters, outcome, length);
            Pushed::GoOn
        };
        match *frame {
            Outgoing::Shared { header, .. } | Outgoing::Guest { header, .. }
                if frame.len() <= header.len() =>
            {
                let _ = push(queue.push(&PLAIN, &header[..frame.len()]), frame.len());
            }
            Outgoing::Shared { header, frame } => {
                let _ = push(queue.push(&PLAIN, &Decided { header, frame }), frame.len());
            }
            Outgoing::Guest { header, frame } => {
                let _ = push(queue.push(&PLAIN, &Decided { header, frame }), frame.len());
            }
            Outgoing::Private { bytes, offload } if takes(queue.features(), offload) => {
                let _ = push(queue.push(&offload.encode(), bytes), bytes.len());
            }
            Outgoing::Private { bytes, offload } => {
                let domain = self.domains.get(port.domain_index).and_then(Option::as_ref);
                let mtu = domain.map_or(0, |domain| domain.mtu);
                if push_packets(bytes, offload, mtu, 0, &mut self.scratch, queue, push).is_err() {
                    counters.dropped(DropReason::BadOffload);
                }
            }
        }
        if let Some(fault) = fault {
            vhost.state.fail(fault);
        }
        self.mark_dirty(to);
    }

    /// Offers a frame of a stack; `false` when the front end has no buffer left. The parcel then knows what
    /// has been delivered of it.
    pub(super) fn offer_vhost(&mut self, to: PortSlot, parcel: &mut Parcel) -> bool {
        let Some(Some(port)) = self.ports.get_mut(usize::from(to.0)) else { return true };
        let mtu = self.domains.get(port.domain_index).and_then(Option::as_ref).map_or(0, |d| d.mtu);
        let Some(vhost) = &mut port.vhost else { return true };
        let bytes = parcel.frame.bytes();
        let Some(queue) = queue_of(&mut vhost.queues, bytes) else {
            port.counters.dropped(DropReason::NoDevice);
            return true;
        };
        let counters = &port.counters;
        let (mut full, mut fault) = (false, None);
        let mut report = |outcome: Result<(), TxError>, length: usize| match outcome {
            Err(TxError::Full) => {
                full = true;
                Pushed::Stop
            }
            Err(TxError::Fault(found)) => {
                fault = Some(found);
                count(counters, outcome, length);
                Pushed::Stop
            }
            outcome => {
                count(counters, outcome, length);
                Pushed::GoOn
            }
        };
        let (offload, skip) = (parcel.frame.offload, parcel.delivered);
        if takes(queue.features(), offload) {
            let _ = report(queue.push(&offload.encode(), bytes), bytes.len());
        } else {
            match push_packets(bytes, offload, mtu, skip, &mut self.scratch, queue, report) {
                Ok(delivered) => parcel.delivered = delivered,
                Err(_) => counters.dropped(DropReason::BadOffload),
            }
        }
        if let Some(fault) = fault {
            vhost.state.fail(fault);
        }
        self.mark_dirty(to);
        !full
    }
}

impl PacketSink for TxQueue {
    type Error = TxError;

    #[inline]
    fn push_packet<P: Payload + ?Sized>(&mut self, packet: &P) -> Result<(), TxError> {
        self.push(&PLAIN, packet)
    }
}

/// The queue of a frame's flow.
#[inline]
fn queue_of<'a>(queues: &'a mut [TxQueue], frame: &[u8]) -> Option<&'a mut TxQueue> {
    match queues {
        [] => None,
        [only] => Some(only),
        several => {
            let index = flow_hash(frame) as usize % several.len();
            several.get_mut(index)
        }
    }
}

#[inline]
fn count(counters: &CounterCells, outcome: Result<(), TxError>, length: usize) {
    match outcome {
        Ok(()) => counters.transmitted(length),
        Err(TxError::Full) => counters.dropped(DropReason::Full),
        Err(TxError::Length(_)) => counters.dropped(DropReason::NoBuffer),
        Err(TxError::Fault(_)) => counters.dropped(DropReason::NoDevice),
        Err(_) => counters.dropped(DropReason::Device),
    }
}

/// Whether what a front end leaves undone makes sense for its frame.
fn check(bytes: &[u8], offload: VirtioNetHeader, mtu: usize) -> Result<(), BadOffload> {
    if let Checksum::Partial { start, offset } = offload.checksum {
        let end = usize::from(start) + usize::from(offset) + 2;
        if !may_complete(bytes, start) || end > bytes.len() {
            return Err(BadOffload::ChecksumRange);
        }
    }
    if offload.segmentation.is_some() {
        Segmenter::new(bytes, offload, mtu)?;
    }
    Ok(())
}

/// Whether a front end agreed to take a frame with this left undone.
fn takes(features: Features, offload: VirtioNetHeader) -> bool {
    let checksum = features.takes_partial_checksums() || offload.checksum == Checksum::Present;
    let Some(segmentation) = offload.segmentation else { return checksum };
    let kind = match segmentation.kind {
        SegmentationKind::Tcp4 => features.takes_tcp4_segments(),
        SegmentationKind::Tcp6 => features.takes_tcp6_segments(),
        SegmentationKind::Udp => features.takes_udp_segments(),
    };
    checksum && kind && (!segmentation.ecn || features.takes_ecn_segments())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offload::Segmentation;

    fn tcp4(ecn: bool) -> VirtioNetHeader {
        VirtioNetHeader {
            checksum: Checksum::Partial { start: 34, offset: 16 },
            segmentation: Some(Segmentation {
                kind: SegmentationKind::Tcp4,
                ecn,
                header_len: 54,
                size: 1000,
            }),
        }
    }

    #[test]
    fn front_ends_get_unfinished_what_they_agreed_to_take() {
        let plain = VirtioNetHeader::PLAIN;
        let valid = VirtioNetHeader { checksum: Checksum::Valid, segmentation: None };
        let partial = VirtioNetHeader { segmentation: None, ..tcp4(false) };
        let [nothing, all] = [Features(0), Features::offered(1)];
        let csum = Features(1 << 1);
        let tso4 = Features(1 << 1 | 1 << 7);
        for (features, offload, taken) in [
            (nothing, plain, true),
            (nothing, valid, false),
            (nothing, partial, false),
            (csum, valid, true),
            (csum, partial, true),
            (csum, tcp4(false), false),
            (tso4, tcp4(false), true),
            (tso4, tcp4(true), false),
            (all, tcp4(true), true),
        ] {
            assert_eq!(takes(features, offload), taken, "{features:?} {offload:?}");
        }
    }

    #[test]
    fn a_checksum_is_completed_behind_the_addresses_and_inside_the_frame_only() {
        let partial = |start, offset| VirtioNetHeader {
            checksum: Checksum::Partial { start, offset },
            segmentation: None,
        };
        let mut frame = [0; 60];
        assert_eq!(check(&frame, partial(34, 6), 1500), Err(BadOffload::ChecksumRange), "no IP");
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14..18].copy_from_slice(&[0x45, 0, 0, 46]);
        frame[23] = 17;
        assert_eq!(check(&frame, partial(34, 24), 1500), Ok(()));
        for bad in [partial(34, 25), partial(33, 10), partial(14, 12), partial(u16::MAX, u16::MAX)]
        {
            assert_eq!(check(&frame, bad, 1500), Err(BadOffload::ChecksumRange));
        }
        assert!(check(&frame, tcp4(false), 1500).is_err(), "no TCP frame");
    }
}
