//! Receiving.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::{BATCH, Control, EMPTY_VECTOR, Name, last_error};

/// What is known of a message that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incoming {
    /// Who sent it, where that was asked.
    pub(crate) name: Name,
    /// What came beside it.
    pub(crate) control: Control,
    /// Its whole length, also where its buffer had less room.
    pub(crate) length: usize,
}

impl Incoming {
    /// Nothing.
    pub(crate) const EMPTY: Self = Self { name: Name::EMPTY, control: Control::EMPTY, length: 0 };
}

/// Whether the kernel is to say who sent each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Senders {
    Named,
    Unnamed,
}

/// Receives what waits, without waiting: a message into each `stride` bytes of `buffers`, and what is known of it into
/// `messages` at the same place. As many as both have places at most, and as [`BATCH`]. Says how many came.
///
/// # Errors
/// The kernel's, when the first message cannot be received; `EAGAIN` when there is none.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    senders: Senders,
    buffers: &mut [u8],
    stride: usize,
    messages: &mut [Incoming],
) -> Result<usize, Errno> {
    let mut vectors = [EMPTY_VECTOR; BATCH];
    // SAFETY: a `struct mmsghdr` of zeros is one without name, data and control bytes.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    let places = buffers.chunks_exact_mut(stride.max(1)).zip(messages.iter_mut());
    let mut room = 0;
    for (((buffer, message), vector), header) in places.zip(&mut vectors).zip(&mut headers) {
        message.control = Control::EMPTY;
        vector.iov_base = buffer.as_mut_ptr().cast();
        vector.iov_len = buffer.len();
        let header = &mut header.msg_hdr;
        if senders == Senders::Named {
            message.name = Name::EMPTY;
            header.msg_name = message.name.as_mut_ptr().cast();
            header.msg_namelen = Name::ROOM;
        }
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        header.msg_control = message.control.as_mut_ptr().cast();
        header.msg_controllen = Control::LEN as _;
        room += 1;
    }
    let taken = loop {
        // SAFETY: the first `room` headers name a chunk of `buffers`, and name and control of one of `messages`, all of
        // which are borrowed mutably, with their lengths, and a vector that lives until this function returns.
        let taken = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                room,
                (libc::MSG_DONTWAIT | libc::MSG_TRUNC) as _,
                std::ptr::null_mut(),
            )
        };
        match usize::try_from(taken) {
            Ok(taken) => break taken,
            Err(_) => match last_error() {
                Errno::INTR => {}
                error => return Err(error),
            },
        }
    };
    for (message, header) in messages.iter_mut().zip(&headers[..taken]) {
        message.length = header.msg_len as usize;
    }
    Ok(taken)
}
