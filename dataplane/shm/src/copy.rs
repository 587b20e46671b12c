//! Copy loops for frames: straight-line moves for the sizes that dominate, `memmove` for the rest.

#![allow(unsafe_code)]

use core::ptr;

/// Asks the processor to fetch a cache line for writing; harmless for any address.
#[inline]
pub(crate) fn prefetch_write(address: *const i8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use core::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: a prefetch reads and writes nothing and never faults.
        unsafe { _mm_prefetch(address, _MM_HINT_ET0) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

type Chunk = [u8; 16];

/// Copies `len` bytes; the ranges may overlap, in which case bytes beyond the first 16 may come
/// from either the old or the new content (only a hostile peer arranges that).
///
/// # Safety
/// `src` is readable and `dst` writable for `len` bytes, both for the whole call, and no Rust
/// reference covers the shared one of the two.
#[inline]
pub(crate) unsafe fn copy(src: *const u8, dst: *mut u8, len: usize) {
    if len > 128 {
        // SAFETY: the caller's ranges; `ptr::copy` allows them to overlap.
        unsafe { ptr::copy(src, dst, len) };
    } else if len > 64 {
        // SAFETY: the caller's ranges, 65 to 128 bytes.
        unsafe { copy_chunks::<4>(src, dst, len) };
    } else if len > 32 {
        // SAFETY: the caller's ranges, 33 to 64 bytes.
        unsafe { copy_chunks::<2>(src, dst, len) };
    } else if len >= 16 {
        // SAFETY: the caller's ranges, 16 to 32 bytes.
        unsafe { copy_chunks::<1>(src, dst, len) };
    } else if len >= 8 {
        // SAFETY: both 8-byte accesses are inside `len` bytes, which is 8 to 15.
        unsafe { copy_ends::<8>(src, dst, len) };
    } else if len >= 4 {
        // SAFETY: both 4-byte accesses are inside `len` bytes, which is 4 to 7.
        unsafe { copy_ends::<4>(src, dst, len) };
    } else {
        for i in 0..len {
            // SAFETY: `i < len`, inside the caller's ranges.
            unsafe { dst.add(i).write(src.add(i).read()) };
        }
    }
}

/// Loads the first and the last `N` bytes, then stores both: covers `N..=2 * N` bytes.
///
/// # Safety
/// As [`copy`], with `N <= len`.
#[inline]
unsafe fn copy_ends<const N: usize>(src: *const u8, dst: *mut u8, len: usize) {
    // SAFETY: `len >= N`, so both ranges of N bytes lie inside the caller's; unaligned access.
    unsafe {
        let first = src.cast::<[u8; N]>().read_unaligned();
        let last = src.add(len - N).cast::<[u8; N]>().read_unaligned();
        dst.cast::<[u8; N]>().write_unaligned(first);
        dst.add(len - N).cast::<[u8; N]>().write_unaligned(last);
    }
}

/// Loads `N` chunks from the start and `N` up to the end, then stores all: covers `16 * N` to
/// `32 * N` bytes. The arrays keep the compiler from making a loop of it, and a call to `memmove` of
/// the loop, which costs more than the copy.
///
/// # Safety
/// As [`copy`], with `16 * N <= len`.
#[inline]
unsafe fn copy_chunks<const N: usize>(src: *const u8, dst: *mut u8, len: usize) {
    let last = len - 16 * N;
    // SAFETY: `len >= 16 * N`, so both ranges of `16 * N` bytes lie inside the caller's; unaligned
    // access.
    unsafe {
        let front = src.cast::<[Chunk; N]>().read_unaligned();
        let back = src.add(last).cast::<[Chunk; N]>().read_unaligned();
        dst.cast::<[Chunk; N]>().write_unaligned(front);
        dst.add(last).cast::<[Chunk; N]>().write_unaligned(back);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn copies_every_length_exactly() {
        let source: Vec<u8> = (0..=255).chain(0..=255).collect();
        for len in 0..300 {
            let mut target = vec![0xee; 302];
            // SAFETY: both vectors are longer than `len` and distinct.
            unsafe { super::copy(source.as_ptr(), target.as_mut_ptr().wrapping_add(1), len) };
            assert_eq!(target[0], 0xee);
            assert_eq!(&target[1..=len], &source[..len]);
            assert!(target[len + 1..].iter().all(|&byte| byte == 0xee), "length {len}");
        }
    }
}
