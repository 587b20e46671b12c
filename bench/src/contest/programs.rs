//! Unmodified programs in two containers, one on each CPU.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use kit::{Agent, Container, Network, wait};

use super::containers::{Files, Place};
use super::work::{client_command, figure, sample, server_command};
use super::{Contest, Fixtures, Placement, Plan, Sample, control_group, cpu_time};
use crate::benchmark::{Joint, Work};

/// Longest time until a server answers.
const LIMIT: Duration = Duration::from_secs(20);

/// The contestant.
#[derive(Debug)]
pub(super) struct Programs {
    work: Work,
    client: Container,
    server: Container,
    address: String,
    /// Files that the containers read.
    _files: Files,
    /// Dropped after the containers and before the agent that serves it.
    _network: Network,
    agent: Option<Rc<Agent>>,
}

impl Programs {
    /// Starts both containers, and the server in its own.
    pub(super) fn prepare(work: Work, joint: Joint, fixtures: &mut Fixtures) -> Result<Self> {
        let joined = fixtures.join(joint)?;
        let network = &joined.network;
        let files = Files::make()?;
        // Containers are pinned when they are made.
        let cores = fixtures.cores;
        let command = server_command(work);
        let serving = Place { shim: joined.server_has_shim, cpu: cores.first, flags: &[], command };
        let server = files.run(network, &serving)?;
        let idle =
            Place { shim: joined.client_has_shim, cpu: cores.second, flags: &[], command: &[] };
        let client = files.run(network, &idle)?;
        let address = server.address(network)?.to_string();
        let contestant = Self {
            work,
            client,
            server,
            address,
            _files: files,
            _network: joined.network,
            agent: joined.agent,
        };
        wait::until(LIMIT, "the server answers", || {
            Ok(contestant.drive(Duration::from_secs(1)).ok().map(drop))
        })?;
        Ok(contestant)
    }

    /// Has the client work for about `length`.
    fn drive(&self, length: Duration) -> Result<f64> {
        let line = client_command(self.work, &self.address, length);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        figure(self.work, &self.client.exec_ok(&line)?)
    }

    /// CPU seconds that both containers and the agent have used so far.
    fn cpu_seconds(&self) -> Result<f64> {
        let mut seconds = control_group::cpu_seconds(self.server.pid()?)?
            + control_group::cpu_seconds(self.client.pid()?)?;
        if let Some(agent) = &self.agent {
            seconds += cpu_time::seconds(agent.pid()?)?;
        }
        Ok(seconds)
    }
}

impl Contest for Programs {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![
            Placement::on("the server's container", plan.cores.first),
            Placement::on("the client's container", plan.cores.second),
            Placement::anywhere("the agent"),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let before = self.cpu_seconds()?;
        let value = self.drive(plan.warm_up + plan.length)?;
        let used = self.cpu_seconds()? - before;
        sample(self.work, value, plan.warm_up + plan.length, used)
    }
}
