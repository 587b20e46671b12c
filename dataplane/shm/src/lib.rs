//! The only door to memory that another process maps too.
//!
//! The other process may be hostile: it can change any byte at any time. So nothing in here hands
//! out a reference to shared bytes. Memory is reached through checked copies ([`Mapping`]), through
//! single atomic words ([`SharedU16`], [`SharedU32`]) and through 16-byte cells that are loaded once
//! into a private value ([`Cells`]). A value read from shared memory is the peer's claim; whoever
//! reads it checks the copy and uses only the copy.
//!
//! All `unsafe` of the ring code is in this crate:
//!
//! * `mapping`: owning a mapping, bounds-checked copies.
//! * `word`: atomics and cells at fixed places of a mapping.
//! * `socket` (feature `std`): what the kernel copies between a mapping and a socket.
//! * `copy`: the copy loops; [`Payload`]: what can be copied in.
//! * [`cycles`](fn@cycles): how long a copy takes.
//! * [`memfd`]: creating sealed memory, and judging memory that a peer sent.
//! * `fault` (feature `std`): surviving `SIGBUS` when a peer takes pages away.
//! * [`signal`]: the publish/arm protocol between a sender and a receiver that may sleep, pure and
//!   model-checked with loom.
//!
//! What the language guarantees about memory that a foreign process writes is unsettled; the stance
//! here is that of the virtual machine monitors: atomics for words that synchronise, raw-pointer
//! copies for payload. A racing peer can make payload bytes arbitrary, never make a reference,
//! length or index wrong.

#![cfg_attr(not(any(feature = "std", test, loom)), no_std)]

extern crate alloc;
#[cfg(any(feature = "std", test, loom))]
extern crate std;

mod copy;
mod cycles;
#[cfg(feature = "std")]
pub mod fault;
mod mapping;
pub mod memfd;
mod payload;
pub mod signal;
#[cfg(feature = "std")]
mod socket;
mod word;

pub use cycles::cycles;
pub use mapping::{Mapping, OutOfBounds};
pub use payload::Payload;
pub use word::{Cells, SharedU16, SharedU32};
