//! A worker process, seen from its parent.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::namespace::Named;
use kit::process::Process;

use super::Plan;
use crate::latency::Latencies;
use crate::worker::{Order, Report, Tally, Task};

/// How long a report may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running worker; dropping it kills it.
#[derive(Debug)]
pub(super) struct Worker {
    process: Process,
    /// Lines of its output that were read.
    read: usize,
}

impl Worker {
    /// Starts this program again with one task.
    pub(super) fn start(name: &str, task: &Task) -> Result<Self> {
        Self::start_as(name, Command::new(std::env::current_exe()?), task)
    }

    /// The same in a network namespace.
    pub(super) fn start_in(namespace: &Named, name: &str, task: &Task) -> Result<Self> {
        let program = std::env::current_exe()?;
        Self::start_as(name, namespace.command(program.display(), &[]), task)
    }

    fn start_as(name: &str, mut command: Command, task: &Task) -> Result<Self> {
        command.args(["worker", &serde_json::to_string(task)?]);
        // Ctrl-C goes to this process, which lets the run come to its end.
        command.process_group(0);
        Ok(Self { process: Process::start(name, &mut command)?, read: 0 })
    }

    /// One that was started elsewhere, in a container say.
    pub(super) fn over(process: Process) -> Self {
        Self { process, read: 0 }
    }

    /// Waits until it listens.
    pub(super) fn listening(&mut self) -> Result<()> {
        self.report("it listens", |report| matches!(report, Report::Listening).then_some(()))
    }

    /// Waits until its links are up.
    pub(super) fn linked(&mut self) -> Result<()> {
        self.report("its links are up", |report| matches!(report, Report::Linked).then_some(()))
    }

    /// Gives an order.
    pub(super) fn order(&mut self, order: Order) -> Result<()> {
        // One that has ended says why in what it wrote.
        let sent = self.process.send(order.line());
        sent.with_context(|| format!("it wrote:\n{}", self.process.output().join("\n")))
    }

    /// The interval between the orders to measure and to rest, and what happened in it.
    pub(super) fn measured(&mut self) -> Result<(Tally, u64)> {
        let (tally, nanoseconds) = self.report("it has measured", |report| match report {
            Report::Measured { tally, nanoseconds } => Some((tally, nanoseconds)),
            _ => None,
        })?;
        ensure!(nanoseconds > 0, "an interval without length");
        Ok((tally, nanoseconds))
    }

    /// The latencies of the measured interval, which are told after it.
    pub(super) fn latencies(&mut self) -> Result<Latencies> {
        self.report("it has timed requests", |report| match report {
            Report::Latencies { latencies } => Some(latencies),
            _ => None,
        })
    }

    /// Lets it start nothing new, and waits until it has stopped to.
    pub(super) fn quieten(&mut self) -> Result<()> {
        self.order(Order::Quieten)?;
        self.report("it is quiet", |report| matches!(report, Report::Quiet).then_some(()))
    }

    /// Lets it come to its end and report everything.
    pub(super) fn stop(&mut self) -> Result<Tally> {
        self.order(Order::Stop)?;
        self.report("it has stopped", |report| match report {
            Report::Total { tally } => Some(tally),
            _ => None,
        })
    }

    fn report<T>(&mut self, what: &str, mut wanted: impl FnMut(Report) -> Option<T>) -> Result<T> {
        let mut line_number = self.read;
        let value = self.process.line_after(self.read, PATIENCE, what, |line| {
            line_number += 1;
            // Errors are lines as well; they are in the message when the process ends.
            wanted(serde_json::from_str(line).ok()?)
        })?;
        self.read = line_number;
        Ok(value)
    }
}

/// One run of a worker that does its task alone: what it came to in the interval, of how many nanoseconds, and in all.
pub(super) fn alone(name: &str, task: &Task, plan: &Plan) -> Result<(Tally, u64, Tally)> {
    let mut worker = Worker::start(name, task)?;
    worker.linked()?;
    measure(plan, &mut [&mut worker])?;
    let (tally, nanoseconds) = worker.measured()?;
    Ok((tally, nanoseconds, worker.stop()?))
}

/// Warms up, then lets all of `workers` measure for the planned time.
pub(super) fn measure(plan: &Plan, workers: &mut [&mut Worker]) -> Result<()> {
    sleep(plan.warm_up);
    for worker in &mut *workers {
        worker.order(Order::Measure)?;
    }
    sleep(plan.length);
    for worker in workers {
        worker.order(Order::Rest)?;
    }
    Ok(())
}
