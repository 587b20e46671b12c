//! Which stations are behind which port of a bridge, and who sends to whom. Pure.

use crate::benchmark::{Bridging, Traffic};

/// Everybody.
pub(super) const BROADCAST: [u8; 6] = [0xff; 6];

/// Stations dealt out over ports: number `n` is behind port `n % ports`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stations {
    ports: u32,
    addresses: u32,
    traffic: Traffic,
}

impl Stations {
    /// At least one station behind each port.
    pub(super) fn new(bridging: Bridging) -> Self {
        let ports = u32::from(bridging.ports.max(2));
        let addresses = bridging.addresses.max(ports);
        // As many behind each.
        Self { ports, addresses: addresses - addresses % ports, traffic: bridging.traffic }
    }

    /// How many are behind each port.
    pub(super) fn behind(self) -> u32 {
        self.addresses / self.ports
    }

    /// The address of station `number` behind `port`: locally administered.
    pub(super) fn address(self, port: u32, number: u32) -> [u8; 6] {
        let [a, b, c, d] = (number * self.ports + port).to_be_bytes();
        [0x02, 0x0b, a, b, c, d]
    }

    /// Destination and source of the `turn`-th frame that `port` sends; `None` when it sends none.
    #[inline]
    pub(super) fn frame(self, port: u32, turn: u64) -> Option<([u8; 6], [u8; 6])> {
        let behind = u64::from(self.behind());
        // Neighbours of a table are not asked for in a row.
        let pick = |turn: u64| u32::try_from((turn * 7919) % behind).unwrap_or_default();
        match self.traffic {
            Traffic::Unicast => {
                let next = (port + 1) % self.ports;
                Some((self.address(next, pick(turn + 1)), self.address(port, pick(turn))))
            }
            Traffic::Flood if port == 0 => Some((BROADCAST, self.address(0, 0))),
            Traffic::Flood => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn stations(ports: u16, addresses: u32, traffic: Traffic) -> Stations {
        Stations::new(Bridging { ports, addresses, traffic, length: 64 })
    }

    #[test]
    fn every_station_has_an_address_and_all_are_used() {
        let all = stations(4, 102, Traffic::Unicast);
        assert_eq!(all.behind(), 25);
        let addresses: BTreeSet<_> =
            (0..4).flat_map(|port| (0..25).map(move |it| all.address(port, it))).collect();
        assert_eq!(addresses.len(), 100);
        let sources: BTreeSet<_> =
            (0..25).filter_map(|it| all.frame(1, it)).map(|it| it.1).collect();
        assert_eq!(sources.len(), 25);
        for (destination, source) in (0..100).filter_map(|it| all.frame(3, it)) {
            assert!(addresses.contains(&destination) && addresses.contains(&source));
            assert_ne!(destination, source);
        }
    }

    #[test]
    fn one_floods_and_the_others_are_silent() {
        let all = stations(16, 16, Traffic::Flood);
        assert_eq!(all.frame(0, 5).map(|it| it.0), Some(BROADCAST));
        assert_eq!(all.frame(1, 5), None);
        assert_eq!(stations(2, 0, Traffic::Unicast).behind(), 1);
    }
}
