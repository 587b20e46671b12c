//! Messages, VPP's news and sessions in turn.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use session::Closed;
use session::broker::Joined;
use session::wire::{Refusal, SessionInfo};
use slotmap::{Key, KeyData};
use vcl_sys::{CallError, Epoll, ErrorKind, Event, Events, Protocol, Ready, Session, Worker};

use super::ProcessError;
use super::connections::{ConnectionKey, Parties, Party, Stage};
use super::doors::{Door, Doors};
use crate::connection::Connections as _;
use crate::flows::{Flows, LOOK_EVERY, SPIN};
use crate::vcl::channel::{Channel, Gone};
use crate::vcl::wire::{ConnectionId, ToAgent, ToProcess};

/// After how long a connection is looked at once more for which VPP had no memory.
const STARVED: Duration = Duration::from_millis(10);

/// After how long a connect that VPP gives up was one that nobody answered. VPP tells no reasons beyond
/// "refused" and "in use".
const ANSWERED: Duration = Duration::from_secs(3);

/// How long VPP is given to reset connections: many of its rounds, asleep in between or not.
const PARTING: Duration = Duration::from_millis(200);

/// What connections are watched for.
const INTEREST: Ready = Ready::READ.union(Ready::WRITE).union(Ready::PEER_ENDED).union(Ready::EDGE);

/// All that the process has.
#[derive(Debug)]
pub(super) struct Work {
    channel: Channel,
    // Before the worker: sessions go first.
    parties: Parties,
    doors: Doors,
    set: Epoll,
    events: Events,
    flows: Flows<ConnectionKey>,
    worker: Worker,
    last: u64,
    /// The agent may have said something, or take more.
    told: bool,
}

/// Why the work is over.
enum Over {
    AgentGone,
    Error(ProcessError),
}

impl From<Gone> for Over {
    fn from(_: Gone) -> Self {
        Self::AgentGone
    }
}

impl From<CallError> for Over {
    fn from(error: CallError) -> Self {
        Self::Error(error.into())
    }
}

impl Work {
    pub(super) fn new(channel: Channel, worker: Worker) -> Result<Self, ProcessError> {
        let flows = Flows::new()?;
        let news = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        flows.watch_news(&channel, news)?;
        // Not edge-triggered: what was polled is no news, says libvppcom.
        flows.watch_waker(worker.as_fd())?;
        let set = worker.epoll()?;
        Ok(Self {
            channel,
            parties: Parties::new(),
            doors: Doors::new(),
            set,
            events: Events::with_capacity(256),
            flows,
            worker,
            last: 1,
            told: true,
        })
    }

    /// Serves until the agent or VPP is gone.
    pub(super) fn run(mut self) -> Result<(), ProcessError> {
        let over = self.serve();
        if matches!(over, Over::Error(ProcessError::VppGone)) {
            // VPP is told nothing: its queue would fill up, and libvppcom wait for room.
            self.flows.abandon();
        } else {
            self.reset_all();
        }
        match over {
            Over::AgentGone => Ok(()),
            Over::Error(error) => Err(error),
        }
    }

    /// Has peers see a reset, not an end.
    fn reset_all(&mut self) {
        let open = self.flows.names();
        for key in &open {
            self.flows.close(*key, Closed::Reset, &mut self.parties);
        }
        if !open.is_empty() {
            // VPP has to take the resets before it learns that the application is gone, which is an end.
            // Nothing else is of interest, whether it fails or not.
            let _ = self.set.wait(&mut self.events, Some(PARTING));
        }
    }

