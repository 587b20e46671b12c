//! How each contestant is run.

mod bounds;
mod bridge;
mod containers;
mod control_group;
mod docker_run;
mod driven;
mod endpoints;
mod frames;
mod hosts;
mod idle_agent;
mod memory;
mod neighbours;
mod outside;
mod paced;
mod process;
mod programs;
mod reports;
mod round_trip;
mod routed;
mod sockets;
mod stack_pair;
mod testpmd;
mod vcl;
mod vcl_native;
mod vcl_ways;
mod vpp_counters;
mod work;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use kit::agent::AgentOptions;
use kit::need::Need;
use kit::{Agent, Engine};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::benchmark::{
    Attachment, Frames, Joint, Metric, Overlay, PeerKind, Program, Setup, Switch,
};
use crate::cores::Cores;
use crate::cpu_time;
use crate::latency::Latencies;
use crate::worker::Tally;

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sample {
    /// In the benchmark's unit.
    pub(crate) value: f64,
    /// Other figures of the same run, by name and unit.
    pub(crate) details: BTreeMap<String, f64>,
    /// The round that it was run in, from 1: runs of one round are pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) round: Option<u32>,
    /// Of the single requests, for the sum over all runs.
    #[serde(skip)]
    pub(crate) latencies: Latencies,
}

impl Sample {
    /// # Errors
    /// When nothing was measured: a figure of zero is no figure.
    pub(crate) fn new<'a>(
        value: f64,
        details: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<Self> {
        ensure!(value.is_finite() && value > 0.0, "nothing was measured: {value}");
        Ok(Self::bare(value).with(details))
    }

    /// A figure for which zero is a result.
    pub(crate) fn bare(value: f64) -> Self {
        Self { value, details: BTreeMap::new(), round: None, latencies: Latencies::default() }
    }

    pub(crate) fn with<'a>(mut self, details: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        self.details.extend(details.into_iter().map(|(name, it)| (name.to_owned(), it)));
        self
    }

    /// Adds latencies and what is shown of them for each run.
    pub(crate) fn timed(self, latencies: Latencies) -> Self {
        const SHOWN: [(&str, f64); 4] =
            [("p50 µs", 0.5), ("p99 µs", 0.99), ("p99.9 µs", 0.999), ("longest µs", 1.0)];
        let figures = latencies.microseconds_at(&SHOWN.map(|it| it.1));
        let mut sample = self.with(SHOWN.iter().map(|it| it.0).zip(figures));
        sample.latencies = latencies;
        sample
    }
}

/// Where a part of a contestant runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Placement {
    pub(crate) what: String,
    /// `None`: wherever the scheduler puts it.
    pub(crate) cpu: Option<usize>,
}

impl Placement {
    fn on(what: &str, cpu: usize) -> Self {
        Self { what: what.to_owned(), cpu: Some(cpu) }
    }

