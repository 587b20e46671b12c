//! A program with sessions, and a port of the host that is spliced into them.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use session::broker::{Endpoint, Limits, NetworkKey};
use session::layout::RingSize;
use session::wire::{Reply, Reuse};
use stack::{Addressing, Config, Ipv4Config, Ipv6Config};
use transport::Host;
use transport::splice::{Door, OpenDoor};

use crate::lab::kernel_stream::patient;
use crate::lab::{Lab, ipv4, ipv6, mac};
use crate::support::{Listening, PATIENCE, Program, World};

/// A program, and a door of the host that leads to its port 80.
pub(crate) struct Site {
    pub(crate) door: Option<OpenDoor>,
    pub(crate) at: SocketAddr,
    pub(crate) host: Host,
    pub(crate) program: Program,
    pub(crate) world: World,
    _lab: Lab,
}

/// Who is shown instead of the test, which comes from a loopback address.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);

pub(crate) fn site(ring: RingSize, limits: Limits) -> Site {
    let lab = Lab::new(1500);
    let link = lab.engine.attach_stack(lab.port(1)).expect("attaches");
    let addressing = Addressing {
        mac: mac(1),
        ipv4: Some(Ipv4Config { address: ipv4(1), prefix: 24, gateway: None }),
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
        limits,
    });
    let broker = world.service.handle();
    let host = Host::start(program.key, Config::new(addressing, 77), link, None, broker);
    let host = host.expect("starts");
    world.service.set_stack(program.key, host.network_stack());
    let chosen = TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("bound");
    let socket = TcpListener::bind(chosen).expect("binds again");
    socket.set_nonblocking(true).expect("a socket");
    let door = Door {
        socket: socket.into(),
        inside: (ipv4(1), 80).into(),
        stand_in: Some(GATEWAY.into()),
    };
    let door = host.splicer().expect("there is one").open(door).expect("opens");
    Site { door: Some(door), at: chosen, host, program, world, _lab: lab }
}

impl Site {
    pub(crate) fn listens(&self, backlog: u32) -> Listening {
        let any = (Ipv4Addr::UNSPECIFIED, 80).into();
        let (listening, reply) = self.program.listen_as(any, backlog, Reuse::default(), None, None);
        assert_eq!(reply, Reply::Listening);
        listening
    }

    pub(crate) fn connects(&self) -> TcpStream {
        let stream = TcpStream::connect(self.at).expect("connects");
        patient(&stream, PATIENCE);
        stream
    }

    pub(crate) fn refuses(&self) -> bool {
        TcpStream::connect(self.at).is_err_and(|it| it.kind() == ErrorKind::ConnectionRefused)
    }
}
