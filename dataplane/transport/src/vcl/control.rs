//! What the process of an endpoint is to attach to, and whether it does, from outside.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::options::VclAttach;
use crate::mailbox::Mailbox;

/// How the process of an endpoint stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Status {
    /// None is wanted.
    #[default]
    Idle,
    /// It was started, and has not said yet that it is attached.
    Starting,
    /// Sessions go over VPP's host stack.
    Attached,
    /// It ended in this way, and is started again after a pause.
    Ended(String),
}

/// What is wanted from now on.
#[derive(Debug)]
pub(super) struct Wish {
    /// Where to attach; `None`: not at all.
    pub(super) attach: Option<VclAttach>,
    /// A process that is attached there already ends, too.
    pub(super) anew: bool,
    /// Dropped when it is done.
    pub(super) _done: Sender<()>,
}

/// Says where the process of an endpoint attaches. Clones are of the same process.
#[derive(Debug, Clone)]
pub struct Control {
    mailbox: Arc<Mailbox>,
    wishes: Sender<Wish>,
    status: Shared,
}

/// The status, as the supervisor keeps it.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Status>>);

impl Shared {
    pub(super) fn set(&self, status: Status) {
        *self.lock() = status;
    }

    pub(super) fn is(&self, status: &Status) -> bool {
        *self.lock() == *status
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        // Replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The other end of a [`Control`], for the supervisor.
#[derive(Debug)]
pub(crate) struct Wishes {
    pub(super) inbox: Receiver<Wish>,
    pub(super) status: Shared,
}

impl Control {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> (Self, Wishes) {
        let (wishes, inbox) = channel();
        let status = Shared::default();
        let control = Self { mailbox, wishes, status: status.clone() };
        (control, Wishes { inbox, status })
    }

    /// Has the process attach; nothing happens if it does so already, or tries.
    pub fn attach(&self, attach: VclAttach) {
        self.wish(Some(attach), false);
    }

    /// As [`attach`](Self::attach), with another process if there is one, and without the pause after one that
    /// ended: what it attaches to is new.
    pub fn attach_anew(&self, attach: VclAttach) {
        self.wish(Some(attach), true);
    }

    /// Ends the process. Its connections are reset, connects are refused, and listeners wait for another one.
    pub fn detach(&self) -> Detaching {
        Detaching(self.wish(None, false))
    }

    /// How the process stands.
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }

    fn wish(&self, attach: Option<VclAttach>, anew: bool) -> Receiver<()> {
        let (done, is_done) = channel();
        // Nobody is there once the endpoint's host is dropped: then there is no process either.
        if self.wishes.send(Wish { attach, anew, _done: done }).is_ok() {
            self.mailbox.wake();
        }
        is_done
    }
}

/// The end of a process, under way.
#[derive(Debug)]
pub struct Detaching(Receiver<()>);

impl Detaching {
    /// Waits until it is over; `false` when `limit` passed first.
    pub fn wait(self, limit: Duration) -> bool {
        self.0.recv_timeout(limit) != Err(RecvTimeoutError::Timeout)
    }
}
