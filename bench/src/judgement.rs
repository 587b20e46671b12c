//! What figures say of claims: ratios of medians, their intervals, and verdicts. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::benchmark::{Bound, Claim};
use crate::result::ContestantResult;
use crate::statistics::{Bootstrap, Interval, difference_interval, ratio_interval};

/// A claim, held against the figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimResult {
    pub(crate) what: String,
    /// The ratio or the value; `None` when it could not be measured.
    pub(crate) figure: Option<f64>,
    /// Where it lies with the method's confidence; `None` for fewer than five pairs, and for claims
    /// about one contestant.
    #[serde(default)]
    pub(crate) interval: Option<Interval>,
    pub(crate) bound: Option<Bound>,
    pub(crate) verdict: Verdict,
    /// The unit of figure and bound, empty for ratios.
    #[serde(default)]
    pub(crate) unit: String,
}

/// What the figures say of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// The figure keeps the bound, and so does its whole interval if there is one.
    Holds,
    /// The figure breaks the bound, and so does its whole interval if there is one.
    Missed,
    /// The bound lies inside the interval: these runs do not tell.
    Undecided,
    /// There is no bound.
    Shown,
    /// A contestant is absent or failed.
    NotMeasured,
}

impl Verdict {
    pub(crate) fn of(
        figure: Option<f64>,
        interval: Option<Interval>,
        bound: Option<Bound>,
    ) -> Self {
        let Some(figure) = figure else { return Self::NotMeasured };
        let Some(bound) = bound else { return Self::Shown };
        let ends = interval.map_or([figure; 2], |it| [it.low, it.high]);
        match ends.map(|it| bound.holds(it)) {
            [true, true] => Self::Holds,
            [false, false] if !bound.is_inside(ends) => Self::Missed,
            _ => Self::Undecided,
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Missed => "missed",
            Self::Undecided => "undecided",
            Self::Shown => "",
            Self::NotMeasured => "not measured",
        }
    }
}

impl ClaimResult {
    pub(crate) fn judge(
        claim: &Claim,
        contestants: &[ContestantResult],
        unit: &str,
        intervals: &Bootstrap,
    ) -> Self {
        let find = |name: &str| contestants.iter().find(|it| it.name == name);
        let median = |name: &str| Some(find(name)?.outcome.summary()?.median);
        let pairs =
            |a: &str, b: &str| find(a).zip(find(b)).map_or_else(Vec::new, |(a, b)| pairs(a, b));
        let (what, figure, interval, bound, unit) = match claim {
            Claim::Ratio { subject, peer, bound } => {
                let figure = median(subject).zip(median(peer)).map(|(a, b)| a / b);
                let interval = ratio_interval(&pairs(subject, peer), intervals);
                (format!("{subject} / {peer}"), figure, interval, *bound, "")
            }
            Claim::Difference { subject, peer, bound } => {
                let figure = median(subject).zip(median(peer)).map(|(a, b)| a - b);
                let interval = difference_interval(&pairs(subject, peer), intervals);
                (format!("{subject} − {peer}"), figure, interval, Some(*bound), unit)
            }
            Claim::Value { subject, bound } => {
                (subject.clone(), median(subject), None, Some(*bound), unit)
            }
            Claim::Detail { subject, detail, bound } => {
                let outcome = find(subject).map(|it| &it.outcome);
                let figure = outcome.and_then(|it| it.detail(detail)).map(|it| it.median);
                (format!("{subject}: {detail}"), figure, None, Some(*bound), "")
            }
        };
        let verdict = Verdict::of(figure, interval, bound);
        Self { what, figure, interval, bound, verdict, unit: unit.to_owned() }
    }
}

