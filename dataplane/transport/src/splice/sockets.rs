//! Connections of the host's kernel, as flows see them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown, sockopt};
use session::Closed;
use shm::Mapping;
use slotmap::{Key as _, SlotMap};

use crate::connection::{Connection, Connections};

slotmap::new_key_type! {
    /// A name for epoll: of a connection, which is its session's too, or of a connection's own socket.
    pub(super) struct Name;
}

/// What has a name.
#[derive(Debug)]
enum Named {
    /// A connection and its session.
    Party(Party),
    /// The own socket of this connection.
    SocketOf(Name),
}

/// What is known of the client's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Incoming {
    /// More may come.
    Open,
    /// The client ended it, or did something else that a look will show; bytes may wait.
    Ending,
    /// Nothing more will come, and all that came was read.
    Drained,
    /// The connection is lost.
    Failed,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Party {
    socket: OwnedFd,
    incoming: Incoming,
    /// Bytes may wait: a look was not in vain yet.
    readable: bool,
    /// Urgent data came, at which the kernel stops to give: less than was asked for does not mean that it was all
    /// (`tcp_recvmsg_locked`, Linux 6.18).
    urgent: bool,
    /// Name of the socket.
    own: Name,
}

impl AsFd for Party {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Party {
    fn new(socket: OwnedFd) -> Self {
        Self { socket, incoming: Incoming::Open, readable: true, urgent: false, own: Name::null() }
    }

    /// Takes note of what epoll says.
    pub(super) fn note(&mut self, flags: EventFlags) {
        if flags.contains(EventFlags::ERR) {
            self.incoming = Incoming::Failed;
        }
        if flags.intersects(EventFlags::RDHUP | EventFlags::HUP) && self.incoming == Incoming::Open
        {
            self.incoming = Incoming::Ending;
            self.readable = true;
        }
        self.urgent |= flags.contains(EventFlags::PRI);
        self.readable |= flags.intersects(EventFlags::IN | EventFlags::PRI);
    }

    /// A result that is no number of bytes.
    fn stopped(&mut self, error: Errno) -> usize {
        if !matches!(error, Errno::AGAIN | Errno::INTR) {
            self.incoming = Incoming::Failed;
        }
        0
    }
}

/// All that has a name.
#[derive(Debug, Default)]
pub(super) struct Sockets(SlotMap<Name, Named>);

impl Sockets {
    /// Names a connection, and its socket. It was [made ready](ready).
    pub(super) fn add(&mut self, socket: OwnedFd) -> (Name, Name) {
        let party = self.0.insert(Named::Party(Party::new(socket)));
        let own = self.0.insert(Named::SocketOf(party));
        if let Some(party) = self.party(party) {
            party.own = own;
        }
        (party, own)
    }

    /// The connection whose own socket has this name.
    pub(super) fn of_socket(&self, name: Name) -> Option<Name> {
        match self.0.get(name) {
            Some(Named::SocketOf(party)) => Some(*party),
            _ => None,
        }
    }

    pub(super) fn party(&mut self, name: Name) -> Option<&mut Party> {
        match self.0.get_mut(name) {
            Some(Named::Party(party)) => Some(party),
            _ => None,
        }
    }
}

/// Has a connection end in a reset unless it is ended otherwise: should the agent die, no client takes what it has
/// for the whole. And has the kernel look after clients that say nothing: one that is gone without a word would keep
/// its session for ever (`net.ipv4.tcp_keepalive_time`, two hours by default).
/// Urgent data is given in line: a session knows no other place for it.
///
/// # Errors
/// What the kernel answers; the connection is over then.
pub(super) fn ready(socket: &OwnedFd) -> rustix::io::Result<()> {
    sockopt::set_socket_linger(socket, Some(Duration::ZERO))?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_socket_oobinline(socket, true)
}

/// Ends a connection that is [ready](ready), so that the other side sees that nobody was there.
pub(super) fn reset(socket: OwnedFd) {
    drop(socket);
}

/// Ends a connection after all that was sent.
fn end(socket: OwnedFd) {
    // Of a socket it fails for no reason but that it is none.
    let _ = sockopt::set_socket_linger(&socket, None);
    drop(socket);
}

impl Connections<Name> for Sockets {
    type One<'a> = Turn<'a>;

    fn one(&mut self, name: Name) -> Turn<'_> {
        Turn(self.party(name).expect("a flow's connection is there"))
    }

    fn close(&mut self, name: Name, how: Closed) {
        let Some(Named::Party(party)) = self.0.remove(name) else { return };
        self.0.remove(party.own);
        match how {
            Closed::Orderly => end(party.socket),
            Closed::Reset => reset(party.socket),
        }
    }
}

/// A connection that has its turn.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a mut Party);

impl Connection for Turn<'_> {
    fn send_from(&mut self, memory: &Mapping, offset: usize, len: usize) -> usize {
        if len == 0 {
            return 0;
        }
        match memory.send_to(offset, len, self.0.socket.as_fd()) {
            Ok(sent) => sent,
            Err(error) => self.0.stopped(error),
        }
    }

    fn read_into(&mut self, memory: &Mapping, offset: usize, len: usize) -> usize {
        let party = &mut *self.0;
        if len == 0 || !party.readable {
            return 0;
        }
        match memory.receive_from(offset, len, party.socket.as_fd()) {
            Ok(0) => {
                party.readable = false;
                party.incoming = Incoming::Drained;
                0
            }
            Ok(read) => {
                // A stream that gave less than it was asked for has no more now (epoll(7)); its next bytes are
                // news again. An end was told already.
                party.readable = read == len || party.urgent || party.incoming == Incoming::Ending;
                read
            }
            Err(error) => {
                party.readable = error == Errno::INTR;
                party.urgent &= party.readable;
                party.stopped(error)
            }
        }
    }

    fn readable(&self) -> usize {
        usize::from(self.0.readable)
    }

    fn peer_ended(&self) -> bool {
        self.0.incoming == Incoming::Drained
    }

    fn failed(&self) -> bool {
        self.0.incoming == Incoming::Failed
    }

    fn end(&mut self) {
        // Fails only when the connection is over already.
        let _ = shutdown(&self.0.socket, Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair() -> (OwnedFd, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = OwnedFd::from(listener.accept().unwrap().0);
        ready(&socket).unwrap();
        (socket, client)
    }

    #[test]
    fn the_kernel_looks_after_silent_clients() {
        let (socket, _client) = pair();
        assert_eq!(sockopt::socket_keepalive(&socket), Ok(true));
    }

    #[test]
    fn only_an_orderly_end_is_an_end() {
        let mut sockets = Sockets::default();
        let mut read = |how: Option<Closed>| {
            let (socket, mut client) = pair();
            rustix::io::write(&socket, b"part").unwrap();
            let (name, _) = sockets.add(socket);
            match how {
                Some(how) => sockets.close(name, how),
                // As the kernel does when the agent dies.
                None => sockets = Sockets::default(),
            }
            let mut bytes = Vec::new();
            client.read_to_end(&mut bytes).map_err(|error| error.kind())
        };
        assert_eq!(read(Some(Closed::Orderly)), Ok(4));
        assert_eq!(read(Some(Closed::Reset)), Err(ErrorKind::ConnectionReset));
        assert_eq!(read(None), Err(ErrorKind::ConnectionReset));
    }
}
