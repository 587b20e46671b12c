//! A program with sessions, and a port of the host that is spliced into them.

#![allow(dead_code, reason = "each test uses its part")]

#[path = "../station/mod.rs"]
mod station;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use session::broker::Limits;
use session::layout::RingSize;
use session::wire::{Reply, Reuse};
use transport::Host;
use transport::splice::{Door, OpenDoor};

use self::station::{config, station};
use crate::lab::kernel_stream::patient;
use crate::lab::{Lab, ipv4};
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
    let (world, program, host) = station(&lab, lab.port(1), None, config(None), (ring, limits));
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
