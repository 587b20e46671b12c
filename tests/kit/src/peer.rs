//! A memif peer on `memif-rs` in a thread of its own: sends numbered frames with checksums, checks
//! what comes back, echoes or counts what a foreign peer sends.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use memif::queue::TxError;
use memif::{
    Address, Client, ClientConfig, ClientEvent, InterfaceConfig, InterfaceId, Link, Listener,
    ListenerConfig, ListenerEvent, RingFault, RxQueue, TxQueue,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::frame;
use crate::wait;

/// How long a peer may take to connect, to refuse, or to deliver; machines of pipelines are slow.
const LIMIT: Duration = Duration::from_mins(2);

/// Descriptors handled per look at a queue.
const BURST: usize = 64;

/// What the peer does with its frames.
#[derive(Debug, Clone)]
pub enum Job {
    /// Counts what comes.
    Sink,
    /// Sends back what comes, on the queue of the same number.
    Echo,
    /// Sends numbered frames of these lengths in turn (at least [`frame::SMALLEST`] bytes), and
    /// checks what comes: each must be one of them, unchanged and, per queue, in order.
    Probe {
        /// Lengths in bytes, headers included.
        lengths: Vec<usize>,
        /// How many frames, on all queues together.
        count: u64,
        /// Frames on the way at once, on all queues together; `u64::MAX` sends as fast as it can.
        window: u64,
    },
}

/// How the peer waits for frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Looks again and again; interrupts stay masked.
    Polling,
    /// Sleeps on the eventfds.
    Interrupt,
}

/// Which end it is, with what the crate needs for it.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// Connects.
    Client(ClientConfig),
    /// Listens.
    Server(InterfaceConfig),
}

impl End {
    /// A client of interface 0 with all defaults.
    pub fn client() -> Self {
        Self::Client(ClientConfig::new(InterfaceId::new(0)))
    }

    /// A server of interface 0 with all defaults.
    pub fn server() -> Self {
        Self::Server(InterfaceConfig::new(InterfaceId::new(0)))
    }
}

/// What the peer counted, over all its links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Links that came up.
    pub links: u64,
    /// Handshakes that failed.
    pub refusals: u64,
    /// Links that ended.
    pub ended: u64,
    /// Frames received.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames sent.
    pub sent: u64,
    /// Frames that did not fit into the ring (`Echo` drops them, `Probe` tries again).
    pub full: u64,
    /// `Probe`: frames that are not as they were sent.
    pub corrupt: u64,
    /// `Probe`: frames that overtook another of the same queue.
    pub reordered: u64,
    /// Rings on which the foreign peer broke the rules.
    pub faults: u64,
}

#[derive(Debug, Default)]
struct Shared {
    links: AtomicU64,
    refusals: AtomicU64,
    ended: AtomicU64,
    received: AtomicU64,
    received_bytes: AtomicU64,
    sent: AtomicU64,
    full: AtomicU64,
    corrupt: AtomicU64,
    reordered: AtomicU64,
    faults: AtomicU64,
    stop: AtomicBool,
    words: Mutex<Vec<String>>,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Shared {
    fn say(&self, words: String) {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).push(words);
    }
}

