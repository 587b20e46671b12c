//! The switch of one worker: its domains, its ports, and a frame's way from one to another.
//!
//! A frame is copied once per hop: from the sender's memory into the receiver's. What the decision
//! depends on, the first 64 bytes, is copied out before, and the receiver gets exactly those bytes:
//! a sender that changes them meanwhile cannot make the frame differ from the decision.

use memif::RingFault;
use memif::queue::{Frame, TxError};

use crate::bridge::{Bridge, BridgeConfig, PortGroup, PortSlot, Tick, Verdict};
use crate::capture::{CaptureScope, Direction, Sink};
use crate::control::{DataplaneError, FdbEntry, PortId, PortOwner};
use crate::gateway::{Gateway, Reply};
use crate::offload::{BadOffload, Checksum, VirtioNetHeader, complete_checksum};
use crate::packet::flow_hash;
use crate::tap::TapWriter;
use crate::worker::port::Port;
use crate::{DomainConfig, DomainId, DropReason, MacAddr, PortConfig};

/// Bytes of a frame that decisions are made on.
const HEADER: usize = 64;
/// Frames that a [`TapWriter`] collects before it is flushed.
const TAP_BATCH: usize = 64;
/// Bytes that it collects.
const TAP_ARENA: usize = 8 * crate::tap::BUFFER_LEN;

/// A domain and what it needs besides the bridge.
#[derive(Debug)]
struct Domain {
    id: DomainId,
    bridge: Bridge,
    gateway: Option<Gateway>,
    group: PortGroup,
    mtu: usize,
}

/// A frame on its way out.
#[derive(Debug, Clone, Copy)]
enum Outgoing<'a> {
    /// In a sender's shared memory, behind its private first bytes.
    Shared { header: &'a [u8], frame: &'a Frame<'a> },
    /// In private memory, with what it still needs.
    Private { bytes: &'a [u8], offload: VirtioNetHeader },
}

impl Outgoing<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Shared { frame, .. } => frame.len(),
            Self::Private { bytes, .. } => bytes.len(),
        }
    }

    fn header(&self) -> &[u8] {
        match self {
            Self::Shared { header, .. } => header,
            Self::Private { bytes, .. } => &bytes[..bytes.len().min(HEADER)],
        }
    }

    /// Copies the frame's first bytes, at most `out.len()`; returns how many.
    fn copy_to(&self, out: &mut [u8]) -> usize {
        match self {
            Self::Shared { header, frame } => {
                let copied = frame.copy_to(out);
                let fixed = header.len().min(copied);
                out[..fixed].copy_from_slice(&header[..fixed]);
                copied
            }
            Self::Private { bytes, .. } => {
                let count = bytes.len().min(out.len());
                out[..count].copy_from_slice(&bytes[..count]);
                count
            }
        }
    }
}

/// Where a TAP frame goes: a port, and the flow that chooses its queue.
#[derive(Debug, Clone, Copy)]
struct TapToken {
    port: PortSlot,
    flow: u32,
}

/// Domains and ports of one worker.
#[derive(Debug)]
pub(crate) struct Fabric {
    domains: Vec<Domain>,
    ports: Vec<Option<Port>>,
    writer: TapWriter<TapToken>,
    dirty: Vec<PortSlot>,
    captures: Vec<Sink>,
    faults: Vec<(PortId, RingFault)>,
    tick: Tick,
    /// Reused for flooding, for frames to the gateway and for its replies.
    targets: Vec<PortSlot>,
    scratch: Vec<u8>,
    reply: Vec<u8>,
}

impl Fabric {
    pub(crate) fn new() -> Self {
        Self {
            domains: Vec::new(),
            ports: Vec::new(),
            writer: TapWriter::new(TAP_BATCH, TAP_ARENA),
            dirty: Vec::new(),
            captures: Vec::new(),
            faults: Vec::new(),
            tick: Tick(0),
            targets: Vec::new(),
            scratch: Vec::new(),
            reply: Vec::new(),
        }
    }

