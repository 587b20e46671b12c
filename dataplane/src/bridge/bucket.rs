//! A token bucket on coarse ticks, exact in integers.

use super::Tick;

/// Admits `rate` frames per second on average and a tenth of a second's worth at once.
#[derive(Debug, Clone)]
pub(super) struct TokenBucket {
    /// Frames per second; 0 admits everything.
    rate: u64,
    /// What is left, in thousandths of a frame.
    level: u64,
    filled: Tick,
}

impl TokenBucket {
    /// A full bucket.
    pub(super) fn new(rate: u32) -> Self {
        let rate = u64::from(rate);
        Self { rate, level: capacity(rate), filled: Tick(0) }
    }

    /// Takes one token; `false` when there is none.
    pub(super) fn admit(&mut self, now: Tick) -> bool {
        if self.rate == 0 {
            return true;
        }
        let elapsed = now.0.saturating_sub(self.filled.0);
        if elapsed > 0 {
            // `rate` frames per 1000 ms are `rate` thousandths of a frame per millisecond.
            let gained = elapsed.saturating_mul(self.rate);
            self.level = self.level.saturating_add(gained).min(capacity(self.rate));
            self.filled = now;
        }
        let admitted = self.level >= FRAME;
        if admitted {
            self.level -= FRAME;
        }
        admitted
    }
}

const FRAME: u64 = 1000;
const MIN_BURST: u64 = 32;

fn capacity(rate: u64) -> u64 {
    (rate / 10).max(MIN_BURST) * FRAME
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(bucket: &mut TokenBucket, now: Tick, tries: usize) -> usize {
        (0..tries).filter(|_| bucket.admit(now)).count()
    }

    #[test]
    fn a_burst_is_a_tenth_of_a_second_but_at_least_32() {
        assert_eq!(admitted(&mut TokenBucket::new(10_000), Tick(5), 5000), 1000);
        assert_eq!(admitted(&mut TokenBucket::new(1), Tick(5), 5000), 32);
        assert_eq!(admitted(&mut TokenBucket::new(0), Tick(5), 5000), 5000);
    }

    #[test]
    fn the_average_is_the_rate() {
        let mut bucket = TokenBucket::new(700);
        admitted(&mut bucket, Tick(0), 5000);
        let passed: usize = (1..=10_000).map(|ms| admitted(&mut bucket, Tick(ms), 5)).sum();
        assert_eq!(passed, 7000);
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let mut bucket = TokenBucket::new(1000);
        assert_eq!(admitted(&mut bucket, Tick(1000), 5000), 100);
        assert_eq!(admitted(&mut bucket, Tick(1), 10), 0);
        assert_eq!(admitted(&mut bucket, Tick(1001), 10), 1);
    }
}
