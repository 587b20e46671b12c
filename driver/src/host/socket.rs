//! Bound unix sockets. Abstract ones belong to the network namespace in which the calling
//! thread binds them, and keep that namespace alive until they are closed.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

/// Connections that wait to be accepted before further clients are turned away.
const BACKLOG: i32 = 64;

/// Longest abstract name: 108 bytes of `sun_path`, of which the leading zero byte takes one.
const NAME_BYTES: usize = 107;

/// How a socket keeps message boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// `SOCK_SEQPACKET`, as memif wants it.
    SeqPacket,
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`, which takes messages without connections.
    Datagram,
}

/// The name of an abstract unix socket, without the leading zero byte; shown with a leading `@`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AbstractName(String);

impl AbstractName {
    /// The name `text`, or `None` when it is empty or longer than 107 bytes.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (1..=NAME_BYTES).contains(&text.len()).then_some(Self(text))
    }
}

impl fmt::Display for AbstractName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another socket of this namespace has the name.
    #[error("the socket {0} is taken by another program of this network namespace")]
    Taken(AbstractName),
    /// Any other failure.
    #[error("cannot listen on {name}")]
    Io {
        /// The socket.
        name: AbstractName,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Binds `name` in the namespace of the calling thread and listens, if sockets of this kind do. The
/// socket does not block and is closed on `exec`.
pub fn listen_abstract(name: &AbstractName, kind: SocketKind) -> Result<OwnedFd, ListenError> {
    bind_and_listen(name, kind).map_err(|errno| match errno {
        Errno::ADDRINUSE => ListenError::Taken(name.clone()),
        errno => ListenError::Io { name: name.clone(), source: errno.into() },
    })
}

/// Listens on a path, in place of what a process that died may have left there. Fails as the kernel does.
pub fn listen_path(path: &Path, kind: SocketKind) -> io::Result<OwnedFd> {
    remove_if_there(path)?;
    Ok(bind_and_listen_at(&SocketAddrUnix::new(path)?, kind)?)
}

/// As [`listen_path`], where others must not connect before the file has its permissions: it is made with
/// `mode`, less the process's umask.
pub fn listen_path_with_mode(path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    remove_if_there(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // A file is made with the permissions of its socket (Linux, `unix_bind_bsd`). To set them afterwards, by
    // path, would be to follow whatever somebody put there meanwhile.
    rustix::fs::fchmod(&socket, mode)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn bind_and_listen(name: &AbstractName, kind: SocketKind) -> Result<OwnedFd, Errno> {
    bind_and_listen_at(&SocketAddrUnix::new_abstract_name(name.0.as_bytes())?, kind)
}

fn bind_and_listen_at(address: &SocketAddrUnix, kind: SocketKind) -> Result<OwnedFd, Errno> {
    let (kind, listens) = match kind {
        SocketKind::SeqPacket => (SocketType::SEQPACKET, true),
        SocketKind::Stream => (SocketType::STREAM, true),
        SocketKind::Datagram => (SocketType::DGRAM, false),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, kind, flags, None)?;
    bind(&socket, address)?;
    if listens {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_bounds_and_show_an_at_sign() {
        assert!(AbstractName::new("").is_none());
        assert!(AbstractName::new("x".repeat(108)).is_none());
        assert!(AbstractName::new("x".repeat(107)).is_some());
        assert_eq!(AbstractName::new("a/b").unwrap().to_string(), "@a/b");
    }

    #[test]
    fn a_name_is_bound_once_and_free_after_the_close() {
        let name = AbstractName::new(format!("dockervpp-test/{}", std::process::id())).unwrap();
        let first = listen_abstract(&name, SocketKind::SeqPacket).unwrap();
        let second = listen_abstract(&name, SocketKind::SeqPacket);
        assert!(matches!(second, Err(ListenError::Taken(taken)) if taken == name));
        drop(first);
        listen_abstract(&name, SocketKind::SeqPacket).unwrap();
    }

    #[test]
    fn the_longest_name_can_be_bound() {
        let name = format!("{:x<107}", std::process::id());
        listen_abstract(&AbstractName::new(name).unwrap(), SocketKind::Stream).unwrap();
    }
}
