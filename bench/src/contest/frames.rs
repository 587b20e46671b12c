//! Frames over a memif link as fast as they go, counted by the receivers.

use anyhow::{Result, ensure};
use kit::unique;

use super::process::{Worker, measure};
use super::{Contest, Placement, Plan, Sample, costs, count, mpps, testpmd};
use crate::benchmark::{Direction, Frames, Program, Waiting};
use crate::worker::{End, Role, Tally, Task};

/// The contestant.
#[derive(Debug)]
pub(super) struct Contestant(pub(super) Frames);

impl Contest for Contestant {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        let (client, server) = match self.0.direction {
            Direction::ClientToServer => ("client, sender", "server, receiver"),
            Direction::ServerToClient => ("client, receiver", "server, sender"),
            Direction::Both => ("client", "server"),
        };
        vec![Placement::on(server, plan.cores.first), Placement::on(client, plan.cores.second)]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let Frames { program, direction, length, queues, .. } = self.0;
        match (program, direction) {
            (Program::Testpmd, Direction::Both) => testpmd::both_ways(plan, length, queues),
            (Program::Testpmd, _) => testpmd::one_way(plan, direction, length),
            (Program::Ours, Direction::Both) => self.both_ways(plan),
            (Program::Ours, _) => self.one_way(plan),
        }
    }
}

impl Contestant {
    fn one_way(&self, plan: &Plan) -> Result<Sample> {
        let Frames { direction, length, queues, waiting, .. } = self.0;
        let (server, client) = ends(plan, queues, waiting, length);
        let (to, from) = match direction {
            Direction::ServerToClient => (client, server),
            _ => (server, client),
        };
        let mut receiver = Worker::start("receiver", &Task::Receive { end: to, length })?;
        let mut sender = Worker::start("sender", &Task::Send { end: from, length })?;
        receiver.linked()?;
        sender.linked()?;
        measure(plan, &mut [&mut receiver, &mut sender])?;
        let (tally, nanoseconds) = receiver.measured()?;
        let (sending, _) = sender.measured()?;
        let sent = sender.stop()?;
        let received = receiver.stop()?;
        all_arrived(sent.sent, received.received)?;
        let mut details = costs("receiver", &tally, tally.received);
        details.extend(costs("sender", &sending, sending.sent));
        let sample = Sample::new(mpps(tally.received, nanoseconds), counts(&sent, &received))?;
        Ok(sample.with(details.iter().map(|(name, it)| (name.as_str(), *it))))
    }

    fn both_ways(&self, plan: &Plan) -> Result<Sample> {
        let Frames { length, queues, waiting, .. } = self.0;
        let (server, client) = ends(plan, queues, waiting, length);
        let mut server = Worker::start("server", &Task::Exchange { end: server, length })?;
        let mut client = Worker::start("client", &Task::Exchange { end: client, length })?;
        server.linked()?;
        client.linked()?;
        measure(plan, &mut [&mut server, &mut client])?;
        let (at_server, server_time) = server.measured()?;
        let (at_client, client_time) = client.measured()?;
        ensure!(at_server.received > 0 && at_client.received > 0, "one of the ways moved nothing");
        let rate = mpps(at_server.received, server_time) + mpps(at_client.received, client_time);
        // Both stop to send before one of them takes the rest.
        server.quieten()?;
        client.quieten()?;
        let (server, client) = (server.stop()?, client.stop()?);
        all_arrived(server.sent, client.received)?;
        all_arrived(client.sent, server.received)?;
        let mut details = costs("server", &at_server, at_server.received);
        details.extend(costs("client", &at_client, at_client.received));
        let sample = Sample::new(rate, counts(&client, &server))?;
        Ok(sample.with(details.iter().map(|(name, it)| (name.as_str(), *it))))
    }
}

fn all_arrived(sent: u64, received: u64) -> Result<()> {
    ensure!(sent == received, "{sent} frames were sent and {received} received");
    Ok(())
}

fn counts(sent: &Tally, received: &Tally) -> [(&'static str, f64); 3] {
    [
        ("frames sent", count(sent.sent)),
        ("frames received", count(received.received)),
        ("interrupts", count(sent.kicks)),
    ]
}

/// Server and client of a link that no other has.
pub(super) fn ends(plan: &Plan, queues: u16, waiting: Waiting, length: u32) -> (End, End) {
    let socket = unique("memif");
    let (role, cpu) = (Role::Server, plan.cores.first);
    // A frame may take 16 slots, and should not take all of those.
    let slot = if length <= 8 * 2048 { 2048 } else { 8192 };
    let server = End { role, socket: socket.clone(), cpu, queues, slot, waiting };
    (server, End { role: Role::Client, socket, cpu: plan.cores.second, queues, slot, waiting })
}
