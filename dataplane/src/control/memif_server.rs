//! The thread that serves memif control sockets: handshakes, links that come and go.
//!
//! Frames never pass through it. It hands the queues of a connected client to the port's worker, and
//! takes them away again when the link is over.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use memif::queue::LinkState;
use memif::{
    InterfaceConfig, InterfaceId, Limits, Link, Listener, ListenerConfig, ListenerEvent, Name,
    RegionPolicy, RingFault, Secret,
};
use rustix::event::{EventfdFlags, Timespec, epoll};

use super::registry::Registry;
use super::{DataplaneError, MemifStatus, PortId, io, lock};
use crate::MemifConfig;
use crate::worker::FaultHook;

/// The end of the thread that others hold.
#[derive(Debug)]
pub(super) struct MemifServer {
    mailbox: Mailbox,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone)]
struct Mailbox {
    requests: Sender<Request>,
    wake: Arc<OwnedFd>,
}

enum Request {
    Listen { port: PortId, listeners: Vec<Listener>, done: Sender<Result<(), DataplaneError>> },
    Unlisten { port: PortId, done: Sender<()> },
    Fault { port: PortId, fault: RingFault },
    Stop,
}

impl Mailbox {
    fn post(&self, request: Request) -> Result<(), DataplaneError> {
        self.requests.send(request).map_err(|_| DataplaneError::Stopped)?;
        // It fails only when the counter is full, and then the thread is awake.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        Ok(())
    }
}

impl MemifServer {
    pub(super) fn start(registry: Arc<Mutex<Registry>>) -> Result<Self, DataplaneError> {
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| io("eventfd of the memif thread")(errno.into()))?;
        let wake = Arc::new(wake);
        let (sender, requests) = crossbeam_channel::unbounded();
        let mut server =
            Server::new(registry, requests, &wake).map_err(io("epoll of the memif thread"))?;
        let thread = std::thread::Builder::new()
            .name("memif-control".to_owned())
            .spawn(move || server.run())
            .map_err(io("starting the memif thread"))?;
        Ok(Self { mailbox: Mailbox { requests: sender, wake }, thread: Some(thread) })
    }

    /// Ends the thread, with all listeners and links.
    pub(super) fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = self.mailbox.post(Request::Stop);
            let _ = thread.join();
        }
    }

    /// What a worker calls when a peer breaks the rules. It does not wait.
    pub(super) fn fault_hook(&self) -> FaultHook {
        let mailbox = self.mailbox.clone();
        Arc::new(move |port, fault| {
            let _ = mailbox.post(Request::Fault { port, fault });
        })
    }

    pub(super) fn listen(
        &self,
        port: PortId,
        sockets: Vec<OwnedFd>,
        config: &MemifConfig,
    ) -> Result<(), DataplaneError> {
        let interface = interface(config)?;
        let listeners = sockets
            .into_iter()
            .map(|socket| listener(socket, interface))
            .collect::<Result<Vec<_>, _>>()?;
        let (done, outcome) = crossbeam_channel::bounded(1);
        self.mailbox.post(Request::Listen { port, listeners, done })?;
        outcome.recv().map_err(|_| DataplaneError::Stopped)?
    }

    pub(super) fn unlisten(&self, port: PortId) -> Result<(), DataplaneError> {
        let (done, outcome) = crossbeam_channel::bounded(1);
        self.mailbox.post(Request::Unlisten { port, done })?;
        outcome.recv().map_err(|_| DataplaneError::Stopped)
    }
}

/// Memory that a client may share when its regions must be sealed: what it leaves untouched is charged
/// to whoever touches it first, which may be this process.
const SEALED_BYTES: u64 = 256 << 20;

fn interface(config: &MemifConfig) -> Result<InterfaceConfig, DataplaneError> {
    if !(1..=16).contains(&config.max_queues) {
        return Err(DataplaneError::BadConfig {
            what: "the number of memif queues",
            expected: "1 to 16",
            found: config.max_queues.to_string(),
        });
    }
    let secret = config.secret.as_deref().map(Secret::new).transpose().map_err(|error| {
        DataplaneError::BadConfig {
            what: "the memif secret",
            expected: "at most 24 bytes",
            found: error.to_string(),
        }
    })?;
    let mut interface = InterfaceConfig::new(InterfaceId::new(config.id));
    interface.secret = secret;
    interface.name = Name::truncated(&config.name);
    interface.limits.rings = config.max_queues;
    if config.trust_regions {
        interface.policy = RegionPolicy::Trusted;
    } else {
        interface.limits =
            Limits { region_bytes: SEALED_BYTES, total_bytes: SEALED_BYTES, ..interface.limits };
    }
    Ok(interface)
}

