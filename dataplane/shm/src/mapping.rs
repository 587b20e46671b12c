//! A mapping and its checked copies.

#![allow(unsafe_code)]

use alloc::sync::Arc;
use core::ffi::c_void;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use rustix::fd::{AsFd, BorrowedFd};

use rustix::mm::{MapFlags, ProtFlags};

use crate::copy;
#[cfg(feature = "std")]
use crate::fault;

/// Memory shared with another process. Clones refer to the same mapping; the last one unmaps.
#[derive(Clone)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
    owner: Arc<Owner>,
}

/// A range does not lie inside the mapping (or is not aligned as the access needs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{len} bytes at {offset} do not lie inside shared memory of {size} bytes, or are not aligned"
)]
pub struct OutOfBounds {
    /// Start of the range, in bytes.
    pub offset: usize,
    /// Its length in bytes.
    pub len: usize,
    /// Size of the mapping in bytes.
    pub size: usize,
}

// SAFETY: the mapping lives as long as `owner`, which is shared by counting; all access goes
// through raw copies and atomics that are valid from any thread.
unsafe impl Send for Mapping {}
// SAFETY: as for `Send`; methods hand out references to atomics only.
unsafe impl Sync for Mapping {}

/// Unmaps when the last [`Mapping`] is gone.
struct Owner {
    base: NonNull<c_void>,
    len: usize,
    lost: Arc<AtomicBool>,
    #[cfg(feature = "std")]
    guard: Option<fault::Guard>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mapped,
    #[cfg_attr(not(any(test, miri)), allow(dead_code))]
    Heap,
}

// SAFETY: `base` is only used to unmap, once, in `drop`.
unsafe impl Send for Owner {}
// SAFETY: as for `Send`.
unsafe impl Sync for Owner {}

impl Mapping {
    /// Maps the first `len` bytes of `fd`, shared, for reading and writing.
    ///
    /// The caller has judged `fd` (see [`crate::memfd`]); should its pages vanish all the same, an
    /// installed `fault` handler keeps the process alive and [`Mapping::is_lost`] turns true.
    ///
    /// # Errors
    /// What `mmap` answers, and `EINVAL` for a length of zero.
    pub fn map(fd: BorrowedFd<'_>, len: usize) -> rustix::io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a null hint lets the kernel choose a free range, so nothing else is replaced; the
        // result is owned by the `Owner` made below.
        let base = unsafe {
            rustix::mm::mmap(ptr::null_mut(), len, protection, MapFlags::SHARED, fd.as_fd(), 0)?
        };
        let base = NonNull::new(base).expect("mmap without MAP_FIXED never answers null");
        let lost = Arc::new(AtomicBool::new(false));
        #[cfg(feature = "std")]
        let guard = fault::Guard::register(base.as_ptr() as usize, len, Arc::clone(&lost));
        Ok(Self::own(Owner {
            base,
            len,
            lost,
            #[cfg(feature = "std")]
            guard,
            kind: Kind::Mapped,
        }))
    }

    /// Memory of this process alone, for tests and for Miri, which cannot map files.
    #[cfg(any(test, miri, feature = "heap"))]
    pub fn heap(len: usize) -> Self {
        let layout = heap_layout(len);
        // SAFETY: the layout has a size of at least 64 bytes.
        let base = unsafe { alloc::alloc::alloc_zeroed(layout) };
        let base = NonNull::new(base.cast()).expect("tests have memory");
        let lost = Arc::new(AtomicBool::new(false));
        Self::own(Owner {
            base,
            len,
            lost,
            #[cfg(feature = "std")]
            guard: None,
            kind: Kind::Heap,
        })
    }

    fn own(owner: Owner) -> Self {
        Self { base: owner.base.cast(), len: owner.len, owner: Arc::new(owner) }
    }

    /// Its size in bytes.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether pages were lost: the peer truncated the file or memory ran out. The content is
    /// then zeros that nobody else sees; the link that uses it is dead.
    #[inline]
    pub fn is_lost(&self) -> bool {
        self.owner.lost.load(Ordering::Relaxed)
    }

    /// Whether the `fault` handler, once installed, knows this mapping: its table has room for
    /// [`crate::fault::CAPACITY`] of them. One that it does not know must be sealed.
    #[cfg(feature = "std")]
    pub fn is_guarded(&self) -> bool {
        self.owner.guard.is_some()
    }

