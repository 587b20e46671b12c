//! The control protocol's messages: 128 bytes each, little endian, packed.
//!
//! [`Message::encode`] and [`Message::decode`] are inverse to each other and touch nothing but
//! their arguments: no I/O, no allocation, no panic on any input. Layout as in VPP's
//! `src/plugins/memif/memif.h` (26.06), unchanged since memif version 2.0 of 2018; the type is a
//! `u16` at 0, the body starts at 2, the rest is zero and not looked at. Client and server are
//! the slave and the master of that file; its *s2m* rings run client to server.
#![forbid(unsafe_code)]

use std::fmt;

use crate::parameters::{InterfaceId, Mode, RingSize};
use crate::text::{Name, Reason, Secret};

/// Bytes of every message.
pub const MESSAGE_SIZE: usize = 128;

/// A memif protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u16);

impl Version {
    /// 2.0, the only version ever shipped and the only one spoken here.
    pub const CURRENT: Self = Self(0x0200);

    /// Major version in the high byte, minor in the low one.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.0 >> 8, self.0 & 0xff)
    }
}

/// Which way the frames of a ring travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The client sends, the server receives.
    ClientToServer,
    /// The server sends, the client receives.
    ServerToClient,
}

impl fmt::Display for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ClientToServer => "client-to-server",
            Self::ServerToClient => "server-to-client",
        })
    }
}

/// A control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// Server: the last message was accepted, send the next one.
    Ack,
    /// Server: what it can do; sent on accept.
    Hello(Hello),
    /// Client: which interface it wants.
    Init(Init),
    /// Client: the next region; its memory comes with it.
    AddRegion(AddRegion),
    /// Client: the next ring; its eventfd comes with it.
    AddRing(AddRing),
    /// Client: all is announced.
    Connect {
        /// The client's name for its interface.
        interface: Name,
    },
    /// Server: the link is up.
    Connected {
        /// The server's name for its interface.
        interface: Name,
    },
    /// Either end: the link is over.
    Disconnect(Disconnect),
}

/// What a server can do. The maxima are of *indices*: one more is the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The server application.
    pub name: Name,
    /// Oldest version spoken.
    pub min_version: Version,
    /// Newest version spoken.
    pub max_version: Version,
    /// Highest region index.
    pub max_region: u16,
    /// Highest index of a ring from server to client.
    pub max_server_to_client_ring: u16,
    /// Highest index of a ring from client to server.
    pub max_client_to_server_ring: u16,
    /// Largest ring, as a logarithm.
    pub max_log2_ring_size: u8,
}

/// A client's request for an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Init {
    /// The version it chose.
    pub version: Version,
    /// The interface behind this socket.
    pub id: InterfaceId,
    /// What its frames start with.
    pub mode: Mode,
    /// The interface's secret.
    pub secret: Secret,
    /// The client application.
    pub name: Name,
}

/// A region of shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddRegion {
    /// Its index; regions come in order.
    pub index: u16,
    /// Its size in bytes.
    pub size: u64,
}

/// A ring in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddRing {
    /// Which way it runs.
    pub direction: Direction,
    /// Its index within its direction; rings come in order.
    pub index: u16,
    /// The region that holds it.
    pub region: u16,
    /// Where its header starts, in bytes from the region's start.
    pub offset: u32,
    /// Its slots.
    pub size: RingSize,
    /// Bytes of private header in each buffer; 0 with every known peer.
    pub private_header_size: u16,
}

/// The end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnect {
    /// A number without agreed meaning; 0 from everyone but VPP.
    pub code: u32,
    /// Why, in words.
    pub reason: Reason,
}

/// A message's type alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum MessageKind {
    /// ACK
    Ack = 1,
    /// HELLO
    Hello = 2,
    /// INIT
    Init = 3,
    /// `ADD_REGION`
    AddRegion = 4,
    /// `ADD_RING`
    AddRing = 5,
    /// CONNECT
    Connect = 6,
    /// CONNECTED
    Connected = 7,
    /// DISCONNECT
    Disconnect = 8,
}

impl fmt::Display for MessageKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ack => "ACK",
            Self::Hello => "HELLO",
            Self::Init => "INIT",
            Self::AddRegion => "ADD_REGION",
            Self::AddRing => "ADD_RING",
            Self::Connect => "CONNECT",
            Self::Connected => "CONNECTED",
            Self::Disconnect => "DISCONNECT",
        })
    }
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A message has exactly 128 bytes.
    #[error("message of {0} bytes instead of {MESSAGE_SIZE}")]
    Length(usize),
    /// No message has this type.
    #[error("unknown message type {0}")]
    Kind(u16),
    /// Only Ethernet (0) and IP (1) are supported.
    #[error("unsupported mode {0}")]
    Mode(u8),
    /// Rings have 2^1 to 2^14 slots.
    #[error("unsupported ring size 2^{0}")]
    RingSize(u8),
}

const RING_IS_CLIENT_TO_SERVER: u16 = 1;

impl Message {
    /// Its type.
    pub fn kind(&self) -> MessageKind {
        match self {
            Self::Ack => MessageKind::Ack,
            Self::Hello(_) => MessageKind::Hello,
            Self::Init(_) => MessageKind::Init,
            Self::AddRegion(_) => MessageKind::AddRegion,
            Self::AddRing(_) => MessageKind::AddRing,
            Self::Connect { .. } => MessageKind::Connect,
            Self::Connected { .. } => MessageKind::Connected,
            Self::Disconnect(_) => MessageKind::Disconnect,
        }
    }

