//! What the host should have for networks with a way out. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::engine::PublishedAt;
use crate::host::iptables::Family;
use crate::model::{EndpointSpec, IfName, NetworkSpec};

/// A network's gateway: a link of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gateway {
    /// The link.
    pub(super) link: IfName,
    /// Its IPv4 addresses, with the length of their subnet's prefix.
    pub(super) ipv4: Vec<Ipv4Net>,
    /// Its IPv6 addresses.
    pub(super) ipv6: Vec<Ipv6Net>,
    /// Endpoints do not reach each other, also not by way of the gateway.
    pub(super) isolated: bool,
}

impl Gateway {
    /// The gateway of a network; `None` for one that has no way out.
    pub(super) fn of(network: &NetworkSpec, link: IfName) -> Option<Self> {
        let ipv4 = network.ipv4.iter().filter_map(|pool| {
            // A pool's prefix is a valid one, whatever the address.
            Ipv4Net::new(pool.gateway?, pool.subnet.prefix_len()).ok()
        });
        let ipv6 = network
            .ipv6
            .iter()
            .filter_map(|pool| Ipv6Net::new(pool.gateway?, pool.subnet.prefix_len()).ok());
        let gateway =
            Self { link, ipv4: ipv4.collect(), ipv6: ipv6.collect(), isolated: network.isolation };
        let any = !gateway.ipv4.is_empty() || !gateway.ipv6.is_empty();
        (any && !network.internal).then_some(gateway)
    }

    /// All its addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpNet> + '_ {
        let ipv4 = self.ipv4.iter().copied().map(IpNet::from);
        ipv4.chain(self.ipv6.iter().copied().map(IpNet::from))
    }
}

/// A port of the host that leads to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opening {
    /// Where it is.
    pub(super) at: PublishedAt,
    /// The endpoint's addresses.
    pub(super) target: Target,
}

/// The addresses of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// IPv4.
    pub(super) ipv4: Option<Ipv4Addr>,
    /// IPv6.
    pub(super) ipv6: Option<Ipv6Addr>,
}

impl Target {
    /// Those of this endpoint.
    pub(super) fn of(endpoint: &EndpointSpec) -> Self {
        Self {
            ipv4: endpoint.ipv4.map(|net| net.addr()),
            ipv6: endpoint.ipv6.map(|net| net.addr()),
        }
    }

    /// The address of this family.
    pub(super) fn of_family(self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.ipv4.map(IpAddr::from),
            Family::V6 => self.ipv6.map(IpAddr::from),
        }
    }

    /// The address for who comes in by `door`, of the same family if there is one.
    pub(super) fn behind(self, door: IpAddr) -> Option<IpAddr> {
        let families = if door.is_ipv4() { Family::ALL } else { [Family::V6, Family::V4] };
        families.into_iter().find_map(|family| self.of_family(family))
    }
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Gateways, in a stable order.
    pub(super) gateways: Vec<Gateway>,
    /// Published ports.
    pub(super) openings: Vec<Opening>,
    /// UDP ports to which no container sends by the way out: other hosts would take it for a frame of this one,
    /// under whose address it leaves.
    pub(super) vxlan_ports: BTreeSet<u16>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::Lead;
    use crate::model::{AttachKind, PolicyOptions, Pool, Protocol, SessionOptions, TcpStack};

    pub(in super::super) fn network(internal: bool) -> NetworkSpec {
        NetworkSpec {
            id: "0123456789abcdef".parse().unwrap(),
            ipv4: vec![
                Pool { subnet: "10.1.0.0/24".parse().unwrap(), gateway: "10.1.0.1".parse().ok() },
                Pool { subnet: "10.2.0.0/24".parse().unwrap(), gateway: None },
            ],
            ipv6: vec![Pool {
                subnet: "fd00:1::/64".parse().unwrap(),
                gateway: "fd00:1::1".parse().ok(),
            }],
            mtu: 1500,
            internal,
            isolation: false,
            attach: AttachKind::Auto,
            tcp: TcpStack::default(),
            session: SessionOptions::default(),
            policy: PolicyOptions::default(),
            vxlan: None,
        }
    }

    pub(in super::super) fn gateway() -> Gateway {
        Gateway::of(&network(false), "dvg0123456789ab".parse().unwrap()).unwrap()
    }

    pub(in super::super) fn opening(host_ip: Option<&str>, host_port: u16) -> Opening {
        Opening {
            at: PublishedAt {
                protocol: Protocol::Tcp,
                host_ip: host_ip.map(|text| text.parse().unwrap()),
                host_port,
                container_port: 80,
                lead: Lead::Packets,
            },
            target: Target { ipv4: "10.1.0.2".parse().ok(), ipv6: "fd00:1::2".parse().ok() },
        }
    }

    #[test]
    fn only_pools_with_a_gateway_lead_out_and_internal_networks_do_not() {
        let gateway = gateway();
        let addresses: Vec<_> = gateway.addresses().map(|net| net.to_string()).collect();
        assert_eq!(addresses, ["10.1.0.1/24", "fd00:1::1/64"]);
        assert_eq!(Gateway::of(&network(true), "dvg0".parse().unwrap()), None);
        let mut bare = network(false);
        (bare.ipv4[0].gateway, bare.ipv6[0].gateway) = (None, None);
        assert_eq!(Gateway::of(&bare, "dvg0".parse().unwrap()), None);
    }

    #[test]
    fn the_family_of_the_door_is_kept_where_it_can_be() {
        let both = opening(None, 80).target;
        let [four, six]: [IpAddr; 2] = ["0.0.0.0", "::"].map(|text| text.parse().unwrap());
        assert_eq!(both.behind(four), both.ipv4.map(IpAddr::from));
        assert_eq!(both.behind(six), both.ipv6.map(IpAddr::from));
        let old = Target { ipv6: None, ..both };
        assert_eq!(old.behind(six), both.ipv4.map(IpAddr::from));
        assert_eq!(Target { ipv4: None, ipv6: None }.behind(four), None);
    }
}
