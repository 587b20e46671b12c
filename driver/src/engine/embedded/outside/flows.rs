//! Which flows of datagrams have to be decided anew when published ports change. Pure; `host::conntrack` has the
//! kernel forget them.

use std::net::SocketAddr;

use super::plan::Opening;
use crate::host::conntrack::{Door, Turn};
use crate::host::iptables::Family;
use crate::model::Protocol;

/// What became of doors between two states of the published ports.
pub(super) fn turns(before: &[Opening], now: &[Opening]) -> Vec<(Door, Turn)> {
    let (before, now) = (doors(before), doors(now));
    let gone = before.iter().filter(|door| !now.contains(door));
    let new = now.iter().filter(|door| !before.contains(door));
    let closed = gone.map(|door| (*door, Turn::Closed));
    closed.chain(new.map(|door| (*door, Turn::Opened))).collect()
}

/// The UDP ports that the kernel leads on: to addresses of the family that they were reached by.
fn doors(openings: &[Opening]) -> Vec<Door> {
    let datagrams = openings.iter().filter(|opening| opening.at.protocol == Protocol::Udp);
    let of_families = datagrams.flat_map(|opening| {
        Family::ALL.into_iter().filter_map(|family| {
            let inside = opening.target.of_family(family)?;
            let address = opening.at.host_ip;
            if address.is_some_and(|address| address.is_ipv4() != inside.is_ipv4()) {
                return None;
            }
            let inside = SocketAddr::new(inside, opening.at.container_port);
            Some(Door { address, port: opening.at.host_port, inside })
        })
    });
    of_families.collect()
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::opening;
    use super::*;

    fn datagrams(host_ip: Option<&str>, port: u16) -> Opening {
        let mut opening = opening(host_ip, port);
        opening.at.protocol = Protocol::Udp;
        opening
    }

    #[test]
    fn a_port_for_all_addresses_is_a_door_of_each_family() {
        let turns = turns(&[], &[datagrams(None, 53)]);
        let inside: Vec<_> = turns.iter().map(|(door, _)| door.inside.to_string()).collect();
        assert_eq!(inside, ["10.1.0.2:80", "[fd00:1::2]:80"]);
        assert!(turns.iter().all(|(door, turn)| door.port == 53 && *turn == Turn::Opened));
    }

    #[test]
    fn only_what_changed_and_only_datagrams_count() {
        let [tcp, stays] = [opening(None, 80), datagrams(Some("192.0.2.1"), 53)];
        let goes = datagrams(Some("2001:db8::1"), 54);
        let found = turns(&[tcp, stays, goes], &[stays]);
        let [(door, Turn::Closed)] = found[..] else { panic!("{found:?}") };
        assert_eq!((door.port, door.inside), (54, "[fd00:1::2]:80".parse().unwrap()));
    }
}
