//! What all protocols of a stack share while they work.

use std::net::IpAddr;
use std::time::Instant;

use dataplane::MacAddr;
use dataplane::offload::VirtioNetHeader;
use dataplane::packet::{EtherType, EthernetHeader};
use dataplane::stack_port::Tag;

use crate::clock::Clock;
use crate::config::{Config, Route};
use crate::counters::Counters;
use crate::fragment::{Cut, Identifications};
use crate::headers::{IpInfo, write_ethernet};
use crate::link::Link;
use crate::neighbour::{EVERYBODY, Known, Neighbours};
use crate::resolve;
use crate::routers::Routers;
use crate::timers::{Timers, Whose};

pub(crate) struct Environment<'a> {
    pub(crate) now: Instant,
    pub(crate) clock: Clock,
    pub(crate) config: &'a Config,
    pub(crate) neighbours: &'a mut Neighbours,
    pub(crate) routers: &'a mut Routers,
    pub(crate) timers: &'a mut Timers,
    pub(crate) identifications: &'a mut Identifications,
    pub(crate) counters: &'a mut Counters,
}

impl Environment<'_> {
    pub(crate) fn smoltcp_now(&self) -> smoltcp::time::Instant {
        self.clock.to_smoltcp(self.now)
    }

    /// Finds out who has an address, and asks for it when that is not known (any more).
    pub(crate) fn reach<L: Link>(&mut self, address: IpAddr, link: &mut L) -> Known {
        let (known, again) = self.neighbours.look_up(address, self.now);
        if let (Known::Yes(neighbour, _) | Known::Asked(neighbour), Some(again)) = (known, again) {
            self.timers.set(again, Whose::Neighbour(neighbour.0));
            self.ask(address, link);
        }
        known
    }

    /// Whether packets for `remote` go by a router, and `station` is it. Nobody else on the network has a say in how
    /// long they may be: a neighbour, least of all, about what never left the network.
    pub(crate) fn is_router_to(&self, remote: IpAddr, station: MacAddr) -> bool {
        let Some(Route::Gateway(gateway)) = self.config.addressing.route(remote) else {
            return false;
        };
        self.is_at(gateway, station) || self.routers.contains(gateway, station, self.now)
    }

    /// Whether `station` gets what goes to `remote`: it is its own, or the router to it. Others can know nothing of what
    /// becomes of that.
    pub(crate) fn is_next_hop_to(&self, remote: IpAddr, station: MacAddr) -> bool {
        self.is_router_to(remote, station)
            || self.config.addressing.route(remote) == Some(Route::OnLink(remote))
                && self.is_at(remote, station)
    }

    fn is_at(&self, address: IpAddr, station: MacAddr) -> bool {
        matches!(self.neighbours.peek(address), Known::Yes(_, mac) if mac == station)
    }

    /// Asks the network who has an address.
    pub(crate) fn ask<L: Link>(&mut self, address: IpAddr, link: &mut L) {
        let addressing = &self.config.addressing;
        let Some(from) = addressing.source_for(address) else { return };
        if let Some(frame) = resolve::question(addressing.mac, from, address) {
            self.send_frame(&frame, link);
        }
    }

    /// Sends a whole frame to somebody whose frames are not counted; a packet that is too long for the
    /// network in fragments.
    pub(crate) fn send_frame<L: Link>(&mut self, frame: &[u8], link: &mut L) {
        self.send_frame_within(self.config.addressing.mtu, frame, link);
    }

    /// The same on a way that takes packets of at most `mtu` bytes.
    pub(crate) fn send_frame_within<L: Link>(&mut self, mtu: u16, frame: &[u8], link: &mut L) {
        if frame.len() > EthernetHeader::LEN + usize::from(mtu)
            && let Some(info) = IpInfo::of_own(frame)
        {
            self.send_fragments(frame, info, mtu, EVERYBODY, link);
            return;
        }
        let fill = |out: &mut [u8]| {
            out.copy_from_slice(frame);
            (VirtioNetHeader::PLAIN, ())
        };
        self.count_sent(link.send(frame.len(), EVERYBODY, fill).1);
    }

    /// Sends an IP packet of this stack, given as a whole frame, in fragments of at most `mtu` bytes.
    pub(crate) fn send_fragments<L: Link>(
        &mut self,
        frame: &[u8],
        info: IpInfo,
        mtu: u16,
        tag: Tag,
        link: &mut L,
    ) {
        let cut = Cut::new(frame, mtu, self.identifications.next(info));
        self.counters.fragmented += 1;
        for piece in cut.pieces() {
            let fill = |out: &mut [u8]| {
                cut.write(piece, out);
                (VirtioNetHeader::PLAIN, ())
            };
            self.count_sent(link.send(cut.frame_len(piece), tag, fill).1);
        }
    }

    /// Sends an IP packet of `len` bytes straight back to a station that was just heard.
    pub(crate) fn reply<L: Link>(
        &mut self,
        dst: MacAddr,
        ether_type: EtherType,
        len: usize,
        link: &mut L,
        write: impl FnOnce(&mut [u8]),
    ) {
        let src = self.config.addressing.mac;
        let fill = |frame: &mut [u8]| {
            write_ethernet(frame, dst, src, ether_type);
            write(&mut frame[EthernetHeader::LEN..]);
            (VirtioNetHeader::PLAIN, ())
        };
        self.count_sent(link.send(EthernetHeader::LEN + len, EVERYBODY, fill).1);
    }

    pub(crate) fn count_sent(&mut self, taken: bool) {
        if taken {
            self.counters.frames_out += 1;
        } else {
            self.counters.no_room += 1;
        }
    }
}