    fn anywhere(what: &str) -> Self {
        Self { what: what.to_owned(), cpu: None }
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

/// What the contestants of a session share: made when first asked for, kept to the end.
#[derive(Debug)]
pub(crate) struct Fixtures {
    cores: Cores,
    pairs: sockets::Pairs,
    agent: Option<Rc<Agent>>,
    /// One whose engine is VPP.
    on_vpp: Option<Rc<Agent>>,
    abroads: Option<Rc<outside::Abroads>>,
    /// Peers that never worked, and in which benchmark.
    hopeless: Vec<(PeerKind, String)>,
}

impl Fixtures {
    /// None yet, for contestants on these CPUs.
    pub(crate) fn on(cores: Cores) -> Self {
        Self {
            cores,
            pairs: sockets::Pairs::default(),
            agent: None,
            on_vpp: None,
            abroads: None,
            hopeless: Vec::new(),
        }
    }

    /// Takes note that a peer of this kind never worked in a benchmark. Of others than VPP that says
    /// nothing about the next benchmark.
    pub(crate) fn give_up(&mut self, setup: &Setup, benchmark: &str) {
        let kind = setup.kind().filter(|it| *it == PeerKind::Vpp);
        self.hopeless.extend(kind.map(|kind| (kind, benchmark.to_owned())));
    }

    /// The benchmark in which peers of this kind never worked, if there is one.
    pub(crate) fn hopeless(&self, setup: &Setup) -> Option<&str> {
        let kind = setup.kind()?;
        self.hopeless.iter().find(|it| it.0 == kind).map(|it| it.1.as_str())
    }

    fn agent(&mut self) -> Result<Rc<Agent>> {
        if let Some(agent) = &self.agent {
            return Ok(Rc::clone(agent));
        }
        let agent =
            Rc::new(Agent::start(AgentOptions { own_group: true, ..AgentOptions::default() })?);
        self.agent = Some(Rc::clone(&agent));
        Ok(agent)
    }

    fn agent_on_vpp(&mut self) -> Result<Rc<Agent>> {
        if let Some(agent) = &self.on_vpp {
            return Ok(Rc::clone(agent));
        }
        let agent = Rc::new(Agent::start(AgentOptions {
            own_group: true,
            engine: Some(Engine::Vpp),
            vpp: vcl::eager(),
            ..AgentOptions::default()
        })?);
        self.on_vpp = Some(Rc::clone(&agent));
        Ok(agent)
    }

    fn abroads(&mut self) -> Result<Rc<outside::Abroads>> {
        if let Some(abroads) = &self.abroads {
            return Ok(Rc::clone(abroads));
        }
        let abroads = Rc::new(outside::Abroads::start(self.cores)?);
        self.abroads = Some(Rc::clone(&abroads));
        Ok(abroads)
    }
}

impl Setup {
    /// Which peer it is, if it is one.
    pub(crate) fn kind(&self) -> Option<PeerKind> {
        match self {
            Self::Frames(Frames { program: Program::Testpmd, .. })
            | Self::RoundTrip { program: Program::Testpmd, .. } => Some(PeerKind::Testpmd),
            Self::Bridge { switch: Switch::Vpp, .. } | Self::Vcl { .. } | Self::VclNative => {
                Some(PeerKind::Vpp)
            }
            Self::Programs { joint, .. }
            | Self::Sockets { joint, .. }
            | Self::Outside { joint, .. } => match joint {
                Joint::DockerBridge => Some(PeerKind::DockerBridge),
                Joint::Loopback => Some(PeerKind::Loopback),
                Joint::UnixSocket => Some(PeerKind::UnixSocket),
                Joint::Ours { .. } => None,
            },
            Self::DockerRun { attachment } => match attachment {
                Attachment::Nothing => Some(PeerKind::NoNetwork),
                Attachment::Bridge => Some(PeerKind::DockerBridge),
                Attachment::Ours(_) => None,
            },
            Self::Hosts { overlay: Overlay::Kernel, .. } => Some(PeerKind::KernelVxlan),
            Self::Neighbours { hostile: false, .. } => Some(PeerKind::Itself),
            Self::MemoryCopy | Self::CacheLine | Self::BareRing => Some(PeerKind::Memory),
            Self::StackPair => Some(PeerKind::StackPair),
            Self::Absent { peer, .. } => Some(*peer),
            _ => None,
        }
    }

    /// Why this contestant cannot be run on this machine, if so.
    pub(crate) fn absent(&self) -> Option<String> {
        let needs: &[Need] = match self {
            Self::Absent { reason, .. } => return Some((*reason).to_owned()),
            Self::Frames(Frames { program: Program::Testpmd, .. })
            | Self::RoundTrip { program: Program::Testpmd, .. } => &[Need::Testpmd],
            Self::Bridge { switch: Switch::Vpp, .. } | Self::VclNative => &[Need::Root, Need::Vpp],
            Self::Vcl { .. } => &[Need::Root, Need::Vpp, Need::SessionPrograms],
            Self::Routed { .. } => &[
                Need::Root,
                Need::Docker,
                Need::Tun,
                Need::Busybox,
                Need::SessionPrograms,
                Need::Vpp,
            ],
            Self::IdleAgent { .. } | Self::DockerRun { attachment: Attachment::Ours(_) } => {
                &[Need::Root, Need::Docker, Need::Tun, Need::Busybox]
            }
            Self::Endpoints { .. } | Self::Footprint { .. } => &[Need::Root, Need::Tun],
            Self::Hosts { .. } | Self::Neighbours { .. } => {
                &[Need::Root, Need::Tun, Need::SessionPrograms]
            }
            Self::DockerRun { .. } => &[Need::Docker, Need::Busybox],
            Self::Programs { joint: Joint::DockerBridge, .. }
            | Self::Sockets { joint: Joint::DockerBridge, .. } => {
                &[Need::Docker, Need::Busybox, Need::SessionPrograms]
            }
            Self::Programs { .. }
            | Self::Outside { .. }
            | Self::Sockets { joint: Joint::Ours { .. }, .. } => {
                &[Need::Root, Need::Docker, Need::Tun, Need::Busybox, Need::SessionPrograms]
            }
            _ => &[],
        };
        needs.iter().find_map(|it| it.missing()).map(str::to_owned)
    }

    /// Makes the contestant ready to be measured in `metric`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn prepare(
        &self,
        metric: Metric,
        fixtures: &mut Fixtures,
    ) -> Result<Box<dyn Contest>> {
        Ok(match *self {
            Self::Frames(frames) => Box::new(frames::Contestant(frames)),
            Self::RoundTrip { program, length, waiting, fault } => {
                Box::new(round_trip::RoundTrip { program, length, waiting, fault })
            }
            Self::Paced { length, rate, waiting, fault } => {
                Box::new(paced::Paced { length, rate, waiting, fault })
            }
            Self::Bridge { switch, bridging } => {
                Box::new(bridge::Bridge { switch, bridging, metric })
            }
            Self::IdleAgent { endpoints } => Box::new(idle_agent::IdleAgent::prepare(endpoints)?),
            Self::Endpoints { attach, endpoints } => {
                Box::new(endpoints::Endpoints::prepare(attach, endpoints)?)
            }
            Self::Footprint { attach, endpoints } => {
                Box::new(endpoints::Footprint::prepare(attach, endpoints)?)
            }
            Self::DockerRun { attachment } => {
                Box::new(docker_run::DockerRun::prepare(attachment, fixtures)?)
            }
            Self::Programs { work, joint } => {
                Box::new(programs::Programs::prepare(work, joint, fixtures)?)
            }
            Self::Outside { work, joint } => {
                Box::new(outside::Outside::prepare(work, joint, fixtures)?)
            }
            Self::Hosts { overlay, link } => {
                Box::new(hosts::Hosts::prepare(overlay, link, fixtures.cores)?)
            }
            Self::Neighbours { shim, hostile } => {
                Box::new(neighbours::Neighbours::prepare(shim, hostile, fixtures.cores)?)
            }
            Self::Sockets { joint, load } => {
                Box::new(sockets::Sockets::prepare(joint, load, fixtures)?)
            }
            Self::MemoryCopy => Box::new(memory::MemoryCopy),
            Self::StackPair => Box::new(stack_pair::StackPair),
            Self::CacheLine => Box::new(bounds::Bound::CacheLine),
            Self::BareRing => Box::new(bounds::Bound::BareRing),
            Self::Routed { work, tcp } => Box::new(routed::Routed::prepare(work, tcp, fixtures)?),
            Self::Vcl { work, way } => Box::new(vcl::Vcl::prepare(work, way, fixtures.cores)?),
            Self::VclNative => Box::new(vcl_native::VclNative::prepare()?),
            Self::Absent { reason, .. } => anyhow::bail!(reason),
        })
    }
}

/// Million packets per second.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^53")]
fn mpps(frames: u64, nanoseconds: u64) -> f64 {
    frames as f64 * 1e3 / nanoseconds as f64
}

/// CPU time, cycles and instructions for each frame, for the details.
fn costs(who: &str, tally: &Tally, frames: u64) -> Vec<(String, f64)> {
    let each = |what: &str, total| (format!("{who}: {what}"), nanoseconds_each(total, frames));
    let mut costs = vec![each("CPU ns per frame", tally.cpu_nanoseconds)];
    costs.extend(tally.cycles.map(|it| each("cycles per frame", it)));
    costs.extend(tally.instructions.map(|it| each("instructions per frame", it)));
    costs
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_data_is_no_figure() {
        for nothing in [0.0, -1.0, f64::NAN, mpps(0, 1000), mpps(5, 0)] {
            let error = Sample::new(nothing, []).unwrap_err();
            assert!(error.to_string().contains("nothing was measured"), "{error}");
        }
        assert!(Sample::new(1.0, [("frames", 2.0)]).is_ok());
    }
}
