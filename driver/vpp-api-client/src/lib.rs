#![doc = include_str!("../README.md")]

mod api_error;
mod call;
mod client;
mod connect;
mod definition;
mod error;
mod events;
mod frame;
mod handshake;
mod link;
mod mac;
mod options;
mod pending;
mod table;

pub mod api;
pub mod message;
pub mod stats;
pub mod wire;

pub use api_error::ApiError;
pub use client::Client;
pub use error::{Error, Loss};
pub use events::Events;
pub use frame::FrameError;
pub use mac::{MacAddress, MacError};
pub use message::{Dump, Event, Get, GetReply, Header, Identity, Message, Reply, Request};
pub use options::Options;
pub use table::Mismatch;
pub use wire::{FixedString, TextError};
