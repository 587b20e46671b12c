//! The result as one page that needs nothing else: no network, no scripts, pictures inside. Pure.

use std::fmt::Write as _;

use crate::benchmark::Party;
use crate::figure::figure;
use crate::gallery;
use crate::judgement::{ClaimResult, Verdict};
use crate::picture::escape;
use crate::result::{BenchmarkResult, ContestantResult, Outcome, Results};
use crate::statistics::growth;
use crate::targets;

/// Writing to a `String` does not fail.
macro_rules! put {
    ($text:expr, $($arguments:tt)*) => {{
        let _ = writeln!($text, $($arguments)*);
    }};
}

const STYLE: &str = "body{font:15px/1.45 sans-serif;margin:2em auto;max-width:62em;padding:0 1em;color:#222}\
h1{font-size:1.6em}h2{font-size:1.3em;margin-top:2em}h3{font-size:1.05em;margin-top:1.8em}\
table{border-collapse:collapse;margin:.6em 0;font-size:.92em}td,th{border:1px solid #ccc;padding:.25em .6em;\
text-align:left;vertical-align:top}th{background:#f3f3f3}svg{max-width:100%;height:auto;margin:.4em 0}\
.holds{color:#17692a}.missed{color:#a3141c;font-weight:bold}.undecided{color:#8a6100}.warn{color:#a3141c}\
.dim{color:#666}";

