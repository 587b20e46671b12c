//! Programs in a container that work with the outside: by a published port, or by the way out.

use std::net::TcpListener;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use kit::process::{Process, run};
use kit::{Agent, Container, Network, World, wait};

use super::containers::{Files, Place};
use super::reports::{iperf3_gigabits, wrk_percentile, wrk_rate};
use super::{Contest, Fixtures, Placement, Plan, Sample, control_group, cpu_time};
use crate::benchmark::{Abroad, Joint};
use crate::cores::Cores;

/// Longest time until a server answers.
const LIMIT: Duration = Duration::from_secs(20);

/// A host behind the host, and a server there.
#[derive(Debug)]
pub(super) struct Abroads {
    world: World,
    _iperf3: Process,
}

impl Abroads {
    /// The server runs on the first CPU: a client in a container has the second.
    pub(super) fn start(cores: Cores) -> Result<Self> {
        let world = World::create(23)?;
        let iperf3 = world.start("taskset", &["-c", &cores.first.to_string(), "iperf3", "-s"])?;
        Ok(Self { world, _iperf3: iperf3 })
    }
}

/// The contestant.
#[derive(Debug)]
pub(super) struct Outside {
    work: Abroad,
    container: Container,
    /// The host's port that leads to the container's, where one is published.
    port: u16,
    /// Files that the container reads.
    _files: Files,
    /// Dropped after the container and before the agent that serves it.
    _network: Network,
    agent: Option<Rc<Agent>>,
    abroads: Rc<Abroads>,
    cores: Cores,
}

impl Outside {
    /// Starts the container, and waits until both sides reach each other.
    pub(super) fn prepare(work: Abroad, joint: Joint, fixtures: &mut Fixtures) -> Result<Self> {
        let abroads = fixtures.abroads()?;
        let joined = fixtures.join(joint)?;
        let files = Files::make()?;
        let cores = fixtures.cores;
        let port = free_port()?;
        let host = abroads.world.host()[0];
        let published = format!("{host}:{port}:8080");
        let place = match work {
            Abroad::Published { .. } => Place {
                shim: joined.server_has_shim,
                cpu: cores.first,
                flags: &["-p", &published],
                command: &["nginx", "-c", "/bench/nginx.conf"],
            },
            Abroad::Stream => {
                Place { shim: joined.client_has_shim, cpu: cores.second, flags: &[], command: &[] }
            }
        };
        let container = files.run(&joined.network, &place)?;
        let contestant = Self {
            work,
            container,
            port,
            _files: files,
            _network: joined.network,
            agent: joined.agent,
            abroads,
            cores,
        };
        wait::until(LIMIT, "both sides reach each other", || {
            Ok(contestant.drive(Duration::from_secs(1)).ok().map(drop))
        })?;
        Ok(contestant)
    }

    /// Works for about `length`.
    fn drive(&self, length: Duration) -> Result<Sample> {
        let seconds = length.as_secs().max(1).to_string();
        match self.work {
            Abroad::Published { connections, timed } => {
                let url = format!("http://{}:{}/", self.abroads.world.host()[0], self.port);
                let (cpu, connections) = (self.cores.second.to_string(), connections.to_string());
                let length = format!("{seconds}s");
                let line = ["-c", &cpu, "wrk", "--latency", "-t", "1", "-c", &connections, "-d"];
                let report = run(Command::new("taskset").args(line).args([&length, &url]))?;
                let (rate, median) = (wrk_rate(&report)?, wrk_percentile(&report, 50)?);
                let details = [
                    ("p50 µs", median),
                    ("p99 µs", wrk_percentile(&report, 99)?),
                    ("thousand requests per second", rate),
                ];
                Sample::new(if timed { median } else { rate }, details)
            }
            Abroad::Stream => {
                let server = self.abroads.world.addresses()[0].to_string();
                let line = ["iperf3", "-c", &server, "-t", &seconds, "-J"];
                Sample::new(iperf3_gigabits(&self.container.exec_ok(&line)?)?, [])
            }
        }
    }

    /// CPU seconds that the container and the agent have used so far.
    fn cpu_seconds(&self) -> Result<f64> {
        let mut seconds = control_group::cpu_seconds(self.container.pid()?)?;
        if let Some(agent) = &self.agent {
            seconds += cpu_time::seconds(agent.pid()?)?;
        }
        Ok(seconds)
    }
}

impl Contest for Outside {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        let (inside, outside) = match self.work {
            Abroad::Published { .. } => (plan.cores.first, plan.cores.second),
            Abroad::Stream => (plan.cores.second, plan.cores.first),
        };
        vec![
            Placement::on("the container", inside),
            Placement::on("the program outside", outside),
            Placement::anywhere("the agent"),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let before = self.cpu_seconds()?;
        let sample = self.drive(plan.warm_up + plan.length)?;
        let used = self.cpu_seconds()? - before;
        Ok(sample.with([("CPU seconds of container and agent", used)]))
    }
}

/// A port that nobody uses now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("0.0.0.0:0")?.local_addr()?.port())
}
