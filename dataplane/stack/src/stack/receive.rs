//! What a stack does with a frame from the network.

use std::time::Instant;

use dataplane::gateway::Reply;
use dataplane::offload::{Checksum, VirtioNetHeader, complete_checksum};
use dataplane::packet::Protocol;

use super::Stack;
use crate::environment::Environment;
use crate::fragment::Fragment;
use crate::icmp::{self, Complaint};
use crate::link::Link;
use crate::neighbour::Learnt;
use crate::packet::{self, Content, Ignored, Packet};
use crate::resolve::{self, Claim};

impl Stack {
    /// Takes a frame from the network.
    #[inline]
    pub fn receive<L: Link>(
        &mut self,
        now: Instant,
        frame: &[u8],
        offload: VirtioNetHeader,
        link: &mut L,
    ) {
        self.counters.frames_in += 1;
        match packet::parse(frame, offload, &self.config.addressing) {
            Ok(Content::Arp(body)) => {
                let own = self.config.addressing.ipv4.map(|own| own.address);
                if let Some(claim) = own.and_then(|own| resolve::arp_claim(body, own)) {
                    self.learn(claim, now, link);
                }
                self.respond(frame, offload, now, link);
            }
            Ok(Content::Ip(packet)) => self.receive_ip(&packet, frame, offload, now, link),
            Ok(Content::Fragment(fragment)) => self.receive_fragment(&fragment, now, link),
            Err(Ignored::Malformed) => self.counters.malformed += 1,
            Err(Ignored::BadChecksum) => self.counters.bad_checksum += 1,
            Err(Ignored::NotForUs) => self.counters.ignored += 1,
        }
    }

    fn receive_fragment<L: Link>(&mut self, fragment: &Fragment<'_>, now: Instant, link: &mut L) {
        let addressing = &self.config.addressing;
        let dst = fragment.info.dst;
        let ours = addressing.is_own(dst) || addressing.is_broadcast(dst);
        if !ours || addressing.is_own(fragment.info.src) {
            self.counters.ignored += 1;
            return;
        }
        self.counters.fragments += 1;
        let whole = self.reassembly.add(fragment, now, &mut self.counters);
        let Some(frame) = whole else { return };
        match packet::parse(&frame, VirtioNetHeader::PLAIN, &self.config.addressing) {
            Ok(Content::Ip(packet)) => {
                self.receive_ip(&packet, &frame, VirtioNetHeader::PLAIN, now, link);
            }
            Err(Ignored::BadChecksum) => self.counters.bad_checksum += 1,
            // What comes out of fragments is no fragment.
            Ok(_) | Err(_) => self.counters.malformed += 1,
        }
    }

    #[inline]
    fn receive_ip<L: Link>(
        &mut self,
        packet: &Packet<'_>,
        frame: &[u8],
        offload: VirtioNetHeader,
        now: Instant,
        link: &mut L,
    ) {
        let addressing = &self.config.addressing;
        let ours = addressing.is_own(packet.dst());
        if addressing.is_own(packet.src()) {
            // Nobody else may speak from our address.
            self.counters.ignored += 1;
            return;
        }
        if ours && self.names.expects(packet, now) && !self.is_programs(packet) {
            return self.names.answer(frame, offload);
        }
        match packet.info.protocol {
            Protocol::TCP if ours && frame[0] & 1 == 0 => {
                let (mut env, tcp, _) = parts!(self, now);
                tcp.receive(packet, &mut env, link);
            }
            Protocol::UDP if ours || addressing.is_broadcast(packet.dst()) => {
                let (mut env, _, udp) = parts!(self, now);
                udp.receive(packet, &mut env, link);
            }
            Protocol::ICMP | Protocol::ICMPV6 => {
                self.receive_icmp(packet, ours, now, link);
                self.report_to_kernel(packet, frame, offload, ours, now);
                self.respond(frame, offload, now, link);
            }
            _ => self.counters.ignored += 1,
        }
    }

    /// Whether a program has a socket for just this peer: it comes before the kernel.
    fn is_programs(&self, packet: &Packet<'_>) -> bool {
        match packet.info.protocol {
            Protocol::TCP => self.tcp.has_connection(packet),
            _ => self.udp.has_joined(packet),
        }
    }

    fn receive_icmp<L: Link>(
        &mut self,
        packet: &Packet<'_>,
        ours: bool,
        now: Instant,
        link: &mut L,
    ) {
        let addressing = self.config.addressing;
        if let Some(claim) = resolve::ndisc_claim(packet, |address| addressing.is_own(address)) {
            self.learn(claim, now, link);
        }
        if let Some(report) = icmp::report(packet).filter(|_| ours) {
            let (mut env, tcp, udp) = parts!(self, now);
            let (remote, station) = (report.remote.ip(), packet.src_mac);
            let of_the_way = matches!(report.complaint, Complaint::TooBig(_));
            if of_the_way && !env.is_router_to(remote, station) {
                return;
            }
            match report.protocol {
                // Who knows the segment's number is believed to be on its way.
                Protocol::TCP => tcp.complain(&report, &mut env),
                Protocol::UDP if env.is_next_hop_to(remote, station) => udp.complain(&report, &env),
                _ => {}
            }
        }
    }

    /// What a router or station says of a packet of the container's kernel.
    fn report_to_kernel(
        &mut self,
        packet: &Packet<'_>,
        frame: &[u8],
        offload: VirtioNetHeader,
        ours: bool,
        now: Instant,
    ) {
        let concerned = |report: &icmp::Report| self.names.is_concerned(report, now);
        if ours && icmp::report(packet).as_ref().is_some_and(concerned) {
            self.names.answer(frame, offload);
        }
    }

    /// Answers ARP, neighbour solicitations and ping.
    fn respond<L: Link>(
        &mut self,
        frame: &[u8],
        offload: VirtioNetHeader,
        now: Instant,
        link: &mut L,
    ) {
        if !self.answers_echo && is_echo(frame) {
            return;
        }
        let mut completed;
        let mut request = frame;
        if let Checksum::Partial { start, offset } = offload.checksum {
            completed = frame.to_vec();
            if complete_checksum(&mut completed, start, offset).is_err() {
                self.counters.malformed += 1;
                return;
            }
            request = &completed;
        }
        let mut reply = std::mem::take(&mut self.reply);
        if self.responder.respond(request, &mut reply) == Reply::Send {
            let (mut env, ..) = parts!(self, now);
            env.send_frame(&reply, link);
        }
        self.reply = reply;
    }

    /// Somebody said that an address is its own.
    fn learn<L: Link>(&mut self, claim: Claim, now: Instant, link: &mut L) {
        let Claim { address, mac, asks_us } = claim;
        let Learnt { connections, datagrams } = self.neighbours.learn(address, mac, asks_us, now);
        self.tcp.wake(connections);
        let (mut env, _, udp) = parts!(self, now);
        for mut frame in datagrams {
            frame[..6].copy_from_slice(&mac.0);
            udp.send_kept(&frame, &mut env, link);
        }
    }
}

/// Whether a frame is an echo request, as far as the responder would answer it.
fn is_echo(frame: &[u8]) -> bool {
    let v4 = frame.get(12..14) == Some(&[8, 0]);
    let v6 = frame.get(12..14) == Some(&[0x86, 0xdd]);
    // The only ICMP of IPv4 that is answered; of IPv6, neighbour discovery goes with 255 hops.
    v4 || v6 && frame.get(21) != Some(&255)
}
