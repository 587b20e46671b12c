//! Packet sockets (packet(7)): all frames that arrive at one link of the kernel, and a way to send frames by it.
//!
//! [`PacketSocket`] is bound to one link and sees what arrives there, never what leaves by it. Frames have a
//! virtio-net header in front, as those of a TAP, so segments stay large and checksums undone. A worker owns one
//! [`PacketReader`] for all its sockets, which takes a batch with one `recvmmsg`; it sends by the
//! [`TapWriter`](crate::tap::TapWriter).
//!
//! The kernel takes the outer VLAN tag out of frames that it receives; `unpack` puts it back. A sender whose
//! kernel uses offloads that a virtio-net header cannot name would lose frames: [`limit_offloads`] takes those
//! away from its end of a veth pair.

mod features;
mod reader;
mod socket;
mod unpack;

#[cfg(test)]
mod tests;

pub use features::limit_offloads;
pub use reader::{PacketBurst, PacketReader};
pub use socket::{PacketSocket, PacketSocketError};
