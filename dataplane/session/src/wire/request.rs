//! What a program asks of the broker.

use core::net::SocketAddr;

use super::address::{ADDRESS_BYTES, get, need, put};
use super::{Malformed, VERSION, parts};

/// Length of every request.
pub const REQUEST_BYTES: usize = 64;

const MAGIC: [u8; 4] = *b"dvsq";

/// What moves in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// A stream of bytes, in place of TCP.
    Stream,
    /// Datagrams, in place of UDP.
    Datagram,
}

/// Options of a listener that decide who may share its address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reuse {
    /// `SO_REUSEADDR`.
    pub address: bool,
    /// `SO_REUSEPORT`.
    pub port: bool,
    /// `IPV6_V6ONLY`: a wildcard IPv6 listener takes no IPv4.
    pub v6_only: bool,
}

/// A request, and the descriptors that come with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Sessions to `address` shall arrive as [`super::Reply::Accept`] messages on the first
    /// descriptor, a `SOCK_SEQPACKET` socket. A second descriptor, if any, is the program's
    /// listening kernel socket: what the broker accepts there arrives as
    /// [`super::Reply::AcceptKernel`]. For datagrams an `Accept` is a new peer.
    Listen {
        /// Streams or datagrams.
        protocol: Protocol,
        /// Where; the address may be a wildcard, the port may not be zero.
        address: SocketAddr,
        /// Sessions that may wait to be accepted.
        backlog: u32,
        /// Who may share the address.
        reuse: Reuse,
        /// The kernel's cookie (`SO_COOKIE`) of the near end of the listener's first pair, repeated
        /// when it registers again: forked processes that share a listener register it once each
        /// after a restart of the agent.
        cookie: u64,
    },
    /// A session to `destination`. The descriptor is the far end of a `SOCK_STREAM` pair: the answer
    /// comes there, and then the descriptor goes to the peer.
    Connect {
        /// Streams or datagrams.
        protocol: Protocol,
        /// What the program bound to; the port may be zero or absent.
        source: Option<SocketAddr>,
        /// Where to.
        destination: SocketAddr,
        /// The kernel's cookie (`SO_COOKIE`) of the near end, by which [`Request::Resume`] finds the
        /// session.
        cookie: u64,
        /// A random number that the process made for itself, or zero: sessions to the same listener
        /// with the same number may share a memory.
        sharing: u64,
    },
    /// The memory of a session, for a process that was given its descriptor only. The first descriptor
    /// is a duplicate of that, the second the far end of a pair for the answer, which is
    /// [`super::Reply::Connected`] with the memory, or [`super::Reply::Listening`] for a listener, with
    /// its kernel socket if it has one.
    Resume,
    /// What this endpoint is. The descriptor is the far end of a pair for the answer.
    Describe,
}

impl Request {
    /// The message.
    pub fn encode(&self) -> [u8; REQUEST_BYTES] {
        let mut out = [0; REQUEST_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        let mut first = [0; ADDRESS_BYTES];
        let mut second = [0; ADDRESS_BYTES];
        match *self {
            Self::Listen { protocol, address, backlog, reuse, cookie } => {
                out[6] = 1;
                out[7] = code(protocol);
                out[8..12].copy_from_slice(&backlog.to_le_bytes());
                out[12] = u8::from(reuse.address)
                    | u8::from(reuse.port) << 1
                    | u8::from(reuse.v6_only) << 2;
                put(&mut first, Some(address));
                out[16..24].copy_from_slice(&cookie.to_le_bytes());
            }
            Self::Connect { protocol, source, destination, cookie, sharing } => {
                out[8..16].copy_from_slice(&sharing.to_le_bytes());
                out[6] = 2;
                out[7] = code(protocol);
                put(&mut first, Some(destination));
                put(&mut second, source);
                out[16..24].copy_from_slice(&cookie.to_le_bytes());
            }
            Self::Resume => out[6] = 3,
            Self::Describe => out[6] = 4,
        }
        out[24..44].copy_from_slice(&first);
        out[44..].copy_from_slice(&second);
        out
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`Malformed`] with what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (head, first, second, _) = parts::<REQUEST_BYTES>(bytes, MAGIC)?;
        let cookie = u64::from_le_bytes(*head[16..].first_chunk().ok_or(Malformed::Length(0))?);
        match head[6] {
            1 => Ok(Self::Listen {
                protocol: protocol(head[7])?,
                address: need(first, "address")?,
                backlog: u32::from_le_bytes([head[8], head[9], head[10], head[11]]),
                reuse: Reuse {
                    address: head[12] & 1 != 0,
                    port: head[12] & 2 != 0,
                    v6_only: head[12] & 4 != 0,
                },
                cookie,
            }),
            2 => Ok(Self::Connect {
                protocol: protocol(head[7])?,
                destination: need(first, "destination")?,
                source: get(second)?,
                cookie,
                sharing: u64::from_le_bytes(*head[8..].first_chunk().ok_or(Malformed::Length(0))?),
            }),
            3 => Ok(Self::Resume),
            4 => Ok(Self::Describe),
            _ => Err(Malformed::Field("kind")),
        }
    }
}

pub(super) const fn code(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Stream => 1,
        Protocol::Datagram => 2,
    }
}

pub(super) const fn protocol(code: u8) -> Result<Protocol, Malformed> {
    match code {
        1 => Ok(Protocol::Stream),
        2 => Ok(Protocol::Datagram),
        _ => Err(Malformed::Field("protocol")),
    }
}
