//! What the broker says to a program.

use core::net::SocketAddr;

use super::address::{ADDRESS_BYTES, get, need, put};
use super::request::{Protocol, code, protocol};
use super::{HEAD_BYTES, Malformed, VERSION, parts};
use crate::layout::{Place, RingSize, Side};

/// Length of every reply.
pub const REPLY_BYTES: usize = 80;

const MAGIC: [u8; 4] = *b"dvsr";

/// How the bytes of a session travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Straight to a program of another container, through memory that both map.
    CutThrough,
    /// To the agent, which speaks to peers that are no sessions.
    Stack,
}

/// A session as one of its sides sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionInfo {
    /// Number of the session, unique in the life of the agent.
    pub id: u64,
    /// Which side this is.
    pub side: Side,
    /// Streams or datagrams.
    pub protocol: Protocol,
    /// How the bytes travel.
    pub transport: Transport,
    /// Name of the memory that comes along. Sessions with the same one share it, also across agents: who
    /// has it mapped need not map it again.
    pub memory: u64,
    /// Where in that memory the session is.
    pub place: Place,
    /// The own address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
}

/// Why the broker does not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody listens there (`ECONNREFUSED`).
    #[error("nobody listens there")]
    Refused,
    /// The peer did not answer (`ETIMEDOUT`).
    #[error("the peer does not answer")]
    TimedOut,
    /// No way leads there (`EHOSTUNREACH`).
    #[error("no way leads there")]
    Unreachable,
    /// Somebody else has the address (`EADDRINUSE`).
    #[error("the address is in use")]
    AddressInUse,
    /// The address is none of this endpoint's (`EADDRNOTAVAIL`).
    #[error("the address is none of this endpoint's")]
    AddressNotAvailable,
    /// The endpoint has as many sessions as it may have (`ENOBUFS`).
    #[error("the endpoint has too many sessions")]
    Limit,
    /// The request makes no sense to the broker (`EPROTO`).
    #[error("the request is not understood")]
    Malformed,
    /// The request is of another version (`EPROTO`).
    #[error("the request is of another version of the protocol")]
    Version,
}

impl Refusal {
    const ALL: [(Self, u8); 8] = [
        (Self::Refused, 1),
        (Self::TimedOut, 2),
        (Self::Unreachable, 3),
        (Self::AddressInUse, 4),
        (Self::AddressNotAvailable, 5),
        (Self::Limit, 6),
        (Self::Malformed, 7),
        (Self::Version, 8),
    ];

    fn code(self) -> u8 {
        Self::ALL.iter().find(|(refusal, _)| *refusal == self).map_or(0, |(_, code)| *code)
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, it)| *it == code).map(|(refusal, _)| *refusal)
    }
}

/// A reply, and the descriptors that come with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// The listener is registered.
    Listening,
    /// The session is there. Comes with the memory. From now on the socket is the session's.
    Connected(SessionInfo),
    /// The peer has to answer first; [`Reply::Connected`] or [`Reply::Refused`] follows.
    Pending,
    /// No.
    Refused(Refusal),
    /// This is nothing for sessions: use the kernel's own socket.
    UseKernel,
    /// On a listener: a session. Comes with its socket and its memory.
    Accept(SessionInfo),
    /// On a listener: the kernel accepted a connection. Comes with its socket.
    AcceptKernel,
    /// What the endpoint is.
    Endpoint {
        /// A kernel interface owns the address: what is no session goes through the kernel.
        kernel: bool,
        /// IPv4 address, port zero.
        ipv4: Option<SocketAddr>,
        /// IPv6 address, port zero.
        ipv6: Option<SocketAddr>,
    },
}

impl Reply {
    /// The message.
    pub fn encode(&self) -> [u8; REPLY_BYTES] {
        let mut out = [0; REPLY_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[4..6].copy_from_slice(&VERSION.to_le_bytes());
        let mut first = [0; ADDRESS_BYTES];
        let mut second = [0; ADDRESS_BYTES];
        out[6] = match *self {
            Self::Listening => 1,
            Self::Connected(_) => 2,
            Self::Pending => 3,
            Self::Refused(refusal) => {
                out[7] = refusal.code();
                4
            }
            Self::UseKernel => 5,
            Self::Accept(_) => 6,
            Self::AcceptKernel => 7,
            Self::Endpoint { kernel, ipv4, ipv6 } => {
                out[7] = u8::from(kernel);
                put(&mut first, ipv4);
                put(&mut second, ipv6);
                8
            }
        };
        if let Self::Connected(info) | Self::Accept(info) = *self {
            out[8..16].copy_from_slice(&info.id.to_le_bytes());
            out[16] = match info.side {
                Side::First => 1,
                Side::Second => 2,
            };
            out[17] = code(info.protocol);
            out[18] = match info.transport {
                Transport::CutThrough => 1,
                Transport::Stack => 2,
            };
            out[20..24].copy_from_slice(&info.place.ring_size().get().to_le_bytes());
            out[64..72].copy_from_slice(&info.memory.to_le_bytes());
            out[72..74].copy_from_slice(&info.place.index().to_le_bytes());
            out[74..76].copy_from_slice(&info.place.count().to_le_bytes());
            put(&mut first, Some(info.local));
            put(&mut second, Some(info.remote));
        }
        out[24..44].copy_from_slice(&first);
        out[44..64].copy_from_slice(&second);
        out
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`Malformed`] with what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (head, first, second, tail) = parts::<REPLY_BYTES>(bytes, MAGIC)?;
        match head[6] {
            1 => Ok(Self::Listening),
            2 => Ok(Self::Connected(info(head, first, second, tail)?)),
            3 => Ok(Self::Pending),
            4 => Refusal::from_code(head[7]).map(Self::Refused).ok_or(Malformed::Field("refusal")),
            5 => Ok(Self::UseKernel),
            6 => Ok(Self::Accept(info(head, first, second, tail)?)),
            7 => Ok(Self::AcceptKernel),
            8 => Ok(Self::Endpoint {
                kernel: head[7] & 1 != 0,
                ipv4: get(first)?,
                ipv6: get(second)?,
            }),
            _ => Err(Malformed::Field("kind")),
        }
    }
}

fn info(
    head: &[u8; HEAD_BYTES],
    first: &[u8; ADDRESS_BYTES],
    second: &[u8; ADDRESS_BYTES],
    tail: &[u8],
) -> Result<SessionInfo, Malformed> {
    let tail: &[u8; 12] = tail.first_chunk().ok_or(Malformed::Length(0))?;
    let index = u16::from_le_bytes([tail[8], tail[9]]);
    let count = u16::from_le_bytes([tail[10], tail[11]]);
    let ring = u32::from_le_bytes([head[20], head[21], head[22], head[23]]);
    Ok(SessionInfo {
        id: u64::from_le_bytes(*head[8..].first_chunk().ok_or(Malformed::Length(0))?),
        side: match head[16] {
            1 => Side::First,
            2 => Side::Second,
            _ => return Err(Malformed::Field("side")),
        },
        protocol: protocol(head[17])?,
        transport: match head[18] {
            1 => Transport::CutThrough,
            2 => Transport::Stack,
            _ => return Err(Malformed::Field("transport")),
        },
        memory: u64::from_le_bytes(*tail.first_chunk().ok_or(Malformed::Length(0))?),
        place: RingSize::new(ring)
            .ok_or(Malformed::Field("ring size"))
            .and_then(|size| Place::new(size, index, count).ok_or(Malformed::Field("place")))?,
        local: need(first, "local address")?,
        remote: need(second, "remote address")?,
    })
}