/// The whole page.
pub(crate) fn render(results: &Results) -> String {
    let mut text = String::new();
    put!(text, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    put!(text, "<title>dockervpp benchmarks</title><style>{STYLE}</style></head><body>");
    put!(text, "<h1>dockervpp benchmarks</h1>");
    method(&mut text, results);
    target_table(&mut text, results);
    curves(&mut text, results);
    put!(text, "<h2>Benchmarks</h2>");
    for benchmark in &results.benchmarks {
        render_benchmark(&mut text, benchmark);
    }
    machine(&mut text, results);
    put!(text, "</body></html>");
    text
}

fn method(text: &mut String, results: &Results) {
    let method = &results.method;
    put!(
        text,
        "<p>{} {} runs of {} s each after {} s of warm-up; bars are medians, thick lines hold half of the \
         runs, thin lines all. Ratios are of medians, their intervals hold {} % of {} draws of whole pairs. \
         Ratios carry over to other machines, figures do not.</p>",
        method.runs,
        escape(&method.order),
        method.seconds,
        method.warm_up_seconds,
        method.intervals.confidence * 100.0,
        method.intervals.draws
    );
    for warning in &results.machine.warnings {
        put!(text, "<p class=\"warn\">Warning: {}.</p>", escape(warning));
    }
    if results.benchmarks.iter().any(|it| !it.complete) {
        put!(
            text,
            "<p class=\"warn\">Warning: this session was interrupted and is not complete.</p>"
        );
    }
}

fn target_table(text: &mut String, results: &Results) {
    put!(text, "<h2>Targets</h2>");
    if let Some(picture) = gallery::overview(results) {
        text.push_str(&picture.svg);
    }
    put!(text, "<table><tr><th>work</th><th>peer</th><th>ratio or figure</th>");
    put!(text, "<th>interval</th><th>target</th><th></th></tr>");
    for row in targets::rows(results) {
        let head = format!("<tr><td>{}</td><td>{}</td>", escape(row.work), escape(row.peer));
        match &row.claim {
            Some(claim) => put!(text, "{head}{}</tr>", claim_cells(claim)),
            None => put!(
                text,
                "{head}<td>–</td><td>–</td><td>–</td><td class=\"dim\">not measured: {} was not \
                 run</td></tr>",
                row.benchmark
            ),
        }
    }
    put!(text, "</table>");
}

/// Figure, interval, bound and verdict.
fn claim_cells(claim: &ClaimResult) -> String {
    let unit = if claim.unit.is_empty() { String::new() } else { format!(" {}", claim.unit) };
    let dash = || "–".to_owned();
    let value = claim.figure.map_or_else(dash, |it| figure(it) + &unit);
    let interval =
        claim.interval.map_or_else(dash, |it| format!("{} – {}", figure(it.low), figure(it.high)));
    let bound = claim.bound.map_or_else(dash, |it| it.text(&unit));
    let class = match claim.verdict {
        Verdict::Holds => "holds",
        Verdict::Missed => "missed",
        Verdict::Undecided => "undecided",
        Verdict::Shown | Verdict::NotMeasured => "dim",
    };
    let verdict = claim.verdict.label();
    format!(
        "<td>{value}</td><td>{interval}</td><td>{bound}</td><td class=\"{class}\">{verdict}</td>"
    )
}

fn curves(text: &mut String, results: &Results) {
    let families = results.curves();
    if families.is_empty() {
        return;
    }
    put!(
        text,
        "<h2>Scaling and load</h2>\n<table><tr><th>curve</th><th>contestant</th><th>growth</th></tr>"
    );
    for (family, points) in families {
        for contestant in &points[0].contestants {
            let at = |it: &&BenchmarkResult| {
                let median = it.contestant(&contestant.name)?.outcome.summary()?.median;
                Some((it.scale.as_ref()?.at.max(1.0), median))
            };
            let line: Vec<(f64, f64)> = points.iter().filter_map(at).collect();
            let growth = growth(&line).map_or("too few points to tell", |it| it.label());
            let name = escape(&contestant.name);
            put!(text, "<tr><td>{family}</td><td>{name}</td><td>{growth}</td></tr>");
        }
    }
    put!(text, "</table>");
    for picture in gallery::curves(results) {
        text.push_str(&picture.svg);
    }
}

fn render_benchmark(text: &mut String, benchmark: &BenchmarkResult) {
    put!(
        text,
        "<h3 id=\"{0}\">{0}</h3>\n<p>{1}</p>",
        escape(&benchmark.name),
        escape(&benchmark.about)
    );
    text.push_str(&gallery::throughput(benchmark).svg);
    if let Some(picture) = gallery::percentiles(benchmark) {
        text.push_str(&picture.svg);
    }
    put!(text, "<table><tr><th>contestant</th><th>median, {}</th>", escape(&benchmark.unit));
    put!(text, "<th>quartiles</th><th>all</th><th>runs</th><th>more</th></tr>");
    for contestant in &benchmark.contestants {
        put!(text, "{}", contestant_row(contestant));
    }
    put!(text, "</table>");
    if !benchmark.claims.is_empty() {
        put!(
            text,
            "<table><tr><th>claim</th><th>figure</th><th>interval</th><th>target</th><th></th></tr>"
        );
        for claim in &benchmark.claims {
            put!(text, "<tr><td>{}</td>{}</tr>", escape(&claim.what), claim_cells(claim));
        }
        put!(text, "</table>");
    }
    let mut places: Vec<String> = Vec::new();
    for place in benchmark.contestants.iter().flat_map(|it| &it.placement) {
        let on = place.cpu.map_or_else(|| "on any CPU".to_owned(), |it| format!("on CPU {it}"));
        let place = format!("{} {on}", place.what);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    put!(text, "<p class=\"dim\">{}</p>", escape(&places.join("; ")));
}

fn contestant_row(contestant: &ContestantResult) -> String {
    let name = escape(&contestant.name);
    let name = if contestant.party == Party::Subject { format!("<b>{name}</b>") } else { name };
    match &contestant.outcome {
        Outcome::Absent { reason } => {
            format!("<tr><td>{name}</td><td colspan=\"5\">absent: {}</td></tr>", escape(reason))
        }
        Outcome::Failed { error } => {
            let error = escape(error.lines().next().unwrap_or_default());
            format!(
                "<tr><td>{name}</td><td class=\"missed\" colspan=\"5\">failed: {error}</td></tr>"
            )
        }
        Outcome::Measured { summary, details, samples, failed_runs, .. } => {
            let mut more: Vec<String> = details
                .iter()
                .map(|(name, it)| format!("{} {}", escape(name), figure(it.median)))
                .collect();
            if !failed_runs.is_empty() {
                more.push(format!("{} failed runs not counted", failed_runs.len()));
            }
            format!(
                "<tr><td>{name}</td><td>{}</td><td>{} – {}</td><td>{} – {}</td><td>{}</td><td>{}</td></tr>",
                figure(summary.median),
                figure(summary.q1),
                figure(summary.q3),
                figure(summary.min),
                figure(summary.max),
                samples.len(),
                more.join("; ")
            )
        }
    }
}

fn machine(text: &mut String, results: &Results) {
    let machine = &results.machine;
    let told = |it: &Option<String>| it.clone().unwrap_or_else(|| "not told".to_owned());
    let place = if machine.is_virtual { "virtual machine" } else { "no virtual machine" };
    let siblings = if machine.siblings { ", hardware threads of one core" } else { "" };
    let mut rows = vec![
        ("CPU", format!("{}, {} online; {place}", told(&machine.cpu), machine.cpus)),
        ("CPUs used", format!("{} and {}{siblings}", machine.cores.first, machine.cores.second)),
        ("kernel", machine.kernel.clone()),
        ("mitigations", machine.mitigations.join("; ")),
        ("governor", told(&machine.governor)),
        ("clock", told(&machine.clock)),
        ("huge pages", told(&machine.huge_pages)),
        ("cycles and instructions", told(&machine.cycles)),
        (
            "load average",
            format!("{} before, {} after", told(&machine.load_before), told(&machine.load_after)),
        ),
    ];
    rows.extend(machine.memory_mib.map(|it| ("memory", format!("{it} MiB"))));
    put!(text, "<h2>Machine</h2>\n<table>");
    for (name, value) in &rows {
        put!(text, "<tr><th>{name}</th><td>{}</td></tr>", escape(value));
    }
    for (name, value) in &machine.versions {
        put!(text, "<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(value));
    }
    put!(text, "</table>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_page_has_everything_and_needs_nothing() {
        let page = render(&fixture::results());
        for part in [
            "<h2>Targets</h2>",
            "not measured: memif-round-trip was not run",
            "Frames &amp; &lt;ports&gt;.",
            "absent: needs &lt;it&gt;",
            "class=\"holds\">holds",
            "latency by percentile",
            "<polyline",
        ] {
            assert!(page.contains(part), "{part}");
        }
        for outside in ["<script", "<link", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn an_interrupted_session_says_so() {
        let mut results = fixture::results();
        results.benchmarks[0].complete = false;
        assert!(render(&results).contains("was interrupted"));
    }
}
