//! Putting together.
//!
//! What a peer can make this hold is bounded: packets that are not complete yet have [`MOST_PACKETS`] and
//! [`MOST_BYTES`] together, and [`PATIENCE`]. When one of these is used up, the oldest packet of whoever
//! holds the most gives way. Fragments that overlap spoil their packet for good (RFC 5722, RFC 8200,
//! 4.5): nobody sends them who means well. An exact duplicate does no harm.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use dataplane::MacAddr;
use dataplane::packet::{EthernetHeader, Ipv4Header, Protocol};

use super::{FRAGMENT6, HEADER6_LEN, LONGEST, MORE4, OFFSET4, UNIT};
use crate::counters::Counters;
use crate::headers::{IpInfo, headers_len, write_ethernet};

/// Packets that are not complete.
pub(super) const MOST_PACKETS: usize = 64;
/// Bytes that they take: as much as Linux gives a network namespace (`ipfrag_high_thresh`).
pub(super) const MOST_BYTES: usize = 4 << 20;
/// How long a packet may take from its first fragment on (RFC 8200, 4.5; RFC 1122, 3.3.2).
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// What a fragment, and what a packet, costs beside its bytes.
const OVERHEAD: usize = 128;

/// A part of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    pub(crate) src_mac: MacAddr,
    pub(crate) dst_mac: MacAddr,
    /// The protocol is known for certain in the first fragment only.
    pub(crate) info: IpInfo,
    id: u32,
    /// Where its data belongs. A multiple of eight.
    offset: usize,
    more: bool,
    data: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Of an IPv4 packet whose lengths hold; `None` when no sound packet has such a part.
    pub(crate) fn of_ipv4(
        ethernet: &EthernetHeader,
        info: IpInfo,
        header_len: usize,
        packet: &'a [u8],
    ) -> Option<Self> {
        let fixed = packet.first_chunk::<{ Ipv4Header::LEN }>()?;
        let field = u16::from_be_bytes([fixed[6], fixed[7]]);
        Self {
            src_mac: ethernet.src,
            dst_mac: ethernet.dst,
            info,
            id: u16::from_be_bytes([fixed[4], fixed[5]]).into(),
            offset: usize::from(field & OFFSET4) * UNIT,
            more: field & MORE4 != 0,
            data: packet.get(header_len..)?,
        }
        .sound()
    }

    /// Of an IPv6 packet whose lengths hold and whose fragment header ends at `offset`; `None` as above.
    pub(crate) fn of_ipv6(
        ethernet: &EthernetHeader,
        info: IpInfo,
        offset: usize,
        packet: &'a [u8],
    ) -> Option<Self> {
        let header =
            packet.get(offset.checked_sub(HEADER6_LEN)?..)?.first_chunk::<HEADER6_LEN>()?;
        let field = u16::from_be_bytes([header[2], header[3]]);
        Self {
            src_mac: ethernet.src,
            dst_mac: ethernet.dst,
            info,
            id: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            offset: usize::from(field & 0xfff8),
            more: field & 1 != 0,
            data: packet.get(offset..)?,
        }
        .sound()
    }

    fn sound(self) -> Option<Self> {
        let header = if self.info.src.is_ipv4() { Ipv4Header::LEN } else { 0 };
        let whole = !self.more || self.data.len().is_multiple_of(UNIT);
        let fits = header + self.end() <= LONGEST;
        // A fragment in a fragment (RFC 8200 allows one fragment header).
        let nested = self.info.src.is_ipv6() && self.info.protocol == Protocol(FRAGMENT6);
        (whole && fits && !self.data.is_empty() && !nested).then_some(self)
    }

    fn end(&self) -> usize {
        self.offset + self.data.len()
    }

    fn key(&self) -> Key {
        let IpInfo { src, dst, protocol } = self.info;
        // IPv6 has one number for all protocols, and says the protocol in the first fragment.
        let protocol = if src.is_ipv4() { protocol } else { Protocol(FRAGMENT6) };
        Key { src, dst, protocol, id: self.id }
    }
}

/// Which packet a fragment is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    protocol: Protocol,
    id: u32,
}

/// A packet that is not complete.
#[derive(Debug)]
struct Incomplete {
    key: Key,
    until: Instant,
    /// By offset; no two overlap.
    parts: BTreeMap<usize, Box<[u8]>>,
    received: usize,
    /// Its payload's length, once the last fragment is there.
    length: Option<usize>,
    /// The protocol in the first fragment.
    protocol: Protocol,
    /// Fragments of it overlapped: nothing of it is taken any more.
    spoilt: bool,
    cost: usize,
}

/// What became of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Added {
    /// It was missing, and costs so many bytes.
    Kept(usize),
    /// It is there already, or its packet is spoilt.
    Ignored,
    /// It contradicts another one.
    Spoils,
}

