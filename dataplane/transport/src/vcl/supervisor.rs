//! The agent's side: a process that is started and looked after, and what it is told.

use std::collections::HashMap;
use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use session::broker::{Attempt, EndpointKey, Handle, Joined, ListenerId, NotAccepted, Told};
use session::wire::{Protocol, Refusal};

use super::backoff::Backoff;
use super::channel::{Channel, Gone};
use super::control::{Status, Wish, Wishes};
use super::desk::Desk;
use super::options::VclAttach;
use super::wire::{ConnectionId, ToAgent, ToProcess};
use crate::mailbox::{Command as Request, Mailbox};

/// Names the mailbox and the channel for epoll; no connection that the agent names has this name.
const NEWS: u64 = 1;

/// How long a process may take to end by itself.
const PARTING: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// How long a program waits until VPP listens: less than the preload library waits for the broker.
const LISTENING: Duration = Duration::from_secs(1);

/// What is started: a program, and arguments in front of those that say where to attach.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program.
    pub path: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// The running binary once more, with a subcommand.
    pub fn own(subcommand: &str) -> Self {
        Self { path: "/proc/self/exe".into(), arguments: vec![subcommand.into()] }
    }
}

/// A process that runs.
#[derive(Debug)]
struct Running {
    child: Child,
    channel: Channel,
}

/// Waits for the end of a process whose socket was closed, which ends by itself: it has connections to reset.
fn reap(child: &mut Child) -> std::io::Result<ExitStatus> {
    let ended = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut fds = [PollFd::new(&ended, PollFlags::IN)];
    poll(&mut fds, Some(&PARTING))?;
    // Fails when it has ended.
    let _ = child.kill();
    child.wait()
}

/// All that the thread has.
#[derive(Debug)]
pub(crate) struct Supervisor {
    key: EndpointKey,
    program: Program,
    /// Where to attach, if at all.
    attach: Option<VclAttach>,
    wishes: Wishes,
    broker: Handle,
    inbox: Receiver<Request>,
    epoll: OwnedFd,
    desk: Desk<Attempt>,
    /// Programs that wait for VPP to listen, each since then.
    waiting: HashMap<ListenerId, (Instant, Told)>,
    running: Option<Running>,
    backoff: Backoff,
    start_at: Instant,
}

