//! Why something did not work.

use std::net::SocketAddr;

/// Why a call failed, or why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// The peer refused the connection (`ECONNREFUSED`).
    #[error("the peer refused the connection")]
    Refused,
    /// The peer reset the connection (`ECONNRESET`).
    #[error("the peer reset the connection")]
    Reset,
    /// The peer did not answer for too long (`ETIMEDOUT`).
    #[error("the peer did not answer in time")]
    TimedOut,
    /// There is no way to the peer, or nobody has its address (`EHOSTUNREACH`).
    #[error("the peer cannot be reached")]
    Unreachable,
    /// Somebody uses the address already (`EADDRINUSE`).
    #[error("{0} is in use; choose another port")]
    InUse(SocketAddr),
    /// The address is not one of this endpoint, or of the other IP version (`EADDRNOTAVAIL`).
    #[error("{0} is not an address of this endpoint")]
    NotOwn(SocketAddr),
    /// Too many connections (`ENOBUFS`).
    #[error("the endpoint has too many connections; close some")]
    TooMany,
    /// The connection, listener or socket does not exist any more (`EBADF`).
    #[error("it does not exist any more")]
    Gone,
    /// The connection is not open for this (`EPIPE`, `ENOTCONN`).
    #[error("the connection is not open for this")]
    NotOpen,
}

/// Why a datagram was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Too many frames are on the way to this neighbour, or wait for its address; try again after the next
    /// [`poll`](crate::Stack::poll) (`EAGAIN`).
    #[error("too many frames are on the way; try again later")]
    Full,
    /// Longer than a packet can be (`EMSGSIZE`).
    #[error("a datagram has at most {0} bytes here")]
    TooLong(usize),
    /// Any other reason.
    #[error(transparent)]
    Other(#[from] StackError),
}
