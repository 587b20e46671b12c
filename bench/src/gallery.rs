//! Which pictures a result gives: a set of bars for each benchmark, a line for each curve, percentiles
//! where single requests were timed. Pure.

use crate::benchmark::{Bound, Metric, Party};
use crate::judgement::{ClaimResult, Verdict};
use crate::picture::{Bar, Chart, Factor, Line, Scaling, Spread, bars, factors, lines};
use crate::result::{BenchmarkResult, ContestantResult, Outcome, Results};
use crate::targets;

/// A picture, and the name of its file without ending.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    pub(crate) name: String,
    pub(crate) svg: String,
}

/// Shares of a percentile curve, and the words for them; drawn over how many requests are slower.
const SHARES: [(f64, &str); 9] = [
    (0.0, "least"),
    (0.5, "p50"),
    (0.75, "p75"),
    (0.9, "p90"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (0.9999, "p99.99"),
    (0.99999, "p99.999"),
    (0.999_999, "p99.9999"),
];

/// All targets that are ratios and were measured; `None` when there is none.
pub(crate) fn overview(results: &Results) -> Option<Picture> {
    let factor = |row: targets::Row| {
        let metric = results.benchmark(row.benchmark)?.metric;
        factor(row.benchmark, metric.more_is_better(), row.claim.as_ref()?)
    };
    let all: Vec<Factor> = targets::rows(results).into_iter().filter_map(factor).collect();
    let title = "How many times better than what would be used instead";
    (!all.is_empty()).then(|| Picture { name: "overview".to_owned(), svg: factors(title, &all) })
}

/// A ratio of which more is better.
fn factor(benchmark: &str, more_is_better: bool, claim: &ClaimResult) -> Option<Factor> {
    let (subject, peer) = claim.what.split_once(" / ")?;
    let better = |figure: f64| if more_is_better { figure } else { 1.0 / figure };
    let value = claim.figure.map(better)?;
    let interval = claim.interval.map(|it| {
        let ends = (better(it.low), better(it.high));
        (ends.0.min(ends.1), ends.0.max(ends.1))
    });
    let target = match claim.bound? {
        Bound::AtLeast(limit) | Bound::AtMost(limit) | Bound::Below(limit) => Some(better(limit)),
        Bound::Within { .. } => None,
    };
    let holds = claim.verdict == Verdict::Holds;
    let name = format!("{benchmark}: {subject}");
    Some(Factor { name, peer: peer.to_owned(), value, interval, target, holds })
}

/// Bars for one benchmark.
pub(crate) fn throughput(benchmark: &BenchmarkResult) -> Picture {
    let bar = |contestant: &ContestantResult| {
        let value = match &contestant.outcome {
            Outcome::Absent { .. } => Err("absent".to_owned()),
            Outcome::Failed { .. } => Err("failed".to_owned()),
            Outcome::Measured { summary, .. } => Ok(Spread {
                median: summary.median,
                quartiles: (summary.q1, summary.q3),
                ends: (summary.min, summary.max),
            }),
        };
        Bar { name: contestant.name.clone(), value, is_subject: contestant.party == Party::Subject }
    };
    let all: Vec<Bar> = benchmark.contestants.iter().map(bar).collect();
    let better = if benchmark.metric.more_is_better() { "more" } else { "less" };
    let unit = format!("{}, {better} is better", benchmark.unit);
    Picture { name: benchmark.name.clone(), svg: bars(&benchmark.name, &unit, &all) }
}

/// Latencies of one benchmark by percentile; `None` where no single requests were timed.
pub(crate) fn percentiles(benchmark: &BenchmarkResult) -> Option<Picture> {
    let line = |contestant: &ContestantResult| {
        let latencies = contestant.outcome.latencies()?;
        // A share that no request stands for says nothing: of a thousand none is beyond p99.99.
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let count = latencies.count() as f64;
        let shares: Vec<f64> =
            SHARES.map(|it| it.0).into_iter().filter(|it| (1.0 - it) * count >= 0.999).collect();
        let figures = latencies.microseconds_at(&shares);
        let points = shares.iter().map(|it| 1.0 / (1.0 - it)).zip(figures).collect();
        let is_subject = contestant.party == Party::Subject;
        Some(Line { name: contestant.name.clone(), points, is_subject })
    };
    let all: Vec<Line> = benchmark.contestants.iter().filter_map(line).collect();
    if all.is_empty() {
        return None;
    }
    let title = format!("{}: latency by percentile", benchmark.name);
    let chart = Chart {
        title,
        x: "share of the requests".to_owned(),
        y: "µs".to_owned(),
        x_scaling: Scaling::Logarithmic,
        y_scaling: Scaling::Logarithmic,
        x_words: SHARES
            .iter()
            .map(|(share, word)| (1.0 / (1.0 - share), (*word).to_owned()))
            .collect(),
    };
    Some(Picture { name: format!("{}-percentiles", benchmark.name), svg: lines(&chart, &all) })
}

/// The curves of all families that have more than one point.
pub(crate) fn curves(results: &Results) -> Vec<Picture> {
    let mut pictures = Vec::new();
    for (family, points) in results.curves() {
        let median = |it: &ContestantResult| Some(it.outcome.summary()?.median);
        let y =
            if points[0].metric == Metric::Microseconds { "median, µs" } else { &points[0].unit };
        pictures.push(curve(family, &points, y, family, &median));
        // Where load has a rate, the tail says more than the median.
        let tail = |it: &ContestantResult| Some(it.outcome.detail("p99 µs")?.median);
        if points.iter().any(|it| it.contestants.iter().any(|it| tail(it).is_some())) {
            let name = format!("{family}-p99");
            let title = format!("{family}: the latency that 99 of 100 do not exceed");
            pictures.push(curve(&name, &points, "p99, µs", &title, &tail));
        }
    }
    pictures
}

fn curve(
    name: &str,
    points: &[&BenchmarkResult],
    y: &str,
    title: &str,
    figure: &dyn Fn(&ContestantResult) -> Option<f64>,
) -> Picture {
    let mut all: Vec<Line> = Vec::new();
    for benchmark in points {
        let at = benchmark.scale.as_ref().map_or(0.0, |it| it.at);
        for contestant in &benchmark.contestants {
            let Some(value) = figure(contestant) else { continue };
            // Zero endpoints have a place on a logarithmic axis, too: the leftmost.
            let point = (at.max(1.0), value);
            match all.iter_mut().find(|it| it.name == contestant.name) {
                Some(line) => line.points.push(point),
                None => all.push(Line {
                    name: contestant.name.clone(),
                    points: vec![point],
                    is_subject: contestant.party == Party::Subject,
                }),
            }
        }
    }
    let (least, most) = all
        .iter()
        .flat_map(|it| &it.points)
        .fold((f64::MAX, f64::MIN), |(low, high), it| (low.min(it.1), high.max(it.1)));
    // What differs by more than a factor of twenty would lie on the ground of a linear axis.
    let wide = least > 0.0 && most / least > 20.0;
    let chart = Chart {
        title: title.to_owned(),
        x: points[0].scale.as_ref().map_or_else(String::new, |it| it.axis.clone()),
        y: y.to_owned(),
        x_scaling: Scaling::Logarithmic,
        y_scaling: if wide { Scaling::Logarithmic } else { Scaling::Linear },
        x_words: Vec::new(),
    };
    Picture { name: name.to_owned(), svg: lines(&chart, &all) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::statistics::Interval;
    use crate::{fixture, store};

    #[test]
    fn ratios_of_which_less_is_better_are_turned_over() {
        let claim = ClaimResult {
            what: "memif-rs / testpmd".to_owned(),
            figure: Some(0.5),
            interval: Some(Interval { low: 0.4, high: 0.8 }),
            bound: Some(Bound::AtMost(0.25)),
            verdict: Verdict::Missed,
            unit: String::new(),
        };
        let less = factor("round-trip", false, &claim).unwrap();
        assert_eq!((less.name.as_str(), less.peer.as_str()), ("round-trip: memif-rs", "testpmd"));
        assert_eq!((less.value, less.target), (2.0, Some(4.0)));
        assert_eq!(less.interval, Some((1.25, 2.5)));
        assert_eq!(Some(factor("speed", true, &claim).unwrap().value), claim.figure);
        let alone = ClaimResult { what: "dockervpp serve".to_owned(), ..claim };
        assert_eq!(factor("idle", false, &alone), None, "no ratio");
        assert!(overview(&fixture::results()).is_none(), "no target was measured");
    }

    #[test]
    fn the_pictures_of_the_documents_are_of_the_kept_results() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let pictures: Vec<_> = fs::read_dir(root.join("docs/pictures")).unwrap().collect();
        assert!(!pictures.is_empty());
        for entry in pictures {
            let kept = entry.unwrap().path();
            let name = kept.file_stem().unwrap().to_str().unwrap();
            // Of a curve's, its own name comes behind that of the result.
            let (name, curve) = name.split_once('.').map_or((name, None), |it| (it.0, Some(it.1)));
            let result = root.join(format!("bench/results/{name}.json"));
            let results = store::read(&result).unwrap();
            let drawn = match curve {
                Some(curve) => curves(&results).into_iter().find(|it| it.name == curve),
                None => overview(&results),
            };
            let drawn = drawn.unwrap();
            let again = format!("dockervpp-bench report {} --out DIR", result.display());
            assert_eq!(fs::read_to_string(&kept).unwrap(), drawn.svg, "draw it again: {again}");
        }
    }

    #[test]
    fn a_result_gives_bars_percentiles_and_curves() {
        let results = fixture::results();
        let bars = throughput(&results.benchmarks[0]);
        assert_eq!(bars.name, "bridge-ports-2");
        assert!(bars.svg.contains("ours") && bars.svg.contains("absent"));
        let percentiles = percentiles(&results.benchmarks[0]).unwrap();
        assert!(percentiles.svg.contains("p99.9"));
        let curves = curves(&results);
        assert_eq!(curves.len(), 1);
        assert_eq!(curves[0].name, "bridge-ports");
        assert!(curves[0].svg.contains("theirs"), "a curve has all contestants");
    }
}