    fn serve(&mut self) -> Over {
        let attached = self.tell(ToAgent::Attached);
        if let Err(gone) = attached {
            return gone.into();
        }
        let mut worked = Instant::now();
        let mut looked = worked;
        loop {
            let now = Instant::now();
            let busy = match self.round() {
                Ok(busy) => busy,
                Err(over) => return over,
            };
            if busy {
                worked = now;
            }
            if !busy || now.duration_since(looked) > LOOK_EVERY {
                looked = now;
                if self.look(Some(Duration::ZERO)) {
                    worked = now;
                }
            }
            if now.duration_since(worked) < SPIN {
                continue;
            }
            if self.flows.may_sleep(&mut self.parties) {
                // VPP's news is looked for once more: from then on its descriptor tells.
                match self.news() {
                    Ok(false) => {
                        let limit = self.parties.any_starved().then_some(STARVED);
                        self.look(limit);
                        for key in self.parties.starved() {
                            self.flows.wake(key);
                        }
                    }
                    Ok(true) => {}
                    Err(over) => return over,
                }
                worked = Instant::now();
            }
        }
    }

    fn round(&mut self) -> Result<bool, Over> {
        let mut busy = std::mem::take(&mut self.told) && self.messages()?;
        busy |= self.news()?;
        busy |= self.flows.turns(&mut self.parties);
        Ok(busy)
    }

    fn look(&mut self, limit: Option<Duration>) -> bool {
        let looked = self.flows.look(limit, |_, _| ());
        self.told |= looked.news;
        looked.any
    }

    fn tell(&mut self, message: ToAgent) -> Result<(), Gone> {
        self.channel.send(message.encode(), Vec::new())
    }

    /// Does what the agent asks for.
    fn messages(&mut self) -> Result<bool, Over> {
        let mut any = false;
        self.channel.flush()?;
        while let Some(message) = self.channel.receive()? {
            any = true;
            match ToProcess::decode(&message.bytes) {
                Ok(told) => self.message(told, message.descriptors)?,
                Err(error) => return Err(Over::Error(ProcessError::Agent(error.to_string()))),
            }
        }
        Ok(any)
    }

    fn message(&mut self, message: ToProcess, descriptors: Vec<OwnedFd>) -> Result<(), Over> {
        match message {
            ToProcess::Connect { id, source, destination } => {
                self.connect(id, source, destination)?;
            }
            ToProcess::Open { id, session } => self.open(id, session, descriptors)?,
            ToProcess::Abandon { id } => self.abandon(id),
            ToProcess::Wait { id } => {
                if let Some((_, local, _)) = self.asked(id) {
                    self.doors.wait(local.port(), id);
                }
            }
            ToProcess::Listen(at) => {
                self.doors.listen(&at, &self.worker, &self.set);
                self.tell(ToAgent::Listening(at.listener))?;
            }
            ToProcess::Unlisten(listener) => self.doors.unlisten(listener),
            ToProcess::Room { port } => {
                let (waiting, doors) = self.doors.room(port);
                for id in waiting {
                    if let Some((id, local, remote)) = self.asked(id) {
                        self.tell(ToAgent::Accept { id, local, remote })?;
                    }
                }
                for door in doors {
                    self.accept(door)?;
                }
            }
        }
        Ok(())
    }

    fn connect(&mut self, id: ConnectionId, from: SocketAddr, to: SocketAddr) -> Result<(), Gone> {
        match self.try_connect(from, to) {
            Ok(session) => {
                let stage = Stage::Connecting(Instant::now());
                self.add(Party::new(id, stage, session));
                Ok(())
            }
            Err(error) => self.tell(ToAgent::Refused { id, refusal: refusal(error, false) }),
        }
    }

    fn try_connect(&self, from: SocketAddr, to: SocketAddr) -> Result<Session, CallError> {
        let session = self.worker.session(Protocol::Tcp)?;
        session.bind(from)?;
        session.connect(to)?;
        Ok(session)
    }

    /// Has VPP tell of a connection, by its name.
    fn add(&mut self, party: Party) {
        let key = self.parties.add(party);
        if let Some(session) = self.parties.get_mut(key).and_then(|it| it.session())
            && let Err(error) = self.set.add(session, key.data().as_ffi(), INTEREST)
        {
            tracing::warn!(%error, "a connection of VPP is not watched");
        }
    }

