//! Stream sockets under load: a server and a client with any number of connections, each one thread that
//! waits with epoll. Only calls of the C library, so that a preload library sees them.

mod client;
mod serving;
mod socket;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(super) use client::load;
pub(super) use serving::serve;

/// Descriptors of one connection: a session has a socket and, at times, its memory.
const EACH: u64 = 4;
/// Descriptors of everything else.
const OTHERS: u64 = 64;

/// Sees to it that this process may have so many connections.
fn room_for(connections: u32) -> Result<()> {
    let needed = u64::from(connections) * EACH + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|it| it >= needed) {
        return Ok(());
    }
    ensure!(
        limit.maximum.is_none_or(|it| it >= needed),
        "{connections} connections take {needed} descriptors, and no more than {:?} are allowed: \
         raise the limit (`ulimit -Hn`) of the daemon that starts this",
        limit.maximum
    );
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), ..limit })
        .context("cannot raise the limit of descriptors")
}
