//! The functions of the C library that programs find here first. Each asks the table what the
//! descriptor is and hands the kernel's business to the kernel.

#![allow(unsafe_code)]
// The names, signatures and obligations are those of the C library: POSIX.1-2017 and Linux man-pages.
#![allow(
    clippy::missing_safety_doc,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    missing_docs
)]

use core::time::Duration;

use rustix::io::Errno;

pub mod checked;
pub mod closing;
pub mod data;
mod datagrams;
pub mod descriptors;
pub mod epoll;
pub mod files;
pub mod messages;
pub mod names;
pub mod options;
pub mod poll;
pub mod select;
pub mod sockets;
pub mod streams;

/// A timeout that the program gave; null waits for ever.
///
/// # Safety
/// `timeout` is null or readable.
unsafe fn duration(timeout: *const libc::timespec) -> Result<Option<Duration>, Errno> {
    if timeout.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let libc::timespec { tv_sec, tv_nsec } = unsafe { timeout.read_unaligned() };
    match (u64::try_from(tv_sec), u32::try_from(tv_nsec)) {
        (Ok(seconds), Ok(nanoseconds)) if nanoseconds < 1_000_000_000 => {
            Ok(Some(Duration::new(seconds, nanoseconds)))
        }
        _ => Err(Errno::INVAL),
    }
}