    /// Takes VPP's news.
    fn news(&mut self) -> Result<bool, Over> {
        let count = self.set.poll(&mut self.events)?;
        if self.worker.is_detached().unwrap_or(false) {
            return Err(Over::Error(ProcessError::VppGone));
        }
        let events: Vec<_> = self.events.iter().collect();
        for event in events {
            match Door::of_token(event.token) {
                Some(door) => self.accept(door)?,
                None => self.event(event)?,
            }
        }
        Ok(count > 0)
    }

    fn event(&mut self, event: Event) -> Result<(), Gone> {
        let key: ConnectionKey = KeyData::from_ffi(event.token).into();
        let Some(party) = self.parties.get_mut(key) else { return Ok(()) };
        match party.stage {
            Stage::Connecting(since) => self.progress(key, since, event.ready),
            Stage::Asked | Stage::Joined => {
                party.note(event.ready, &self.set, event.token);
                self.flows.wake(key);
                Ok(())
            }
        }
    }

    /// VPP connected, or gave up.
    fn progress(&mut self, key: ConnectionKey, since: Instant, ready: Ready) -> Result<(), Gone> {
        let Some(party) = self.parties.get_mut(key) else { return Ok(()) };
        let id = party.id;
        let error = party.session().and_then(|session| session.error().ok().flatten());
        let refusal = match error {
            Some(error) => refusal(error, since.elapsed() >= ANSWERED),
            None if ready.intersects(Ready::HUNG_UP | Ready::ERROR) => Refusal::Unreachable,
            None => {
                party.stage = Stage::Asked;
                return self.tell(ToAgent::Connected { id });
            }
        };
        self.parties.close(key, Closed::Orderly);
        self.tell(ToAgent::Refused { id, refusal })
    }

    /// Takes what came at a listener, as long as there is room.
    fn accept(&mut self, door: Door) -> Result<(), Gone> {
        while let Some(session) = self.doors.accept(door) {
            let (Ok(local), Ok(remote)) = (session.local_addr(), session.peer_addr()) else {
                continue;
            };
            self.last += 2;
            let id = ConnectionId(self.last);
            self.add(Party::new(id, Stage::Asked, session));
            self.tell(ToAgent::Accept { id, local, remote })?;
        }
        Ok(())
    }

    /// A connection that waits for a session, and its addresses.
    fn asked(&mut self, id: ConnectionId) -> Option<(ConnectionId, SocketAddr, SocketAddr)> {
        let key = self.parties.key(id)?;
        let session = self.parties.get_mut(key)?.session()?;
        Some((id, session.local_addr().ok()?, session.peer_addr().ok()?))
    }

    /// A connection gets its session.
    fn open(
        &mut self,
        id: ConnectionId,
        info: SessionInfo,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), Over> {
        let Ok([socket, memory]) = <[OwnedFd; 2]>::try_from(descriptors) else {
            let what = "a session comes with a socket and memory".to_owned();
            return Err(Over::Error(ProcessError::Agent(what)));
        };
        let Some(key) = self.parties.key(id) else { return Ok(()) };
        let opened = self
            .flows
            .watch(&socket, key)
            .and_then(|()| self.flows.open(key, Joined { socket, memory: Arc::new(memory), info }));
        match opened {
            Ok(()) => {
                if let Some(party) = self.parties.get_mut(key) {
                    party.stage = Stage::Joined;
                    party.observe();
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a session cannot be taken");
                self.parties.close(key, Closed::Reset);
            }
        }
        Ok(())
    }

    /// Nobody wants a connection.
    fn abandon(&mut self, id: ConnectionId) {
        if let Some(key) = self.parties.key(id) {
            self.parties.close(key, Closed::Reset);
        }
    }
}

fn refusal(error: CallError, late: bool) -> Refusal {
    match error.kind() {
        ErrorKind::Refused | ErrorKind::Reset => Refusal::Refused,
        ErrorKind::AddressInUse => Refusal::AddressInUse,
        ErrorKind::TimedOut => Refusal::TimedOut,
        _ if late => Refusal::TimedOut,
        _ => Refusal::Unreachable,
    }
}
