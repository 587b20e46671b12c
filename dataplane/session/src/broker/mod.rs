//! The broker: the part of the agent that brings sessions together.
//!
//! * [`mod@core`]: who may bind what, who is connected with whom, what a request leads to.
//!   Pure: no I/O, no clock, no threads.
//! * [`io`]: the thread that receives requests and hands descriptors over.
//!
//! The broker is no part of a session's data path: once it has handed a session to both sides it keeps
//! the memory's descriptor, to give it out again ([`crate::wire::Request::Resume`]) and to show what
//! happens in it, and nothing else. A broker that ends takes no session with it.
//!
//! Programs are hostile until proven otherwise. An endpoint is known by the socket that a request
//! arrives on, never by what the request says; a program reaches listeners of its own network only;
//! nothing that it sends, holds or does not read makes the thread wait.

pub mod core;
pub mod io;

pub use self::core::{
    Counters, Endpoint, EndpointKey, Limits, ListenerId, NetworkKey, Rate, SessionId, Way,
};
pub use self::io::{Attempt, Handle, Joined, ListenAt, NetworkStack, NotAccepted, Told};
pub use self::io::{ListenerView, Options, Service, SessionState, SessionView};
