//! A token bucket on coarse ticks, exact in integers.

use crate::bridge::Tick;

/// Admits `rate` tokens per second on average, and `burst` at once, but at least what the rate gives in two
/// ticks: between two ticks nothing is gained.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    /// Tokens per second; 0 admits everything.
    rate: u64,
    /// Thousandths of a token.
    capacity: i64,
    /// What is left, in thousandths of a token; below zero after a cost that no burst covers.
    level: i64,
    filled: Tick,
}

impl TokenBucket {
    /// Larger rates and bursts count as this one: no bucket fills so fast that it would matter.
    pub(crate) const MOST: u64 = 1_000_000_000_000;

    /// A full bucket.
    pub(crate) fn new(rate: u64, burst: u64) -> Self {
        let rate = rate.min(Self::MOST);
        let capacity = thousandths(burst).max(i64::try_from(2 * rate).unwrap_or(i64::MAX));
        Self { rate, capacity, level: capacity, filled: Tick(0) }
    }

    /// Takes `cost` tokens; `false`, and none taken, when there are too few.
    #[inline]
    pub(crate) fn admit(&mut self, now: Tick, cost: u64) -> bool {
        let admitted = self.has(now, cost);
        if admitted {
            self.take(cost);
        }
        admitted
    }

    /// Whether `cost` tokens can be taken. One that exceeds the burst can when the bucket is full, and
    /// is paid for afterwards: the average holds.
    #[inline]
    pub(crate) fn has(&mut self, now: Tick, cost: u64) -> bool {
        if self.rate == 0 {
            return true;
        }
        let elapsed = now.0.saturating_sub(self.filled.0);
        if elapsed > 0 {
            // `rate` tokens per 1000 ms are `rate` thousandths of a token per millisecond.
            let gained = i64::try_from(elapsed.saturating_mul(self.rate)).unwrap_or(i64::MAX);
            self.level = self.level.saturating_add(gained).min(self.capacity);
            self.filled = now;
        }
        self.level >= thousandths(cost).min(self.capacity)
    }

    /// Takes `cost` tokens that are there.
    #[inline]
    pub(crate) fn take(&mut self, cost: u64) {
        if self.rate != 0 {
            self.level = self.level.saturating_sub(thousandths(cost));
        }
    }
}

fn thousandths(tokens: u64) -> i64 {
    i64::try_from(tokens.min(TokenBucket::MOST) * 1000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn admitted(bucket: &mut TokenBucket, now: Tick, tries: usize) -> usize {
        (0..tries).filter(|_| bucket.admit(now, 1)).count()
    }

    #[test]
    fn the_burst_passes_at_once_and_no_more() {
        assert_eq!(admitted(&mut TokenBucket::new(10_000, 1000), Tick(5), 5000), 1000);
        assert_eq!(admitted(&mut TokenBucket::new(0, 0), Tick(5), 5000), 5000);
    }

    #[test]
    fn the_average_is_the_rate() {
        let mut bucket = TokenBucket::new(700, 70);
        admitted(&mut bucket, Tick(0), 5000);
        let passed: usize = (1..=10_000).map(|ms| admitted(&mut bucket, Tick(ms), 5)).sum();
        assert_eq!(passed, 7000);
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let mut bucket = TokenBucket::new(1000, 100);
        assert_eq!(admitted(&mut bucket, Tick(1000), 5000), 100);
        assert_eq!(admitted(&mut bucket, Tick(1), 10), 0);
        assert_eq!(admitted(&mut bucket, Tick(1001), 10), 1);
    }

    #[test]
    fn what_exceeds_the_burst_waits_for_a_full_bucket_and_is_paid_for() {
        let mut bucket = TokenBucket::new(1000, 10);
        assert!(bucket.admit(Tick(0), 100));
        assert!(!bucket.admit(Tick(90), 1), "it owes ninety, and ninety have come");
        assert!(bucket.admit(Tick(91), 1));
        assert!(!bucket.admit(Tick(99), 100), "not full");
    }

    proptest! {
        /// Whatever is asked for when, no more passes than the rate, the burst and one last cost.
        #[test]
        fn the_bound_holds(
            rate in 1..1_000_000u64,
            burst in 1..100_000u64,
            asked in proptest::collection::vec((0..200u64, 1..200_000u64), 1..200),
        ) {
            let mut bucket = TokenBucket::new(rate, burst);
            let (mut now, mut passed) = (0, 0);
            for (pause, cost) in asked {
                now += pause;
                if bucket.admit(Tick(now), cost) {
                    passed += cost;
                    let at_once = (burst * 1000).max(2 * rate);
                    prop_assert!((passed - cost) * 1000 <= now * rate + at_once);
                }
            }
        }

        /// A sender that keeps to the rate is never held up.
        #[test]
        fn who_keeps_to_the_rate_passes(rate in 1..100_000u64, burst in 1..1000u64, count in 1..500u64) {
            let mut bucket = TokenBucket::new(rate, burst);
            for sent in 0..count {
                prop_assert!(bucket.admit(Tick(sent * 1000 / rate), 1), "the {}th", sent);
            }
        }

        #[test]
        fn no_number_is_too_large(rate: u64, burst: u64, cost: u64, now: u64) {
            let mut bucket = TokenBucket::new(rate, burst);
            bucket.admit(Tick(0), cost);
            bucket.admit(Tick(now), cost);
        }
    }
}
