//! Name service of the container's kernel.
//!
//! Programs behind a stack resolve names by Docker's name server, which asks those of the outside from a socket
//! of the container's kernel. So the kernel's interface, which leads nowhere otherwise, has this one way out:
//! packets from the endpoint's own address to port 53 of another, UDP and TCP. They leave as the endpoint's own,
//! by the stack's neighbours and gateway, and only what answers one of them goes back. All else is a stray: dropped
//! and counted. Pure.
//!
//! * `sort`: what a frame of the kernel is.
//! * `neighbour`: the answer to the kernel's question for an Ethernet address: every address is behind one station.
//! * `flows`: who asked whom lately, within bounds.
//!
//! The kernel's packets are those of the container, and nothing that they say is believed: they can keep each
//! other's answers out, and nothing else.

mod flows;
mod neighbour;
mod sort;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use dataplane::offload::VirtioNetHeader;

use self::flows::Flows;
pub(crate) use self::flows::NameFlow;
pub(crate) use self::sort::{Query, Sorted, sort};
use crate::icmp::Report;
use crate::packet::Packet;

/// The port of name servers (RFC 1035, 4.2).
pub(crate) const PORT: u16 = 53;

/// Frames that wait for the kernel; further ones are lost.
const MOST_WAITING: usize = 256;

/// A frame for the container's kernel, and what is left undone in it.
pub type KernelFrame = (Vec<u8>, VirtioNetHeader);

/// What became of the frames of the container's kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NameCounters {
    /// Packets to name servers that were sent on.
    pub queries: u64,
    /// Packets to name servers that found no way, or too many before them.
    pub unsent: u64,
    /// Packets of name servers that were given to the kernel, what routers say of queries included.
    pub answers: u64,
    /// Packets of name servers that the kernel did not take.
    pub untaken: u64,
    /// Packets to anybody else, dropped. What a kernel says of its own accord is not among them: questions for
    /// neighbours and routers, and its membership in multicast groups.
    pub strays: u64,
}

/// What the kernel asked, and what waits for it.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) flows: Flows,
    pub(crate) counters: NameCounters,
    waiting: VecDeque<KernelFrame>,
}

impl Names {
    /// Whether a packet of the network, which is for the endpoint, answers the kernel.
    #[inline]
    pub(crate) fn expects(&self, packet: &Packet<'_>, now: Instant) -> bool {
        // Almost always there is nothing, or it comes from another port.
        !self.flows.is_empty()
            && NameFlow::of_answer(packet).is_some_and(|flow| self.flows.knows(&flow, now))
    }

    /// Whether a router or station speaks of a packet of the kernel.
    pub(crate) fn is_concerned(&self, report: &Report, now: Instant) -> bool {
        let Report { protocol, local, remote, .. } = *report;
        !self.flows.is_empty() && self.flows.knows(&NameFlow { protocol, local, remote }, now)
    }

    /// Gives the kernel a frame from the network, which answers it.
    pub(crate) fn answer(&mut self, frame: &[u8], offload: VirtioNetHeader) {
        if self.push(frame.to_vec(), offload) {
            self.counters.answers += 1;
        } else {
            self.counters.untaken += 1;
        }
    }

    /// Tells the kernel where a neighbour is.
    pub(crate) fn introduce(&mut self, frame: Vec<u8>) {
        // The kernel asks again.
        let _ = self.push(frame, VirtioNetHeader::PLAIN);
    }

    fn push(&mut self, frame: Vec<u8>, offload: VirtioNetHeader) -> bool {
        let room = self.waiting.len() < MOST_WAITING;
        if room {
            self.waiting.push_back((frame, offload));
        }
        room
    }

    pub(crate) fn next(&mut self) -> Option<KernelFrame> {
        self.waiting.pop_front()
    }
}
