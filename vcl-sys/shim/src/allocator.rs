//! The program's own allocator.

#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};

struct Malloc;

// SAFETY: `posix_memalign`, `malloc` and `free` are the program's allocator, which meets the
// contract for every layout; sizes of zero are never asked for by `alloc`.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= 16 {
            // SAFETY: any size may be asked of malloc.
            return unsafe { libc::malloc(layout.size()) }.cast();
        }
        let mut block = core::ptr::null_mut();
        // SAFETY: the alignment is a power of two and a multiple of the size of a pointer.
        let status = unsafe { libc::posix_memalign(&raw mut block, layout.align(), layout.size()) };
        if status == 0 { block.cast() } else { core::ptr::null_mut() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block came from `alloc` above.
        unsafe { libc::free(block.cast()) };
    }
}

#[cfg_attr(not(test), global_allocator)]
#[cfg_attr(test, allow(dead_code))]
static ALLOCATOR: Malloc = Malloc;
