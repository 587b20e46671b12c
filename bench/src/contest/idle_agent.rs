//! What an agent costs while its containers do nothing.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kit::agent::AgentOptions;
use kit::docker::RunOptions;
use kit::{Agent, Container, Image, Network, wait};

use super::{Contest, Placement, Plan, Sample, count};
use crate::cpu_time;

/// Containers that are started or removed at once.
const AT_ONCE: usize = 4;
/// Longest time until the agent shows all endpoints as it should.
const LIMIT: Duration = Duration::from_mins(1);

/// The contestant: a private agent and its containers.
#[derive(Debug)]
pub(super) struct IdleAgent {
    containers: Vec<Container>,
    /// Dropped after the containers and before the agent.
    network: Network,
    agent: Agent,
    endpoints: usize,
}

impl IdleAgent {
    /// Starts all containers and waits until the agent has them.
    pub(super) fn prepare(endpoints: usize) -> Result<Self> {
        let agent = Agent::start(AgentOptions { own_group: true, ..AgentOptions::default() })?;
        let image = Image::busybox()?;
        let network = Network::create(agent.driver(), &[])?;
        eprintln!("starting {endpoints} containers");
        let mut contestant = Self { containers: Vec::new(), network, agent, endpoints };
        contestant.start(&image)?;
        let agent = &contestant.agent;
        wait::until(LIMIT, "the agent shows all endpoints", || {
            Ok((agent.list("endpoints")?.len() == endpoints).then_some(()))
        })?;
        Ok(contestant)
    }

    fn start(&mut self, image: &Image) -> Result<()> {
        let options = RunOptions::default().on(&self.network);
        let start_some = |share: usize| -> Result<Vec<Container>> {
            (0..share).map(|_| Container::run(image, &options)).collect()
        };
        let shares = (0..AT_ONCE).map(|at| (self.endpoints + at) / AT_ONCE);
        let started: Vec<Result<Vec<Container>>> = thread::scope(|scope| {
            let threads: Vec<_> =
                shares.map(|share| scope.spawn(move || start_some(share))).collect();
            threads.into_iter().map(join).collect()
        });
        for containers in started {
            self.containers.extend(containers?);
        }
        ensure!(self.containers.len() == self.endpoints, "not all containers were started");
        Ok(())
    }
}

impl Contest for IdleAgent {
    fn placement(&self, _plan: &Plan) -> Vec<Placement> {
        vec![Placement::anywhere("the agent, the daemons and the containers")]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let endpoints = self.endpoints;
        let rest = Rest::watch(&self.agent, plan, || {
            let shown = self.agent.list("endpoints")?.len();
            ensure!(shown == endpoints, "the agent has {shown} endpoints now");
            Ok(())
        })?;
        Ok(Sample::bare(rest.per_cent).with(rest.details()))
    }
}

/// What an agent takes while nothing happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    /// CPU time in per cent of one core.
    pub(super) per_cent: f64,
    pub(super) resident_mebibytes: f64,
    threads: u64,
    /// CPU time for the question after it.
    question_nanoseconds: u64,
}

impl Rest {
    /// Watches an agent for twice the planned time, then asks it something.
    pub(super) fn watch(
        agent: &Agent,
        plan: &Plan,
        question: impl FnOnce() -> Result<()>,
    ) -> Result<Self> {
        let process = agent.pid()?;
        thread::sleep(plan.warm_up);
        let (start, before) = (Instant::now(), cpu_time::threads(process)?);
        // Little is used, so it is watched for longer.
        thread::sleep(plan.length * 2);
        let (elapsed, after) = (start.elapsed(), cpu_time::threads(process)?);
        let used = Duration::from_nanos(cpu_time::used(&before, &after));
        question()?;
        // Nothing used is a good result, so the counter must be seen to move when it should.
        let asked = cpu_time::used(&after, &cpu_time::threads(process)?);
        ensure!(asked > 0, "the kernel counts no CPU time for an agent that has just answered");
        Ok(Self {
            per_cent: used.as_secs_f64() * 100.0 / elapsed.as_secs_f64(),
            resident_mebibytes: resident_mebibytes(process)?,
            threads: after.len() as u64,
            question_nanoseconds: asked,
        })
    }

    pub(super) fn details(&self) -> [(&'static str, f64); 4] {
        [
            ("threads", count(self.threads)),
            ("resident MiB", self.resident_mebibytes),
            ("CPU µs for one question", count(self.question_nanoseconds / 1000)),
            ("CPU µs per second", self.per_cent * 1e4),
        ]
    }
}

impl Drop for IdleAgent {
    fn drop(&mut self) {
        let mut containers = std::mem::take(&mut self.containers);
        let share = containers.len().div_ceil(AT_ONCE);
        thread::scope(|scope| {
            while !containers.is_empty() {
                let some = containers.split_off(containers.len().saturating_sub(share));
                scope.spawn(move || drop(some));
            }
        });
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    match thread.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn resident_mebibytes(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    let kibibytes: f64 = kibibytes.context("the kernel shows no resident memory")?.parse()?;
    Ok(kibibytes / 1024.0)
}
