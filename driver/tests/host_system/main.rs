//! The host layer and the embedded engine against the real kernel. Needs root; says so and
//! passes without it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod engine;
mod fixture;
mod links;
mod outside;
mod sandbox;
mod vxlan;
