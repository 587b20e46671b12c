//! Sets of sessions to wait for.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bitflags::bitflags;
use libc::epoll_event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::Session;
use crate::abi::SessionHandle;
use crate::error::CallError;
use crate::worker::Thread;

bitflags! {
    /// What is waited for, and what happened. Trouble (`HUNG_UP`, `ERROR`) is always reported.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Ready: u32 {
        /// There is something to read or to accept.
        const READ = libc::EPOLLIN.cast_unsigned();
        /// There is room, or the session is connected.
        const WRITE = libc::EPOLLOUT.cast_unsigned();
        /// The peer ended its direction, or closed.
        const PEER_ENDED = libc::EPOLLRDHUP.cast_unsigned();
        /// Both directions are over.
        const HUNG_UP = libc::EPOLLHUP.cast_unsigned();
        /// The connection was reset.
        const ERROR = libc::EPOLLERR.cast_unsigned();
        /// Asked for: news only, not what is there still.
        const EDGE = libc::EPOLLET.cast_unsigned();
        /// Asked for: once.
        const ONCE = libc::EPOLLONESHOT.cast_unsigned();
    }
}

/// Something happened to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What the session was added with.
    pub token: u64,
    /// What happened.
    pub ready: Ready,
}

/// Room for events.
#[derive(Clone)]
pub struct Events {
    raw: Vec<epoll_event>,
    len: usize,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Events {
    /// Room for so many, and at least one.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { raw: vec![epoll_event { events: 0, u64: 0 }; capacity.max(1)], len: 0 }
    }

    /// What the last call filled in.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.raw[..self.len].iter().map(|raw| {
            let epoll_event { events, u64: token } = *raw;
            Event { token, ready: Ready::from_bits_truncate(events) }
        })
    }
}

/// A set of sessions of one worker. A session is in one set at most, and leaves it when it is closed; an event
/// that was under way then is still reported, so tokens should not be used again at once.
#[derive(Debug)]
pub struct Epoll {
    thread: Rc<Thread>,
    handle: SessionHandle,
}

impl Epoll {
    pub(crate) fn new(thread: &Rc<Thread>) -> Result<Self, CallError> {
        Ok(Self { thread: Rc::clone(thread), handle: thread.calls.epoll_create()? })
    }

    /// Adds a session, which is named `token` in events.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`](crate::ErrorKind::Exists) when it is in a set already.
    pub fn add(&self, session: &Session, token: u64, interest: Ready) -> Result<(), CallError> {
        self.control(libc::EPOLL_CTL_ADD, session, token, interest)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when it is not in this set.
    pub fn modify(&self, session: &Session, token: u64, interest: Ready) -> Result<(), CallError> {
        self.control(libc::EPOLL_CTL_MOD, session, token, interest)
    }

    /// Takes a session out.
    ///
    /// # Errors
    /// As [`modify`](Self::modify).
    pub fn remove(&self, session: &Session) -> Result<(), CallError> {
        self.control(libc::EPOLL_CTL_DEL, session, 0, Ready::empty())
    }

    fn control(
        &self,
        operation: i32,
        session: &Session,
        token: u64,
        interest: Ready,
    ) -> Result<(), CallError> {
        if !session.is_of(&self.thread) {
            return Err(CallError::new("vppcom_epoll_ctl", -libc::EBADFD));
        }
        let event = epoll_event { events: interest.bits(), u64: token };
        self.thread.calls.epoll_control(self.handle, operation, session.handle(), event)
    }

    /// Takes VPP's news in and fills in what is ready, without waiting. Zero means that the worker's descriptor
    /// will be readable when there is news: only then may the thread sleep on it.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn poll(&self, events: &mut Events) -> Result<usize, CallError> {
        events.len = 0;
        events.len = self.thread.calls.epoll_poll(self.handle, &mut events.raw)?;
        Ok(events.len)
    }

    /// Waits for something to be ready; `None` waits without limit. The thread sleeps in the kernel, unlike in
    /// libvppcom's own waits.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn wait(&self, events: &mut Events, limit: Option<Duration>) -> Result<usize, CallError> {
        let end = limit.map(|limit| Instant::now() + limit);
        loop {
            if self.poll(events)? > 0 {
                return Ok(events.len);
            }
            let rest = end.map(|end| end.saturating_duration_since(Instant::now()));
            if rest.is_some_and(|rest| rest.is_zero()) {
                return Ok(0);
            }
            let rest = rest.and_then(|rest| Timespec::try_from(rest).ok());
            let mut fds = [PollFd::from_borrowed_fd(self.thread.as_fd(), PollFlags::IN)];
            match poll(&mut fds, rest.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(CallError::new("poll", -error.raw_os_error())),
            }
        }
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        if self.thread.is_here() {
            // The sessions go on without it.
            let _ = self.thread.calls.close(self.handle);
        }
    }
}
