//! How long packets may be on their way: what routers said of it (RFC 1191, RFC 8201).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What a router said is believed for so long: the way may have changed (RFC 1191, 6.3; `net.ipv4.route.mtu_expires`).
const BELIEVED: Duration = Duration::from_mins(10);

/// Destinations that are remembered at most.
const MOST: usize = 1024;

/// Below that no way goes, whatever a router says: then packets would be cut to pieces for nothing
/// (RFC 8200, 5; for IPv4 what every host takes, RFC 1122, 3.3.2).
pub(crate) const fn least(address: IpAddr) -> u16 {
    if address.is_ipv4() { 576 } else { 1280 }
}

/// The ways that take less than the own network. No clock: points in time are parameters.
#[derive(Debug, Default)]
pub(crate) struct Paths(HashMap<IpAddr, Shorter>);

#[derive(Debug, Clone, Copy)]
struct Shorter {
    mtu: u16,
    until: Instant,
}

impl Paths {
    /// Longest packet to `address`, on a network that takes `own` bytes.
    pub(crate) fn mtu(&self, address: IpAddr, own: u16, now: Instant) -> u16 {
        let known = self.0.get(&address).filter(|it| now < it.until);
        known.map_or(own, |it| it.mtu.min(own))
    }

    /// A router said that packets to `address` may have `mtu` bytes; answers whether that is less than was known.
    pub(crate) fn shorten(&mut self, address: IpAddr, mtu: u16, own: u16, now: Instant) -> bool {
        let before = self.mtu(address, own, now);
        let mtu = mtu.max(least(address));
        if mtu >= before {
            return false;
        }
        if self.0.len() >= MOST && !self.0.contains_key(&address) {
            self.make_room(now);
        }
        self.0.insert(address, Shorter { mtu, until: now + BELIEVED });
        true
    }

    /// Forgets what is believed no more, or else what would be first.
    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, it| now < it.until);
        if self.0.len() >= MOST
            && let Some((&oldest, _)) = self.0.iter().min_by_key(|(_, it)| it.until)
        {
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const OWN: u16 = 1500;

    #[test]
    fn ways_get_shorter_and_are_asked_again_later() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        let far: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
        assert_eq!(paths.mtu(far, OWN, now), OWN);
        assert!(!paths.shorten(far, OWN, OWN, now) && !paths.shorten(far, 9000, OWN, now));
        assert!(paths.shorten(far, 1400, OWN, now));
        assert!(!paths.shorten(far, 1450, OWN, now), "a longer one is no news");
        assert_eq!(paths.mtu(far, OWN, now), 1400);
        assert_eq!(paths.mtu(Ipv4Addr::new(192, 0, 2, 2).into(), OWN, now), OWN);
        // The own network may have been changed.
        assert_eq!(paths.mtu(far, 1300, now), 1300);
        assert_eq!(paths.mtu(far, OWN, now + BELIEVED), OWN);
        assert!(paths.shorten(far, 1450, OWN, now + BELIEVED));
    }

    #[test]
    fn no_router_makes_a_way_useless() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        let all: [IpAddr; 2] = [Ipv4Addr::new(192, 0, 2, 1).into(), Ipv6Addr::LOCALHOST.into()];
        for (far, least) in all.into_iter().zip([576, 1280]) {
            // Zero: a router that does not tell (RFC 1191, 5).
            assert!(paths.shorten(far, 0, OWN, now));
            assert_eq!(paths.mtu(far, OWN, now), least);
        }
    }

    #[test]
    fn however_many_destinations_few_are_remembered() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        let address = |number: u32| IpAddr::from(Ipv4Addr::from(number));
        let most = u32::try_from(MOST).expect("few");
        for number in 0..2 * most {
            let then = now + Duration::from_millis(number.into());
            assert!(paths.shorten(address(number), 1000, OWN, then));
        }
        assert_eq!(paths.0.len(), MOST);
        let later = now + Duration::from_secs(3);
        assert_eq!(paths.mtu(address(0), OWN, later), OWN, "the oldest gave way");
        assert_eq!(paths.mtu(address(2 * most - 1), OWN, later), 1000);
    }
}
