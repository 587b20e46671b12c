//! Sessions: sockets whose bytes move through shared memory.
//!
//! A session is a pair of connected unix sockets with a bypass. Each program holds one socket as its
//! file descriptor, so that everything that the kernel does with descriptors (inheriting, passing,
//! closing at death) works; both map one sealed memory with a byte ring for each direction, and the
//! bytes go through that. The sockets carry one-byte tokens, and only to wake a side that sleeps.
//!
//! * [`layout`]: where things are in the shared memory.
//! * [`Stream`]: one side of a session: reading, writing, and the wake-up protocol.
//! * [`Local`]: what a side keeps to itself, because the peer may write anything to shared memory.
//! * [`datagram`]: records with a length, for protocols that keep message boundaries.
//! * [`wire`]: the messages between programs and the broker in the agent.
//! * `broker` (feature `broker`): that broker.
//!
//! # Wake-up protocol
//!
//! *Reader*: before it sleeps it [arms](Stream::arm_reader) and looks at the ring once more. A writer
//! that [publishes](Stream::write) to an armed reader disarms it and sends one token; the reader's
//! socket becomes readable.
//!
//! *Writer*: with a full ring, or one that is full enough for `poll` to wait ([`Room`]), it
//! [arms](Stream::arm_writer), sends [`FILL_TOKENS`] tokens, which make its own socket unwritable, and
//! sleeps unless the reader made room meanwhile ([`Stream::note_filled`]). The tokens also make the
//! peer's socket readable, which is the truth: its ring has bytes. A reader that makes ample room
//! disarms the writer and drains the tokens, and the kernel reports the writer's socket as writable.
//!
//! So both kinds of sleep can be a plain `poll`, `epoll_wait` or blocking call on the socket, no side
//! ever waits for a thread of a third party, and a peer that dies shows as the kernel's own hang-up.
//!
//! Without the feature `broker` this crate has no I/O and no threads, and works without the standard library. Its only
//! clock is the processor's counter, by which [`Stream::write`] compares two ways of copying.

#![cfg_attr(not(any(test, loom, feature = "broker")), no_std)]

#[cfg(feature = "broker")]
pub mod broker;
mod copying;
pub mod datagram;
pub mod layout;
mod local;
mod sides;
mod stream;
#[cfg(test)]
mod tests;
mod wake;
pub mod wire;

pub use local::Local;
pub use stream::{Broken, Closed, FILL_TOKENS, Moved, Stream};
pub use wake::Room;
