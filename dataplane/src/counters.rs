//! What is counted, per port: frames, bytes, and every drop with its reason.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a frame was dropped. Each drop is counted exactly once, on a port (or, when it came by VXLAN and belongs
/// to none, for its network or its socket) and under one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum DropReason {
    /// Shorter than an Ethernet header, or a source address that is a group address; on a port whose
    /// addresses are checked also headers that are cut short.
    Malformed,
    /// Longer than the domain's MTU allows (counted on the port that sent it).
    Oversize,
    /// Sent to 01:80:c2:00:00:00 to 0f, which no bridge forwards (IEEE 802.1D).
    Reserved,
    /// The destination is the port that the frame came from.
    Hairpin,
    /// Split horizon: both ports are isolated from each other.
    Isolated,
    /// The port flooded more than its BUM limit.
    BumLimit,
    /// The source address is pinned to another port.
    Spoofed,
    /// The Ethernet source is not the endpoint's (policy of the port).
    SpoofedMac,
    /// The IP source is not the endpoint's (policy of the port).
    SpoofedIp,
    /// ARP that claims an address of another station, or that cannot be checked (policy of the port).
    SpoofedArp,
    /// Neighbour discovery that claims an address of another station, to be a router, or that comes in
    /// fragments (policy of the port).
    SpoofedNd,
    /// The port sent more frames than its limit.
    RatePackets,
    /// The port sent more bits than its limit.
    RateBits,
    /// No other port exists to flood to.
    NoDestination,
    /// The destination port has no device that could take it (counted on the destination).
    NoDevice,
    /// The device that sent it does not own the endpoint's address now (a TAP beside a connected
    /// memif client).
    NotOwner,
    /// The destination's ring or queue is full (counted on the destination).
    Full,
    /// The destination's buffers are too small for the frame (counted on the destination).
    NoBuffer,
    /// A descriptor of the peer broke the rules (counted on the port it came from).
    BadDescriptor,
    /// An offload that the sender asked for makes no sense for this frame.
    BadOffload,
    /// Sent to the gateway, which does not answer such frames.
    GatewayIgnored,
    /// The kernel refused the frame (counted on the destination).
    Device,
    /// The kernel dropped frames of the endpoint because too many waited for the agent (packet sockets say so).
    Overrun,
    /// VXLAN from an address that is no peer of the network (counted for the network).
    Stranger,
    /// VXLAN from an address of this host (counted for the network).
    OwnAddress,
    /// VXLAN with an identifier that no network has here (counted for the socket).
    UnknownVni,
    /// Longer, with what VXLAN adds, than the way to the peer allows (counted for the peer).
    UnderlayMtu,
}

impl DropReason {
    /// Every reason, in display order.
    pub const ALL: [Self; 27] = [
        Self::Malformed,
        Self::Oversize,
        Self::Reserved,
        Self::Hairpin,
        Self::Isolated,
        Self::BumLimit,
        Self::Spoofed,
        Self::SpoofedMac,
        Self::SpoofedIp,
        Self::SpoofedArp,
        Self::SpoofedNd,
        Self::RatePackets,
        Self::RateBits,
        Self::NoDestination,
        Self::NoDevice,
        Self::NotOwner,
        Self::Full,
        Self::NoBuffer,
        Self::BadDescriptor,
        Self::BadOffload,
        Self::GatewayIgnored,
        Self::Device,
        Self::Overrun,
        Self::Stranger,
        Self::OwnAddress,
        Self::UnknownVni,
        Self::UnderlayMtu,
    ];

    /// The name used in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Oversize => "oversize",
            Self::Reserved => "reserved",
            Self::Hairpin => "hairpin",
            Self::Isolated => "isolated",
            Self::BumLimit => "bum-limit",
            Self::Spoofed => "spoofed",
            Self::SpoofedMac => "spoofed-mac",
            Self::SpoofedIp => "spoofed-ip",
            Self::SpoofedArp => "spoofed-arp",
            Self::SpoofedNd => "spoofed-nd",
            Self::RatePackets => "rate-packets",
            Self::RateBits => "rate-bits",
            Self::NoDestination => "no-destination",
            Self::NoDevice => "no-device",
            Self::NotOwner => "not-owner",
            Self::Full => "full",
            Self::NoBuffer => "no-buffer",
            Self::BadDescriptor => "bad-descriptor",
            Self::BadOffload => "bad-offload",
            Self::GatewayIgnored => "gateway-ignored",
            Self::Device => "device",
            Self::Overrun => "overrun",
            Self::Stranger => "stranger",
            Self::OwnAddress => "own-address",
            Self::UnknownVni => "unknown-vni",
            Self::UnderlayMtu => "underlay-mtu",
        }
    }
}

/// A reading of one port's counters. Receive is what came from the endpoint, transmit what went
/// to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Frames from the endpoint, dropped ones included.
    pub rx_frames: u64,
    /// Their bytes, without those of overruns.
    pub rx_bytes: u64,
    /// Frames delivered to the endpoint.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Drops by [`DropReason`] as index.
    pub drops: [u64; DropReason::ALL.len()],
}

impl PortCounters {
    /// The count for one reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// All drops together.
    pub fn dropped_total(&self) -> u64 {
        self.drops.iter().sum()
    }
}

/// The counters of one port, as its worker keeps them: one thread adds, any thread reads.
#[derive(Debug, Default)]
pub(crate) struct CounterCells {
    rx_frames: Cell,
    rx_bytes: Cell,
    tx_frames: Cell,
    tx_bytes: Cell,
    drops: [Cell; DropReason::ALL.len()],
}

/// A counter with one writer: no locked instruction on the hot path.
#[derive(Debug, Default)]
struct Cell(AtomicU64);

impl Cell {
    #[inline]
    fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl CounterCells {
    #[inline]
    pub(crate) fn received(&self, bytes: usize) {
        self.rx_frames.add(1);
        self.rx_bytes.add(bytes as u64);
    }

    /// Frames that were received besides one that was counted, with what they had more than it.
    #[inline]
    pub(crate) fn received_more(&self, frames: usize, bytes: usize) {
        self.rx_frames.add(frames as u64);
        self.rx_bytes.add(bytes as u64);
    }

    #[inline]
    pub(crate) fn transmitted(&self, bytes: usize) {
        self.tx_frames.add(1);
        self.tx_bytes.add(bytes as u64);
    }

    /// Several frames with `bytes` in all.
    #[inline]
    pub(crate) fn transmitted_many(&self, frames: usize, bytes: usize) {
        self.tx_frames.add(frames as u64);
        self.tx_bytes.add(bytes as u64);
    }

    /// Several frames for one reason.
    pub(crate) fn dropped_many(&self, frames: usize, reason: DropReason) {
        self.drops[reason as usize].add(frames as u64);
    }

    #[inline]
    pub(crate) fn dropped(&self, reason: DropReason) {
        self.drops[reason as usize].add(1);
    }

    /// Frames that nobody saw.
    pub(crate) fn overrun(&self, frames: u64) {
        self.rx_frames.add(frames);
        self.drops[DropReason::Overrun as usize].add(frames);
    }

    pub(crate) fn read(&self) -> PortCounters {
        PortCounters {
            rx_frames: self.rx_frames.get(),
            rx_bytes: self.rx_bytes.get(),
            tx_frames: self.tx_frames.get(),
            tx_bytes: self.tx_bytes.get(),
            drops: std::array::from_fn(|reason| self.drops[reason].get()),
        }
    }
}
