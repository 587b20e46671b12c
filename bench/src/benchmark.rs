//! What a benchmark is: contestants that do the same work, and claims about their figures. All of it is
//! data: a workload, who does it, and its parameters.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One benchmark. Everything that differs between its contestants is in their [`Setup`].
#[derive(Debug, Clone)]
pub(crate) struct Benchmark {
    /// The name on the command line.
    pub(crate) name: String,
    /// Benchmarks of one family differ in [`Benchmark::scale`] and are points of one curve; on the
    /// command line the family names them all.
    pub(crate) family: &'static str,
    pub(crate) scale: Option<Scale>,
    /// What is done and how it is counted.
    pub(crate) about: String,
    /// What the contestants are measured in.
    pub(crate) metric: Metric,
    /// The smallest suite that it is part of.
    pub(crate) suite: Suite,
    /// Who takes part, in the order in which they are run.
    pub(crate) contestants: Vec<Contestant>,
    /// What is to be shown.
    pub(crate) claims: Vec<Claim>,
}

/// A point on a curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scale {
    /// What the curve is drawn over, `ports`.
    pub(crate) axis: String,
    /// How many.
    pub(crate) at: f64,
}

/// How much is run.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Suite {
    /// The claims, and the ends of each curve, in minutes.
    Quick,
    /// All of it, at least ten runs of each.
    #[default]
    Full,
}

/// One way of doing a benchmark's work.
#[derive(Debug, Clone)]
pub(crate) struct Contestant {
    /// Its name, unique in its benchmark.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) party: Party,
    /// How it is run.
    pub(crate) setup: Setup,
}

/// Whose a contestant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// What peers can be, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerKind {
    /// The kernel's TCP over veth and a bridge, as Docker's bridge driver sets it up.
    DockerBridge,
    /// The kernel's `vxlan` device on a bridge.
    KernelVxlan,
    /// The kernel's TCP over its loopback interface.
    Loopback,
    /// The kernel's unix sockets.
    UnixSocket,
    /// A container without network.
    NoNetwork,
    /// DPDK's testpmd.
    Testpmd,
    /// FD.io VPP.
    Vpp,
    /// A plain copy through memory: the bound of all that share memory.
    Memory,
    /// Two TCP stacks in one process: the bound of all that goes through two of them.
    StackPair,
    /// A subject without what is injected into the other: how the suite tests itself.
    Itself,
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
    Both,
}

/// What a receiver does while nothing comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Waiting {
    /// Looks again and again.
    Polling,
    /// Looks for some microseconds, then sleeps.
    Adaptive,
    /// Sleeps.
    Interrupt,
}

/// What is done to a subject on purpose, to see whether the figures show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// Each answer is held back for so many nanoseconds.
    Delay(u64),
    /// One of so many requests is not answered.
    Loss(u64),
}

/// Frames over a memif link, as fast as they go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frames {
    pub(crate) program: Program,
    pub(crate) direction: Direction,
    /// Bytes of a frame.
    pub(crate) length: u32,
    /// Queues each way.
    pub(crate) queues: u16,
    pub(crate) waiting: Waiting,
}

/// What switches frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    Ours,
    Vpp,
}

/// Which frames a bridge gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Traffic {
    /// Each port sends to the next.
    Unicast,
    /// The first port sends to all.
    Flood,
}

/// Frames through a bridge domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bridging {
    pub(crate) ports: u16,
    /// Addresses of stations, on all ports together.
    pub(crate) addresses: u32,
    pub(crate) traffic: Traffic,
    /// Bytes of a frame.
    pub(crate) length: u16,
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

/// What two containers do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// iperf3: one stream, as fast as it goes.
    Stream,
    /// sockperf ping-pong with 64-byte messages over TCP; the round trip of this many thousandths of
    /// the messages.
    PingPong { per_mille: u16 },
    /// redis-benchmark, `GET`, so many of them.
    Redis { clients: u16, pipeline: u16, requests: u32 },
    /// wrk asking nginx for a small page, on connections that stay or one for each request.
    Web { keep_alive: bool },
}

/// What a program in a container does with one outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abroad {
    /// wrk on the host asks nginx in the container for a small page by a published port, on so many
    /// connections that stay. The figure is the rate, or the median of the latencies.
    Published { connections: u16, timed: bool },
    /// iperf3 in the container sends one stream to a host behind the host.
    Stream,
}

/// What a program of this suite does over stream sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SocketLoad {
    pub(crate) connections: u32,
    /// Bytes of a message.
    pub(crate) message: u32,
    pub(crate) rhythm: Rhythm,
}

/// When messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rhythm {
    /// One way, whenever there is room.
    Stream,
    /// One on each connection, the next when the answer is there.
    RoundTrip,
    /// So many a second over all connections in turn, whatever became of the ones before.
    Fixed(u64),
}

/// How two programs are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joint {
    /// Two containers on a network of Docker's bridge driver.
    DockerBridge,
    /// Two containers on a network of ours with this `attach` option; which of server and client have
    /// the preload library.
    Ours { attach: &'static str, server: bool, client: bool },
    /// On the host, over the loopback interface.
    Loopback,
    /// On the host, over a unix socket.
    UnixSocket,
}

