//! Wakes a thread that sleeps in `epoll_wait`.
//!
//! A counter that is always readable is registered edge-triggered; telling the kernel of it once more
//! is an edge (`ep_modify` looks again and wakes a sleeper).

use core::ffi::c_int;

use rustix::event::EventfdFlags;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::AsFd;
use rustix::io::Errno;

use super::tag::Tag;
use crate::hidden::Hidden;
use crate::log;
use crate::raw::borrow;
use crate::sync::SpinLock;

/// One for the process, made when needed.
static WAKER: SpinLock<Option<Hidden>> = SpinLock::new(None);

/// Wakes a thread that sleeps on the epoll descriptor `epfd`; it sees an event with [`Tag::WAKE`].
pub(super) fn wake(epfd: c_int) {
    let mut waker = WAKER.lock();
    if waker.is_none() {
        *waker = rustix::event::eventfd(1, EventfdFlags::CLOEXEC)
            .and_then(|fd| Hidden::duplicate(fd.as_fd()))
            .inspect_err(|error| log::warning!("no descriptor to wake threads with: {error}"))
            .ok();
    }
    if let Some(waker) = waker.as_ref() {
        // The program may have closed the epoll descriptor: then nobody sleeps there.
        let _ = ring(epfd, waker.number());
    }
}

/// The program is about to use the number `target`, which may be the waker's.
pub(crate) fn make_way(target: c_int) -> Option<Result<(), Errno>> {
    let waker = WAKER.lock();
    waker.as_ref().filter(|it| it.number() == target).map(Hidden::move_away)
}

fn ring(epfd: c_int, waker: c_int) -> Result<(), Errno> {
    let data = EventData::new_u64(Tag::WAKE.to_data());
    let flags = EventFlags::IN | EventFlags::ET;
    match epoll::modify(borrow(epfd), borrow(waker), data, flags) {
        Err(Errno::NOENT) => epoll::add(borrow(epfd), borrow(waker), data, flags),
        result => result,
    }
}
