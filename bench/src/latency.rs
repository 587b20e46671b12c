//! Latencies of many requests in little memory: HDR histograms, here in nanoseconds with two digits.

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart from longer ones: a minute.
const LONGEST: u64 = 60_000_000_000;
/// Significant digits: a figure is right within one in a hundred.
const DIGITS: u8 = 2;

/// Takes latencies.
#[derive(Debug, Clone)]
pub(crate) struct Recorder(Histogram<u64>);

impl Default for Recorder {
    fn default() -> Self {
        let empty = Histogram::new_with_max(LONGEST, DIGITS);
        Self(empty.expect("two digits up to a minute are within a histogram's bounds"))
    }
}

/// Latencies as they are written down: `[nanoseconds, count]` for each cell that is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Latencies(Vec<(u64, u64)>);

impl Recorder {
    /// Adds one latency in nanoseconds; longer ones than a minute count as a minute.
    #[inline]
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// Adds what was written down elsewhere.
    pub(crate) fn add(&mut self, latencies: &Latencies) {
        for &(nanoseconds, count) in &latencies.0 {
            self.0.saturating_record_n(nanoseconds, count);
        }
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// How many were longer.
    #[cfg(test)]
    pub(crate) fn count_above(&self, nanoseconds: u64) -> u64 {
        self.0.len() - self.0.count_between(0, nanoseconds)
    }

    /// The latency that a share of all does not exceed; `None` without any.
    pub(crate) fn quantile(&self, share: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(share))
    }

    /// For writing down.
    pub(crate) fn latencies(&self) -> Latencies {
        let cell = |it: hdrhistogram::iterators::IterationValue<u64>| {
            // The middle of the cell, so that reading it again lands in the same one.
            (self.0.median_equivalent(it.value_iterated_to()), it.count_at_value())
        };
        Latencies(self.0.iter_recorded().map(cell).collect())
    }
}

impl Latencies {
    /// Those of both.
    pub(crate) fn merged(&self, other: &Self) -> Self {
        let mut recorder = Recorder::default();
        recorder.add(self);
        recorder.add(other);
        recorder.latencies()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|it| it.1).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latencies in microseconds at each of `shares`; nothing without latencies.
    #[expect(clippy::cast_precision_loss, reason = "at most a minute")]
    pub(crate) fn microseconds_at(&self, shares: &[f64]) -> Vec<f64> {
        let mut recorder = Recorder::default();
        recorder.add(self);
        shares.iter().filter_map(|&it| recorder.quantile(it)).map(|it| it as f64 / 1e3).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Recorder::default().quantile(0.5), None);
        assert!(Latencies::default().microseconds_at(&[0.5]).is_empty());
    }

    proptest! {
        #[test]
        fn written_down_and_read_it_is_the_same(
            all in prop::collection::vec(0u64..70_000_000_000, 1..200),
        ) {
            let mut recorder = Recorder::default();
            for &it in &all {
                recorder.record(it);
            }
            let written = recorder.latencies();
            let mut again = Recorder::default();
            again.add(&written);
            prop_assert_eq!(again.count(), recorder.count());
            prop_assert_eq!(written.count(), recorder.count());
            prop_assert_eq!(again.latencies(), written.clone());
            for share in [0.0, 0.5, 0.9, 0.99, 1.0] {
                prop_assert_eq!(again.quantile(share), recorder.quantile(share));
            }
            let twice = written.merged(&written);
            prop_assert_eq!(twice.microseconds_at(&[0.5]), written.microseconds_at(&[0.5]));
        }

        #[test]
        fn a_quantile_is_right_within_one_in_a_hundred(value in 1u64..LONGEST) {
            let mut recorder = Recorder::default();
            recorder.record(value);
            let seen = recorder.quantile(0.5).unwrap();
            prop_assert!(seen.abs_diff(value) * 100 <= value, "{} for {}", seen, value);
        }
    }
}