    /// Copies `out.len()` bytes from `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`]; `out` is then unchanged.
    #[inline]
    pub fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), OutOfBounds> {
        let src = self.range(offset, out.len())?;
        // SAFETY: `src` is readable for `out.len()` bytes as `range` checked, and `out` is private.
        unsafe { copy::copy(src, out.as_mut_ptr(), out.len()) };
        Ok(())
    }

    /// The `N` bytes at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    #[inline]
    pub fn read_array<const N: usize>(&self, offset: usize) -> Result<[u8; N], OutOfBounds> {
        let src = self.range(offset, N)?;
        // SAFETY: `src` is readable for `N` bytes as `range` checked; any bytes are valid.
        Ok(unsafe { src.cast::<[u8; N]>().read_unaligned() })
    }

    /// Copies `data` to `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`]; nothing is written then.
    #[inline]
    pub fn write(&self, offset: usize, data: &[u8]) -> Result<(), OutOfBounds> {
        let dst = self.range(offset, data.len())?;
        // SAFETY: `dst` is writable for `data.len()` bytes as `range` checked.
        unsafe { copy::copy(data.as_ptr(), dst, data.len()) };
        Ok(())
    }

    /// As [`write`](Self::write), but past the caches, for long pieces: no line is asked for from the processor
    /// that has it. It pays when that one is far away, and costs when it is near.
    ///
    /// # Errors
    /// [`OutOfBounds`]; nothing is written then.
    #[inline]
    pub fn write_streaming(&self, offset: usize, data: &[u8]) -> Result<(), OutOfBounds> {
        let dst = self.range(offset, data.len())?;
        // SAFETY: as in `write`; `data` is private memory, so the ranges do not overlap.
        unsafe { copy::copy_streaming(data.as_ptr(), dst, data.len()) };
        Ok(())
    }

    /// Copies `len` bytes from `offset` straight into another mapping.
    ///
    /// # Errors
    /// [`OutOfBounds`] for the range that does not fit; nothing is written then.
    #[inline]
    pub fn copy_to(
        &self,
        offset: usize,
        target: &Self,
        target_offset: usize,
        len: usize,
    ) -> Result<(), OutOfBounds> {
        let src = self.range(offset, len)?;
        let dst = target.range(target_offset, len)?;
        // SAFETY: both ranges were checked; `copy` allows them to overlap.
        unsafe { copy::copy(src, dst, len) };
        Ok(())
    }

    /// The 32-bit word at `offset`. An atomic is the one thing that may be lent out: it makes no
    /// claim about what the other process does with the word.
    ///
    /// # Errors
    /// [`OutOfBounds`] when it is not inside the mapping or not aligned.
    #[inline]
    pub fn word32(&self, offset: usize) -> Result<&AtomicU32, OutOfBounds> {
        let word = place::<u32>(self, offset, size_of::<u32>())?;
        // SAFETY: `place` checked bounds and alignment; the borrow of `self` keeps the memory mapped,
        // and nothing in this process accesses it otherwise than atomically.
        Ok(unsafe { AtomicU32::from_ptr(word.as_ptr()) })
    }

    /// The 64-bit word at `offset`.
    ///
    /// # Errors
    /// As [`Mapping::word32`].
    #[inline]
    pub fn word64(&self, offset: usize) -> Result<&AtomicU64, OutOfBounds> {
        let word = place::<u64>(self, offset, size_of::<u64>())?;
        // SAFETY: as in `word32`.
        Ok(unsafe { AtomicU64::from_ptr(word.as_ptr()) })
    }

    /// The bytes at `offset`, for a foreign function that copies them there or from there.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    #[inline]
    pub fn bytes(&self, offset: usize, len: usize) -> Result<&[AtomicU8], OutOfBounds> {
        let bytes = self.range(offset, len)?;
        // SAFETY: `range` checked that so many bytes are there; any alignment is right for them, and atomics
        // allow that they change. The borrow of `self` keeps the memory mapped.
        Ok(unsafe { core::slice::from_raw_parts(bytes.cast::<AtomicU8>(), len) })
    }

    /// Lets the kernel copy up to `len` bytes at `position` of a file straight to `offset`; returns how
    /// many came, zero at the end of the file.
    ///
    /// # Errors
    /// What `pread` answers, and `EFAULT` for a range outside the mapping.
    pub fn fill_from(
        &self,
        offset: usize,
        len: usize,
        file: BorrowedFd<'_>,
        position: u64,
    ) -> rustix::io::Result<usize> {
        let target = self.range(offset, len).map_err(|_| rustix::io::Errno::FAULT)?;
        // SAFETY: `range` checked that `target` is writable for `len` bytes. The slice of
        // `MaybeUninit` is handed to the kernel only, nobody in this process reads through it.
        let target =
            unsafe { core::slice::from_raw_parts_mut(target.cast::<MaybeUninit<u8>>(), len) };
        rustix::io::pread(file, target, position).map(|(filled, _)| filled.len())
    }

    /// Asks the processor to fetch the cache line at `offset`; out of range it does nothing.
    #[inline]
    pub fn prefetch(&self, offset: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if offset < self.len {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: the address is inside the mapping; a prefetch never faults anyway.
            unsafe { _mm_prefetch(self.base.as_ptr().add(offset).cast::<i8>(), _MM_HINT_T0) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = offset;
    }

    /// As [`prefetch`](Self::prefetch), for writing.
    #[inline]
    pub fn prefetch_write(&self, offset: usize) {
        if offset < self.len {
            copy::prefetch_write(self.base.as_ptr().wrapping_add(offset).cast_const().cast());
        }
    }

    /// Makes every page present, so that running out of memory shows here and not later.
    ///
    /// # Errors
    /// What `madvise` answers; `EINVAL` on kernels before 5.14.
    pub fn populate(&self) -> rustix::io::Result<()> {
        if self.owner.kind == Kind::Heap {
            return Ok(());
        }
        // SAFETY: the range is exactly this mapping; populating changes no content.
        unsafe {
            rustix::mm::madvise(
                self.owner.base.as_ptr(),
                self.len,
                rustix::mm::Advice::LinuxPopulateWrite,
            )
        }
    }

    /// The address of a range that lies inside the mapping.
    #[inline]
    pub(crate) fn range(&self, offset: usize, len: usize) -> Result<*mut u8, OutOfBounds> {
        match offset.checked_add(len) {
            // SAFETY: `offset <= end <= self.len`, inside the mapping or one past its end.
            Some(end) if end <= self.len => Ok(unsafe { self.base.as_ptr().add(offset) }),
            _ => Err(OutOfBounds { offset, len, size: self.len }),
        }
    }
}

/// The address of `len` bytes at `offset`, aligned for `T`.
pub(crate) fn place<T>(
    mapping: &Mapping,
    offset: usize,
    len: usize,
) -> Result<NonNull<T>, OutOfBounds> {
    let address = mapping.range(offset, len)?.cast::<T>();
    match NonNull::new(address) {
        Some(address) if address.is_aligned() && len > 0 => Ok(address),
        _ => Err(OutOfBounds { offset, len, size: mapping.len() }),
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("len", &self.len)
            .field("lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // The handler must not touch the range once it may belong to somebody else.
        #[cfg(feature = "std")]
        drop(self.guard.take());
        match self.kind {
            // SAFETY: this is the range that `map` got from mmap, and the last user of it.
            Kind::Mapped => unsafe {
                let _ = rustix::mm::munmap(self.base.as_ptr(), self.len);
            },
            // SAFETY: allocated in `heap` with the same layout.
            #[cfg(any(test, miri, feature = "heap"))]
            Kind::Heap => unsafe {
                alloc::alloc::dealloc(self.base.as_ptr().cast(), heap_layout(self.len));
            },
            #[cfg(not(any(test, miri, feature = "heap")))]
            Kind::Heap => unreachable!("heap mappings exist in tests only"),
        }
    }
}

#[cfg(any(test, miri, feature = "heap"))]
fn heap_layout(len: usize) -> core::alloc::Layout {
    core::alloc::Layout::from_size_align(len.max(64), 4096).expect("a sane size")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_lent_within_the_mapping_alone_and_are_its_own() {
        let mapping = Mapping::heap(64);
        let lent = mapping.bytes(61, 3).unwrap();
        lent[0].store(7, Ordering::Relaxed);
        assert_eq!(mapping.read_array::<3>(61), Ok([7, 0, 0]));
        mapping.write(63, &[9]).unwrap();
        assert_eq!(lent[2].load(Ordering::Relaxed), 9);
        assert_eq!(mapping.bytes(64, 0).map(<[AtomicU8]>::len), Ok(0));
        for (offset, len) in [(62, 3), (65, 0), (1, usize::MAX)] {
            assert!(mapping.bytes(offset, len).is_err(), "{len} bytes at {offset}");
        }
    }

    #[test]
    fn copies_reach_exactly_the_mapping() {
        let mapping = Mapping::heap(4096);
        mapping.write(4090, b"sealed").expect("fits");
        assert_eq!(mapping.read_array::<6>(4090).expect("fits"), *b"sealed");
        assert!(mapping.write(4091, b"sealed").is_err());
        assert!(mapping.read_array::<8>(usize::MAX - 3).is_err());
        assert!(mapping.read(4097, &mut []).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 8 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_copy_moves_the_bytes_or_nothing(
            from in 0usize..600, to in 0usize..600, len in 0usize..600
        ) {
            let source = Mapping::heap(512);
            let target = Mapping::heap(512);
            let bytes: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
            source.write(0, &bytes).expect("fits");
            let fits = from + len <= 512 && to + len <= 512;
            prop_assert_eq!(source.copy_to(from, &target, to, len).is_ok(), fits);
            let mut seen = vec![0; 512];
            target.read(0, &mut seen).expect("fits");
            if fits {
                prop_assert_eq!(&seen[to..to + len], &bytes[from..from + len]);
                prop_assert!(seen[..to].iter().chain(&seen[to + len..]).all(|&byte| byte == 0));
            } else {
                prop_assert!(seen.iter().all(|&byte| byte == 0));
            }
        }
    }
}
