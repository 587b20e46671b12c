//! How long a copy takes, for choosing between two ways of copying.

#![allow(unsafe_code)]

/// The processor's time stamp counter: ticks of a constant rate, of which only short differences on one thread mean
/// anything. Always zero where it is not known.
#[inline]
pub fn cycles() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: it reads a counter. Linux lets programs do so unless they asked otherwise (`PR_SET_TSC`), and then
    // they cannot ask the kernel's vDSO for the time either.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    0
}
