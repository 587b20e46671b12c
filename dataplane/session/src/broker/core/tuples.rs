//! The connections of one endpoint by their addresses, so that no two are the same, and the ports that
//! it gives to programs which did not choose one.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use crate::wire::Protocol;

/// Ports for programs that did not choose one. They lie outside of 32768..=60999, from which the kernel
/// takes its own (`ip_local_port_range`), so that a session and a kernel socket of one container
/// never look the same to the peer.
pub const EPHEMERAL: [RangeInclusive<u16>; 2] = [61_000..=65_535, 20_000..=32_767];

/// One connection as its connecting side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Streams or datagrams.
    pub protocol: Protocol,
    /// The own address.
    pub source: SocketAddr,
    /// The peer's address.
    pub destination: SocketAddr,
}

/// The connections that an endpoint made.
#[derive(Debug, Default)]
pub struct Tuples {
    used: HashSet<Tuple>,
    next: u16,
}

impl Tuples {
    /// Takes the addresses with a given source port; `false` when somebody has them.
    pub fn take(&mut self, tuple: Tuple) -> bool {
        self.used.insert(tuple)
    }

    /// Takes a free source port, but none of those `avoid` names; `None` when there is none.
    pub fn take_any(
        &mut self,
        protocol: Protocol,
        ip: IpAddr,
        destination: SocketAddr,
        avoid: impl Fn(u16) -> bool,
    ) -> Option<Tuple> {
        let ports = EPHEMERAL.iter().map(ExactSizeIterator::len).sum::<usize>();
        for _ in 0..ports {
            let port = nth(self.next);
            self.next = if usize::from(self.next) + 1 < ports { self.next + 1 } else { 0 };
            let tuple = Tuple { protocol, source: SocketAddr::new(ip, port), destination };
            if !avoid(port) && self.used.insert(tuple) {
                return Some(tuple);
            }
        }
        None
    }

    /// Gives addresses back.
    pub fn give_back(&mut self, tuple: &Tuple) {
        self.used.remove(tuple);
    }
}

/// The port at a place of the two ranges, the second behind the first.
fn nth(place: u16) -> u16 {
    let [high, low] = EPHEMERAL;
    let len = high.end() - high.start() + 1;
    if place < len { high.start() + place } else { low.start() + (place - len) }
}
