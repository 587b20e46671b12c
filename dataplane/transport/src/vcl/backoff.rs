//! When a process that ended is started again. Pure.

use std::time::{Duration, Instant};

/// The first pause.
const FIRST: Duration = Duration::from_millis(200);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(10);

/// A process that was attached for so long counts as one that works.
const GOOD: Duration = Duration::from_secs(30);

/// Pauses that double as long as processes end early.
#[derive(Debug)]
pub(crate) struct Backoff {
    pause: Duration,
    attached: Option<Instant>,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { pause: FIRST, attached: None }
    }

    /// The process is attached.
    pub(crate) fn attached(&mut self, now: Instant) {
        self.attached = Some(now);
    }

    /// The process ended: when to start the next one.
    pub(crate) fn ended(&mut self, now: Instant) -> Instant {
        let attached = self.attached.take();
        if attached.is_some_and(|since| now.duration_since(since) >= GOOD) {
            self.pause = FIRST;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        now + pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_anew_after_a_good_run() {
        let mut backoff = Backoff::new();
        let now = Instant::now();
        let pauses: Vec<_> = (0..8).map(|_| (backoff.ended(now) - now).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        backoff.attached(now);
        assert_eq!(backoff.ended(now + GOOD / 2) - (now + GOOD / 2), LONGEST);
        backoff.attached(now);
        assert_eq!(backoff.ended(now + GOOD) - (now + GOOD), FIRST);
    }
}
