//! UDP sockets (RFC 768).

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use dataplane::MacAddr;
use dataplane::offload::{Checksum, VirtioNetHeader, complete_checksum};
use dataplane::packet::{EthernetHeader, Protocol};
use dataplane::stack_port::Tag;
use slotmap::SlotMap;

use crate::config::Route;
use crate::environment::Environment;
use crate::fragment::Cut;
use crate::headers::{IpInfo, headers_len, ip_len, low16, write_ethernet};
use crate::icmp::{self, Complaint, Report};
use crate::link::Link;
use crate::neighbour::{EVERYBODY, Known};
use crate::packet::Packet;
use crate::path::{Paths, least};
use crate::sent::Sent;
use crate::{Event, SendError, StackError};

slotmap::new_key_type! {
    /// A UDP socket; never that of another one later.
    pub struct UdpId;
}

const HEADER_LEN: usize = 8;
/// Where the checksum is.
const CHECKSUM: u16 = 6;
/// What a datagram costs beside its bytes while it waits.
const OVERHEAD: usize = 128;
/// Complaints about closed ports per second (RFC 1812, 4.3.2.8; RFC 4443, 2.4 (f)).
const COMPLAINTS: u32 = 100;

/// A datagram as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// From whom.
    pub from: SocketAddr,
    /// Which of our addresses it was sent to, a broadcast address included.
    pub to: IpAddr,
    /// What it says.
    pub data: Box<[u8]>,
}

#[derive(Debug)]
struct Socket {
    local: SocketAddr,
    remote: Option<SocketAddr>,
    waiting: VecDeque<Received>,
    bytes: usize,
    announced: bool,
}

/// All UDP of a stack.
#[derive(Debug, Default)]
pub(crate) struct Udp {
    sockets: SlotMap<UdpId, Socket>,
    bound: HashMap<SocketAddr, UdpId>,
    events: VecDeque<Event>,
    complaints: Option<(Instant, u32)>,
    paths: Paths,
    /// What stations can complain about, and what routers can say of it that it is too long.
    sent: Sent,
    long: Sent,
    /// Where datagrams are written that are sent in fragments.
    whole: Vec<u8>,
}

impl Udp {
    pub(crate) fn bind(
        &mut self,
        local: SocketAddr,
        env: &Environment<'_>,
    ) -> Result<UdpId, StackError> {
        let own = local.ip().is_unspecified() || env.config.addressing.is_own(local.ip());
        if !own || local.port() == 0 {
            return Err(StackError::NotOwn(local));
        }
        if self.bound.contains_key(&local) {
            return Err(StackError::InUse(local));
        }
        let id = self.sockets.insert(Socket {
            local,
            remote: None,
            waiting: VecDeque::new(),
            bytes: 0,
            announced: false,
        });
        self.bound.insert(local, id);
        Ok(id)
    }

    pub(crate) fn connect(
        &mut self,
        id: UdpId,
        remote: Option<SocketAddr>,
    ) -> Result<(), StackError> {
        self.sockets.get_mut(id).ok_or(StackError::Gone)?.remote = remote;
        Ok(())
    }

    pub(crate) fn close(&mut self, id: UdpId) {
        if let Some(socket) = self.sockets.remove(id) {
            self.bound.remove(&socket.local);
        }
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Datagram(id) = event
            && let Some(socket) = self.sockets.get_mut(id)
        {
            socket.announced = false;
        }
        Some(event)
    }

    pub(crate) fn read(&mut self, id: UdpId) -> Result<Option<Received>, StackError> {
        let socket = self.sockets.get_mut(id).ok_or(StackError::Gone)?;
        let received = socket.waiting.pop_front();
        if let Some(received) = &received {
            socket.bytes -= received.data.len() + OVERHEAD;
        }
        Ok(received)
    }

    /// A datagram for one of our addresses or for everybody.
    pub(crate) fn receive<L: Link>(
        &mut self,
        packet: &Packet<'_>,
        env: &mut Environment<'_>,
        link: &mut L,
    ) {
        let Some((from, local, data)) = parse(packet) else {
            env.counters.malformed += 1;
            return;
        };
        let socket = self.socket_for(local, from);
        let Some((id, socket)) = socket.and_then(|id| Some((id, self.sockets.get_mut(id)?))) else {
            env.counters.udp_unreachable += 1;
            return self.complain_to(packet, env, link);
        };
        // A sender that leaves cutting to others: each piece is a datagram of its own.
        let size = packet.segment.unwrap_or(data.len()).max(1);
        let pieces = if data.is_empty() { vec![data] } else { data.chunks(size).collect() };
        for piece in pieces {
            if socket.bytes + piece.len() + OVERHEAD > env.config.udp_buffer {
                env.counters.udp_full += 1;
                continue;
            }
            socket.bytes += piece.len() + OVERHEAD;
            socket.waiting.push_back(Received { from, to: packet.dst(), data: piece.into() });
        }
        if !socket.announced {
            socket.announced = true;
            self.events.push_back(Event::Datagram(id));
        }
    }

