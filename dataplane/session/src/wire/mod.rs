//! Messages between programs and the broker, version 2.
//!
//! A program sends a [`Request`] as one datagram to the abstract socket `@dockervpp/session` of its
//! network namespace, together with the far end of a socket pair that it made; the broker knows the
//! endpoint from the socket that the datagram arrived on. It answers with [`Reply`] messages on that
//! far end, so that a program needs no connection to the broker, and nothing has to be restored
//! when either of them restarts. Numbers are little-endian. A message never changes its length:
//! [`REQUEST_BYTES`] and [`REPLY_BYTES`].

mod address;
mod reply;
mod request;

use address::ADDRESS_BYTES;

pub use reply::{REPLY_BYTES, Refusal, Reply, SessionInfo, Transport};
pub use request::{Protocol, REQUEST_BYTES, Request, Reuse};

/// Version of the messages; others are refused with [`Refusal::Version`].
pub const VERSION: u16 = 2;

/// Abstract name of the broker's socket of the first endpoint, without the leading zero byte.
pub const SOCKET_NAME: &str = "dockervpp/session";

/// Bytes in front of the two addresses that every message has.
const HEAD_BYTES: usize = 24;

/// The head of a message, its two addresses, and what follows.
type Parts<'a> = (&'a [u8; HEAD_BYTES], &'a [u8; ADDRESS_BYTES], &'a [u8; ADDRESS_BYTES], &'a [u8]);

/// The parts of a message of `N` bytes that starts with `magic` and is of this version.
fn parts<const N: usize>(bytes: &[u8], magic: [u8; 4]) -> Result<Parts<'_>, Malformed> {
    let bytes: &[u8; N] = bytes.try_into().map_err(|_| Malformed::Length(bytes.len()))?;
    let (head, rest) = bytes.split_first_chunk().ok_or(Malformed::Length(0))?;
    let (first, rest) = rest.split_first_chunk().ok_or(Malformed::Length(0))?;
    let (second, tail) = rest.split_first_chunk().ok_or(Malformed::Length(0))?;
    if head[..4] != magic {
        return Err(Malformed::Magic);
    }
    match u16::from_le_bytes([head[4], head[5]]) {
        VERSION => Ok((head, first, second, tail)),
        version => Err(Malformed::Version(version)),
    }
}

/// A message that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The message has another length.
    #[error("the message has {0} bytes")]
    Length(usize),
    /// It does not start with the magic number.
    #[error("the message is none of this protocol")]
    Magic,
    /// It is of another version of the protocol.
    #[error("the message is of version {0}, this is version {VERSION}")]
    Version(u16),
    /// A field has a value that it cannot have.
    #[error("the message has a wrong {0}")]
    Field(&'static str),
}
