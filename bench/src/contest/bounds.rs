//! The bounds of every round trip through shared memory: two threads that do nothing else.

use anyhow::{Result, ensure};

use super::process::alone;
use super::{Contest, Placement, Plan, Sample, count, nanoseconds_each};
use crate::worker::Task;

/// What the two threads hand to and fro.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    /// A cache line.
    CacheLine,
    /// A frame in a ring without checks.
    BareRing,
}

impl Contest for Bound {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![
            Placement::on("one thread", plan.cores.first),
            Placement::on("the other thread", plan.cores.second),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let (first, second) = (plan.cores.first, plan.cores.second);
        let task = match self {
            Self::CacheLine => Task::Line { first, second },
            Self::BareRing => Task::BareRing { first, second },
        };
        let (tally, nanoseconds, _) = alone("hands it on", &task, plan)?;
        ensure!(tally.received > 0, "nothing came back");
        let microseconds = nanoseconds_each(nanoseconds, tally.received) / 1e3;
        Sample::new(microseconds, [("round trips", count(tally.received))])
    }
}
