//! The host layer against the real kernel: namespaces, links and sockets. Needs root; says so and
//! passes without it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;
mod links;
mod sandbox;
