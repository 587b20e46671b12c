//! Which process this is: the one that made the table of descriptors, its forked child, or a
//! `vfork` child that borrows the parent's memory until it executes a program.

#![allow(unsafe_code)]

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::process::Pid;
use rustix::rand::GetRandomFlags;

/// What a process has for itself; zero until it is asked for.
struct Own {
    /// The number of the process.
    id: AtomicU32,
    /// See [`sharing`].
    sharing: AtomicU64,
}

/// A page that the kernel gives a forked child filled with zeros (`MADV_WIPEONFORK`, Linux 4.14), while
/// a `vfork` child sees its parent's. It starts with an [`Own`].
static PAGE: AtomicPtr<Own> = AtomicPtr::new(ptr::null_mut());

fn own() -> Option<&'static Own> {
    let page = PAGE.load(Ordering::Acquire);
    let page = if page.is_null() { make_page() } else { page };
    // SAFETY: null, or a page of this process that is never unmapped, accessed atomically only.
    unsafe { page.as_ref() }
}

/// The number of the process that owns this memory; a forked child gets its own on the first call.
/// A `vfork` child sees its parent's.
pub(crate) fn id() -> u32 {
    let Some(own) = own() else { return number(rustix::process::getpid()) };
    match own.id.load(Ordering::Relaxed) {
        0 => {
            let id = number(rustix::process::getpid());
            own.id.store(id, Ordering::Relaxed);
            id
        }
        id => id,
    }
}

/// A random number of this process, by which the broker knows that sessions are of the same one; zero
/// where there is none.
pub(crate) fn sharing() -> u64 {
    let Some(own) = own() else { return 0 };
    let known = own.sharing.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let mut bytes = [0; 8];
    if rustix::rand::getrandom(&mut bytes, GetRandomFlags::NONBLOCK) != Ok(bytes.len()) {
        return 0;
    }
    let fresh = u64::from_ne_bytes(bytes);
    let placed = own.sharing.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed);
    placed.map_or_else(|other| other, |_| fresh)
}

/// Whether the caller runs in memory that belongs to another process (after `vfork`): then
/// descriptors are its own, but the table is not.
pub(crate) fn borrows_memory() -> bool {
    id() != number(rustix::process::getpid())
}

/// Whether a process exists no more.
pub(crate) fn is_gone(process: u32) -> bool {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    pid.is_none_or(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

#[cold]
fn make_page() -> *mut Own {
    const BYTES: usize = 4096;
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: fresh anonymous memory at an address of the kernel's choice.
    let page = unsafe {
        rustix::mm::mmap_anonymous(ptr::null_mut(), BYTES, protection, MapFlags::PRIVATE)
    };
    let Ok(page) = page else { return ptr::null_mut() };
    // SAFETY: the range is exactly the page made above.
    if unsafe { rustix::mm::madvise(page, BYTES, Advice::LinuxWipeOnFork) }.is_err() {
        return ptr::null_mut();
    }
    match PAGE.compare_exchange(ptr::null_mut(), page.cast(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => page.cast(),
        Err(other) => {
            // SAFETY: the page is nobody else's.
            let _ = unsafe { rustix::mm::munmap(page, BYTES) };
            other
        }
    }
}
