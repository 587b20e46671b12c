//! Packages and plugins, made by the project's own scripts of the programs under test.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use kit::process::run;

fn script(name: &str) -> Result<Command> {
    let binaries = env::var("DOCKERVPP_TEST_BINARIES")
        .context("DOCKERVPP_TEST_BINARIES is not set: run this by scripts/test.sh")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(root.join("scripts").join(name));
    command.args(["--from", &binaries]);
    Ok(command)
}

/// A Debian package of this version, below `output`.
pub(crate) fn package(version: &str, output: &Path) -> Result<PathBuf> {
    run(script("deb.sh")?.args(["--version", version, "--output"]).arg(output))?;
    let found = fs::read_dir(output)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found = found.filter(|path| path.to_string_lossy().contains(version));
    found.next().context("the package was not made")
}

/// The folder that `docker plugin create` takes.
pub(crate) fn plugin(output: &Path) -> Result<()> {
    run(script("plugin.sh")?.arg("--output").arg(output)).map(drop)
}
