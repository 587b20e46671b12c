//! The same program over the kernel's TCP and over sessions: call by call the same answers.
//!
//! Both runs are in the same two containers on the same network of the default kind; all that differs is
//! `LD_PRELOAD`. What may differ stands in `differences`, each with its reason. `across` has one side only with sessions,
//! and the kernel's TCP at the other.
//!
//! While working on one case, run it alone: `CONFORMANCE_CASES=half_close,linger cargo test …`. The records of the
//! last run are `target/tmp/conformance-{kernel,sessions}.txt`.

mod across;
mod compare;
mod differences;
mod record;

use std::path::Path;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use kit::lab::{Lab, docker_test};
use kit::{Container, Image};

use compare::compare;
use differences::{ACROSS, DIFFERENCES, LEFT_OUT};
use record::{Over, Record, Side, Stage};

/// The network of both runs.
const NETWORK: &[&str] = &["--ipv6", "--subnet", "10.97.0.0/24", "--subnet", "fd97::/64"];

/// Names of cases, separated by commas; all others are left out.
const ONLY: &str = "CONFORMANCE_CASES";

/// Bytes that a container's kernel interface sent.
fn sent_by_kernel(container: &Container) -> Result<u64> {
    let text = container.exec_ok(&["cat", "/sys/class/net/eth0/statistics/tx_bytes"])?;
    text.trim().parse().context("the kernel counts in numbers")
}

/// Keeps a record where people find it.
fn keep(name: &str, record: &Record) -> Result<()> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conformance-{name}.txt"));
    fs::write(&path, record.to_string()).with_context(|| path.display().to_string())
}

/// A run's record, and how much the kernel's interfaces sent meanwhile.
fn run(stage: &Stage<'_>, name: &str, wanted: &[String]) -> Result<(Record, u64)> {
    let sent =
        || anyhow::Ok(sent_by_kernel(stage.one.container)? + sent_by_kernel(stage.two.container)?);
    let before = sent()?;
    let record = stage.run(wanted)?;
    keep(name, &record)?;
    Ok((record, sent()? - before))
}

/// The cases that the environment names.
fn wanted() -> Vec<String> {
    let only = env::var(ONLY).unwrap_or_default();
    only.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

fn conform(lab: &Lab) -> Result<()> {
    let wanted = wanted();
    let network = lab.network(NETWORK)?;
    let image = Image::conformance()?;
    let (one, two) = (Container::idle(&image, &network)?, Container::idle(&image, &network)?);
    one.pings(two.address(&network)?, record::PATIENCE)?;
    one.exec_ok(&["ping", "-6", "-c", "1", &two.address6(&network)?.to_string()])?;
    let stage = |over| {
        let [one, two] = [&one, &two].map(|container| Side { container, over });
        Stage { network: &network, one, two }
    };
    let (kernel, by_kernel) = run(&stage(Over::Kernel), "kernel", &wanted)?;
    let (sessions, past_kernel) = run(&stage(Over::Sessions), "sessions", &wanted)?;
    let differences: Vec<_> = DIFFERENCES.iter().collect();
    let found = compare(&kernel, &sessions, &differences);
    eprintln!(
        "{} cases, {} lines alike; the kernel sent {by_kernel} bytes, with sessions {past_kernel}",
        kernel.order.len(),
        found.alike
    );
    ensure!(found.count == 0, "{} lines differ:\n{}", found.count, found.unexpected);
    if wanted.is_empty() {
        // Most of the bytes of the first run are those of streams.
        ensure!(past_kernel < by_kernel / 2, "the sessions went through the kernel: {past_kernel}");
        for (difference, met) in DIFFERENCES.iter().zip(found.met) {
            ensure!(met, "no longer a difference: {}", difference.what);
        }
    }
    Ok(())
}

#[test]
fn sessions_answer_as_the_kernel_does() {
    docker_test(&[], |lab| conform(lab));
}

#[test]
fn differences_are_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/shim.md");
    let text = fs::read_to_string(&path).expect("docs/shim.md is there");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let differences = DIFFERENCES.iter().chain(ACROSS).map(|it| it.what);
    for what in differences.chain(LEFT_OUT.iter().map(|it| it.what)) {
        assert!(text.contains(what), "docs/shim.md lacks: {what}");
    }
}
