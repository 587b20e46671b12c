//! `epoll` with sessions in it.
//!
//! The kernel's epoll stays what the program sleeps on. Sessions are registered there too, but only
//! to be woken: edge-triggered, with a tag of ours as data, and for room only once there was none. What is ready is computed from the rings
//! in user space, for those registrations that are *hot*: those that had news lately. A registration
//! that stays quiet is armed (its peer sends a token when something comes, and the kernel reports
//! that) and leaves the hot ones, so that idle sessions cost nothing.
//!
//! While a thread sleeps in the kernel, every registration without news is armed, or another thread is
//! inside a wait and will arm it before it leaves. Whoever adds or changes one sees to it, too.
//!
//! * `trigger`: the rules of level, edge and one-shot.
//! * `set`: the registrations; `tag`: their names in the kernel.
//! * `control`: `epoll_ctl`; `wait`: `epoll_wait`; `places`: where its events go.
//! * `carry`: what happens when a descriptor becomes a session, or is closed.
//! * `waker`: wakes a sleeper.

mod carry;
mod control;
mod places;
mod set;
mod tag;
mod trigger;
mod wait;
mod waker;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use crate::sync::SpinLock;

pub(crate) use carry::{attach, attach_hub, detach, forget, revive};
pub(crate) use control::{Change, control};
pub(crate) use places::Places;
pub(crate) use wait::wait;
pub(crate) use waker::make_way;

/// An epoll descriptor; its duplicates share it.
pub(crate) struct Epoll {
    state: SpinLock<State>,
    /// Threads that sleep in the kernel.
    sleepers: AtomicU32,
    /// It is registered in another epoll, on which threads may sleep at any time.
    nested: AtomicBool,
    /// A descriptor of it: the one that was used last.
    number: AtomicI32,
}

struct State {
    set: set::Set,
    /// The program registered descriptors that are the kernel's business alone.
    mixed: bool,
    waits: u32,
    /// The wait before this reported no bytes to read: the ends of peers, which the kernel alone knows,
    /// would not be seen.
    dry: bool,
}

impl State {
    fn new() -> Self {
        Self { set: set::Set::default(), mixed: false, waits: 0, dry: true }
    }

    /// Whether the kernel's part is to wake sessions and nothing else.
    fn knows_all(&self) -> bool {
        !self.mixed && !self.set.has_others()
    }
}

/// Every epoll of the process.
static ALL: SpinLock<Vec<Weak<Epoll>>> = SpinLock::new(Vec::new());

impl Epoll {
    /// For a descriptor that the kernel just made, or that was not known yet.
    pub(crate) fn new(fd: c_int) -> Arc<Self> {
        let epoll = Arc::new(Self {
            state: SpinLock::new(State::new()),
            sleepers: AtomicU32::new(0),
            nested: AtomicBool::new(false),
            number: AtomicI32::new(fd),
        });
        let mut all = ALL.lock();
        all.retain(|it| it.strong_count() > 0);
        all.push(Arc::downgrade(&epoll));
        epoll
    }

    /// Whether a wait would report a session at once.
    pub(crate) fn is_ready(&self) -> bool {
        self.state.lock().set.is_ready()
    }

    /// Has the kernel report what comes, for somebody who sleeps on the epoll descriptor itself;
    /// `true` when there is something already.
    pub(crate) fn arm(&self) -> bool {
        self.state.lock().set.arm(self.fd())
    }

    /// The kernel says that the epoll is readable. That may have been for a session that has nothing to
    /// report; with sessions alone it is possible to find out.
    pub(crate) fn is_really_ready(&self, epfd: c_int) -> bool {
        if self.state.lock().knows_all() {
            wait::absorb(epfd, self);
            self.is_ready()
        } else {
            true
        }
    }

    /// It was registered in another epoll.
    fn nest(&self) {
        self.nested.store(true, Ordering::SeqCst);
        self.settle();
        if self.arm() {
            waker::wake(self.fd());
        }
    }

    /// Has the kernel report the epoll as readable only for what is to be reported: a registration of a
    /// session makes it so once for nothing.
    fn settle(&self) {
        if self.nested.load(Ordering::SeqCst) && self.state.lock().knows_all() {
            wait::absorb(self.fd(), self);
        }
    }

    fn has_sleepers(&self) -> bool {
        self.sleepers.load(Ordering::SeqCst) > 0 || self.nested.load(Ordering::SeqCst)
    }

    fn fd(&self) -> c_int {
        self.number.load(Ordering::Relaxed)
    }

    /// Somebody added or changed a registration that sleeping threads do not know of.
    fn alert(&self, state: &State, index: u32) {
        if self.has_sleepers() && state.set.arm_one(index, self.fd()) {
            waker::wake(self.fd());
        }
    }
}

/// Calls `job` with every epoll of the process.
fn each(mut job: impl FnMut(&Epoll)) {
    let all: Vec<_> = ALL.lock().iter().filter_map(Weak::upgrade).collect();
    for epoll in all {
        job(&epoll);
    }
}
