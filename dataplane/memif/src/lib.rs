#![doc = include_str!("../README.md")]
//! ## Layers, bottom up
//!
//! * [`parameters`], [`text`], [`address`]: sizes, ids, names and places as types that cannot be
//!   wrong.
//! * [`wire`], [`handshake`]: the control protocol as pure state machines, no I/O.
//! * [`memory`]: regions and ring layout in shared memory.
//! * [`queue`]: [`TxQueue`] and [`RxQueue`], the data path.
//! * [`Listener`], [`Client`], [`Link`]: the thin shell that talks to the kernel.

pub mod address;
mod client;
pub mod config;
mod descriptor;
mod error;
pub mod handshake;
mod layout;
mod link;
mod listener;
pub mod memory;
pub mod netns;
pub mod parameters;
pub mod queue;
mod ring;
mod socket;
pub mod text;
#[cfg(feature = "tokio")]
pub mod tokio;
mod wait;
pub mod wire;

pub use address::{Address, AddressError};
pub use client::{Client, ClientEvent, connect};
pub use config::{ClientConfig, InterfaceConfig, ListenerConfig, Reconnect};
pub use error::{AcceptError, ConnectError};
pub use handshake::HandshakeError;
pub use link::{Credentials, DisconnectReason, Link};
pub use listener::{InterfaceExists, Listener, ListenerEvent};
pub use parameters::{BufferSize, InterfaceId, Limits, Mode, RegionPolicy, RingSize, Role};
pub use queue::{RingFault, RxQueue, TxQueue};
pub use text::{Name, Reason, Secret};
pub use wait::{wait_for_frames, wait_readable};
