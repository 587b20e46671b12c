//! The result of a session: serialised as it is, it is `result.json`, which [`crate::schema`] describes.
//!
//! Files of an earlier version are read as well: what they lack has a default.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::benchmark::{Benchmark, Metric, Party, Scale, Suite};
use crate::contest::{Placement, Plan, Sample};
use crate::judgement::ClaimResult;
use crate::latency::Latencies;
use crate::machine::Machine;
use crate::statistics::{Bootstrap, Summary};

/// Raised when a reader of older files would misread newer ones.
pub(crate) const SCHEMA: u32 = 2;

/// Everything.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Results {
    /// The version of this format, 1 or 2.
    pub(crate) schema: u32,
    /// When it began, in seconds since 1970 (UTC).
    pub(crate) started: u64,
    pub(crate) machine: Machine,
    pub(crate) method: Method,
    pub(crate) benchmarks: Vec<BenchmarkResult>,
}

/// How it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Method {
    /// Rounds: runs of each contestant.
    pub(crate) runs: u32,
    /// Length of a run.
    pub(crate) seconds: f64,
    pub(crate) warm_up_seconds: f64,
    /// `interleaved`: A B A B ….
    pub(crate) order: String,
    /// Which benchmarks were to be run.
    #[serde(default)]
    pub(crate) suite: Suite,
    /// How intervals are computed.
    #[serde(default)]
    pub(crate) intervals: Bootstrap,
}

/// One benchmark.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BenchmarkResult {
    pub(crate) name: String,
    /// Benchmarks of one family are points of one curve.
    #[serde(default)]
    pub(crate) family: String,
    /// Where on that curve.
    #[serde(default)]
    pub(crate) scale: Option<Scale>,
    pub(crate) about: String,
    pub(crate) metric: Metric,
    pub(crate) unit: String,
    /// Whether all rounds were run: an interrupted one is taken up again by `run --out`.
    #[serde(default = "yes")]
    pub(crate) complete: bool,
    pub(crate) contestants: Vec<ContestantResult>,
    pub(crate) claims: Vec<ClaimResult>,
}

fn yes() -> bool {
    true
}

/// One contestant.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ContestantResult {
    pub(crate) name: String,
    pub(crate) party: Party,
    pub(crate) placement: Vec<Placement>,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// It cannot be run on this machine.
    Absent { reason: String },
    /// It did not work; what it measured before counts for nothing.
    Failed { error: String },
    Measured {
        summary: Summary,
        details: BTreeMap<String, Summary>,
        samples: Vec<Sample>,
        /// Runs of a peer that failed and count for nothing; a subject may not fail.
        failed_runs: Vec<String>,
        /// Of all runs together, where single requests were timed.
        #[serde(default, skip_serializing_if = "Latencies::is_empty")]
        latencies: Latencies,
    },
}

impl Results {
    pub(crate) fn new(method: Method, machine: Machine) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
        Self { schema: SCHEMA, started, machine, method, benchmarks: Vec::new() }
    }

    /// Whether a contestant failed.
    pub(crate) fn failed(&self) -> bool {
        let mut all = self.benchmarks.iter().flat_map(|it| &it.contestants);
        all.any(|it| matches!(it.outcome, Outcome::Failed { .. }))
    }

    pub(crate) fn benchmark(&self, name: &str) -> Option<&BenchmarkResult> {
        self.benchmarks.iter().find(|it| it.name == name)
    }

    /// Takes a benchmark in, in place of an earlier state of it.
    pub(crate) fn put(&mut self, benchmark: BenchmarkResult) {
        match self.benchmarks.iter_mut().find(|it| it.name == benchmark.name) {
            Some(found) => *found = benchmark,
            None => self.benchmarks.push(benchmark),
        }
    }

    /// The benchmarks of each family that has more than one point, in the order of their scales.
    pub(crate) fn curves(&self) -> BTreeMap<&str, Vec<&BenchmarkResult>> {
        let mut curves: BTreeMap<&str, Vec<&BenchmarkResult>> = BTreeMap::new();
        for benchmark in self.benchmarks.iter().filter(|it| it.scale.is_some()) {
            curves.entry(&benchmark.family).or_default().push(benchmark);
        }
        curves.retain(|_, points| points.len() > 1);
        let at = |it: &BenchmarkResult| it.scale.as_ref().map_or(0.0, |it| it.at);
        for points in curves.values_mut() {
            points.sort_by(|a, b| at(a).total_cmp(&at(b)));
        }
        curves
    }
}

impl Method {
    pub(crate) fn new(suite: Suite, runs: u32, plan: &Plan) -> Self {
        Self {
            runs,
            seconds: plan.length.as_secs_f64(),
            warm_up_seconds: plan.warm_up.as_secs_f64(),
            order: "interleaved".to_owned(),
            suite,
            intervals: Bootstrap::default(),
        }
    }
}

impl BenchmarkResult {
    pub(crate) fn new(
        benchmark: &Benchmark,
        contestants: Vec<ContestantResult>,
        complete: bool,
        intervals: &Bootstrap,
    ) -> Self {
        let unit = benchmark.metric.unit();
        let judge = |claim| ClaimResult::judge(claim, &contestants, unit, intervals);
        Self {
            name: benchmark.name.clone(),
            family: benchmark.family.to_owned(),
            scale: benchmark.scale.clone(),
            about: benchmark.about.clone(),
            metric: benchmark.metric,
            unit: unit.to_owned(),
            complete,
            claims: benchmark.claims.iter().map(judge).collect(),
            contestants,
        }
    }

    pub(crate) fn contestant(&self, name: &str) -> Option<&ContestantResult> {
        self.contestants.iter().find(|it| it.name == name)
    }
}

impl Outcome {
    /// Of all samples; none is a failure.
    pub(crate) fn of(samples: Vec<Sample>, failed_runs: Vec<String>, latencies: Latencies) -> Self {
        let Some(summary) = Summary::of(samples.iter().map(|it| it.value)) else {
            let error = failed_runs.into_iter().next();
            return Self::Failed { error: error.unwrap_or_else(|| "it was not run".to_owned()) };
        };
        let names: BTreeSet<&String> = samples.iter().flat_map(|it| it.details.keys()).collect();
        let detail = |name: &String| {
            let figures = samples.iter().filter_map(|it| it.details.get(name).copied());
            Some((name.clone(), Summary::of(figures)?))
        };
        let details = names.into_iter().filter_map(detail).collect();
        Self::Measured { summary, details, samples, failed_runs, latencies }
    }

    pub(crate) fn summary(&self) -> Option<&Summary> {
        match self {
            Self::Measured { summary, .. } => Some(summary),
            _ => None,
        }
    }

    pub(crate) fn samples(&self) -> &[Sample] {
        match self {
            Self::Measured { samples, .. } => samples,
            _ => &[],
        }
    }

    /// One of the details, by its name.
    pub(crate) fn detail(&self, name: &str) -> Option<&Summary> {
        match self {
            Self::Measured { details, .. } => details.get(name),
            _ => None,
        }
    }

    pub(crate) fn latencies(&self) -> Option<&Latencies> {
        match self {
            Self::Measured { latencies, .. } if !latencies.is_empty() => Some(latencies),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_measured_is_a_failure() {
        let outcome = Outcome::of(Vec::new(), Vec::new(), Latencies::default());
        assert!(matches!(outcome, Outcome::Failed { .. }));
        let forgiven = vec!["it crashed".to_owned(), "again".to_owned()];
        let outcome = Outcome::of(Vec::new(), forgiven, Latencies::default());
        assert!(matches!(outcome, Outcome::Failed { error } if error == "it crashed"));
    }
}
