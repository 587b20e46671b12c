//! What wakes those who wait for a socket's datagrams: one descriptor for all its flows.

use core::ffi::c_int;
use core::mem::MaybeUninit;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::AsFd;
use rustix::io::Errno;
use smallvec::SmallVec;

use crate::hidden::Hidden;
use crate::process;
use crate::raw::borrow;

/// Names the socket on which flows are announced.
pub(super) const ANNOUNCEMENTS: u64 = 0;
/// Names the clock that reminds of an agent that went away.
pub(super) const REMINDER: u64 = 1;
/// Flows have numbers from here on.
pub(super) const FIRST_FLOW: u64 = 2;
/// Members that [`Hub::ready`] names at once.
pub(super) const AT_ONCE: usize = 16;

/// An epoll descriptor of this library's own.
pub(super) struct Hub {
    epoll: Hidden,
    /// The process that made it. A forked child makes another one: what it adds is none of its
    /// parent's business.
    owner: u32,
}

impl Hub {
    pub(super) fn new() -> Result<Self, Errno> {
        let made = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll: Hidden::duplicate(made.as_fd())?, owner: process::id() })
    }

    pub(super) fn number(&self) -> c_int {
        self.epoll.number()
    }

    pub(super) fn hidden(&self) -> &Hidden {
        &self.epoll
    }

    /// Whether this process made it, or borrows the memory of the one that did.
    pub(super) fn is_own(&self) -> bool {
        self.owner == process::id()
    }

    pub(super) fn add(&self, member: &Hidden, name: u64) -> Result<(), Errno> {
        let data = EventData::new_u64(name);
        epoll::add(borrow(self.number()), borrow(member.number()), data, EventFlags::IN)
    }

    pub(super) fn remove(&self, member: &Hidden) {
        // Fails only for what is not there.
        let _ = epoll::delete(borrow(self.number()), borrow(member.number()));
    }

    /// The names of members that have something.
    pub(super) fn ready(&self) -> SmallVec<[u64; AT_ONCE]> {
        let mut space = [MaybeUninit::<Event>::uninit(); AT_ONCE];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(borrow(self.number()), &mut space, Some(&now)) {
            Ok((events, _)) => events.iter().map(|it| it.data.u64()).collect(),
            Err(_) => SmallVec::new(),
        }
    }
}
