//! A program with sessions behind a stack, and the kernel behind a TAP, on one bridge domain.

#![allow(dead_code, reason = "each test uses its part")]

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use session::broker::{Endpoint, Limits, NetworkKey};
use session::layout::RingSize;
use session::wire::Reply;
use stack::{Addressing, Config, Ipv4Config, Ipv6Config};
use transport::Host;

use crate::lab::{Lab, Namespace, ipv4, ipv6, mac};
use crate::support::{End, PATIENCE, Program, World, finish_connect, receive};

/// The program is station 1, the kernel station 2.
pub(crate) struct Site {
    pub(crate) program: Program,
    pub(crate) world: World,
    pub(crate) host: Host,
    pub(crate) kernel: Namespace,
    pub(crate) lab: Lab,
}

pub(crate) fn site(ring: RingSize) -> Option<Site> {
    make(ring, false).map(|(site, _)| site)
}

/// With a kernel beside the program, whose interface the program's stack serves.
pub(crate) fn site_with_names() -> Option<(Site, Namespace)> {
    let (site, beside) = make(RingSize::DEFAULT, true)?;
    beside.map(|beside| (site, beside))
}

fn make(ring: RingSize, names: bool) -> Option<(Site, Option<Namespace>)> {
    let lab = Lab::new(1500);
    let kernel = Namespace::join(&lab, 2)?;
    let port = lab.port(1);
    let link = lab.engine.attach_stack(port).expect("attaches");
    let beside = if names { Some(Namespace::apart(&lab, 1, port)?) } else { None };
    let (beside, tap) = beside.unzip();
    let addressing = Addressing {
        mac: mac(1),
        ipv4: Some(Ipv4Config { address: ipv4(1), prefix: 24, gateway: Some(ipv4(2)) }),
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
        ring_size: ring,
        limits: Limits::default(),
    });
    let config = Config::new(addressing, 77);
    let broker = world.service.handle();
    let host = Host::start(program.key, config, link, tap, broker).expect("starts");
    world.service.set_stack(program.key, host.network_stack());
    Some((Site { program, world, host, kernel, lab }, beside))
}

impl Site {
    /// A session to the kernel.
    pub(crate) fn connect(&self, to: SocketAddr) -> Result<End, Reply> {
        let near = self.program.start_connect(None, to);
        assert_eq!(receive(&near).expect("an answer").reply, Reply::Pending);
        finish_connect(near)
    }

    pub(crate) fn kernel_listens(&self, at: IpAddr) -> (TcpListener, SocketAddr) {
        let listener = self.kernel.run(move || TcpListener::bind((at, 0)).expect("binds"));
        let address = listener.local_addr().expect("bound");
        (listener, address)
    }

    pub(crate) fn kernel_connects(&self, to: SocketAddr) -> std::io::Result<TcpStream> {
        self.kernel.run(move || TcpStream::connect_timeout(&to, PATIENCE))
    }
}
