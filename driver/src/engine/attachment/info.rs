//! The document that a container reads from `@dockervpp/info`: all that a packet program must know to
//! configure itself. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::Serialize;

use crate::model::{AttachKind, EndpointSpec, NetworkSpec};

/// Version of the document. New keys do not change it: readers skip the ones they do not know.
const VERSION: u32 = 1;

#[derive(Debug, Serialize)]
struct Document<'a> {
    version: u32,
    network: &'a str,
    endpoint: &'a str,
    /// Name of the kernel's interface, unless it was not found.
    interface: Option<&'a str>,
    mac: String,
    ipv4: Option<IpConfig>,
    ipv6: Option<IpConfig>,
    mtu: u32,
    attach: AttachKind,
    sockets: Sockets,
}

#[derive(Debug, Serialize)]
struct IpConfig {
    address: IpAddr,
    prefix_length: u8,
    /// The way out; none on internal networks.
    gateway: Option<IpAddr>,
}

#[derive(Debug, Serialize)]
struct Sockets {
    memif: String,
    session: String,
    info: String,
    /// Path on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    vhost_user: Option<PathBuf>,
}

/// The document, ending in a newline.
pub(in crate::engine) fn document(
    network: &NetworkSpec,
    endpoint: &EndpointSpec,
    interface: Option<&str>,
    vhost_user: Option<PathBuf>,
) -> Vec<u8> {
    let document = Document {
        version: VERSION,
        network: network.id.as_str(),
        endpoint: endpoint.id.as_str(),
        interface,
        mac: endpoint.mac.to_string(),
        ipv4: ipv4(network, endpoint),
        ipv6: ipv6(network, endpoint),
        mtu: network.mtu,
        attach: endpoint.attach,
        sockets: Sockets { vhost_user, ..sockets(interface) },
    };
    let mut bytes = serde_json::to_vec_pretty(&document)
        .expect("strings, numbers and structures are always JSON");
    bytes.push(b'\n');
    bytes
}

/// The ways out of the endpoint's subnets; none on internal networks.
pub(in crate::engine) fn gateways(
    network: &NetworkSpec,
    endpoint: &EndpointSpec,
) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    let ipv4 = endpoint.ipv4.and_then(|net| {
        let pool = network.ipv4.iter().find(|pool| pool.subnet.contains(&net.addr()));
        pool.and_then(|pool| pool.gateway)
    });
    let ipv6 = endpoint.ipv6.and_then(|net| {
        let pool = network.ipv6.iter().find(|pool| pool.subnet.contains(&net.addr()));
        pool.and_then(|pool| pool.gateway)
    });
    if network.internal { (None, None) } else { (ipv4, ipv6) }
}

fn ipv4(network: &NetworkSpec, endpoint: &EndpointSpec) -> Option<IpConfig> {
    let net = endpoint.ipv4?;
    let gateway = gateways(network, endpoint).0;
    Some(IpConfig {
        address: net.addr().into(),
        prefix_length: net.prefix_len(),
        gateway: gateway.map(IpAddr::from),
    })
}

fn ipv6(network: &NetworkSpec, endpoint: &EndpointSpec) -> Option<IpConfig> {
    let net = endpoint.ipv6?;
    let gateway = gateways(network, endpoint).1;
    Some(IpConfig {
        address: net.addr().into(),
        prefix_length: net.prefix_len(),
        gateway: gateway.map(IpAddr::from),
    })
}

/// The names that mean this endpoint whichever others the container has.
fn sockets(interface: Option<&str>) -> Sockets {
    let prefix = interface.map(|name| format!("{name}/")).unwrap_or_default();
    let name = |leaf: &str| format!("@dockervpp/{prefix}{leaf}");
    let vhost_user = None;
    Sockets { memif: name("memif"), session: name("session"), info: name("info"), vhost_user }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{Pool, TcpStack};

    fn network(internal: bool) -> NetworkSpec {
        NetworkSpec {
            id: "net1".parse().unwrap(),
            ipv4: vec![
                Pool { subnet: "10.1.0.0/24".parse().unwrap(), gateway: "10.1.0.1".parse().ok() },
                Pool { subnet: "10.2.0.0/24".parse().unwrap(), gateway: "10.2.0.1".parse().ok() },
            ],
            ipv6: vec![Pool {
                subnet: "fd00::/64".parse().unwrap(),
                gateway: "fd00::1".parse().ok(),
            }],
            mtu: 9000,
            internal,
            isolation: false,
            attach: AttachKind::Auto,
            tcp: TcpStack::default(),
            session: crate::model::SessionOptions::default(),
            policy: crate::model::PolicyOptions::default(),
            vxlan: None,
        }
    }

    fn endpoint() -> EndpointSpec {
        EndpointSpec {
            id: "end1".parse().unwrap(),
            network: "net1".parse().unwrap(),
            mac: "02:42:0a:02:00:07".parse().unwrap(),
            ipv4: "10.2.0.7/24".parse().ok(),
            ipv6: "fd00::7/64".parse().ok(),
            attach: AttachKind::Userspace,
            memif: crate::model::MemifOptions::default(),
            session: crate::model::SessionOptions::default(),
            policy: crate::model::PolicyOptions::default(),
            vhost: crate::model::VhostOptions::default(),
        }
    }

    fn parsed(network: &NetworkSpec, interface: Option<&str>) -> Value {
        serde_json::from_slice(&document(network, &endpoint(), interface, None)).unwrap()
    }

    #[test]
    fn the_document_says_all() {
        let expected = json!({
            "version": 1,
            "network": "net1",
            "endpoint": "end1",
            "interface": "eth1",
            "mac": "02:42:0a:02:00:07",
            "ipv4": {"address": "10.2.0.7", "prefix_length": 24, "gateway": "10.2.0.1"},
            "ipv6": {"address": "fd00::7", "prefix_length": 64, "gateway": "fd00::1"},
            "mtu": 9000,
            "attach": "userspace",
            "sockets": {
                "memif": "@dockervpp/eth1/memif",
                "session": "@dockervpp/eth1/session",
                "info": "@dockervpp/eth1/info",
            },
        });
        assert_eq!(parsed(&network(false), Some("eth1")), expected);
    }

    #[test]
    fn an_internal_network_offers_no_gateway() {
        let document = parsed(&network(true), Some("eth0"));
        assert_eq!(document["ipv4"]["gateway"], Value::Null);
        assert_eq!(document["ipv6"]["gateway"], Value::Null);
    }

    #[test]
    fn the_socket_of_a_device_is_named() {
        let path = Some(PathBuf::from("/run/dockervpp/vhost-user/vm/socket"));
        let document = document(&network(false), &endpoint(), None, path);
        let document: Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(document["sockets"]["vhost_user"], "/run/dockervpp/vhost-user/vm/socket");
    }

    #[test]
    fn without_an_interface_the_plain_names_are_given() {
        let document = parsed(&network(false), None);
        assert_eq!(document["interface"], Value::Null);
        assert_eq!(document["sockets"]["memif"], "@dockervpp/memif");
    }
}
