//! Messages between the agent and the process that is attached to VPP, version 1. Pure.
//!
//! Each is one datagram of [`MESSAGE_BYTES`] bytes, little-endian where a number has a byte order:
//!
//! | bytes | |
//! |---|---|
//! | 0–4 | `VCLH` |
//! | 4–6 | version |
//! | 6 | kind |
//! | 7 | a code that belongs to the kind |
//! | 8–16 | the connection's name, or the listener's |
//! | 16–20 | a backlog |
//! | 20–40, 40–60 | two addresses: family (4, 6), a zero, port, 16 bytes |
//! | 60–140 | a session, in the form of [`Reply::Accept`] |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use session::broker::core::Local;
use session::broker::{ListenAt, ListenerId};
use session::wire::{Protocol, REPLY_BYTES, Refusal, Reply, SessionInfo};

/// Length of every message.
pub(crate) const MESSAGE_BYTES: usize = ADDRESSES + 2 * ADDRESS_BYTES + REPLY_BYTES;

const MAGIC: [u8; 4] = *b"VCLH";
const VERSION: u16 = 2;
const ADDRESSES: usize = 20;
const ADDRESS_BYTES: usize = 20;

/// A connection. The agent names those that programs open, with even numbers, and the process those that it
/// accepts, with odd ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// What the agent tells the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToProcess {
    /// Connect.
    Connect { id: ConnectionId, source: SocketAddr, destination: SocketAddr },
    /// The connection has this session, whose socket and memory come along.
    Open { id: ConnectionId, session: SessionInfo },
    /// Nobody wants the connection, or waits for it, any more.
    Abandon { id: ConnectionId },
    /// A connection that was accepted has to wait for [`ToProcess::Room`].
    Wait { id: ConnectionId },
    /// Listen.
    Listen(ListenAt),
    /// Listen no more.
    Unlisten(ListenerId),
    /// A listener of this port may have room.
    Room { port: u16 },
}

/// What the process tells the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToAgent {
    /// It is attached to VPP.
    Attached,
    /// The connection stands.
    Connected { id: ConnectionId },
    /// There is no connection.
    Refused { id: ConnectionId, refusal: Refusal },
    /// VPP listens for the listener, or will not.
    Listening(ListenerId),
    /// A connection came from `remote` to `local`, or asks once more.
    Accept { id: ConnectionId, local: SocketAddr, remote: SocketAddr },
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// The length is not that of a message.
    #[error("{0} bytes are no message")]
    Length(usize),
    /// It begins otherwise.
    #[error("not a message between an agent and its process")]
    Magic,
    /// It is of another version.
    #[error("a message of version {0}; the process is not of this agent's build")]
    Version(u16),
    /// A part of it means nothing.
    #[error("a message whose {0} means nothing")]
    Field(&'static str),
}

/// A message that is being put together.
struct Draft([u8; MESSAGE_BYTES]);

impl Draft {
    fn new(kind: u8, id: u64) -> Self {
        let mut bytes = [0; MESSAGE_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[6] = kind;
        bytes[8..16].copy_from_slice(&id.to_le_bytes());
        Self(bytes)
    }

    fn code(mut self, code: u8) -> Self {
        self.0[7] = code;
        self
    }

    fn backlog(mut self, backlog: u32) -> Self {
        self.0[16..20].copy_from_slice(&backlog.to_le_bytes());
        self
    }

    fn address(mut self, at: usize, address: SocketAddr) -> Self {
        let start = ADDRESSES + at * ADDRESS_BYTES;
        let place = &mut self.0[start..start + ADDRESS_BYTES];
        place[2..4].copy_from_slice(&address.port().to_le_bytes());
        match address.ip() {
            IpAddr::V4(ip) => {
                place[0] = 4;
                place[4..8].copy_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                place[0] = 6;
                place[4..].copy_from_slice(&ip.octets());
            }
        }
        self
    }

    fn session(mut self, session: SessionInfo) -> Self {
        let start = ADDRESSES + 2 * ADDRESS_BYTES;
        self.0[start..].copy_from_slice(&Reply::Accept(session).encode());
        self
    }
}

/// A message that came.
struct Came<'a>(&'a [u8; MESSAGE_BYTES]);