    fn socket_for(&self, local: SocketAddr, from: SocketAddr) -> Option<UdpId> {
        let any: IpAddr = match local {
            SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        [local, SocketAddr::new(any, local.port())].iter().find_map(|local| {
            let id = *self.bound.get(local)?;
            let remote = self.sockets.get(id)?.remote;
            remote.is_none_or(|remote| remote == from).then_some(id)
        })
    }

    /// Whether a socket takes datagrams from the sender of this one only.
    pub(crate) fn has_joined(&self, packet: &Packet<'_>) -> bool {
        parse(packet).is_some_and(|(from, local, _)| {
            let socket = self.socket_for(local, from).and_then(|id| self.sockets.get(id));
            socket.is_some_and(|socket| socket.remote == Some(from))
        })
    }

    fn complain_to<L: Link>(
        &mut self,
        packet: &Packet<'_>,
        env: &mut Environment<'_>,
        link: &mut L,
    ) {
        let to_one = env.config.addressing.is_own(packet.dst());
        if !to_one || packet.src().is_unspecified() || !self.may_complain(env.now) {
            return;
        }
        let len = icmp::port_unreachable_len(packet);
        env.reply(packet.src_mac, packet.info.ether_type(), len, link, |out| {
            icmp::write_port_unreachable(packet, out);
        });
    }

    fn may_complain(&mut self, now: Instant) -> bool {
        let (since, count) = self.complaints.get_or_insert((now, 0));
        if now.saturating_duration_since(*since).as_secs() > 0 {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= COMPLAINTS
    }

    /// The station that a datagram of ours would go to complains about it; that it is too long, the router of its way.
    /// A port is closed to whoever listens there, and to a firewall on the way, which says the same (`REJECT` of
    /// iptables).
    pub(crate) fn complain(&mut self, report: &Report, env: &Environment<'_>) {
        let Some(id) = self.socket_for(report.local, report.remote) else { return };
        let to = report.remote.ip();
        match report.complaint {
            Complaint::Port => {
                if self.sent.contains(report.local, report.remote) {
                    self.events.push_back(Event::DatagramRefused(id, report.remote));
                }
            }
            Complaint::TooBig(mtu) => {
                if self.long.contains(report.local, report.remote) {
                    let times = (env.now, env.now + env.config.path_timeout);
                    let changed = self.paths.shorten(to, mtu, env.config.addressing.mtu, times);
                    self.events.extend(changed.into_iter().map(Event::PathChanged));
                }
            }
            Complaint::Unreachable => {}
        }
    }

    /// Forgets what routers said too long ago.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(address) = self.paths.expire(now) {
            self.events.push_back(Event::PathChanged(address));
        }
    }

    /// When [`Udp::expire`] has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.paths.next_expiry()
    }

    /// Longest packet that the way to `address` takes, as far as is known.
    pub(crate) fn path_mtu(&self, address: IpAddr, env: &Environment<'_>) -> u16 {
        self.paths.mtu(address, env.config.addressing.mtu, env.now)
    }

    pub(crate) fn send<L: Link>(
        &mut self,
        id: UdpId,
        to: SocketAddr,
        len: usize,
        env: &mut Environment<'_>,
        link: &mut L,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), SendError> {
        let local = self.sockets.get(id).ok_or(StackError::Gone)?.local;
        let addressing = env.config.addressing;
        if to.port() == 0 || local.is_ipv4() != to.is_ipv4() {
            return Err(StackError::Unreachable.into());
        }
        let most = longest(to.ip());
        if len > most {
            return Err(SendError::TooLong(most));
        }
        let from = if local.ip().is_unspecified() {
            addressing.source_for(to.ip()).ok_or(StackError::Unreachable)?
        } else {
            local.ip()
        };
        let from = SocketAddr::new(from, local.port());
        let mtu = self.path_mtu(to.ip(), env);
        let mut datagram = Datagram { from, to, mac: MacAddr::BROADCAST, tag: EVERYBODY, len, mtu };
        if addressing.is_broadcast(to.ip()) {
            return self.transmit(datagram, env, link, fill);
        }
        let route = addressing.route(to.ip()).ok_or(StackError::Unreachable)?;
        match env.reach(route.next_hop(), link) {
            Known::Yes(neighbour, mac) => {
                let frames = u32::try_from(datagram.frames()).unwrap_or(u32::MAX);
                if !env.neighbours.has_room_for(neighbour, frames) {
                    return Err(SendError::Full);
                }
                (datagram.mac, datagram.tag) = (mac, neighbour.datagram_tag());
                self.transmit(datagram, env, link, fill)?;
                env.neighbours.sent_datagram(neighbour, frames);
            }
            Known::Asked(neighbour) if env.neighbours.may_keep(neighbour, datagram.frame_len()) => {
                let mut frame = Vec::new();
                datagram.write_whole(addressing.mac, &mut frame, fill);
                env.neighbours.keep(neighbour, frame);
            }
            Known::Asked(_) => return Err(SendError::Full),
            Known::No => return Err(StackError::Unreachable.into()),
        }
        // No way is taken to be too short for others.
        let may_be_too_long = datagram.packet_len() > usize::from(least(to.ip()));
        if may_be_too_long && matches!(route, Route::Gateway(_)) {
            self.long.note(from, to);
        }
        self.sent.note(from, to);
        Ok(())
    }

    /// Sends a datagram, a whole frame, that was kept until its next hop answered.
    pub(crate) fn send_kept<L: Link>(&self, frame: &[u8], env: &mut Environment<'_>, link: &mut L) {
        let to = IpInfo::of_own(frame).map(|info| info.dst);
        let mtu = to.map_or(env.config.addressing.mtu, |to| self.path_mtu(to, env));
        env.send_frame_within(mtu, frame, link);
    }

    fn transmit<L: Link>(
        &mut self,
        datagram: Datagram,
        env: &mut Environment<'_>,
        link: &mut L,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), SendError> {
        let Datagram { from, to, mac, tag, mtu, .. } = datagram;
        let src = env.config.addressing.mac;
        let frames = datagram.frames();
        if link.room() < frames {
            return Err(SendError::Full);
        }
        if frames > 1 {
            datagram.write_whole(src, &mut self.whole, fill);
            let info = IpInfo { src: from.ip(), dst: to.ip(), protocol: Protocol::UDP };
            env.send_fragments(&self.whole, info, mtu, tag, link);
            return Ok(());
        }
        let write = |frame: &mut [u8]| (write(from, to, mac, src, frame, fill), ());
        let ((), taken) = link.send(datagram.frame_len(), tag, write);
        env.count_sent(taken);
        if taken { Ok(()) } else { Err(SendError::Full) }
    }
}

