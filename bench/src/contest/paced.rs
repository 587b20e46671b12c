//! Frames at a fixed rate over a memif link, to a process that sends them back.

use anyhow::{Context as _, Result, ensure};

use super::frames::ends;
use super::process::{Worker, measure};
use super::{Contest, Placement, Plan, Sample, count, nanoseconds_each};
use crate::benchmark::{Fault, Waiting};
use crate::worker::{End, Task};

/// The contestant.
#[derive(Debug)]
pub(super) struct Paced {
    pub(super) length: u32,
    pub(super) rate: u64,
    pub(super) waiting: Waiting,
    pub(super) fault: Option<Fault>,
}

impl Contest for Paced {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![
            Placement::on("server, reflector", plan.cores.first),
            Placement::on("client, sender", plan.cores.second),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let (server, client) = ends(plan, 1, self.waiting, self.length);
        // The sender keeps time, so it never sleeps.
        let client = End { waiting: Waiting::Polling, ..client };
        let task = Task::Reflect { end: server, fault: self.fault };
        let mut reflector = Worker::start("reflector", &task)?;
        let task = Task::Pace { end: client, length: self.length, rate: self.rate };
        let mut sender = Worker::start("sender", &task)?;
        reflector.linked()?;
        sender.linked()?;
        measure(plan, &mut [&mut sender, &mut reflector])?;
        let (tally, nanoseconds) = sender.measured()?;
        let (reflecting, _) = reflector.measured()?;
        let latencies = sender.latencies()?;
        let total = sender.stop()?;
        let reflected = reflector.stop()?;
        ensure!(reflected.received == total.sent, "frames are missing: {total:?}, {reflected:?}");
        ensure!(reflected.sent == total.received, "answers are missing: {total:?}, {reflected:?}");
        let lost = nanoseconds_each((total.sent - total.received) * 100, total.sent);
        let median = latencies.microseconds_at(&[0.5]);
        let median = *median.first().context("no frame came back")?;
        let details = [
            ("thousand frames/s sent", count(tally.sent) * 1e6 / count(nanoseconds)),
            ("% lost", lost),
            ("interrupts", count(total.kicks)),
            (
                "reflector: CPU ns per frame",
                nanoseconds_each(reflecting.cpu_nanoseconds, reflecting.received),
            ),
        ];
        Ok(Sample::new(median, details)?.timed(latencies))
    }
}
