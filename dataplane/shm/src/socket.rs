//! Bytes between a mapping and a socket: the kernel copies them, once and without waiting.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::io::Errno;

use crate::Mapping;

impl Mapping {
    /// Lets the kernel copy up to `len` bytes that a socket has straight to `offset`, without waiting;
    /// returns how many came, zero at the end of the stream.
    ///
    /// # Errors
    /// What `recv` answers, and `EFAULT` for a range outside the mapping.
    pub fn receive_from(
        &self,
        offset: usize,
        len: usize,
        socket: BorrowedFd<'_>,
    ) -> rustix::io::Result<usize> {
        let target = self.range(offset, len).map_err(|_| Errno::FAULT)?;
        // SAFETY: `range` checked that `target` is writable for `len` bytes, and the borrow of `self` keeps
        // it mapped. Nothing but the kernel uses the pointer.
        let received =
            unsafe { libc::recv(socket.as_raw_fd(), target.cast(), len, libc::MSG_DONTWAIT) };
        counted(received)
    }

    /// Lets the kernel send up to `len` bytes from `offset` on a socket, without waiting and without a
    /// signal; returns how many it took.
    ///
    /// # Errors
    /// What `send` answers, and `EFAULT` for a range outside the mapping.
    pub fn send_to(
        &self,
        offset: usize,
        len: usize,
        socket: BorrowedFd<'_>,
    ) -> rustix::io::Result<usize> {
        let source = self.range(offset, len).map_err(|_| Errno::FAULT)?;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: `range` checked that `source` is readable for `len` bytes, and the borrow of `self` keeps
        // it mapped. Nothing but the kernel uses the pointer.
        let sent =
            unsafe { libc::send(socket.as_raw_fd(), source.cast_const().cast(), len, flags) };
        counted(sent)
    }
}

/// The result of a call that answers a number of bytes, or -1.
fn counted(result: isize) -> rustix::io::Result<usize> {
    usize::try_from(result).map_err(|_| {
        // Whatever the kernel said last, it is an error number.
        Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no such calls on sockets")]
    fn bytes_go_to_and_from_exactly_their_place() {
        let mapping = Mapping::heap(64);
        let (near, mut far) = UnixStream::pair().expect("a pair");
        far.write_all(b"hello").expect("writes");
        assert_eq!(mapping.receive_from(8, 3, near.as_fd()), Ok(3));
        assert_eq!(mapping.receive_from(60, 4, near.as_fd()), Ok(2));
        assert_eq!(mapping.receive_from(0, 4, near.as_fd()), Err(Errno::AGAIN));
        assert_eq!(mapping.read_array::<5>(7).expect("fits"), *b"\0hel\0");
        assert_eq!(mapping.read_array::<4>(60).expect("fits"), *b"lo\0\0");
        assert_eq!(mapping.send_to(8, 3, near.as_fd()), Ok(3));
        let mut said = [0; 3];
        far.read_exact(&mut said).expect("reads");
        assert_eq!(said, *b"hel");
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no such calls on sockets")]
    fn places_outside_and_ends_are_errors_without_a_signal() {
        let mapping = Mapping::heap(64);
        let (near, far) = UnixStream::pair().expect("a pair");
        assert_eq!(mapping.receive_from(60, 5, near.as_fd()), Err(Errno::FAULT));
        assert_eq!(mapping.send_to(usize::MAX, 2, near.as_fd()), Err(Errno::FAULT));
        drop(far);
        assert_eq!(mapping.receive_from(0, 4, near.as_fd()), Ok(0));
        assert_eq!(mapping.send_to(0, 4, near.as_fd()), Err(Errno::PIPE));
    }
}
