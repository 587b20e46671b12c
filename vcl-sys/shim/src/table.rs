//! Which descriptor is what.
//!
//! Two levels of arrays that only grow, so that looking up a descriptor that is none of ours, which is
//! what most calls do, is two loads without a lock.

#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::datagram::Datagram;
use crate::epoll::{self, Epoll};
use crate::socket::{Fresh, Link, Socket};
use crate::sync::SpinLock;
use crate::{process, resume};

/// What is known of a descriptor.
#[derive(Clone)]
pub(crate) enum Object {
    /// An internet socket of the kernel that may become a session.
    Fresh(Fresh),
    /// A datagram socket of the kernel, with the sessions that it may have.
    Datagram(Arc<Datagram>),
    /// A session or a listener.
    Socket(Arc<Socket>),
    /// An epoll descriptor.
    Epoll(Arc<Epoll>),
}

struct Slot {
    used: AtomicBool,
    /// Registered in an epoll.
    watched: AtomicBool,
    /// A session of another process whose memory this one has not asked for yet.
    inherited: AtomicBool,
    object: SpinLock<Option<Object>>,
}

impl Slot {
    #[allow(clippy::declare_interior_mutable_const, reason = "what a fresh slot is made of")]
    const EMPTY: Self = Self {
        used: AtomicBool::new(false),
        watched: AtomicBool::new(false),
        inherited: AtomicBool::new(false),
        object: SpinLock::new(None),
    };
}

const PAGE: usize = 256;
const PAGES: usize = 4096;

type Page = [Slot; PAGE];

static TABLE: [AtomicPtr<Page>; PAGES] = [const { AtomicPtr::new(ptr::null_mut()) }; PAGES];

fn slot(fd: c_int) -> Option<&'static Slot> {
    let index = usize::try_from(fd).ok()?;
    let page = TABLE.get(index / PAGE)?.load(Ordering::Acquire);
    // SAFETY: a page in the table is never freed.
    unsafe { page.as_ref() }.map(|page| &page[index % PAGE])
}

#[cold]
fn slot_to_fill(fd: c_int) -> Option<&'static Slot> {
    let index = usize::try_from(fd).ok()?;
    let entry = TABLE.get(index / PAGE)?;
    if entry.load(Ordering::Acquire).is_null() {
        let fresh: Box<Page> = Box::new([const { Slot::EMPTY }; PAGE]);
        let fresh = Box::into_raw(fresh);
        let placed =
            entry.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire);
        if placed.is_err() {
            // SAFETY: nobody else saw the page.
            drop(unsafe { Box::from_raw(fresh) });
        }
    }
    slot(fd)
}

/// What `fd` is; `None` for everything that is the kernel's business alone.
#[inline]
pub(crate) fn get(fd: c_int) -> Option<Object> {
    let slot = slot(fd)?;
    if !slot.used.load(Ordering::Acquire) {
        return None;
    }
    let object = slot.object.lock().clone();
    if object.is_none() && slot.inherited.load(Ordering::Acquire) {
        return resume::resume(fd);
    }
    object
}

/// What `fd` is known to be, without asking anybody.
pub(crate) fn known_object(fd: c_int) -> Option<Object> {
    slot(fd)?.object.lock().clone()
}

/// Notes that `fd` is a session of another process.
pub(crate) fn inherit(fd: c_int) {
    if let Some(slot) = slot_to_fill(fd).filter(|_| !process::borrows_memory()) {
        slot.inherited.store(true, Ordering::Release);
        slot.used.store(true, Ordering::Release);
    }
}

/// Whether `fd` is a session of another process that nobody used yet.
pub(crate) fn is_inherited(fd: c_int) -> bool {
    slot(fd).is_some_and(|slot| slot.inherited.load(Ordering::Acquire))
}

/// The session or listener that `fd` is.
#[inline]
pub(crate) fn socket(fd: c_int) -> Option<Arc<Socket>> {
    match get(fd)? {
        Object::Socket(socket) => Some(socket),
        Object::Fresh(_) | Object::Datagram(_) | Object::Epoll(_) => None,
    }
}

