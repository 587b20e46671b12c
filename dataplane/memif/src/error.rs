//! Why a link did not come up, as the server and as the client see it.

use std::io;

use crate::address::Address;
use crate::handshake::HandshakeError;
use crate::memory::RegionError;

/// Why a server did not take a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The control socket failed.
    #[error("control socket: {0}")]
    Io(#[from] io::Error),
    /// The client broke the protocol, asked for what there is not, or left.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The client's memory is not usable.
    #[error(transparent)]
    Memory(#[from] RegionError),
    /// Too many handshakes are under way, altogether or by this user.
    #[error("{pending} handshakes are under way, no more are taken")]
    Crowded {
        /// How many are.
        pending: usize,
    },
}

/// Why a client got no link.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody listens there.
    #[error("cannot connect to {address}: {source}; is the server running?")]
    Unreachable {
        /// Where.
        address: Address,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The control socket failed.
    #[error("control socket: {0}")]
    Io(#[from] io::Error),
    /// The server refused, broke the protocol or left.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// This end's memory could not be made.
    #[error(transparent)]
    Memory(#[from] RegionError),
}
