//! The memory of sessions, and how to tell that nobody has it any more.
//!
//! The programs get an open file description of the memory, locked with `flock`; the broker keeps
//! another one, for reading. The lock lives as long as the programs' descriptions do: in a
//! descriptor, in a mapping, or in a message that nobody received yet. So the broker sees
//! exactly when a memory is deserted by trying to lock its own description, and takes nothing away from
//! anybody by trying. A program can give the lock back itself; then the broker forgets sessions that
//! still work, and may put new ones of the same two programs in their place.
//!
//! A memory that several sessions share is deserted when all of them are over. One that is over before the
//! others is known by what its two sides say, which is believed after a while only: a process that was
//! given its descriptor may still ask for it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags, flock, openat};

use crate::layout::{Glance, HEADER_BYTES, Place, RingSize, fresh, glance};

/// How long the two sides must have said that they left.
const BELIEVED_AFTER: Duration = Duration::from_mins(1);

/// Makes memory.
#[derive(Debug)]
pub(super) struct Maker {
    /// `/proc/self/fd`.
    descriptors: OwnedFd,
    /// Names count from a random number, so that those of another agent are others.
    last_name: u64,
}

/// What the broker keeps of a memory.
#[derive(Debug)]
pub(super) struct Memory {
    file: OwnedFd,
    name: u64,
    ring_size: RingSize,
    places: u16,
    /// Counts how often it was deserted and used anew.
    turn: AtomicU32,
}

/// What the broker keeps of a session's place in its memory.
#[derive(Debug)]
pub(super) struct Kept {
    memory: Arc<Memory>,
    pub(super) place: Place,
    turn: u32,
    /// Since when both sides say that they left.
    left: Mutex<Option<Instant>>,
}

impl Maker {
    pub(super) fn new() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptors = rustix::fs::open("/proc/self/fd", flags, Mode::empty())?;
        Ok(Self { descriptors, last_name: RandomState::new().hash_one(0) })
    }

    /// New memory for so many sessions: what to keep, and what to give to the programs.
    pub(super) fn make(
        &mut self,
        ring_size: RingSize,
        places: u16,
    ) -> rustix::io::Result<(Arc<Memory>, OwnedFd)> {
        let bytes = ring_size.memory_bytes() as u64 * u64::from(places);
        let lent = shm::memfd::create_sealed("dockervpp-session", bytes)?;
        let file = self.open_again(lent.as_fd(), OFlags::RDONLY)?;
        flock(&lent, FlockOperation::NonBlockingLockShared)?;
        self.last_name = self.last_name.wrapping_add(1);
        let name = self.last_name;
        Ok((Arc::new(Memory { file, name, ring_size, places, turn: AtomicU32::new(0) }), lent))
    }

    /// A memory once more, for a program that does not have it.
    pub(super) fn lend_again(&self, memory: &Memory) -> rustix::io::Result<OwnedFd> {
        let lent = self.open_again(memory.file.as_fd(), OFlags::RDWR)?;
        flock(&lent, FlockOperation::NonBlockingLockShared)?;
        Ok(lent)
    }

    /// A memory that is deserted and will not be used anew; to be emptied. `None` when no descriptor is left for that.
    pub(super) fn give_up(&self, memory: &Memory) -> Option<Deserted> {
        let file = self.open_again(memory.file.as_fd(), OFlags::RDWR).ok()?;
        let bytes = memory.ring_size.memory_bytes() as u64 * u64::from(memory.places);
        Some(Deserted { file, bytes })
    }

    /// Another open file description of the same file.
    fn open_again(&self, file: BorrowedFd<'_>, access: OFlags) -> rustix::io::Result<OwnedFd> {
        let mut name = String::with_capacity(12);
        // Writing to a string cannot fail.
        let _ = write!(name, "{}", file.as_raw_fd());
        openat(&self.descriptors, name, access | OFlags::CLOEXEC, Mode::empty())
    }
}

/// A memory that is not used any more. Programs may have it mapped without sessions there.
#[derive(Debug)]
pub(super) struct Deserted {
    file: OwnedFd,
    bytes: u64,
}

impl Deserted {
    #[cfg(test)]
    pub(super) const fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Frees its pages.
    pub(super) fn empty(self) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if let Err(error) = rustix::fs::fallocate(&self.file, flags, 0, self.bytes) {
            // It is freed when the last program forgets it.
            tracing::debug!(%error, "the memory of past sessions cannot be emptied");
        }
    }
}

impl Memory {
    /// How many sessions it has room for.
    pub(super) const fn places(&self) -> u16 {
        self.places
    }

    /// The rings that its sessions have.
    pub(super) const fn ring_size(&self) -> RingSize {
        self.ring_size
    }

    /// Whether no program has it any more, or will get it.
    pub(super) fn is_deserted(&self) -> bool {
        let deserted = flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if deserted {
            // Cannot fail for a lock that is there; it must not be in the way of a later one.
            let _ = flock(&self.file, FlockOperation::NonBlockingUnlock);
        }
        deserted
    }

    /// It is deserted and will have new sessions: those that it had are over.
    pub(super) fn begin_anew(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Prepares a place for a new session.
    pub(super) fn prepare(
        self: &Arc<Self>,
        lent: BorrowedFd<'_>,
        index: u16,
    ) -> rustix::io::Result<Kept> {
        let place =
            Place::new(self.ring_size, index, self.places).ok_or(rustix::io::Errno::INVAL)?;
        rustix::io::pwrite(lent, &fresh(self.ring_size), place.offset() as u64)?;
        let turn = self.turn.load(Ordering::Relaxed);
        Ok(Kept { memory: Arc::clone(self), place, turn, left: Mutex::new(None) })
    }
}

/// What a look at many sessions saw of their memories: those that share one need not lock it each. Good for as long
/// as no session is made.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<u64, bool>);

impl Seen {
    fn is_deserted(&mut self, memory: &Memory) -> bool {
        *self.0.entry(memory.name).or_insert_with(|| memory.is_deserted())
    }
}

impl Kept {
    /// The memory that the session is in.
    pub(super) const fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The name of that memory.
    pub(super) fn name(&self) -> u64 {
        self.memory.name
    }

    /// Whether no program has the session any more, or will get it. In a hurry what its sides say is
    /// believed at once.
    pub(super) fn is_over(&self, hurry: bool, seen: &mut Seen) -> bool {
        let used_anew = self.memory.turn.load(Ordering::Relaxed) != self.turn;
        if used_anew || seen.is_deserted(&self.memory) {
            return true;
        }
        if self.memory.places == 1 {
            return false;
        }
        let said = self.glance().is_some_and(|both| both.iter().all(|direction| direction.left));
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = if said { left.or_else(|| Some(Instant::now())) } else { None };
        left.is_some_and(|since| hurry || since.elapsed() >= BELIEVED_AFTER)
    }

    /// What the two sides say of their directions.
    pub(super) fn glance(&self) -> Option<[Glance; 2]> {
        let mut header = [0; HEADER_BYTES];
        let offset = self.place.offset() as u64;
        let len = rustix::io::pread(&self.memory.file, &mut header, offset).ok()?;
        if len < HEADER_BYTES { None } else { glance(&header) }
    }
}