    pub(crate) fn set_time(&mut self, tick: Tick) {
        self.tick = tick;
    }

    // Domains and ports come and go.

    pub(crate) fn add_domain(&mut self, id: DomainId, config: &DomainConfig, seed: u64) {
        let group = if config.isolation { PortGroup::Isolated } else { PortGroup::Open };
        self.domains.push(Domain {
            id,
            bridge: Bridge::new(&BridgeConfig::for_domain(config, seed)),
            gateway: config.gateway.as_ref().map(Gateway::new),
            group,
            mtu: config.mtu as usize,
        });
    }

    pub(crate) fn remove_domain(&mut self, id: DomainId) -> Result<(), DataplaneError> {
        let in_use = self.ports.iter().flatten().filter(|port| port.domain == id).count();
        if in_use > 0 {
            return Err(DataplaneError::DomainInUse { domain: id, ports: in_use });
        }
        self.domains.retain(|domain| domain.id != id);
        self.captures.retain(|sink| sink.scope != CaptureScope::Domain(id));
        Ok(())
    }

    pub(crate) fn create_port(
        &mut self,
        id: PortId,
        domain: DomainId,
        config: &PortConfig,
    ) -> Result<PortSlot, DataplaneError> {
        self.insert(Port::new(id, domain, config)).map_err(|(_, error)| error)
    }

    /// Takes a port into its domain; gives it back when the domain refuses.
    pub(crate) fn insert(&mut self, port: Port) -> Result<PortSlot, (Box<Port>, DataplaneError)> {
        let free = self.ports.iter().position(Option::is_none).unwrap_or(self.ports.len());
        let slot = match u16::try_from(free) {
            Ok(slot) if slot < u16::MAX => PortSlot(slot),
            _ => return Err((Box::new(port), DataplaneError::TooManyPorts)),
        };
        let Some(domain) = self.domains.iter_mut().find(|domain| domain.id == port.domain) else {
            let error = DataplaneError::NoDomain(port.domain);
            return Err((Box::new(port), error));
        };
        if let Err(error) = domain.bridge.add_port(slot, port.mac, domain.group) {
            return Err((Box::new(port), error.into()));
        }
        if free == self.ports.len() {
            self.ports.push(Some(port));
        } else {
            self.ports[free] = Some(port);
        }
        self.mark_captured();
        Ok(slot)
    }

    /// Takes a port out, with frames that wait for it flushed.
    pub(crate) fn remove(&mut self, slot: PortSlot) -> Option<Port> {
        self.flush();
        let port = self.ports.get_mut(usize::from(slot.0))?.take()?;
        if let Some(domain) = self.domain_mut(port.domain) {
            domain.bridge.remove_port(slot);
        }
        Some(port)
    }

    pub(crate) fn slot(&self, id: PortId) -> Option<PortSlot> {
        let at = self.ports.iter().position(|port| port.as_ref().is_some_and(|port| port.id == id));
        at.and_then(|at| u16::try_from(at).ok()).map(PortSlot)
    }

    pub(crate) fn port_mut(&mut self, slot: PortSlot) -> Option<&mut Port> {
        self.ports.get_mut(usize::from(slot.0))?.as_mut()
    }

