//! Connections that ended and whose packets may still be under way (RFC 9293, 3.6): addresses, ports
//! and two numbers, without buffers.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::device::Extent;
use super::segment::{Control, Flow, Kind, Segment, is_after};

/// Connections that rest; the oldest gives way.
const LIMIT: usize = 32_768;

#[derive(Debug, Clone, Copy)]
struct Resting {
    last: Extent,
    until: Instant,
}

/// What becomes of a segment for a resting connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Ignore,
    /// The peer did not hear the end.
    Acknowledge(Control),
    /// The peer starts a new connection.
    New,
}

/// The table. All entries rest equally long, so they end in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct TimeWait {
    resting: HashMap<Flow, Resting>,
    order: VecDeque<(Instant, Flow)>,
}

impl TimeWait {
    pub(super) fn contains(&self, flow: &Flow) -> bool {
        self.resting.contains_key(flow)
    }

    pub(super) fn add(&mut self, flow: Flow, last: Extent, now: Instant, rest: Duration) {
        if self.order.len() >= LIMIT
            && let Some((until, oldest)) = self.order.pop_front()
        {
            self.remove(&oldest, until);
        }
        let until = now + rest;
        self.resting.insert(flow, Resting { last, until });
        self.order.push_back((until, flow));
    }

    /// Judges a segment for `flow`; `None` when it does not rest here. A new connection may take the
    /// place of one whose numbers it is beyond (RFC 9293, 3.10.7.4; RFC 6191).
    pub(super) fn judge(&mut self, flow: &Flow, segment: &Segment) -> Option<Verdict> {
        let resting = self.resting.get(flow)?;
        if segment.is_rst() {
            // RFC 1337: a late reset does not end the rest.
            return Some(Verdict::Ignore);
        }
        if segment.is_syn() && !segment.is_ack() && is_after(segment.seq, resting.last.expected) {
            self.resting.remove(flow);
            return Some(Verdict::New);
        }
        if segment.len() == 0 {
            return Some(Verdict::Ignore);
        }
        let Extent { end, expected, window } = resting.last;
        let kind = Kind::Acknowledge;
        Some(Verdict::Acknowledge(Control { seq: end, ack: Some(expected), kind, window }))
    }

    /// Forgets what has rested long enough.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(until, flow)) = self.order.front()
            && until <= now
        {
            self.order.pop_front();
            self.remove(&flow, until);
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.order.front().map(|&(until, _)| until)
    }

    pub(super) fn len(&self) -> usize {
        self.resting.len()
    }

    /// Removes an entry, unless it has come anew meanwhile.
    fn remove(&mut self, flow: &Flow, until: Instant) {
        if self.resting.get(flow).is_some_and(|resting| resting.until == until) {
            self.resting.remove(flow);
        }
    }
}
