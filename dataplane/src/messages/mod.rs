//! Many messages of a socket with one system call (Linux `recvmmsg(2)`, `sendmmsg(2)`).
//!
//! * `name`, `control`: addresses and control messages as the kernel has them, pure.
//! * `receive`, `send`: the calls. They never wait, and the kernel keeps nothing of what a call lends it.
//! * `option`: options of sockets that only are on or off.

mod control;
mod name;
mod option;
mod receive;
mod send;

use rustix::io::Errno;

pub(crate) use self::control::Control;
pub(crate) use self::name::Name;
pub(crate) use self::option::enable;
pub(crate) use self::receive::{Incoming, Senders, receive};
pub(crate) use self::send::{Outgoing, send};

/// Messages in one call.
pub(crate) const BATCH: usize = 32;

const EMPTY_VECTOR: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