impl Incomplete {
    fn add(&mut self, fragment: &Fragment<'_>) -> Added {
        if self.spoilt {
            return Added::Ignored;
        }
        let (start, end) = (fragment.offset, fragment.end());
        let contradicts = match (fragment.more, self.length) {
            (true, Some(length)) => end >= length,
            (false, Some(length)) => end != length,
            (true, None) => false,
            (false, None) => {
                self.parts.last_key_value().is_some_and(|(at, it)| at + it.len() > end)
            }
        };
        if contradicts {
            return Added::Spoils;
        }
        if self.parts.get(&start).is_some_and(|it| it.len() == fragment.data.len()) {
            return Added::Ignored;
        }
        let before = self.parts.range(..=start).next_back();
        let after = self.parts.range(start..).next();
        if before.is_some_and(|(at, it)| at + it.len() > start)
            || after.is_some_and(|(at, _)| *at < end)
        {
            return Added::Spoils;
        }
        if !fragment.more {
            self.length = Some(end);
        }
        if start == 0 {
            self.protocol = fragment.info.protocol;
        }
        self.received += fragment.data.len();
        self.parts.insert(start, fragment.data.into());
        Added::Kept(fragment.data.len() + OVERHEAD)
    }

    /// Whether nothing is missing: parts do not overlap and none lies beyond the end.
    fn is_complete(&self) -> bool {
        self.length == Some(self.received)
    }

    /// The whole packet in a frame between two stations, as if it had come in one piece.
    fn frame(self, src: MacAddr, dst: MacAddr) -> Vec<u8> {
        let info = IpInfo { src: self.key.src, dst: self.key.dst, protocol: self.protocol };
        let headers = headers_len(info.dst);
        let mut frame = vec![0; headers];
        frame.reserve(self.received);
        self.parts.values().for_each(|part| frame.extend_from_slice(part));
        write_ethernet(&mut frame, dst, src, info.ether_type());
        // The hop limit is not the sender's. So neighbour discovery in fragments counts as having
        // crossed a router, and is ignored as RFC 6980 wants it.
        info.write(&mut frame[EthernetHeader::LEN..], None);
        frame
    }
}

/// All packets of a stack that are not complete.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    /// The oldest first.
    packets: Vec<Incomplete>,
    bytes: usize,
}

impl Reassembly {
    /// Takes a fragment; answers the frame of the packet that it completes. A packet that is given up is
    /// counted in `counters`.
    pub(crate) fn add(
        &mut self,
        fragment: &Fragment<'_>,
        now: Instant,
        counters: &mut Counters,
    ) -> Option<Vec<u8>> {
        self.expire(now, counters);
        let key = fragment.key();
        let at = self.packets.iter().position(|it| it.key == key).unwrap_or_else(|| {
            self.packets.push(Incomplete {
                key,
                until: now + PATIENCE,
                parts: BTreeMap::new(),
                received: 0,
                length: None,
                protocol: fragment.info.protocol,
                spoilt: false,
                cost: OVERHEAD,
            });
            self.bytes += OVERHEAD;
            self.packets.len() - 1
        });
        let packet = &mut self.packets[at];
        match packet.add(fragment) {
            Added::Kept(cost) => {
                packet.cost += cost;
                self.bytes += cost;
            }
            Added::Ignored => {}
            Added::Spoils => {
                counters.reassembly_failed += 1;
                packet.spoilt = true;
                packet.parts.clear();
                self.bytes -= packet.cost - OVERHEAD;
                packet.cost = OVERHEAD;
            }
        }
        if packet.is_complete() && !packet.spoilt {
            counters.reassembled += 1;
            let packet = self.remove(at);
            return Some(packet.frame(fragment.src_mac, fragment.dst_mac));
        }
        while self.packets.len() > MOST_PACKETS || self.bytes > MOST_BYTES {
            self.give_up_one(counters);
        }
        None
    }

    /// Gives up the packets whose time is over.
    pub(crate) fn expire(&mut self, now: Instant, counters: &mut Counters) {
        while self.packets.first().is_some_and(|it| it.until <= now) {
            self.fail(0, counters);
        }
    }

    /// When the next packet is given up.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.packets.first().map(|it| it.until)
    }

    /// The oldest packet of whoever holds the most.
    fn give_up_one(&mut self, counters: &mut Counters) {
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        for packet in &self.packets {
            *held.entry(packet.key.src).or_default() += packet.cost;
        }
        let most = held.values().max();
        let at = self.packets.iter().position(|it| held.get(&it.key.src) == most);
        self.fail(at.unwrap_or(0), counters);
    }

    fn fail(&mut self, at: usize, counters: &mut Counters) {
        // One that is spoilt was counted then.
        counters.reassembly_failed += u64::from(!self.remove(at).spoilt);
    }

    fn remove(&mut self, at: usize) -> Incomplete {
        let packet = self.packets.remove(at);
        self.bytes -= packet.cost;
        packet
    }

    /// Packets and bytes that are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.packets.len(), self.bytes)
    }
}
