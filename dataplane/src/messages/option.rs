//! Options that only are on or off.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::last_error;

/// Switches an option on that takes an `int`.
///
/// # Errors
/// The kernel's: one that does not know it says `ENOPROTOOPT`.
pub(crate) fn enable(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    // SAFETY: the option takes an `int`, whose place and size these are; the kernel reads it before the call returns.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            u32::try_from(size_of::<libc::c_int>()).unwrap_or(0),
        )
    };
    if outcome == 0 { Ok(()) } else { Err(last_error()) }
}
