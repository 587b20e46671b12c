//! Frames from and to other hosts.
//!
//! A datagram is taken off its socket, and its header says of which segment it is, its sender's address which
//! peer's port the frame came in on. From there on it is a frame like any other. What belongs to no port is
//! counted for the segment, or for the socket when there is no such segment.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::outgoing::Outgoing;
use super::{Fabric, complete};
use crate::bridge::PortSlot;
use crate::control::{DataplaneError, PortId, VxlanPeer, VxlanStatus};
use crate::counters::CounterCells;
use crate::offload::{BadOffload, Merged, Merger, Segmenter};
use crate::packet::{EthernetHeader, flow_hash};
use crate::vxlan::{
    Claims, Datagram, Outbox, Peer, Refused, Sockets, Vni, VtepAddress, VxlanConfig, header,
    pending_offload,
};
use crate::worker::port::Port;
use crate::{DomainId, DropReason};

/// A local address, with the segments behind it.
#[derive(Debug)]
pub(super) struct Vtep {
    address: VtepAddress,
    sockets: Sockets,
    outbox: Outbox,
    segments: HashMap<Vni, Segment>,
    /// What belongs to no segment.
    counters: Arc<CounterCells>,
}

/// A domain that goes on behind other hosts.
#[derive(Debug)]
struct Segment {
    peers: HashMap<IpAddr, PortSlot>,
    /// Addresses of this host that were named as peers.
    own: Vec<IpAddr>,
    claims: Claims,
    /// What belongs to no peer.
    counters: Arc<CounterCells>,
}

/// Frames from a peer that came with one datagram and go on as one.
#[derive(Debug)]
pub(super) struct Train {
    from: PortSlot,
    segments: Merger,
}

impl Default for Train {
    fn default() -> Self {
        Self { from: PortSlot(0), segments: Merger::default() }
    }
}

/// Where a domain's segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentPlace {
    pub(crate) vtep: usize,
    pub(crate) vni: Vni,
}

/// What makes a port the way to another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tunnel {
    pub(crate) peer: Peer,
    place: SegmentPlace,
    /// The peer's address as the sockets take it.
    destination: SocketAddr,
}

impl Fabric {
    /// Makes a domain a segment; `sockets` are there when it is the first of its local address.
    pub(super) fn add_segment(
        &mut self,
        config: &VxlanConfig,
        sockets: Option<Sockets>,
    ) -> Result<SegmentPlace, DataplaneError> {
        let vtep = match self.vtep_index(config.local) {
            Some(vtep) => vtep,
            None => self.add_vtep(config.local, sockets.ok_or(DataplaneError::Stopped)?),
        };
        let Some(Some(found)) = self.vteps.get_mut(vtep) else { unreachable!("found or made") };
        if found.segments.contains_key(&config.vni) {
            return Err(DataplaneError::VniInUse { vni: config.vni, local: config.local });
        }
        let segment = Segment {
            peers: HashMap::new(),
            own: Vec::new(),
            claims: Claims::new(&config.anycast),
            counters: Arc::default(),
        };
        found.segments.insert(config.vni, segment);
        Ok(SegmentPlace { vtep, vni: config.vni })
    }

    fn add_vtep(&mut self, address: VtepAddress, sockets: Sockets) -> usize {
        let vtep = Some(Vtep {
            address,
            sockets,
            outbox: Outbox::new(),
            segments: HashMap::new(),
            counters: Arc::default(),
        });
        let free = self.vteps.iter().position(Option::is_none).unwrap_or(self.vteps.len());
        if free == self.vteps.len() {
            self.vteps.push(vtep);
        } else {
            self.vteps[free] = vtep;
        }
        free
    }

    /// Where the domain's segment is, if it has one.
    pub(crate) fn segment_place(
        &self,
        id: DomainId,
    ) -> Result<Option<SegmentPlace>, DataplaneError> {
        let index = self.domain_index(id).ok_or(DataplaneError::NoDomain(id))?;
        Ok(self.domains[index].as_ref().and_then(|domain| domain.segment))
    }

    /// Where the sockets of a local address are kept.
    pub(crate) fn vtep_index(&self, address: VtepAddress) -> Option<usize> {
        self.vteps.iter().position(|it| it.as_ref().is_some_and(|it| it.address == address))
    }

    /// Ends a segment without peers; `true` when it was the last of its local address, which then ends too.
    pub(crate) fn remove_segment(&mut self, place: SegmentPlace) -> bool {
        let Some(slot) = self.vteps.get_mut(place.vtep) else { return false };
        let Some(vtep) = slot else { return false };
        vtep.segments.remove(&place.vni);
        let last = vtep.segments.is_empty();
        if last {
            *slot = None;
        }
        last
    }

