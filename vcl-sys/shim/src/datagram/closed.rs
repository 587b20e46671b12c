//! A descriptor that another thread closes while a call sleeps for it.
//!
//! To the kernel the socket is there until the call returns: it keeps its port, and the call receives what comes. So the
//! call goes on with a number of this library's own, and never with what has the program's number next.

use core::ffi::c_int;

use rustix::io::Errno;

use super::Datagram;
use crate::hidden::Hidden;
use crate::raw::borrow;
use crate::{process, sleepers, table};

impl Datagram {
    /// The number of the kernel's socket for a call that is about to sleep: that of the program, `fd`, when there
    /// are no other threads or no descriptors are left.
    ///
    /// # Errors
    /// `EBADF`: another thread closed it before.
    pub(super) fn number_to_sleep_for(&self, fd: c_int) -> Result<c_int, Errno> {
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        if process::borrows_memory() {
            // What a `vfork` child opens is not its parent's.
            return Ok(fd);
        }
        let made = sleepers::has_threads().then(|| Hidden::duplicate(borrow(fd)));
        // Whoever closes it takes it out of the table first.
        if !table::is_datagram(fd, self) {
            return Err(Errno::BADF);
        }
        let Some(Ok(made)) = made else { return Ok(fd) };
        Ok(self.state.lock().kernel.get_or_insert(made).number())
    }

    /// The number of the kernel's socket in a later part of a call that began with `fd`.
    pub(crate) fn number_now(&self, fd: c_int) -> c_int {
        self.kept().unwrap_or(fd)
    }

    fn kept(&self) -> Option<c_int> {
        self.state.lock().kernel.as_ref().map(Hidden::number)
    }
}
