//! For programs that run on tokio: the same listener, client, link and queues, awaited.
//!
//! These are thin: each registers the descriptor that the plain type has anyway. All futures can be
//! dropped half-way without losing anything. The data path itself does not change: after
//! [`AsyncRx::ready`] take batches from the queue as ever.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use ::tokio::io::Interest;
use ::tokio::io::unix::AsyncFd;
use ::tokio::time::{sleep, timeout, timeout_at};

use crate::client::{Client, ClientEvent};
use crate::error::ConnectError;
use crate::link::{DisconnectReason, Link};
use crate::listener::{Listener, ListenerEvent};
use crate::queue::{Armed, RingFault, RxQueue, TxError, TxQueue};
use crate::wait::wait_readable;

/// See `wait_for_frames`: an interrupt may be missed right after arming.
const FIRST_SLEEP: Duration = Duration::from_millis(1);
/// memif has no signal for room in a ring. After this many turns of the scheduler, sleep.
const YIELDS: u32 = 64;

/// A [`Listener`] whose events are awaited.
#[derive(Debug)]
pub struct AsyncListener {
    driver: Driver<Listener>,
}

impl AsyncListener {
    /// Registers a listener with the current runtime.
    pub fn new(listener: Listener) -> io::Result<Self> {
        Ok(Self { driver: Driver::new(listener)? })
    }

    /// What happens next.
    pub async fn next_event(&mut self) -> io::Result<ListenerEvent> {
        self.driver.next_event().await
    }

    /// The listener, to add and remove interfaces.
    pub fn get_mut(&mut self) -> &mut Listener {
        &mut self.driver.driven
    }
}

/// A [`Client`] whose events are awaited.
#[derive(Debug)]
pub struct AsyncClient {
    driver: Driver<Client>,
}

impl AsyncClient {
    /// Registers a client with the current runtime.
    pub fn new(client: Client) -> io::Result<Self> {
        Ok(Self { driver: Driver::new(client)? })
    }

    /// What happens next.
    pub async fn next_event(&mut self) -> io::Result<ClientEvent> {
        self.driver.next_event().await
    }

    /// The next link. Failed attempts are repeated as the client's
    /// [`Reconnect`](crate::Reconnect) says.
    ///
    /// # Errors
    ///
    /// The last failure, when no attempt follows it.
    pub async fn connect(&mut self) -> Result<Link, ConnectError> {
        loop {
            match self.next_event().await? {
                ClientEvent::Connected(link) => return Ok(link),
                ClientEvent::Failed(error) if self.driver.driven.next_deadline().is_none() => {
                    return Err(error);
                }
                ClientEvent::Failed(_) | ClientEvent::Disconnected(_) => {}
            }
        }
    }
}

/// A [`Link`] whose end is awaited.
#[derive(Debug)]
pub struct AsyncLink {
    fd: AsyncFd<OwnedFd>,
    link: Link,
}

impl AsyncLink {
    /// Registers a link with the current runtime.
    pub fn new(link: Link) -> io::Result<Self> {
        Ok(Self { fd: register(link.as_fd())?, link })
    }

    /// Why it ended, once it has.
    pub async fn closed(&self) -> io::Result<DisconnectReason> {
        loop {
            if let Some(reason) = self.link.poll() {
                return Ok(reason);
            }
            self.fd.readable().await?.clear_ready();
        }
    }

    /// The link, to take its queues.
    pub fn get_mut(&mut self) -> &mut Link {
        &mut self.link
    }

    /// The link without the runtime.
    pub fn into_inner(self) -> Link {
        self.link
    }
}