impl Supervisor {
    pub(crate) fn new(
        key: EndpointKey,
        program: Program,
        broker: Handle,
        mailbox: &Mailbox,
        inbox: Receiver<Request>,
        wishes: Wishes,
    ) -> rustix::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, mailbox, EventData::new_u64(NEWS), flags)?;
        Ok(Self {
            key,
            program,
            attach: None,
            wishes,
            broker,
            inbox,
            epoll,
            desk: Desk::new(),
            waiting: HashMap::new(),
            running: None,
            backoff: Backoff::new(),
            start_at: Instant::now(),
        })
    }

    /// Serves until it is told to stop.
    pub(crate) fn run(mut self) {
        loop {
            self.grant();
            if self.is_due() {
                self.start();
            }
            let Some(done) = self.requests() else { return self.end() };
            if done.and_then(|()| self.messages()).is_err() {
                self.ended();
            }
            self.wait();
        }
    }

    /// Does what was wished.
    fn grant(&mut self) {
        while let Ok(wish) = self.wishes.inbox.try_recv() {
            let Wish { attach, anew, _done } = wish;
            if attach == self.attach && !anew {
                continue;
            }
            if let Some(status) = self.take_down() {
                tracing::info!(status, "the process that was attached to VPP was ended");
            }
            self.attach = attach;
            self.backoff = Backoff::new();
            self.start_at = Instant::now();
            self.wishes.status.set(Status::Idle);
        }
    }

    /// Whether a process is to be started now.
    fn is_due(&self) -> bool {
        self.running.is_none() && self.attach.is_some() && Instant::now() >= self.start_at
    }

    fn start(&mut self) {
        match self.try_start() {
            Ok(running) => {
                self.running = Some(running);
                self.wishes.status.set(Status::Starting);
                let listeners: Vec<_> = self.desk.listeners().collect();
                for at in listeners {
                    if self.tell(&ToProcess::Listen(at), Vec::new()).is_err() {
                        return self.ended();
                    }
                }
            }
            Err(error) => {
                let program = self.program.path.display();
                tracing::warn!(%error, %program, "the process for VPP's host stack is not started");
                self.wishes.status.set(Status::Ended(format!("it cannot be started: {error}")));
                self.start_at = self.backoff.ended(Instant::now());
            }
        }
    }

    fn try_start(&self) -> std::io::Result<Running> {
        let attach = self.attach.as_ref().ok_or(std::io::ErrorKind::NotFound)?;
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let events = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &ours, EventData::new_u64(NEWS), events)?;
        let child = Command::new(&self.program.path)
            .args(&self.program.arguments)
            .args(attach.arguments())
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        tracing::info!(pid = child.id(), socket = %attach.socket, "a process attaches to VPP");
        Ok(Running { child, channel: Channel::new(ours) })
    }

    /// Waits for the end of the process, and with it of all that it had. Says how it ended, if there was one.
    fn take_down(&mut self) -> Option<String> {
        let Running { mut child, channel } = self.running.take()?;
        drop(channel);
        let status = reap(&mut child).map_or_else(|error| error.to_string(), |it| it.to_string());
        for attempt in self.desk.take_all() {
            self.broker.refuse(attempt, Refusal::Unreachable);
        }
        self.waiting.clear();
        Some(status)
    }

    /// The process is gone by itself.
    fn ended(&mut self) {
        let Some(status) = self.take_down() else { return };
        let now = Instant::now();
        self.start_at = self.backoff.ended(now);
        let again = self.start_at.duration_since(now);
        let socket = self.attach.as_ref().map(|attach| attach.socket.as_str());
        tracing::warn!(
            status,
            socket,
            "the process that was attached to VPP ended, and sessions over VPP with it; again in {again:?}"
        );
        self.wishes.status.set(Status::Ended(status));
    }

    fn tell(&mut self, message: &ToProcess, descriptors: Vec<Arc<OwnedFd>>) -> Result<(), Gone> {
        match &mut self.running {
            Some(running) => running.channel.send(message.encode(), descriptors),
            None => Ok(()),
        }
    }

    /// Does what the broker asks for; `None` when it is to stop.
    fn requests(&mut self) -> Option<Result<(), Gone>> {
        let mut done = Ok(());
        while let Ok(request) = self.inbox.try_recv() {
            let this = match request {
                Request::Connect(attempt) => self.connect(attempt),
                // Datagrams do not go over VPP's host stack.
                Request::Listen(at, _told) if at.protocol == Protocol::Datagram => Ok(()),
                Request::Listen(at, told) => {
                    self.desk.listen(at);
                    if self.wishes.status.is(&Status::Attached) {
                        self.waiting.insert(at.listener, (Instant::now(), told));
                    }
                    self.tell(&ToProcess::Listen(at), Vec::new())
                }
                Request::Unlisten(listener) => {
                    self.desk.unlisten(listener);
                    self.waiting.remove(&listener);
                    self.tell(&ToProcess::Unlisten(listener), Vec::new())
                }
                Request::Room(port) => self.tell(&ToProcess::Room { port }, Vec::new()),
                Request::Stop => return None,
            };
            done = done.and(this);
        }
        Some(done)
    }

    fn connect(&mut self, attempt: Attempt) -> Result<(), Gone> {
        if self.running.is_none() || attempt.protocol() == Protocol::Datagram {
            self.broker.refuse(attempt, Refusal::Unreachable);
            return Ok(());
        }
        let id = self.desk.name();
        let flags = EventFlags::RDHUP | EventFlags::ET;
        if let Err(error) = epoll::add(&self.epoll, &attempt, EventData::new_u64(id.0), flags) {
            tracing::warn!(%error, "a session's socket cannot be watched");
            self.broker.refuse(attempt, Refusal::Limit);
            return Ok(());
        }
        let (source, destination) = (attempt.source(), attempt.destination());
        self.desk.wait(id, attempt);
        self.tell(&ToProcess::Connect { id, source, destination }, Vec::new())
    }

    /// Takes what the process says.
    fn messages(&mut self) -> Result<(), Gone> {
        while let Some(running) = &mut self.running {
            running.channel.flush()?;
            let Some(message) = running.channel.receive()? else { break };
            match ToAgent::decode(&message.bytes) {
                Ok(message) => self.message(message)?,
                Err(error) => {
                    tracing::error!(%error, "the process attached to VPP is not understood");
                    return Err(Gone);
                }
            }
        }
        Ok(())
    }

    fn message(&mut self, message: ToAgent) -> Result<(), Gone> {
        match message {
            ToAgent::Attached => {
                self.backoff.attached(Instant::now());
                self.wishes.status.set(Status::Attached);
                Ok(())
            }
            ToAgent::Connected { id } => {
                let attempt = self.take(id);
                match attempt.and_then(|attempt| self.broker.connected(attempt)) {
                    Some(joined) => self.open(id, joined),
                    None => self.tell(&ToProcess::Abandon { id }, Vec::new()),
                }
            }
            ToAgent::Refused { id, refusal } => {
                if let Some(attempt) = self.take(id) {
                    self.broker.refuse(attempt, refusal);
                }
                Ok(())
            }
            ToAgent::Listening(listener) => {
                self.waiting.remove(&listener);
                Ok(())
            }
            ToAgent::Accept { id, local, remote } => {
                match self.broker.accept(self.key, Protocol::Stream, local, remote) {
                    Ok(joined) => self.open(id, joined),
                    Err(NotAccepted::Full) => self.tell(&ToProcess::Wait { id }, Vec::new()),
                    Err(NotAccepted::Nobody | NotAccepted::Exhausted) => {
                        self.tell(&ToProcess::Abandon { id }, Vec::new())
                    }
                }
            }
        }
    }

    /// A connect that is answered is not watched any more.
    fn take(&mut self, id: ConnectionId) -> Option<Attempt> {
        let attempt = self.desk.take(id)?;
        // Fails only for sockets that are not watched; this one is.
        let _ = epoll::delete(&self.epoll, &attempt);
        Some(attempt)
    }

    fn open(&mut self, id: ConnectionId, joined: Joined) -> Result<(), Gone> {
        let Joined { socket, memory, info } = joined;
        self.tell(&ToProcess::Open { id, session: info }, vec![Arc::new(socket), memory])
    }

    /// Sleeps until there is news.
    fn wait(&mut self) {
        let now = Instant::now();
        self.waiting.retain(|_, (since, _)| now.duration_since(*since) < LISTENING);
        let waits = self.running.is_none() && self.attach.is_some();
        let start = waits.then_some(self.start_at);
        let told = self.waiting.values().map(|(since, _)| *since + LISTENING).min();
        let next = start.into_iter().chain(told).min();
        let limit = next.map(|at| at.saturating_duration_since(now));
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut room = [const { MaybeUninit::uninit() }; 64];
        let events = match epoll::wait(&self.epoll, &mut room, limit.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return,
            Err(error) => {
                tracing::error!(%error, "the process attached to VPP is not watched");
                return;
            }
        };
        let over = EventFlags::HUP | EventFlags::RDHUP | EventFlags::ERR;
        for event in events {
            let (name, flags) = (event.data.u64(), event.flags);
            if name == NEWS || !flags.intersects(over) {
                continue;
            }
            // The program gave up.
            let id = ConnectionId(name);
            if let Some(attempt) = self.take(id) {
                self.broker.refuse(attempt, Refusal::TimedOut);
                // Whether the process is gone is seen by the next message.
                let _ = self.tell(&ToProcess::Abandon { id }, Vec::new());
            }
        }
    }

    /// Ends everything.
    fn end(mut self) {
        self.take_down();
        while let Ok(request) = self.inbox.try_recv() {
            if let Request::Connect(attempt) = request {
                self.broker.refuse(attempt, Refusal::Unreachable);
            }
        }
    }
}
