//! The agent: Docker's remote network driver, its state, and the engines behind one trait.

pub mod engine;
pub mod host;
pub mod model;
