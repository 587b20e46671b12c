//! The control socket: datagrams of one message and at most one descriptor over `AF_UNIX`
//! `SOCK_SEQPACKET`. Nothing here blocks, and every descriptor that arrives is owned at once.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::socket::sockopt::PeerCredentials;
use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, accept_with,
    bind, connect, listen, recvmsg, sendmsg, shutdown, socket_with, sockopt,
};

use crate::address::Address;
use crate::handshake::HandshakeError;
use crate::link::Credentials;
use crate::wire::{MESSAGE_SIZE, Message, WireError};

/// Connections that the kernel holds for us.
const BACKLOG: i32 = 32;

/// Why nothing could be received.
#[derive(Debug)]
pub(crate) enum ReceiveError {
    /// The kernel said so.
    Io(io::Error),
    /// The peer sent what is no message.
    Protocol(HandshakeError),
}

/// What [`ControlSocket::receive`] found.
#[derive(Debug)]
pub(crate) enum Received {
    Message(Message, Option<OwnedFd>),
    Nothing,
    Eof,
}

/// A connected control socket, non-blocking.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    fd: OwnedFd,
}

impl ControlSocket {
    /// Connects; unix sockets do that at once or not at all.
    pub(crate) fn connect(address: &Address) -> io::Result<Self> {
        let fd = new_socket()?;
        connect(&fd, &address.to_socket_address()?)?;
        Ok(Self { fd })
    }

    /// The next connection of a listening socket; `None` if there is none now.
    pub(crate) fn accept(listening: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        match accept_with(listening, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(fd) => Ok(Some(Self { fd })),
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Who is at the other end, as the kernel recorded it at the connect.
    pub(crate) fn credentials(&self) -> io::Result<Credentials> {
        // Not rustix's: its process id cannot be zero, which a peer in another pid namespace has.
        let peer = nix::sys::socket::getsockopt(&self.fd, PeerCredentials)?;
        Ok(Credentials { pid: peer.pid(), uid: peer.uid(), gid: peer.gid() })
    }

    /// Sends one message. A peer that lets our few small messages fill the socket's buffer is not
    /// reading them, so `WouldBlock` is an error like any other.
    pub(crate) fn send(
        &self,
        message: &Message,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let bytes = message.encode();
        let descriptors = descriptor.as_slice();
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = sendmsg(&self.fd, &[IoSlice::new(&bytes)], &mut control, flags)?;
        if sent == MESSAGE_SIZE { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Takes the next message, if one is there.
    ///
    /// A peer that closed with our messages unread makes the kernel report `ECONNRESET` once,
    /// ahead of what the peer sent before; the second attempt gets that.
    pub(crate) fn receive(&self) -> Result<Received, ReceiveError> {
        match self.receive_once() {
            Err(ReceiveError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                self.receive_once()
            }
            outcome => outcome,
        }
    }

    /// The control buffer has room for credentials, which come first if someone set
    /// `SO_PASSCRED`, and for more descriptors than are allowed, so that they can be told from one.
    fn receive_once(&self) -> Result<Received, ReceiveError> {
        let mut bytes = [0; MESSAGE_SIZE];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmCredentials(1), ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = match recvmsg(&self.fd, &mut parts, &mut control, flags) {
            Ok(received) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Received::Nothing),
            Err(errno) => return Err(ReceiveError::Io(errno.into())),
        };
        let mut descriptors = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten();
        let descriptor = descriptors.next();
        if descriptors.next().is_some() || received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(ReceiveError::Protocol(HandshakeError::TooManyDescriptors));
        }
        if received.bytes == 0 {
            return Ok(Received::Eof);
        }
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(malformed(WireError::Length(MESSAGE_SIZE + 1)));
        }
        let message = Message::decode(&bytes[..received.bytes]).map_err(malformed)?;
        Ok(Received::Message(message, descriptor))
    }

    /// Ends both directions: the peer sees the end, and so does whoever else watches this socket.
    pub(crate) fn shut_down(&self) {
        // Fails only if the peer has gone already.
        let _ = shutdown(&self.fd, rustix::net::Shutdown::Both);
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for ControlSocket {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

/// A listening socket; if it has a path, the file goes with it.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    fd: OwnedFd,
    file: Option<SocketFile>,
}

impl ListeningSocket {
    /// Binds and listens. A socket file that nobody listens on any more is replaced.
    pub(crate) fn bind(address: &Address) -> io::Result<Self> {
        let fd = new_socket()?;
        let place = address.to_socket_address()?;
        match bind(&fd, &place) {
            Err(Errno::ADDRINUSE) => {
                remove_stale(address)?;
                bind(&fd, &place)?;
            }
            outcome => outcome?,
        }
        let file = match address {
            Address::Path(path) => Some(SocketFile::at(path)?),
            Address::Abstract(_) => None,
        };
        listen(&fd, BACKLOG)?;
        Ok(Self { fd, file })
    }

    /// Adopts a socket that someone else bound; it may listen already.
    pub(crate) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let kind = (sockopt::socket_domain(&fd)?, sockopt::socket_type(&fd)?);
        if kind != (AddressFamily::UNIX, SocketType::SEQPACKET) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a memif listener must be a unix socket of type seqpacket",
            ));
        }
        listen(&fd, BACKLOG)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { fd, file: None })
    }

    /// The file, if the address is a path.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A socket file that we made; removed on drop unless another has taken its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        let path = std::path::absolute(path)?;
        Ok(Self { path, device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode));
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn malformed(error: WireError) -> ReceiveError {
    ReceiveError::Protocol(error.into())
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Removes a socket file that refuses connections. Everything else at that place is left alone.
fn remove_stale(address: &Address) -> io::Result<()> {
    let in_use = |what: String| Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    let Address::Path(path) = address else {
        return in_use(format!("{address} is served by another process"));
    };
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return in_use(format!(
            "{address} exists and is no socket; remove it or choose another path"
        ));
    }
    match connect(new_socket()?, &address.to_socket_address()?) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        _ => in_use(format!("{address} is served by another process")),
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
