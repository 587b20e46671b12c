//! Registrations follow a descriptor when another file takes its place, and end with it.

use core::ffi::c_int;

use rustix::event::epoll as kernel;

use super::control::{Change, Tell, flows, tell};
use super::each;
use super::set::Target;
use crate::process;
use crate::raw::borrow;
use crate::socket::Link;
use crate::table::{self, Object};

/// Another file is about to take the place of `fd`: the kernel forgets the old one, which may live
/// on under another number. [`attach`] must follow.
pub(crate) fn detach(fd: c_int) {
    if !table::is_watched(fd) {
        return;
    }
    each(|epoll| {
        if epoll.state.lock().set.of(fd).is_some() {
            let _ = kernel::delete(borrow(epoll.fd()), borrow(fd));
        }
    });
}

/// Tells the kernel of the file that is behind `fd` now, in every epoll that had the one before.
pub(crate) fn attach(fd: c_int) {
    if !table::is_watched(fd) {
        return;
    }
    each(|epoll| {
        let mut state = epoll.state.lock();
        let target = match table::get(fd) {
            Some(Object::Socket(socket)) => Target::of(socket),
            Some(Object::Fresh(_) | Object::Datagram(_)) => Target::Fresh,
            Some(Object::Epoll(_)) | None => return,
        };
        // A listener or a kernel socket that was removed is not here any more.
        if state.set.of(fd).is_none_or(|(_, it)| it.removed) {
            return;
        }
        state.set.park(fd, false);
        state.set.retarget(fd, target);
        let Some((tag, registration)) = state.set.of(fd) else { return };
        if tell(epoll.fd(), tag, registration, Tell::Add).is_ok() {
            epoll.alert(&state, tag.index);
        }
    });
}

/// The datagram socket `fd` has a hub from now on: whoever watches the descriptor watches that, too.
pub(crate) fn attach_hub(fd: c_int) {
    if !table::is_watched(fd) {
        return;
    }
    let Some(Object::Datagram(socket)) = table::get(fd) else { return };
    each(|epoll| {
        let known = epoll.state.lock().set.of(fd).map(|(_, it)| (it.events, it.data));
        if let Some((events, data)) = known {
            flows(epoll, &socket, Change::Add { events, data });
        }
    });
}

/// Something became of a session that only the process itself knows: the program shut it down, or a write
/// found too little room. It is looked at again, also where another thread sleeps.
pub(crate) fn revive(link: &Link) {
    each(|epoll| {
        let mut state = epoll.state.lock();
        for index in state.set.all_of(link) {
            state.set.heat(index);
            epoll.alert(&state, index);
        }
    });
}

/// `fd` is being closed. The kernel's registration would outlive it if the file is open elsewhere, and
/// report what nobody here can act on; but there is nothing more to report of a session whose peer is
/// done. (Should another process of the peer go on, a wait wakes up for nothing.)
pub(crate) fn forget(fd: c_int) {
    each(|epoll| {
        let mut state = epoll.state.lock();
        if let Some(registration) = state.set.remove(fd)
            && registration.owner == process::id()
            && !registration.target.is_quiet()
        {
            let _ = kernel::delete(borrow(epoll.fd()), borrow(fd));
        }
    });
}
