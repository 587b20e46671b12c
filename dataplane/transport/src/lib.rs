//! The `stack` transport: sessions of programs with peers that are no sessions.
//!
//! A container of kind `userspace` has no kernel interface that leads anywhere. A [`Host`] is its endpoint's station on the
//! bridge domain: it owns a [`stack::Stack`] and one thread, takes connects and listeners from the session
//! broker, and moves bytes between a session's rings and the stack's connections, with one copy each way.
//! To the program it is the other side of a session, to the network an ordinary TCP/IP station.
//!
//! * `mailbox`: what the broker asks for, on its way to the thread.
//! * `counted`: what the thread counts, seen from outside.
//! * `listeners`: where the stack listens on behalf of which listeners of programs.
//! * `connection`: what a network stack has to do for a flow.
//! * `flow`: a session and its connection: bytes, ends, and sleeping.
//! * `flows`: those of one thread, and their sleep.
//! * `tokens`: the socket of a session.
//! * `names`: the interface of the container's kernel, which asks name servers.
//! * `datagrams`: sessions of datagrams, with whoever sends or is sent to.
//! * [`splice`]: connections by sockets of the host, for published ports.
//! * `thread`: frames, time, sessions and commands in turn.
//!
//! The program is hostile until proven otherwise: what it writes to its memory ends its own session at
//! most, and what it does to its sockets holds up nobody but this thread, which is its endpoint's alone.
//!
//! Connections end with the agent: the stack of a restarted agent answers them with a reset.

#![forbid(unsafe_code)]

mod connection;
mod counted;
mod datagrams;
mod flow;
mod flows;
mod host;
mod listeners;
mod mailbox;
mod names;
mod refusal;
pub mod splice;
mod thread;
mod tokens;
pub mod vcl;

pub use counted::HostCounters;
pub use host::Host;
