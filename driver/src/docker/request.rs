//! From wire requests to model values that cannot be wrong.
//!
//! Everything that a request can get wrong by itself is refused here, before any state is looked
//! at; what depends on other networks and endpoints is decided by [`crate::state`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use dataplane::MacAddr;
use ipnet::{Ipv4Net, Ipv6Net};
use serde::Deserialize;
use serde_json::Value;

use super::options::{self, EndpointOptions, NetworkOptions, OptionError};
use super::wire;
use crate::model::{
    EndpointId, IfName, NetworkId, NetworkSpec, ParseIdError, ParseIfNameError, Pool, PortMapping,
    Protocol, SandboxKey,
};

const PORT_MAP: &str = "com.docker.network.portmap";
const IFNAME: &str = "com.docker.network.endpoint.ifname";

/// The MTU of networks for which none is given: that of Ethernet.
const DEFAULT_MTU: u32 = 1500;

/// The smallest MTU that IPv6 works with (RFC 8200, section 5).
const IPV6_MIN_MTU: u32 = 1280;

/// An endpoint as Docker asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRequest {
    /// Docker's id.
    pub id: EndpointId,
    /// Its network.
    pub network: NetworkId,
    /// Its Ethernet address, when Docker or the user chose one.
    pub mac: Option<MacAddr>,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Net>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Net>,
    /// The user's options.
    pub options: EndpointOptions,
    /// The name that the link shall have in the container.
    pub ifname: Option<IfName>,
    /// Ports to publish.
    pub ports: Vec<PortMapping>,
}

