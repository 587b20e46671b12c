//! What a network is to the data path. Pure.

use dataplane::{DomainConfig, GatewayConfig};

use super::vxlan;
use crate::engine::attachment::gateway_mac;
use crate::model::NetworkSpec;

/// The bridge domain of a network, with a gateway of its own unless the gateway is one of its stations.
///
/// The gateway of an internal network is there too: it answers ARP, neighbour discovery and ping, as
/// the network's own address should; internal means that the driver offers it to no container as
/// the way out.
pub(super) fn domain_config(network: &NetworkSpec, own_gateway: bool) -> DomainConfig {
    let gateway = GatewayConfig {
        mac: gateway_mac(&network.id),
        ipv4: network.ipv4.iter().filter_map(|pool| pool.gateway).collect(),
        ipv6: network.ipv6.iter().filter_map(|pool| pool.gateway).collect(),
    };
    let reachable = own_gateway && (!gateway.ipv4.is_empty() || !gateway.ipv6.is_empty());
    DomainConfig {
        mtu: network.mtu,
        isolation: network.isolation,
        vxlan: vxlan::config(network),
        gateway: reachable.then_some(gateway),
        ..DomainConfig::new(network.id.short())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::model::{AttachKind, Pool, TcpStack};

    fn network(gateway: Option<Ipv4Addr>) -> NetworkSpec {
        NetworkSpec {
            id: "0123456789abcdef".parse().unwrap(),
            ipv4: vec![Pool { subnet: "10.1.0.0/24".parse().unwrap(), gateway }],
            ipv6: Vec::new(),
            mtu: 9000,
            internal: true,
            isolation: true,
            attach: AttachKind::Auto,
            tcp: TcpStack::default(),
            session: crate::model::SessionOptions::default(),
            policy: crate::model::PolicyOptions::default(),
            vxlan: None,
        }
    }

    #[test]
    fn the_domain_takes_over_what_the_network_says() {
        let gateway = Ipv4Addr::new(10, 1, 0, 1);
        let config = domain_config(&network(Some(gateway)), true);
        assert_eq!((config.name.as_str(), config.mtu), ("0123456789ab", 9000));
        assert!(config.isolation);
        assert_eq!(config.gateway.unwrap().ipv4, [gateway]);
    }

    #[test]
    fn a_network_without_gateway_addresses_has_no_gateway() {
        assert_eq!(domain_config(&network(None), true).gateway, None);
        let elsewhere = domain_config(&network(Some(Ipv4Addr::new(10, 1, 0, 1))), false);
        assert_eq!(elsewhere.gateway, None, "the host's kernel answers");
    }
}
