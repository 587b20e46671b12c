//! The doors of an endpoint, and what the broker tells of listeners.
//!
//! Locks: the broker calls with itself locked, so nothing here calls the broker or waits while the doors are
//! locked.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use session::broker::{Attempt, EndpointKey, Handle, ListenAt, ListenerId, NetworkStack, Told};
use session::wire::Protocol;

use super::listening::Listening;
use super::sockets::ready;
use super::table::{DoorId, Table, Wanted};
use super::thread::Thread;
use crate::mailbox::Mailbox;

/// A port of the host that leads to one of the endpoint.
#[derive(Debug)]
pub struct Door {
    /// A TCP socket that is bound to the port, by its number.
    pub socket: OwnedFd,
    /// Where it leads: an address of the endpoint.
    pub inside: SocketAddr,
    /// Who is shown in place of clients that mean something else to the program: those with loopback
    /// and link-local addresses, and those of another family than `inside`. Without it these are reset.
    pub stand_in: Option<IpAddr>,
}

/// Something for the thread to do.
#[derive(Debug)]
pub(super) enum Command {
    /// The door is closed.
    Closed(DoorId),
    /// A listener of this port may have room again.
    Room(u16),
    /// A packet client has the address: all that is open ends.
    Reset,
    Stop,
}

/// A connection that came to a door.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) socket: OwnedFd,
    pub(super) client: SocketAddr,
    pub(super) inside: SocketAddr,
    pub(super) stand_in: Option<IpAddr>,
}

#[derive(Debug)]
struct Opened {
    listening: Listening,
    inside: SocketAddr,
    stand_in: Option<IpAddr>,
}

impl Opened {
    fn settle(&mut self, wanted: Wanted) {
        if let Err(error) = self.listening.set(wanted) {
            tracing::warn!(inside = %self.inside, ?wanted, %error, "a published port is not as it should be");
        }
    }
}

/// Called when a packet client took the address, or gave it back, with locks held: it must not wait.
type Watcher = Box<dyn Fn() + Send>;

#[derive(Default)]
struct State {
    table: Table,
    open: HashMap<DoorId, Opened>,
    /// To the thread, once there is one.
    commands: Option<Sender<Command>>,
    /// Closed when the thread has ended.
    ended: Option<Receiver<()>>,
    watcher: Option<Watcher>,
    /// When the last packet client gave the address back.
    returned: Option<Instant>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("table", &self.table).finish_non_exhaustive()
    }
}

/// The doors of one endpoint.
#[derive(Debug)]
pub(crate) struct Doors {
    key: EndpointKey,
    broker: Handle,
    state: Mutex<State>,
    /// Written with each command. Who watches it edge-triggered never has to read it.
    wake: OwnedFd,
    /// An epoll of the doors' sockets, readable while one has news.
    callers: OwnedFd,
}

