//! The MTU of a network that other hosts have too. Pure.

use dataplane::vxlan::Peer;

use crate::engine::EngineError;
use crate::model::NetworkSpec;
use crate::model::vxlan::MtuSource;

/// What the way to a peer takes, in bytes, where that is known.
pub(super) type Ways = [(Peer, Option<u32>)];

/// The MTU of ways of which nothing is known: that of Ethernet.
const ETHERNET: u32 = 1500;
/// The least MTU of a network, and the least that IPv6 works with (RFC 8200, section 5).
const LEAST: u32 = 576;
const LEAST_IPV6: u32 = 1280;
/// The most.
const MOST: u32 = 65_521;

/// The longest packet of the segment that each known way takes, and the peer that sets it.
pub(super) fn limit(ways: &Ways) -> Option<(Peer, u32)> {
    let limits = ways
        .iter()
        .filter_map(|(peer, mtu)| Some((*peer, (*mtu)?.saturating_sub(peer.overhead()))));
    limits.min_by_key(|(_, limit)| *limit)
}

/// The MTU that a new network gets: what was chosen, if it fits, or else what fits.
pub(super) fn decide(network: &NetworkSpec, ways: &Ways) -> Result<u32, EngineError> {
    let chosen = network.vxlan.as_ref().is_some_and(|it| it.mtu == MtuSource::Chosen);
    let limit = limit(ways);
    if chosen {
        return match limit {
            Some((peer, limit)) if network.mtu > limit => Err(too_long(network.mtu, peer, limit)),
            _ => Ok(network.mtu),
        };
    }
    // The larger overhead, for who knows what peers there will be.
    let widest = ways.iter().map(|(peer, _)| peer.overhead()).max();
    let unknown = ETHERNET - widest.unwrap_or(dataplane::vxlan::header::OVERHEAD_IPV6);
    let mtu = limit.map_or(unknown, |(_, limit)| limit).min(MOST);
    let least = if network.ipv6.is_empty() { LEAST } else { LEAST_IPV6 };
    match limit {
        Some((peer, _)) if mtu < least => Err(too_long(least, peer, mtu)),
        _ => Ok(mtu),
    }
}

fn too_long(mtu: u32, peer: Peer, limit: u32) -> EngineError {
    EngineError::Host {
        what: format!(
            "an MTU of {mtu} bytes makes packets of {} bytes, and the way to the peer {peer} takes {}",
            mtu + peer.overhead(),
            limit + peer.overhead()
        ),
        remedy: format!(
            "choose `mtu` {limit} or less, the same on all hosts, or have the network between the hosts take longer \
             packets"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::vxlan::PeerList;
    use crate::model::{AttachKind, PolicyOptions, Pool, SessionOptions, TcpStack, VxlanSpec};

    fn spec(mtu: u32, source: MtuSource, dual: bool) -> NetworkSpec {
        let ipv6 = Pool { subnet: "fd00:1::/64".parse().unwrap(), gateway: None };
        let vxlan = VxlanSpec {
            vni: dataplane::vxlan::Vni::new(1).unwrap(),
            peers: PeerList::default(),
            peers_file: None,
            local: None,
            port: 4789,
            mtu: source,
        };
        NetworkSpec {
            id: "0123456789abcdef".parse().unwrap(),
            ipv4: Vec::new(),
            ipv6: dual.then_some(ipv6).into_iter().collect(),
            mtu,
            internal: false,
            isolation: false,
            attach: AttachKind::Auto,
            tcp: TcpStack::default(),
            session: SessionOptions::default(),
            policy: PolicyOptions::default(),
            vxlan: Some(vxlan),
        }
    }

    fn ways(list: &[(&str, Option<u32>)]) -> Vec<(Peer, Option<u32>)> {
        list.iter().map(|(peer, mtu)| (peer.parse().unwrap(), *mtu)).collect()
    }

    #[test]
    fn the_narrowest_way_sets_it() {
        let auto = |list: &[(&str, Option<u32>)]| {
            decide(&spec(1500, MtuSource::Underlay, false), &ways(list)).unwrap()
        };
        assert_eq!(auto(&[("192.0.2.1", Some(1500)), ("192.0.2.2", Some(9000))]), 1450);
        assert_eq!(auto(&[("192.0.2.1", Some(9000)), ("192.0.2.2", None)]), 8950);
        assert_eq!(auto(&[("192.0.2.1", Some(1510)), ("2001:db8::1", Some(1520))]), 1450);
        assert_eq!(auto(&[("192.0.2.1", None)]), 1450, "nothing is known");
        assert_eq!(auto(&[("2001:db8::1", None)]), 1430);
        assert_eq!(auto(&[]), 1430);
        assert_eq!(auto(&[("192.0.2.1", Some(65_536))]), 65_486);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let chosen = |mtu, list: &[(&str, Option<u32>)]| {
            decide(&spec(mtu, MtuSource::Chosen, true), &ways(list))
        };
        assert_eq!(chosen(1450, &[("192.0.2.1", Some(1500))]).unwrap(), 1450);
        assert_eq!(chosen(9000, &[("192.0.2.1", None)]).unwrap(), 9000, "nobody knows");
        let error = chosen(1500, &[("192.0.2.1", Some(1500))]).unwrap_err().to_string();
        assert!(error.contains("packets of 1550 bytes") && error.contains("`mtu` 1450"), "{error}");
        let small = ways(&[("192.0.2.1", Some(1300))]);
        assert_eq!(decide(&spec(1500, MtuSource::Underlay, false), &small).unwrap(), 1250);
        let error = decide(&spec(1500, MtuSource::Underlay, true), &small).unwrap_err().to_string();
        assert!(error.contains("an MTU of 1280 bytes"), "{error}");
    }
}
