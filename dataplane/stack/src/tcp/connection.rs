//! One connection: a smoltcp interface with one socket, and what is known about it here.

use std::time::{Duration, Instant};

use dataplane::MacAddr;
use smoltcp::iface::{Config as InterfaceConfig, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::wire::{HardwareAddress, IpCidr, IpEndpoint};

use super::ListenerId;
use super::device::{Device, Extent, LONGEST, Path, Sent, capabilities};
use super::offer::Offer;
use super::segment::{Flow, Segment};
use crate::clock::Clock;
use crate::config::{Config, Route};
use crate::headers::ip_len;
use crate::link::Link;
use crate::path::least;
use crate::{Ready, StackError};

/// What a peer can receive that does not say so (RFC 9293, 3.7.1).
const DEFAULT_MSS: usize = 536;
/// Smallest value that is taken seriously, as in smoltcp and Linux.
const LEAST_MSS: usize = 48;

/// Who has the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// The owner of the stack.
    Owner,
    /// A listener, until it is accepted; half-open or complete.
    Listener(ListenerId, Handshake),
    /// Nobody: it ends by itself.
    Nobody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake {
    HalfOpen,
    Complete,
}

/// A socket that can be used for one connection after the other: its buffers are what is expensive.
pub(super) struct SpareSocket {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    /// Bytes of its receive and its send buffer.
    pub(super) buffers: (usize, usize),
}

impl SpareSocket {
    pub(super) fn new(buffers: (usize, usize)) -> Self {
        // smoltcp takes no larger ones.
        let buffer = |size: usize| SocketBuffer::new(vec![0; size.min(1 << 30)]);
        let socket = Socket::new(buffer(buffers.0), buffer(buffers.1));
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Self { sockets, handle, buffers }
    }
}

#[expect(clippy::struct_excessive_bools, reason = "facts that hold in any combination")]
pub(super) struct Connection {
    interface: Interface,
    socket: SpareSocket,
    pub(super) flow: Flow,
    pub(super) route: Route,
    pub(super) holder: Holder,
    /// We began it.
    ours: bool,
    /// The state when it was last looked at.
    pub(super) state: State,
    /// Data of a segment on the wire, as the peer and the way allow.
    pub(super) mss: usize,
    /// The same as the peer and the own network allow.
    full_mss: usize,
    /// Until when a router is believed that the way takes less.
    shorter_until: Option<Instant>,
    own_mss: u16,
    pub(super) ready: Ready,
    pub(super) announced: bool,
    pub(super) dirty: bool,
    pub(super) waiting: bool,
    /// An acknowledgement waits for something to travel with.
    pub(super) late: bool,
    /// When it has to be looked at, and the alarm that was set for that.
    pub(super) deadline: Option<Instant>,
    pub(super) alarm: Option<Instant>,
    /// When it is given up.
    pub(super) give_up: Option<Instant>,
    pub(super) error: Option<StackError>,
    /// Data received since the last acknowledgement, and read since then.
    pub(super) unacknowledged: usize,
    pub(super) unannounced_room: usize,
    pub(super) queued: (usize, usize),
    pub(super) send_full: bool,
    pub(super) peer_closed: bool,
    /// It is over, and the peer need not know.
    pub(super) silent: bool,
    /// The last acknowledgement is still to be sent.
    pub(super) last_ack_due: bool,
    pub(super) last_sent: Option<Extent>,
    pub(super) offer: Offer,
    /// The station that the last segment came from.
    pub(super) heard_from: Option<MacAddr>,
    /// Since when nobody has the address of the next hop.
    pub(super) lost_since: Option<Instant>,
    /// Our stream ends when the peer has everything.
    pub(super) finish_due: bool,
    /// When to see to what smoltcp has forgotten, and how long to wait then.
    pub(super) reminder: Option<(Instant, Duration)>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("flow", &self.flow)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(
        mut socket: SpareSocket,
        flow: Flow,
        route: Route,
        holder: Holder,
        config: &Config,
        seed: u64,
        now: smoltcp::time::Instant,
    ) -> Self {
        let headers = ip_len(flow.remote.ip()) + super::segment::HEADER_LEN;
        let wire_mtu = usize::from(config.addressing.mtu);
        let mut interface_config = InterfaceConfig::new(HardwareAddress::Ip);
        interface_config.random_seed = seed;
        let mut interface = Interface::new(interface_config, &mut Nowhere, now);
        let bits = if flow.local.is_ipv4() { 32 } else { 128 };
        interface.update_ip_addrs(|addresses| {
            // The list of a new interface is empty.
            let _ = addresses.push(IpCidr::new(flow.local.ip().into(), bits));
        });
        let tcp = socket.sockets.get_mut::<Socket<'_>>(socket.handle);
        tcp.set_congestion_control(CongestionControl::Cubic);
        tcp.set_nagle_enabled(false);
        // When to acknowledge is decided by the caller, who knows the real size of segments.
        tcp.set_ack_delay(None);
        let own_mss = wire_mtu.saturating_sub(headers).max(LEAST_MSS);
        Self {
            interface,
            socket,
            flow,
            route,
            holder,
            ours: false,
            state: State::Closed,
            mss: own_mss.min(DEFAULT_MSS),
            full_mss: own_mss.min(DEFAULT_MSS),
            shorter_until: None,
            own_mss: crate::headers::low16(own_mss),
            ready: Ready::empty(),
            announced: false,
            dirty: false,
            waiting: false,
            late: false,
            silent: false,
            deadline: None,
            alarm: None,
            give_up: None,
            error: None,
            unacknowledged: 0,
            unannounced_room: 0,
            queued: (0, 0),
            send_full: false,
            peer_closed: false,
            last_ack_due: false,
            last_sent: None,
            offer: Offer::default(),
            heard_from: None,
            lost_since: None,
            finish_due: false,
            reminder: None,
        }
    }

    /// Gives the socket back, for another connection.
    pub(super) fn into_socket(self) -> SpareSocket {
        let mut spare = self.socket;
        // Closes it without a word.
        spare.sockets.get_mut::<Socket<'_>>(spare.handle).abort();
        spare
    }

    /// Bytes of its buffers.
    pub(super) fn memory(&self) -> usize {
        self.socket.buffers.0 + self.socket.buffers.1
    }

    pub(super) fn socket(&self) -> &Socket<'static> {
        self.socket.sockets.get(self.socket.handle)
    }

    pub(super) fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.socket.sockets.get_mut(self.socket.handle)
    }

    /// Waits for the SYN. `false` when smoltcp does not want to.
    pub(super) fn listen(&mut self) -> bool {
        let endpoint = IpEndpoint::from(self.flow.local);
        self.socket_mut().listen(endpoint).is_ok()
    }

    /// Starts an attempt. `false` when smoltcp does not want to.
    pub(super) fn connect(&mut self) -> bool {
        let socket = self.socket.sockets.get_mut::<Socket<'_>>(self.socket.handle);
        let outcome = socket.connect(
            self.interface.context(),
            IpEndpoint::from(self.flow.remote),
            IpEndpoint::from(self.flow.local),
        );
        self.state = State::SynSent;
        self.ours = true;
        outcome.is_ok()
    }

    /// Hears from the peer what it takes.
    pub(super) fn limit_mss(&mut self, peer: Option<u16>) {
        let peer = peer.filter(|&mss| mss != 0).map_or(DEFAULT_MSS, usize::from);
        self.full_mss = peer.clamp(LEAST_MSS, usize::from(self.own_mss).max(LEAST_MSS));
        self.mss = self.full_mss;
        self.shorter_until = None;
    }

    /// The MSS that smoltcp is made to believe the peer has: of a neighbour, that it takes large segments; otherwise
    /// what is the least of both sides.
    pub(super) fn assumed_mss(&self) -> u16 {
        let headers = ip_len(self.flow.remote.ip()) + super::segment::HEADER_LEN;
        let mss = match self.route {
            Route::OnLink(_) => LONGEST - headers,
            Route::Gateway(_) => self.full_mss,
        };
        crate::headers::low16(mss)
    }

    /// Hears how much the peer takes; `header` is the TCP header of its segment.
    pub(super) fn note_offer(&mut self, segment: &Segment, header: &[u8]) {
        self.offer.note(segment, header, self.last_sent, self.reach());
    }

    /// The sequence number that has smoltcp take an acknowledgement while our window is closed.
    ///
    /// Acknowledgements are valid then although nothing else is (RFC 9293, 3.10.7.4); smoltcp 0.14 takes only
    /// those that have exactly the expected number. Linux sends the number after what it sent last, also when
    /// that was under way while the window shrank (`tcp_acceptable_seq` of v6.18).
    pub(super) fn seq_at_closed_window(&self, segment: &Segment) -> Option<u32> {
        let last = self.last_sent.filter(|last| last.window == 0)?;
        let ahead = segment.seq.wrapping_sub(last.expected);
        let is_near = (1..=self.reach()).contains(&ahead);
        (segment.is_plain_ack() && is_near).then_some(last.expected)
    }

    /// The largest window that the peer was offered, in bytes.
    fn reach(&self) -> u32 {
        u32::try_from(self.socket.buffers.0).unwrap_or(u32::MAX)
    }

    /// Whether a sequence number was sent and is not acknowledged.
    pub(super) fn is_in_flight(&self, sequence: u32) -> bool {
        let Some(sent) = self.last_sent else { return false };
        // Before the peer acknowledges anything, nothing but the SYN is sent.
        let latest = self.offer.latest().map(|(expected, _)| expected);
        let acknowledged = latest.unwrap_or(sent.end.wrapping_sub(1));
        sequence.wrapping_sub(acknowledged) < sent.end.wrapping_sub(acknowledged)
    }

    /// Whether only somebody on the way can bring this: it acknowledges what was just sent and has the number that is
    /// expected, which others could only guess. Of connections that the peer began, a neighbour may be the peer.
    pub(super) fn is_of_the_way(&self, segment: &Segment) -> bool {
        if !self.ours {
            return false;
        }
        let expected = self.last_sent.is_some_and(|last| last.expected == segment.seq);
        let known = !segment.is_syn() && !segment.is_rst() && segment.is_ack();
        expected && known && self.is_in_flight(segment.ack.wrapping_sub(1))
    }

    /// A packet that is longer than `mtu` bytes does not pass the way: shorter segments until then.
    pub(super) fn shorten(&mut self, mtu: u16, until: Instant) {
        let headers = ip_len(self.flow.remote.ip()) + super::segment::HEADER_LEN;
        let mss = usize::from(mtu.max(least(self.flow.remote.ip()))) - headers;
        if mss < self.mss {
            // What smoltcp makes longer than that is cut on its way.
            self.mss = mss;
            self.shorter_until = Some(until);
        }
    }

    /// Longer segments may pass again: routers may take another way by now (RFC 1191, 6.3; RFC 8201, 4).
    pub(super) fn forget_the_way(&mut self, now: Instant) {
        if self.shorter_until.is_some_and(|until| until <= now) {
            self.mss = self.full_mss;
            self.shorter_until = None;
        }
    }

    /// Ends our stream after what is queued.
    ///
    /// In LAST-ACK smoltcp 0.14 drops what acknowledges nothing, also when it opens the window again. So
    /// that state is entered when the peer has everything.
    pub(super) fn finish(&mut self) {
        self.finish_due = self.state == State::CloseWait && self.socket().send_queue() > 0;
        if !self.finish_due {
            self.socket_mut().close();
            self.state = self.socket().state();
        }
    }

    /// Bytes that can be queued.
    pub(super) fn room(&self) -> usize {
        let socket = self.socket();
        if !socket.may_send() || self.finish_due {
            return 0;
        }
        socket.send_capacity() - socket.send_queue()
    }

    pub(super) fn path(
        &self,
        src_mac: MacAddr,
        dst_mac: MacAddr,
        tag: dataplane::stack_port::Tag,
    ) -> Path {
        Path {
            src_mac,
            dst_mac,
            tag,
            src: self.flow.local.ip(),
            dst: self.flow.remote.ip(),
            mss: self.mss,
            own_mss: self.own_mss,
            end: self.last_sent.map(|last| last.end),
            edge: self.offer.edge(),
        }
    }

    /// Takes one IP packet; what has to be said at once is said.
    pub(super) fn ingress<L: Link>(
        &mut self,
        now: smoltcp::time::Instant,
        packet: &[u8],
        path: &Path,
        link: &mut L,
    ) -> Sent {
        let mut sent = Sent::default();
        let mut device = Device { link, path, sent: &mut sent, received: Some(packet) };
        self.interface.poll_ingress_single(now, &mut device, &mut self.socket.sockets);
        self.last_sent = Extent::furthest(self.last_sent, sent.last);
        sent
    }

    /// Sends one segment if one is due.
    pub(super) fn egress<L: Link>(
        &mut self,
        now: smoltcp::time::Instant,
        path: &mut Path,
        link: &mut L,
    ) -> Sent {
        let mut sent = Sent::default();
        path.end = self.last_sent.map(|last| last.end);
        let mut device = Device { link, path, sent: &mut sent, received: None };
        self.interface.poll_egress(now, &mut device, &mut self.socket.sockets);
        self.last_sent = Extent::furthest(self.last_sent, sent.last);
        sent
    }

    /// When smoltcp wants to be asked again, other than to give up.
    pub(super) fn poll_at(&mut self, clock: Clock, now: Instant) -> Option<Instant> {
        let timeout = self.socket().timeout();
        self.socket_mut().set_timeout(None);
        let at = self.interface.poll_at(clock.to_smoltcp(now), &self.socket.sockets);
        self.socket_mut().set_timeout(timeout);
        Some(clock.to_std(at?))
    }

    /// Whether it is over and everything was said.
    pub(super) fn is_finished(&self) -> bool {
        let socket = self.socket();
        socket.state() == State::Closed && (self.silent || socket.remote_endpoint().is_none())
    }
}

/// What a new interface asks for its capabilities.
struct Nowhere;

impl smoltcp::phy::Device for Nowhere {
    type RxToken<'a> = NoToken;
    type TxToken<'a> = NoToken;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(NoToken, NoToken)> {
        None
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<NoToken> {
        None
    }

    fn capabilities(&self) -> smoltcp::phy::DeviceCapabilities {
        capabilities()
    }
}

/// There is none.
enum NoToken {}

impl smoltcp::phy::RxToken for NoToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, _: F) -> R {
        match self {}
    }
}

impl smoltcp::phy::TxToken for NoToken {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _: usize, _: F) -> R {
        match self {}
    }
}
