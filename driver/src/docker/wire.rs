//! Requests and replies exactly as Docker's engine writes and reads them.
//!
//! Decoding is as lenient as Go's: a missing field, `null` and the zero value are the same, unknown
//! fields are ignored. Encoding uses the documented names. Nothing here judges a value.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A JSON object of options, with values of any type.
pub type Options = Map<String, Value>;

/// `NetworkDriver.CreateNetwork`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateNetworkRequest {
    /// The new network.
    #[serde(rename = "NetworkID", deserialize_with = "or_default")]
    pub network_id: String,
    /// What Docker says about it, and under `com.docker.network.generic` what the user said.
    #[serde(rename = "Options", deserialize_with = "or_default")]
    pub options: Options,
    /// IPv4 subnets.
    #[serde(rename = "IPv4Data", deserialize_with = "or_default")]
    pub ipv4_data: Vec<IpamData>,
    /// IPv6 subnets.
    #[serde(rename = "IPv6Data", deserialize_with = "or_default")]
    pub ipv6_data: Vec<IpamData>,
}

/// One subnet of a network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamData {
    /// The address space of the IPAM driver.
    #[serde(rename = "AddressSpace", deserialize_with = "or_default")]
    pub address_space: String,
    /// The subnet, in CIDR form.
    #[serde(rename = "Pool", deserialize_with = "or_default")]
    pub pool: String,
    /// The gateway, in CIDR form.
    #[serde(rename = "Gateway", deserialize_with = "or_default")]
    pub gateway: String,
    /// Addresses reserved by `--aux-address`.
    #[serde(rename = "AuxAddresses", deserialize_with = "or_default")]
    pub aux_addresses: BTreeMap<String, Value>,
}

/// `NetworkDriver.GwAllocCheck`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GwAllocCheckRequest {
    /// The options that `CreateNetwork` will carry.
    #[serde(rename = "Options", deserialize_with = "or_default")]
    pub options: Options,
}

/// A call that names a network only: `DeleteNetwork`, `AllocateNetwork`, `FreeNetwork`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkRequest {
    /// The network.
    #[serde(rename = "NetworkID", deserialize_with = "or_default")]
    pub network_id: String,
}

/// `NetworkDriver.CreateEndpoint`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateEndpointRequest {
    /// Its network.
    #[serde(rename = "NetworkID", deserialize_with = "or_default")]
    pub network_id: String,
    /// The new endpoint.
    #[serde(rename = "EndpointID", deserialize_with = "or_default")]
    pub endpoint_id: String,
    /// The addresses that Docker chose.
    #[serde(rename = "Interface", deserialize_with = "or_default")]
    pub interface: EndpointInterface,
    /// Docker's own keys and the user's driver options, side by side.
    #[serde(rename = "Options", deserialize_with = "or_default")]
    pub options: Options,
}

/// Addresses of an endpoint; an empty text is no address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointInterface {
    /// IPv4 address, in CIDR form.
    #[serde(rename = "Address", deserialize_with = "or_default")]
    pub address: String,
    /// IPv6 address, in CIDR form.
    #[serde(rename = "AddressIPv6", deserialize_with = "or_default")]
    pub address_ipv6: String,
    /// Ethernet address.
    #[serde(rename = "MacAddress", deserialize_with = "or_default")]
    pub mac_address: String,
}

/// A call that names an endpoint: `DeleteEndpoint`, `Leave`, `EndpointOperInfo`,
/// `RevokeExternalConnectivity`, and with options `ProgramExternalConnectivity`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointRequest {
    /// Its network.
    #[serde(rename = "NetworkID", deserialize_with = "or_default")]
    pub network_id: String,
    /// The endpoint.
    #[serde(rename = "EndpointID", deserialize_with = "or_default")]
    pub endpoint_id: String,
    /// Port mappings.
    #[serde(rename = "Options", deserialize_with = "or_default")]
    pub options: Options,
}

/// `NetworkDriver.Join`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JoinRequest {
    /// The endpoint's network.
    #[serde(rename = "NetworkID", deserialize_with = "or_default")]
    pub network_id: String,
    /// The endpoint.
    #[serde(rename = "EndpointID", deserialize_with = "or_default")]
    pub endpoint_id: String,
    /// Where the container's network namespace is, or will be.
    #[serde(rename = "SandboxKey", deserialize_with = "or_default")]
    pub sandbox_key: String,
    /// Port mappings.
    #[serde(rename = "Options", deserialize_with = "or_default")]
    pub options: Options,
}