impl<'a> Came<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; MESSAGE_BYTES] =
            bytes.try_into().map_err(|_| Malformed::Length(bytes.len()))?;
        if bytes[..4] != MAGIC {
            return Err(Malformed::Magic);
        }
        match u16::from_le_bytes([bytes[4], bytes[5]]) {
            VERSION => Ok(Self(bytes)),
            other => Err(Malformed::Version(other)),
        }
    }

    fn kind(&self) -> u8 {
        self.0[6]
    }

    fn number(&self) -> u64 {
        let bytes = self.0[8..].first_chunk().expect("messages are longer");
        u64::from_le_bytes(*bytes)
    }

    fn id(&self) -> ConnectionId {
        ConnectionId(self.number())
    }

    fn backlog(&self) -> u32 {
        u32::from_le_bytes([self.0[16], self.0[17], self.0[18], self.0[19]])
    }

    fn address(&self, at: usize) -> Result<SocketAddr, Malformed> {
        let place = &self.0[ADDRESSES + at * ADDRESS_BYTES..][..ADDRESS_BYTES];
        let port = u16::from_le_bytes([place[2], place[3]]);
        let octets: [u8; 16] = *place[4..].first_chunk().expect("addresses are as long");
        let [a, b, c, d, ..] = octets;
        let ip: IpAddr = match place[0] {
            4 => Ipv4Addr::new(a, b, c, d).into(),
            6 => Ipv6Addr::from(octets).into(),
            _ => return Err(Malformed::Field("address")),
        };
        Ok(SocketAddr::new(ip, port))
    }

    fn session(&self) -> Result<SessionInfo, Malformed> {
        let bytes = &self.0[ADDRESSES + 2 * ADDRESS_BYTES..];
        match Reply::decode(bytes) {
            Ok(Reply::Accept(session)) => Ok(session),
            _ => Err(Malformed::Field("session")),
        }
    }

    fn listen(&self) -> Result<ListenAt, Malformed> {
        let address = self.address(0)?;
        let local = match self.0[7] {
            0 => Local::One(address.ip()),
            1 => Local::AnyV4,
            2 => Local::AnyV6 { only: true },
            3 => Local::AnyV6 { only: false },
            _ => return Err(Malformed::Field("address")),
        };
        let listener = ListenerId(self.number());
        let protocol = Protocol::Stream;
        Ok(ListenAt { listener, protocol, local, port: address.port(), backlog: self.backlog() })
    }
}

impl ToProcess {
    pub(crate) fn encode(&self) -> [u8; MESSAGE_BYTES] {
        let draft = match *self {
            Self::Connect { id, source, destination } => {
                Draft::new(1, id.0).address(0, source).address(1, destination)
            }
            Self::Open { id, session } => Draft::new(2, id.0).session(session),
            Self::Abandon { id } => Draft::new(3, id.0),
            Self::Wait { id } => Draft::new(4, id.0),
            Self::Listen(at) => {
                let (code, ip) = match at.local {
                    Local::One(ip) => (0, ip),
                    Local::AnyV4 => (1, Ipv4Addr::UNSPECIFIED.into()),
                    Local::AnyV6 { only: true } => (2, Ipv6Addr::UNSPECIFIED.into()),
                    Local::AnyV6 { only: false } => (3, Ipv6Addr::UNSPECIFIED.into()),
                };
                let draft = Draft::new(5, at.listener.0).code(code).backlog(at.backlog);
                draft.address(0, SocketAddr::new(ip, at.port))
            }
            Self::Unlisten(listener) => Draft::new(6, listener.0),
            Self::Room { port } => Draft::new(7, port.into()),
        };
        draft.0
    }

    /// # Errors
    /// [`Malformed`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let came = Came::new(bytes)?;
        Ok(match came.kind() {
            1 => Self::Connect {
                id: came.id(),
                source: came.address(0)?,
                destination: came.address(1)?,
            },
            2 => Self::Open { id: came.id(), session: came.session()? },
            3 => Self::Abandon { id: came.id() },
            4 => Self::Wait { id: came.id() },
            5 => Self::Listen(came.listen()?),
            6 => Self::Unlisten(ListenerId(came.number())),
            7 => {
                Self::Room { port: came.number().try_into().map_err(|_| Malformed::Field("port"))? }
            }
            _ => return Err(Malformed::Field("kind")),
        })
    }
}

/// Refusals by their codes in messages.
const REFUSALS: [Refusal; 6] = [
    Refusal::Refused,
    Refusal::TimedOut,
    Refusal::Unreachable,
    Refusal::AddressInUse,
    Refusal::AddressNotAvailable,
    Refusal::Limit,
];

impl ToAgent {
    pub(crate) fn encode(&self) -> [u8; MESSAGE_BYTES] {
        let draft = match *self {
            Self::Attached => Draft::new(129, 0),
            Self::Connected { id } => Draft::new(130, id.0),
            Self::Refused { id, refusal } => {
                let code = (0u8..).zip(REFUSALS).find(|(_, it)| *it == refusal);
                Draft::new(131, id.0).code(code.map_or(2, |(code, _)| code))
            }
            Self::Accept { id, local, remote } => {
                Draft::new(132, id.0).address(0, local).address(1, remote)
            }
            Self::Listening(listener) => Draft::new(133, listener.0),
        };
        draft.0
    }

