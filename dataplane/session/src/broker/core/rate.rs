//! How many sessions an endpoint may make in a second.

use std::time::Duration;

/// A rate, and how much of it may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// On average; 0 counts as 1.
    pub per_second: u64,
    /// At once, after a pause.
    pub burst: u64,
}

/// What is left of a rate: the generic cell rate algorithm (ITU-T I.371), which keeps one point in time. Such
/// points are durations since some fixed moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    /// When everything that was taken so far is paid for.
    paid: Duration,
}

impl Meter {
    /// Takes one of what `rate` allows; `false` when nothing is left.
    pub(super) fn admit(&mut self, rate: Rate, now: Duration) -> bool {
        let price = price(rate.per_second);
        // So large a burst that nobody will ever have made so many sessions is no limit.
        let credit = u32::try_from(rate.burst).ok().and_then(|burst| price.checked_mul(burst));
        let due = self.paid.max(now).saturating_add(price);
        let admitted = credit.is_none_or(|credit| due <= now.saturating_add(credit));
        if admitted {
            self.paid = due;
        }
        admitted
    }
}

/// The time that one of so many a second takes, rounded up.
fn price(per_second: u64) -> Duration {
    Duration::from_nanos(1_000_000_000_u64.div_ceil(per_second.max(1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_burst_passes_at_once_and_then_one_at_a_time() {
        let rate = Rate { per_second: 10, burst: 3 };
        let mut meter = Meter::default();
        let at = |ms| Duration::from_mins(1) + Duration::from_millis(ms);
        let outcomes = [0, 0, 0, 0, 99, 100, 100, 350].map(|ms| meter.admit(rate, at(ms)));
        assert_eq!(outcomes, [true, true, true, false, false, true, false, true]);
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let rate = Rate { per_second: 1, burst: 1 };
        let mut meter = Meter::default();
        assert!(meter.admit(rate, Duration::from_secs(10)));
        assert!(!meter.admit(rate, Duration::from_secs(5)));
        assert!(meter.admit(rate, Duration::from_secs(11)));
    }

    proptest! {
        /// Over any stretch of time no more passes than the rate and the burst allow.
        #[test]
        fn the_bound_holds(
            per_second in 1..100_000u64, burst in 1..1000u64,
            pauses in proptest::collection::vec(0..50_000_000u64, 1..500),
        ) {
            let (mut meter, mut now, mut passed) = (Meter::default(), 0, 0);
            for pause in pauses {
                now += pause;
                let admitted = meter.admit(Rate { per_second, burst }, Duration::from_nanos(now));
                passed += u64::from(admitted);
            }
            prop_assert!(passed <= now * per_second / 1_000_000_000 + burst);
        }

        /// Who keeps to the rate is never refused.
        #[test]
        fn who_keeps_to_the_rate_passes(per_second in 1..100_000u64, burst in 1..100u64, count in 1..500u64) {
            let mut meter = Meter::default();
            for number in 0..count {
                let now = Duration::from_nanos(number * 1_000_000_000_u64.div_ceil(per_second));
                let admitted = meter.admit(Rate { per_second, burst }, now);
                prop_assert!(admitted, "the {}th", number);
            }
        }

        #[test]
        fn no_number_is_too_large(per_second: u64, burst: u64, now: u64) {
            let mut meter = Meter::default();
            for now in [0, now, u64::MAX] {
                meter.admit(Rate { per_second, burst }, Duration::from_secs(now));
            }
        }
    }
}
