//! memif, the shared-memory packet interface of FD.io VPP, DPDK and libmemif: both roles.
//!
//! Layers, bottom up:
//!
//! * [`parameters`]: sizes, ids and limits as types that cannot be wrong.
//! * `wire`, `handshake`: the control protocol as pure state machines, no I/O.
//! * [`memory`]: regions and ring layout in shared memory.
//! * [`queue`]: [`TxQueue`] and [`RxQueue`], the data path.
//! * `socket`, `listener`, `client`, `link`: the thin shell that talks to the kernel.

mod descriptor;
pub mod handshake;
mod layout;
pub mod memory;
pub mod parameters;
pub mod queue;
mod ring;
pub mod text;
pub mod wire;

pub use parameters::{BufferSize, Mode, RegionPolicy, RingSize, Role};
pub use queue::{RingFault, RxQueue, TxQueue};
