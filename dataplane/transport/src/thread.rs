//! Frames, time, sessions and commands in turn.

use std::os::fd::AsFd;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use dataplane::stack_port::{Armed, StackPort, WaitFor};
use rustix::event::epoll::EventFlags;
use session::Closed;
use session::broker::{Attempt, EndpointKey, Handle, Joined, NotAccepted};
use session::wire::{Protocol, Refusal};
use slotmap::SecondaryMap;
use stack::{Config, ConnectionId, Event, ListenerId, Ready, Stack, StackError};

use crate::connection::StackNow;
use crate::counted::{Counted, HostCounters};
use crate::datagrams::Datagrams;
use crate::flows::{Flows, LOOK_EVERY, SPIN};
use crate::listeners::{Listeners, Removed};
use crate::mailbox::{Command, Mailbox};
use crate::names::KernelLink;
use crate::refusal::refusal;

/// Frames that are taken before sessions get their turn.
const BURST: usize = 64;

/// All that the thread has.
#[derive(Debug)]
pub(crate) struct Thread {
    key: EndpointKey,
    stack: Stack,
    port: StackPort,
    /// The address is this stack's; no packet client has it.
    owns: bool,
    /// The interface of the container's kernel, if it is served.
    kernel: Option<KernelLink>,
    broker: Handle,
    inbox: Receiver<Command>,
    attempts: SecondaryMap<ConnectionId, Attempt>,
    flows: Flows<ConnectionId>,
    listeners: Listeners<ListenerId, ConnectionId>,
    datagrams: Datagrams,
    counted: Counted,
    /// What was shown last.
    shown: HostCounters,
}

impl Thread {
    pub(crate) fn new(
        key: EndpointKey,
        config: Config,
        port: StackPort,
        kernel: Option<KernelLink>,
        broker: Handle,
        mailbox: &Mailbox,
        inbox: Receiver<Command>,
    ) -> rustix::io::Result<Self> {
        let flows = Flows::new()?;
        let news = EventFlags::IN | EventFlags::ET;
        flows.watch_news(port.as_fd(), news)?;
        flows.watch_news(mailbox.as_fd(), news)?;
        let now = Instant::now();
        let datagrams = Datagrams::new(key, now)?;
        flows.watch_news(datagrams.as_fd(), news)?;
        if let Some(tap) = kernel.as_ref().and_then(KernelLink::descriptor) {
            flows.watch_kernel(tap)?;
        }
        Ok(Self {
            key,
            stack: Stack::new(config, now),
            port,
            owns: true,
            kernel,
            broker,
            inbox,
            attempts: SecondaryMap::new(),
            flows,
            listeners: Listeners::default(),
            datagrams,
            counted: Counted::default(),
            shown: HostCounters::default(),
        })
    }

    /// Shows there what it counts.
    pub(crate) fn count_for(&mut self, counted: Counted) {
        self.counted = counted;
    }

    fn show_counters(&mut self) {
        let (names, stack) = (self.stack.name_counters(), self.stack.counters());
        let counters = HostCounters { names, stack };
        if counters != self.shown {
            self.shown = counters;
            self.counted.set(counters);
        }
    }

