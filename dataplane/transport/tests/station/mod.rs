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

/// At a port of the bridge domain; `kernel` is the interface of the program's own kernel, if its stack serves one.
pub(crate) fn station(
    lab: &Lab,
    port: PortId,
    kernel: Option<TapDevice>,
    gateway: Option<Ipv4Addr>,
    (ring_size, limits): (RingSize, Limits),
) -> (World, Program, Host) {
    let link = lab.engine.attach_stack(port).expect("attaches");
    let addressing = Addressing {
        mac: mac(1),
        ipv4: Some(Ipv4Config { address: ipv4(1), prefix: 24, gateway }),
        ipv6: Some(Ipv6Config { address: ipv6(1), prefix: 64, gateway: None }),
        mtu: 1500,
    };
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
    let host = Host::start(program.key, Config::new(addressing, 77), link, kernel, broker);
    let host = host.expect("starts");
    world.service.set_stack(program.key, host.network_stack());
    (world, program, host)
}
