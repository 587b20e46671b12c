//! The protocol on a device's socket: a thread that waits for a front end, listens to it, and waits for the next.
//!
//! Frames never pass through it. It hands the queues that a front end enabled to a [`Station`], and takes them
//! away before anything about them changes. A device has one front end at a time; others are turned away. A
//! front end that stops in the middle of a message holds up its own device's thread and nothing else.

mod early;
mod handler;
mod inflight;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, poll};
use vhost::vhost_user::{BackendReqHandler, Error, VhostUserBackendReqHandlerMut as _};

use self::early::Enable;
use self::handler::Handler;
use crate::{DeviceConfig, LinkState, Queues};

/// How long nobody is accepted after a front end broke the rules or was refused, or descriptors ran out: who
/// does so again and again costs nothing and fills no log.
const PAUSE: Duration = Duration::from_secs(1);

/// Why queues were not taken.
pub type Refused = Box<dyn std::error::Error + Send + Sync>;

/// Whoever moves the frames of a device.
pub trait Station: Send {
    /// Takes the queues that the front end enabled; there are no others then.
    ///
    /// # Errors
    /// Why not. The front end is disconnected.
    fn attach(&mut self, queues: Queues) -> Result<(), Refused>;

    /// Lets the queues of this connection go: they are dropped when this returns, with all that was
    /// received and pushed published.
    fn detach(&mut self, state: &Arc<LinkState>);

    /// The front end has no ring to be served: it has not enabled one yet, has stopped all of them, or is gone. May be
    /// said again. Between [`Self::detach`] and [`Self::attach`] of a front end that goes on this is not said.
    fn idle(&mut self);
}

/// The thread of a device. Dropping it ends it, with the connection of its front end.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and its owner share.
#[derive(Debug)]
struct Shared {
    wake: OwnedFd,
    line: Mutex<Line>,
}

/// Who is connected.
#[derive(Debug, Default)]
struct Line {
    stopping: bool,
    /// The front end's socket: shutting it down ends whatever the thread waits for.
    socket: Option<UnixStream>,
}

