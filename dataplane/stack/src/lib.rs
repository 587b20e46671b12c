//! TCP, UDP and ICMP of one endpoint, as an ordinary station of its bridge domain.
//!
//! A [`Stack`] has an Ethernet address, an IPv4 and an IPv6 address. It resolves its neighbours, answers
//! ARP, neighbour discovery and ping, and offers connections, listeners and UDP sockets to its owner,
//! who joins them to whatever the program at the other end uses.
//!
//! It holds no thread, clock or descriptor. Frames come in through [`Stack::receive`]; everything that
//! is due goes out in [`Stack::poll`], through a [`Link`]; the time is a parameter of both. So one turn
//! of its owner is: receive what waits, see to [`Stack::next_event`], poll, sleep until what poll
//! answered.
//!
//! TCP itself is smoltcp's. Around it:
//!
//! * Each connection is a smoltcp interface with one socket, found by its addresses and ports: the work
//!   for a packet does not depend on the number of connections.
//! * Listeners have a backlog; a connection that nobody waits for is refused. Half-open connections are
//!   bounded, and the oldest gives way, so a flood of SYNs does not keep others out.
//! * Connections that are over rest in a table of tuples, without their buffers.
//! * Segments of up to 64 KiB leave with the segment size and an open checksum beside them, as from a
//!   network card's driver, and are cut at the edge if they have to be.
//! * Each neighbour may have a bounded number of frames on the way: one that does not read stops the
//!   connections to itself, not others, and nothing is lost (smoltcp would wait a second).
//!
//! * Packets that are longer than the network takes, or the way to their destination as routers tell it, go in
//!   fragments, and those of others are put together, within bounds of memory and time. (Only UDP and ping make
//!   such packets.)
//!
//! * The container's kernel may ask name servers through the stack ([`Stack::receive_from_kernel`]), and nobody else.
//!
//! Not supported: IPv6 extension headers that need an action, multicast groups other than those that
//! neighbour discovery uses; nobody is told that fragments of a packet were missing (ICMP "time exceeded").

#![forbid(unsafe_code)]

mod clock;
mod config;
mod counters;
mod environment;
mod error;
mod event;
mod fragment;
mod headers;
mod icmp;
mod link;
mod names;
mod neighbour;
mod packet;
mod path;
mod resolve;
mod routers;
mod sent;
mod stack;
mod tcp;
mod timers;
mod udp;

pub use config::{Addressing, Config, Ipv4Config, Ipv6Config};
pub use counters::Counters;
pub use error::{SendError, StackError};
pub use event::{Event, Ready};
pub use link::Link;
pub use names::{KernelFrame, NameCounters};
pub use stack::{Next, Stack};
pub use tcp::{ConnectionId, ListenerId};
pub use udp::{Received, UdpId};
