//! A frame's way through the domain: counted, checked, decided about.

use memif::queue::Frame;

use super::outgoing::Outgoing;
use super::{Fabric, HEADER, complete};
use crate::bridge::{PortSlot, Verdict};
use crate::capture::Direction;
use crate::control::PortOwner;
use crate::gateway::Reply;
use crate::offload::{BadOffload, Checksum, VirtioNetHeader, may_complete};
use crate::policy::needs_more;
use crate::{DropReason, MacAddr};

/// Frames beyond this are longer than any MTU allows, and are not copied to be looked at.
pub(super) const MOST_COPIED: usize = 18 + 65_536;

impl Fabric {
    /// A frame that a memif client sent.
    #[inline]
    pub(crate) fn ingress_memif(&mut self, from: PortSlot, frame: &Frame<'_>) {
        let mut header = [0; HEADER];
        let copied = frame.copy_to(&mut header);
        let header = &header[..copied];
        if needs_more(header) && self.is_guarded(from) && frame.len() <= MOST_COPIED {
            return self.ingress_copied(from, frame, |_| VirtioNetHeader::PLAIN);
        }
        self.switch(from, &Outgoing::Shared { header, frame });
    }

    /// A complete frame in a sender's memory.
    #[inline]
    pub(super) fn switch(&mut self, from: PortSlot, outgoing: &Outgoing<'_>) {
        let Some(verdict) = self.admit(from, outgoing, 0) else { return };
        match verdict {
            Verdict::Unicast(to) => self.deliver(to, outgoing),
            Verdict::Drop(reason) => self.drop_at(from, reason),
            Verdict::Flood { to_gateway } => {
                self.flood(from, outgoing);
                if to_gateway {
                    self.copy_to_gateway(from, outgoing);
                }
            }
            Verdict::Gateway => self.copy_to_gateway(from, outgoing),
        }
    }

    /// A frame of a memif client that has to be looked at whole: the receiver must get what was looked at,
    /// and not what the sender makes of it meanwhile. `needs` looks at the copy and says what it still needs.
    #[cold]
    pub(super) fn ingress_copied(
        &mut self,
        from: PortSlot,
        frame: &Frame<'_>,
        needs: impl FnOnce(&mut [u8]) -> VirtioNetHeader,
    ) {
        let mut bytes = std::mem::take(&mut self.copy);
        bytes.clear();
        bytes.resize(frame.len(), 0);
        let copied = frame.copy_to(&mut bytes);
        let offload = needs(&mut bytes[..copied]);
        self.switch_private(from, offload, &mut bytes[..copied]);
        self.copy = bytes;
    }

    /// A frame that the endpoint's kernel sent, by a TAP or a veth pair.
    pub(crate) fn ingress_kernel(
        &mut self,
        from: PortSlot,
        offload: Result<VirtioNetHeader, BadOffload>,
        bytes: &mut [u8],
    ) {
        let Some(port) = self.port(from) else { return };
        if !matches!(port.owner(), PortOwner::Tap | PortOwner::Veth) {
            port.counters.received(bytes.len());
            return port.counters.dropped(DropReason::NotOwner);
        }
        // Programs can say so of their frames (`PACKET_VNET_HDR`): the checksum is completed after the decision.
        let is_sound = |it: &VirtioNetHeader| match it.checksum {
            Checksum::Partial { start, .. } => may_complete(bytes, start),
            Checksum::Present | Checksum::Valid => true,
        };
        let Some(offload) = offload.ok().filter(is_sound) else {
            port.counters.received(bytes.len());
            return port.counters.dropped(DropReason::BadOffload);
        };
        self.switch_private(from, offload, bytes);
    }

    /// A frame in private memory, with what it still needs.
    pub(super) fn switch_private(
        &mut self,
        from: PortSlot,
        offload: VirtioNetHeader,
        bytes: &mut [u8],
    ) {
        let segment = offload.segmentation.map_or(0, |segmentation| usize::from(segmentation.size));
        let outgoing = Outgoing::Private { bytes, offload };
        let Some(verdict) = self.admit(from, &outgoing, segment) else { return };
        match verdict {
            Verdict::Unicast(to) => self.deliver(to, &outgoing),
            Verdict::Drop(reason) => self.drop_at(from, reason),
            Verdict::Flood { to_gateway } => {
                self.flood(from, &outgoing);
                if to_gateway {
                    self.private_to_gateway(from, offload, bytes);
                }
            }
            Verdict::Gateway => self.private_to_gateway(from, offload, bytes),
        }
    }

