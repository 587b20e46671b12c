//! Descriptors of this library's own. They live among those of the program, which must not be able to
//! close or replace them by accident: programs close all descriptors that they do not know.

#![allow(unsafe_code)]

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use rustix::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use rustix::io::Errno;

use crate::raw::borrow;

/// Own descriptors get numbers from here on, out of the way of programs that count on small ones.
pub(crate) const OWN_DESCRIPTORS_FROM: c_int = 200;

/// Numbers beyond are not protected; no program reaches them by accident.
const NUMBERS: usize = 1 << 16;

static HIDDEN: [AtomicU64; NUMBERS / 64] = [const { AtomicU64::new(0) }; NUMBERS / 64];

fn place(fd: c_int) -> Option<(&'static AtomicU64, u64)> {
    let fd = usize::try_from(fd).ok()?;
    Some((HIDDEN.get(fd / 64)?, 1 << (fd % 64)))
}

/// Whether a number is one of this library's own.
#[inline]
pub(crate) fn is(fd: c_int) -> bool {
    place(fd).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
}

/// The first own number from `first` to `last`.
pub(crate) fn next(first: c_int, last: c_int) -> Option<c_int> {
    let last = last.min(c_int::try_from(NUMBERS - 1).unwrap_or(c_int::MAX));
    let mut fd = first.max(0);
    while fd <= last {
        let (word, _) = place(fd)?;
        let rest = word.load(Ordering::Relaxed) >> (fd % 64);
        if rest != 0 {
            let found = fd + c_int::try_from(rest.trailing_zeros()).unwrap_or(0);
            return (found <= last).then_some(found);
        }
        fd = (fd / 64 + 1) * 64;
    }
    None
}

/// A descriptor of this library's own, closed when dropped.
pub(crate) struct Hidden(AtomicI32);

impl Hidden {
    /// A duplicate of `fd` that the program does not know of and that ends with `exec`.
    pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let fd = rustix::io::fcntl_dupfd_cloexec(fd, OWN_DESCRIPTORS_FROM)?.into_raw_fd();
        if let Some((word, bit)) = place(fd) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(Self(AtomicI32::new(fd)))
    }

    pub(crate) fn number(&self) -> c_int {
        self.0.load(Ordering::Acquire)
    }

    /// Gets another number, because the program is about to use this one.
    pub(crate) fn move_away(&self) -> Result<(), Errno> {
        let other = Self::duplicate(borrow(self.number()))?;
        let old = self.0.swap(other.number(), Ordering::AcqRel);
        core::mem::forget(other);
        close(old);
        Ok(())
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        close(self.number());
    }
}

fn close(fd: c_int) {
    if let Some((word, bit)) = place(fd) {
        word.fetch_and(!bit, Ordering::Relaxed);
    }
    // SAFETY: the number is this library's own, and this is its end.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

#[cfg(test)]
mod tests {
    use rustix::fd::AsFd;
    use rustix::fs::{Mode, OFlags};

    use super::*;

    #[test]
    fn a_hidden_descriptor_is_found_moves_and_is_forgotten() {
        let file =
            rustix::fs::open(c"/dev/null", OFlags::RDONLY, Mode::empty()).expect("it is there");
        let hidden = Hidden::duplicate(file.as_fd()).expect("a number is free");
        let first = hidden.number();
        assert!(first >= OWN_DESCRIPTORS_FROM && is(first));
        assert_eq!(next(first, c_int::MAX), Some(first));
        hidden.move_away().expect("another number is free");
        let second = hidden.number();
        assert!(second != first && is(second) && !is(first));
        assert!(rustix::io::fcntl_getfd(borrow(second)).is_ok());
        drop(hidden);
        assert!(!is(second));
        assert_eq!(next(second, second), None);
    }
}
