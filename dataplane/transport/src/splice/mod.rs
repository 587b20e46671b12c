//! Published ports by sockets of the host: what comes there is spliced into sessions.
//!
//! A [`Door`] is a socket that is bound to a port of the host, and leads to a port of the endpoint. It listens
//! exactly while a program listens there and the address is the stack's, so that the host's kernel refuses
//! connections as the endpoint would. One thread for each endpoint that has doors accepts, has the broker make
//! a session, and copies between the two; to the program it is the same as a connection by the stack.
//!
//! * `table`: which doors listen. Pure.
//! * `doors`: the doors of an endpoint, and what the broker tells of listeners.
//! * `listening`: a socket that listens and rests, and keeps its port all the while.
//! * `shown`: whom the program sees. Pure.
//! * `sockets`: connections of the host's kernel, as flows see them.
//! * `thread`: connections, sessions and commands in turn.
//!
//! The socket of a connection never leaves the agent: with it a program could reach whatever the host reaches.

mod doors;
mod listening;
mod shown;
mod sockets;
mod table;
mod thread;

pub use self::doors::{Door, OpenDoor, Splicer};
pub(crate) use self::doors::{Doors, Fork};
