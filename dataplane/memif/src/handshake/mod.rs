//! How a link comes up, as values: no I/O, no clock, no threads.
//!
//! The client sends INIT, its regions, its rings and CONNECT, one message for each ACK of the
//! server; CONNECTED ends it. [`ServerHandshake`] and [`ClientHandshake`] are generic over the
//! descriptor `F`: production passes `OwnedFd`s, tests pass counters. Time is a parameter.
//!
//! Feed a machine with messages (`handle`), an expired deadline (`handle_timeout`) or the end of
//! the socket (`handle_eof`); then drain `poll_transmit` and `poll_event`. Any error ends the
//! machine: what is left in `poll_transmit` is the DISCONNECT that tells the peer why, and every
//! descriptor that it held is dropped.
#![forbid(unsafe_code)]

mod client;
mod server;

use std::fmt;
use std::time::Duration;

pub use client::{ClientAction, ClientHandshake, ClientHello};
pub use server::{Announcement, Lookup, Offer, ServerHandshake, Terms};

use crate::parameters::{InterfaceId, Mode};
use crate::text::{Name, Reason};
use crate::wire::{Direction, Disconnect, Message, MessageKind, Version, WireError};

/// A message to send, with the descriptor that goes with it.
#[derive(Debug)]
pub struct Outgoing<F> {
    /// What to send.
    pub message: Message,
    /// What to send it with.
    pub descriptor: Option<F>,
}

/// How long a peer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection to the peer's first message.
    pub first: Duration,
    /// From the connection to the end of the handshake.
    pub whole: Duration,
}

impl Timeouts {
    /// INIT within 1 s of the accept, CONNECT within 3 s.
    pub const SERVER: Self = Self { first: Duration::from_secs(1), whole: Duration::from_secs(3) };

    /// HELLO within 3 s of the connect, CONNECTED within 10 s: more than servers give, because a busy
    /// one accepts late, and so that the reason of one that gives up still arrives.
    pub const CLIENT: Self = Self { first: Duration::from_secs(3), whole: Duration::from_secs(10) };
}

