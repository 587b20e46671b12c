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
        Self { socket, incoming: Incoming::Open, readable: true, own: Name::null() }
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
        self.readable |= flags.contains(EventFlags::IN);
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
    /// Names a connection, and its socket.
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

/// Ends a connection so that the other side sees that nobody was there.
pub(super) fn reset(socket: OwnedFd) {
    // Without it the end is an ordinary one.
    let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
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
            Closed::Orderly => drop(party.socket),
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
                party.readable = read == len || party.incoming == Incoming::Ending;
                read
            }
            Err(error) => {
                party.readable = error == Errno::INTR;
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
