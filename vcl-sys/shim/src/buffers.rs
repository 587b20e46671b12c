//! Memory of the program that a call reads or fills.

#![allow(unsafe_code)]

use core::slice;

/// Buffers that the program handed to a call, in order.
pub(crate) struct Buffers<'a> {
    parts: &'a [libc::iovec],
    len: usize,
}

impl<'a> Buffers<'a> {
    /// # Safety
    /// Each part is the program's memory, valid for what the call does with it (reading for `gather`,
    /// writing for `scatter`), as the standard demands of its caller. Memory that is not there ends
    /// in `SIGSEGV` where the kernel would answer `EFAULT`.
    pub(crate) unsafe fn new(parts: &'a [libc::iovec]) -> Self {
        let len = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.iov_len));
        Self { parts, len }
    }

    /// # Safety
    /// `parts` points to `count` parts as for [`Buffers::new`]; a count that is negative or too large
    /// gives `None`.
    pub(crate) unsafe fn from_raw(parts: *const libc::iovec, count: usize) -> Option<Self> {
        if count > libc::UIO_MAXIOV as usize || (parts.is_null() && count > 0) {
            return None;
        }
        let parts = match count {
            0 => &[],
            // SAFETY: the caller's promise.
            count => unsafe { slice::from_raw_parts(parts, count) },
        };
        // SAFETY: the caller's promise.
        Some(unsafe { Self::new(parts) })
    }

    /// Bytes of all buffers.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Offers the buffers to `fill`, from byte `skip` on, until one is not filled; returns the bytes
    /// filled.
    pub(crate) fn scatter<E>(
        &self,
        skip: usize,
        mut fill: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.each(skip, |start, len| {
            // SAFETY: `new`'s promise: writable memory of the program. It may be uninitialised for
            // Rust, and `fill` only writes to it.
            fill(unsafe { slice::from_raw_parts_mut(start, len) })
        })
    }

    /// Offers the buffers to `drain`, from byte `skip` on, until one is not used up; returns the
    /// bytes used.
    pub(crate) fn gather<E>(
        &self,
        skip: usize,
        mut drain: impl FnMut(&[u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.each(skip, |start, len| {
            // SAFETY: `new`'s promise: readable memory of the program.
            drain(unsafe { slice::from_raw_parts(start, len) })
        })
    }

    fn each<E>(
        &self,
        skip: usize,
        mut job: impl FnMut(*mut u8, usize) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let mut skip = skip;
        let mut total = 0;
        for part in self.parts {
            if skip >= part.iov_len {
                skip -= part.iov_len;
                continue;
            }
            let len = part.iov_len - skip;
            // SAFETY: `skip` is inside the part.
            let start = unsafe { part.iov_base.cast::<u8>().add(skip) };
            skip = 0;
            let moved = job(start, len)?;
            total += moved;
            if moved < len {
                break;
            }
        }
        Ok(total)
    }
}