    /// Serves until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut worked = Instant::now();
        let mut looked = worked;
        loop {
            let now = Instant::now();
            self.see_owner(now);
            let Some(mut busy) = self.commands(now) else { return self.end(now) };
            match self.frames(now) {
                Some(any) => busy |= any,
                None => return self.end(now),
            }
            busy |= self.kernel_turn(now);
            busy |= self.stack_events(now);
            busy |= self.flows.turns(&mut StackNow { stack: &mut self.stack, now });
            busy |= self.datagrams.turns(&mut self.stack, &mut self.port, now);
            let next = self.stack.poll(now, &mut self.port);
            self.port.flush();
            busy |= self.stack_events(now);
            if busy {
                worked = now;
            }
            let look = !busy || now.duration_since(looked) > LOOK_EVERY;
            if look {
                looked = now;
                self.show_counters();
                if self.look(Some(Duration::ZERO), now) {
                    worked = now;
                }
            }
            if now.duration_since(worked) < SPIN {
                continue;
            }
            let wants_room = next.wants_room || self.datagrams.wants_room();
            let what = if wants_room { WaitFor::FramesAndRoom } else { WaitFor::Frames };
            let datagrams_sleep = self.datagrams.may_sleep(&mut self.stack);
            if datagrams_sleep
                && self.kernel.as_ref().is_none_or(KernelLink::may_sleep)
                && self.flows.may_sleep(&mut StackNow { stack: &mut self.stack, now })
                && self.port.arm(what) == Armed::Sleep
            {
                let limit = next.at.map(|at| at.saturating_duration_since(Instant::now()));
                self.look(limit, now);
                self.port.disarm();
                worked = Instant::now();
            }
        }
    }

    /// A packet client takes the address, or gives it back. What the stack had open with the network ends
    /// when it loses the address: the frames of its peers go to the packet client. Listeners stay.
    fn see_owner(&mut self, now: Instant) {
        let owns = self.port.owns_address();
        if std::mem::replace(&mut self.owns, owns) == owns {
            return;
        }
        self.broker.set_packet_client(self.key, !owns);
        if !owns {
            self.end_sessions(now);
        }
    }

    /// Does what was asked for; `None` when it is to stop.
    #[inline]
    fn commands(&mut self, now: Instant) -> Option<bool> {
        let mut any = false;
        while let Ok(command) = self.inbox.try_recv() {
            any = true;
            match command {
                Command::Connect(attempt) if !self.owns => {
                    self.broker.refuse(attempt, Refusal::Unreachable);
                }
                Command::Connect(attempt) if attempt.protocol() == Protocol::Datagram => {
                    self.datagrams.connect(attempt, &mut self.stack, &self.broker, now);
                }
                Command::Connect(attempt) => self.connect(attempt, now),
                Command::Listen(at, _told) if at.protocol == Protocol::Datagram => {
                    self.datagrams.listen(&at, &mut self.stack, now);
                }
                Command::Listen(at, _told) => {
                    let Self { stack, listeners, .. } = self;
                    let listen = |local, backlog| {
                        let listener = stack.listen(now, local, backlog);
                        let warn = |error: &StackError| {
                            tracing::warn!(%local, %error, "no connections from the network");
                        };
                        listener.inspect_err(warn).ok()
                    };
                    let resized = listeners.add(&at, listen);
                    self.resize(resized);
                }
                Command::Unlisten(id) => {
                    self.datagrams.unlisten(id, &mut self.stack);
                    let Removed { gone, resized } = self.listeners.remove(id);
                    self.resize(resized);
                    for place in gone {
                        if let Some(held) = place.held {
                            self.stack.abort(now, held);
                        }
                        self.stack.unlisten(now, place.listener);
                    }
                }
                Command::Room(port) => {
                    for listener in self.listeners.at_port(port) {
                        self.accept(listener, now);
                    }
                }
                Command::Stop => return None,
            }
        }
        Some(any)
    }

    fn resize(&mut self, resized: Vec<(ListenerId, usize)>) {
        for (listener, backlog) in resized {
            // It is there: this thread alone ends listeners.
            let _ = self.stack.set_backlog(listener, backlog);
        }
    }

    /// Takes what came from the network; `None` when it is to stop.
    fn frames(&mut self, now: Instant) -> Option<bool> {
        let mut any = false;
        for _ in 0..BURST {
            let Some(frame) = self.port.receive() else { break };
            any = true;
            // A listener that was registered before the frame was sent must be there when it arrives.
            self.commands(now)?;
            self.stack.receive(now, frame.bytes(), frame.offload, &mut self.port);
            self.port.recycle(frame);
        }
        Some(any)
    }

    /// The container's kernel sends and receives.
    #[inline]
    fn kernel_turn(&mut self, now: Instant) -> bool {
        let Self { kernel, stack, port, .. } = self;
        kernel.as_mut().is_some_and(|kernel| kernel.turn(stack, port, now))
    }

    fn stack_events(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(event) = self.stack.next_event() {
            any = true;
            match event {
                Event::Acceptable(listener) => self.accept(listener, now),
                Event::Connection(id, ready) if self.attempts.contains_key(id) => {
                    self.progress(id, ready, now);
                }
                Event::Connection(id, _) => self.flows.wake(id),
                Event::Datagram(socket) => {
                    self.datagrams.receive(socket, &mut self.stack, &self.broker, now);
                }
                Event::DatagramRefused(socket, remote) => {
                    self.datagrams.refused(socket, remote, &mut self.stack);
                }
                Event::PathChanged(to) => self.datagrams.path_changed(to, &mut self.stack, now),
            }
        }
        any
    }

    fn connect(&mut self, attempt: Attempt, now: Instant) {
        let (source, destination) = (attempt.source(), attempt.destination());
        let id = match self.stack.connect(now, Some(source), destination) {
            Ok(id) => id,
            Err(error) => return self.broker.refuse(attempt, refusal(error)),
        };
        match self.flows.watch(&attempt, id) {
            Ok(()) => {
                self.attempts.insert(id, attempt);
            }
            Err(error) => {
                tracing::warn!(%error, "a session's socket cannot be watched");
                self.stack.abort(now, id);
                self.broker.refuse(attempt, Refusal::Limit);
            }
        }
    }

    /// Something happened to a connection attempt.
    fn progress(&mut self, id: ConnectionId, ready: Ready, now: Instant) {
        let Some(attempt) = self.attempts.remove(id) else { return };
        if ready.contains(Ready::CONNECTED) {
            match self.broker.connected(attempt) {
                Some(joined) => self.open(id, joined, now),
                None => self.stack.abort(now, id),
            }
        } else if ready.contains(Ready::CLOSED) {
            let error = self.stack.error(id).unwrap_or(StackError::Refused);
            self.broker.refuse(attempt, refusal(error));
            self.stack.abort(now, id);
        } else {
            self.attempts.insert(id, attempt);
        }
    }

    /// Hands connections of a listener to programs, as long as these have room.
    fn accept(&mut self, listener: ListenerId, now: Instant) {
        while let Some(place) = self.listeners.place(listener) {
            let held = place.held.take();
            let Some(id) = held.or_else(|| self.stack.accept(listener).ok().flatten()) else {
                return;
            };
            let Some((local, remote)) = self.stack.ends(id) else { continue };
            match self.broker.accept(self.key, Protocol::Stream, local, remote) {
                Ok(joined) => {
                    if let Err(error) = self.flows.watch(&joined.socket, id) {
                        tracing::warn!(%error, "a session's socket cannot be watched");
                        self.stack.abort(now, id);
                        continue;
                    }
                    self.open(id, joined, now);
                }
                Err(NotAccepted::Full) => {
                    if let Some(place) = self.listeners.place(listener) {
                        place.held = Some(id);
                    }
                    return;
                }
                Err(NotAccepted::Nobody | NotAccepted::Exhausted) => self.stack.abort(now, id),
            }
        }
    }

    /// Joins a session to its connection.
    fn open(&mut self, id: ConnectionId, joined: Joined, now: Instant) {
        if let Err(error) = self.flows.open(id, joined) {
            tracing::warn!(%error, "the memory of a session cannot be mapped");
            self.stack.abort(now, id);
        }
    }

    /// Sees what sockets have to say, after at most `limit`; answers whether there was anything.
    fn look(&mut self, limit: Option<Duration>, now: Instant) -> bool {
        let Self { flows, attempts, stack, broker, datagrams, kernel, .. } = self;
        let looked = flows.look(limit, |id, flags| {
            let over = EventFlags::HUP | EventFlags::RDHUP | EventFlags::ERR;
            if flags.intersects(over)
                && let Some(attempt) = attempts.remove(id)
            {
                // The program gave up.
                stack.abort(now, id);
                broker.refuse(attempt, Refusal::TimedOut);
            }
        });
        if looked.news {
            datagrams.look();
        }
        if looked.kernel
            && let Some(kernel) = kernel
        {
            kernel.note();
        }
        looked.any
    }

    /// Ends every session and every attempt.
    fn end_sessions(&mut self, now: Instant) {
        for (_, attempt) in self.attempts.drain() {
            self.broker.refuse(attempt, Refusal::Unreachable);
        }
        for id in self.flows.names() {
            self.flows.close(id, Closed::Reset, &mut StackNow { stack: &mut self.stack, now });
        }
        let others: Vec<_> = self.stack.connections().collect();
        for id in others {
            self.stack.abort(now, id);
        }
        self.datagrams.end_sessions(&mut self.stack);
    }

    /// Ends everything.
    fn end(mut self, now: Instant) {
        self.end_sessions(now);
        while let Ok(command) = self.inbox.try_recv() {
            if let Command::Connect(attempt) = command {
                self.broker.refuse(attempt, Refusal::Unreachable);
            }
        }
        let _ = self.stack.poll(now, &mut self.port);
        self.port.flush();
    }
}
