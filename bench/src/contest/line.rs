//! The bound of every round trip through shared memory.

use anyhow::{Result, ensure};

use super::process::alone;
use super::{Contest, Placement, Plan, Sample, count, nanoseconds_each};
use crate::worker::Task;

/// The contestant.
#[derive(Debug)]
pub(super) struct CacheLine;

impl Contest for CacheLine {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![
            Placement::on("one thread", plan.cores.first),
            Placement::on("the other thread", plan.cores.second),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let (first, second) = (plan.cores.first, plan.cores.second);
        let (tally, nanoseconds, _) =
            alone("hands a line on", &Task::Line { first, second }, plan)?;
        ensure!(tally.received > 0, "the line did not come back");
        let microseconds = nanoseconds_each(nanoseconds, tally.received) / 1e3;
        Sample::new(microseconds, [("round trips", count(tally.received))])
    }
}
