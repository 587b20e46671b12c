//! The memories that this process has mapped. Sessions to the same listener share one.
//!
//! The broker uses a memory anew when nobody has the file description any more that it gave to programs, which it has
//! locked: no descriptor, no mapping, no message. So a process keeps a mapping of that one for as long as it has a session
//! there. It is a page that is never looked at. What is looked at is mapped through another description of the same
//! file, without a lock, and stays for the next sessions there: to map and unmap it, and to fault its pages in again for
//! each session, was a sixth of what a server does for a short one.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ffi::CStr;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::path::DecInt;
use session::layout::Place;
use shm::Mapping;
use smallvec::SmallVec;

use crate::sync::SpinLock;

/// Memories that stay mapped without sessions, at most. What the broker does not use anew it empties.
const MOST: usize = 16;

/// A memory in which this process has sessions.
pub(crate) struct Memory {
    mapping: Arc<Mapping>,
    /// Tells the broker so, unless the other one does.
    lock_page: Option<Mapping>,
}

impl Memory {
    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }
}

struct Known {
    name: u64,
    held: Weak<Memory>,
    /// What stays without sessions.
    stays: Option<Arc<Mapping>>,
}

/// The one that was opened last is last.
static KNOWN: SpinLock<Vec<Known>> = SpinLock::new(Vec::new());

/// The memory with this name, which `descriptor` is too: mapped, if this process does not have it.
pub(crate) fn open(name: u64, descriptor: &OwnedFd, place: Place) -> Result<Arc<Memory>, Errno> {
    let stays = {
        let known = KNOWN.lock();
        let found = known.iter().rev().find(|it| it.name == name);
        if let Some(memory) = found.and_then(|it| it.held.upgrade()) {
            return Ok(memory);
        }
        found.and_then(|it| it.stays.clone())
    };
    let memory = match stays {
        Some(mapping) => Memory { mapping, lock_page: Some(lock(descriptor)?) },
        None => map(descriptor, place)?,
    };
    let memory = Arc::new(memory);
    // Unmapping need not hold others up.
    let rest = remember(&mut KNOWN.lock(), name, &memory);
    drop(rest);
    Ok(memory)
}

/// Notes a memory that was opened; answers what stays no more.
fn remember(known: &mut Vec<Known>, name: u64, memory: &Arc<Memory>) -> Vec<Known> {
    let stays = memory.lock_page.is_some().then(|| Arc::clone(&memory.mapping));
    let mut rest = Vec::new();
    let mut at = 0;
    while let Some(it) = known.get(at) {
        if it.name == name || it.is_forgotten() {
            rest.push(known.remove(at));
        } else {
            at += 1;
        }
    }
    known.push(Known { name, held: Arc::downgrade(memory), stays });
    let unused = known.iter().filter(|it| it.held.strong_count() == 0).count();
    if unused > MOST
        && let Some(oldest) = known.iter().position(|it| it.held.strong_count() == 0)
    {
        rest.push(known.remove(oldest));
    }
    rest
}

impl Known {
    fn is_forgotten(&self) -> bool {
        self.stays.is_none() && self.held.strong_count() == 0
    }
}

fn lock(descriptor: &OwnedFd) -> Result<Mapping, Errno> {
    const PAGE: usize = 4096;
    Mapping::map(descriptor.as_fd(), PAGE)
}

fn map(descriptor: &OwnedFd, place: Place) -> Result<Memory, Errno> {
    let bytes = place.memory_bytes();
    let told = rustix::fs::fstat(descriptor)?;
    if usize::try_from(told.st_size).is_ok_and(|size| size < bytes) {
        return Err(Errno::PROTO);
    }
    // A memory that is for one session alone is never used anew.
    let other = if place.count() > 1 { another_description(descriptor, &told) } else { None };
    let Some(other) = other else {
        let mapping = Arc::new(Mapping::map(descriptor.as_fd(), bytes)?);
        return Ok(Memory { mapping, lock_page: None });
    };
    let mapping = Arc::new(Mapping::map(other.as_fd(), bytes)?);
    Ok(Memory { mapping, lock_page: Some(lock(descriptor)?) })
}

/// Another open file description of the file, which has no lock. `None` where there is no `/proc`, or another one.
fn another_description(descriptor: &OwnedFd, told: &Stat) -> Option<OwnedFd> {
    const PATH: &[u8] = b"/proc/self/fd/";
    let number = DecInt::from_fd(descriptor);
    let mut path = SmallVec::<[u8; 64]>::from_slice(PATH);
    path.extend_from_slice(number.as_bytes_with_nul());
    let path = CStr::from_bytes_with_nul(&path).ok()?;
    let other = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let is = rustix::fs::fstat(&other).ok()?;
    ((is.st_dev, is.st_ino) == (told.st_dev, told.st_ino)).then_some(other)
}

#[cfg(test)]
mod tests {
    use rustix::fs::{FlockOperation, flock};
    use session::layout::RingSize;

    use super::*;

    /// A memory as the broker makes it: what it gives away, and what it keeps.
    fn made() -> (OwnedFd, OwnedFd) {
        let bytes = RingSize::DEFAULT.memory_bytes() as u64 * 2;
        let lent = shm::memfd::create_sealed("test", bytes).unwrap();
        let told = rustix::fs::fstat(&lent).unwrap();
        let kept = another_description(&lent, &told).unwrap();
        flock(&lent, FlockOperation::NonBlockingLockShared).unwrap();
        (lent, kept)
    }

    fn is_deserted(kept: &OwnedFd) -> bool {
        flock(kept, FlockOperation::NonBlockingLockExclusive).is_ok()
            && flock(kept, FlockOperation::NonBlockingUnlock).is_ok()
    }

    #[test]
    fn what_stays_mapped_keeps_no_memory_from_being_used_anew() {
        let place = |index, count| Place::new(RingSize::DEFAULT, index, count).unwrap();
        let (lent, kept) = made();
        let first = open(1, &lent, place(0, 2)).unwrap();
        let second = open(1, &lent, place(1, 2)).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        let told = rustix::fs::fstat(&kept).unwrap();
        drop((lent, first));
        assert!(!is_deserted(&kept));
        let before = Arc::downgrade(&second.mapping);
        drop(second);
        assert!(is_deserted(&kept));
        // Used anew.
        let lent = another_description(&kept, &told).unwrap();
        flock(&lent, FlockOperation::NonBlockingLockShared).unwrap();
        let third = open(1, &lent, place(0, 2)).unwrap();
        assert!(before.upgrade().is_some_and(|it| Arc::ptr_eq(&it, &third.mapping)));
        drop(lent);
        assert!(!is_deserted(&kept));
        drop(third);
        assert!(is_deserted(&kept));
        // Many others, one after the other.
        for name in 2..=MOST as u64 + 1 {
            let (lent, kept) = made();
            drop(open(name, &lent, place(0, 2)).unwrap());
            drop(lent);
            assert!(is_deserted(&kept));
        }
        assert!(before.upgrade().is_some());
        drop(open(100, &made().0, place(0, 2)).unwrap());
        assert!(before.upgrade().is_none(), "the oldest gave way");
        assert!(KNOWN.lock().len() <= MOST + 1);
    }

    #[test]
    fn a_memory_for_one_session_is_mapped_once() {
        let (lent, kept) = made();
        let only = open(1, &lent, Place::from(RingSize::DEFAULT)).unwrap();
        drop(lent);
        assert!(!is_deserted(&kept));
        drop(only);
        assert!(is_deserted(&kept));
    }
}
