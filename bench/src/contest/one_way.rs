//! Frames one way over a memif link, counted by the receiver.

use anyhow::{Result, ensure};
use kit::unique;

use super::process::{Worker, measure};
use super::{Contest, Placement, Plan, Sample, count, mpps, testpmd};
use crate::benchmark::{Direction, Program};
use crate::worker::{End, Role, Task};

/// The contestant.
#[derive(Debug)]
pub(super) struct OneWay {
    pub(super) program: Program,
    pub(super) direction: Direction,
    pub(super) length: u16,
}

impl Contest for OneWay {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        let (client, server) = match self.direction {
            Direction::ClientToServer => ("client, sender", "server, receiver"),
            Direction::ServerToClient => ("client, receiver", "server, sender"),
        };
        vec![Placement::on(server, plan.cores.first), Placement::on(client, plan.cores.second)]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        match self.program {
            Program::Ours => self.run_ours(plan),
            Program::Testpmd => testpmd::one_way(plan, self.direction, self.length),
        }
    }
}

impl OneWay {
    fn run_ours(&self, plan: &Plan) -> Result<Sample> {
        let length = self.length;
        let (server, client) = ends(plan);
        let (to, from) = match self.direction {
            Direction::ClientToServer => (server, client),
            Direction::ServerToClient => (client, server),
        };
        let mut receiver = Worker::start("receiver", &Task::Receive { end: to, length })?;
        let mut sender = Worker::start("sender", &Task::Send { end: from, length })?;
        receiver.linked()?;
        sender.linked()?;
        measure(plan, &mut [&mut receiver])?;
        let (tally, nanoseconds) = receiver.measured()?;
        let sent = sender.stop()?;
        let received = receiver.stop()?;
        ensure!(
            sent.sent == received.received,
            "{} frames were sent and {} received",
            sent.sent,
            received.received
        );
        let details = [
            ("frames sent", count(sent.sent)),
            ("frames received", count(received.received)),
            ("interrupts", count(sent.kicks)),
        ];
        Sample::new(mpps(tally.received, nanoseconds), details)
    }
}

/// Server and client of a link that no other has.
pub(super) fn ends(plan: &Plan) -> (End, End) {
    let socket = unique("memif");
    let server = End { role: Role::Server, socket: socket.clone(), cpu: plan.cores.first };
    (server, End { role: Role::Client, socket, cpu: plan.cores.second })
}
