//! Runs a benchmark: all contestants in turn, A B C A B C …, so that whatever changes on the machine
//! meanwhile changes for all.

use std::io::{IsTerminal as _, Write as _, stderr};

use anyhow::Error;

use crate::benchmark::{Benchmark, Party};
use crate::contest::{Contest, Fixtures, Plan, Sample};
use crate::report::{BenchmarkReport, ContestantReport, Outcome};

/// Runs of a peer that may fail: DPDK's server crashes now and then, which says nothing about its
/// other runs. Ours may not fail at all.
const FORGIVEN: usize = 2;

/// A contestant under way.
struct Entry {
    report: ContestantReport,
    /// `None` when it is absent or has failed.
    contest: Option<Box<dyn Contest>>,
    samples: Vec<Sample>,
    /// Why runs failed that were forgiven.
    forgiven: Vec<String>,
}

/// Runs one benchmark. What goes wrong is in the report: a contestant that fails does not keep the
/// others from running.
pub(crate) fn run(benchmark: &Benchmark, runs: u32, plan: &Plan) -> BenchmarkReport {
    let mut fixtures = Fixtures::default();
    let mut entries: Vec<_> = benchmark
        .contestants
        .iter()
        .map(|contestant| {
            let mut report = ContestantReport::new(contestant.name, contestant.party);
            let mut contest = None;
            if let Some(reason) = contestant.setup.absent() {
                progress(benchmark, contestant.name, &format!("absent: {reason}"));
                report.outcome = Outcome::Absent { reason };
            } else {
                match contestant.setup.prepare(&mut fixtures) {
                    Ok(ready) => {
                        report.placement = ready.placement(plan);
                        contest = Some(ready);
                    }
                    Err(error) => fail(benchmark, &mut report, &error),
                }
            }
            Entry { report, contest, samples: Vec::new(), forgiven: Vec::new() }
        })
        .collect();
    for run in 1..=runs {
        for entry in &mut entries {
            run_one(benchmark, entry, (run, runs), plan);
        }
    }
    let contestants = entries.into_iter().map(Entry::finish).collect();
    BenchmarkReport::new(benchmark, contestants)
}

fn run_one(benchmark: &Benchmark, entry: &mut Entry, run: (u32, u32), plan: &Plan) {
    let Some(contest) = &mut entry.contest else { return };
    announce(benchmark, entry.report.name, run);
    match contest.run(plan) {
        Ok(sample) => {
            let (number, of) = run;
            let unit = benchmark.metric.unit();
            let text = format!("{number}/{of}: {:.3} {unit}", sample.value);
            progress(benchmark, entry.report.name, &text);
            entry.samples.push(sample);
        }
        Err(error) if entry.report.party == Party::Peer && entry.forgiven.len() < FORGIVEN => {
            let error = format!("{error:#}");
            progress(benchmark, entry.report.name, &format!("this run failed: {error}"));
            entry.forgiven.push(error);
        }
        Err(error) => {
            entry.contest = None;
            fail(benchmark, &mut entry.report, &error);
        }
    }
}

impl Entry {
    fn finish(mut self) -> ContestantReport {
        if self.contest.is_some() {
            self.report.outcome = Outcome::of(self.samples, self.forgiven);
        }
        self.report
    }
}

fn fail(benchmark: &Benchmark, report: &mut ContestantReport, error: &Error) {
    let error = format!("{error:#}");
    progress(benchmark, report.name, &format!("failed: {error}"));
    report.outcome = Outcome::Failed { error };
}

/// A line that stays.
fn progress(benchmark: &Benchmark, contestant: &str, text: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    eprintln!("{} | {contestant} | {text}", benchmark.name);
}

/// What is being waited for, where someone may be watching.
fn announce(benchmark: &Benchmark, contestant: &str, (run, of): (u32, u32)) {
    let mut terminal = stderr();
    if terminal.is_terminal() {
        eprint!("\r\x1b[K{} | {contestant} | {run}/{of} …", benchmark.name);
        // Progress that cannot be shown is no reason to stop.
        let _ = terminal.flush();
    }
}
