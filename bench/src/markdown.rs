//! The report as Markdown, ready for docs/benchmarks.md.

use std::fmt::Write as _;

use crate::benchmark::Party;
use crate::machine::Machine;
use crate::report::{
    BenchmarkReport, ClaimReport, ContestantReport, Method, Outcome, Report, Verdict,
};

/// The whole report.
pub(crate) fn render(report: &Report) -> String {
    let mut text = String::from("# Benchmarks\n\n");
    machine(&mut text, &report.machine);
    method(&mut text, &report.method);
    for benchmark in &report.benchmarks {
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
    put!(text, "| load average | {before} before, {after} after |");
    for (program, version) in &machine.versions {
        put!(text, "| {program} | {version} |");
    }
    for warning in &machine.warnings {
        put!(text, "| **warning** | {warning} |");
    }
}

fn method(text: &mut String, method: &Method) {
    let Method { runs, seconds, warm_up_seconds, order } = method;
    put!(
        text,
        "\nMethod: {runs} {order} runs of {seconds} s after {warm_up_seconds} s of warm-up; medians and \
         quartiles of the runs, ratios of the medians."
    );
}

fn render_benchmark(text: &mut String, benchmark: &BenchmarkReport) {
    put!(text, "\n## {}\n\n{}\n", benchmark.name, benchmark.about);
    put!(text, "| contestant | median, {} | min | quartiles | max | more |", benchmark.unit);
    put!(text, "|---|---|---|---|---|---|");
    for contestant in &benchmark.contestants {
        put!(text, "{}", row(contestant));
    }
    if !benchmark.claims.is_empty() {
        put!(text, "\n| claim | figure | target | |\n|---|---|---|---|");
    }
    for claim in &benchmark.claims {
        put!(text, "{}", claim_row(claim));
    }
    placement(text, benchmark);
}

fn row(contestant: &ContestantReport) -> String {
    let name = match contestant.party {
        Party::Subject => format!("**{}**", contestant.name),
        Party::Peer => contestant.name.to_owned(),
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

fn claim_row(claim: &ClaimReport) -> String {
    let unit = if claim.unit.is_empty() { String::new() } else { format!(" {}", claim.unit) };
    let target = claim.bound.map_or_else(String::new, |it| it.text(&unit));
    let value = claim.figure.map_or_else(|| "–".to_owned(), |it| figure(it) + &unit);
    let verdict = match claim.verdict {
        Verdict::Holds => "holds",
        Verdict::Missed => "**missed**",
        Verdict::Shown => "",
        Verdict::NotMeasured => "not measured",
    };
    format!("| {} | {value} | {target} | {verdict} |", claim.what)
}

fn placement(text: &mut String, benchmark: &BenchmarkReport) {
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

/// Three significant digits at least, without an exponent.
fn figure(value: f64) -> String {
    let digits = match value.abs() {
        it if it >= 100.0 || it == 0.0 => 0,
        it if it >= 10.0 => 1,
        it if it >= 1.0 => 2,
        it if it >= 0.1 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits() {
        let texts = [0.0, 0.012_34, 0.456_7, 1.234, 19.71, 123_456.7].map(figure);
        assert_eq!(texts, ["0", "0.0123", "0.457", "1.23", "19.7", "123457"]);
    }
}