/// A running peer; dropping it disconnects and ends its thread.
#[derive(Debug)]
pub struct Peer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Peer {
    /// Starts a peer on the abstract socket `name`.
    pub fn start(name: &str, end: End, job: Job, waiting: Waiting) -> Result<Self> {
        let address = Address::abstract_name(name)?;
        let control = match end {
            End::Client(config) => Control::Client(Client::new(address, config, Instant::now())?),
            End::Server(config) => {
                let mut listener = Listener::bind(&address, ListenerConfig::default())?;
                listener.add(config)?;
                Control::Server(listener)
            }
        };
        let shared = Arc::new(Shared::default());
        let mut worker = Worker {
            shared: Arc::clone(&shared),
            control,
            job,
            waiting,
            link: None,
            next: 0,
            expected: BTreeMap::new(),
            scratch: Vec::new(),
        };
        let thread = thread::Builder::new().name("memif-peer".to_owned());
        let thread = thread.spawn(move || worker.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What it counted so far.
    pub fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let shared = &self.shared;
        Counts {
            links: of(&shared.links),
            refusals: of(&shared.refusals),
            ended: of(&shared.ended),
            received: of(&shared.received),
            received_bytes: of(&shared.received_bytes),
            sent: of(&shared.sent),
            full: of(&shared.full),
            corrupt: of(&shared.corrupt),
            reordered: of(&shared.reordered),
            faults: of(&shared.faults),
        }
    }

    /// Why links failed and ended, in words.
    pub fn words(&self) -> Vec<String> {
        self.shared.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the counts satisfy `enough`.
    pub fn wait(&self, what: &str, enough: impl Fn(&Counts) -> bool) -> Result<Counts> {
        let seen = wait::until(LIMIT, what, || {
            let counts = self.counts();
            Ok(enough(&counts).then_some(counts))
        });
        seen.with_context(|| format!("last seen: {:?}; {:?}", self.counts(), self.words()))
    }

    /// Waits until `links` links came up so far.
    pub fn wait_links(&self, links: u64) -> Result<()> {
        self.wait(&format!("link number {links} is up"), |it| it.links >= links)?;
        Ok(())
    }

    /// Waits until nothing more comes, and returns the final counts.
    pub fn settled(&self) -> Result<Counts> {
        let (mut last, mut same) = (self.counts(), 0);
        wait::until(LIMIT, "the peer's counts settle", || {
            let now = self.counts();
            same = if now == last { same + 1 } else { 0 };
            last = now;
            Ok((same >= 10).then_some(now))
        })
    }

    /// Ends the peer and reports what went wrong in its thread, if anything did.
    pub fn stop(mut self) -> Result<Counts> {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow!("the peer's thread panicked"))??;
        }
        Ok(self.counts())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its outcome was not asked for.
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
enum Control {
    Client(Client),
    Server(Listener),
}

#[derive(Debug)]
struct Connected {
    /// Kept: dropping it disconnects.
    _link: Link,
    tx: Vec<TxQueue>,
    rx: Vec<RxQueue>,
}

#[derive(Debug)]
struct Worker {
    shared: Arc<Shared>,
    control: Control,
    job: Job,
    waiting: Waiting,
    link: Option<Connected>,
    /// The number of the next frame to send.
    next: u64,
    /// By queue of origin: the number that must not be undercut.
    expected: BTreeMap<u16, u64>,
    scratch: Vec<u8>,
}

impl Worker {
    fn run(&mut self) -> Result<()> {
        let mut look = Instant::now();
        while !self.shared.stop.load(Ordering::Relaxed) {
            // The control socket needs no look per burst.
            if self.link.is_none() || look.elapsed() > Duration::from_millis(1) {
                look = Instant::now();
                self.look_at_control()?;
            }
            let busy = match self.work() {
                Ok(busy) => busy,
                Err(fault) => {
                    self.lose_link(fault);
                    false
                }
            };
            if !busy {
                self.rest()?;
            }
        }
        Ok(())
    }

    fn look_at_control(&mut self) -> Result<()> {
        let mut up = None;
        match &mut self.control {
            Control::Client(client) => {
                for event in client.poll(Instant::now())? {
                    match event {
                        ClientEvent::Connected(link) => up = Some(link),
                        ClientEvent::Failed(error) => {
                            self.shared.say(error.to_string());
                            add(&self.shared.refusals, 1);
                        }
                        other => {
                            self.shared.say(format!("{other:?}"));
                            add(&self.shared.ended, 1);
                        }
                    }
                }
            }
            Control::Server(listener) => {
                for event in listener.poll(Instant::now())? {
                    match event {
                        ListenerEvent::Connected { link, .. } => up = Some(link),
                        ListenerEvent::Refused { error, .. } => {
                            self.shared.say(error.to_string());
                            add(&self.shared.refusals, 1);
                        }
                        other => {
                            self.shared.say(format!("{other:?}"));
                            add(&self.shared.ended, 1);
                        }
                    }
                }
            }
        }
        if let Some(mut link) = up {
            let queues = link.take_queues().context("a new link has its queues")?;
            let (tx, mut rx) = (queues.tx, queues.rx);
            if self.waiting == Waiting::Polling {
                rx.iter_mut().for_each(RxQueue::disarm);
            }
            self.link = Some(Connected { _link: link, tx, rx });
            add(&self.shared.links, 1);
        }
        Ok(())
    }

    fn lose_link(&mut self, fault: RingFault) {
        self.link = None;
        if fault != RingFault::Disconnected {
            add(&self.shared.faults, 1);
            self.shared.say(fault.to_string());
        }
    }

    /// One round; whether there was anything to do.
    fn work(&mut self) -> Result<bool, RingFault> {
        let Some(mut link) = self.link.take() else { return Ok(false) };
        let mut busy = false;
        for at in 0..link.rx.len() {
            let tx = link.tx.get_mut(at);
            busy |= self.receive(&mut link.rx[at], tx)?;
        }
        if let Job::Probe { lengths, count, window } = self.job.clone() {
            for at in 0..link.tx.len() {
                busy |= self.send(at, &mut link.tx[at], &lengths, count, window)?;
            }
        }
        self.link = Some(link);
        Ok(busy)
    }

    fn receive(&mut self, rx: &mut RxQueue, echo: Option<&mut TxQueue>) -> Result<bool, RingFault> {
        let mut echo = echo.filter(|_| matches!(self.job, Job::Echo));
        let probe = matches!(self.job, Job::Probe { .. });
        let batch = rx.batch(BURST)?;
        let (mut frames, mut bytes) = (0, 0);
        for received in batch.frames() {
            frames += 1;
            bytes += received.len() as u64;
            if probe {
                self.scratch.resize(received.len(), 0);
                received.copy_to(&mut self.scratch);
                check(&self.scratch, &mut self.expected, &self.shared);
            }
            if let Some(tx) = &mut echo {
                match tx.push(&received) {
                    Ok(()) => add(&self.shared.sent, 1),
                    Err(TxError::Full) => add(&self.shared.full, 1),
                    Err(TxError::Fault(fault)) => return Err(fault),
                    Err(error) => self.shared.say(error.to_string()),
                }
            }
        }
        drop(batch);
        if let Some(tx) = echo {
            tx.flush()?;
        }
        add(&self.shared.received, frames);
        add(&self.shared.received_bytes, bytes);
        Ok(frames > 0)
    }

    fn send(
        &mut self,
        queue: usize,
        tx: &mut TxQueue,
        lengths: &[usize],
        count: u64,
        window: u64,
    ) -> Result<bool, RingFault> {
        let queue = u16::try_from(queue).unwrap_or(u16::MAX);
        let mut sent = 0;
        for _ in 0..BURST {
            let on_the_way =
                self.next - self.shared.received.load(Ordering::Relaxed).min(self.next);
            if self.next >= count || on_the_way >= window {
                break;
            }
            let at = usize::try_from(self.next % lengths.len() as u64).unwrap_or_default();
            frame::build(&mut self.scratch, queue, self.next, lengths[at]);
            match tx.push(self.scratch.as_slice()) {
                Ok(()) => (sent, self.next) = (sent + 1, self.next + 1),
                Err(TxError::Full) => {
                    add(&self.shared.full, 1);
                    break;
                }
                Err(TxError::Fault(fault)) => return Err(fault),
                Err(error) => {
                    self.shared.say(error.to_string());
                    break;
                }
            }
        }
        tx.flush()?;
        add(&self.shared.sent, sent);
        Ok(sent > 0)
    }

    /// Nothing to do: yields, or sleeps until a frame or a control message may have come.
    fn rest(&mut self) -> Result<()> {
        let Some(link) = self.link.as_mut().filter(|_| self.waiting == Waiting::Interrupt) else {
            if self.link.is_none() {
                thread::sleep(Duration::from_millis(1));
            } else {
                thread::yield_now();
            }
            return Ok(());
        };
        for rx in &mut link.rx {
            match rx.arm() {
                Ok(memif::queue::Armed::Sleep) => {}
                // Frames, or the end of the link: the next round sees it.
                _ => return Ok(()),
            }
        }
        // Room in the transmit ring is not signalled, so a sender looks again soon.
        let pause = Timespec::try_from(Duration::from_millis(1))?;
        let mut fds: Vec<_> =
            link.rx.iter().map(|rx| PollFd::from_borrowed_fd(rx.as_fd(), PollFlags::IN)).collect();
        poll(&mut fds, Some(&pause))?;
        drop(fds);
        for rx in &mut link.rx {
            rx.clear_interrupt()?;
            rx.disarm();
        }
        Ok(())
    }
}

/// Counts a received frame that is not as it was sent, or not in order.
fn check(bytes: &[u8], expected: &mut BTreeMap<u16, u64>, shared: &Shared) {
    let Some(read) = frame::read(bytes) else {
        add(&shared.corrupt, 1);
        return;
    };
    let next = expected.entry(read.queue).or_default();
    if read.number < *next {
        add(&shared.reordered, 1);
    } else {
        *next = read.number + 1;
    }
}
