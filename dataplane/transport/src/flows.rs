//! The flows of one thread: which are awake, which sleep until their socket or their connection has news.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use session::Closed;
use session::broker::Joined;
use slotmap::{Key, KeyData, SecondaryMap};

use crate::connection::Connections;
use crate::flow::{Flow, Turn};

/// How long a thread looks for work before it sleeps: about what sleeping and being woken cost.
pub(crate) const SPIN: Duration = Duration::from_micros(15);

/// How often sockets are looked at while there is other work.
pub(crate) const LOOK_EVERY: Duration = Duration::from_micros(20);

/// Names what is no session for epoll; no connection has this name.
const NEWS: u64 = 0;

/// Names the interface of the container's kernel for epoll; no connection has this name either.
const KERNEL: u64 = 1;

/// Names what is looked at in each round for epoll, likewise.
const WAKER: u64 = 2;

/// Flows by the names of their connections, and what is watched.
#[derive(Debug)]
pub(crate) struct Flows<K: Key> {
    epoll: OwnedFd,
    all: SecondaryMap<K, Flow>,
    /// Those that are looked at by themselves.
    awake: Vec<K>,
}

/// What a look at the sockets found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Looked {
    /// Anything at all.
    pub(crate) any: bool,
    /// News of what is watched by [`Flows::watch_news`].
    pub(crate) news: bool,
    /// News of what is watched by [`Flows::watch_kernel`].
    pub(crate) kernel: bool,
}

impl<K: Key> Flows<K> {
    pub(crate) fn new() -> rustix::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, all: SecondaryMap::new(), awake: Vec::new() })
    }

    /// Wakes a sleeper whenever `what` has news; who watches looks there by itself.
    pub(crate) fn watch_news(&self, what: impl AsFd, flags: EventFlags) -> rustix::io::Result<()> {
        epoll::add(&self.epoll, what, EventData::new_u64(NEWS), flags)
    }

    /// Wakes a sleeper when the interface of the container's kernel has frames, once for all that it has.
    pub(crate) fn watch_kernel(&self, tap: impl AsFd) -> rustix::io::Result<()> {
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&self.epoll, tap, EventData::new_u64(KERNEL), flags)
    }

    /// Wakes a sleeper as long as `what` can be read; who watches looks there in each round anyway.
    pub(crate) fn watch_waker(&self, what: impl AsFd) -> rustix::io::Result<()> {
        epoll::add(&self.epoll, what, EventData::new_u64(WAKER), EventFlags::IN)
    }

    /// Watches the socket of a session, or of what may become one.
    pub(crate) fn watch(&self, socket: impl AsFd, id: K) -> rustix::io::Result<()> {
        let data = EventData::new_u64(id.data().as_ffi());
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, data, flags)
    }

    /// As [`watch`](Self::watch), for a connection's own socket, which may have urgent data.
    pub(crate) fn watch_connection(&self, socket: impl AsFd, id: K) -> rustix::io::Result<()> {
        let data = EventData::new_u64(id.data().as_ffi());
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, data, flags | EventFlags::PRI)
    }

    /// Joins a session, whose socket is watched, to its connection.
    ///
    /// # Errors
    /// What the kernel answers to mapping the memory.
    pub(crate) fn open(&mut self, id: K, joined: Joined) -> rustix::io::Result<()> {
        self.all.insert(id, Flow::new(joined)?);
        self.wake(id);
        Ok(())
    }

    pub(crate) fn names(&self) -> Vec<K> {
        self.all.keys().collect()
    }

    /// Puts a flow on the list of those that are looked at.
    pub(crate) fn wake(&mut self, id: K) {
        if let Some(flow) = self.all.get_mut(id)
            && !std::mem::replace(&mut flow.awake, true)
        {
            flow.wake_up();
            self.awake.push(id);
        }
    }

    /// Takes note of what epoll says of a session's socket; `false` when there is no such session.
    pub(crate) fn note(&mut self, id: K, flags: EventFlags) -> bool {
        let Some(flow) = self.all.get_mut(id) else { return false };
        flow.note(flags);
        self.wake(id);
        true
    }

    /// Each flow that is awake has its turn; answers whether anything moved.
    pub(crate) fn turns(&mut self, connections: &mut impl Connections<K>) -> bool {
        let mut any = false;
        let mut at = 0;
        while let Some(&id) = self.awake.get(at) {
            let Some(flow) = self.all.get_mut(id) else {
                self.awake.swap_remove(at);
                continue;
            };
            let turn = flow.turn(&mut connections.one(id));
            match turn {
                Turn::Idle => at += 1,
                Turn::Moved => {
                    any = true;
                    at += 1;
                }
                Turn::Over(how) => {
                    any = true;
                    self.awake.swap_remove(at);
                    self.close(id, how, connections);
                }
            }
        }
        any
    }

    /// Ends a session and its connection.
    pub(crate) fn close(&mut self, id: K, how: Closed, connections: &mut impl Connections<K>) {
        let Some(flow) = self.all.remove(id) else { return };
        // Fails only for sockets that are not watched; this one is.
        let _ = epoll::delete(&self.epoll, flow.tokens());
        flow.close(how);
        connections.close(id, how);
    }

    /// Ends all sessions, whose connections are gone.
    pub(crate) fn abandon(&mut self) {
        for (_, flow) in self.all.drain() {
            flow.close(Closed::Reset);
        }
    }

    /// Whether no flow has news; those that have none sleep from now on.
    pub(crate) fn may_sleep(&mut self, connections: &mut impl Connections<K>) -> bool {
        let mut at = 0;
        while let Some(&id) = self.awake.get(at) {
            let flow = self.all.get_mut(id);
            let asleep = flow.map(|flow| flow.try_sleep(&connections.one(id)));
            match asleep {
                Some(Ok(false)) => at += 1,
                Some(Ok(true)) => {
                    if let Some(flow) = self.all.get_mut(id) {
                        flow.awake = false;
                    }
                    self.awake.swap_remove(at);
                }
                Some(Err(_)) => {
                    self.awake.swap_remove(at);
                    self.close(id, Closed::Reset, connections);
                    return false;
                }
                None => {
                    self.awake.swap_remove(at);
                }
            }
        }
        self.awake.is_empty()
    }

    /// Sees what sockets have to say, after at most `limit`. What is said of sessions is noted; what is said
    /// of other sockets that were watched by name goes to `other`.
    pub(crate) fn look(
        &mut self,
        limit: Option<Duration>,
        mut other: impl FnMut(K, EventFlags),
    ) -> Looked {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut room = [const { MaybeUninit::uninit() }; 64];
        let events = match epoll::wait(&self.epoll, &mut room, limit.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Looked::default(),
            Err(error) => {
                tracing::error!(%error, "the sessions of a network stack are not watched");
                return Looked::default();
            }
        };
        let mut looked = Looked { any: !events.is_empty(), ..Looked::default() };
        for event in events {
            let name = event.data.u64();
            let id = KeyData::from_ffi(name).into();
            if name == NEWS {
                looked.news = true;
            } else if name == KERNEL {
                looked.kernel = true;
            } else if name != WAKER && !self.note(id, event.flags) {
                other(id, event.flags);
            }
        }
        looked
    }
}
