//! A program with sessions behind a network stack: station 1 of a bridge domain.

use std::net::Ipv4Addr;

use dataplane::PortId;
use dataplane::tap::TapDevice;
use session::broker::{Endpoint, Limits, NetworkKey};
use session::layout::RingSize;
use stack::{Addressing, Config, Ipv4Config, Ipv6Config};
use transport::Host;

use crate::lab::{Lab, ipv4, ipv6, mac};
use crate::support::{Program, World};

/// Of a station whose IPv4 packets for others go to `gateway`.
pub(crate) fn config(gateway: Option<Ipv4Addr>) -> Config {
    let addressing = Addressing {
        mac: mac(1),
        ipv4: Some(Ipv4Config { address: ipv4(1), prefix: 24, gateway }),
        ipv6: Some(Ipv6Config { address: ipv6(1), prefix: 64, gateway: None }),
        mtu: 1500,
    };
    Config::new(addressing, 77)
}

/// At a port of the bridge domain; `kernel` is the interface of the program's own kernel, if its stack serves one.
pub(crate) fn station(
    lab: &Lab,
    port: PortId,
    kernel: Option<TapDevice>,
    config: Config,
    (ring_size, limits): (RingSize, Limits),
) -> (World, Program, Host) {
    let link = lab.engine.attach_stack(port).expect("attaches");
    let mut world = World::new();
    let program = world.endpoint_with(Endpoint {
        network: NetworkKey(1),
        ipv4: Some(ipv4(1)),
        ipv6: Some(ipv6(1)),
        kernel: false,
        isolated: false,
        ring_size,
        limits,
    });
    let broker = world.service.handle();
    let host = Host::start(program.key, config, link, kernel, broker);
    let host = host.expect("starts");
    world.service.set_stack(program.key, host.network_stack());
    (world, program, host)
}
