//! What a host's thread counts, for whoever wants to see it.

use std::sync::{Arc, Mutex, PoisonError};

use stack::{Counters, NameCounters};

/// Counts of a host since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostCounters {
    /// What became of the frames of the container's kernel.
    pub names: NameCounters,
    /// Frames, packets and connections of the network stack. All are zero where VPP's stack serves.
    pub stack: Counters,
}

/// The counts of a moment ago.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted(Arc<Mutex<HostCounters>>);

impl Counted {
    pub(crate) fn get(&self) -> HostCounters {
        // Copied as a whole.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, counters: HostCounters) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}