/// Whether `fd` is still the session with this link: a thread that slept may find its number closed, and given
/// to something else. What a `vfork` child has is not told by the table, which is its parent's.
pub(crate) fn is_session(fd: c_int, link: &Link) -> bool {
    is_still(fd, |object| match object {
        Object::Socket(socket) => socket.link().is_some_and(|own| ptr::eq(own, link)),
        _ => false,
    })
}

/// As [`is_session`], for a session or a listener as a whole.
pub(crate) fn is_socket(fd: c_int, socket: &Socket) -> bool {
    is_still(fd, |object| matches!(object, Object::Socket(it) if ptr::eq(&raw const **it, socket)))
}

/// As [`is_session`], for a datagram socket.
pub(crate) fn is_datagram(fd: c_int, socket: &Datagram) -> bool {
    is_still(
        fd,
        |object| matches!(object, Object::Datagram(it) if ptr::eq(&raw const **it, socket)),
    )
}

fn is_still(fd: c_int, same: impl Fn(&Object) -> bool) -> bool {
    slot(fd).is_some_and(|slot| slot.object.lock().as_ref().is_some_and(same))
        || process::borrows_memory()
}

/// The datagram socket that `fd` is.
#[inline]
pub(crate) fn datagram(fd: c_int) -> Option<Arc<Datagram>> {
    match get(fd)? {
        Object::Datagram(socket) => Some(socket),
        Object::Fresh(_) | Object::Socket(_) | Object::Epoll(_) => None,
    }
}

/// Notes what `fd` is from now on; numbers beyond the table stay the kernel's. Returns what it was.
pub(crate) fn put(fd: c_int, object: Object) -> Option<Object> {
    // A `vfork` child makes descriptors of its own, in a table that is its parent's.
    if process::borrows_memory() {
        return None;
    }
    let slot = slot_to_fill(fd)?;
    if let Object::Socket(socket) = &object {
        socket.hold();
    }
    let old = slot.object.lock().replace(object);
    slot.inherited.store(false, Ordering::Release);
    slot.used.store(true, Ordering::Release);
    let_go(old.as_ref());
    old
}

/// `fd` is closed, or becomes something else. Returns what it was. A `vfork` child closes its own
/// descriptors, not those of the parent whose table it sees.
pub(crate) fn take(fd: c_int) -> Option<Object> {
    let slot = slot(fd)?;
    if !slot.used.load(Ordering::Acquire) || process::borrows_memory() {
        return None;
    }
    if slot.watched.swap(false, Ordering::AcqRel) {
        epoll::forget(fd);
    }
    let old = slot.object.lock().take();
    if let Some(Object::Datagram(socket)) = &old
        && socket.is_active()
    {
        epoll::forget(socket.hub());
    }
    slot.inherited.store(false, Ordering::Release);
    slot.used.store(false, Ordering::Release);
    let_go(old.as_ref());
    old
}

/// `fd` is registered in an epoll: whoever closes it must tell.
pub(crate) fn watch(fd: c_int) {
    if let Some(slot) = slot(fd) {
        slot.watched.store(true, Ordering::Release);
    }
}

/// Whether `fd` is registered in an epoll.
pub(crate) fn is_watched(fd: c_int) -> bool {
    slot(fd).is_some_and(|slot| slot.watched.load(Ordering::Acquire))
}

fn let_go(old: Option<&Object>) {
    if let Some(Object::Socket(socket)) = old {
        socket.let_go();
    }
}

/// The first number of the page after that of `fd`.
fn next_page(fd: c_int) -> c_int {
    let page = c_int::try_from(PAGE).unwrap_or(c_int::MAX);
    fd - fd % page + page
}

/// Every descriptor from `first` to `last` that is known here.
pub(crate) fn known(first: c_int, last: c_int) -> impl Iterator<Item = c_int> {
    let limit = c_int::try_from(PAGE * PAGES).unwrap_or(c_int::MAX) - 1;
    let mut fd = first.max(0);
    core::iter::from_fn(move || {
        while fd <= last.min(limit) {
            let this = fd;
            match slot(this) {
                None => fd = next_page(this),
                Some(slot) => {
                    fd += 1;
                    if slot.used.load(Ordering::Acquire) {
                        return Some(this);
                    }
                }
            }
        }
        None
    })
}
