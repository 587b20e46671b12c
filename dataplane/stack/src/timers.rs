//! When something has to be looked at again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::tcp::ConnectionId;

/// Whose time comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whose {
    Connection(ConnectionId),
    Neighbour(u32),
}

/// Alarms in order. One that is not wanted any more stays until it rings; whoever it is for knows its
/// own deadline and ignores it, or sets it anew when the deadline has moved on.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Whose)>>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, whose: Whose) {
        self.heap.push(Reverse((at, whose)));
    }

    /// The next alarm.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// An alarm that has rung.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(Instant, Whose)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(alarm)| alarm)
    }
}