/// How far a handshake has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The client waits for HELLO.
    Hello,
    /// The client allocates its memory.
    Prepare,
    /// INIT is due, or its ACK.
    Init,
    /// Regions are announced.
    Regions,
    /// Rings are announced.
    Rings,
    /// CONNECT was sent, CONNECTED is due.
    Connect,
    /// The link is up.
    Connected,
    /// The link is over.
    Closed,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hello => "waiting for HELLO",
            Self::Prepare => "preparing memory",
            Self::Init => "at INIT",
            Self::Regions => "announcing regions",
            Self::Rings => "announcing rings",
            Self::Connect => "at CONNECT",
            Self::Connected => "connected",
            Self::Closed => "closed",
        })
    }
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The bytes are no message.
    #[error("malformed message: {0}")]
    Wire(#[from] WireError),
    /// A message that has no place here.
    #[error("unexpected {kind} while {stage}")]
    Unexpected {
        /// What came.
        kind: MessageKind,
        /// When it came.
        stage: Stage,
    },
    /// A message came without the descriptor that it needs.
    #[error("{0} came without a file descriptor")]
    MissingDescriptor(MessageKind),
    /// A message came with a descriptor that it does not need.
    #[error("{0} came with a file descriptor that it does not need")]
    UnexpectedDescriptor(MessageKind),
    /// No message has more than one descriptor.
    #[error("a message came with more than one file descriptor")]
    TooManyDescriptors,
    /// The peer speaks another version.
    #[error("no common version: this end speaks {ours}, the peer {oldest} to {newest}", ours = Version::CURRENT)]
    Version {
        /// The oldest that it speaks.
        oldest: Version,
        /// The newest that it speaks.
        newest: Version,
    },
    /// No interface has this id.
    #[error("there is no interface {0} on this socket; check the client's id")]
    UnknownInterface(InterfaceId),
    /// Someone else is connected to the interface.
    #[error("interface {0} is already connected")]
    Taken(InterfaceId),
    /// The ends disagree about what a frame starts with.
    #[error("mode mismatch: the server wants {ours:?}, the client {theirs:?}")]
    Mode {
        /// The server's.
        ours: Mode,
        /// The client's.
        theirs: Mode,
    },
    /// The secret is wrong or missing.
    #[error("incorrect secret")]
    Secret,
    /// A region is out of order.
    #[error("region {got} announced where {expected} was due")]
    RegionOrder {
        /// The next index.
        expected: usize,
        /// The announced one.
        got: u16,
    },
    /// More regions than allowed.
    #[error("more than {0} regions")]
    TooManyRegions(u16),
    /// A region is empty or larger than allowed.
    #[error("region {index} has {size} bytes; 1 to {limit} are allowed")]
    RegionSize {
        /// Which region.
        index: u16,
        /// Its announced size.
        size: u64,
        /// The largest allowed.
        limit: u64,
    },
    /// The regions together are larger than allowed.
    #[error("regions of {total} bytes together; {limit} are allowed")]
    TotalSize {
        /// Their announced sizes together.
        total: u64,
        /// The largest allowed sum.
        limit: u64,
    },
    /// A ring is out of order.
    #[error("{direction} ring {got} announced where {expected} was due")]
    RingOrder {
        /// Which way it runs.
        direction: Direction,
        /// The next index.
        expected: usize,
        /// The announced one.
        got: u16,
    },
    /// More rings than allowed.
    #[error("more than {limit} {direction} rings")]
    TooManyRings {
        /// Which way they run.
        direction: Direction,
        /// How many are allowed.
        limit: u16,
    },
    /// A ring lies in a region that was not announced.
    #[error("{direction} ring {index} lies in unknown region {region}")]
    RingRegion {
        /// Which way it runs.
        direction: Direction,
        /// Its index.
        index: u16,
        /// The region that it names.
        region: u16,
    },
    /// A ring is misaligned, sticks out of its region or overlaps another.
    #[error("{direction} ring {index} at offset {offset} {fault}")]
    RingPlacement {
        /// Which way it runs.
        direction: Direction,
        /// Its index.
        index: u16,
        /// Where it starts.
        offset: u32,
        /// What is wrong.
        fault: PlacementFault,
    },
    /// CONNECT came before there was a ring each way.
    #[error("no {0} ring was announced")]
    NoRing(Direction),
    /// The server cannot hold what this client needs.
    #[error("the server takes only {limit} regions; this client has {regions}")]
    ServerRegions {
        /// What the server takes.
        limit: usize,
        /// What the client has.
        regions: usize,
    },
    /// The server's largest ring is no ring.
    #[error("the server offers rings of at most 2^{0} slots")]
    ServerRingSize(u8),
    /// This end could not use what was announced, or allocate what was to be.
    #[error("{0}")]
    Memory(Reason),
    /// The peer said DISCONNECT.
    #[error("refused by the peer: {reason} (code {code})")]
    Refused {
        /// Its number for it.
        code: u32,
        /// Its words for it.
        reason: Reason,
    },
    /// The peer closed the socket without a word.
    #[error("the peer closed the connection {0}{hint}", hint = eof_hint(*.0))]
    Eof(Stage),
    /// The peer took too long.
    #[error("timed out {0}")]
    Timeout(Stage),
    /// A method was called that has no place at this stage.
    #[error("called out of turn: {0}")]
    OutOfTurn(Stage),
}

impl HandshakeError {
    /// Whether the peer needs to be told: not if it is gone or was the one who refused.
    fn is_news_to_peer(&self) -> bool {
        !matches!(self, Self::Refused { .. } | Self::Eof(_))
    }

    /// The DISCONNECT that carries it.
    pub(crate) fn to_disconnect(&self) -> Message {
        disconnect(&self.to_string())
    }
}

/// What is wrong with where a ring lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlacementFault {
    /// It does not start on a cache line.
    Misaligned,
    /// It ends after its region.
    OutOfRegion,
    /// It shares bytes with another ring.
    Overlap,
}

impl fmt::Display for PlacementFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Misaligned => "is not aligned to 64 bytes",
            Self::OutOfRegion => "does not fit into its region",
            Self::Overlap => "overlaps another ring",
        })
    }
}

/// Who the peer says it is. Its own words: for display, never for decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerNames {
    /// The application.
    pub application: Name,
    /// Its interface.
    pub interface: Name,
}

/// DISCONNECT with a reason in words, cut to what fits.
pub(crate) fn disconnect(reason: &str) -> Message {
    Message::Disconnect(Disconnect { code: 0, reason: Reason::truncated(reason) })
}

/// libmemif acknowledges an INIT for an id that it does not have, then closes.
fn eof_hint(stage: Stage) -> &'static str {
    match stage {
        Stage::Init | Stage::Regions => "; does the server have this id?",
        _ => "",
    }
}

/// Drops a descriptor that came with a message that needs none.
fn refuse_descriptor<F>(message: &Message, descriptor: Option<F>) -> Result<(), HandshakeError> {
    match descriptor {
        Some(unwanted) => {
            drop(unwanted);
            Err(HandshakeError::UnexpectedDescriptor(message.kind()))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
