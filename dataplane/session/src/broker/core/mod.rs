//! What the broker decides. Pure.
//!
//! * `key`: names.
//! * `ports`: who listens where.
//! * `tuples`: who is connected from where.
//! * `rate`: sessions in a second.
//! * `endpoint`: an endpoint, its limits and its counters.
//! * `broker`: endpoints, and where a request leads.
//! * `registry`: the sessions there are.
//! * `waiting`: connects that wait for room in a backlog.
//!
//! Descriptors are values here: registry and waiting list are generic in what they keep for their
//! owner, and listeners are names.

pub mod broker;
pub mod endpoint;
pub mod key;
pub mod ports;
pub mod rate;
pub mod registry;
#[cfg(test)]
mod tests;
pub mod tuples;
pub mod waiting;

pub use self::broker::{Ask, Broker, Grant, Verdict, Way};
pub use self::endpoint::{Counters, Endpoint, Limits};
pub use self::key::{EndpointKey, ListenerId, NetworkKey, SessionId};
pub use self::ports::{Binding, Local, Room};
pub use self::rate::Rate;
