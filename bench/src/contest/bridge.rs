//! Two memif clients and the bridge between them.

use anyhow::{Result, ensure};
use kit::unique;

use super::process::{Worker, measure};
use super::{Contest, Placement, Plan, Sample, count, mpps, nanoseconds_each};
use crate::worker::Task;

/// The contestant.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) length: u16,
}

impl Contest for Bridge {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![
            Placement::on("both clients", plan.cores.first),
            Placement::on("bridge worker", plan.cores.second),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let (socket, length) = (unique("bridge"), self.length);
        let task = Task::Bridge { socket: socket.clone(), cpu: plan.cores.second };
        let mut bridge = Worker::start("bridge", &task)?;
        bridge.listening()?;
        let task = Task::Load { socket, cpu: plan.cores.first, length };
        let mut load = Worker::start("load", &task)?;
        load.linked()?;
        measure(plan, &mut [&mut load, &mut bridge])?;
        let (delivered, nanoseconds) = load.measured()?;
        let (forwarded, _) = bridge.measured()?;
        let load = load.stop()?;
        let bridge = bridge.stop()?;
        ensure!(
            load.sent == bridge.received
                && bridge.received == bridge.sent + bridge.dropped
                && load.received == bridge.sent,
            "frames are missing: load {load:?}, bridge {bridge:?}"
        );
        ensure!(forwarded.sent > 0, "the bridge forwarded nothing");
        let details = [
            ("frames sent", count(load.sent)),
            ("frames received", count(load.received)),
            ("frames dropped", count(bridge.dropped)),
            ("worker ns per frame", nanoseconds_each(forwarded.cpu_nanoseconds, forwarded.sent)),
        ];
        Sample::new(mpps(delivered.received, nanoseconds), details)
    }
}
