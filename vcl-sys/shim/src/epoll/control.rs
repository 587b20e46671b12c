//! `epoll_ctl`.

use alloc::sync::Arc;
use core::ffi::c_int;
use core::sync::atomic::Ordering;

use rustix::event::epoll::{self as kernel, EventData, EventFlags};
use rustix::io::Errno;

use super::set::{Registration, Target};
use super::tag::Tag;
use super::trigger::{EDGE, EXCLUSIVE, HOW, WAKE_UP};
use super::{Epoll, State};
use crate::datagram::Datagram;
use crate::raw::borrow;
use crate::readiness::{ALWAYS, IN, OUT, READ_HANG_UP, READS};
use crate::table::{self, Object};

/// What `epoll_ctl` shall do, with the event as the program gave it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Add { events: u32, data: u64 },
    Modify { events: u32, data: u64 },
    Delete,
}

/// What wakes a sleeper for a session; and room, where the registration says so.
const WAKES: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

/// What a listener never reports.
const NOT_OF_LISTENERS: EventFlags =
    EventFlags::OUT.union(EventFlags::WRNORM).union(EventFlags::RDHUP);

/// Flags that go together with `EPOLLEXCLUSIVE` (`EPOLLEXCLUSIVE_OK_BITS`).
const WITH_EXCLUSIVE: u32 = IN | OUT | ALWAYS | WAKE_UP | EDGE | EXCLUSIVE;

/// `epoll_ctl` on `fd`. `None` when the kernel alone shall do it.
pub(crate) fn control(epfd: c_int, fd: c_int, change: Change) -> Option<Result<(), Errno>> {
    let target = match table::get(fd) {
        Some(Object::Socket(socket)) => Target::of(socket),
        Some(Object::Fresh(_) | Object::Datagram(_)) => Target::Fresh,
        other => {
            if let (Some(Object::Epoll(inner)), Change::Add { .. }) = (other, change) {
                inner.nest();
            }
            if let Some(Object::Epoll(epoll)) = table::get(epfd) {
                epoll.state.lock().mixed = true;
            }
            return None;
        }
    };
    if epfd == fd {
        return None;
    }
    let epoll = match table::get(epfd) {
        Some(Object::Epoll(epoll)) => epoll,
        // Made where this library did not see it, or no epoll at all, which the kernel will tell.
        _ => Epoll::new(epfd),
    };
    epoll.number.store(epfd, Ordering::Relaxed);
    let result = apply(&epoll, fd, target, change);
    if result.is_ok()
        && let Some(Object::Datagram(socket)) = table::get(fd)
    {
        if let Change::Add { events, .. } | Change::Modify { events, .. } = change
            && events & IN != 0
        {
            socket.expect(fd);
        }
        flows(&epoll, &socket, change);
    }
    if matches!(change, Change::Add { .. }) {
        epoll.settle();
    }
    if result.is_ok() && !matches!(table::get(epfd), Some(Object::Epoll(_))) {
        table::put(epfd, Object::Epoll(epoll));
    }
    Some(result)
}

/// What the flows of a datagram socket report: the same data, beside the kernel's own report of the
/// descriptor.
pub(super) fn flows(epoll: &Epoll, socket: &Arc<Datagram>, change: Change) {
    let hub = socket.hub();
    if hub < 0 {
        return;
    }
    let mut state = epoll.state.lock();
    let (events, data) = match change {
        Change::Add { events, data } | Change::Modify { events, data } => (events, data),
        Change::Delete => {
            if state.set.remove(hub).is_some() {
                // Fails only for what is not there.
                let _ = kernel::delete(borrow(epoll.fd()), borrow(hub));
            }
            return;
        }
    };
    let events = events & (READS & !READ_HANG_UP | HOW);
    if let Some((tag, it)) = state.set.of(hub) {
        it.change(events, data);
        state.set.heat(tag.index);
        return epoll.alert(&state, tag.index);
    }
    let Some(tag) = state.set.reserve() else { return };
    let registration = Registration::new(hub, Target::Flows(socket.clone()), events, data);
    if tell(epoll.fd(), tag, &registration, Tell::Add).is_ok() {
        state.set.insert(tag, registration);
        epoll.alert(&state, tag.index);
    }
}

