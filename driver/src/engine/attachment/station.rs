//! The network stack of an endpoint whose kernel has no way to the network.

use dataplane::tap::TapDevice;
use dataplane::{Dataplane, PortId};
use session::broker::{EndpointKey, Service};
use stack::{Addressing, Config, Ipv4Config, Ipv6Config};
use transport::Host;

use super::info::gateways;
use crate::engine::EngineError;
use crate::model::{EndpointSpec, NetworkSpec};

/// Bytes of buffers that all connections of an endpoint share.
const MEMORY: usize = 128 << 20;

/// Connections that an endpoint may have beyond its sessions with other endpoints.
const CONNECTIONS: usize = 4096;

/// Makes a stack the station behind the endpoint's port, and has the broker use it. `kernel` is the endpoint's
/// link, through which the container's kernel asks name servers.
pub(in crate::engine) fn start(
    key: EndpointKey,
    network: &NetworkSpec,
    endpoint: &EndpointSpec,
    dataplane: &Dataplane,
    port: PortId,
    kernel: Option<TapDevice>,
    broker: &Service,
) -> Result<Host, EngineError> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| EngineError::Io { what, source }
    };
    let seed = seed().map_err(io("no random numbers for a network stack"))?;
    let config = Config {
        memory: MEMORY,
        connections: CONNECTIONS,
        ..Config::new(addressing(network, endpoint), seed)
    };
    let link = dataplane.attach_stack(port)?;
    let started = Host::start(key, config, link, kernel, broker.handle());
    let host = started.map_err(io("cannot start the network stack of an endpoint"))?;
    broker.set_stack(key, host.network_stack());
    Ok(host)
}

/// Who the endpoint is on its network. Pure.
fn addressing(network: &NetworkSpec, endpoint: &EndpointSpec) -> Addressing {
    let (gateway4, gateway6) = gateways(network, endpoint);
    let ipv4 = endpoint.ipv4.map(|net| Ipv4Config {
        address: net.addr(),
        prefix: net.prefix_len(),
        gateway: gateway4,
    });
    let ipv6 = endpoint.ipv6.map(|net| Ipv6Config {
        address: net.addr(),
        prefix: net.prefix_len(),
        gateway: gateway6,
    });
    // Networks have an MTU of 65521 at most.
    let mtu = u16::try_from(network.mtu).unwrap_or(u16::MAX);
    Addressing { mac: endpoint.mac, ipv4, ipv6, mtu }
}

fn seed() -> std::io::Result<u128> {
    let mut seed = [0; 16];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
    Ok(u128::from_ne_bytes(seed))
}
