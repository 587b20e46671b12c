//! The architecture as a test: which crate may name which, which modules stay pure, where `unsafe`
//! may stand, how long a file may be, what licences come in.
//!
//! A rule that fails prints its own text. To change the architecture is to change this test.

mod crates;
mod demo;
mod shim;
mod sources;

use std::path::{Path, PathBuf};

/// The workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is below the root").to_owned()
}

/// Fails with the rule's text and everything that breaks it.
fn hold(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "\nthe rule: {rule}\nbroken by:\n  {}\n", broken.join("\n  "));
}