    /// Adds the port of a peer.
    pub(crate) fn add_peer(
        &mut self,
        id: PortId,
        domain: DomainId,
        place: SegmentPlace,
        peer: Peer,
    ) -> Result<(), DataplaneError> {
        let Some(Some(vtep)) = self.vteps.get(place.vtep) else {
            return Err(DataplaneError::NoDomain(domain));
        };
        let destination = vtep.sockets.destination(peer);
        let destination = destination
            .ok_or(DataplaneError::WrongFamily { peer: peer.ip(), local: vtep.address })?;
        let tunnel = Tunnel { peer, place, destination };
        let slot = self.insert(Port::tunnel(id, domain, tunnel)).map_err(|(_, error)| error)?;
        if let Some(segment) = self.segment_mut(place) {
            segment.peers.insert(peer.ip(), slot);
        }
        Ok(())
    }

    /// Removes the port of a peer, with what was learnt there.
    pub(crate) fn remove_peer(&mut self, id: PortId) {
        let Some(slot) = self.slot(id) else { return };
        let Some(tunnel) = self.port(slot).and_then(|port| port.tunnel) else { return };
        self.end_captures(id);
        self.remove(slot);
        if let Some(segment) = self.segment_mut(tunnel.place) {
            segment.peers.retain(|_, peer| *peer != slot);
        }
    }

    /// Remembers which of the named peers are this host.
    pub(crate) fn set_own(&mut self, place: SegmentPlace, own: Vec<IpAddr>) {
        if let Some(segment) = self.segment_mut(place) {
            segment.own = own;
        }
    }

    /// The peers of a domain, by address.
    pub(crate) fn peers(&self, domain: DomainId) -> Vec<(PortId, Peer)> {
        let ports = self.ports().filter(|port| port.domain == domain);
        let mut peers: Vec<_> =
            ports.filter_map(|port| Some((port.id, port.tunnel?.peer))).collect();
        peers.sort_by_key(|(_, peer)| *peer);
        peers
    }

    /// What a domain's segment looks like.
    pub(crate) fn segment_status(
        &self,
        domain: DomainId,
    ) -> Result<Option<VxlanStatus>, DataplaneError> {
        let Some(place) = self.segment_place(domain)? else { return Ok(None) };
        let Some(Some(vtep)) = self.vteps.get(place.vtep) else { return Ok(None) };
        let Some(segment) = vtep.segments.get(&place.vni) else { return Ok(None) };
        let ports = self.peers(domain).into_iter();
        let peers = ports.filter_map(|(id, peer)| {
            let port = self.port(self.slot(id)?)?;
            Some(VxlanPeer { port: id, peer, counters: port.counters.read() })
        });
        Ok(Some(VxlanStatus {
            vni: place.vni,
            local: vtep.address,
            peers: peers.collect(),
            own: segment.own.clone(),
            unclaimed: segment.counters.read(),
            socket: vtep.counters.read(),
        }))
    }

    fn segment_mut(&mut self, place: SegmentPlace) -> Option<&mut Segment> {
        self.vteps.get_mut(place.vtep)?.as_mut()?.segments.get_mut(&place.vni)
    }

    /// What one receive brought: datagrams of one sender.
    pub(crate) fn ingress_vxlan(&mut self, vtep: usize, received: Datagram, bytes: &mut [u8]) {
        if received.truncated {
            return self.drop_at_socket(vtep, bytes.len(), DropReason::Malformed);
        }
        let alone = bytes.len() <= received.segment;
        let mut train = std::mem::take(&mut self.train);
        for datagram in bytes.chunks_mut(received.segment) {
            let Some(from) = self.sender(vtep, received.source, datagram) else { continue };
            let frame = &mut datagram[header::LEN..];
            if !alone && self.couples(&mut train, from, frame) {
                continue;
            }
            self.ingress_from_peer(from, frame);
        }
        self.depart(&mut train);
        self.train = train;
    }

    /// Puts a frame behind those that came before it; `false` when it has to go by itself, and those have gone.
    fn couples(&mut self, train: &mut Train, from: PortSlot, frame: &[u8]) -> bool {
        if train.from == from && train.segments.push(frame) {
            return true;
        }
        self.depart(train);
        train.from = from;
        frame.len() <= self.longest(from) && train.segments.push(frame)
    }

    /// Lets what was put together go.
    fn depart(&mut self, train: &mut Train) {
        let Some(Merged { bytes, offload, count }) = train.segments.take() else { return };
        if let (Some(segmentation), Some(port)) = (offload.segmentation, self.port(train.from)) {
            // Each had the headers.
            let more = count - 1;
            port.counters.received_more(more, more * usize::from(segmentation.header_len));
        }
        self.switch_private(train.from, offload, bytes);
    }

    /// The longest frame without a tag.
    pub(super) fn longest(&self, from: PortSlot) -> usize {
        self.domain_of(from).map_or(0, |domain| domain.mtu + EthernetHeader::LEN)
    }

