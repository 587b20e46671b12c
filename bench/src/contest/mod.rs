//! How each contestant is run.

mod bridge;
mod docker_run;
mod idle_agent;
mod one_way;
mod process;
mod round_trip;
mod testpmd;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use kit::Agent;
use kit::agent::AgentOptions;
use kit::need::Need;
use serde::Serialize;

use crate::benchmark::{Attachment, Program, Setup};
use crate::cores::Cores;

/// Where and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) cores: Cores,
    /// Work before each run that does not count.
    pub(crate) warm_up: Duration,
    /// The part that counts.
    pub(crate) length: Duration,
}

/// The outcome of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// In the benchmark's unit.
    pub(crate) value: f64,
    /// Other figures of the same run, by name and unit.
    pub(crate) details: BTreeMap<&'static str, f64>,
}

impl Sample {
    pub(crate) fn new(
        value: f64,
        details: impl IntoIterator<Item = (&'static str, f64)>,
    ) -> Result<Self> {
        ensure!(value.is_finite() && value > 0.0, "nothing was measured: {value}");
        Ok(Self { value, details: details.into_iter().collect() })
    }
}

/// Where a part of a contestant runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Placement {
    pub(crate) what: &'static str,
    /// `None`: wherever the scheduler puts it.
    pub(crate) cpu: Option<usize>,
}

impl Placement {
    fn on(what: &'static str, cpu: usize) -> Self {
        Self { what, cpu: Some(cpu) }
    }

    fn anywhere(what: &'static str) -> Self {
        Self { what, cpu: None }
    }
}

/// A contestant that is ready to run.
pub(crate) trait Contest {
    /// Where its parts run.
    fn placement(&self, plan: &Plan) -> Vec<Placement>;

    /// One run, with its warm-up.
    ///
    /// # Errors
    /// When it does not work, moves nothing, or loses count.
    fn run(&mut self, plan: &Plan) -> Result<Sample>;
}

/// What contestants of one benchmark share.
#[derive(Debug, Default)]
pub(crate) struct Fixtures {
    agent: Option<Rc<Agent>>,
}

impl Fixtures {
    fn agent(&mut self) -> Result<Rc<Agent>> {
        if let Some(agent) = &self.agent {
            return Ok(Rc::clone(agent));
        }
        let agent = Rc::new(Agent::start(AgentOptions::default())?);
        self.agent = Some(Rc::clone(&agent));
        Ok(agent)
    }
}

impl Setup {
    /// Why this contestant cannot be run on this machine, if so.
    pub(crate) fn absent(&self) -> Option<String> {
        let needs: &[Need] = match self {
            Self::Absent { reason } => return Some((*reason).to_owned()),
            Self::OneWay { program: Program::Testpmd, .. }
            | Self::RoundTrip { program: Program::Testpmd, .. } => &[Need::Testpmd],
            Self::OneWay { .. } | Self::RoundTrip { .. } | Self::Bridge { .. } => &[],
            Self::IdleAgent { .. } | Self::DockerRun { attachment: Attachment::Ours(_) } => {
                &[Need::Root, Need::Docker, Need::Tun, Need::Busybox]
            }
            Self::DockerRun { .. } => &[Need::Docker, Need::Busybox],
        };
        needs.iter().find_map(|it| it.missing()).map(str::to_owned)
    }

    /// Makes the contestant ready.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn prepare(&self, fixtures: &mut Fixtures) -> Result<Box<dyn Contest>> {
        Ok(match *self {
            Self::OneWay { program, direction, length } => {
                Box::new(one_way::OneWay { program, direction, length })
            }
            Self::RoundTrip { program, length } => {
                Box::new(round_trip::RoundTrip { program, length })
            }
            Self::Bridge { length } => Box::new(bridge::Bridge { length }),
            Self::IdleAgent { endpoints } => {
                Box::new(idle_agent::IdleAgent::prepare(endpoints, fixtures.agent()?)?)
            }
            Self::DockerRun { attachment } => {
                Box::new(docker_run::DockerRun::prepare(attachment, fixtures)?)
            }
            Self::Absent { reason } => anyhow::bail!(reason),
        })
    }
}

/// Million packets per second.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
fn mpps(frames: u64, nanoseconds: u64) -> f64 {
    frames as f64 * 1e3 / nanoseconds as f64
}

/// Nanoseconds for each of `frames`.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
fn nanoseconds_each(nanoseconds: u64, frames: u64) -> f64 {
    nanoseconds as f64 / frames as f64
}

/// A count among the details.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
fn count(number: u64) -> f64 {
    number as f64
}