fn apply(epoll: &Epoll, fd: c_int, target: Target, change: Change) -> Result<(), Errno> {
    let mut state = epoll.state.lock();
    match change {
        Change::Add { events, data } => {
            if events & EXCLUSIVE != 0 && events & !WITH_EXCLUSIVE != 0 {
                return Err(Errno::INVAL);
            }
            add(epoll, &mut state, Registration::new(fd, target, events, data))
        }
        Change::Modify { events, .. } if events & EXCLUSIVE != 0 => Err(Errno::INVAL),
        Change::Modify { events, data } => modify(epoll, &mut state, fd, target, events, data),
        Change::Delete => {
            if let Target::Session(socket) = &target
                && let Some((_, it)) = state.set.of_socket(fd, socket)
            {
                if it.removed {
                    return Err(Errno::NOENT);
                }
                it.end();
                return Ok(());
            }
            let result = kernel::delete(borrow(epoll.fd()), borrow(fd));
            match (result, state.set.of(fd)) {
                // The kernel does not know a parked listener; the program need not know that.
                (Err(Errno::NOENT), Some((_, it))) if it.parked => {}
                (result, _) => result?,
            }
            state.set.remove(fd);
            Ok(())
        }
    }
}

fn add(epoll: &Epoll, state: &mut State, registration: Registration) -> Result<(), Errno> {
    let fd = registration.fd;
    if let Target::Session(socket) = &registration.target
        && let Some((tag, it)) = state.set.of_socket(fd, socket)
    {
        if !it.removed {
            return Err(Errno::EXIST);
        }
        it.change(registration.events, registration.data);
        state.set.heat(tag.index);
        epoll.alert(state, tag.index);
        return Ok(());
    }
    if state.set.of(fd).is_some_and(|(_, it)| it.parked) {
        return Err(Errno::EXIST);
    }
    let tag = state.set.reserve().ok_or(Errno::NOSPC)?;
    tell(epoll.fd(), tag, &registration, Tell::Add)?;
    // What the kernel takes although we know it is left from a descriptor that was closed unseen.
    state.set.remove(fd);
    state.set.insert(tag, registration);
    table::watch(fd);
    epoll.alert(state, tag.index);
    Ok(())
}

fn modify(
    epoll: &Epoll,
    state: &mut State,
    fd: c_int,
    target: Target,
    events: u32,
    data: u64,
) -> Result<(), Errno> {
    let known = match &target {
        Target::Session(socket) | Target::Listener(socket) => state.set.of_socket(fd, socket),
        Target::Flows(_) => None,
        Target::Fresh => state.set.of(fd).filter(|(_, it)| matches!(it.target, Target::Fresh)),
    };
    let Some((tag, registration)) = known else {
        // Perhaps registered by a parent process, which may count on room.
        let registration = Registration::new(fd, target, events, data);
        registration.room.set(true);
        let tag = state.set.reserve().ok_or(Errno::NOSPC)?;
        tell(epoll.fd(), tag, &registration, Tell::Modify)?;
        state.set.insert(tag, registration);
        table::watch(fd);
        epoll.alert(state, tag.index);
        return Ok(());
    };
    if registration.removed {
        return Err(Errno::NOENT);
    }
    if registration.trigger.is_exclusive() {
        return Err(Errno::INVAL);
    }
    let changed = Registration::new(fd, target, events, data);
    if changed.target.link().is_none() && !registration.parked {
        tell(epoll.fd(), tag, &changed, Tell::Modify)?;
    }
    registration.change(events, data);
    state.set.heat(tag.index);
    epoll.alert(state, tag.index);
    Ok(())
}

#[derive(Clone, Copy)]
pub(super) enum Tell {
    Add,
    Modify,
}

/// Tells the kernel of a registration.
pub(super) fn tell(
    epfd: c_int,
    tag: Tag,
    registration: &Registration,
    how: Tell,
) -> Result<(), Errno> {
    let asked = EventFlags::from_bits_retain(registration.events);
    let (flags, data) = match registration.target {
        Target::Fresh => (asked, registration.data),
        Target::Listener(_) => (asked.difference(NOT_OF_LISTENERS), tag.to_data()),
        Target::Session(_) if registration.room.get() => {
            (WAKES.union(EventFlags::OUT), tag.to_data())
        }
        Target::Session(_) => (WAKES, tag.to_data()),
        Target::Flows(_) => (EventFlags::IN | EventFlags::ET, tag.to_data()),
    };
    let data = EventData::new_u64(data);
    match how {
        Tell::Add => kernel::add(borrow(epfd), borrow(registration.fd), data, flags),
        Tell::Modify => kernel::modify(borrow(epfd), borrow(registration.fd), data, flags),
    }
}
