//! The programs of this workspace: taken from `DOCKERVPP_TEST_BINARIES`, or built when a test first
//! asks.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};

/// The agent and command line, `dockervpp`.
pub fn agent() -> Result<PathBuf> {
    program("dockervpp")
}

/// One of the examples of `memif-rs`.
pub fn example(name: &str) -> Result<PathBuf> {
    program(&format!("examples/{name}"))
}

/// The kit's own small program for the inside of containers.
pub fn netprobe() -> Result<PathBuf> {
    program("netprobe")
}

/// The kit's own station that speaks TCP and UDP over memif.
pub fn memif_station() -> Result<PathBuf> {
    program("memif-station")
}

/// The kit's own name server.
pub fn name_server() -> Result<PathBuf> {
    program("name-server")
}

/// The program of the conformance suite.
pub fn conformance() -> Result<PathBuf> {
    program("conformance")
}

/// The preload library: `DOCKERVPP_TEST_SHIM`, or what `scripts/shim.sh` builds.
pub fn shim() -> Result<PathBuf> {
    static SHIM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = SHIM.get_or_init(|| match env::var_os("DOCKERVPP_TEST_SHIM") {
        Some(path) => Ok(path.into()),
        None => build_shim().map_err(|error| format!("{error:#}")),
    });
    made.clone().map_err(|error| anyhow::anyhow!("{error}"))
}

fn build_shim() -> Result<PathBuf> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).canonicalize()?;
    let status = Command::new(root.join("scripts/shim.sh")).status()?;
    ensure!(status.success(), "the preload library does not build");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("shim/libvcl_shim.so"))
}

fn program(name: &str) -> Result<PathBuf> {
    let path = folder()?.join(name);
    ensure!(path.is_file(), "{} was not built", path.display());
    Ok(path)
}

/// The folder with the built programs, `target/debug` as a rule.
fn folder() -> Result<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = FOLDER.get_or_init(|| match env::var_os("DOCKERVPP_TEST_BINARIES") {
        Some(folder) => Ok(folder.into()),
        None => beside().map_or_else(build, Ok).map_err(|error| format!("{error:#}")),
    });
    made.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// The folder of the running program, when that is no test: its neighbours were built with it.
fn beside() -> Option<PathBuf> {
    let folder = env::current_exe().ok()?.parent()?.to_owned();
    (!folder.ends_with("deps")).then_some(folder)
}

/// Builds what is not up to date, with the profile of this test.
fn build() -> Result<PathBuf> {
    let test = env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("tests run from target/*/deps")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--workspace", "--bins", "--examples", "--quiet"]);
    if folder.ends_with("release") {
        command.arg("--release");
    }
    let status = command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).status()?;
    ensure!(status.success(), "the programs under test do not build");
    Ok(folder.to_owned())
}