    /// # Errors
    /// [`Malformed`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let came = Came::new(bytes)?;
        Ok(match came.kind() {
            129 => Self::Attached,
            130 => Self::Connected { id: came.id() },
            131 => {
                let refusal = REFUSALS.get(usize::from(bytes[7])).copied();
                Self::Refused {
                    id: came.id(),
                    refusal: refusal.ok_or(Malformed::Field("refusal"))?,
                }
            }
            132 => {
                Self::Accept { id: came.id(), local: came.address(0)?, remote: came.address(1)? }
            }
            133 => Self::Listening(ListenerId(came.number())),
            _ => return Err(Malformed::Field("kind")),
        })
    }
}

#[cfg(test)]
mod tests {
    use session::layout::{Place, RingSize, Side};
    use session::wire::Transport;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn session() -> SessionInfo {
        SessionInfo {
            id: 77,
            side: Side::Second,
            protocol: Protocol::Stream,
            transport: Transport::Stack,
            memory: 0x1122_3344_5566_7788,
            place: Place::new(RingSize::DEFAULT, 3, 8).unwrap(),
            local: at("10.0.0.1:80"),
            remote: at("10.0.0.2:40000"),
        }
    }

    #[test]
    fn what_the_agent_tells_is_understood() {
        let id = ConnectionId(u64::MAX - 1);
        let listener = ListenerId(9);
        let protocol = Protocol::Stream;
        let listen = |local| {
            ToProcess::Listen(ListenAt { listener, protocol, local, port: 443, backlog: 70_000 })
        };
        for message in [
            ToProcess::Connect { id, source: at("1.2.3.4:5"), destination: at("[fd00::7]:65535") },
            ToProcess::Open { id, session: session() },
            ToProcess::Abandon { id },
            ToProcess::Wait { id },
            listen(Local::AnyV4),
            listen(Local::AnyV6 { only: true }),
            listen(Local::AnyV6 { only: false }),
            listen(Local::One("fd00::1".parse().unwrap())),
            ToProcess::Unlisten(listener),
            ToProcess::Room { port: 443 },
        ] {
            assert_eq!(ToProcess::decode(&message.encode()), Ok(message));
            assert_eq!(ToAgent::decode(&message.encode()), Err(Malformed::Field("kind")));
        }
    }

    #[test]
    fn what_the_process_tells_is_understood() {
        let id = ConnectionId(3);
        let refusals = REFUSALS.map(|refusal| ToAgent::Refused { id, refusal });
        let others = [
            ToAgent::Attached,
            ToAgent::Connected { id },
            ToAgent::Listening(ListenerId(9)),
            ToAgent::Accept { id, local: at("10.0.0.1:80"), remote: at("10.0.0.2:40000") },
        ];
        for message in refusals.into_iter().chain(others) {
            assert_eq!(ToAgent::decode(&message.encode()), Ok(message));
            assert_eq!(ToProcess::decode(&message.encode()), Err(Malformed::Field("kind")));
        }
        let other = ToAgent::Refused { id, refusal: Refusal::Version };
        let unreachable = ToAgent::Refused { id, refusal: Refusal::Unreachable };
        assert_eq!(ToAgent::decode(&other.encode()), Ok(unreachable));
    }

    #[test]
    fn other_bytes_are_refused_with_what_is_wrong() {
        let good = ToProcess::Room { port: 1 }.encode();
        assert_eq!(ToProcess::decode(&good[1..]), Err(Malformed::Length(MESSAGE_BYTES - 1)));
        let with = |at: usize, value| {
            let mut bytes = good;
            bytes[at] = value;
            ToProcess::decode(&bytes)
        };
        assert_eq!(with(0, b'X'), Err(Malformed::Magic));
        assert_eq!(with(4, 1), Err(Malformed::Version(1)));
        assert_eq!(with(6, 0), Err(Malformed::Field("kind")));
        assert_eq!(with(6, 1), Err(Malformed::Field("address")));
        assert_eq!(with(6, 2), Err(Malformed::Field("session")));
        assert_eq!(with(10, 1), Err(Malformed::Field("port")));
        let mut refused = ToAgent::Connected { id: ConnectionId(1) }.encode();
        (refused[6], refused[7]) = (131, 99);
        assert_eq!(ToAgent::decode(&refused), Err(Malformed::Field("refusal")));
    }
}
