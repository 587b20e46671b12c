//! Connections, sessions and commands in turn.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::sockopt;
use session::Closed;
use session::broker::{EndpointKey, Handle, NotAccepted};

use super::doors::{Caller, Command, Doors};
use super::shown::shown;
use super::sockets::{Name, Sockets, reset};
use super::table::DoorId;
use crate::connection::Connections as _;
use crate::flows::Flows;

/// Connections of a door that are taken before sessions get their turn.
const PER_TURN: usize = 32;

/// How long nothing is accepted after that failed, most likely for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What keeps the thread from accepting at a door.
#[derive(Debug, Default)]
struct Gate {
    /// A connection for which the listeners had no room. Others wait behind it in the kernel.
    held: Option<Caller>,
    /// When to accept again, after that failed.
    rests_until: Option<Instant>,
}

impl Gate {
    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|at| at > now)
    }
}

/// All that the thread has.
#[derive(Debug)]
pub(super) struct Thread {
    key: EndpointKey,
    broker: Handle,
    doors: Arc<Doors>,
    inbox: Receiver<Command>,
    sockets: Sockets,
    flows: Flows<Name>,
    /// Those that something was kept of.
    gates: HashMap<DoorId, Gate>,
    /// Doors at which connections may wait.
    busy_gates: Vec<DoorId>,
    /// The last connection could not be served.
    troubled: bool,
    news: Vec<(Name, EventFlags)>,
}

impl Thread {
    pub(super) fn new(
        key: EndpointKey,
        broker: Handle,
        doors: Arc<Doors>,
        inbox: Receiver<Command>,
    ) -> rustix::io::Result<Self> {
        let flows = Flows::new()?;
        for news in doors.news() {
            flows.watch_news(news, EventFlags::IN | EventFlags::ET)?;
        }
        Ok(Self {
            key,
            broker,
            doors,
            inbox,
            sockets: Sockets::default(),
            flows,
            gates: HashMap::new(),
            busy_gates: Vec::new(),
            troubled: false,
            news: Vec::new(),
        })
    }

    /// Serves until it is told to stop. It does not look for work before it sleeps, as other threads do: what it
    /// waits for are programs, and the CPU is theirs (ADR 19 has the figures).
    pub(super) fn run(mut self) {
        loop {
            if self.commands().is_none() {
                return self.end_sessions();
            }
            self.accept_all();
            let moved = self.flows.turns(&mut self.sockets);
            let awake = moved || !self.busy_gates.is_empty();
            let limit = if awake || !self.flows.may_sleep(&mut self.sockets) {
                Some(Duration::ZERO)
            } else {
                self.rest()
            };
            self.look(limit);
        }
    }

    /// Does what was asked for; `None` when it is to stop.
    fn commands(&mut self) -> Option<()> {
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Closed(id) => {
                    if let Some(caller) = self.gates.remove(&id).and_then(|gate| gate.held) {
                        reset(caller.socket);
                    }
                }
                Command::Room(port) => {
                    for id in self.doors.at_port(port) {
                        self.wake_gate(id);
                    }
                }
                Command::Reset => self.end_sessions(),
                Command::Stop => return None,
            }
        }
        Some(())
    }

    fn wake_gate(&mut self, id: DoorId) {
        if !self.busy_gates.contains(&id) {
            self.busy_gates.push(id);
        }
    }

    /// How long to sleep: until a door is to be looked at again.
    fn rest(&self) -> Option<Duration> {
        let next = self.gates.values().filter_map(|gate| gate.rests_until).min();
        next.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Takes connections as long as there is room for them.
    fn accept_all(&mut self) {
        let now = Instant::now();
        let over = |gate: &Gate| gate.rests_until.is_some_and(|at| at <= now);
        let rested: Vec<_> =
            self.gates.iter().filter(|(_, gate)| over(gate)).map(|(id, _)| *id).collect();
        for id in rested {
            self.wake_gate(id);
        }
        for id in std::mem::take(&mut self.busy_gates) {
            if self.accept(id, now) {
                self.wake_gate(id);
            }
        }
    }

    /// Answers whether there may be more.
    fn accept(&mut self, id: DoorId, now: Instant) -> bool {
        if self.gates.get(&id).is_some_and(|gate| gate.rests(now)) {
            return false;
        }
        let mut held = self.gates.remove(&id).and_then(|gate| gate.held);
        for _ in 0..PER_TURN {
            let caller = match held.take().map_or_else(|| self.doors.accept(id), |it| Ok(Some(it)))
            {
                Ok(Some(caller)) => caller,
                Ok(None) => return false,
                Err(error) => {
                    self.complain(error);
                    self.gates.insert(id, Gate { held: None, rests_until: Some(now + PAUSE) });
                    return false;
                }
            };
            if let Some(gate) = self.join(caller, now) {
                self.gates.insert(id, gate);
                return false;
            }
        }
        true
    }

    /// Says that a connection cannot be served; not of each while that goes on.
    fn complain(&mut self, error: Errno) {
        if !std::mem::replace(&mut self.troubled, true) {
            tracing::warn!(%error, "published ports take connections slowly until there is room again");
        }
    }

    /// Makes a session for a connection; answers what keeps others from having one.
    fn join(&mut self, caller: Caller, now: Instant) -> Option<Gate> {
        let Some(client) = shown(caller.client, caller.inside.ip(), caller.stand_in) else {
            reset(caller.socket);
            return None;
        };
        let joined = match self.broker.accept_spliced(self.key, caller.inside, client) {
            Ok(joined) => joined,
            Err(NotAccepted::Full) => return Some(Gate { held: Some(caller), rests_until: None }),
            // The broker said why.
            Err(NotAccepted::Exhausted) => {
                return Some(Gate { held: Some(caller), rests_until: Some(now + PAUSE) });
            }
            Err(NotAccepted::Nobody) => {
                reset(caller.socket);
                return None;
            }
        };
        // Programs send what they have at once, or not: the agent keeps nothing back.
        let _ = sockopt::set_tcp_nodelay(&caller.socket, true);
        let (name, own) = self.sockets.add(caller.socket);
        let watched = self.flows.watch(&joined.socket, name).and_then(|()| {
            let socket = self.sockets.party(name).expect("it was added now");
            self.flows.watch_connection(socket.as_fd(), own)
        });
        if let Err(error) = watched.and_then(|()| self.flows.open(name, joined)) {
            self.complain(error);
            self.sockets.close(name, Closed::Reset);
            return Some(Gate { held: None, rests_until: Some(now + PAUSE) });
        }
        self.troubled = false;
        None
    }

    /// Sees what sockets have to say, after at most `limit`.
    fn look(&mut self, limit: Option<Duration>) {
        let mut news = std::mem::take(&mut self.news);
        let looked = self.flows.look(limit, |name, flags| news.push((name, flags)));
        if looked.news {
            let doors = Arc::clone(&self.doors);
            doors.called(|id| self.wake_gate(id));
        }
        for (name, flags) in news.drain(..) {
            let Some(party) = self.sockets.of_socket(name) else { continue };
            if let Some(party) = self.sockets.party(party) {
                party.note(flags);
            }
            self.flows.wake(party);
        }
        self.news = news;
    }

    /// Resets all that is open, and who waits.
    fn end_sessions(&mut self) {
        for name in self.flows.names() {
            self.flows.close(name, Closed::Reset, &mut self.sockets);
        }
        for gate in self.gates.values_mut() {
            if let Some(caller) = gate.held.take() {
                reset(caller.socket);
            }
        }
    }
}