/// Why waiting for a queue ended without success.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The link is down or the peer broke the rules.
    #[error(transparent)]
    Fault(#[from] RingFault),
    /// The frame cannot be sent.
    #[error(transparent)]
    Frame(TxError),
    /// The runtime or the kernel failed.
    #[error("waiting for a queue: {0}")]
    Io(#[from] io::Error),
}

/// An [`RxQueue`] whose frames are awaited.
#[derive(Debug)]
pub struct AsyncRx {
    fd: AsyncFd<OwnedFd>,
    queue: RxQueue,
}

impl AsyncRx {
    /// Registers a queue with the current runtime.
    pub fn new(queue: RxQueue) -> io::Result<Self> {
        Ok(Self { fd: register(queue.as_fd())?, queue })
    }

    /// Waits until frames wait. The peer sends interrupts only in the meantime.
    pub async fn ready(&mut self) -> Result<(), QueueError> {
        let mut first = true;
        loop {
            if self.queue.arm()? == Armed::Ready {
                self.queue.disarm();
                return Ok(());
            }
            if std::mem::take(&mut first) {
                // Elapsed or not: what counts is the look at the ring that follows.
                if let Ok(ready) = timeout(FIRST_SLEEP, self.fd.readable()).await {
                    ready?.clear_ready();
                }
            } else {
                self.fd.readable().await?.clear_ready();
            }
            self.queue.clear_interrupt()?;
        }
    }

    /// The queue, to take batches from.
    pub fn get_mut(&mut self) -> &mut RxQueue {
        &mut self.queue
    }
}

/// Sends one frame and publishes it, waiting for room as long as the link is up.
///
/// A peer that makes room cannot tell, so this yields to other tasks a few times and then looks once
/// per millisecond: a queue for control traffic, not a fast path. There, use
/// [`TxQueue::push`] and drop what does not fit.
pub async fn send(queue: &mut TxQueue, frame: &[u8]) -> Result<(), QueueError> {
    let mut turns = 0;
    loop {
        match queue.push(frame) {
            Ok(()) => return Ok(queue.flush()?),
            Err(TxError::Full) => {
                queue.flush()?;
                if turns < YIELDS {
                    turns += 1;
                    ::tokio::task::yield_now().await;
                } else {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            Err(TxError::Fault(fault)) => return Err(fault.into()),
            Err(error) => return Err(QueueError::Frame(error)),
        }
    }
}

/// What is driven by one descriptor and a deadline.
trait Driven: AsFd {
    type Event;
    fn poll(&mut self, now: Instant) -> io::Result<Vec<Self::Event>>;
    fn next_deadline(&self) -> Option<Instant>;
}

impl Driven for Listener {
    type Event = ListenerEvent;

    fn poll(&mut self, now: Instant) -> io::Result<Vec<ListenerEvent>> {
        Listener::poll(self, now)
    }

    fn next_deadline(&self) -> Option<Instant> {
        Listener::next_deadline(self)
    }
}

impl Driven for Client {
    type Event = ClientEvent;

    fn poll(&mut self, now: Instant) -> io::Result<Vec<ClientEvent>> {
        Client::poll(self, now)
    }

    fn next_deadline(&self) -> Option<Instant> {
        Client::next_deadline(self)
    }
}

#[derive(Debug)]
struct Driver<T: Driven> {
    fd: AsyncFd<OwnedFd>,
    driven: T,
    events: VecDeque<T::Event>,
}

impl<T: Driven> Driver<T> {
    fn new(driven: T) -> io::Result<Self> {
        let fd = register(driven.as_fd())?;
        Ok(Self { fd, driven, events: VecDeque::new() })
    }

    async fn next_event(&mut self) -> io::Result<T::Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.poll()?;
            if !self.events.is_empty() {
                continue;
            }
            // tokio's readiness is edge-triggered: it is cleared first, then everything is done, so
            // that what arrives in between makes a new edge.
            match self.driven.next_deadline() {
                Some(deadline) => {
                    if let Ok(ready) = timeout_at(deadline.into(), self.fd.readable()).await {
                        ready?.clear_ready();
                    }
                }
                None => self.fd.readable().await?.clear_ready(),
            }
        }
    }

    /// Does all that can be done: one poll stops at a burst.
    fn poll(&mut self) -> io::Result<()> {
        loop {
            self.events.extend(self.driven.poll(Instant::now())?);
            if !wait_readable(&[self.driven.as_fd()], Some(Duration::ZERO))? {
                return Ok(());
            }
        }
    }
}

/// Registers a duplicate, which stays the same file whatever becomes of the original.
fn register(descriptor: BorrowedFd<'_>) -> io::Result<AsyncFd<OwnedFd>> {
    let duplicate = descriptor.try_clone_to_owned()?;
    // Its successor is unsafe for the sake of types whose descriptor can change; this one's cannot.
    #[allow(deprecated, reason = "sound for an OwnedFd that nobody else can reach")]
    AsyncFd::with_interest(duplicate, Interest::READABLE)
}
