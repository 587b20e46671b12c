//! Confidence intervals by the bootstrap: what the figure would have been had other runs been drawn.
//!
//! Runs come in pairs, A B A B …, because the machine changes from minute to minute and both runs of a
//! pair see the same minute. So whole pairs are drawn, with replacement, as many as there are; the
//! statistic of each draw is noted, and the interval holds the middle of what was noted (percentile
//! method: B. Efron, R. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13).
//!
//! The draws come from a generator with a fixed seed: the same figures give the same interval.

use fastrand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::median;

/// Fewer pairs say too little of how figures vary: no interval is stated.
const FEWEST: usize = 5;

/// How intervals are computed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Bootstrap {
    /// The share of draws that the interval holds, below 1.
    pub(crate) confidence: f64,
    /// How many draws.
    pub(crate) draws: u32,
    pub(crate) seed: u64,
}

impl Default for Bootstrap {
    /// 95 % of 5000 draws.
    fn default() -> Self {
        Self { confidence: 0.95, draws: 5000, seed: 20_261_129 }
    }
}

/// Where a figure lies with the stated confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The interval of the ratio of two medians; `None` for fewer than five pairs.
pub(crate) fn ratio_interval(pairs: &[(f64, f64)], method: &Bootstrap) -> Option<Interval> {
    interval(pairs, method, |a, b| a / b)
}

/// The interval of the difference of two medians; `None` for fewer than five pairs.
pub(crate) fn difference_interval(pairs: &[(f64, f64)], method: &Bootstrap) -> Option<Interval> {
    interval(pairs, method, |a, b| a - b)
}

/// The interval of the ratio of two medians of runs that are no pairs; `None` for fewer than five of
/// either.
pub(crate) fn unpaired_ratio_interval(
    left: &[f64],
    right: &[f64],
    method: &Bootstrap,
) -> Option<Interval> {
    if left.len().min(right.len()) < FEWEST {
        return None;
    }
    let mut random = Rng::with_seed(method.seed);
    let mut redraw = |from: &[f64]| {
        let mut drawn: Vec<f64> = from.iter().map(|_| from[random.usize(..from.len())]).collect();
        median(&mut drawn)
    };
    middle((0..method.draws).filter_map(|_| Some(redraw(left)? / redraw(right)?)), method)
}

fn interval(
    pairs: &[(f64, f64)],
    method: &Bootstrap,
    statistic: impl Fn(f64, f64) -> f64,
) -> Option<Interval> {
    if pairs.len() < FEWEST {
        return None;
    }
    let mut random = Rng::with_seed(method.seed);
    let (mut left, mut right) = (vec![0.0; pairs.len()], vec![0.0; pairs.len()]);
    let draw = |_| {
        for (a, b) in left.iter_mut().zip(&mut right) {
            (*a, *b) = pairs[random.usize(..pairs.len())];
        }
        Some(statistic(median(&mut left)?, median(&mut right)?))
    };
    middle((0..method.draws).filter_map(draw), method)
}

/// What holds the middle of all that was noted.
fn middle(noted: impl Iterator<Item = f64>, method: &Bootstrap) -> Option<Interval> {
    let mut noted: Vec<f64> = noted.filter(|it| it.is_finite()).collect();
    noted.sort_by(f64::total_cmp);
    let outside = (1.0 - method.confidence) / 2.0;
    Some(Interval { low: at(&noted, outside)?, high: at(&noted, 1.0 - outside)? })
}

/// The figure after a share of a sorted series.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a length is an index"
)]
fn at(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get(((last as f64) * share).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use proptest::prelude::*;

    use super::{
        Bootstrap, Interval, difference_interval, ratio_interval, unpaired_ratio_interval,
    };

    /// Roughly normal: the mean of uniform figures around `centre`.
    fn noisy(random: &mut Rng, centre: f64, spread: f64) -> f64 {
        let sum: f64 = (0..12).map(|_| random.f64()).sum();
        centre + (sum - 6.0) * spread
    }

    #[test]
    fn no_interval_from_a_handful_and_none_without_spread() {
        let same = vec![(4.0, 2.0); 10];
        let method = Bootstrap::default();
        assert_eq!(ratio_interval(&same[..4], &method), None);
        assert_eq!(ratio_interval(&same, &method), Some(Interval { low: 2.0, high: 2.0 }));
        assert_eq!(difference_interval(&same, &method), Some(Interval { low: 2.0, high: 2.0 }));
    }

    /// The promise of the method itself: of many experiments whose truth is known, about as many
    /// intervals as stated hold it.
    #[test]
    fn the_truth_is_inside_about_as_often_as_stated() {
        let method = Bootstrap { draws: 400, ..Bootstrap::default() };
        let mut random = Rng::with_seed(7);
        let mut held = 0;
        for _ in 0..400 {
            let pairs: Vec<_> = (0..12)
                .map(|_| (noisy(&mut random, 30.0, 1.0), noisy(&mut random, 10.0, 0.5)))
                .collect();
            let interval = ratio_interval(&pairs, &method).unwrap();
            held += u32::from(interval.low <= 3.0 && 3.0 <= interval.high);
        }
        assert!((360..=400).contains(&held), "{held} of 400");
    }

    #[test]
    fn runs_that_are_no_pairs_need_be_no_equal_number() {
        let method = Bootstrap::default();
        let interval = unpaired_ratio_interval(&[6.0; 9], &[2.0; 5], &method);
        assert_eq!(interval, Some(Interval { low: 3.0, high: 3.0 }));
        assert_eq!(unpaired_ratio_interval(&[6.0; 9], &[2.0; 4], &method), None);
    }

    #[test]
    fn what_changes_for_both_does_not_widen_the_interval() {
        let mut random = Rng::with_seed(3);
        let weather: Vec<f64> = (0..20).map(|_| 1.0 + 4.0 * random.f64()).collect();
        let together: Vec<_> = weather.iter().map(|it| (6.0 * it, 2.0 * it)).collect();
        let apart: Vec<_> =
            weather.iter().zip(weather.iter().rev()).map(|(a, b)| (6.0 * a, 2.0 * b)).collect();
        let width = |pairs: &[(f64, f64)]| {
            let it = ratio_interval(pairs, &Bootstrap::default()).unwrap();
            it.high - it.low
        };
        assert!(width(&together) < 1e-9);
        assert!(width(&apart) > 0.5);
    }

    proptest! {
        #[test]
        fn the_same_figures_give_the_same_interval_around_the_ratio(
            pairs in prop::collection::vec((0.1f64..1e6, 0.1f64..1e6), 5..30),
        ) {
            let method = Bootstrap { draws: 200, ..Bootstrap::default() };
            let interval = ratio_interval(&pairs, &method).unwrap();
            prop_assert_eq!(Some(interval), ratio_interval(&pairs, &method));
            prop_assert!(interval.low <= interval.high);
            let (least, most) = pairs.iter().fold((f64::MAX, f64::MIN), |(low, high), (a, _)| {
                (low.min(*a), high.max(*a))
            });
            let (b_least, b_most) = pairs.iter().fold((f64::MAX, f64::MIN), |(low, high), (_, b)| {
                (low.min(*b), high.max(*b))
            });
            prop_assert!(interval.low >= least / b_most && interval.high <= most / b_least);
        }
    }
}
