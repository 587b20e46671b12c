//! Sending.

#![allow(unsafe_code)]

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::{BATCH, Control, EMPTY_VECTOR, Name, last_error};

/// One message to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    /// To whom; of the socket's family.
    pub(crate) to: SocketAddr,
    /// What.
    pub(crate) bytes: &'a [u8],
    /// What goes beside it.
    pub(crate) control: Option<Control>,
}

/// Sends messages, each to its place, without waiting, and reports what became of each, in order.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    messages: &[Outgoing<'_>],
    mut report: impl FnMut(usize, Result<(), Errno>),
) {
    for (batch, messages) in messages.chunks(BATCH).enumerate() {
        send_batch(socket, messages, |at, outcome| report(batch * BATCH + at, outcome));
    }
}

fn send_batch(
    socket: BorrowedFd<'_>,
    messages: &[Outgoing<'_>],
    mut report: impl FnMut(usize, Result<(), Errno>),
) {
    let mut names = [Name::EMPTY; BATCH];
    let mut controls = [Control::EMPTY; BATCH];
    let mut vectors = [EMPTY_VECTOR; BATCH];
    // SAFETY: a `struct mmsghdr` of zeros is one without name, data and control bytes.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    for (at, message) in messages.iter().enumerate() {
        names[at] = Name::of(message.to);
        vectors[at] = libc::iovec {
            // The kernel only reads it.
            iov_base: message.bytes.as_ptr().cast_mut().cast(),
            iov_len: message.bytes.len(),
        };
        let header = &mut headers[at].msg_hdr;
        header.msg_namelen = names[at].length();
        header.msg_name = names[at].as_mut_ptr().cast();
        header.msg_iov = &raw mut vectors[at];
        header.msg_iovlen = 1;
        if let Some(control) = message.control {
            controls[at] = control;
            header.msg_controllen = control.length() as _;
            header.msg_control = controls[at].as_mut_ptr().cast();
        }
    }
    let mut next = 0;
    while next < messages.len() {
        let left = &mut headers[next..messages.len()];
        // SAFETY: each header names a name, a vector and maybe control bytes of the arrays above, and the bytes of a
        // message, all of which outlive the call and are only read by it; `left` has as many headers as said.
        let sent = unsafe {
            let count = u32::try_from(left.len()).unwrap_or(0);
            libc::sendmmsg(socket.as_raw_fd(), left.as_mut_ptr(), count, libc::MSG_DONTWAIT as _)
        };
        // A failure is that of the first message; those before it are reported by a count.
        match usize::try_from(sent) {
            Ok(sent) if sent > 0 => {
                (next..next + sent).for_each(|at| report(at, Ok(())));
                next += sent;
            }
            _ => match last_error() {
                Errno::INTR => {}
                error => {
                    report(next, Err(error));
                    next += 1;
                }
            },
        }
    }
}
