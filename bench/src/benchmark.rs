//! What a benchmark is: contestants that do the same work, and claims about their figures.

use serde::{Deserialize, Serialize};

/// One benchmark. Everything that differs between its contestants is in their [`Setup`].
#[derive(Debug)]
pub(crate) struct Benchmark {
    /// The name on the command line.
    pub(crate) name: &'static str,
    /// What is done and how it is counted.
    pub(crate) about: &'static str,
    /// What the contestants are measured in.
    pub(crate) metric: Metric,
    /// Who takes part, in the order in which they are run.
    pub(crate) contestants: &'static [Contestant],
    /// What is to be shown.
    pub(crate) claims: &'static [Claim],
}

/// One way of doing a benchmark's work.
#[derive(Debug)]
pub(crate) struct Contestant {
    /// Its name, unique in its benchmark.
    pub(crate) name: &'static str,
    /// Whose it is.
    pub(crate) party: Party,
    /// How it is run.
    pub(crate) setup: Setup,
}

/// Whose a contestant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Party {
    /// What this project claims something about.
    Subject,
    /// What would be used instead.
    Peer,
}

impl Party {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Peer => "peer",
        }
    }
}

/// Which program does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// The code of this repository.
    Ours,
    /// DPDK's testpmd.
    Testpmd,
}

/// Which way frames go over a memif link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    ClientToServer,
    ServerToClient,
}

/// What a container of the start-time benchmark is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attachment {
    /// `--network none`.
    Nothing,
    /// A user-defined network of Docker's bridge driver.
    Bridge,
    /// A network of ours with this `attach` option.
    Ours(&'static str),
}

/// Workload and parameters of a contestant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Setup {
    /// Frames of `length` bytes from one process to another over one queue.
    OneWay { program: Program, direction: Direction, length: u16 },
    /// One frame of `length` bytes that both ends send back at once.
    RoundTrip { program: Program, length: u16 },
    /// Two memif clients of a bridge domain with one worker, sending to each other.
    Bridge { length: u16 },
    /// An agent that serves `endpoints` idle containers.
    IdleAgent { endpoints: usize },
    /// `docker run --rm … true`, from start to finish.
    DockerRun { attachment: Attachment },
    /// Something that this suite cannot run.
    Absent { reason: &'static str },
}

/// A unit, and which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Metric {
    /// Million packets per second; more is better.
    Mpps,
    /// Microseconds; less is better.
    Microseconds,
    /// CPU time in per cent of one core; less is better.
    PercentOfCore,
    /// Seconds; less is better.
    Seconds,
}

impl Metric {
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Mpps => "Mpps",
            Self::Microseconds => "µs",
            Self::PercentOfCore => "% of a core",
            Self::Seconds => "s",
        }
    }
}

/// A promise that the figures are held against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Claim {
    /// About the ratio of two medians; without a bound it is only shown.
    Ratio { subject: &'static str, peer: &'static str, bound: Option<Bound> },
    /// About one median.
    Value { subject: &'static str, bound: Bound },
}

/// A limit on a figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
            Self::Below(limit) => value < limit,
        }
    }

    pub(crate) fn text(self, unit: &str) -> String {
        match self {
            Self::AtLeast(limit) => format!("≥ {limit}{unit}"),
            Self::AtMost(limit) => format!("≤ {limit}{unit}"),
            Self::Below(limit) => format!("< {limit}{unit}"),
        }
    }
}
