//! Many messages with one system call (recvmmsg(2)).

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::unpack::Control;

/// Messages received at once at most.
pub(super) const MOST: usize = 32;

/// Receives what waits, without blocking: one message into each chunk of `stride` bytes of `buffers`, what comes
/// beside it into the control at the same place, and its whole length, also where it found no room, to `lengths`.
/// There are as many messages as all three have places at most, and as [`MOST`]. Returns how many came; those after them
/// are as they were.
///
/// # Errors
/// The kernel's, when the first message cannot be received; `EAGAIN` when there is none.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    buffers: &mut [u8],
    stride: usize,
    controls: &mut [Control],
    lengths: &mut [usize],
) -> Result<usize, Errno> {
    let none = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    let mut places = [none; MOST];
    // SAFETY: all bytes zero are a valid header: no address, no places, no control message.
    let mut messages: [libc::mmsghdr; MOST] = unsafe { std::mem::zeroed() };
    let rows = places.iter_mut().zip(&mut messages).zip(controls).zip(lengths.iter());
    let mut count = 0;
    for ((((place, message), control), _), buffer) in rows.zip(buffers.chunks_exact_mut(stride)) {
        *control = Control::EMPTY;
        place.iov_base = buffer.as_mut_ptr().cast();
        place.iov_len = buffer.len();
        message.msg_hdr.msg_iov = place;
        message.msg_hdr.msg_iovlen = 1;
        message.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
        message.msg_hdr.msg_controllen = control.0.len() as _;
        count += 1;
    }
    // SAFETY: the first `count` headers name a chunk of `buffers` and a control each, which this function borrows
    // mutably, with their lengths, and a place that lives until it returns. Nothing is in flight afterwards.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            count,
            (libc::MSG_DONTWAIT | libc::MSG_TRUNC) as _,
            std::ptr::null_mut(),
        )
    };
    let Ok(received) = usize::try_from(received) else {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    };
    for (length, message) in lengths.iter_mut().zip(&messages[..received]) {
        *length = message.msg_len as usize;
    }
    Ok(received)
}