/// The figures of rounds in which both were run. Files of the first version have no numbers of rounds;
/// there the runs of one place belong together.
pub(crate) fn pairs(a: &ContestantResult, b: &ContestantResult) -> Vec<(f64, f64)> {
    let by_round = |it: &ContestantResult| -> BTreeMap<u32, f64> {
        let numbered = (1..).zip(it.outcome.samples());
        numbered.map(|(place, it)| (it.round.unwrap_or(place), it.value)).collect()
    };
    let (a, b) = (by_round(a), by_round(b));
    a.iter().filter_map(|(round, a)| Some((*a, *b.get(round)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::Party;
    use crate::contest::Sample;
    use crate::latency::Latencies;
    use crate::result::Outcome;

    fn contestant(name: &str, values: &[f64]) -> ContestantResult {
        let sample = |(round, &value): (u32, &f64)| {
            let mut sample = Sample::bare(value);
            sample.round = Some(round);
            sample
        };
        let samples = (1..).zip(values).map(sample).collect();
        let outcome = Outcome::of(samples, Vec::new(), Latencies::default());
        let (name, placement) = (name.to_owned(), Vec::new());
        ContestantResult { name, party: Party::Subject, placement, outcome }
    }

    fn judged(claim: &Claim, contestants: &[ContestantResult]) -> (Option<f64>, Verdict) {
        let result = ClaimResult::judge(claim, contestants, "s", &Bootstrap::default());
        (result.figure, result.verdict)
    }

    fn ratio(bound: f64) -> Claim {
        let (subject, peer) = ("a".to_owned(), "b".to_owned());
        Claim::Ratio { subject, peer, bound: Some(Bound::AtLeast(bound)) }
    }

    #[test]
    fn ratios_are_of_medians() {
        let both = [contestant("a", &[4.0, 100.0, 3.0]), contestant("b", &[2.0, 2.0, 0.1])];
        assert_eq!(judged(&ratio(2.0), &both), (Some(2.0), Verdict::Holds));
        assert_eq!(judged(&ratio(2.1), &both), (Some(2.0), Verdict::Missed));
        assert_eq!(judged(&ratio(2.0), &both[..1]), (None, Verdict::NotMeasured));
    }

    #[test]
    fn a_bound_inside_the_interval_is_not_decided() {
        let values: Vec<f64> = (0..12).map(f64::from).map(|it| 8.0 + it / 3.0).collect();
        let both = [contestant("a", &values), contestant("b", &[1.0; 12])];
        assert_eq!(judged(&ratio(2.0), &both).1, Verdict::Holds);
        assert_eq!(judged(&ratio(9.8), &both).1, Verdict::Undecided);
        assert_eq!(judged(&ratio(20.0), &both).1, Verdict::Missed);
    }

    #[test]
    fn a_difference_is_held_against_what_was_injected() {
        let both = [contestant("a", &[21.0; 5]), contestant("b", &[1.0; 5])];
        let claim = |expected| Claim::Difference {
            subject: "a".to_owned(),
            peer: "b".to_owned(),
            bound: Bound::Within { expected, tolerance: 1.0 },
        };
        assert_eq!(judged(&claim(20.5), &both), (Some(20.0), Verdict::Holds));
        assert_eq!(judged(&claim(22.0), &both), (Some(20.0), Verdict::Missed));
    }

    #[test]
    fn an_interval_around_what_was_expected_is_not_decided() {
        let bound = Some(Bound::Within { expected: 5.0, tolerance: 1.0 });
        let interval = |low, high| Some(Interval { low, high });
        assert_eq!(Verdict::of(Some(5.0), interval(3.0, 7.0), bound), Verdict::Undecided);
        assert_eq!(Verdict::of(Some(5.0), interval(4.5, 7.0), bound), Verdict::Undecided);
        assert_eq!(Verdict::of(Some(8.0), interval(7.0, 9.0), bound), Verdict::Missed);
    }

    #[test]
    fn only_rounds_of_both_are_pairs() {
        let mut a = contestant("a", &[1.0, 2.0, 3.0]);
        let b = contestant("b", &[10.0, 20.0]);
        assert_eq!(pairs(&a, &b), [(1.0, 10.0), (2.0, 20.0)]);
        if let Outcome::Measured { samples, .. } = &mut a.outcome {
            samples.remove(0);
        }
        assert_eq!(pairs(&a, &b), [(2.0, 20.0)]);
    }

    #[test]
    fn nothing_measured_is_not_measured() {
        let claim = Claim::Value { subject: "a".to_owned(), bound: Bound::Below(1.0) };
        assert_eq!(judged(&claim, &[contestant("a", &[])]), (None, Verdict::NotMeasured));
        assert_eq!(judged(&claim, &[contestant("a", &[1.0])]), (Some(1.0), Verdict::Missed));
    }
}
