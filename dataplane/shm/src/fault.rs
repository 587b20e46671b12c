//! Surviving `SIGBUS`.
//!
//! Touching a page that cannot be provided (the peer truncated an unsealed file, memory of a sparse
//! file ran out, a huge page is missing) raises `SIGBUS`. The handler of this module looks the
//! address up among the registered mappings, puts private zero pages over the whole mapping, marks
//! it as lost and lets the access go on; the link that used it is closed at its next poll. Any other
//! `SIGBUS` takes its former course.
//!
//! A handler can only reach static data, so the table of mappings is a static array of atomics:
//! the one global of the workspace.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Once};

/// Mappings that can be registered at one time; further ones work, but are not protected.
pub const CAPACITY: usize = 4096;

struct Slot {
    start: AtomicUsize,
    len: AtomicUsize,
    lost: AtomicPtr<AtomicBool>,
}

static TABLE: [Slot; CAPACITY] = [const {
    Slot {
        start: AtomicUsize::new(FREE),
        len: AtomicUsize::new(0),
        lost: AtomicPtr::new(ptr::null_mut()),
    }
}; CAPACITY];

/// One past the highest slot ever used: the handler looks no further.
static USED: AtomicUsize = AtomicUsize::new(0);

static FORMER: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

const FREE: usize = 0;
const CLAIMED: usize = 1;

/// Installs the handler, once in the life of the process; later calls do nothing. For programs that
/// map memory of peers; never for a library inside somebody else's program.
///
/// # Errors
/// What `sigaction` answers.
pub fn install() -> io::Result<()> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| result = install_handler());
    result
}

fn install_handler() -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid value: no flags, an empty mask, the default action.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handle as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    let former = Box::leak(Box::new(action));
    let former_ptr: *mut libc::sigaction = former;
    // SAFETY: both pointers are valid; `handle` uses nothing that is unsafe in a signal handler:
    // atomics, mmap, sigaction and raise.
    let answer = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, former_ptr) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    FORMER.store(former_ptr, Ordering::Release);
    Ok(())
}

/// Keeps a mapping registered.
#[derive(Debug)]
pub(crate) struct Guard {
    slot: usize,
    // Kept so that the handler's pointer stays valid as long as the slot is taken.
    _lost: Arc<AtomicBool>,
}

impl Guard {
    /// Registers `len` bytes at `start`; `None` when the table is full.
    pub(crate) fn register(start: usize, len: usize, lost: Arc<AtomicBool>) -> Option<Self> {
        let slot = TABLE.iter().position(|slot| {
            slot.start.compare_exchange(FREE, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })?;
        TABLE[slot].len.store(len, Ordering::Relaxed);
        TABLE[slot].lost.store(Arc::as_ptr(&lost).cast_mut(), Ordering::Relaxed);
        TABLE[slot].start.store(start, Ordering::Release);
        USED.fetch_max(slot + 1, Ordering::AcqRel);
        Some(Self { slot, _lost: lost })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The owner unmaps after this and no queue can touch the memory any more, so no handler
        // can be looking at this slot for an address of this mapping.
        TABLE[self.slot].lost.store(ptr::null_mut(), Ordering::Relaxed);
        TABLE[self.slot].len.store(0, Ordering::Relaxed);
        TABLE[self.slot].start.store(FREE, Ordering::Release);
    }
}

extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler installed with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    if !replace_pages(address) {
        forward(signal, info, context);
    }
}

/// Puts zero pages over the registered mapping that holds `address`; `false` when there is none.
fn replace_pages(address: usize) -> bool {
    let used = USED.load(Ordering::Acquire).min(CAPACITY);
    for slot in &TABLE[..used] {
        let start = slot.start.load(Ordering::Acquire);
        let len = slot.len.load(Ordering::Relaxed);
        if start <= CLAIMED || address < start || address - start >= len {
            continue;
        }
        let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the range is exactly a mapping that is registered, hence still owned and about
        // to be touched again by the interrupted thread; replacing its pages keeps it valid.
        let answer = unsafe { libc::mmap(start as *mut c_void, len, protection, flags, -1, 0) };
        if answer == libc::MAP_FAILED {
            return false;
        }
        let lost = slot.lost.load(Ordering::Relaxed);
        if !lost.is_null() {
            // SAFETY: the guard of this slot holds the flag alive as long as the slot is taken.
            unsafe { (*lost).store(true, Ordering::Relaxed) };
        }
        return true;
    }
    false
}

/// Gives a signal that is not ours to the handler that was there before, or its default: death.
fn forward(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let former = FORMER.load(Ordering::Acquire);
    // SAFETY: `former` is null or the leaked action that `install_handler` filled; its handler has
    // the type that its flags say.
    unsafe {
        let action = if former.is_null() { libc::SIG_DFL } else { (*former).sa_sigaction };
        if action == libc::SIG_DFL || action == libc::SIG_IGN {
            libc::signal(signal, libc::SIG_DFL);
        } else if (*former).sa_flags & libc::SA_SIGINFO != 0 {
            type Action = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
            std::mem::transmute::<usize, Action>(action)(signal, info, context);
        } else {
            std::mem::transmute::<usize, extern "C" fn(c_int)>(action)(signal);
        }
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use crate::Mapping;
    use rustix::fs::MemfdFlags;
    use std::os::fd::AsFd;

    #[test]
    fn a_truncated_mapping_reads_zeros_and_is_marked_lost() {
        super::install().expect("sigaction");
        let fd = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).expect("memfd");
        rustix::fs::ftruncate(&fd, 8192).expect("truncate");
        let mapping = Mapping::map(fd.as_fd(), 8192).expect("map");
        mapping.write(5000, b"here").expect("fits");
        assert!(!mapping.is_lost());
        rustix::fs::ftruncate(&fd, 0).expect("truncate");
        assert_eq!(mapping.read_array::<4>(5000).expect("fits"), [0; 4]);
        assert!(mapping.is_lost());
        mapping.write(0, b"still writable").expect("fits");
    }
}
