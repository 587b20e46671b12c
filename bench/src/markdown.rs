//! The report as Markdown, ready for docs/benchmarks.md.

use std::fmt::Write as _;

use crate::benchmark::Party;
use crate::figure::figure;
use crate::judgement::{ClaimResult, Verdict};
use crate::machine::Machine;
use crate::result::{BenchmarkResult, ContestantResult, Method, Outcome, Results};
use crate::statistics::growth;
use crate::targets;

/// The whole report.
pub(crate) fn render(results: &Results) -> String {
    let mut text = String::from("# Benchmarks\n\n");
    machine(&mut text, &results.machine);
    method(&mut text, &results.method);
    target_rows(&mut text, results);
    curves(&mut text, results);
    for benchmark in &results.benchmarks {
        render_benchmark(&mut text, benchmark);
    }
    text
}

/// Writing to a `String` does not fail.
macro_rules! put {
    ($text:expr, $($arguments:tt)*) => {{
        let _ = writeln!($text, $($arguments)*);
    }};
}

fn machine(text: &mut String, machine: &Machine) {
    let unknown = || "not told".to_owned();
    put!(text, "| machine | |\n|---|---|");
    let cpu = machine.cpu.clone().unwrap_or_else(unknown);
    let place = if machine.is_virtual { ", virtual machine" } else { "" };
    put!(text, "| CPU | {cpu}, {} online{place} |", machine.cpus);
    let siblings = if machine.siblings { " (hardware threads of one core)" } else { "" };
    let (first, second) = (machine.cores.first, machine.cores.second);
    put!(text, "| CPUs used | {first} and {second}{siblings} |");
    if let Some(memory) = machine.memory_mib {
        put!(text, "| memory | {memory} MiB |");
    }
    put!(text, "| kernel | {} |", machine.kernel);
    put!(text, "| mitigations | {} |", machine.mitigations.join("<br>"));
    put!(text, "| governor | {} |", machine.governor.clone().unwrap_or_else(unknown));
    let load = |it: &Option<String>| it.clone().unwrap_or_else(unknown);
    let (before, after) = (load(&machine.load_before), load(&machine.load_after));
    let clock = machine.clock.clone().unwrap_or_else(unknown);
    put!(text, "| clock | {clock} |");
    put!(text, "| huge pages | {} |", machine.huge_pages.clone().unwrap_or_else(unknown));
    put!(text, "| cycles, instructions | {} |", machine.cycles.clone().unwrap_or_else(unknown));
    put!(text, "| load average | {before} before, {after} after |");
    for (program, version) in &machine.versions {
        put!(text, "| {program} | {version} |");
    }
    for warning in &machine.warnings {
        put!(text, "| **warning** | {warning} |");
    }
}

fn method(text: &mut String, method: &Method) {
    let Method { runs, seconds, warm_up_seconds, order, intervals, .. } = method;
    put!(
        text,
        "\nMethod: {runs} {order} runs of {seconds} s after {warm_up_seconds} s of warm-up; medians and \
         quartiles of the runs, ratios of the medians with {} % intervals ({} draws of whole pairs, from 5 \
         pairs on).",
        intervals.confidence * 100.0,
        intervals.draws
    );
}

fn target_rows(text: &mut String, results: &Results) {
    put!(
        text,
        "\n## Targets\n\n| work | peer | figure | interval | target | |\n|---|---|---|---|---|---|"
    );
    for row in targets::rows(results) {
        let (work, peer) = (row.work, row.peer);
        match &row.claim {
            None => put!(text, "| {work} | {peer} | – | – | – | {} was not run |", row.benchmark),
            Some(claim) => {
                let (value, interval, target) = claim_cells(claim);
                let verdict = verdict(claim.verdict);
                put!(text, "| {work} | {peer} | {value} | {interval} | {target} | {verdict} |");
            }
        }
    }
}

