//! The back end of vhost-user network devices: what QEMU's and DPDK's virtio-net front ends talk to.
//!
//! A front end (a virtual machine's QEMU, DPDK's `net_virtio_user`) connects to a unix socket, hands over
//! descriptors of its memory and says where in it the rings are. From then on frames move through the
//! rings alone. Bottom up:
//!
//! * `features`: what is offered and what was agreed on, pure.
//! * `memory`: the front end's memory, and its addresses translated into it.
//! * `ring`, `chain`: a split ring (virtio 1.2, section 2.7) at its checked places; its descriptors.
//! * [`RxQueue`], [`TxQueue`]: frames from and to the front end.
//! * `device`: what the front end said so far, and the queues that follow from it.
//! * [`server`] (feature `server`): the protocol on the socket, a thread for each device.
//!
//! The front end is hostile: its memory can change at any time. Descriptors, indices and lengths are read
//! once and checked as private copies; a rule that is broken is a [`QueueFault`], which ends the
//! connection and nothing else. Memory that is taken away is survived with the handler of `shm::fault`,
//! which the process must have installed.
//!
//! The protocol's messages are those of the crate `vhost`. The rings are not those of `virtio-queue`, which
//! publishes each used buffer by itself: a frame in several merged buffers must be published whole, or a
//! front end that polls takes the first ones without the rest and drops the frame. Packed rings are not offered.

#![cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "without the protocol nobody can set up a ring")
)]

mod bell;
mod chain;
mod device;
mod features;
mod memory;
mod receive;
mod ring;
#[cfg(feature = "server")]
pub mod server;
mod state;
#[cfg(test)]
mod tests;
mod transmit;

pub use device::{DeviceConfig, Queues};
pub use features::Features;
pub use memory::{MemoryError, MemoryTable, RegionSpec};
pub use receive::{Frame, Frames, RxBatch, RxQueue};
pub use ring::{RingAddresses, RingError};
pub use state::{LinkState, QueueFault};
pub use transmit::{TxError, TxQueue};

/// Length of the header in front of each frame, in bytes: `struct virtio_net_hdr_mrg_rxbuf`. Old drivers
/// that did not agree on anything newer use its first ten.
pub const HEADER_LEN: usize = 12;

/// The longest frame, in bytes: Ethernet with a VLAN tag, and an IP packet of 64 KiB that is still to be cut.
pub const MAX_FRAME: usize = 18 + 65_536;