impl Server {
    /// Serves the front ends that connect to `listener`. `name` is what the log calls the device.
    ///
    /// # Errors
    /// What the kernel answers when it has no descriptors or threads left.
    pub fn start(
        name: String,
        listener: UnixListener,
        config: DeviceConfig,
        station: Box<dyn Station>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { wake, line: Mutex::default() });
        let mut waiter = Waiter {
            name,
            listener,
            shared: Arc::clone(&shared),
            handler: Arc::new(Mutex::new(Handler::new(config, station))),
            connection: None,
            paused_until: None,
        };
        let thread = std::thread::Builder::new().name("vhost-user".to_owned());
        let thread = thread.spawn(move || waiter.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a vhost-user thread had panicked");
        }
    }
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        lock(&self.line)
    }

    fn stop(&self) {
        let mut line = self.line();
        line.stopping = true;
        if let Some(socket) = &line.socket {
            // One that is shut down already has ended the wait by itself.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        // It fails only when the counter is full, and then the thread is awake.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Takes note of a front end's socket; `false` when the thread is to end.
    fn connect(&self, socket: UnixStream) -> bool {
        let mut line = self.line();
        line.socket = Some(socket);
        !line.stopping
    }
}

/// A lock whose data is valid at every step, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread waited for.
#[derive(Debug, Clone, Copy, Default)]
struct Ready {
    front_end: bool,
    newcomer: bool,
}

/// The state of the thread.
struct Waiter {
    name: String,
    listener: UnixListener,
    shared: Arc<Shared>,
    handler: Arc<Mutex<Handler>>,
    connection: Option<Connection>,
    paused_until: Option<Instant>,
}

struct Connection {
    protocol: BackendReqHandler<Mutex<Handler>>,
    socket: UnixStream,
}

impl Waiter {
    fn run(&mut self) {
        while !self.shared.line().stopping {
            let ready = self.wait();
            if ready.front_end {
                self.listen();
            }
            if ready.newcomer {
                self.accept();
            }
        }
        self.disconnect();
    }

    fn wait(&mut self) -> Ready {
        let now = Instant::now();
        let pause = self.paused_until.map(|until| until.saturating_duration_since(now));
        if pause.is_some_and(|pause| pause.is_zero()) {
            self.paused_until = None;
        }
        let timeout = pause.and_then(|pause| Timespec::try_from(pause).ok());
        // A descriptor that is not waited for is replaced by one that is anyway.
        let quiet = self.shared.wake.as_fd();
        let listening = self.paused_until.is_none();
        let listener = if listening { self.listener.as_fd() } else { quiet };
        let front_end = self.connection.as_ref().map_or(quiet, |it| it.socket.as_fd());
        let mut fds =
            [quiet, listener, front_end].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Ready::default();
        }
        let has = |fd: &PollFd<'_>| !fd.revents().is_empty();
        Ready {
            newcomer: listening && has(&fds[1]),
            front_end: self.connection.is_some() && has(&fds[2]),
        }
    }

    /// One message of the front end.
    fn listen(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let early = lock(&self.handler).awaits_features();
        let enable = early.then(|| Enable::take(&connection.socket)).flatten();
        let outcome = match enable {
            Some(message) => enable_early(&self.handler, message, &connection.socket),
            None => connection.protocol.handle_request(),
        };
        if let Err(error) = outcome {
            self.part(&error);
        }
    }

    /// The connection is over.
    fn part(&mut self, error: &Error) {
        let (fault, refusal) = lock(&self.handler).why();
        let name = self.name.as_str();
        if let Some(fault) = fault {
            tracing::warn!(endpoint = name, %fault, "vhost-user front end disconnected");
            self.pause();
        } else if let Some(refusal) = refusal {
            tracing::warn!(endpoint = name, why = refusal, "vhost-user front end refused");
            self.pause();
        } else if matches!(error, Error::Disconnected) {
            tracing::info!(endpoint = name, "vhost-user front end gone");
        } else {
            tracing::warn!(endpoint = name, %error, "vhost-user front end disconnected");
            self.pause();
        }
        self.disconnect();
    }

    fn pause(&mut self) {
        self.paused_until = Some(Instant::now() + PAUSE);
    }

    fn disconnect(&mut self) {
        lock(&self.handler).end();
        self.shared.line().socket = None;
        self.connection = None;
    }

    fn accept(&mut self) {
        match self.listener.accept() {
            Ok((socket, _)) if self.connection.is_none() => {
                if let Err(error) = self.connect(socket) {
                    tracing::warn!(endpoint = self.name, %error, "a vhost-user front end has to wait");
                    self.disconnect();
                    self.pause();
                }
            }
            Ok(_) => {
                tracing::debug!(endpoint = self.name, "a second vhost-user front end was refused");
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!(endpoint = self.name, %error, "vhost-user front ends have to wait");
                self.pause();
            }
        }
    }

    fn connect(&mut self, socket: UnixStream) -> io::Result<()> {
        // The listener's own setting is inherited on some systems.
        socket.set_nonblocking(false)?;
        lock(&self.handler).begin(socket.try_clone()?.into());
        let protocol =
            BackendReqHandler::from_stream(socket.try_clone()?, Arc::clone(&self.handler));
        if self.shared.connect(socket.try_clone()?) {
            tracing::info!(endpoint = self.name, "vhost-user front end connected");
            self.connection = Some(Connection { protocol, socket });
        }
        Ok(())
    }
}

/// Enables a ring of a device whose features are not agreed on yet.
fn enable_early(
    handler: &Mutex<Handler>,
    message: Enable,
    socket: &UnixStream,
) -> vhost::vhost_user::Result<()> {
    let answers = {
        let mut handler = lock(handler);
        handler.set_vring_enable(message.index, message.enabled)?;
        handler.answers()
    };
    if message.answered && answers {
        Enable::answer(socket).map_err(Error::SocketError)?;
    }
    Ok(())
}