/// Why a request was refused before anything was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// An id is missing or malformed.
    #[error("{field}: {source}")]
    Id {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: ParseIdError,
    },
    /// An option was refused.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The network has no subnet.
    #[error(
        "the network has no subnet: leave the address management to Docker (no `--ipam-driver \
         null`), and give `--subnet` if it has none to offer"
    )]
    NoPool,
    /// A subnet is not one.
    #[error("`{0}` is not {1} subnet with room for an endpoint, such as {2}")]
    BadPool(String, &'static str, &'static str),
    /// A gateway is outside of its subnet or not an address.
    #[error("gateway `{gateway}` is not an address of the subnet {subnet}")]
    BadGateway {
        /// The gateway as given.
        gateway: String,
        /// Its subnet.
        subnet: String,
    },
    /// Two subnets of the same request overlap.
    #[error("the network's subnets {0} and {1} overlap")]
    OwnOverlap(String, String),
    /// Too small an MTU for IPv6.
    #[error("MTU {0} is too small for IPv6, which needs {IPV6_MIN_MTU} bytes (RFC 8200)")]
    SmallMtu(u32),
    /// An address of an endpoint cannot be read.
    #[error("`{found}` is not {expected}")]
    BadAddress {
        /// What was expected.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// The endpoint has no address.
    #[error("the endpoint has neither an IPv4 nor an IPv6 address")]
    NoAddress,
    /// The Ethernet address cannot be a station's own.
    #[error("{0} is a group address or zero, an endpoint needs a unicast Ethernet address")]
    NotUnicast(MacAddr),
    /// The wished name of the link cannot be one.
    #[error("`{IFNAME}`: {0}")]
    IfName(#[from] ParseIfNameError),
    /// The port mappings cannot be read.
    #[error("`{PORT_MAP}` cannot be read: {0}")]
    PortMap(String),
    /// Join without a place to join to.
    #[error("the request names no SandboxKey")]
    NoSandbox,
}

impl wire::CreateNetworkRequest {
    /// The network that is asked for.
    pub fn parse(&self) -> Result<NetworkSpec, RequestError> {
        let id = network_id(&self.network_id)?;
        let options = NetworkOptions::parse(&self.options)?;
        let ipv4 = pools::<Ipv4Net>(&self.ipv4_data)?;
        let ipv6 = pools::<Ipv6Net>(&self.ipv6_data)?;
        if ipv4.is_empty() && ipv6.is_empty() {
            return Err(RequestError::NoPool);
        }
        let mtu = options.mtu.unwrap_or(DEFAULT_MTU);
        if !ipv6.is_empty() && mtu < IPV6_MIN_MTU {
            return Err(RequestError::SmallMtu(mtu));
        }
        Ok(NetworkSpec {
            id,
            ipv4,
            ipv6,
            mtu,
            internal: options::is_internal(&self.options)?,
            isolation: options.isolation,
            attach: options.attach,
            tcp: options.tcp,
            session: options.session,
            policy: options.policy,
            vxlan: options.vxlan.spec(&options)?,
        })
    }
}

impl wire::GwAllocCheckRequest {
    /// Whether the network that will be asked for is internal.
    pub fn parse(&self) -> Result<bool, RequestError> {
        let options = NetworkOptions::parse(&self.options)?;
        options.vxlan.spec(&options)?;
        Ok(options::is_internal(&self.options)?)
    }
}

impl wire::NetworkRequest {
    /// The network that is named.
    pub fn parse(&self) -> Result<NetworkId, RequestError> {
        network_id(&self.network_id)
    }
}

impl wire::CreateEndpointRequest {
    /// The endpoint that is asked for.
    pub fn parse(&self) -> Result<EndpointRequest, RequestError> {
        let (network, id) = (network_id(&self.network_id)?, endpoint_id(&self.endpoint_id)?);
        let mac = optional(&self.interface.mac_address, "an Ethernet address")?;
        if let Some(mac) = mac.filter(|mac: &MacAddr| !mac.is_unicast()) {
            return Err(RequestError::NotUnicast(mac));
        }
        let ipv4 = optional(&self.interface.address, "an IPv4 address with prefix length")?;
        let ipv6 = optional(&self.interface.address_ipv6, "an IPv6 address with prefix length")?;
        if ipv4.is_none() && ipv6.is_none() {
            return Err(RequestError::NoAddress);
        }
        let ifname = match self.options.get(IFNAME) {
            Some(Value::String(name)) if !name.is_empty() => Some(name.parse()?),
            _ => None,
        };
        Ok(EndpointRequest {
            id,
            network,
            mac,
            ipv4,
            ipv6,
            options: EndpointOptions::parse(&self.options)?,
            ifname,
            ports: port_mappings(&self.options)?.unwrap_or_default(),
        })
    }
}

impl wire::EndpointRequest {
    /// The endpoint that is named.
    pub fn parse(&self) -> Result<(NetworkId, EndpointId), RequestError> {
        Ok((network_id(&self.network_id)?, endpoint_id(&self.endpoint_id)?))
    }

    /// The ports to publish; `None` when the request does not say.
    pub fn ports(&self) -> Result<Option<Vec<PortMapping>>, RequestError> {
        port_mappings(&self.options)
    }
}

impl wire::JoinRequest {
    /// The endpoint and the sandbox that it joins.
    pub fn parse(&self) -> Result<(NetworkId, EndpointId, SandboxKey), RequestError> {
        if self.sandbox_key.is_empty() || self.sandbox_key.contains('\0') {
            return Err(RequestError::NoSandbox);
        }
        let sandbox = SandboxKey(PathBuf::from(&self.sandbox_key));
        Ok((network_id(&self.network_id)?, endpoint_id(&self.endpoint_id)?, sandbox))
    }

    /// The ports to publish; `None` when the request does not say.
    pub fn ports(&self) -> Result<Option<Vec<PortMapping>>, RequestError> {
        port_mappings(&self.options)
    }
}

fn network_id(text: &str) -> Result<NetworkId, RequestError> {
    text.parse().map_err(|source| RequestError::Id { field: "NetworkID", source })
}

fn endpoint_id(text: &str) -> Result<EndpointId, RequestError> {
    text.parse().map_err(|source| RequestError::Id { field: "EndpointID", source })
}

fn optional<T: FromStr>(text: &str, expected: &'static str) -> Result<Option<T>, RequestError> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = |_| RequestError::BadAddress { expected, found: text.chars().take(60).collect() };
    text.parse().map(Some).map_err(bad)
}

/// What IPv4 and IPv6 subnets have in common here.
trait Subnet: Copy + FromStr + ToString {
    type Address: Copy + FromStr + PartialEq;
    const NAME: &'static str;
    const EXAMPLE: &'static str;

    fn truncated(self) -> Self;
    fn is_everything(self) -> bool;
    fn is_usable(self) -> bool;
    fn has_room_for(self, address: Self::Address) -> bool;
    fn overlaps(self, other: Self) -> bool;
}

impl Subnet for Ipv4Net {
    type Address = Ipv4Addr;
    const NAME: &'static str = "an IPv4";
    const EXAMPLE: &'static str = "10.1.0.0/24";

    fn truncated(self) -> Self {
        self.trunc()
    }

    fn is_everything(self) -> bool {
        self.prefix_len() == 0
    }

    fn is_usable(self) -> bool {
        (1..=31).contains(&self.prefix_len()) && !self.network().is_multicast()
    }

    fn has_room_for(self, address: Ipv4Addr) -> bool {
        let edge = address == self.network() || address == self.broadcast();
        self.contains(&address) && (!edge || self.prefix_len() == 31)
    }

    fn overlaps(self, other: Self) -> bool {
        self.contains(&other.network()) || other.contains(&self.network())
    }
}

impl Subnet for Ipv6Net {
    type Address = Ipv6Addr;
    const NAME: &'static str = "an IPv6";
    const EXAMPLE: &'static str = "fd00:1::/64";

    fn truncated(self) -> Self {
        self.trunc()
    }

    fn is_everything(self) -> bool {
        self.prefix_len() == 0
    }

    fn is_usable(self) -> bool {
        (1..=127).contains(&self.prefix_len()) && !self.network().is_multicast()
    }

    fn has_room_for(self, address: Ipv6Addr) -> bool {
        self.contains(&address)
    }

    fn overlaps(self, other: Self) -> bool {
        self.contains(&other.network()) || other.contains(&self.network())
    }
}

fn pools<N: Subnet>(data: &[wire::IpamData]) -> Result<Vec<Pool<N, N::Address>>, RequestError> {
    let mut pools: Vec<Pool<N, N::Address>> = Vec::with_capacity(data.len());
    for entry in data {
        let pool = pool::<N>(entry)?;
        if let Some(other) = pools.iter().find(|other| other.subnet.overlaps(pool.subnet)) {
            let (one, two) = (other.subnet.to_string(), pool.subnet.to_string());
            return Err(RequestError::OwnOverlap(one, two));
        }
        pools.push(pool);
    }
    Ok(pools)
}

fn pool<N: Subnet>(entry: &wire::IpamData) -> Result<Pool<N, N::Address>, RequestError> {
    let shown = || entry.pool.chars().take(60).collect();
    let subnet = match entry.pool.parse::<N>() {
        // What `--ipam-driver null` hands out.
        Ok(subnet) if subnet.is_everything() => return Err(RequestError::NoPool),
        Ok(subnet) if subnet.is_usable() => subnet.truncated(),
        _ => return Err(RequestError::BadPool(shown(), N::NAME, N::EXAMPLE)),
    };
    if entry.gateway.is_empty() {
        return Ok(Pool { subnet, gateway: None });
    }
    let bare = entry.gateway.split_once('/').map_or(entry.gateway.as_str(), |(address, _)| address);
    match bare.parse::<N::Address>() {
        Ok(gateway) if subnet.has_room_for(gateway) => Ok(Pool { subnet, gateway: Some(gateway) }),
        _ => Err(RequestError::BadGateway {
            gateway: entry.gateway.chars().take(60).collect(),
            subnet: subnet.to_string(),
        }),
    }
}

fn port_mappings(options: &wire::Options) -> Result<Option<Vec<PortMapping>>, RequestError> {
    let bindings = match options.get(PORT_MAP) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => Vec::<wire::PortBinding>::deserialize(value)
            .map_err(|error| RequestError::PortMap(error.to_string()))?,
    };
    bindings.iter().map(port_mapping).collect::<Result<_, _>>().map(Some)
}

