//! The bound of all that goes through shared memory.

use anyhow::{Result, ensure};

use super::process::alone;
use super::{Contest, Placement, Plan, Sample, count};
use crate::worker::Task;

/// The contestant.
#[derive(Debug)]
pub(super) struct MemoryCopy;

impl Contest for MemoryCopy {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![
            Placement::on("the thread that copies in", plan.cores.first),
            Placement::on("the thread that copies out", plan.cores.second),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let (into, out) = (plan.cores.first, plan.cores.second);
        let (tally, nanoseconds, total) = alone("copies", &Task::Copy { into, out }, plan)?;
        ensure!(total.received_bytes > 0, "nothing was copied");
        let gigabits = count(tally.received_bytes) * 8.0 / count(nanoseconds);
        Sample::new(gigabits, [("GiB copied", count(total.received_bytes) / f64::from(1 << 30))])
    }
}
