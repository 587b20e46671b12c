//! Copy loops for frames: straight-line moves for the sizes that dominate, `memmove` for the rest.

#![allow(unsafe_code)]

use core::ptr;

/// Asks the processor to fetch a cache line for writing; harmless for any address.
///
/// `_mm_prefetch` with `_MM_HINT_ET0` is no way to say it: without the target feature `prfchw`, which the
/// baseline of x86-64 lacks, the compiler makes a fetch for *reading* of it, and the store that follows has to ask
/// the other processor for the line a second time. Processors of 64 bits that do not know the instruction skip it
/// (AMD64 Architecture Programmer's Manual, volume 3, and Intel's volume 2: `PREFETCHW`).
#[inline]
pub(crate) fn prefetch_write(address: *const i8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads and writes nothing and never faults.
    unsafe {
        core::arch::asm!(
            "prefetchw byte ptr [{}]",
            in(reg) address,
            options(readonly, nostack, preserves_flags)
        );
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

/// Copies `len` bytes past the caches: whole cache lines go to memory, without asking the processor that has
/// them for what they hold now (non-temporal stores: AMD64 Architecture Programmer's Manual, volume 1, 5.6.2,
/// "Non-temporal data"). What it wrote is ordered before every store that follows, as with [`copy`].
///
/// # Safety
/// As [`copy`], and the ranges do not overlap.
#[inline]
pub(crate) unsafe fn copy_streaming(src: *const u8, dst: *mut u8, len: usize) {
    let head = dst.align_offset(LINE).min(len);
    let lines = (len - head) / LINE;
    let tail = head + lines * LINE;
    // SAFETY: the caller's ranges, cut in three: up to the target's first whole line, its whole lines, and the rest.
    unsafe {
        copy(src, dst, head);
        stream_lines(src.add(head), dst.add(head), lines);
        copy(src.add(tail), dst.add(tail), len - tail);
    }
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// Copies whole lines past the caches, and waits until they can be seen.
///
/// # Safety
/// As [`copy_streaming`], and `dst` is aligned to a line unless there is none.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[expect(
    clippy::cast_ptr_alignment,
    reason = "the target is aligned, the source is loaded unaligned"
)]
#[inline]
unsafe fn stream_lines(src: *const u8, dst: *mut u8, lines: usize) {
    use core::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};

    for line in 0..lines {
        // SAFETY: the caller's ranges; each line of the target is aligned to it, and so to 16. SSE2 belongs to
        // the baseline.
        unsafe {
            let from = src.add(line * LINE).cast::<__m128i>();
            let to = dst.add(line * LINE).cast::<__m128i>();
            let (a, b) = (_mm_loadu_si128(from), _mm_loadu_si128(from.add(1)));
            let (c, d) = (_mm_loadu_si128(from.add(2)), _mm_loadu_si128(from.add(3)));
            _mm_stream_si128(to, a);
            _mm_stream_si128(to.add(1), b);
            _mm_stream_si128(to.add(2), c);
            _mm_stream_si128(to.add(3), d);
        }
    }
    // Such stores are ordered with no others, not even with a release.
    // SAFETY: it orders stores and does nothing else.
    unsafe { _mm_sfence() };
}

/// Where no such stores are known.
///
/// # Safety
/// As [`copy_streaming`].
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline]
unsafe fn stream_lines(src: *const u8, dst: *mut u8, lines: usize) {
    // SAFETY: the caller's.
    unsafe { copy(src, dst, lines * LINE) };
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

    #[test]
    fn streams_every_length_to_and_from_every_place_in_a_line_exactly() {
        let source: Vec<u8> = (0..=255).chain(0..=255).collect();
        for (from, to) in [(0, 0), (1, 0), (0, 1), (37, 0), (0, 37), (37, 37), (63, 1)] {
            for len in 0..300 {
                let mut target = vec![0xee; 512];
                let start = target.as_ptr().align_offset(64) + to;
                // SAFETY: both vectors have `len` bytes from these places on, and are distinct.
                unsafe {
                    let target = target.as_mut_ptr().wrapping_add(start);
                    super::copy_streaming(source.as_ptr().wrapping_add(from), target, len);
                }
                assert_eq!(&target[start..start + len], &source[from..from + len]);
                let mut around = target[..start].iter().chain(&target[start + len..]);
                assert!(around.all(|&byte| byte == 0xee), "{len} bytes from {from} to {to}");
            }
        }
    }
}
