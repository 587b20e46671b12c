//! What a stack does with a frame of the container's kernel: name service, and nothing else.

use std::time::Instant;

use dataplane::offload::{Checksum, VirtioNetHeader, complete_checksum};
use dataplane::packet::EthernetHeader;

use super::Stack;
use crate::environment::Environment;
use crate::headers::write_ethernet;
use crate::link::Link;
use crate::names::{KernelFrame, NameCounters, Query, Sorted, sort};
use crate::neighbour::Known;

impl Stack {
    /// Takes a frame that the container's kernel sent through its interface, with what it left undone. A packet
    /// to a name server is on its way to the network when this returns, or waits for the address of the next
    /// station; what is for the kernel comes out of [`Stack::for_kernel`].
    pub fn receive_from_kernel<L: Link>(
        &mut self,
        now: Instant,
        frame: &[u8],
        offload: VirtioNetHeader,
        link: &mut L,
    ) {
        match sort(frame, offload, &self.config.addressing) {
            Sorted::Neighbour(answer) => self.names.introduce(answer),
            Sorted::Chatter => {}
            Sorted::Stray => self.names.counters.strays += 1,
            Sorted::Query(query) => {
                self.names.flows.note(query.flow, now);
                let (mut env, ..) = parts!(self, now);
                if send_on(&query, offload, &mut env, link) {
                    self.names.counters.queries += 1;
                } else {
                    self.names.counters.unsent += 1;
                }
            }
        }
    }

    /// The next frame for the container's kernel.
    #[inline]
    pub fn for_kernel(&mut self) -> Option<KernelFrame> {
        self.names.next()
    }

    /// The kernel did not take a frame.
    pub fn kernel_refused(&mut self) {
        self.names.counters.untaken += 1;
    }

    /// What became of the kernel's frames so far.
    pub fn name_counters(&self) -> NameCounters {
        self.names.counters
    }
}

/// Sends a packet of the kernel to the next station on its way, as the stack's own; says whether that worked.
fn send_on<L: Link>(
    query: &Query<'_>,
    offload: VirtioNetHeader,
    env: &mut Environment<'_>,
    link: &mut L,
) -> bool {
    let addressing = env.config.addressing;
    let server = query.flow.remote.ip();
    let Some(route) = addressing.route(server) else { return false };
    let len = EthernetHeader::LEN + query.packet.len();
    let ether_type = query.ether_type();
    match env.reach(route.next_hop(), link) {
        Known::Yes(neighbour, mac) if env.neighbours.has_room_for(neighbour, 1) => {
            let fill = |frame: &mut [u8]| {
                write_ethernet(frame, mac, addressing.mac, ether_type);
                frame[EthernetHeader::LEN..].copy_from_slice(query.packet);
                (offload, ())
            };
            let ((), taken) = link.send(len, neighbour.datagram_tag(), fill);
            env.count_sent(taken);
            if taken {
                env.neighbours.sent_datagram(neighbour, 1);
            }
            taken
        }
        // What is kept is a whole packet. A stream's first one is.
        Known::Asked(neighbour)
            if offload.segmentation.is_none() && env.neighbours.may_keep(neighbour, len) =>
        {
            let mut frame = vec![0; len];
            // The station's address is filled in when it is known.
            write_ethernet(&mut frame, addressing.mac, addressing.mac, ether_type);
            frame[EthernetHeader::LEN..].copy_from_slice(query.packet);
            if let Checksum::Partial { start, offset } = offload.checksum {
                // Inside: it is the field of the packet's protocol.
                let _ = complete_checksum(&mut frame, start, offset);
            }
            env.neighbours.keep(neighbour, frame);
            true
        }
        Known::Yes(..) | Known::Asked(_) | Known::No => false,
    }
}