fn port_mapping(binding: &wire::PortBinding) -> Result<PortMapping, RequestError> {
    let protocol = match binding.proto {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        132 => Protocol::Sctp,
        other => {
            return Err(RequestError::PortMap(format!("{other} is not TCP, UDP or SCTP")));
        }
    };
    if binding.port == 0 {
        return Err(RequestError::PortMap("the container's port is 0".to_owned()));
    }
    let host_ip: Option<IpAddr> = optional(&binding.host_ip, "an address of the host")?;
    Ok(PortMapping {
        protocol,
        container_port: binding.port,
        host_ip: host_ip.filter(|address| !address.is_unspecified()),
        host_port: binding.host_port,
        host_port_end: binding.host_port_end.max(binding.host_port),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::docker::any_json;
    use crate::model::AttachKind;

    fn network(body: Value) -> Result<NetworkSpec, RequestError> {
        serde_json::from_value::<wire::CreateNetworkRequest>(body).unwrap().parse()
    }

    fn endpoint(body: Value) -> Result<EndpointRequest, RequestError> {
        serde_json::from_value::<wire::CreateEndpointRequest>(body).unwrap().parse()
    }

    #[test]
    fn a_dual_stack_network() {
        let spec = network(json!({
            "NetworkID": "n1",
            "Options": {
                "com.docker.network.internal": true,
                "com.docker.network.generic": {"attach": "userspace", "mtu": "9000"},
            },
            "IPv4Data": [
                {"Pool": "10.1.0.0/24", "Gateway": "10.1.0.1/24", "AuxAddresses": {"x": "10.1.0.9/24"}},
                {"Pool": "10.2.0.0/24"},
            ],
            "IPv6Data": [{"Pool": "fd00::/64", "Gateway": "fd00::1/64"}],
        }))
        .unwrap();
        assert_eq!(spec.ipv4[0].gateway, Some(Ipv4Addr::new(10, 1, 0, 1)));
        assert_eq!(spec.ipv4[1].gateway, None);
        assert_eq!(spec.ipv6[0].gateway, Some("fd00::1".parse().unwrap()));
        assert!(spec.internal);
        assert_eq!((spec.mtu, spec.attach), (9000, AttachKind::Userspace));
    }

    #[test]
    fn networks_that_cannot_be() {
        let cases = [
            (json!({"NetworkID": "n"}), "has no subnet"),
            (json!({"NetworkID": "n", "IPv4Data": [{"Pool": "0.0.0.0/0"}]}), "has no subnet"),
            (
                json!({"NetworkID": "n", "IPv4Data": [{"Pool": "fd00::/64"}]}),
                "is not an IPv4 subnet",
            ),
            (
                json!({"NetworkID": "n", "IPv4Data": [{"Pool": "10.0.0.0/24", "Gateway": "10.0.1.1/24"}]}),
                "gateway `10.0.1.1/24` is not an address of the subnet 10.0.0.0/24",
            ),
            (
                json!({"NetworkID": "n", "IPv4Data": [{"Pool": "10.0.0.0/8"}, {"Pool": "10.9.0.0/16"}]}),
                "subnets 10.0.0.0/8 and 10.9.0.0/16 overlap",
            ),
            (
                json!({"NetworkID": "n", "IPv6Data": [{"Pool": "fd00::/64"}],
                       "Options": {"com.docker.network.generic": {"mtu": 1279}}}),
                "too small for IPv6",
            ),
            (
                json!({"NetworkID": "", "IPv4Data": [{"Pool": "10.0.0.0/8"}]}),
                "NetworkID: `` is not",
            ),
            (
                json!({"NetworkID": "../x", "IPv4Data": [{"Pool": "10.0.0.0/8"}]}),
                "is not an object id",
            ),
        ];
        for (body, expected) in cases {
            let error = network(body.clone()).unwrap_err().to_string();
            assert!(error.contains(expected), "{body}: {error}");
        }
    }

    #[test]
    fn an_endpoint_with_everything() {
        let request = endpoint(json!({
            "NetworkID": "n", "EndpointID": "e",
            "Interface": {"Address": "10.1.0.2/24", "AddressIPv6": "", "MacAddress": "02:00:00:00:00:01"},
            "Options": {
                "com.docker.network.portmap": [
                    {"Proto": 6, "IP": "", "Port": 80, "HostIP": "0.0.0.0", "HostPort": 8080, "HostPortEnd": 8080},
                    {"Proto": 17, "Port": 53, "HostIP": "::1", "HostPort": 0},
                ],
                "com.docker.network.endpoint.ifname": "data0",
                "dockervpp.memif.queues": "2",
            },
        }))
        .unwrap();
        assert_eq!(request.ifname.unwrap().as_str(), "data0");
        assert_eq!(request.options.memif.queues, Some(2));
        let shown: Vec<_> = request.ports.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["8080->80/tcp", "[::1]:any->53/udp"]);
    }

    #[test]
    fn endpoints_that_cannot_be() {
        let with = |interface: Value, options: Value| json!({"NetworkID": "n", "EndpointID": "e", "Interface": interface, "Options": options});
        let address = json!({"Address": "10.1.0.2/24"});
        let cases = [
            (with(json!(null), json!(null)), "neither an IPv4 nor an IPv6"),
            (with(json!({"Address": "10.1.0.2"}), json!({})), "is not an IPv4 address with prefix"),
            (
                with(
                    json!({"Address": "10.1.0.2/24", "MacAddress": "01:00:5e:00:00:01"}),
                    json!({}),
                ),
                "is a group address",
            ),
            (
                with(address.clone(), json!({"com.docker.network.endpoint.ifname": "a/b"})),
                "cannot name a network device",
            ),
            (
                with(
                    address.clone(),
                    json!({"com.docker.network.portmap": [{"Proto": 1, "Port": 1}]}),
                ),
                "1 is not TCP, UDP or SCTP",
            ),
            (with(address, json!({"com.docker.network.portmap": {}})), "cannot be read"),
        ];
        for (body, expected) in cases {
            let error = endpoint(body.clone()).unwrap_err().to_string();
            assert!(error.contains(expected), "{body}: {error}");
        }
    }

    /// A JSON object whose fields are the real ones, with any values.
    fn any_request() -> impl Strategy<Value = Value> {
        let fields = ["NetworkID", "EndpointID", "Options", "IPv4Data", "IPv6Data", "Interface"];
        let field = prop_oneof![Just(None), any_json().prop_map(Some)];
        proptest::collection::vec(field, fields.len()).prop_map(move |values| {
            let given = fields.iter().zip(values);
            let given = given.filter_map(|(field, value)| Some(((*field).to_owned(), value?)));
            Value::Object(given.collect())
        })
    }

    proptest! {
        #[test]
        fn no_request_panics(request in any_request(), options in any_json()) {
            let mut request = request;
            for key in [PORT_MAP, IFNAME, options::GENERIC] {
                if let Some(Value::Object(given)) = request.get_mut("Options") {
                    given.insert(key.to_owned(), options.clone());
                }
            }
            if let Ok(network) = serde_json::from_value::<wire::CreateNetworkRequest>(request.clone()) {
                drop(network.parse());
            }
            if let Ok(endpoint) = serde_json::from_value::<wire::CreateEndpointRequest>(request) {
                drop(endpoint.parse());
            }
        }

        #[test]
        fn every_subnet_is_read_as_it_is(
            bits in any::<u32>(), prefix in 1u8..=31, host in any::<u32>(),
        ) {
            let subnet = Ipv4Net::new(bits.into(), prefix).unwrap().trunc();
            let gateway = Ipv4Addr::from(u32::from(subnet.network()) | (host & u32::from(subnet.hostmask())));
            let body = json!({"NetworkID": "n", "IPv4Data": [
                {"Pool": subnet.to_string(), "Gateway": format!("{gateway}/{prefix}")}]});
            let edge = gateway == subnet.network() || gateway == subnet.broadcast();
            let possible = subnet.is_usable() && (!edge || prefix == 31);
            match network(body) {
                Ok(spec) => {
                    prop_assert!(possible);
                    prop_assert_eq!(&spec.ipv4, &[Pool { subnet, gateway: Some(gateway) }]);
                }
                Err(_) => prop_assert!(!possible),
            }
        }
    }
}
