//! Writes the typed messages of `vpp-api-client` from VPP's API definitions (`*.api.json`).
//!
//! [`Definitions::read`] takes the files of a folder, [`select`] what is wanted of them, and [`emit`]
//! makes one Rust module of each `.api` file. Nothing of the definitions' comments is taken over.

pub mod emit;
mod names;
mod parse;
mod schema;
mod select;
mod shape;

pub use parse::ReadError;
pub use schema::{Definitions, Field, File, Header, MessageDef, Role, Shape, TypeDef, TypeKind};
pub use select::{Selection, SelectionError, select, unlike};
