//! What is made of figures: medians and spread, intervals of ratios, and how a curve grows. Pure.

mod bootstrap;
mod growth;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use bootstrap::{
    Bootstrap, Interval, difference_interval, ratio_interval, unpaired_ratio_interval,
};
pub(crate) use growth::growth;

/// What a series of figures comes to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// First quartile.
    pub(crate) q1: f64,
    /// Third quartile.
    pub(crate) q3: f64,
}

impl Summary {
    /// `None` without figures. Quartiles are interpolated between the two nearest figures.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let at = |quarters| quantile(&sorted, quarters);
        Some(Self { median: at(2), min, max, q1: at(1), q3: at(3) })
    }
}

/// The figure after `quarters` quarters of a sorted series that is not empty.
fn quantile(sorted: &[f64], quarters: usize) -> f64 {
    let steps = (sorted.len() - 1) * quarters;
    let (below, fraction) = (steps / 4, [0.0, 0.25, 0.5, 0.75][steps % 4]);
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * fraction
}

/// The median of figures in any order, which are sorted by this; `None` without any.
fn median(figures: &mut [f64]) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    (!figures.is_empty()).then(|| quantile(figures, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_even_and_single() {
        let summary = |min, q1, median, q3, max| Some(Summary { median, min, max, q1, q3 });
        assert_eq!(Summary::of([5.0, 1.0, 3.0, 2.0, 4.0]), summary(1.0, 2.0, 3.0, 4.0, 5.0));
        assert_eq!(Summary::of([4.0, 1.0, 3.0, 2.0]), summary(1.0, 1.75, 2.5, 3.25, 4.0));
        assert_eq!(Summary::of([7.0]), summary(7.0, 7.0, 7.0, 7.0, 7.0));
        assert_eq!(Summary::of([]), None);
    }
}