/// One element of `com.docker.network.portmap`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortBinding {
    /// IP protocol number.
    #[serde(rename = "Proto", deserialize_with = "or_default")]
    pub proto: u8,
    /// The container's port.
    #[serde(rename = "Port", deserialize_with = "or_default")]
    pub port: u16,
    /// The host's address; empty is any.
    #[serde(rename = "HostIP", deserialize_with = "or_default")]
    pub host_ip: String,
    /// First host port; 0 is any.
    #[serde(rename = "HostPort", deserialize_with = "or_default")]
    pub host_port: u16,
    /// Last host port.
    #[serde(rename = "HostPortEnd", deserialize_with = "or_default")]
    pub host_port_end: u16,
}

/// Reply of `Plugin.Activate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivateReply {
    /// The kinds of plugin that this one is.
    #[serde(rename = "Implements")]
    pub implements: Vec<String>,
}

/// Reply of `NetworkDriver.GetCapabilities`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilitiesReply {
    /// Who knows of a network: this host.
    #[serde(rename = "Scope")]
    pub scope: String,
    /// How far a network reaches: this host.
    #[serde(rename = "ConnectivityScope")]
    pub connectivity_scope: String,
    /// `GwAllocCheck` may be called (Docker 28 and later).
    #[serde(rename = "GwAllocChecker")]
    pub gw_alloc_checker: bool,
}

/// Reply of `NetworkDriver.GwAllocCheck`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GwAllocCheckReply {
    /// Docker need not reserve an IPv4 address for a gateway.
    #[serde(rename = "SkipIPv4")]
    pub skip_ipv4: bool,
    /// Docker need not reserve an IPv6 address for a gateway.
    #[serde(rename = "SkipIPv6")]
    pub skip_ipv6: bool,
}

/// Reply of `NetworkDriver.CreateEndpoint`: only what the request left empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateEndpointReply {
    /// The addresses that the driver chose.
    #[serde(rename = "Interface", skip_serializing_if = "Option::is_none")]
    pub interface: Option<EndpointInterface>,
}

/// Reply of `NetworkDriver.EndpointOperInfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperInfoReply {
    /// Free text by key.
    #[serde(rename = "Value")]
    pub value: BTreeMap<String, String>,
}

/// Reply of `NetworkDriver.Join`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinReply {
    /// The link that Docker moves into the container.
    #[serde(rename = "InterfaceName")]
    pub interface_name: InterfaceName,
    /// IPv4 default gateway, without a prefix length; empty for none.
    #[serde(rename = "Gateway")]
    pub gateway: String,
    /// IPv6 default gateway; empty for none.
    #[serde(rename = "GatewayIPv6")]
    pub gateway_ipv6: String,
    /// Docker must not add a link of its own to give the container a gateway.
    #[serde(rename = "DisableGatewayService")]
    pub disable_gateway_service: bool,
}

/// How Docker finds and names the container's link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceName {
    /// Its name in the host.
    #[serde(rename = "SrcName")]
    pub src_name: String,
    /// Its name in the container, to which Docker appends a number.
    #[serde(rename = "DstPrefix")]
    pub dst_prefix: String,
    /// Its whole name in the container; engines before 29.8 ignore it.
    #[serde(rename = "DstName", skip_serializing_if = "String::is_empty")]
    pub dst_name: String,
}

/// A call that has nothing to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmptyReply {}

/// The answer to a call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// Why, for the person at the `docker` command.
    #[serde(rename = "Err")]
    pub err: String,
}

/// Reads `null` as the default value.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_missing_and_unknown_fields_are_tolerated() {
        let request: CreateNetworkRequest = serde_json::from_str(
            r#"{"NetworkID":null,"Options":null,"IPv4Data":[{"Pool":"10.0.0.0/8","Gateway":null,
                "AuxAddresses":null,"Later":{}}],"Labels":[1]}"#,
        )
        .unwrap();
        assert_eq!(request.network_id, "");
        assert_eq!(request.ipv4_data[0].pool, "10.0.0.0/8");
        assert!(request.ipv6_data.is_empty());
    }

    #[test]
    fn join_reply_has_the_documented_names() {
        let reply = JoinReply {
            interface_name: InterfaceName {
                src_name: "tap0".into(),
                dst_prefix: "eth".into(),
                dst_name: String::new(),
            },
            gateway: "10.0.0.1".into(),
            ..JoinReply::default()
        };
        assert_eq!(
            serde_json::to_string(&reply).unwrap(),
            r#"{"InterfaceName":{"SrcName":"tap0","DstPrefix":"eth"},"Gateway":"10.0.0.1","GatewayIPv6":"","DisableGatewayService":false}"#
        );
    }

    #[test]
    fn a_reply_without_addresses_is_an_empty_object() {
        let reply = serde_json::to_string(&CreateEndpointReply::default()).unwrap();
        assert_eq!(reply, "{}");
    }
}
