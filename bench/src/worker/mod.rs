//! The processes of ours among the contestants: this program again, with one task, on one CPU.
//!
//! The parent writes orders, one a line; the worker writes reports, one JSON object a line. When the
//! parent is gone, so is the worker.

mod bare_ring;
mod bounce;
mod bridge;
mod copy;
mod line;
mod link;
mod load;
mod mischief;
mod orders;
mod pace;
mod pool;
mod rest;
mod sockets;
mod stack_pair;
mod stations;
mod stream;
mod timing;
mod vcl;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::benchmark::{Bridging, Fault, SocketLoad, Waiting};
use crate::cores;
use crate::latency::Latencies;

pub(crate) use mischief::Mischief;
pub(crate) use orders::Order;
pub(crate) use vcl::VclEnd;

/// What a worker does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Task {
    /// Sends frames as fast as the rings take them.
    Send { end: End, length: u32 },
    /// Receives frames and copies them out.
    Receive { end: End, length: u32 },
    /// Both at once.
    Exchange { end: End, length: u32 },
    /// Sends one frame and then every frame that comes back.
    Ping { end: End, length: u32 },
    /// Sends frames at a fixed rate and times those that come back.
    Pace { end: End, length: u32, rate: u64 },
    /// Sends back whatever comes.
    Reflect { end: End, fault: Option<Fault> },
    /// Serves a bridge domain with ports on `socket-0`, `socket-1` ….
    Bridge { socket: String, cpu: usize, bridging: Bridging },
    /// Sends and receives on all ports of a bridge.
    Load { address: PortAddress, cpu: usize, bridging: Bridging },
    /// Does its neighbours harm over the memif socket of this name, or only would when `quiet`.
    Disturb { socket: String, mischief: Mischief, quiet: bool },
    /// Copies through one ring with two threads.
    Copy { into: usize, out: usize },
    /// Hands one cache line to and fro between two threads, each on its CPU.
    Line { first: usize, second: usize },
    /// Hands a frame to and fro through rings without checks, between two threads.
    BareRing { first: usize, second: usize },
    /// Sends through two of smoltcp's stacks on one thread.
    StackPair { cpu: usize },
    /// Sends over VPP's VCL.
    VclSend { end: VclEnd },
    /// Receives over VPP's VCL.
    VclReceive { end: VclEnd },
    /// Accepts connections, reads what comes, and sends it back if the rhythm wants that.
    Serve { place: Place, load: SocketLoad, cpu: Option<usize> },
    /// Connects, sends, and times what comes back.
    Use { place: Place, load: SocketLoad, cpu: Option<usize> },
}

/// Where the ports of a bridge are found, followed by `-` and their number.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PortAddress {
    /// Abstract sockets.
    Abstract(String),
    /// Sockets in the file system.
    Path(PathBuf),
}

/// Where stream sockets meet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// One end of a memif link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) role: Role,
    /// Name of the abstract socket.
    pub(crate) socket: String,
    pub(crate) cpu: usize,
    /// Queues each way.
    pub(crate) queues: u16,
    /// Bytes of a slot; the client decides.
    pub(crate) slot: u16,
    pub(crate) waiting: Waiting,
}

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    Client,
    Server,
}

/// Frames (or messages) since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Bytes of what was received.
    pub(crate) received_bytes: u64,
    /// Frames that a bridge dropped.
    pub(crate) dropped: u64,
    /// CPU time of a bridge's worker, or of the process, in nanoseconds.
    pub(crate) cpu_nanoseconds: u64,
    /// Interrupts that the peer was sent: none when both ends poll.
    pub(crate) kicks: u64,
    /// Cycles of the process; `None` where the kernel does not count them.
    pub(crate) cycles: Option<u64>,
    /// Instructions of the process; `None` where the kernel does not count them.
    pub(crate) instructions: Option<u64>,
}

impl Tally {
    fn since(self, earlier: Self) -> Self {
        let more = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before?));
        Self {
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
            received_bytes: self.received_bytes - earlier.received_bytes,
            dropped: self.dropped - earlier.dropped,
            cpu_nanoseconds: self.cpu_nanoseconds - earlier.cpu_nanoseconds,
            kicks: self.kicks - earlier.kicks,
            cycles: more(self.cycles, earlier.cycles),
            instructions: more(self.instructions, earlier.instructions),
        }
    }
}

/// What a worker tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Report {
    /// It listens: clients may come.
    Listening,
    /// All of its links are up.
    Linked,
    /// The interval between [`Order::Measure`] and [`Order::Rest`].
    Measured { tally: Tally, nanoseconds: u64 },
    /// Of requests that were due in that interval.
    Latencies { latencies: Latencies },
    /// It begins nothing new, after [`Order::Quieten`].
    Quiet,
    /// Everything, after [`Order::Stop`].
    Total { tally: Tally },
}

/// Runs one task on its CPU until the parent is gone.
///
/// # Errors
/// When the link fails or the peer breaks the rules.
pub(crate) fn run(task: &Task) -> Result<()> {
    match task {
        Task::Send { end, length } => {
            cores::pin(end.cpu)?;
            stream::send(end, *length)
        }
        Task::Receive { end, length } => {
            cores::pin(end.cpu)?;
            stream::receive(end, *length)
        }
        Task::Exchange { end, length } => {
            cores::pin(end.cpu)?;
            stream::exchange(end, *length)
        }
        Task::Ping { end, length } => {
            cores::pin(end.cpu)?;
            bounce::ping(end, *length)
        }
        Task::Pace { end, length, rate } => {
            cores::pin(end.cpu)?;
            pace::run(end, *length, *rate)
        }
        Task::Reflect { end, fault } => {
            cores::pin(end.cpu)?;
            bounce::reflect(end, *fault)
        }
        Task::Bridge { socket, cpu, bridging } => {
            cores::pin(*cpu)?;
            bridge::serve(socket, *bridging)
        }
        Task::Load { address, cpu, bridging } => {
            cores::pin(*cpu)?;
            load::run(address, *bridging)
        }
        Task::Disturb { socket, mischief, quiet } => mischief::run(socket, *mischief, *quiet),
        Task::Copy { into, out } => copy::run(*into, *out),
        Task::Line { first, second } => line::run(*first, *second),
        Task::BareRing { first, second } => bare_ring::run(*first, *second),
        Task::StackPair { cpu } => {
            cores::pin(*cpu)?;
            stack_pair::run()
        }
        Task::VclSend { end } => {
            cores::pin(end.cpu)?;
            vcl::send(end)
        }
        Task::VclReceive { end } => {
            cores::pin(end.cpu)?;
            vcl::receive(end)
        }
        Task::Serve { place, load, cpu } => {
            cpu.map_or(Ok(()), cores::pin)?;
            sockets::serve(place, *load)
        }
        Task::Use { place, load, cpu } => {
            cpu.map_or(Ok(()), cores::pin)?;
            sockets::load(place, *load)
        }
    }
}
