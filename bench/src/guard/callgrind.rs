//! Counting instructions under valgrind's callgrind.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use kit::process::run;

/// A workload of `hot-paths`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) version: u32,
    /// Operations of one iteration.
    pub(super) operations: u32,
}

/// Instructions of one operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost(pub(super) f64);

/// A program is run with these numbers of iterations; what both have in common, its start above all,
/// falls out of the difference.
const FEW: u32 = 50;
const MANY: u32 = 150;

/// Whether valgrind runs here.
pub(super) fn is_there() -> bool {
    run(Command::new("valgrind").arg("--version")).is_ok()
}

/// What a program can do.
pub(super) fn workloads(program: &Path) -> Result<Vec<Workload>> {
    let text = run(Command::new(program).arg("list"))?;
    text.lines()
        .map(|line| workload(line).with_context(|| format!("not a workload: {line}")))
        .collect()
}

fn workload(line: &str) -> Option<Workload> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_owned();
    let mut number = || words.next()?.parse().ok();
    Some(Workload { name, version: number()?, operations: number()? })
}

/// Counts one workload.
pub(super) fn cost(program: &Path, workload: &Workload) -> Result<Cost> {
    let count = |iterations| instructions(program, &workload.name, iterations);
    let (few, many) = (count(FEW)?, count(MANY)?);
    ensure!(many > few, "{}: {few} instructions, then {many}: nothing was done", workload.name);
    let operations = f64::from((MANY - FEW) * workload.operations);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok(Cost((many - few) as f64 / operations))
}

fn instructions(program: &Path, name: &str, iterations: u32) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("counts");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]);
    command.arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(program).args([name, &iterations.to_string()]);
    run(&mut command)?;
    let text = fs::read_to_string(&file).context("callgrind writes its counts")?;
    total(&text).with_context(|| format!("callgrind counted nothing for {name}"))
}

/// The total of a callgrind file (valgrind's manual, "Callgrind Format Specification").
fn total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")));
    line?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_counts_are_read() {
        let ring = Workload { name: "ring".to_owned(), version: 2, operations: 32 };
        assert_eq!(workload("ring 2 32"), Some(ring));
        assert_eq!(workload("ring 2"), None);
        assert_eq!(workload(""), None);
        assert_eq!(total("events: Ir\nsummary: 12345\n\n"), Some(12345));
        assert_eq!(total("events: Ir\nfn=(1)\n1 2\ntotals: 77\n"), Some(77));
        assert_eq!(total("events: Ir\n"), None);
    }
}