fn listener(socket: OwnedFd, interface: InterfaceConfig) -> Result<Listener, DataplaneError> {
    let config = ListenerConfig { application: Name::truncated("dockervpp"), ..Default::default() };
    let mut listener = Listener::from_socket(socket, config).map_err(io("a memif socket"))?;
    // A new listener has no interfaces, so none can be in the way.
    let _ = listener.add(interface);
    Ok(listener)
}

/// What is served for one port.
#[derive(Debug, Default)]
struct Served {
    listeners: Vec<(u64, Listener)>,
    link: Option<Connected>,
}

#[derive(Debug)]
struct Connected {
    /// The listener that it came through.
    token: u64,
    link: Link,
    state: Arc<LinkState>,
}

/// The state of the thread.
struct Server {
    registry: Arc<Mutex<Registry>>,
    requests: Receiver<Request>,
    epoll: OwnedFd,
    ports: HashMap<PortId, Served>,
    /// Which port a listener belongs to.
    tokens: HashMap<u64, PortId>,
    last_token: u64,
}

/// The `epoll` token of the mailbox; listeners count on from it.
const MAILBOX: u64 = 0;

impl Server {
    fn new(
        registry: Arc<Mutex<Registry>>,
        requests: Receiver<Request>,
        wake: &OwnedFd,
    ) -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, wake, epoll::EventData::new_u64(MAILBOX), flags)?;
        Ok(Self {
            registry,
            requests,
            epoll,
            ports: HashMap::new(),
            tokens: HashMap::new(),
            last_token: MAILBOX,
        })
    }

    fn run(&mut self) {
        loop {
            let timeout = self.next_timeout();
            let mut events = [const { MaybeUninit::uninit() }; 64];
            let Ok((events, _)) = epoll::wait(&self.epoll, &mut events, timeout.as_ref()) else {
                continue;
            };
            let now = Instant::now();
            for event in events {
                match event.data.u64() {
                    MAILBOX => {}
                    token => self.poll_listener(token, now),
                }
            }
            self.poll_overdue(now);
            while let Ok(request) = self.requests.try_recv() {
                match request {
                    Request::Listen { port, listeners, done } => {
                        let _ = done.send(self.listen(port, listeners));
                    }
                    Request::Unlisten { port, done } => {
                        self.unlisten(port);
                        let _ = done.send(());
                    }
                    Request::Fault { port, fault } => self.fault(port, fault),
                    Request::Stop => return,
                }
            }
        }
    }

    fn next_timeout(&self) -> Option<Timespec> {
        let listeners = self.ports.values().flat_map(|served| &served.listeners);
        let deadline = listeners.filter_map(|(_, listener)| listener.next_deadline()).min()?;
        // Rounded up, so that the deadline has come when the kernel returns.
        let wait = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        Timespec::try_from(wait).ok()
    }

    fn poll_overdue(&mut self, now: Instant) {
        let overdue: Vec<u64> = self
            .ports
            .values()
            .flat_map(|served| &served.listeners)
            .filter(|(_, listener)| {
                listener.next_deadline().is_some_and(|deadline| deadline <= now)
            })
            .map(|&(token, _)| token)
            .collect();
        for token in overdue {
            self.poll_listener(token, now);
        }
    }

    fn listen(&mut self, port: PortId, listeners: Vec<Listener>) -> Result<(), DataplaneError> {
        let first = self.last_token + 1;
        let mut added: Vec<(u64, Listener)> = Vec::with_capacity(listeners.len());
        for (token, listener) in (first..).zip(listeners) {
            let data = epoll::EventData::new_u64(token);
            if let Err(errno) = epoll::add(&self.epoll, &listener, data, epoll::EventFlags::IN) {
                for (_, listener) in &added {
                    let _ = epoll::delete(&self.epoll, listener);
                }
                return Err(io("watching a memif socket")(errno.into()));
            }
            added.push((token, listener));
        }
        self.last_token += added.len() as u64;
        self.tokens.extend(added.iter().map(|&(token, _)| (token, port)));
        self.ports.entry(port).or_default().listeners.append(&mut added);
        Ok(())
    }

    fn unlisten(&mut self, port: PortId) {
        let Some(served) = self.ports.remove(&port) else { return };
        for (token, listener) in &served.listeners {
            self.tokens.remove(token);
            let _ = epoll::delete(&self.epoll, listener);
        }
        if let Some(connected) = served.link {
            connected.link.disconnect("the endpoint was detached");
            self.detach(port, &connected.state);
        }
    }

    fn fault(&mut self, port: PortId, fault: RingFault) {
        let Some(served) = self.ports.get_mut(&port) else { return };
        if let Some(connected) = served.link.take() {
            tracing::warn!(port = port.0, client = %connected.link.peer().application, %fault, "memif client disconnected");
            connected.link.disconnect(&fault.to_string());
            self.detach(port, &connected.state);
        }
    }

    fn poll_listener(&mut self, token: u64, now: Instant) {
        let Some(&port) = self.tokens.get(&token) else { return };
        let Some(served) = self.ports.get_mut(&port) else { return };
        let found = served.listeners.iter_mut().find(|(candidate, _)| *candidate == token);
        let Some((_, listener)) = found else { return };
        let events = match listener.poll(now) {
            Ok(events) => events,
            Err(error) => {
                tracing::error!(port = port.0, %error, "a memif socket failed");
                return;
            }
        };
        for event in events {
            match event {
                ListenerEvent::Connected { link, .. } => self.connected(port, token, link),
                ListenerEvent::Disconnected { reason, .. } => {
                    tracing::info!(port = port.0, %reason, "memif client gone");
                    self.disconnected(port, token);
                }
                ListenerEvent::Refused { client, error, .. } => {
                    tracing::info!(port = port.0, pid = client.pid, %error, "memif client refused");
                }
                ListenerEvent::Paused { error, .. } => {
                    tracing::warn!(port = port.0, %error, "memif clients have to wait");
                }
                _ => {}
            }
        }
    }

    /// The queues go to the worker. A port has one client, whichever of its sockets it came through.
    fn connected(&mut self, port: PortId, token: u64, mut link: Link) {
        let Some(served) = self.ports.get_mut(&port) else { return };
        if served.link.as_ref().is_some_and(|connected| connected.link.poll().is_none()) {
            return link.disconnect("already connected");
        }
        if let Some(former) = served.link.take() {
            self.detach(port, &former.state);
        }
        let Some(queues) = link.take_queues() else { return };
        let status = MemifStatus {
            peer: link.peer().application.to_string(),
            queues: (count(queues.rx.len()), count(queues.tx.len())),
            ring_size: queues.rx.first().map_or(0, |queue| u32::from(queue.ring_size())),
        };
        tracing::info!(port = port.0, client = status.peer, queues = ?status.queues, "memif client connected");
        let state = Arc::clone(&queues.state);
        let attached = {
            // Held while the job runs, so that the port cannot move meanwhile.
            let registry = lock(&self.registry);
            registry.port_worker(port).and_then(|worker| {
                worker.run(move |worker| worker.attach_memif(port, queues, status))?
            })
        };
        match attached {
            Ok(()) => {
                if let Some(served) = self.ports.get_mut(&port) {
                    served.link = Some(Connected { token, link, state });
                }
            }
            Err(error) => {
                tracing::error!(port = port.0, %error, "a memif client could not be attached");
                link.disconnect("the port has no room");
            }
        }
    }

    fn disconnected(&mut self, port: PortId, token: u64) {
        let Some(served) = self.ports.get_mut(&port) else { return };
        if let Some(former) = served.link.take_if(|connected| connected.token == token) {
            self.detach(port, &former.state);
        }
    }

    fn detach(&self, port: PortId, state: &Arc<LinkState>) {
        let state = Arc::clone(state);
        let registry = lock(&self.registry);
        // A port or worker that is gone has no queues any more.
        let _ = registry
            .port_worker(port)
            .and_then(|worker| worker.run(move |worker| worker.detach_memif(port, &state))?);
    }
}

fn count(queues: usize) -> u16 {
    u16::try_from(queues).unwrap_or(u16::MAX)
}
