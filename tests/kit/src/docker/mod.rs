//! The `docker` command, and containers and networks that remove themselves.

mod api;
mod container;
mod network;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process::run;

pub use api::post;
pub use container::{Container, Exec, RunOptions};
pub use network::Network;

/// Longest wait for Docker to do what it was asked; covers its 15 s of patience with a dead driver.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Runs `docker` and returns what it printed.
///
/// # Errors
/// With Docker's own words.
pub fn docker(arguments: &[&str]) -> Result<String> {
    run(Command::new("docker").args(arguments))
}

/// The parsed `docker inspect` of one object of `kind` (`container`, `network`).
pub fn inspect(kind: &str, name: &str) -> Result<Value> {
    let text = docker(&[kind, "inspect", name])?;
    let list: Value = serde_json::from_str(&text).context("docker inspect prints JSON")?;
    Ok(list[0].clone())
}
