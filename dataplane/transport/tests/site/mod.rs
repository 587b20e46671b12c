//! A program with sessions behind a stack, and the kernel behind a TAP, on one bridge domain.

#![allow(dead_code, reason = "each test uses its part")]

#[path = "../station/mod.rs"]
mod station;

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use session::broker::Limits;
use session::layout::RingSize;
use session::wire::Reply;
use stack::Config;
use transport::Host;

use self::station::{config, station};
use crate::lab::{Lab, Namespace, ipv4};
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
    site_with(ring, |_| {})
}

/// With a program's stack of another configuration.
pub(crate) fn site_with(ring: RingSize, change: impl FnOnce(&mut Config)) -> Option<Site> {
    make(ring, false, change).map(|(site, _)| site)
}

/// With a kernel beside the program, whose interface the program's stack serves.
pub(crate) fn site_with_names() -> Option<(Site, Namespace)> {
    let (site, beside) = make(RingSize::DEFAULT, true, |_| {})?;
    beside.map(|beside| (site, beside))
}

fn make(
    ring: RingSize,
    names: bool,
    change: impl FnOnce(&mut Config),
) -> Option<(Site, Option<Namespace>)> {
    let lab = Lab::new(1500);
    let kernel = Namespace::join(&lab, 2)?;
    let port = lab.port(1);
    let beside = if names { Some(Namespace::apart(&lab, 1, port)?) } else { None };
    let (beside, tap) = beside.unzip();
    let limits = (ring, Limits::default());
    let mut config = config(Some(ipv4(2)));
    change(&mut config);
    let (world, program, host) = station(&lab, port, tap, config, limits);
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
