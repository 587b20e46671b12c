//! Waiting for events.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::Options;
use super::state::{PER_TURN, State, Tag};
use crate::broker::core::{EndpointKey, ListenerId};

/// The pause after the process ran out of descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// How long the removal of an endpoint waits for the serving thread to let go of its descriptors.
const SETTLE_PATIENCE: Duration = Duration::from_secs(2);

/// What the threads and their owner share.
#[derive(Debug)]
pub(super) struct Shared {
    epoll: Arc<OwnedFd>,
    stop: OwnedFd,
    state: Mutex<State>,
    started: Instant,
    /// The thread with this number is the one that serves; others are to end.
    generation: AtomicU64,
    exposure: Exposure,
    janitor: (Mutex<Chores>, Condvar),
    /// The janitor sleeps until it is told that there are chores.
    janitor_rests: AtomicBool,
    /// Counts what may be chores.
    activity: AtomicU64,
}

/// What the serving thread does that a program may hold up.
#[derive(Debug, Default)]
struct Exposure {
    now: AtomicBool,
    /// Counts the times.
    turn: AtomicU64,
    /// Whose descriptor it works on.
    endpoint: AtomicU64,
}

/// What the janitor is told.
#[derive(Debug, Default)]
pub(super) struct Chores {
    pub(super) stop: bool,
    pub(super) some: bool,
}

