//! The processes of ours among the contestants: this program again, with one task, on one CPU.
//!
//! The parent writes orders, one a line; the worker writes reports, one JSON object a line. When the
//! parent is gone, so is the worker.

mod bounce;
mod bridge;
mod link;
mod load;
mod orders;
mod stream;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::cores;

pub(crate) use orders::Order;

/// What a worker does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Task {
    /// Sends frames as fast as the ring takes them.
    Send { end: End, length: u16 },
    /// Receives frames and copies them out.
    Receive { end: End, length: u16 },
    /// Sends one frame and then every frame that comes back.
    Ping { end: End, length: u16 },
    /// Sends back whatever comes.
    Reflect { end: End },
    /// Serves a bridge domain with two ports, on `socket-0` and `socket-1`.
    Bridge { socket: String, cpu: usize },
    /// Sends and receives on both ports of a bridge.
    Load { socket: String, cpu: usize, length: u16 },
}

/// One end of a memif link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) role: Role,
    /// Name of the abstract socket.
    pub(crate) socket: String,
    pub(crate) cpu: usize,
}

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    Client,
    Server,
}

/// Frames since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Bytes of the received frames.
    pub(crate) received_bytes: u64,
    /// Frames that a bridge dropped.
    pub(crate) dropped: u64,
    /// CPU time of a bridge's worker, in nanoseconds.
    pub(crate) cpu_nanoseconds: u64,
    /// Interrupts that the peer was sent: none when both ends poll.
    pub(crate) kicks: u64,
}

impl Tally {
    fn since(self, earlier: Self) -> Self {
        Self {
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
            received_bytes: self.received_bytes - earlier.received_bytes,
            dropped: self.dropped - earlier.dropped,
            cpu_nanoseconds: self.cpu_nanoseconds - earlier.cpu_nanoseconds,
            kicks: self.kicks - earlier.kicks,
        }
    }
}

/// What a worker tells.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Report {
    /// It listens: clients may come.
    Listening,
    /// All of its links are up.
    Linked,
    /// The interval between [`Order::Measure`] and [`Order::Rest`].
    Measured { tally: Tally, nanoseconds: u64 },
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
        Task::Ping { end, length } => {
            cores::pin(end.cpu)?;
            bounce::run(end, Some(*length))
        }
        Task::Reflect { end } => {
            cores::pin(end.cpu)?;
            bounce::run(end, None)
        }
        Task::Bridge { socket, cpu } => {
            cores::pin(*cpu)?;
            bridge::serve(socket)
        }
        Task::Load { socket, cpu, length } => {
            cores::pin(*cpu)?;
            load::run(socket, *length)
        }
    }
}