    pub(crate) fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter().flatten()
    }

    pub(crate) fn fdb(&self, id: DomainId) -> Result<Vec<FdbEntry>, DataplaneError> {
        let domain = self.domains.iter().find(|domain| domain.id == id);
        let domain = domain.ok_or(DataplaneError::NoDomain(id))?;
        let mut entries: Vec<_> = domain
            .bridge
            .entries(self.tick)
            .map(|entry| FdbEntry {
                mac: entry.mac,
                port: entry.port.and_then(|slot| self.port(slot)).map(|port| port.id),
                pinned: entry.pinned,
                age: entry.age,
            })
            .collect();
        entries.sort_by_key(|entry| entry.mac);
        Ok(entries)
    }

    /// Forgets aged addresses, a part of the tables at a time.
    pub(crate) fn age(&mut self) {
        for domain in &mut self.domains {
            let budget = (domain.bridge.cells() / 16).max(64);
            domain.bridge.age(self.tick, budget);
        }
    }

    /// Ring faults found while sending, since the last call.
    pub(crate) fn take_faults(&mut self) -> Vec<(PortId, RingFault)> {
        std::mem::take(&mut self.faults)
    }

    // Captures.

    pub(crate) fn add_capture(&mut self, sink: Sink) -> Result<(), DataplaneError> {
        match sink.scope {
            CaptureScope::Domain(id) if !self.domains.iter().any(|domain| domain.id == id) => {
                return Err(DataplaneError::NoDomain(id));
            }
            CaptureScope::Port(id) if self.slot(id).is_none() => {
                return Err(DataplaneError::NoPort(id));
            }
            CaptureScope::Domain(_) | CaptureScope::Port(_) => {}
        }
        self.captures.push(sink);
        self.mark_captured();
        Ok(())
    }

    /// Ends the captures of a port that is going away.
    pub(crate) fn end_captures(&mut self, id: PortId) {
        self.captures.retain(|sink| sink.scope != CaptureScope::Port(id));
    }

    fn mark_captured(&mut self) {
        for port in self.ports.iter_mut().flatten() {
            port.captured = self.captures.iter().any(|sink| match sink.scope {
                CaptureScope::Domain(id) => id == port.domain,
                CaptureScope::Port(id) => id == port.id,
            });
        }
    }

    #[cold]
    fn capture(&mut self, slot: PortSlot, direction: Direction, gateway: bool, out: &Outgoing<'_>) {
        let Some(port) = self.port(slot) else { return };
        let (id, domain) = (port.id, port.domain);
        for sink in &mut self.captures {
            if sink.wants(domain, id, direction, gateway) {
                sink.record(id, direction, out.len(), |buffer| out.copy_to(buffer));
            }
        }
        if self.captures.iter().any(Sink::is_ended) {
            self.captures.retain(|sink| !sink.is_ended());
            self.mark_captured();
        }
    }

    // The way of a frame.

    /// A frame that a memif client sent.
    #[inline]
    pub(crate) fn ingress_memif(&mut self, from: PortSlot, frame: &Frame<'_>) {
        let (header, copied) = frame.header::<HEADER>();
        let header = &header[..copied];
        let outgoing = Outgoing::Shared { header, frame };
        let Some(verdict) = self.admit(from, &outgoing, 0) else { return };
        match verdict {
            Verdict::Unicast(to) => self.deliver(to, &outgoing),
            Verdict::Drop(reason) => self.drop_at(from, reason),
            Verdict::Flood { to_gateway } => {
                self.flood(from, &outgoing);
                if to_gateway {
                    self.copy_to_gateway(from, &outgoing);
                }
            }
            Verdict::Gateway => self.copy_to_gateway(from, &outgoing),
        }
    }

    /// A frame that the endpoint's kernel sent.
    pub(crate) fn ingress_tap(
        &mut self,
        from: PortSlot,
        offload: Result<VirtioNetHeader, BadOffload>,
        bytes: &mut [u8],
    ) {
        let Some(port) = self.port(from) else { return };
        if port.owner() != PortOwner::Tap {
            port.counters.received(bytes.len());
            return port.counters.dropped(DropReason::NotOwner);
        }
        let Ok(offload) = offload else {
            port.counters.received(bytes.len());
            return port.counters.dropped(DropReason::BadOffload);
        };
        let segment = offload.segmentation.map_or(0, |segmentation| usize::from(segmentation.size));
        let outgoing = Outgoing::Private { bytes, offload };
        let Some(verdict) = self.admit(from, &outgoing, segment) else { return };
        match verdict {
            Verdict::Unicast(to) => self.deliver(to, &outgoing),
            Verdict::Drop(reason) => self.drop_at(from, reason),
            Verdict::Flood { to_gateway } => {
                self.flood(from, &outgoing);
                if to_gateway {
                    self.tap_to_gateway(from, offload, bytes);
                }
            }
            Verdict::Gateway => self.tap_to_gateway(from, offload, bytes),
        }
    }

    /// Counts a frame, checks its size and asks the bridge. `segment` is the payload of the packets
    /// that it will be cut into, 0 if it is one.
    #[inline]
    fn admit(&mut self, from: PortSlot, frame: &Outgoing<'_>, segment: usize) -> Option<Verdict> {
        let port = self.ports.get(usize::from(from.0))?.as_ref()?;
        port.counters.received(frame.len());
        if port.captured {
            self.capture(from, Direction::Ingress, false, frame);
        }
        let port = self.ports[usize::from(from.0)].as_ref()?;
        let domain = self.domains.iter_mut().find(|domain| domain.id == port.domain)?;
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
        let dst = MacAddr([d0, d1, d2, d3, d4, d5]);
        let src = MacAddr([s0, s1, s2, s3, s4, s5]);
        Some(domain.bridge.forward(from, dst, src, self.tick))
    }

    /// Gives a frame to the device that owns the endpoint's address.
    #[inline]
    fn deliver(&mut self, to: PortSlot, frame: &Outgoing<'_>) {
        let Some(Some(port)) = self.ports.get_mut(usize::from(to.0)) else { return };
        if port.memif.is_some() {
            self.deliver_memif(to, frame);
        } else if port.tap.is_some() {
            self.deliver_tap(to, frame);
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
        let mut push = |outcome: Result<(), TxError>, length: usize| match outcome {
            Ok(()) => counters.transmitted(length),
            Err(TxError::Full) => counters.dropped(DropReason::Full),
            Err(TxError::Length(_)) => counters.dropped(DropReason::NoBuffer),
            Err(TxError::Fault(fault)) => {
                counters.dropped(DropReason::NoDevice);
                failed = Some(fault);
            }
            Err(_) => counters.dropped(DropReason::Device),
        };
        match *frame {
            Outgoing::Shared { header, frame } if frame.len() <= header.len() => {
                push(queue.push(&header[..frame.len()]), frame.len());
            }
            Outgoing::Shared { header, frame } => push(queue.forward(header, frame), frame.len()),
            Outgoing::Private { bytes, offload } if offload.is_plain() => {
                push(queue.push(bytes), bytes.len());
            }
            Outgoing::Private { bytes, offload } => {
                let cut = each_packet(bytes, offload, &mut self.scratch, |packet| {
                    push(queue.push(packet), packet.len());
                });
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

    fn deliver_tap(&mut self, to: PortSlot, frame: &Outgoing<'_>) {
        let length = frame.len();
        if self.writer.reserve(length).is_none() {
            self.flush_taps();
        }
        let Some(mut room) = self.writer.reserve(length) else {
            return self.drop_at(to, DropReason::NoBuffer);
        };
        frame.copy_to(room.frame());
        let offload = match frame {
            Outgoing::Shared { .. } => VirtioNetHeader::PLAIN,
            Outgoing::Private { offload, .. } => *offload,
        };
        let token = TapToken { port: to, flow: flow_hash(frame.header()) };
        room.push(token, offload, length);
    }

    fn flood(&mut self, from: PortSlot, frame: &Outgoing<'_>) {
        let Some(id) = self.port(from).map(|port| port.domain) else { return };
        let mut targets = std::mem::take(&mut self.targets);
        if let Some(domain) = self.domains.iter().find(|domain| domain.id == id) {
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
    fn tap_to_gateway(&mut self, from: PortSlot, offload: VirtioNetHeader, bytes: &mut [u8]) {
        if offload.segmentation.is_some() {
            return self.drop_at(from, DropReason::GatewayIgnored);
        }
        match complete(bytes, offload.checksum) {
            Ok(()) => self.ask_gateway(from, bytes),
            Err(_) => self.drop_at(from, DropReason::BadOffload),
        }
    }

    fn ask_gateway(&mut self, from: PortSlot, bytes: &[u8]) {
        let Some(id) = self.port(from).map(|port| port.domain) else { return };
        let mut reply = std::mem::take(&mut self.reply);
        let domain = self.domains.iter().find(|domain| domain.id == id);
        let gateway = domain.and_then(|domain| domain.gateway.as_ref());
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

    /// A reply of the gateway in the capture of its domain; the port's capture sees its delivery.
    #[cold]
    fn capture_reply(&mut self, to: PortSlot, frame: &Outgoing<'_>) {
        let Some(port) = self.port(to) else { return };
        let (id, domain) = (port.id, port.domain);
        for sink in &mut self.captures {
            if sink.scope == CaptureScope::Domain(domain) {
                sink.record(id, Direction::Egress, frame.len(), |buffer| frame.copy_to(buffer));
            }
        }
    }

    // Publishing.

    /// Makes everything delivered so far visible to its receivers.
    #[inline]
    pub(crate) fn flush(&mut self) {
        self.flush_rings();
        if !self.writer.is_empty() {
            self.flush_taps();
        }
    }

    /// Publishes what was pushed into rings.
    #[inline]
    pub(crate) fn flush_rings(&mut self) {
        while let Some(slot) = self.dirty.pop() {
            let Some(Some(port)) = self.ports.get_mut(usize::from(slot.0)) else { continue };
            port.dirty = false;
            let Some(memif) = &mut port.memif else { continue };
            for queue in &mut memif.queues {
                // A link that is down is reported by its control socket.
                let _ = queue.flush();
            }
        }
    }

    fn flush_taps(&mut self) {
        let ports = &self.ports;
        let port = |token: TapToken| ports.get(usize::from(token.port.0))?.as_ref();
        let results = self.writer.flush(|token| port(token)?.tap_queue(token.flow));
        for (token, result) in results {
            let Some(port) = port(token) else { continue };
            match result {
                Ok(written) => {
                    port.counters.transmitted(written - VirtioNetHeader::LEN.min(written));
                }
                Err(error) => port.counters.dropped(error.reason()),
            }
        }
    }

    #[inline]
    pub(crate) fn drop_at(&self, slot: PortSlot, reason: DropReason) {
        if let Some(port) = self.port(slot) {
            port.counters.dropped(reason);
        }
    }

    #[inline]
    fn port(&self, slot: PortSlot) -> Option<&Port> {
        self.ports.get(usize::from(slot.0))?.as_ref()
    }

    fn domain_mut(&mut self, id: DomainId) -> Option<&mut Domain> {
        self.domains.iter_mut().find(|domain| domain.id == id)
    }
}

/// Completes a checksum that the kernel left open.
fn complete(bytes: &mut [u8], checksum: Checksum) -> Result<(), BadOffload> {
    match checksum {
        Checksum::Partial { start, offset } => complete_checksum(bytes, start, offset),
        Checksum::Present | Checksum::Valid => Ok(()),
    }
}

/// Makes what the kernel left undone good: gives `push` each packet of a frame as it goes on a wire.
fn each_packet(
    bytes: &[u8],
    offload: VirtioNetHeader,
    scratch: &mut Vec<u8>,
    mut push: impl FnMut(&[u8]),
) -> Result<(), BadOffload> {
    scratch.clear();
    scratch.extend_from_slice(bytes);
    if offload.segmentation.is_some() {
        return Err(BadOffload::Headers);
    }
    complete(scratch, offload.checksum)?;
    push(scratch);
    Ok(())
}