    /// The message as it travels.
    pub fn encode(&self) -> [u8; MESSAGE_SIZE] {
        let mut writer = Writer::new(self.kind());
        match self {
            Self::Ack => {}
            Self::Hello(hello) => hello.encode(&mut writer),
            Self::Init(init) => init.encode(&mut writer),
            Self::AddRegion(region) => {
                writer.put(region.index.to_le_bytes());
                writer.put(region.size.to_le_bytes());
            }
            Self::AddRing(ring) => ring.encode(&mut writer),
            Self::Connect { interface } | Self::Connected { interface } => {
                writer.put(interface.to_wire());
            }
            Self::Disconnect(disconnect) => {
                writer.put(disconnect.code.to_le_bytes());
                writer.put(disconnect.reason.to_wire());
            }
        }
        writer.bytes
    }

    /// Reads one datagram.
    ///
    /// # Errors
    ///
    /// Any length but 128, an unknown type, and a mode or ring size that nothing here could use.
    pub fn decode(datagram: &[u8]) -> Result<Self, WireError> {
        let bytes: &[u8; MESSAGE_SIZE] =
            datagram.try_into().map_err(|_| WireError::Length(datagram.len()))?;
        let mut reader = Reader { bytes, at: 0 };
        Ok(match reader.u16() {
            1 => Self::Ack,
            2 => Self::Hello(Hello::decode(&mut reader)),
            3 => Self::Init(Init::decode(&mut reader)?),
            4 => Self::AddRegion(AddRegion { index: reader.u16(), size: reader.u64() }),
            5 => Self::AddRing(AddRing::decode(&mut reader)?),
            6 => Self::Connect { interface: Name::from_wire(reader.take()) },
            7 => Self::Connected { interface: Name::from_wire(reader.take()) },
            8 => Self::Disconnect(Disconnect {
                code: reader.u32(),
                reason: Reason::from_wire(reader.take()),
            }),
            unknown => return Err(WireError::Kind(unknown)),
        })
    }
}

impl Hello {
    fn encode(&self, writer: &mut Writer) {
        writer.put(self.name.to_wire());
        writer.put(self.min_version.0.to_le_bytes());
        writer.put(self.max_version.0.to_le_bytes());
        writer.put(self.max_region.to_le_bytes());
        writer.put(self.max_server_to_client_ring.to_le_bytes());
        writer.put(self.max_client_to_server_ring.to_le_bytes());
        writer.put([self.max_log2_ring_size]);
    }

    fn decode(reader: &mut Reader<'_>) -> Self {
        Self {
            name: Name::from_wire(reader.take()),
            min_version: Version(reader.u16()),
            max_version: Version(reader.u16()),
            max_region: reader.u16(),
            max_server_to_client_ring: reader.u16(),
            max_client_to_server_ring: reader.u16(),
            max_log2_ring_size: reader.u8(),
        }
    }
}

impl Init {
    fn encode(&self, writer: &mut Writer) {
        writer.put(self.version.0.to_le_bytes());
        writer.put(self.id.value().to_le_bytes());
        writer.put([match self.mode {
            Mode::Ethernet => 0,
            Mode::Ip => 1,
        }]);
        writer.put(self.secret.to_wire());
        writer.put(self.name.to_wire());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            version: Version(reader.u16()),
            id: InterfaceId::new(reader.u32()),
            mode: match reader.u8() {
                0 => Mode::Ethernet,
                1 => Mode::Ip,
                other => return Err(WireError::Mode(other)),
            },
            secret: Secret::from_wire(reader.take()),
            name: Name::from_wire(reader.take()),
        })
    }
}

impl AddRing {
    fn encode(&self, writer: &mut Writer) {
        let flags = match self.direction {
            Direction::ClientToServer => RING_IS_CLIENT_TO_SERVER,
            Direction::ServerToClient => 0,
        };
        writer.put(flags.to_le_bytes());
        writer.put(self.index.to_le_bytes());
        writer.put(self.region.to_le_bytes());
        writer.put(self.offset.to_le_bytes());
        writer.put([self.size.log2()]);
        writer.put(self.private_header_size.to_le_bytes());
    }

    /// Flags other than the direction have no meaning and are ignored, as every peer does.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let flags = reader.u16();
        Ok(Self {
            direction: if flags & RING_IS_CLIENT_TO_SERVER == 0 {
                Direction::ServerToClient
            } else {
                Direction::ClientToServer
            },
            index: reader.u16(),
            region: reader.u16(),
            offset: reader.u32(),
            size: {
                let log2 = reader.u8();
                RingSize::from_log2(log2).ok_or(WireError::RingSize(log2))?
            },
            private_header_size: reader.u16(),
        })
    }
}

/// Appends fields. The largest body is 100 bytes, so a message cannot overflow.
struct Writer {
    bytes: [u8; MESSAGE_SIZE],
    at: usize,
}

impl Writer {
    fn new(kind: MessageKind) -> Self {
        let mut writer = Self { bytes: [0; MESSAGE_SIZE], at: 0 };
        writer.put((kind as u16).to_le_bytes());
        writer
    }

    fn put<const N: usize>(&mut self, field: [u8; N]) {
        self.bytes[self.at..][..N].copy_from_slice(&field);
        self.at += N;
    }
}

/// Takes fields one after another; no body is longer than the message.
struct Reader<'a> {
    bytes: &'a [u8; MESSAGE_SIZE],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[self.at..][..N]);
        self.at += N;
        field
    }

    fn u8(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
