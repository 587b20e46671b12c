//! Handing frames to the devices that own their destinations.

use memif::TxQueue;
use memif::queue::{Payload, TxError};
use shm::Mapping;

use super::outgoing::{Decided, Outgoing};
use super::{Fabric, TapToken, complete};
use crate::DropReason;
use crate::bridge::PortSlot;
use crate::capture::Direction;
use crate::offload::{BadOffload, Segment, Segmenter, VirtioNetHeader};
use crate::packet::flow_hash;
use crate::tap::HEADER_LEN;

impl Fabric {
    /// Gives a frame to the device that owns the endpoint's address.
    #[inline]
    pub(super) fn deliver(&mut self, to: PortSlot, frame: &Outgoing<'_>) {
        let Some(Some(port)) = self.ports.get_mut(usize::from(to.0)) else { return };
        if port.memif.is_some() {
            self.deliver_memif(to, frame);
        } else if port.vhost.is_some() {
            self.deliver_vhost(to, frame);
        } else if port.tap.is_some() || port.veth.is_some() {
            self.deliver_kernel(to, frame);
        } else if port.stack.is_some() {
            self.deliver_stack(to, frame);
        } else if port.tunnel.is_some() {
            self.deliver_vxlan(to, frame);
        } else {
            return port.counters.dropped(DropReason::NoDevice);
        }
        if self.ports[usize::from(to.0)].as_ref().is_some_and(|port| port.captured) {
            self.capture(to, Direction::Egress, false, frame);
        }
    }

    #[inline]
    fn deliver_memif(&mut self, to: PortSlot, frame: &Outgoing<'_>) {
        let Some(Some(port)) = self.ports.get_mut(usize::from(to.0)) else { return };
        let Some(memif) = &mut port.memif else { return };
        let index = match memif.queues.len() {
            0 => return port.counters.dropped(DropReason::NoDevice),
            1 => 0,
            count => flow_hash(frame.header()) as usize % count,
        };
        let queue = &mut memif.queues[index];
        let counters = &port.counters;
        let mut failed = None;
        let mut push = |outcome: Result<(), TxError>, length: usize| {
            match outcome {
                Ok(()) => counters.transmitted(length),
                Err(TxError::Full) => counters.dropped(DropReason::Full),
                Err(TxError::Length(_)) => counters.dropped(DropReason::NoBuffer),
                Err(TxError::Fault(fault)) => {
                    counters.dropped(DropReason::NoDevice);
                    failed = Some(fault);
                }
                Err(_) => counters.dropped(DropReason::Device),
            }
            Pushed::GoOn
        };
        match *frame {
            Outgoing::Shared { header, frame } if frame.len() <= header.len() => {
                let _ = push(queue.push(&header[..frame.len()]), frame.len());
            }
            Outgoing::Shared { header, frame } => {
                let _ = push(queue.forward(header, frame), frame.len());
            }
            Outgoing::Guest { header, frame } if frame.len() <= header.len() => {
                let _ = push(queue.push(&header[..frame.len()]), frame.len());
            }
            Outgoing::Guest { header, frame } => {
                let _ = push(queue.push(&Decided { header, frame }), frame.len());
            }
            Outgoing::Private { bytes, offload } if offload.is_plain() => {
                let _ = push(queue.push(bytes), bytes.len());
            }
            Outgoing::Private { bytes, offload } => {
                let domain = self.domains.get(port.domain_index).and_then(Option::as_ref);
                let mtu = domain.map_or(0, |domain| domain.mtu);
                let cut = push_packets(bytes, offload, mtu, 0, &mut self.scratch, queue, push);
                if cut.is_err() {
                    counters.dropped(DropReason::BadOffload);
                }
            }
        }
        if let Some(fault) = failed {
            memif.state.close();
            self.faults.push((port.id, fault));
        }
        if !port.dirty {
            port.dirty = true;
            self.dirty.push(to);
        }
    }

    /// To the kernel of the endpoint, by its TAP or its veth pair.
    fn deliver_kernel(&mut self, to: PortSlot, frame: &Outgoing<'_>) {
        let length = frame.len();
        if self.writer.reserve(length).is_none() {
            self.flush_taps();
        }
        let Some(mut room) = self.writer.reserve(length) else {
            return self.drop_at(to, DropReason::NoBuffer);
        };
        frame.copy_to(room.frame());
        let token = TapToken { port: to, flow: flow_hash(frame.header()) };
        room.push(token, frame.offload(), length);
    }

