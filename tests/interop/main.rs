//! memif against DPDK's `dpdk-testpmd`, both roles, and vhost-user devices against its front end and QEMU's, on
//! the host and inside Docker containers; and VPP in containers, as a memif client.
//!
//! On the host the other end is `kit::peer`, which numbers its frames and checks every byte of what
//! comes back. In containers both ends are testpmd and the agent's bridge is between them.

mod anchor;
mod clients;
mod containers;
mod counting;
mod exchange;
mod failures;
mod guest;
mod published;
mod spoofing;
mod verified;
mod vhost_user;
mod vpp;

use anyhow::Result;
use kit::lab::Turn;
use kit::need::{Need, met};
use kit::peer::End;
use kit::testpmd::TestpmdOptions;

/// Runs `test` with the machine to itself, if the machine has a testpmd.
fn interop(test: impl FnOnce() -> Result<()>) -> Result<()> {
    if !met(&[Need::Root, Need::Testpmd]) {
        return Ok(());
    }
    let _turn = Turn::take()?;
    test()
}

/// Which end of a link is DPDK's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foreign {
    Client,
    Server,
}

impl Foreign {
    const BOTH: [Self; 2] = [Self::Client, Self::Server];

    fn options(self, socket: &str) -> TestpmdOptions {
        match self {
            Self::Client => TestpmdOptions::client(socket),
            Self::Server => TestpmdOptions::server(socket),
        }
    }

    /// Our end of it.
    fn ours(self) -> End {
        match self {
            Self::Client => End::server(),
            Self::Server => End::client(),
        }
    }
}
