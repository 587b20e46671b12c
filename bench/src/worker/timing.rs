//! Latencies of the interval that counts, told to the parent when it is over.

use anyhow::Result;

use super::Report;
use super::orders::{Meter, tell};
use crate::latency::Recorder;

/// Takes latencies; those before the interval do not count.
#[derive(Debug, Default)]
pub(super) struct Timing {
    latencies: Recorder,
    counted: bool,
}

impl Timing {
    #[inline]
    pub(super) fn record(&mut self, nanoseconds: u64) {
        self.latencies.record(nanoseconds);
    }

    /// Takes note of where the interval begins and ends: to be called at each turn.
    #[inline]
    pub(super) fn follow(&mut self, meter: &Meter) -> Result<()> {
        if meter.counts() == self.counted { Ok(()) } else { self.turn() }
    }

    #[cold]
    fn turn(&mut self) -> Result<()> {
        self.counted = !self.counted;
        if self.counted {
            self.latencies.clear();
            return Ok(());
        }
        tell(&Report::Latencies { latencies: self.latencies.latencies() })
    }
}