impl Doors {
    pub(crate) fn new(key: EndpointKey, broker: Handle) -> rustix::io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let callers = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { key, broker, state: Mutex::default(), wake, callers })
    }

    /// Ends the thread, if there is one, and waits for it, for so long at most. No door listens any more.
    pub(crate) fn stop(&self, patience: Duration) {
        if let Some(ended) = self.tell_to_stop()
            && ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout)
        {
            tracing::warn!("a container holds the thread of its published ports up; it ends later");
        }
    }

    fn tell_to_stop(&self) -> Option<Receiver<()>> {
        let mut state = self.state();
        state.watcher = None;
        // Nobody has the address.
        state.table.set_packet_client(true);
        settle(&mut state);
        self.command(&state, Command::Stop);
        state.ended.take()
    }

    /// Takes a connection from a door; `None` when none waits, or it does not listen.
    ///
    /// # Errors
    /// What the kernel answers; with what is of one connection alone the next is tried.
    pub(super) fn accept(&self, id: DoorId) -> rustix::io::Result<Option<Caller>> {
        let state = self.state();
        let Some(door) = state.open.get(&id) else { return Ok(None) };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        loop {
            match acceptfrom_with(&door.listening, flags) {
                Ok((socket, from)) => {
                    let client = from.and_then(|from| SocketAddr::try_from(from).ok());
                    let Some(client) = client else { continue };
                    if ready(&socket).is_err() {
                        continue;
                    }
                    let (inside, stand_in) = (door.inside, door.stand_in);
                    return Ok(Some(Caller { socket, client, inside, stand_in }));
                }
                Err(Errno::AGAIN | Errno::INVAL) => return Ok(None),
                // `accept(2)`: errors of the connection, which is gone.
                Err(Errno::INTR | Errno::CONNABORTED | Errno::PROTO | Errno::PERM) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What is readable when there are commands, and when there are callers.
    pub(super) fn news(&self) -> [BorrowedFd<'_>; 2] {
        [self.wake.as_fd(), self.callers.as_fd()]
    }

    /// Doors at which something happened since the last time.
    pub(super) fn called(&self, mut tell: impl FnMut(DoorId)) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            let mut room = [const { MaybeUninit::uninit() }; 16];
            // An interruption cannot happen without waiting.
            let Ok((events, left)) = epoll::wait(&self.callers, &mut room, Some(&now)) else {
                return;
            };
            for event in &*events {
                tell(DoorId(event.data.u64()));
            }
            if !left.is_empty() {
                return;
            }
        }
    }

    /// The doors that lead to this port.
    pub(super) fn at_port(&self, port: u16) -> Vec<DoorId> {
        self.state().table.at_port(port).to_vec()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever a panic left, each change has all doors do what is wanted then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command(&self, state: &State, command: Command) {
        if state.commands.as_ref().is_some_and(|to| to.send(command).is_ok()) {
            // Fails only when the counter is full: then it is readable.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
    }

    fn listen(&self, at: ListenAt) {
        let mut state = self.state();
        state.table.listen(at.listener, at.local, at.port, at.backlog);
        settle_port(&mut state, at.port);
    }

    fn unlisten(&self, id: ListenerId) {
        let mut state = self.state();
        // Those of datagrams are unknown here.
        if let Some(port) = state.table.unlisten(id) {
            settle_port(&mut state, port);
        }
    }

    fn set_packet_client(&self, connected: bool) {
        let mut state = self.state();
        state.table.set_packet_client(connected);
        state.returned = Some(Instant::now());
        settle(&mut state);
        if connected {
            self.command(&state, Command::Reset);
        }
        if let Some(watcher) = &state.watcher {
            watcher();
        }
    }
}

/// Has each door do what it should.
fn settle(state: &mut State) {
    let State { table, open, .. } = state;
    for (id, door) in open {
        door.settle(table.wanted(*id));
    }
}

/// Has each door that leads to a port do what it should.
fn settle_port(state: &mut State, port: u16) {
    let State { table, open, .. } = state;
    for id in table.at_port(port) {
        if let Some(door) = open.get_mut(id) {
            door.settle(table.wanted(*id));
        }
    }
}

/// Opens doors of one endpoint. Clones are the same.
#[derive(Debug, Clone)]
pub struct Splicer(Arc<Doors>);

impl Splicer {
    pub(crate) fn new(doors: Arc<Doors>) -> Self {
        Self(doors)
    }

    /// Whether what comes by doors can be served now: not while a packet client has the address.
    pub fn serves(&self) -> bool {
        !self.0.state().table.has_packet_client()
    }

    /// Whether they could be served all the time for so long, or ever.
    pub fn serves_for(&self, at_least: Duration) -> bool {
        let state = self.0.state();
        let calm = state.returned.is_none_or(|at| at.elapsed() >= at_least);
        calm && !state.table.has_packet_client()
    }

    /// Has `watcher` called whenever [`serves`](Self::serves) changes, in place of the one before. It is called
    /// with locks held: it must not wait, and not call this back.
    pub fn watch(&self, watcher: impl Fn() + Send + 'static) {
        self.0.state().watcher = Some(Box::new(watcher));
    }

    /// Opens a door. Dropping what this returns closes it; connections that came by it go on.
    ///
    /// # Errors
    /// What the kernel answers to listening, and to starting the thread.
    pub fn open(&self, door: Door) -> io::Result<OpenDoor> {
        let doors = &self.0;
        let mut state = doors.state();
        if state.commands.is_none() {
            let (commands, inbox) = channel();
            let thread = Thread::new(doors.key, doors.broker.clone(), Arc::clone(doors), inbox)?;
            let (end, ended) = channel::<()>();
            std::thread::Builder::new().name("splice".to_owned()).spawn(move || {
                thread.run();
                // Also when it panics.
                drop(end);
            })?;
            (state.commands, state.ended) = (Some(commands), Some(ended));
        }
        let Door { socket, inside, stand_in } = door;
        let mut listening = Listening::new(socket);
        let id = state.table.add(inside);
        let (data, flags) = (EventData::new_u64(id.0), EventFlags::IN | EventFlags::ET);
        let watched = epoll::add(&doors.callers, &listening, data, flags);
        let set = watched.and_then(|()| {
            listening.set(state.table.wanted(id)).inspect_err(|_| {
                // Others have the socket too: it would be watched as long as they do.
                let _ = epoll::delete(&doors.callers, &listening);
            })
        });
        if let Err(error) = set {
            state.table.remove(id);
            return Err(error.into());
        }
        state.open.insert(id, Opened { listening, inside, stand_in });
        drop(state);
        Ok(OpenDoor { doors: Arc::clone(doors), id })
    }
}

/// A door. Dropping it has its socket rest.
#[derive(Debug)]
pub struct OpenDoor {
    doors: Arc<Doors>,
    id: DoorId,
}

impl Drop for OpenDoor {
    fn drop(&mut self) {
        let mut state = self.doors.state();
        state.table.remove(self.id);
        let Some(mut door) = state.open.remove(&self.id) else { return };
        if let Err(error) = door.listening.set(Wanted::Rest) {
            tracing::warn!(inside = %door.inside, %error, "a published port goes on to listen");
        }
        // Others have the socket too, so that the kernel does not see to it. Fails only if it is not watched.
        let _ = epoll::delete(&self.doors.callers, &door.listening);
        self.doors.command(&state, Command::Closed(self.id));
    }
}

/// The network stack of an endpoint, and its doors, to the broker.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) stack: Arc<Mailbox>,
    pub(crate) doors: Arc<Doors>,
}

impl NetworkStack for Fork {
    fn connect(&self, attempt: Attempt) {
        self.stack.connect(attempt);
    }

    fn listen(&self, at: ListenAt, told: Told) {
        self.stack.listen(at, told);
        if at.protocol == Protocol::Stream {
            self.doors.listen(at);
        }
    }

    fn unlisten(&self, listener: ListenerId) {
        self.stack.unlisten(listener);
        self.doors.unlisten(listener);
    }

    fn room(&self, port: u16) {
        self.stack.room(port);
        self.doors.command(&self.doors.state(), Command::Room(port));
    }

    fn packet_client(&self, connected: bool) {
        self.doors.set_packet_client(connected);
    }
}
