//! The bound of all that goes through two TCP stacks.

use anyhow::{Result, ensure};

use super::process::alone;
use super::{Contest, Placement, Plan, Sample, count};
use crate::worker::Task;

/// The contestant.
#[derive(Debug)]
pub(super) struct StackPair;

impl Contest for StackPair {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![Placement::on("both stacks", plan.cores.first)]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let task = Task::StackPair { cpu: plan.cores.first };
        let (tally, nanoseconds, total) = alone("stacks", &task, plan)?;
        ensure!(total.received_bytes > 0, "nothing came through");
        let gigabits = count(tally.received_bytes) * 8.0 / count(nanoseconds);
        Sample::new(gigabits, [("GiB received", count(total.received_bytes) / f64::from(1 << 30))])
    }
}
