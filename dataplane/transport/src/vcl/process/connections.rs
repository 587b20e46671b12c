//! Connections of VPP's host stack, as flows see them.

use std::collections::HashMap;
use std::net::Shutdown;
use std::time::Instant;

use session::Closed;
use shm::Mapping;
use slotmap::SlotMap;
use vcl_sys::{CallError, Epoll, ErrorKind, Ready, Session};

use crate::connection::{Connection, Connections};
use crate::vcl::wire::ConnectionId;

slotmap::new_key_type! {
    /// A connection's name in this process.
    pub(super) struct ConnectionKey;
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// VPP connects, since then.
    Connecting(Instant),
    /// The agent was asked for a session.
    Asked,
    /// A flow has it.
    Joined,
}

/// What is known of the peer's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Incoming {
    /// More may come.
    Open,
    /// Nothing more will come, and all that came was read.
    Drained,
    /// The connection is lost.
    Failed,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Party {
    /// Its name between the agent and this process.
    pub(super) id: ConnectionId,
    pub(super) stage: Stage,
    /// `None` once both directions are over.
    session: Option<Session>,
    /// The program will send no more.
    end_wanted: bool,
    incoming: Incoming,
    /// VPP had room and no memory for it; it will not tell when it has.
    starved: bool,
}

impl Party {
    pub(super) fn new(id: ConnectionId, stage: Stage, session: Session) -> Self {
        Self {
            id,
            stage,
            session: Some(session),
            end_wanted: false,
            incoming: Incoming::Open,
            starved: false,
        }
    }

    pub(super) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Takes note of what VPP says; `set` and `token` are those that the session was added with.
    pub(super) fn note(&mut self, ready: Ready, set: &Epoll, token: u64) {
        if ready.contains(Ready::ERROR) {
            self.incoming = Incoming::Failed;
        }
        if ready.contains(Ready::PEER_ENDED)
            && let Some(session) = &self.session
        {
            // After this event libvppcom reports nothing more, unless it is asked again (v26.06
            // `vcl_epoll_wait_handle_mq_event`); of room, for one, there is still news.
            let again = Ready::READ | Ready::WRITE | Ready::EDGE;
            if let Err(error) = set.modify(session, token, again) {
                tracing::debug!(%error, "a connection ended while it was looked at");
            }
        }
        self.observe();
    }

    /// Sees whether everything was read, or was lost. A connection whose last bytes VPP dropped has failed:
    /// an end would hide that they are missing. The end of a connection that was accepted after it is told by
    /// no event.
    pub(super) fn observe(&mut self) {
        let Some(session) = &self.session else { return };
        match session.peek_from(&mut [0]) {
            Ok((0, _)) if self.incoming == Incoming::Open => self.incoming = Incoming::Drained,
            Ok(_) => {}
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => {}
                ErrorKind::NotConnected if self.incoming == Incoming::Drained => {}
                _ => self.incoming = Incoming::Failed,
            },
        }
        self.settle();
    }

    /// Closes a connection of which both directions are over: only that has VPP send the end when the peer's
    /// came first.
    fn settle(&mut self) {
        if self.end_wanted && self.incoming == Incoming::Drained {
            self.session = None;
        }
    }

    /// A result that is no number of bytes.
    fn stopped(&mut self, error: CallError) -> usize {
        if error.kind() != ErrorKind::WouldBlock {
            self.incoming = Incoming::Failed;
        }
        0
    }
}

/// All connections, by either name.
#[derive(Debug)]
pub(super) struct Parties {
    all: SlotMap<ConnectionKey, Party>,
    by_id: HashMap<ConnectionId, ConnectionKey>,
}

impl Parties {
    pub(super) fn new() -> Self {
        Self { all: SlotMap::with_key(), by_id: HashMap::new() }
    }

    pub(super) fn add(&mut self, party: Party) -> ConnectionKey {
        let id = party.id;
        let key = self.all.insert(party);
        self.by_id.insert(id, key);
        key
    }

    pub(super) fn key(&self, id: ConnectionId) -> Option<ConnectionKey> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut Party> {
        self.all.get_mut(key)
    }

    /// Connections that VPP does not tell when they can go on.
    pub(super) fn starved(&mut self) -> Vec<ConnectionKey> {
        let each = self.all.iter_mut();
        each.filter_map(|(key, it)| std::mem::take(&mut it.starved).then_some(key)).collect()
    }

    /// Whether there are any of these.
    pub(super) fn any_starved(&self) -> bool {
        self.all.values().any(|it| it.starved)
    }
}

impl Connections<ConnectionKey> for Parties {
    type One<'a> = Turn<'a>;

    fn one(&mut self, key: ConnectionKey) -> Turn<'_> {
        Turn(self.all.get_mut(key).expect("a flow's connection is there"))
    }

    fn close(&mut self, key: ConnectionKey, how: Closed) {
        let Some(party) = self.all.remove(key) else { return };
        self.by_id.remove(&party.id);
        if how == Closed::Reset
            && let Some(session) = &party.session
            && let Err(error) = session.terminate()
        {
            // Before v26.02 there is closing only.
            tracing::debug!(%error, "a connection is closed instead of reset");
        }
    }
}

/// A connection that has its turn.
pub(super) struct Turn<'a>(&'a mut Party);

impl Connection for Turn<'_> {
    fn send_from(&mut self, memory: &Mapping, offset: usize, len: usize) -> usize {
        let Some(session) = &self.0.session else { return 0 };
        let room = match session.writable() {
            Ok(room) => room,
            Err(error) => return self.0.stopped(error),
        };
        // The place is within the mapping: the ring says so.
        let Ok(bytes) = memory.bytes(offset, len.min(room)) else { return 0 };
        if bytes.is_empty() {
            return 0;
        }
        match session.write_shared(bytes) {
            Ok(sent) => sent,
            Err(error) => {
                self.0.starved |= error.kind() == ErrorKind::WouldBlock;
                self.0.stopped(error)
            }
        }
    }

    fn read_into(&mut self, memory: &Mapping, offset: usize, len: usize) -> usize {
        let Some(session) = &self.0.session else { return 0 };
        let Ok(room) = memory.bytes(offset, len) else { return 0 };
        let read = match session.read_shared(room) {
            Ok(read) => read,
            Err(error) => self.0.stopped(error),
        };
        self.0.observe();
        read
    }

    fn readable(&self) -> usize {
        self.0.session.as_ref().and_then(|it| it.readable().ok()).unwrap_or(0)
    }

    fn peer_ended(&self) -> bool {
        self.0.incoming == Incoming::Drained
    }

    fn failed(&self) -> bool {
        self.0.incoming == Incoming::Failed
    }

    fn end(&mut self) {
        self.0.end_wanted = true;
        self.0.observe();
        if let Some(session) = &self.0.session
            && let Err(error) = session.shutdown(Shutdown::Write)
        {
            self.0.stopped(error);
        }
    }
}
