//! The suite on itself: what is injected into a subject has to appear in the figures, and an interrupted
//! session is taken up. Nothing here depends on how fast the machine is: counts are exact, and a delay is
//! held against what it is at least.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs the program; what it says when it fails is the test's message.
fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dockervpp-bench")).args(arguments).output().unwrap()
}

fn run(names: &[&str], out: &Path, rounds: &str) -> Value {
    let out_text = out.to_str().unwrap();
    let mut arguments = vec!["run"];
    arguments.extend(names);
    arguments.extend(["--no-wait", "--runs", rounds, "--seconds", "0.3", "--warm-up", "0.05"]);
    arguments.extend(["--out", out_text]);
    let output = bench(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&std::fs::read_to_string(out.join("result.json")).unwrap()).unwrap()
}

fn two_cpus() -> bool {
    std::thread::available_parallelism().is_ok_and(|it| it.get() >= 2)
}

fn contestant<'a>(result: &'a Value, benchmark: &str, name: &str) -> &'a Value {
    let benchmarks = result["benchmarks"].as_array().unwrap();
    let benchmark = benchmarks.iter().find(|it| it["name"] == benchmark).unwrap();
    let contestants = benchmark["contestants"].as_array().unwrap();
    contestants.iter().find(|it| it["name"].as_str().unwrap().contains(name)).unwrap()
}

#[test]
fn an_injected_loss_is_the_loss_that_is_shown() {
    if !two_cpus() {
        eprintln!("skipped: needs two CPUs");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let result = run(&["self-test-loss"], folder.path(), "1");
    let lost = |name| {
        contestant(&result, "self-test-loss", name)["details"]["% lost"]["median"].as_f64().unwrap()
    };
    // Each hundredth of a few thousand frames: exact but for the last hundred.
    assert!((0.9..=1.0).contains(&lost("missing")), "{}", lost("missing"));
    assert!(lost("as it is") == 0.0, "{}", lost("as it is"));
}

#[test]
fn an_injected_delay_is_part_of_every_latency() {
    if !two_cpus() {
        eprintln!("skipped: needs two CPUs");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let result = run(&["self-test-delay", "self-test-delay-paced"], folder.path(), "1");
    for benchmark in ["self-test-delay", "self-test-delay-paced"] {
        let delayed = contestant(&result, benchmark, "late")["summary"]["median"].as_f64().unwrap();
        // Two digits of a histogram are right within one in a hundred.
        assert!(delayed >= 49.5, "{benchmark}: {delayed} µs");
    }
}

#[test]
fn a_session_goes_on_where_it_stopped_and_another_is_refused() {
    if !two_cpus() {
        eprintln!("skipped: needs two CPUs");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let names = ["self-test-delay"];
    let mut result = run(&names, folder.path(), "2");
    // As if it had been interrupted in the middle of the second round.
    let benchmark = &mut result["benchmarks"][0];
    benchmark["complete"] = false.into();
    benchmark["contestants"][1]["samples"].as_array_mut().unwrap().truncate(1);
    let first = benchmark["contestants"][0]["samples"][0].clone();
    std::fs::write(folder.path().join("result.json"), result.to_string()).unwrap();
    let result = run(&names, folder.path(), "2");
    let contestants = result["benchmarks"][0]["contestants"].as_array().unwrap();
    assert_eq!(contestants[0]["samples"][0], first, "what was measured is kept");
    for contestant in contestants {
        assert_eq!(contestant["samples"].as_array().unwrap().len(), 2, "what was missing is run");
        assert_eq!(contestant["samples"][1]["round"], 2);
    }
    let out = folder.path().to_str().unwrap();
    let output = bench(&["run", "self-test-delay", "--no-wait", "--runs", "3", "--out", out]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("result of another session"), "{said}");
}

#[test]
fn old_results_give_a_page_with_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/results/2026-11-24-epyc-2cpu.json");
    let out = folder.path().to_str().unwrap();
    let output = bench(&["report", kept, "--out", out]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("memif-one-way-64") && page.contains("<svg"));
    assert!(folder.path().join("pictures/memif-one-way-64.svg").is_file());
    let output = bench(&["compare", kept, kept]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("no difference to be seen"));
}
