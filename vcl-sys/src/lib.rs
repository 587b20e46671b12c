#![doc = include_str!("../README.md")]
//! ## Modules
//!
//! * [`abi`], [`Symbols`]: libvppcom as it is.
//! * [`Release`], [`search`], [`Library`]: which one is loaded.
//! * `calls`: the functions with their rules, the only place that calls them; `unsafe` ends here.
//! * [`App`], [`Worker`], [`Session`], [`Epoll`], [`CertKey`]: the safe layer.

pub mod abi;
mod attribute;
mod calls;
mod cert_key;
mod config;
mod epoll;
mod error;
mod library;
mod protocol;
mod release;
pub mod search;
mod session;
mod symbols;
mod worker;

pub use attribute::Attribute;
pub use cert_key::CertKey;
pub use config::Config;
pub use epoll::{Epoll, Event, Events, Ready};
pub use error::{AttachError, CallError, ErrorKind, LoadError, Mismatch};
pub use library::Library;
pub use protocol::Protocol;
pub use release::{LIBRARY_STEM, Release};
pub use session::Session;
pub use symbols::Symbols;
pub use worker::{App, Worker};
