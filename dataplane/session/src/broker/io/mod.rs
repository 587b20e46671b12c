//! The thread that receives requests and hands descriptors over.
//!
//! * `socket`: one message each way, with its descriptors.
//! * `memory`: the memory of sessions, and how to tell that nobody has it any more.
//! * `pool`: which memory a new session gets.
//! * `listener`: the sockets of a listener, and whether its backlog has room.
//! * `state`: what is served.
//! * `requests`: what a request does.
//! * `stack`: what the network stacks of endpoints are asked for, and what they answer.
//! * `thread`: waiting for events.
//! * `janitor`: a second thread that clears up behind the first, and replaces it should a program manage
//!   to hold it up.
//! * `view`: what people are shown.

mod janitor;
mod listener;
mod memory;
mod pool;
mod requests;
mod socket;
mod stack;
mod state;
mod thread;
mod view;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use self::stack::{Attempt, Handle, Joined, ListenAt, NetworkStack, NotAccepted, Told};
pub use self::view::{ListenerView, SessionState, SessionView};

use self::thread::Shared;
use crate::broker::core::{Counters, Endpoint, EndpointKey, Grant};
use crate::wire::Protocol;

/// How the broker works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connects of all endpoints that may wait for a full backlog.
    pub waiting: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { waiting: 8192 }
    }
}

/// A socket on which an endpoint's programs reach the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId(u64);

/// The broker and its threads. Dropping it closes all that it has; sessions go on.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
    janitor: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts the threads.
    ///
    /// # Errors
    /// What the kernel answers to epoll, eventfd, opening `/proc/self/fd`, and starting threads.
    pub fn start(options: Options) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(options)?);
        let watched = Arc::clone(&shared);
        let thread = Shared::start_thread(&shared)?;
        let janitor = std::thread::Builder::new()
            .name("broker-janitor".to_owned())
            .spawn(move || janitor::run(&watched, thread))?;
        Ok(Self { shared, janitor: Some(janitor) })
    }

    /// Adds an endpoint, without any socket yet.
    pub fn add_endpoint(&self, key: EndpointKey, endpoint: Endpoint) {
        self.shared.with(|state| state.add_endpoint(key, endpoint));
    }

    /// Serves an endpoint on a bound `SOCK_DGRAM` unix socket.
    ///
    /// # Errors
    /// What the kernel answers to epoll; the socket is closed then.
    pub fn serve(&self, key: EndpointKey, socket: OwnedFd) -> io::Result<SocketId> {
        self.shared.with(|state| state.serve(key, socket)).map(SocketId)
    }

    /// Gives an endpoint a network stack, which from now on is asked for what leads to no session.
    pub fn set_stack(&self, key: EndpointKey, stack: Arc<dyn NetworkStack>) {
        self.shared.with(|state| state.set_stack(key, stack));
    }

    /// By which network stacks answer.
    pub fn handle(&self) -> Handle {
        Handle::new(&self.shared)
    }

    /// Removes an endpoint: when this returns no socket of it is open. Its sessions go on.
    pub fn remove_endpoint(&self, key: EndpointKey) {
        let closing = self.shared.with(|state| {
            state.remove_endpoint(key);
            std::mem::take(&mut state.trash)
        });
        // Whoever removes an endpoint may wait for its programs; the threads may not.
        drop(closing);
        self.shared.settle();
    }

    /// The counters of an endpoint.
    pub fn counters(&self, key: EndpointKey) -> Option<Counters> {
        let (mut counters, records) = self.shared.with(|state| {
            let counters = state.broker.counters(key).copied()?;
            let of = |grant: &Grant| {
                grant.tuple.protocol == Protocol::Datagram && grant.endpoints().any(|it| it == key)
            };
            let records = state.registry.iter().filter(|record| of(&record.grant));
            Some((counters, records.cloned().collect::<Vec<_>>()))
        })?;
        for lost in records.iter().flat_map(state::lost).filter(|lost| lost.endpoint == key) {
            lost.count_in(&mut counters);
        }
        Some(counters)
    }

    /// The listeners of all endpoints.
    pub fn listeners(&self) -> Vec<ListenerView> {
        self.shared.with(|state| view::listeners(state))
    }

    /// The sessions of all endpoints, those that still wait for a listener too; none that is over.
    pub fn sessions(&self) -> Vec<SessionView> {
        // Their memory is given back without the lock.
        drop(self.shared.with(|state| {
            state.pool.unlock();
            state.sweep(usize::MAX, false)
        }));
        // Sessions are looked at when the thread can work again.
        let (connecting, records) = self.shared.with(|state| view::records(state));
        view::sessions(connecting, records)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.stop();
        if self.janitor.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a thread of the broker had panicked");
        }
    }
}
