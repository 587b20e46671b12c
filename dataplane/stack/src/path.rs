//! How long packets may be on their way: what routers said of it (RFC 1191, RFC 8201).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

/// Destinations that are remembered at most.
const MOST: usize = 1024;

/// Below that no way goes, whatever a router says: then packets would be cut to pieces for nothing
/// (RFC 8200, 5; for IPv4 what every host takes, RFC 1122, 3.3.2).
pub(crate) const fn least(address: IpAddr) -> u16 {
    if address.is_ipv4() { 576 } else { 1280 }
}

/// The ways that take less than the own network. No clock: points in time are parameters.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    shorter: HashMap<IpAddr, Shorter>,
    /// Their destinations and when they are believed no more, which is first first.
    order: VecDeque<(Instant, IpAddr)>,
}

#[derive(Debug, Clone, Copy)]
struct Shorter {
    mtu: u16,
    until: Instant,
}

impl Paths {
    /// Longest packet to `address`, on a network that takes `own` bytes.
    pub(crate) fn mtu(&self, address: IpAddr, own: u16, now: Instant) -> u16 {
        let known = self.shorter.get(&address).filter(|it| now < it.until);
        known.map_or(own, |it| it.mtu.min(own))
    }

    /// A router said that packets to `address` may have `mtu` bytes, which is believed until then: no earlier than
    /// what was said before. Answers of which destinations something else is known now; of none when that is no news.
    pub(crate) fn shorten(
        &mut self,
        address: IpAddr,
        mtu: u16,
        own: u16,
        (now, until): (Instant, Instant),
    ) -> Vec<IpAddr> {
        let before = self.mtu(address, own, now);
        let mtu = mtu.max(least(address));
        if mtu >= before {
            return Vec::new();
        }
        let mut changed = vec![address];
        if self.shorter.insert(address, Shorter { mtu, until }).is_some() {
            self.order.retain(|(_, it)| *it != address);
        }
        self.order.push_back((until, address));
        if self.order.len() > MOST {
            changed.extend(self.forget_first());
        }
        changed
    }

    /// Forgets a destination of which is believed no more what was said; `None` when there is none.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<IpAddr> {
        if self.next_expiry()? > now {
            return None;
        }
        self.forget_first()
    }

    /// When [`Paths::expire`] has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.order.front().map(|(until, _)| *until)
    }

    fn forget_first(&mut self) -> Option<IpAddr> {
        let (_, address) = self.order.pop_front()?;
        self.shorter.remove(&address);
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::*;

    const OWN: u16 = 1500;
    const BELIEVED: Duration = Duration::from_mins(10);

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    impl Paths {
        /// How many destinations something else is known of.
        fn hear(&mut self, address: IpAddr, mtu: u16, now: Instant) -> usize {
            self.shorten(address, mtu, OWN, (now, now + BELIEVED)).len()
        }
    }

    #[test]
    fn ways_get_shorter_and_are_asked_again_later() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        let far = address(1);
        assert_eq!(paths.mtu(far, OWN, now), OWN);
        assert_eq!((paths.hear(far, OWN, now), paths.hear(far, 9000, now)), (0, 0));
        assert_eq!(paths.hear(far, 1400, now), 1);
        assert_eq!(paths.hear(far, 1450, now), 0, "a longer one is no news");
        assert_eq!(paths.mtu(far, OWN, now), 1400);
        assert_eq!(paths.mtu(address(2), OWN, now), OWN);
        // The own network may have been changed.
        assert_eq!(paths.mtu(far, 1300, now), 1300);
        assert_eq!(paths.mtu(far, OWN, now + BELIEVED), OWN);
        assert_eq!(paths.hear(far, 1450, now + BELIEVED), 1);
    }

    #[test]
    fn what_is_believed_no_more_is_told_of_once() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(paths.next_expiry(), None);
        assert_eq!((paths.hear(address(1), 1400, now), paths.hear(address(2), 1400, now)), (1, 1));
        // The first one is believed for longer from now on.
        assert_eq!(paths.hear(address(1), 1300, now + second), 1);
        let until = now + BELIEVED;
        assert_eq!(paths.next_expiry(), Some(until));
        assert_eq!(paths.expire(until.checked_sub(second).expect("later")), None);
        assert_eq!((paths.expire(until), paths.expire(until)), (Some(address(2)), None));
        assert_eq!(paths.mtu(address(1), OWN, until), 1300);
        assert_eq!(paths.expire(until + second), Some(address(1)));
        assert_eq!((paths.expire(until + second), paths.next_expiry()), (None, None));
    }

    #[test]
    fn no_router_makes_a_way_useless() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        for (far, least) in [(address(1), 576), (Ipv6Addr::LOCALHOST.into(), 1280)] {
            // Zero: a router that does not tell (RFC 1191, 5).
            assert_eq!(paths.hear(far, 0, now), 1);
            assert_eq!(paths.mtu(far, OWN, now), least);
        }
    }

    #[test]
    fn however_many_destinations_few_are_remembered() {
        let (mut paths, now) = (Paths::default(), Instant::now());
        let most = u32::try_from(MOST).expect("few");
        for number in 0..2 * most {
            let now = now + Duration::from_millis(number.into());
            let changed = paths.shorten(address(number), 1000, OWN, (now, now + BELIEVED));
            let forgotten = number.checked_sub(most).map(address);
            assert!(changed.into_iter().eq([address(number)].into_iter().chain(forgotten)));
        }
        assert_eq!((paths.shorter.len(), paths.order.len()), (MOST, MOST));
        let later = now + Duration::from_secs(3);
        assert_eq!(paths.mtu(address(0), OWN, later), OWN, "the oldest gave way");
        assert_eq!(paths.mtu(address(2 * most - 1), OWN, later), 1000);
    }
}