    /// The port of the peer that sent a datagram, if a peer may have sent it; otherwise it was counted.
    fn sender(
        &mut self,
        vtep: usize,
        source: Option<IpAddr>,
        datagram: &mut [u8],
    ) -> Option<PortSlot> {
        let length = datagram.len();
        let Ok(vni) = header::parse(datagram) else {
            self.drop_at_socket(vtep, length, DropReason::Malformed);
            return None;
        };
        let Some(Some(found)) = self.vteps.get(vtep) else { return None };
        let Some(segment) = found.segments.get(&vni) else {
            self.drop_at_socket(vtep, length, DropReason::UnknownVni);
            return None;
        };
        let frame = &mut datagram[header::LEN..];
        let Some(&port) = source.and_then(|source| segment.peers.get(&source)) else {
            let own = source.is_some_and(|source| segment.own.contains(&source));
            segment.counters.received(frame.len());
            let reason = if own { DropReason::OwnAddress } else { DropReason::Stranger };
            segment.counters.dropped(reason);
            return None;
        };
        if let Err(reason) = segment.claims.check(frame) {
            if let Some(port) = self.port(port) {
                port.counters.received(frame.len());
                port.counters.dropped(reason);
            }
            return None;
        }
        Some(port)
    }

    fn ingress_from_peer(&mut self, from: PortSlot, frame: &mut [u8]) {
        let mtu = self.domain_of(from).map_or(0, |domain| domain.mtu);
        let offload = pending_offload(frame, mtu);
        self.switch_private(from, offload, frame);
    }

    #[cold]
    fn drop_at_socket(&self, vtep: usize, length: usize, reason: DropReason) {
        if let Some(Some(vtep)) = self.vteps.get(vtep) {
            vtep.counters.received(length);
            vtep.counters.dropped(reason);
        }
    }

    /// Puts a frame into the outbox, complete and in packets.
    pub(super) fn deliver_vxlan(&mut self, to: PortSlot, frame: &Outgoing<'_>) {
        let Some(tunnel) = self.port(to).and_then(|port| port.tunnel) else { return };
        let flow = flow_hash(frame.header());
        let offload = frame.offload();
        if offload.segmentation.is_none() {
            return self.enclose(to, tunnel.place, flow, frame.len(), |room| {
                frame.copy_to(room);
                complete(room, offload.checksum)
            });
        }
        let mtu = self.domain_of(to).map_or(0, |domain| domain.mtu);
        let Ok(mut segments) = Segmenter::new(frame.private(), offload, mtu) else {
            return self.drop_at(to, DropReason::BadOffload);
        };
        while let Some(segment) = segments.next_segment() {
            self.enclose(to, tunnel.place, flow, segment.len(), |room| {
                segment.write_to(room).map(drop).ok_or(BadOffload::Headers)
            });
        }
    }

    fn enclose(
        &mut self,
        to: PortSlot,
        place: SegmentPlace,
        flow: u32,
        length: usize,
        write: impl Fn(&mut [u8]) -> Result<(), BadOffload>,
    ) {
        let mut outcome = self.push_out(to, place, flow, length, &write);
        if outcome == Err(Refused::Full) {
            self.flush_vtep(place.vtep);
            outcome = self.push_out(to, place, flow, length, &write);
        }
        match outcome {
            Ok(()) => self.vxlan_waits = true,
            Err(Refused::Frame(_)) => self.drop_at(to, DropReason::BadOffload),
            Err(Refused::Full | Refused::TooLong) => self.drop_at(to, DropReason::NoBuffer),
        }
    }

    fn push_out(
        &mut self,
        to: PortSlot,
        place: SegmentPlace,
        flow: u32,
        length: usize,
        write: impl Fn(&mut [u8]) -> Result<(), BadOffload>,
    ) -> Result<(), Refused<BadOffload>> {
        let vtep = self.vteps.get_mut(place.vtep).and_then(Option::as_mut);
        let Some(vtep) = vtep else { return Err(Refused::TooLong) };
        vtep.outbox.push(to, place.vni, flow, length, write)
    }

    /// Sends what waits in all outboxes.
    pub(super) fn flush_vteps(&mut self) {
        self.vxlan_waits = false;
        for vtep in 0..self.vteps.len() {
            self.flush_vtep(vtep);
        }
    }

    fn flush_vtep(&mut self, vtep: usize) {
        let ports = &self.ports;
        let port = |slot: PortSlot| ports.get(usize::from(slot.0))?.as_ref();
        let Some(Some(vtep)) = self.vteps.get_mut(vtep) else { return };
        if vtep.outbox.is_empty() {
            return;
        }
        let destination = |slot| Some(port(slot)?.tunnel.as_ref()?.destination);
        vtep.sockets.send(&mut vtep.outbox, destination, |message, outcome| {
            let Some(port) = port(message.to) else { return };
            match outcome {
                Ok(()) => port.counters.transmitted_many(message.count, message.frame_bytes()),
                Err(reason) => port.counters.dropped_many(message.count, reason),
            }
        });
    }
}