impl Shared {
    pub(super) fn new(options: Options) -> io::Result<Self> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&*epoll, &stop, Tag::Stop.data(), epoll::EventFlags::IN)?;
        let state = Mutex::new(State::new(options, Arc::clone(&epoll))?);
        Ok(Self {
            epoll,
            stop,
            state,
            started: Instant::now(),
            generation: AtomicU64::new(0),
            exposure: Exposure::default(),
            janitor: (Mutex::default(), Condvar::new()),
            janitor_rests: AtomicBool::new(false),
            activity: AtomicU64::new(0),
        })
    }

    /// Starts a thread that serves; the one that did so far ends when it can.
    pub(super) fn start_thread(this: &Arc<Self>) -> io::Result<JoinHandle<()>> {
        let generation = this.generation.fetch_add(1, Ordering::SeqCst) + 1;
        let served = Arc::clone(this);
        std::thread::Builder::new().name("broker".to_owned()).spawn(move || served.run(generation))
    }

    /// Does something with the state. The thread does nothing meanwhile.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panic may have left half-done is one session's.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the threads.
    pub(super) fn stop(&self) {
        // Fails only when it was written before: then the thread ends too.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        let (chores, wake) = &self.janitor;
        chores.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        wake.notify_all();
    }

    /// What may be chores, counted.
    pub(super) fn activity(&self) -> u64 {
        self.activity.load(Ordering::SeqCst)
    }

    /// Sleeps until `limit` has passed or, without one, until there was more activity than was `seen`.
    /// Answers whether to go on.
    pub(super) fn await_chores(&self, limit: Option<Duration>, seen: u64) -> bool {
        let (chores, wake) = &self.janitor;
        let mut told = chores.lock().unwrap_or_else(PoisonError::into_inner);
        self.janitor_rests.store(limit.is_none(), Ordering::SeqCst);
        // Activity before this store found the janitor awake and did not tell it.
        told.some = self.activity() != seen;
        while !(told.stop || limit.is_none() && told.some) {
            match limit {
                Some(limit) => {
                    let waited = wake.wait_timeout(told, limit);
                    told = waited.unwrap_or_else(PoisonError::into_inner).0;
                    break;
                }
                None => told = wake.wait(told).unwrap_or_else(PoisonError::into_inner),
            }
        }
        self.janitor_rests.store(false, Ordering::SeqCst);
        told.some = false;
        !told.stop
    }

    pub(super) fn wake_janitor(&self) {
        self.activity.fetch_add(1, Ordering::SeqCst);
        if self.janitor_rests.load(Ordering::SeqCst) {
            let (chores, wake) = &self.janitor;
            chores.lock().unwrap_or_else(PoisonError::into_inner).some = true;
            wake.notify_all();
        }
    }

    /// The turn in which the serving thread does what a program may hold up, and which one.
    pub(super) fn exposure(&self) -> Option<(u64, EndpointKey)> {
        let now = self.exposure.now.load(Ordering::SeqCst);
        let turn = self.exposure.turn.load(Ordering::SeqCst);
        now.then(|| (turn, EndpointKey(self.exposure.endpoint.load(Ordering::SeqCst))))
    }

    fn run(&self, generation: u64) {
        let mut events = Vec::with_capacity(64);
        loop {
            let timeout = self.timeout();
            events.clear();
            let room = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&*self.epoll, room, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "sessions are not served any more");
                    return;
                }
            }
            let now = self.started.elapsed();
            let mut exhausted = false;
            for event in events.drain(..) {
                let tag = Tag::of(event.data.u64());
                if tag == Tag::Stop {
                    return;
                }
                if let Tag::Kernel(id) = tag {
                    let Some(none_left) = self.accept_kernel(id, generation) else { return };
                    exhausted |= none_left;
                    continue;
                }
                let trash = self.with(|state| {
                    exhausted |= state.handle(tag, event.flags, now);
                    std::mem::take(&mut state.trash)
                });
                if !self.close(trash, generation) {
                    return;
                }
            }
            let trash = self.with(|state| {
                state.expire(now);
                std::mem::take(&mut state.trash)
            });
            if !self.close(trash, generation) {
                return;
            }
            self.wake_janitor();
            if exhausted {
                std::thread::sleep(EXHAUSTED_PAUSE);
            }
        }
    }

    /// Closes descriptors of programs; answers whether the thread is still the one that serves.
    fn close(&self, trash: Vec<(EndpointKey, OwnedFd)>, generation: u64) -> bool {
        let mut trash = trash.into_iter();
        trash.all(|(key, descriptor)| self.exposed(key, generation, || drop(descriptor)).is_some())
    }

    /// Takes connections from a kernel socket and hands them to its listener; answers as
    /// [`State::handle`], and `None` when the thread is not the one that serves any more.
    fn accept_kernel(&self, id: ListenerId, generation: u64) -> Option<bool> {
        for _ in 0..PER_TURN {
            let Some((key, kernel)) = self.with(|state| state.kernel_to_accept(id)) else { break };
            let accepted = self.exposed(key, generation, || {
                // The program shares the file and its flags: it may have cleared this one, and may
                // do so again.
                let _ = rustix::io::ioctl_fionbio(&*kernel, true);
                accept_with(&*kernel, SocketFlags::CLOEXEC)
            })?;
            drop(kernel);
            match accepted {
                Ok(connection) => self.with(|state| state.accepted_kernel(id, key, connection)),
                Err(Errno::AGAIN) => break,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                    return Some(true);
                }
                Err(Errno::INVAL | Errno::BADF | Errno::OPNOTSUPP) => {
                    // It does not listen any more.
                    self.with(|state| state.forget_kernel(id));
                    break;
                }
                // The connection broke before it was accepted.
                Err(_) => {}
            }
        }
        Some(false)
    }

    /// Does what a program may hold up, without the lock and with the janitor watching. `None` when
    /// that took so long that another thread serves now.
    fn exposed<T>(&self, key: EndpointKey, generation: u64, work: impl FnOnce() -> T) -> Option<T> {
        self.exposure.turn.fetch_add(1, Ordering::SeqCst);
        self.exposure.endpoint.store(key.0, Ordering::SeqCst);
        self.exposure.now.store(true, Ordering::SeqCst);
        self.wake_janitor();
        let done = work();
        let serving = self.generation.load(Ordering::SeqCst) == generation;
        if serving {
            self.exposure.now.store(false, Ordering::SeqCst);
        }
        serving.then_some(done)
    }

    /// Waits, for a while, until the serving thread has none of the descriptors that it had when this
    /// was called.
    pub(super) fn settle(&self) {
        let Some((turn, _)) = self.exposure() else { return };
        let patience = Instant::now() + SETTLE_PATIENCE;
        while self.exposure().is_some_and(|(now, _)| now == turn) && Instant::now() < patience {
            std::thread::yield_now();
        }
    }

    /// How long nothing is to be done; `None` when there is nothing to wait for but events.
    fn timeout(&self) -> Option<Timespec> {
        let deadline = self.with(|state| state.waiting.deadline())?;
        Timespec::try_from(deadline.saturating_sub(self.started.elapsed())).ok()
    }
}
