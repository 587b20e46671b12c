//! When all has come that was sent before the end.

use std::time::{Duration, Instant};

/// After the end, nothing for so long means that all has come.
const QUIET: Duration = Duration::from_millis(100);

/// What still comes after the end.
#[derive(Debug)]
pub(super) struct Rest {
    /// The beginning of the last look that found something.
    something_came: Instant,
}

impl Rest {
    pub(super) fn begins() -> Self {
        Self { something_came: Instant::now() }
    }

    /// Whether all has come, after a look. Time in which this process did not run says nothing: only a look
    /// that *began* long enough after something came, and found nothing, tells.
    pub(super) fn is_over(&mut self, began: Instant, found: bool) -> bool {
        if found {
            self.something_came = began;
        }
        !found && began - self.something_came >= QUIET
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_a_look_that_began_late_and_found_nothing() {
        let start = Instant::now();
        let mut rest = Rest { something_came: start };
        let millisecond = Duration::from_millis(1);
        assert!(!rest.is_over(start + millisecond, false), "too early");
        // The process did not run for a second; meanwhile bytes came.
        let late = start + Duration::from_secs(1);
        assert!(!rest.is_over(late, true));
        assert!(!rest.is_over(late + millisecond, false));
        assert!(rest.is_over(late + QUIET, false));
    }
}
