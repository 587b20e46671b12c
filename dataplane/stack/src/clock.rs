//! The owner's time as smoltcp's.

use std::time::Instant;

/// Counts from the creation of the stack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start }
    }

    /// It begins at one second: smoltcp takes zero for "at once".
    pub(crate) fn to_smoltcp(self, now: Instant) -> smoltcp::time::Instant {
        let elapsed = now.saturating_duration_since(self.start).as_micros();
        smoltcp::time::Instant::from_micros(
            i64::try_from(elapsed).unwrap_or(i64::MAX / 2) + 1_000_000,
        )
    }

    pub(crate) fn to_std(self, time: smoltcp::time::Instant) -> Instant {
        let micros = u64::try_from(time.total_micros() - 1_000_000).unwrap_or(0);
        self.start + std::time::Duration::from_micros(micros)
    }
}