/// How programs with VPP's own preload library reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VclWay {
    /// Past VPP: its library hands them the two ends of one queue.
    CutThrough,
    /// Through VPP's TCP, at both ends of one pipe of VPP's.
    Pipe,
    /// Through VPP's TCP, with all that the agent makes between containers of two networks.
    Gateways,
}

/// What joins the containers of two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlay {
    /// An agent on each host, a network with `vxlan.peers` and this `attach` option; whether the programs have the
    /// preload library.
    Ours { attach: &'static str, shim: bool },
    /// The kernel's `vxlan` device and a bridge on each host.
    Kernel,
}

/// Workload and parameters of a contestant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Setup {
    /// Frames from one process to another.
    Frames(Frames),
    /// One frame of `length` bytes that both ends send back at once.
    RoundTrip { program: Program, length: u32, waiting: Waiting, fault: Option<Fault> },
    /// Frames at a fixed rate to a process that sends them back.
    Paced { length: u32, rate: u64, waiting: Waiting, fault: Option<Fault> },
    /// Memif clients of a bridge domain, sending to each other.
    Bridge { switch: Switch, bridging: Bridging },
    /// An agent that serves `endpoints` idle containers.
    IdleAgent { endpoints: usize },
    /// Endpoints made and joined over the agent's side of Docker's protocol, without Docker.
    Endpoints { attach: &'static str, endpoints: u32 },
    /// The memory and CPU time of an agent with so many endpoints made that way.
    Footprint { attach: &'static str, endpoints: u32 },
    /// `docker run --rm … true`, from start to finish.
    DockerRun { attachment: Attachment },
    /// Unmodified programs in two containers.
    Programs { work: Work, joint: Joint },
    /// Unmodified programs in containers of two networks with this `tcp` option, between which VPP has routes.
    Routed { work: Work, tcp: &'static str },
    /// Unmodified programs on the host with VPP's own preload library.
    Vcl { work: Work, way: VclWay },
    /// A program that is written for VPP's VCL, on the host.
    VclNative,
    /// An unmodified program in a container, and one outside.
    Outside { work: Abroad, joint: Joint },
    /// iperf3 in containers of two hosts, one stream; the link between these takes packets of so many bytes.
    Hosts { overlay: Overlay, link: u16 },
    /// iperf3 between two containers of one network, with the preload library or without; a third sends them
    /// what it must not send, or nothing.
    Neighbours { shim: bool, hostile: bool },
    /// A program of this suite over stream sockets.
    Sockets { joint: Joint, load: SocketLoad },
    /// Two threads copying through one ring in shared memory.
    MemoryCopy,
    /// Two threads handing one cache line to and fro.
    CacheLine,
    /// Two threads handing a frame to and fro through rings without checks.
    BareRing,
    /// Two TCP stacks of smoltcp's in one process.
    StackPair,
    /// Something that this suite cannot run.
    Absent { peer: PeerKind, reason: &'static str },
}

/// A unit, and which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Metric {
    /// Million packets per second; more is better.
    Mpps,
    /// Microseconds; less is better.
    Microseconds,
    /// Nanoseconds of the worker for a packet; less is better.
    NanosecondsPerPacket,
    /// CPU time in per cent of one core; less is better.
    PercentOfCore,
    /// Seconds; less is better.
    Seconds,
    /// Milliseconds; less is better.
    Milliseconds,
    /// Mebibytes of resident memory; less is better.
    Mebibytes,
    /// Gigabits per second; more is better.
    GigabitsPerSecond,
    /// Thousand requests per second; more is better.
    ThousandPerSecond,
}

impl Metric {
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Mpps => "Mpps",
            Self::Microseconds => "µs",
            Self::NanosecondsPerPacket => "ns",
            Self::PercentOfCore => "% of a core",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Mebibytes => "MiB",
            Self::GigabitsPerSecond => "Gbit/s",
            Self::ThousandPerSecond => "thousand/s",
        }
    }

    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::Mpps | Self::GigabitsPerSecond | Self::ThousandPerSecond)
    }
}

/// A promise that the figures are held against.
#[derive(Debug, Clone)]
pub(crate) enum Claim {
    /// About the ratio of two medians; without a bound it is only shown.
    Ratio { subject: String, peer: String, bound: Option<Bound> },
    /// About the difference of two medians.
    Difference { subject: String, peer: String, bound: Bound },
    /// About one median.
    Value { subject: String, bound: Bound },
    /// About the median of one of the details.
    Detail { subject: String, detail: String, bound: Bound },
}

/// A limit on a figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
    Within { expected: f64, tolerance: f64 },
}

impl Bound {
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
            Self::Below(limit) => value < limit,
            Self::Within { expected, tolerance } => (value - expected).abs() <= tolerance,
        }
    }

    /// Whether all that keeps the bound lies between two figures.
    pub(crate) fn is_inside(self, [low, high]: [f64; 2]) -> bool {
        matches!(self, Self::Within { expected, .. } if low < expected && expected < high)
    }

    pub(crate) fn text(self, unit: &str) -> String {
        match self {
            Self::AtLeast(limit) => format!("≥ {limit}{unit}"),
            Self::AtMost(limit) => format!("≤ {limit}{unit}"),
            Self::Below(limit) => format!("< {limit}{unit}"),
            Self::Within { expected, tolerance } => format!("{expected} ± {tolerance}{unit}"),
        }
    }
}
