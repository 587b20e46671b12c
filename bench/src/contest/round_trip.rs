//! One frame to and fro over a memif link.

use anyhow::{Result, ensure};

use super::frames::ends;
use super::process::{Worker, measure};
use super::{Contest, Placement, Plan, Sample, count, nanoseconds_each, testpmd};
use crate::benchmark::{Fault, Program, Waiting};
use crate::worker::Task;

/// The contestant.
#[derive(Debug)]
pub(super) struct RoundTrip {
    pub(super) program: Program,
    pub(super) length: u32,
    pub(super) waiting: Waiting,
    pub(super) fault: Option<Fault>,
}

impl Contest for RoundTrip {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![Placement::on("server", plan.cores.first), Placement::on("client", plan.cores.second)]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        match self.program {
            Program::Ours => self.run_ours(plan),
            Program::Testpmd => testpmd::round_trip(plan, self.length),
        }
    }
}

impl RoundTrip {
    fn run_ours(&self, plan: &Plan) -> Result<Sample> {
        let (server, client) = ends(plan, 1, self.waiting, self.length);
        let (fault, length) = (self.fault, self.length);
        let mut reflector = Worker::start("reflector", &Task::Reflect { end: server, fault })?;
        let mut pinger = Worker::start("pinger", &Task::Ping { end: client, length })?;
        reflector.linked()?;
        pinger.linked()?;
        measure(plan, &mut [&mut pinger])?;
        let (tally, nanoseconds) = pinger.measured()?;
        let pinger = pinger.stop()?;
        let reflector = reflector.stop()?;
        let counts = [pinger.sent, pinger.received, reflector.sent, reflector.received];
        ensure!(
            counts.iter().all(|&it| it == pinger.sent),
            "the two ends do not agree: {pinger:?}, {reflector:?}"
        );
        ensure!(tally.received > 0, "the frame did not come back");
        let details = [
            ("round trips", count(pinger.received)),
            ("interrupts", count(pinger.kicks + reflector.kicks)),
            ("pinger: CPU ns per round", nanoseconds_each(tally.cpu_nanoseconds, tally.received)),
        ];
        Sample::new(nanoseconds_each(nanoseconds, tally.received) / 1e3, details)
    }
}
