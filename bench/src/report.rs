//! The result of a session: serialised as it is, it is the JSON report.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::benchmark::{Benchmark, Bound, Claim, Metric, Party};
use crate::contest::{Placement, Plan, Sample};
use crate::machine::Machine;
use crate::statistics::Summary;

/// Raised when a reader of older reports would misread newer ones.
const SCHEMA: u32 = 1;

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    /// When it began, in seconds since 1970 (UTC).
    pub(crate) started: u64,
    pub(crate) machine: Machine,
    pub(crate) method: Method,
    pub(crate) benchmarks: Vec<BenchmarkReport>,
}

/// How it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Method {
    pub(crate) runs: u32,
    pub(crate) seconds: u64,
    pub(crate) warm_up_seconds: u64,
    pub(crate) order: &'static str,
}

/// One benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct BenchmarkReport {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) metric: Metric,
    pub(crate) unit: &'static str,
    pub(crate) contestants: Vec<ContestantReport>,
    pub(crate) claims: Vec<ClaimReport>,
}

/// One contestant.
#[derive(Debug, Serialize)]
pub(crate) struct ContestantReport {
    pub(crate) name: &'static str,
    pub(crate) party: Party,
    pub(crate) placement: Vec<Placement>,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// It cannot be run on this machine.
    Absent { reason: String },
    /// It did not work; what it measured before counts for nothing.
    Failed { error: String },
    Measured {
        summary: Summary,
        details: BTreeMap<&'static str, Summary>,
        samples: Vec<Sample>,
        /// Runs of a peer that failed and count for nothing; a subject may not fail.
        failed_runs: Vec<String>,
    },
}

/// A claim, held against the figures.
#[derive(Debug, Serialize)]
pub(crate) struct ClaimReport {
    pub(crate) what: String,
    /// The ratio or the value; `None` when it could not be measured.
    pub(crate) figure: Option<f64>,
    pub(crate) bound: Option<Bound>,
    pub(crate) verdict: Verdict,
    /// The unit of the bound, empty for ratios.
    #[serde(skip)]
    pub(crate) unit: &'static str,
}

/// What the figures say of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Holds,
    Missed,
    /// There is no bound.
    Shown,
    /// A contestant is absent or failed.
    NotMeasured,
}

impl Report {
    pub(crate) fn new(method: Method, machine: Machine) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
        Self { schema: SCHEMA, started, machine, method, benchmarks: Vec::new() }
    }

    /// Whether a contestant failed.
    pub(crate) fn failed(&self) -> bool {
        let mut all = self.benchmarks.iter().flat_map(|it| &it.contestants);
        all.any(|it| matches!(it.outcome, Outcome::Failed { .. }))
    }
}

impl Method {
    pub(crate) fn new(runs: u32, plan: &Plan) -> Self {
        Self {
            runs,
            seconds: plan.length.as_secs(),
            warm_up_seconds: plan.warm_up.as_secs(),
            order: "interleaved",
        }
    }
}

impl BenchmarkReport {
    pub(crate) fn new(benchmark: &Benchmark, contestants: Vec<ContestantReport>) -> Self {
        let unit = benchmark.metric.unit();
        let claims = benchmark.claims.iter().map(|it| ClaimReport::judge(*it, &contestants, unit));
        Self {
            name: benchmark.name,
            about: benchmark.about,
            metric: benchmark.metric,
            unit,
            claims: claims.collect(),
            contestants,
        }
    }
}

impl ContestantReport {
    pub(crate) fn new(name: &'static str, party: Party) -> Self {
        let outcome = Outcome::Failed { error: "it was not run".to_owned() };
        Self { name, party, placement: Vec::new(), outcome }
    }
}

impl Outcome {
    /// Of all samples; none is a failure.
    pub(crate) fn of(samples: Vec<Sample>, failed_runs: Vec<String>) -> Self {
        let Some(summary) = Summary::of(samples.iter().map(|it| it.value)) else {
            let error = failed_runs.into_iter().next();
            return Self::Failed { error: error.unwrap_or_else(|| "it was not run".to_owned()) };
        };
        let names: BTreeSet<&'static str> =
            samples.iter().flat_map(|it| it.details.keys().copied()).collect();
        let detail = |name| {
            let figures = samples.iter().filter_map(|it| it.details.get(name).copied());
            Some((name, Summary::of(figures)?))
        };
        let details = names.into_iter().filter_map(detail).collect();
        Self::Measured { summary, details, samples, failed_runs }
    }

    fn median(&self) -> Option<f64> {
        match self {
            Self::Measured { summary, .. } => Some(summary.median),
            _ => None,
        }
    }
}

impl ClaimReport {
    fn judge(claim: Claim, contestants: &[ContestantReport], unit: &'static str) -> Self {
        let median = |name: &str| {
            let found = contestants.iter().find(|it| it.name == name);
            found.and_then(|it| it.outcome.median())
        };
        let (what, figure, bound, unit) = match claim {
            Claim::Ratio { subject, peer, bound } => {
                let figure = median(subject).zip(median(peer)).map(|(a, b)| a / b);
                (format!("{subject} / {peer}"), figure, bound, "")
            }
            Claim::Value { subject, bound } => {
                (subject.to_owned(), median(subject), Some(bound), unit)
            }
        };
        let verdict = match (figure, bound) {
            (None, _) => Verdict::NotMeasured,
            (Some(_), None) => Verdict::Shown,
            (Some(figure), Some(bound)) if bound.holds(figure) => Verdict::Holds,
            _ => Verdict::Missed,
        };
        Self { what, figure, bound, verdict, unit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contestant(name: &'static str, values: &[f64]) -> ContestantReport {
        let sample = |&value| Sample { value, details: BTreeMap::new() };
        let mut report = ContestantReport::new(name, Party::Subject);
        report.outcome = Outcome::of(values.iter().map(sample).collect(), Vec::new());
        report
    }

    fn verdict(claim: Claim, contestants: &[ContestantReport]) -> (Option<f64>, Verdict) {
        let report = ClaimReport::judge(claim, contestants, "s");
        (report.figure, report.verdict)
    }

    #[test]
    fn ratios_are_of_medians() {
        let both = [contestant("a", &[4.0, 100.0, 3.0]), contestant("b", &[2.0, 2.0, 0.1])];
        let ratio =
            |bound| Claim::Ratio { subject: "a", peer: "b", bound: Some(Bound::AtLeast(bound)) };
        assert_eq!(verdict(ratio(2.0), &both), (Some(2.0), Verdict::Holds));
        assert_eq!(verdict(ratio(2.1), &both), (Some(2.0), Verdict::Missed));
        assert_eq!(verdict(ratio(2.0), &both[..1]), (None, Verdict::NotMeasured));
    }

    #[test]
    fn nothing_measured_is_a_failure() {
        assert!(matches!(Outcome::of(Vec::new(), Vec::new()), Outcome::Failed { .. }));
        let claim = Claim::Value { subject: "a", bound: Bound::Below(1.0) };
        assert_eq!(verdict(claim, &[contestant("a", &[])]), (None, Verdict::NotMeasured));
        assert_eq!(verdict(claim, &[contestant("a", &[1.0])]), (Some(1.0), Verdict::Missed));
    }
}
