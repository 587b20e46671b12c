//! Where VPP listens for programs.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use session::broker::{ListenAt, ListenerId};
use vcl_sys::{CallError, Epoll, Protocol, Ready, Session, Worker};

use crate::listeners::Listeners;
use crate::vcl::wire::ConnectionId;

/// A listener of VPP's: a small number, which no connection has as its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Door(u32);

impl Door {
    /// The listener that an event is of.
    pub(super) fn of_token(token: u64) -> Option<Self> {
        u32::try_from(token).ok().map(Self)
    }
}

/// Listeners of VPP's, and connections that found no room at a port.
#[derive(Debug)]
pub(super) struct Doors {
    places: Listeners<Door, ()>,
    sessions: HashMap<Door, (Session, u16)>,
    full: HashMap<u16, VecDeque<ConnectionId>>,
    last: u32,
}

impl Doors {
    pub(super) fn new() -> Self {
        let (sessions, full) = (HashMap::new(), HashMap::new());
        Self { places: Listeners::default(), sessions, full, last: 0 }
    }

    /// Listens for a program.
    pub(super) fn listen(&mut self, at: &ListenAt, worker: &Worker, set: &Epoll) {
        let Self { places, sessions, last, .. } = self;
        let listen = |local: SocketAddr, _| {
            *last += 1;
            let door = Door(*last);
            match open(local, door, worker, set) {
                Ok(session) => {
                    sessions.insert(door, (session, local.port()));
                    Some(door)
                }
                Err(error) => {
                    tracing::warn!(%local, %error, "VPP does not listen");
                    None
                }
            }
        };
        // VPP knows no backlog.
        places.add(at, listen);
    }

    /// Listens no more.
    pub(super) fn unlisten(&mut self, listener: ListenerId) {
        for place in self.places.remove(listener).gone {
            self.sessions.remove(&place.listener);
        }
    }

    /// A connection that came, while there is room at its port.
    pub(super) fn accept(&self, door: Door) -> Option<Session> {
        let (listener, port) = self.sessions.get(&door)?;
        if self.full.contains_key(port) {
            return None;
        }
        loop {
            match listener.accept() {
                Ok(accepted) => return accepted.map(|(session, _)| session),
                // That one went already; the next may be there.
                Err(error) if error.kind() == vcl_sys::ErrorKind::Aborted => {}
                Err(error) => {
                    tracing::debug!(%error, "a listener of VPP is gone");
                    return None;
                }
            }
        }
    }

    /// A connection found no room.
    pub(super) fn wait(&mut self, port: u16, id: ConnectionId) {
        self.full.entry(port).or_default().push_back(id);
    }

    /// There may be room: those that wait, and listeners that may have more.
    pub(super) fn room(&mut self, port: u16) -> (VecDeque<ConnectionId>, Vec<Door>) {
        (self.full.remove(&port).unwrap_or_default(), self.places.at_port(port))
    }
}

fn open(local: SocketAddr, door: Door, worker: &Worker, set: &Epoll) -> Result<Session, CallError> {
    let session = worker.session(Protocol::Tcp)?;
    session.bind(local)?;
    session.listen()?;
    set.add(&session, door.0.into(), Ready::READ | Ready::EDGE)?;
    Ok(session)
}