    #[inline]
    pub(super) fn is_guarded(&self, slot: PortSlot) -> bool {
        self.port(slot).is_some_and(|port| port.guard.is_on())
    }

    /// Counts a frame, checks its size and the port's policy, and asks the bridge. `segment` is the payload
    /// of the packets that it will be cut into, 0 if it is one.
    #[inline]
    pub(super) fn admit(
        &mut self,
        from: PortSlot,
        frame: &Outgoing<'_>,
        segment: usize,
    ) -> Option<Verdict> {
        let port = self.ports.get(usize::from(from.0))?.as_ref()?;
        port.counters.received(frame.len());
        if port.captured {
            self.capture(from, Direction::Ingress, false, frame);
        }
        let port = self.ports[usize::from(from.0)].as_mut()?;
        let domain = self.domains.get_mut(port.domain_index)?.as_mut()?;
        let Some(&[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1]) =
            frame.header().first_chunk::<14>()
        else {
            port.counters.dropped(DropReason::Malformed);
            return None;
        };
        let tagged = matches!(u16::from_be_bytes([t0, t1]), 0x8100 | 0x88a8);
        let overhead = if tagged { 18 } else { 14 };
        let payload = if segment > 0 { segment } else { frame.len() - 14.min(frame.len()) };
        if payload + 14 > domain.mtu + overhead {
            port.counters.dropped(DropReason::Oversize);
            return None;
        }
        if let Err(reason) = port.guard.check(frame.private()) {
            port.counters.dropped(reason);
            return None;
        }
        if let Some(limits) = &mut port.limits
            && let Err(reason) = limits.admit(self.tick, frame.len(), segment)
        {
            port.counters.dropped(reason);
            return None;
        }
        let dst = MacAddr([d0, d1, d2, d3, d4, d5]);
        let src = MacAddr([s0, s1, s2, s3, s4, s5]);
        Some(domain.bridge.forward(from, dst, src, self.tick))
    }

    pub(super) fn flood(&mut self, from: PortSlot, frame: &Outgoing<'_>) {
        let mut targets = std::mem::take(&mut self.targets);
        if let Some(domain) = self.domain_of(from) {
            targets.extend(domain.bridge.flood_targets(from));
        }
        for to in targets.drain(..) {
            self.deliver(to, frame);
        }
        self.targets = targets;
    }

    fn copy_to_gateway(&mut self, from: PortSlot, frame: &Outgoing<'_>) {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        bytes.resize(frame.len(), 0);
        frame.copy_to(&mut bytes);
        self.ask_gateway(from, &bytes);
        self.scratch = bytes;
    }

    /// The gateway checks checksums, so one that the kernel left open is completed first. Frames that
    /// are to be cut are nothing that the gateway answers.
    pub(super) fn private_to_gateway(
        &mut self,
        from: PortSlot,
        offload: VirtioNetHeader,
        bytes: &mut [u8],
    ) {
        if offload.segmentation.is_some() {
            return self.drop_at(from, DropReason::GatewayIgnored);
        }
        match complete(bytes, offload.checksum) {
            Ok(()) => self.ask_gateway(from, bytes),
            Err(_) => self.drop_at(from, DropReason::BadOffload),
        }
    }

    fn ask_gateway(&mut self, from: PortSlot, bytes: &[u8]) {
        let mut reply = std::mem::take(&mut self.reply);
        let gateway = self.domain_of(from).and_then(|domain| domain.gateway.as_ref());
        let answer = gateway.map(|gateway| gateway.respond(bytes, &mut reply));
        if answer == Some(Reply::Send) {
            let frame = Outgoing::Private { bytes: &reply, offload: VirtioNetHeader::PLAIN };
            if self.port(from).is_some_and(|port| port.captured) {
                self.capture_reply(from, &frame);
            }
            self.deliver(from, &frame);
        } else if bytes.first().is_some_and(|octet| octet & 1 == 0) {
            // A broadcast that is not for the gateway reached the other ports.
            self.drop_at(from, DropReason::GatewayIgnored);
        }
        self.reply = reply;
    }
}
