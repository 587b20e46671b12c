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
//! * [`reconcile`]: what Docker no longer has is forgotten.
//! * [`control`]: the agent's own API and its client.
//! * [`metrics`]: the same for Prometheus.
//! * [`server`]: the sockets that both are served on.
//! * [`config`]: the agent's options, from command line, environment and file.
//! * [`commands`]: the verbs of the command line that [`cli`] describes.

pub mod cli;
pub mod commands;
pub mod config;
pub mod control;
pub mod docker;
pub mod driver;
pub mod engine;
mod gate;
pub mod host;
mod logging;
pub mod metrics;
pub mod model;
mod nearest;
pub mod pcapng;
pub mod reconcile;
pub mod server;
pub mod state;
pub mod store;
pub mod table;
