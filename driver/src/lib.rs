//! The agent: Docker's remote network driver, its state, and the engines behind one trait.
//!
//! Layers, bottom up:
//!
//! * [`model`]: networks and endpoints as values that cannot be wrong.
//! * [`docker`]: Docker's JSON on one side, model values on the other.
//! * [`state`]: what exists and what may happen next, pure.
//! * [`store`]: the state on disk.
//! * [`host`]: what is asked of the kernel, namespaces and links.
//! * [`engine`]: what forwards packets, behind one trait.
//! * [`driver`]: does what was decided; undoes and restores.
//! * [`control`]: the agent's own API and its client.
//! * [`server`]: the sockets that both are served on.
//! * [`commands`]: the verbs of the command line that [`cli`] describes.

pub mod cli;
pub mod commands;
pub mod control;
pub mod docker;
pub mod driver;
pub mod engine;
mod gate;
pub mod host;
pub mod model;
pub mod pcapng;
pub mod server;
pub mod state;
pub mod store;
pub mod table;
