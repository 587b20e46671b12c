//! Open-loop load: when each request is due, whatever became of the ones before it. Pure.
//!
//! A client that waits for an answer before it asks again asks less while the other side is slow, and so
//! hardly ever sees how slow it is ("coordinated omission"). Here requests have due times at a fixed
//! rate, and the latency of one is counted from when it was *due*, not from when it could be sent: a
//! stall of the other side counts for every request that was due in it.

/// Requests at a fixed rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    per_second: u64,
}

const SECOND: u128 = 1_000_000_000;

impl Pace {
    /// `None` for a rate of zero or of more than one in a nanosecond.
    pub(crate) fn new(per_second: u64) -> Option<Self> {
        (1..=1_000_000_000).contains(&per_second).then_some(Self { per_second })
    }

    /// When request `number` is due, in nanoseconds after the start.
    #[inline]
    pub(crate) fn due(self, number: u64) -> u64 {
        let due = u128::from(number) * SECOND / u128::from(self.per_second);
        u64::try_from(due).unwrap_or(u64::MAX)
    }

    /// How many requests are due by `now`, in nanoseconds after the start.
    #[inline]
    pub(crate) fn released(self, now: u64) -> u64 {
        // Due times are rounded down: all that are due before the next nanosecond are due.
        let count = ((u128::from(now) + 1) * u128::from(self.per_second)).div_ceil(SECOND);
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::latency::Recorder;

    proptest! {
        #[test]
        fn what_is_released_is_due_and_the_next_is_not(
            rate in 1u64..=1_000_000_000, now in 0u64..10_000_000_000,
        ) {
            let pace = Pace::new(rate).unwrap();
            let count = pace.released(now);
            prop_assert!(count >= 1, "request 0 is due at once");
            prop_assert!(pace.due(count - 1) <= now);
            prop_assert!(pace.due(count) > now);
        }
    }

    /// A server that answers each request `service` nanoseconds after it began with it, one at a time,
    /// and does nothing during `stall`; the client sends on time.
    fn simulate(rate: u64, requests: u64, service: u64, stall: (u64, u64)) -> Recorder {
        let pace = Pace::new(rate).unwrap();
        let mut latencies = Recorder::default();
        let mut free = 0;
        for number in 0..requests {
            let due = pace.due(number);
            let mut begin = due.max(free);
            if (stall.0..stall.1).contains(&begin) {
                begin = stall.1;
            }
            free = begin + service;
            latencies.record(free - due);
        }
        latencies
    }

    #[test]
    fn a_known_delay_is_what_is_recorded() {
        for delay in [800, 20_000, 3_000_000] {
            let rate = 1_000_000_000 / (2 * delay);
            let latencies = simulate(rate, 5000, delay, (0, 0));
            for share in [0.5, 0.99, 0.9999] {
                let seen = latencies.quantile(share).unwrap();
                // The stated error: one in a hundred.
                assert!(seen.abs_diff(delay) * 100 <= delay, "{seen} for {delay}");
            }
        }
    }

    #[test]
    fn a_stall_counts_for_all_that_were_due_in_it() {
        // 10,000 requests in a second, answered in 10 µs, but for 100 ms nothing is.
        let latencies = simulate(10_000, 10_000, 10_000, (300_000_000, 400_000_000));
        assert_eq!(latencies.count(), 10_000);
        // A tenth was due during the stall and waited 50 ms on average; a closed loop would have seen
        // one slow request. (Working off what waited takes a little longer than the stall.)
        let slow = latencies.count_above(1_000_000);
        assert!((990..=1150).contains(&slow), "{slow}");
        let at = |share| latencies.quantile(share).unwrap();
        assert!((9_900..=10_100).contains(&at(0.5)));
        assert!((45_000_000..=56_000_000).contains(&at(0.95)), "{}", at(0.95));
        assert!((98_000_000..=102_000_000).contains(&at(0.9999)));
    }
}