/// How each curve grows, in the order of their names.
fn curves(text: &mut String, results: &Results) {
    let curves = results.curves();
    if curves.is_empty() {
        return;
    }
    put!(
        text,
        "\n## Curves\n\n| curve | contestant | over | figures | growth |\n|---|---|---|---|---|"
    );
    for (family, points) in curves {
        let axis = points[0].scale.as_ref().map_or("", |it| it.axis.as_str());
        for contestant in &points[0].contestants {
            let at = |it: &&BenchmarkResult| {
                let median = it.contestant(&contestant.name)?.outcome.summary()?.median;
                Some((it.scale.as_ref()?.at, median))
            };
            let line: Vec<(f64, f64)> = points.iter().filter_map(at).collect();
            let Some(((first, low), (last, high))) = line.first().zip(line.last()) else {
                continue;
            };
            let growth = growth(&line).map_or("too few points", |it| it.label());
            put!(
                text,
                "| {family} | {} | {axis}, {first} – {last} | {} – {} {} | {growth} |",
                contestant.name,
                figure(*low),
                figure(*high),
                points[0].unit
            );
        }
    }
}

fn render_benchmark(text: &mut String, benchmark: &BenchmarkResult) {
    put!(text, "\n## {}\n\n{}\n", benchmark.name, benchmark.about);
    put!(text, "| contestant | median, {} | min | quartiles | max | more |", benchmark.unit);
    put!(text, "|---|---|---|---|---|---|");
    for contestant in &benchmark.contestants {
        put!(text, "{}", row(contestant));
    }
    if !benchmark.claims.is_empty() {
        put!(text, "\n| claim | figure | interval | target | |\n|---|---|---|---|---|");
    }
    for claim in &benchmark.claims {
        put!(text, "{}", claim_row(claim));
    }
    placement(text, benchmark);
}

fn row(contestant: &ContestantResult) -> String {
    let name = match contestant.party {
        Party::Subject => format!("**{}**", contestant.name),
        Party::Peer => contestant.name.clone(),
    };
    match &contestant.outcome {
        Outcome::Absent { reason } => format!("| {name} | absent: {reason} | | | | |"),
        Outcome::Failed { error } => {
            let error = error.lines().next().unwrap_or_default().replace('|', "\\|");
            format!("| {name} | **failed**: {error} | | | | |")
        }
        Outcome::Measured { summary, details, failed_runs, .. } => {
            let mut more: Vec<_> = details
                .iter()
                .map(|(name, summary)| format!("{name} {}", figure(summary.median)))
                .collect();
            if !failed_runs.is_empty() {
                more.push(format!("{} failed runs not counted", failed_runs.len()));
            }
            format!(
                "| {name} | {} | {} | {} – {} | {} | {} |",
                figure(summary.median),
                figure(summary.min),
                figure(summary.q1),
                figure(summary.q3),
                figure(summary.max),
                more.join("; ")
            )
        }
    }
}

fn claim_row(claim: &ClaimResult) -> String {
    let (value, interval, target) = claim_cells(claim);
    format!("| {} | {value} | {interval} | {target} | {} |", claim.what, verdict(claim.verdict))
}

/// Figure, interval and bound.
fn claim_cells(claim: &ClaimResult) -> (String, String, String) {
    let unit = if claim.unit.is_empty() { String::new() } else { format!(" {}", claim.unit) };
    let dash = || "–".to_owned();
    let value = claim.figure.map_or_else(dash, |it| figure(it) + &unit);
    let interval =
        claim.interval.map_or_else(dash, |it| format!("{} – {}", figure(it.low), figure(it.high)));
    (value, interval, claim.bound.map_or_else(String::new, |it| it.text(&unit)))
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Missed => "**missed**".to_owned(),
        other => other.label().to_owned(),
    }
}

fn placement(text: &mut String, benchmark: &BenchmarkResult) {
    let mut places: Vec<String> = Vec::new();
    for place in benchmark.contestants.iter().flat_map(|it| &it.placement) {
        let place = match place.cpu {
            Some(cpu) => format!("{} on CPU {cpu}", place.what),
            None => format!("{} not bound to a CPU", place.what),
        };
        if !places.contains(&place) {
            places.push(place);
        }
    }
    if !places.is_empty() {
        put!(text, "\nPlacement: {}.", places.join("; "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn all_that_was_measured_and_all_that_was_not_is_in_it() {
        let text = render(&fixture::results());
        for part in [
            "| ours / theirs | 0.502 | ",
            "| ≤ 0.8 | holds |",
            "| absent | absent: needs <it> |",
            "| memif round trip, polling | testpmd | – | – | – | memif-round-trip was not run |",
            "| bridge-ports | ours | ports, 2 – 64 |",
            "Placement: all on CPU 1.",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
