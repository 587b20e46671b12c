//! Published ports: what is asked for, and who has which port of the host. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::plan::Inventory;
use super::state::{Outside, TCP, UDP};
use crate::model::{EndpointId, PortMapping, Protocol};

/// Ports that one endpoint wants.
#[derive(Debug, Default)]
pub(super) struct Request {
    wanted: Vec<Wanted>,
    /// What NAT44 cannot do: IPv6, SCTP, and a port that nobody named.
    pub(super) unserved: Vec<PortMapping>,
}

/// One port of the host out of some, for one of the container.
#[derive(Debug)]
struct Wanted {
    /// With the first port.
    outside: Outside,
    last: u16,
    container_port: u16,
}

/// All acceptable ports are another endpoint's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    outside: Outside,
    last: u16,
    holder: EndpointId,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outside, last, holder } = self;
        let holder = holder.short();
        if outside.port == *last {
            write!(f, "port {outside} of the host is published by endpoint {holder} already")
        } else {
            write!(
                f,
                "ports {outside} to {last} of the host are all published, by {holder} and others"
            )
        }
    }
}

impl Request {
    /// What NAT44 can do of it.
    pub(super) fn read(ports: &[PortMapping]) -> Self {
        let mut request = Self::default();
        for mapping in ports {
            match read(mapping) {
                Some(wanted) => request.wanted.push(wanted),
                None => request.unserved.push(mapping.clone()),
            }
        }
        request
    }
}

fn read(mapping: &PortMapping) -> Option<Wanted> {
    let address = match mapping.host_ip {
        None => None,
        Some(IpAddr::V4(address)) if address.is_unspecified() => None,
        Some(IpAddr::V4(address)) => Some(address),
        Some(IpAddr::V6(_)) => return None,
    };
    let protocol = match mapping.protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
        Protocol::Sctp => return None,
    };
    let port = mapping.host_port;
    let outside = Outside { address, protocol, port };
    let last = mapping.host_port_end.max(port);
    (port != 0).then_some(Wanted { outside, last, container_port: mapping.container_port })
}

impl Inventory {
    /// Gives the endpoint the ports in place of those that it had; changes nothing if one is not to be had.
    pub(super) fn publish(
        &mut self,
        endpoint: &EndpointId,
        request: &Request,
    ) -> Result<(), Taken> {
        let mut given = BTreeMap::new();
        for wanted in &request.wanted {
            let ports = wanted.outside.port..=wanted.last;
            let mut candidates = ports.map(|port| Outside { port, ..wanted.outside.clone() });
            let free = candidates.find(|outside| {
                !given.contains_key(outside) && self.holder(endpoint, outside).is_none()
            });
            let outside = free.ok_or_else(|| {
                let holder = self.holder(endpoint, &wanted.outside).unwrap_or(endpoint).clone();
                Taken { outside: wanted.outside.clone(), last: wanted.last, holder }
            })?;
            given.insert(outside, wanted.container_port);
        }
        if let Some(plan) = self.endpoints.get_mut(endpoint) {
            plan.published = given;
        }
        Ok(())
    }

    /// Takes all its ports from the endpoint.
    pub(super) fn unpublish(&mut self, endpoint: &EndpointId) {
        if let Some(plan) = self.endpoints.get_mut(endpoint) {
            plan.published.clear();
        }
    }

    /// The other endpoint that has the port, on this address or on all.
    fn holder(&self, endpoint: &EndpointId, outside: &Outside) -> Option<&EndpointId> {
        let clashes = |other: &Outside| {
            let address = other.address.is_none()
                || outside.address.is_none()
                || other.address == outside.address;
            address && (other.protocol, other.port) == (outside.protocol, outside.port)
        };
        let mut others = self.endpoints.iter().filter(|(id, _)| *id != endpoint);
        others.find(|(_, plan)| plan.published.keys().any(clashes)).map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::vpp::plan::tests::endpoint;

    fn mapping(host_ip: Option<&str>, host_port: u16, host_port_end: u16) -> PortMapping {
        PortMapping {
            protocol: Protocol::Tcp,
            container_port: 80,
            host_ip: host_ip.map(|text| text.parse().unwrap()),
            host_port,
            host_port_end,
        }
    }

    fn inventory() -> (Inventory, EndpointId, EndpointId) {
        let mut inventory = Inventory::default();
        for number in [2, 3] {
            let plan = endpoint(number, 1, &[], true);
            inventory.endpoints.insert(plan.spec.id.clone(), plan);
        }
        (inventory, "end2".parse().unwrap(), "end3".parse().unwrap())
    }

    fn ports(inventory: &Inventory, endpoint: &EndpointId) -> Vec<String> {
        inventory.endpoints[endpoint].published.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn the_first_free_port_of_a_range_is_given() {
        let (mut inventory, one, two) = inventory();
        let request = Request::read(&[mapping(None, 8000, 8001)]);
        inventory.publish(&one, &request).unwrap();
        inventory.publish(&two, &request).unwrap();
        assert_eq!(
            (ports(&inventory, &one), ports(&inventory, &two)),
            (vec!["8000/tcp".to_owned()], vec!["8001/tcp".to_owned()])
        );
        inventory.publish(&one, &request).unwrap();
        assert_eq!(ports(&inventory, &one), ["8000/tcp"], "the same again");
    }

    #[test]
    fn a_port_has_one_holder_on_every_address() {
        let (mut inventory, one, two) = inventory();
        let held = Request::read(&[mapping(Some("192.0.2.1"), 8000, 8000)]);
        inventory.publish(&one, &held).unwrap();
        for clash in [None, Some("0.0.0.0"), Some("192.0.2.1")] {
            let wanted = Request::read(&[mapping(None, 9000, 9000), mapping(clash, 8000, 8000)]);
            let taken = inventory.publish(&two, &wanted).unwrap_err();
            assert!(taken.to_string().contains("end2"), "{taken}");
            assert!(ports(&inventory, &two).is_empty(), "all or none");
        }
        let other = Request::read(&[mapping(Some("192.0.2.2"), 8000, 8000)]);
        inventory.publish(&two, &other).unwrap();
        inventory.unpublish(&one);
        assert!(ports(&inventory, &one).is_empty());
    }

    #[test]
    fn what_cannot_be_served_is_named() {
        let sctp = PortMapping { protocol: Protocol::Sctp, ..mapping(None, 1, 1) };
        let asked = [mapping(Some("::"), 80, 80), mapping(None, 0, 0), sctp];
        assert_eq!(Request::read(&asked).unserved, asked);
    }
}
