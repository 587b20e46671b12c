//! Places for [`Local`]s, which forked processes share.
//!
//! A page has room for many, is filled once, and is unmapped when the sessions that it was for are gone
//! in this process. No place is used a second time: a forked child may still have the session that
//! was there, which nobody would tell its parent.

#![allow(unsafe_code)]

use alloc::sync::Arc;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags};
use session::Local;

use crate::process;
use crate::sync::SpinLock;

const BYTES: usize = 4096;
const PLACES: usize = BYTES / size_of::<Local>();

/// Memory that the kernel frees when the last process that inherited it is gone.
struct Page(NonNull<Local>);

// SAFETY: `Local` is made of atomics.
unsafe impl Send for Page {}
// SAFETY: as for `Send`.
unsafe impl Sync for Page {}

impl Page {
    fn new() -> rustix::io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: fresh anonymous memory at an address of the kernel's choice.
        let page = unsafe {
            rustix::mm::mmap_anonymous(ptr::null_mut(), BYTES, protection, MapFlags::SHARED)?
        };
        NonNull::new(page.cast()).map(Self).ok_or(rustix::io::Errno::NOMEM)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: exactly the page made in `new`, and its last user in this process.
        let _ = unsafe { rustix::mm::munmap(self.0.as_ptr().cast(), BYTES) };
    }
}

/// The page that is being filled, by the process that made it.
struct Current {
    page: Arc<Page>,
    owner: u32,
    next: usize,
}

static CURRENT: SpinLock<Option<Current>> = SpinLock::new(None);

/// A [`Local`] of one session.
pub(crate) struct OwnLocal {
    page: Arc<Page>,
    at: usize,
}

impl OwnLocal {
    pub(crate) fn new() -> rustix::io::Result<Self> {
        let owner = process::id();
        let mut current = CURRENT.lock();
        // What a forked child would take from its parent's page, the parent would take, too.
        let usable = current.as_mut().filter(|it| it.owner == owner && it.next < PLACES);
        if let Some(current) = usable {
            let at = current.next;
            current.next += 1;
            return Ok(Self { page: Arc::clone(&current.page), at });
        }
        let page = Arc::new(Page::new()?);
        let old = current.replace(Current { page: Arc::clone(&page), owner, next: 1 });
        // Unmapping need not hold others up.
        drop(current);
        drop(old);
        Ok(Self { page, at: 0 })
    }
}

impl Deref for OwnLocal {
    type Target = Local;

    fn deref(&self) -> &Local {
        // SAFETY: `at` is below `PLACES`, and the page is mapped until the drop; zeroed at first, which
        // is a valid `Local`.
        unsafe { self.page.0.add(self.at).as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn no_place_is_given_twice() {
        let mut kept: Vec<OwnLocal> = Vec::new();
        for number in 1..=3 * u32::try_from(PLACES).expect("few") {
            let local = OwnLocal::new().expect("a page");
            assert_eq!(local.reading.swap(number, Ordering::Relaxed), 0);
            if number % 2 == 0 {
                kept.push(local);
            }
        }
        let numbers = kept.iter().map(|local| local.reading.load(Ordering::Relaxed));
        assert!(numbers.eq((1..).map(|half| 2 * half).take(kept.len())));
    }
}
