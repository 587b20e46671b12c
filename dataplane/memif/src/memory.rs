//! Regions and ring layout in shared memory: what the client makes and what the server maps.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::parameters::{BufferSize, Limits, RegionPolicy, RingSize, SharedSpec};
use crate::queue::{LinkState, RxQueue, TxQueue};

/// What a client wants in its region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLayout {
    /// Rings from client to server, at least 1.
    pub client_to_server: u16,
    /// Rings from server to client, at least 1.
    pub server_to_client: u16,
    /// Slots of each ring.
    pub ring_size: RingSize,
    /// Capacity of each buffer.
    pub buffer_size: BufferSize,
}

/// Why shared memory was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// The queues of one link, ready for traffic.
#[derive(Debug)]
pub struct Queues {
    /// To the peer.
    pub tx: Vec<TxQueue>,
    /// From the peer.
    pub rx: Vec<RxQueue>,
    /// Shared by all of them: closing it makes every later call return `Disconnected`.
    pub state: Arc<LinkState>,
}

/// A client's own region, rings and eventfds, before the server answered.
#[derive(Debug)]
pub struct ClientMemory {
    _private: (),
}

#[allow(clippy::unused_self, unused_variables, clippy::needless_pass_by_value)]
impl ClientMemory {
    /// Allocates one sealed region with all rings and buffers, and one eventfd for each ring.
    pub fn create(layout: ClientLayout) -> Result<Self, RegionError> {
        todo!()
    }

    /// Duplicates of the descriptors, to be sent to the server.
    pub fn share(&self) -> Result<SharedSpec<OwnedFd>, RegionError> {
        todo!()
    }

    /// The queues; call when CONNECTED arrived, not before: servers zero the indices on CONNECT.
    pub fn into_queues(self) -> Result<Queues, RegionError> {
        todo!()
    }
}

/// Maps what a client announced and makes the server's queues of it. Nothing is published before
/// the caller sends CONNECTED.
#[allow(unused_variables, clippy::needless_pass_by_value)]
pub fn server_queues(
    shared: SharedSpec<OwnedFd>,
    policy: RegionPolicy,
    limits: &Limits,
) -> Result<Queues, RegionError> {
    todo!()
}