/// Bytes of the longest datagram: an IPv4 packet has 65,535 bytes, and an IPv6 packet behind its header.
fn longest(to: IpAddr) -> usize {
    let header = if to.is_ipv4() { ip_len(to) } else { 0 };
    usize::from(u16::MAX) - header - HEADER_LEN
}

/// A datagram that is about to be sent.
#[derive(Debug, Clone, Copy)]
struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    mac: MacAddr,
    tag: Tag,
    len: usize,
    /// Longest packet on its way.
    mtu: u16,
}

impl Datagram {
    fn frame_len(&self) -> usize {
        headers_len(self.to.ip()) + HEADER_LEN + self.len
    }

    /// Bytes of its packet before it is cut.
    fn packet_len(&self) -> usize {
        ip_len(self.to.ip()) + HEADER_LEN + self.len
    }

    /// How many frames it takes.
    fn frames(&self) -> usize {
        let payload = HEADER_LEN + self.len;
        if self.packet_len() <= usize::from(self.mtu) {
            1
        } else {
            Cut::count(self.to.is_ipv4(), payload, self.mtu)
        }
    }

    /// Writes all of it to one frame, with its checksum.
    fn write_whole(&self, src: MacAddr, frame: &mut Vec<u8>, fill: impl FnOnce(&mut [u8])) {
        frame.clear();
        frame.resize(self.frame_len(), 0);
        let offload = write(self.from, self.to, self.mac, src, frame, fill);
        if let Checksum::Partial { start, offset } = offload.checksum {
            // Inside, since the frame was just made.
            let _ = complete_checksum(frame, start, offset);
        }
    }
}

/// Writes a frame, with its checksum still to be completed.
fn write(
    from: SocketAddr,
    to: SocketAddr,
    dst_mac: MacAddr,
    src_mac: MacAddr,
    frame: &mut [u8],
    fill: impl FnOnce(&mut [u8]),
) -> VirtioNetHeader {
    let info = IpInfo { src: from.ip(), dst: to.ip(), protocol: Protocol::UDP };
    write_ethernet(frame, dst_mac, src_mac, info.ether_type());
    info.write(&mut frame[EthernetHeader::LEN..], None);
    let start = headers_len(to.ip());
    let datagram = &mut frame[start..];
    let length = datagram.len();
    datagram[..2].copy_from_slice(&from.port().to_be_bytes());
    datagram[2..4].copy_from_slice(&to.port().to_be_bytes());
    datagram[4..6].copy_from_slice(&low16(length).to_be_bytes());
    let sum = !info.pseudo_header(length).finish();
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    fill(&mut datagram[HEADER_LEN..]);
    let checksum = Checksum::Partial { start: low16(start), offset: CHECKSUM };
    VirtioNetHeader { checksum, segmentation: None }
}

fn parse<'a>(packet: &Packet<'a>) -> Option<(SocketAddr, SocketAddr, &'a [u8])> {
    let datagram = packet.payload();
    let header = datagram.first_chunk::<HEADER_LEN>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let length = usize::from(word(4));
    if length < HEADER_LEN || length > datagram.len() || word(0) == 0 {
        return None;
    }
    let from = SocketAddr::new(packet.src(), word(0));
    let to = SocketAddr::new(packet.dst(), word(2));
    Some((from, to, &datagram[HEADER_LEN..length]))
}
