//! Which doors of an endpoint listen: those to whose place a program listens, while the address is the stack's.
//! Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;

use session::broker::ListenerId;
use session::broker::core::Local;

/// A door's name, which no other door of the endpoint ever has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct DoorId(pub(super) u64);

/// What a door should do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Listen, and let so many connections wait.
    Listen(u32),
    /// Refuse.
    Rest,
}

/// Doors and listeners.
#[derive(Debug, Default)]
pub(super) struct Table {
    last: u64,
    doors: HashMap<DoorId, SocketAddr>,
    /// The doors that lead to a port, of ports that have any.
    by_port: HashMap<u16, Vec<DoorId>>,
    /// The ports of listeners.
    listeners: HashMap<ListenerId, u16>,
    places: HashMap<u16, HashMap<ListenerId, Place>>,
    packet_client: bool,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    local: Local,
    backlog: u32,
}

impl Place {
    fn takes(&self, inside: SocketAddr) -> bool {
        self.local.overlaps(Local::One(inside.ip()))
    }
}

impl Table {
    /// A door that leads `inside`.
    pub(super) fn add(&mut self, inside: SocketAddr) -> DoorId {
        self.last += 1;
        let id = DoorId(self.last);
        self.doors.insert(id, inside);
        self.by_port.entry(inside.port()).or_default().push(id);
        id
    }

    /// The door is gone; fine when it was before.
    pub(super) fn remove(&mut self, id: DoorId) {
        let Some(inside) = self.doors.remove(&id) else { return };
        if let Entry::Occupied(mut at_port) = self.by_port.entry(inside.port()) {
            at_port.get_mut().retain(|other| *other != id);
            if at_port.get().is_empty() {
                at_port.remove();
            }
        }
    }

    /// The doors that lead to a port.
    pub(super) fn at_port(&self, port: u16) -> &[DoorId] {
        self.by_port.get(&port).map_or(&[], Vec::as_slice)
    }

    /// A program listens.
    pub(super) fn listen(&mut self, id: ListenerId, local: Local, port: u16, backlog: u32) {
        self.unlisten(id);
        self.listeners.insert(id, port);
        self.places.entry(port).or_default().insert(id, Place { local, backlog });
    }

    /// It does not any more; fine when it never did. Answers the port where it did.
    pub(super) fn unlisten(&mut self, id: ListenerId) -> Option<u16> {
        let port = self.listeners.remove(&id)?;
        if let Entry::Occupied(mut places) = self.places.entry(port) {
            places.get_mut().remove(&id);
            if places.get().is_empty() {
                places.remove();
            }
        }
        Some(port)
    }

    /// A packet client has the address, or has it no more.
    pub(super) fn set_packet_client(&mut self, connected: bool) {
        self.packet_client = connected;
    }

    /// Whether a packet client has the address.
    pub(super) fn has_packet_client(&self) -> bool {
        self.packet_client
    }

    /// What a door should do.
    pub(super) fn wanted(&self, id: DoorId) -> Wanted {
        let Some(inside) = self.doors.get(&id).filter(|_| !self.packet_client) else {
            return Wanted::Rest;
        };
        let at_port = self.places.get(&inside.port()).into_iter().flat_map(HashMap::values);
        let at_place = at_port.filter(|place| place.takes(*inside));
        at_place.map(|place| place.backlog).max().map_or(Wanted::Rest, Wanted::Listen)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;

    fn inside(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_door_listens_while_somebody_listens_behind_it() {
        let mut table = Table::default();
        let four = table.add(inside("10.1.0.2:80"));
        let six = table.add(inside("[fd00::2]:80"));
        let other = table.add(inside("10.1.0.2:81"));
        let wanted = |table: &Table| [four, six, other].map(|id| table.wanted(id));
        assert_eq!(wanted(&table), [Wanted::Rest; 3]);
        table.listen(ListenerId(1), Local::AnyV4, 80, 5);
        assert_eq!(wanted(&table), [Wanted::Listen(5), Wanted::Rest, Wanted::Rest]);
        table.listen(ListenerId(2), Local::AnyV6 { only: false }, 80, 7);
        assert_eq!(wanted(&table), [Wanted::Listen(7), Wanted::Listen(7), Wanted::Rest]);
        assert_eq!(table.unlisten(ListenerId(1)), Some(80));
        assert_eq!(table.unlisten(ListenerId(1)), None);
        assert_eq!(wanted(&table), [Wanted::Listen(7), Wanted::Listen(7), Wanted::Rest]);
        table.unlisten(ListenerId(2));
        assert_eq!(wanted(&table), [Wanted::Rest; 3]);
    }

    #[test]
    fn a_port_has_its_doors_and_nothing_is_kept_of_what_is_gone() {
        let mut table = Table::default();
        let doors = ["10.1.0.2:80", "[fd00::2]:80", "10.1.0.2:81"].map(|it| table.add(inside(it)));
        assert_eq!(table.at_port(80), &doors[..2]);
        assert_eq!(table.at_port(81), &doors[2..]);
        table.listen(ListenerId(1), Local::AnyV4, 80, 5);
        // It listens elsewhere from now on.
        table.listen(ListenerId(1), Local::AnyV4, 81, 5);
        assert_eq!(table.wanted(doors[0]), Wanted::Rest);
        assert_eq!(table.wanted(doors[2]), Wanted::Listen(5));
        table.unlisten(ListenerId(1));
        for id in doors {
            table.remove(id);
        }
        assert!(table.at_port(80).is_empty());
        assert!(table.by_port.is_empty() && table.places.is_empty() && table.listeners.is_empty());
    }

    #[test]
    fn only_the_own_address_leads_in() {
        let mut table = Table::default();
        let door = table.add(inside("10.1.0.2:80"));
        for (local, wanted) in [
            (Local::One(IpAddr::V4(Ipv4Addr::new(10, 1, 0, 3))), Wanted::Rest),
            (Local::One(IpAddr::V6(Ipv6Addr::LOCALHOST)), Wanted::Rest),
            (Local::AnyV6 { only: true }, Wanted::Rest),
            (Local::One(IpAddr::V4(Ipv4Addr::new(10, 1, 0, 2))), Wanted::Listen(1)),
        ] {
            table.listen(ListenerId(1), local, 80, 1);
            assert_eq!(table.wanted(door), wanted, "{local:?}");
        }
    }

    #[test]
    fn a_packet_client_closes_all_doors_and_gives_them_back() {
        let mut table = Table::default();
        let door = table.add(inside("10.1.0.2:80"));
        table.listen(ListenerId(1), Local::AnyV4, 80, 1);
        table.set_packet_client(true);
        assert_eq!(table.wanted(door), Wanted::Rest);
        table.set_packet_client(false);
        assert_eq!(table.wanted(door), Wanted::Listen(1));
        table.remove(door);
        assert_eq!(table.wanted(door), Wanted::Rest);
    }
}
