//! Which stations pass packets on for a gateway beside the one that answers to its address.
//!
//! Routers that share an address (VRRP, bonded ones) answer with one Ethernet address and may send from others. What
//! such a station says of the way is to be believed, and what a neighbour says is not, although both can write any IP
//! address. So a station has to show that it is on the way: it brings a segment of a connection of ours that goes by that
//! gateway, with numbers that others can only guess.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use dataplane::MacAddr;

/// Stations that are remembered at most: a gateway is few routers.
const MOST: usize = 8;
/// How long one is believed to be a router after it showed it.
const BELIEVED: Duration = Duration::from_mins(10);

/// The stations that showed it. No clock: points in time are parameters.
#[derive(Debug, Default)]
pub(crate) struct Routers {
    /// Whoever showed it last is last.
    known: VecDeque<Router>,
}

#[derive(Debug, Clone, Copy)]
struct Router {
    gateway: IpAddr,
    station: MacAddr,
    until: Instant,
}

impl Router {
    fn is(&self, gateway: IpAddr, station: MacAddr) -> bool {
        self.gateway == gateway && self.station == station
    }
}

impl Routers {
    /// A station showed that it passes packets on for a gateway.
    pub(crate) fn note(&mut self, gateway: IpAddr, station: MacAddr, now: Instant) {
        self.known.retain(|it| !it.is(gateway, station));
        if self.known.len() == MOST {
            self.known.pop_front();
        }
        self.known.push_back(Router { gateway, station, until: now + BELIEVED });
    }

    /// Whether a station showed that not long ago.
    pub(crate) fn contains(&self, gateway: IpAddr, station: MacAddr, now: Instant) -> bool {
        self.known.iter().any(|it| it.is(gateway, station) && now < it.until)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn few_stations_are_believed_for_some_time() {
        let (mut routers, now) = (Routers::default(), Instant::now());
        let gateway = IpAddr::from(Ipv4Addr::LOCALHOST);
        let station = |n: u8| MacAddr([2, 0, 0, 0, 0, n]);
        let most = u8::try_from(MOST).expect("few");
        routers.note(gateway, station(0), now);
        let later = now + BELIEVED / 2;
        for n in (1..=most).chain([1]) {
            routers.note(gateway, station(n), later);
        }
        let believed = |n, at| routers.contains(gateway, station(n), at);
        assert!(!believed(0, later), "the oldest gave way");
        assert!((1..=most).all(|n| believed(n, now + BELIEVED)));
        assert!(!believed(1, later + BELIEVED));
        assert!(
            !routers.contains(Ipv4Addr::BROADCAST.into(), station(1), later),
            "of another gateway"
        );
        assert_eq!(routers.known.len(), MOST);
    }
}
