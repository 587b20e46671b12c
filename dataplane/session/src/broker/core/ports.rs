//! The port table of one endpoint: who listens where, who may share an address, whose turn it is.
//!
//! The rules are Linux's (`inet_csk_bind_conflict` and `udp_lib_lport_inuse`, checked against 6.18):
//! a wildcard overlaps every address of its family, an IPv6 wildcard also every IPv4 address unless it
//! is for IPv6 only. Listeners whose addresses overlap share when all of them set `SO_REUSEPORT`;
//! datagram sockets also when both set `SO_REUSEADDR`, and the newest one is served then. Listeners
//! with the same cookie are one that forked processes registered again, and share always.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::key::ListenerId;
use crate::wire::{Protocol, Reuse};

/// The address of a listener without its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Local {
    /// One address.
    One(IpAddr),
    /// All IPv4 addresses.
    AnyV4,
    /// All IPv6 addresses, and unless `only` all IPv4 addresses.
    AnyV6 {
        /// `IPV6_V6ONLY`.
        only: bool,
    },
}

impl Local {
    /// Reads what a program binds to.
    pub fn new(ip: IpAddr, v6_only: bool) -> Self {
        match ip {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Self::AnyV6 { only: v6_only },
            ip => match ip.to_canonical() {
                IpAddr::V4(ip) if ip.is_unspecified() => Self::AnyV4,
                ip => Self::One(ip),
            },
        }
    }

    /// Whether some address belongs to both.
    pub fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::One(a), Self::One(b)) => a == b,
            (Self::One(ip), wildcard) | (wildcard, Self::One(ip)) => wildcard.fit(ip).is_some(),
            (Self::AnyV4, Self::AnyV6 { only }) | (Self::AnyV6 { only }, Self::AnyV4) => !only,
            (Self::AnyV4, Self::AnyV4) | (Self::AnyV6 { .. }, Self::AnyV6 { .. }) => true,
        }
    }

    /// How well it fits a destination: the more exact the higher; `None` when it does not.
    fn fit(self, destination: IpAddr) -> Option<u8> {
        match (self, destination) {
            (Self::One(ip), destination) => (ip == destination).then_some(2),
            (Self::AnyV4, IpAddr::V4(_)) | (Self::AnyV6 { .. }, IpAddr::V6(_)) => Some(1),
            (Self::AnyV6 { only: false }, IpAddr::V4(_)) => Some(0),
            (Self::AnyV4, IpAddr::V6(_)) | (Self::AnyV6 { only: true }, IpAddr::V4(_)) => None,
        }
    }
}

/// Where a listener listens and with whom it shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Streams or datagrams.
    pub protocol: Protocol,
    /// The address.
    pub local: Local,
    /// The port, not zero.
    pub port: u16,
    /// Who may share.
    pub reuse: Reuse,
    /// Equal for registrations of the same listener.
    pub cookie: u64,
}

impl Binding {
    fn same(&self, other: &Self) -> bool {
        (self.cookie, self.local) == (other.cookie, other.local)
    }

    /// Whether both can be there, given that their ports are the same.
    fn shares(&self, other: &Self) -> bool {
        let newest_wins =
            self.protocol == Protocol::Datagram && self.reuse.address && other.reuse.address;
        !self.local.overlaps(other.local)
            || self.same(other)
            || (self.reuse.port && other.reuse.port)
            || newest_wins
    }

    /// Whether connections are spread over both, given that both fit equally well.
    fn takes_turns_with(&self, other: &Self) -> bool {
        self.same(other) || (self.reuse.port && other.reuse.port)
    }
}

/// Whether a listener can take a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It can.
    Free,
    /// Its backlog is full.
    Full,
    /// It is not there any more.
    Gone,
}

/// Who takes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// This listener.
    Listener(ListenerId),
    /// There are listeners, and the backlogs of all are full.
    Full,
    /// Nobody listens there.
    Nobody,
}

/// The listeners of an endpoint.
#[derive(Debug, Default)]
pub struct PortTable {
    places: HashMap<(Protocol, u16), Vec<(ListenerId, Binding)>>,
    turn: usize,
}

impl PortTable {
    /// Listeners that keep `binding` from being added.
    pub fn in_the_way(&self, binding: &Binding) -> impl Iterator<Item = ListenerId> {
        let place = self.places.get(&(binding.protocol, binding.port));
        let listeners = place.into_iter().flatten();
        listeners.filter(|(_, other)| !binding.shares(other)).map(|(id, _)| *id)
    }

    /// Adds a listener that nobody is [in the way](Self::in_the_way) of.
    pub fn add(&mut self, id: ListenerId, binding: Binding) {
        self.places.entry((binding.protocol, binding.port)).or_default().push((id, binding));
    }

    /// Removes a listener; fine when it is not there.
    pub fn remove(&mut self, id: ListenerId, binding: &Binding) {
        let place = (binding.protocol, binding.port);
        if let Some(listeners) = self.places.get_mut(&place) {
            listeners.retain(|(other, _)| *other != id);
            if listeners.is_empty() {
                self.places.remove(&place);
            }
        }
    }

    /// Whether anybody listens on the port, whatever the address.
    pub fn has(&self, protocol: Protocol, port: u16) -> bool {
        self.places.contains_key(&(protocol, port))
    }

    /// The listener whose turn it is among those that fit the destination best and have room.
    pub fn choose(
        &mut self,
        protocol: Protocol,
        destination: SocketAddr,
        mut room: impl FnMut(ListenerId) -> Room,
    ) -> Choice {
        let Some(listeners) = self.places.get(&(protocol, destination.port())) else {
            return Choice::Nobody;
        };
        let ip = destination.ip();
        let mut outcome = Choice::Nobody;
        let mut passed = Vec::new();
        // Each round looks at those that take turns; when all of them are gone, at the next best.
        loop {
            let fit = |(id, binding): &(ListenerId, Binding)| {
                binding.local.fit(ip).filter(|_| !passed.contains(id))
            };
            let Some(best) = listeners.iter().filter_map(fit).max() else { return outcome };
            let of_best = || listeners.iter().filter(|entry| fit(entry) == Some(best));
            let Some((_, newest)) = of_best().next_back() else { return outcome };
            let group: Vec<_> = of_best()
                .filter(|(_, binding)| newest.takes_turns_with(binding))
                .map(|(id, _)| *id)
                .collect();
            self.turn = self.turn.wrapping_add(1);
            for step in 0..group.len() {
                let id = group[(self.turn % group.len() + step) % group.len()];
                match room(id) {
                    Room::Free => return Choice::Listener(id),
                    Room::Full => outcome = Choice::Full,
                    Room::Gone => {}
                }
            }
            if outcome == Choice::Full {
                return outcome;
            }
            passed.extend(group);
        }
    }
}
