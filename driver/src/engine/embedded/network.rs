//! What a network is to the data path. Pure.

use dataplane::{DomainConfig, GatewayConfig, MacAddr};

use crate::model::{NetworkId, NetworkSpec};

/// The bridge domain of a network.
///
/// The gateway of an internal network is there too: it answers ARP, neighbour discovery and ping, as
/// the network's own address should; internal means that the driver offers it to no container as
/// the way out.
pub(super) fn domain_config(network: &NetworkSpec) -> DomainConfig {
    let gateway = GatewayConfig {
        mac: gateway_mac(&network.id),
        ipv4: network.ipv4.iter().filter_map(|pool| pool.gateway).collect(),
        ipv6: network.ipv6.iter().filter_map(|pool| pool.gateway).collect(),
    };
    let reachable = !gateway.ipv4.is_empty() || !gateway.ipv6.is_empty();
    DomainConfig {
        mtu: network.mtu,
        isolation: network.isolation,
        gateway: reachable.then_some(gateway),
        ..DomainConfig::new(network.id.short())
    }
}

/// The gateway's Ethernet address: the same after every restart, so that neighbour caches of
/// running containers stay right. Locally administered, and its first octet `06` keeps it apart from the
/// `02:42:…` that Docker hands out.
pub(super) fn gateway_mac(network: &NetworkId) -> MacAddr {
    // FNV-1a, 64 bit: not a secret, only evenly spread.
    let hash = network.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The upper bytes are the better mixed ones.
    let [first, second, third, fourth, fifth, ..] = hash.to_be_bytes();
    MacAddr([0x06, first, second, third, fourth, fifth])
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{AttachKind, Pool};

    fn network(gateway: Option<Ipv4Addr>) -> NetworkSpec {
        NetworkSpec {
            id: "0123456789abcdef".parse().unwrap(),
            ipv4: vec![Pool { subnet: "10.1.0.0/24".parse().unwrap(), gateway }],
            ipv6: Vec::new(),
            mtu: 9000,
            internal: true,
            isolation: true,
            attach: AttachKind::Auto,
        }
    }

    #[test]
    fn the_domain_takes_over_what_the_network_says() {
        let gateway = Ipv4Addr::new(10, 1, 0, 1);
        let config = domain_config(&network(Some(gateway)));
        assert_eq!((config.name.as_str(), config.mtu), ("0123456789ab", 9000));
        assert!(config.isolation);
        assert_eq!(config.gateway.unwrap().ipv4, [gateway]);
    }

    #[test]
    fn a_network_without_gateway_addresses_has_no_gateway() {
        assert_eq!(domain_config(&network(None)).gateway, None);
    }

    #[test]
    fn the_gateway_address_is_part_of_the_running_state_and_must_not_change() {
        let mac = gateway_mac(&"0123456789abcdef".parse().unwrap());
        assert_eq!(mac.to_string(), "06:2e:37:39:13:e5");
    }

    proptest! {
        #[test]
        fn gateway_addresses_are_local_unicast_and_differ(a in "[a-f0-9]{64}", b in "[a-f0-9]{64}") {
            let [first, second] = [&a, &b].map(|id| gateway_mac(&id.parse().unwrap()));
            prop_assert!(first.is_unicast());
            prop_assert_eq!(first.0[0] & 2, 2);
            prop_assert_eq!(a == b, first == second);
        }
    }
}
