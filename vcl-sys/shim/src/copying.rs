//! Which of the C library's functions copies.
//!
//! The compiler calls `memcpy` for copies of any length. This library asks for symbols without a version, and of
//! `memcpy` glibc for x86-64 has two: without a version one gets the older, `memcpy@GLIBC_2.2.5`, which is the one
//! for processors without AVX (glibc 2.36, `sysdeps/x86_64/multiarch/memmove-sse2-unaligned-erms.S`). `memmove` there
//! is one, chosen by the processor; it serves both here. Between two cores, where each store waits for a
//! line of the other one, it moves twice as many bytes a second.

#![allow(unsafe_code)]

// A symbol of this library alone: programs keep the `memcpy` that they have.
#[cfg(all(preload, target_arch = "x86_64"))]
core::arch::global_asm!(
    ".globl memcpy",
    ".hidden memcpy",
    ".type memcpy, @function",
    "memcpy:",
    "jmp qword ptr [rip + memmove@GOTPCREL]",
    ".size memcpy, . - memcpy",
);