    /// Makes everything delivered so far visible to its receivers.
    #[inline]
    pub(crate) fn flush(&mut self) {
        self.flush_rings();
        if !self.writer.is_empty() {
            self.flush_taps();
        }
        if self.vxlan_waits {
            self.flush_vteps();
        }
    }

    /// Publishes what was pushed into rings.
    #[inline]
    pub(crate) fn flush_rings(&mut self) {
        while let Some(slot) = self.dirty.pop() {
            let Some(Some(port)) = self.ports.get_mut(usize::from(slot.0)) else { continue };
            port.dirty = false;
            if let Some(stack) = &mut port.stack {
                stack.flush();
            }
            // A link that is down is reported by its control socket.
            if let Some(memif) = &mut port.memif {
                for queue in &mut memif.queues {
                    let _ = queue.flush();
                }
            }
            if let Some(vhost) = &mut port.vhost {
                for queue in &mut vhost.queues {
                    let _ = queue.flush();
                }
            }
        }
    }

    fn flush_taps(&mut self) {
        let ports = &self.ports;
        let port = |token: TapToken| ports.get(usize::from(token.port.0))?.as_ref();
        let results = self.writer.flush(|token| port(token)?.outlet(token.flow));
        for (token, result) in results {
            let Some(port) = port(token) else { continue };
            match result {
                Ok(written) => {
                    port.counters.transmitted(written - HEADER_LEN.min(written));
                }
                Err(error) => port.counters.dropped(error.reason()),
            }
        }
    }
}

/// What to do after a packet was pushed, or was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The next one.
    GoOn,
    /// Leave the rest of the frame.
    Stop,
}

/// A queue that takes complete packets.
pub(super) trait PacketSink {
    /// Why it does not take one.
    type Error;

    /// Takes one.
    fn push_packet<P: Payload + ?Sized>(&mut self, packet: &P) -> Result<(), Self::Error>;
}

impl PacketSink for TxQueue {
    type Error = TxError;

    #[inline]
    fn push_packet<P: Payload + ?Sized>(&mut self, packet: &P) -> Result<(), TxError> {
        self.push(packet)
    }
}

/// Makes what the sender left undone good: pushes each packet of a frame as it goes on a wire, without
/// the first `skip`. Returns how many packets are done, those of the first `skip` included.
pub(super) fn push_packets<Q: PacketSink>(
    bytes: &[u8],
    offload: VirtioNetHeader,
    mtu: usize,
    skip: usize,
    scratch: &mut Vec<u8>,
    queue: &mut Q,
    mut report: impl FnMut(Result<(), Q::Error>, usize) -> Pushed,
) -> Result<usize, BadOffload> {
    if offload.is_plain() {
        return Ok(usize::from(report(queue.push_packet(bytes), bytes.len()) == Pushed::GoOn));
    }
    if offload.segmentation.is_none() {
        scratch.clear();
        scratch.extend_from_slice(bytes);
        complete(scratch, offload.checksum)?;
        return Ok(usize::from(
            report(queue.push_packet(&scratch[..]), scratch.len()) == Pushed::GoOn,
        ));
    }
    let mut segments = Segmenter::new(bytes, offload, mtu)?;
    segments.skip(skip);
    let mut done = skip;
    while let Some(segment) = segments.next_segment() {
        if report(queue.push_packet(&TwoPieces(segment)), segment.len()) == Pushed::Stop {
            break;
        }
        done += 1;
    }
    Ok(done)
}

/// A segment on its way into a ring: headers that were made for it, payload from where it is.
struct TwoPieces<'a>(Segment<'a>);

impl Payload for TwoPieces<'_> {
    fn payload_len(&self) -> usize {
        self.0.len()
    }

    fn copy_part(&self, offset: usize, target: &Mapping, target_offset: usize, length: usize) {
        let headers = self.0.headers.get(offset..).unwrap_or_default();
        let first = headers.len().min(length);
        headers[..first].copy_part(0, target, target_offset, first);
        let skipped = offset.saturating_sub(self.0.headers.len());
        self.0.payload.copy_part(skipped, target, target_offset + first, length - first);
    }
}
