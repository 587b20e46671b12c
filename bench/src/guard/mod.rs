//! The regression guard: instructions of the hot paths at two commits. Instructions are counted, not time:
//! on a busy machine the count is the same.

mod callgrind;
mod checkout;
mod table;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use callgrind::{Cost, Workload};
use checkout::Checkout;
pub(crate) use table::Table;

/// Counts both commits. `Ok(None)` with words when there is nothing to compare.
///
/// # Errors
/// When a commit does not build or a workload does not run.
pub(crate) fn compare(base: &str, head: &str, allowed: f64) -> Result<Outcome> {
    if !callgrind::is_there() {
        let why = "valgrind is not here (`scripts/setup.sh test` brings it)";
        return Ok(Outcome::Nothing(why.to_owned()));
    }
    let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let target = target_folder(repository)?;
    let mut counted = Vec::new();
    for revision in [base, head] {
        // Checked out only when the other is built: cargo tells what to build again by the age of files,
        // and both commits are built in one folder.
        let checkout = match Checkout::of(repository, &target, revision)? {
            Ok(checkout) => checkout,
            Err(why) => return Ok(Outcome::Nothing(why)),
        };
        let Some(program) = checkout.build()? else {
            let why = format!("{} has no hot-paths to count", checkout.commit());
            return Ok(Outcome::Nothing(why));
        };
        counted.push(costs(&program)?);
    }
    Ok(Outcome::Compared(Table::of(&counted[0], &counted[1], allowed)))
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    Compared(Table),
    /// There is nothing to compare, and why.
    Nothing(String),
}

fn costs(program: &Path) -> Result<Vec<(Workload, Cost)>> {
    let all = callgrind::workloads(program)?;
    all.into_iter().map(|it| Ok((it.clone(), callgrind::cost(program, &it)?))).collect()
}

/// Where cargo builds for this repository.
fn target_folder(repository: &Path) -> Result<std::path::PathBuf> {
    let mut command = Command::new(cargo());
    command.args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    let text = kit::process::run(command.current_dir(repository))?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let folder = metadata["target_directory"].as_str().context("cargo has a target directory")?;
    Ok(Path::new(folder).join("guard"))
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
