//! The memories that this process has mapped. Sessions to the same listener share one, which is mapped
//! once and unmapped when the last of its sessions is gone: until then the broker uses no place anew.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use session::layout::Place;
use shm::Mapping;

use crate::sync::SpinLock;

static KNOWN: SpinLock<Vec<(u64, Weak<Mapping>)>> = SpinLock::new(Vec::new());

/// The memory with this name, which `descriptor` is too: mapped, if this process does not have it.
pub(crate) fn open(name: u64, descriptor: &OwnedFd, place: Place) -> Result<Arc<Mapping>, Errno> {
    if let Some(mapping) = known(name) {
        return Ok(mapping);
    }
    let bytes = place.memory_bytes();
    let size = rustix::fs::fstat(descriptor)?.st_size;
    if usize::try_from(size).is_ok_and(|size| size < bytes) {
        return Err(Errno::PROTO);
    }
    let mapping = Arc::new(Mapping::map(descriptor.as_fd(), bytes)?);
    let mut known = KNOWN.lock();
    known.retain(|(_, it)| it.strong_count() > 0);
    known.push((name, Arc::downgrade(&mapping)));
    Ok(mapping)
}

fn known(name: u64) -> Option<Arc<Mapping>> {
    let known = KNOWN.lock();
    // The newest are asked for most.
    known.iter().rev().find(|(it, _)| *it == name).and_then(|(_, mapping)| mapping.upgrade())
}
