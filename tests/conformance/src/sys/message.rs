//! Messages with several parts and control data, singly and in batches.

use std::net::SocketAddr;
use std::ptr;

use libc::{c_int, iovec, mmsghdr, msghdr, sockaddr_storage};

use super::{Answer, Fd, address, answer, len_of, parts_in, parts_out, raw_address};

/// What `recvmsg` filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it returned.
    pub result: Answer,
    /// `msg_flags`.
    pub flags: c_int,
    /// `msg_namelen`.
    pub name_len: u32,
    /// `msg_controllen`.
    pub control_len: usize,
    /// The address, if there is one.
    pub from: Option<SocketAddr>,
}

/// A `msghdr` of nothing.
fn header() -> msghdr {
    // SAFETY: all zero bytes are a valid `msghdr`.
    unsafe { std::mem::zeroed() }
}

/// `sendmsg` of `parts`, to an address or along the connection.
pub fn send_message(fd: Fd, parts: &[&[u8]], flags: c_int, to: Option<SocketAddr>) -> Answer {
    let mut parts = parts_out(parts);
    let mut message = header();
    let mut name = to.map(raw_address);
    if let Some((storage, len)) = &mut name {
        message.msg_name = (&raw mut *storage).cast();
        message.msg_namelen = *len;
    }
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = parts.len() as _;
    // SAFETY: everything that the header points to lives until the call returns.
    answer(unsafe { libc::sendmsg(fd, &raw const message, flags) } as i64)
}

/// `recvmsg` into `parts`, with room for an address and control data.
pub fn receive_message(fd: Fd, parts: &mut [Vec<u8>], flags: c_int) -> Message {
    let mut parts = parts_in(parts);
    // SAFETY: all zero bytes are a valid `sockaddr_storage`.
    let mut storage: sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut control = [0u64; 16];
    let mut message = header();
    message.msg_name = (&raw mut storage).cast();
    message.msg_namelen = len_of::<sockaddr_storage>();
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = parts.len() as _;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: everything that the header points to lives until the call returns.
    let result = answer(unsafe { libc::recvmsg(fd, &raw mut message, flags) } as i64);
    Message {
        result,
        flags: message.msg_flags,
        name_len: message.msg_namelen,
        control_len: message.msg_controllen,
        from: address(&storage),
    }
}

/// What a batch came to: the call's answer and the bytes of each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What the call returned.
    pub result: Answer,
    /// `msg_len` of each message that was moved.
    pub lengths: Vec<u32>,
}

fn batch(result: Answer, messages: &[mmsghdr]) -> Batch {
    let moved = result.ok().and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
    Batch { result, lengths: messages.iter().take(moved).map(|it| it.msg_len).collect() }
}

fn headers(parts: &mut [iovec]) -> Vec<mmsghdr> {
    let one = |part: &mut iovec| {
        let mut message = header();
        message.msg_iov = part;
        message.msg_iovlen = 1;
        mmsghdr { msg_hdr: message, msg_len: 0 }
    };
    parts.iter_mut().map(one).collect()
}

/// `sendmmsg`: one message for each part.
pub fn send_many(fd: Fd, messages: &[&[u8]], flags: c_int) -> Batch {
    let mut parts = parts_out(messages);
    let mut all = headers(&mut parts);
    let count = u32::try_from(all.len()).expect("few messages");
    // SAFETY: everything that the headers point to lives until the call returns.
    let result = answer(unsafe { libc::sendmmsg(fd, all.as_mut_ptr(), count, flags) });
    batch(result, &all)
}

/// `recvmmsg`: one message for each buffer, waiting no longer than `timeout_ms` if given.
pub fn receive_many(
    fd: Fd,
    buffers: &mut [Vec<u8>],
    flags: c_int,
    timeout_ms: Option<i64>,
) -> Batch {
    let mut parts = parts_in(buffers);
    let mut all = headers(&mut parts);
    let count = u32::try_from(all.len()).expect("few messages");
    let mut timeout =
        timeout_ms.map(|ms| libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 });
    let timeout = timeout.as_mut().map_or(ptr::null_mut(), |it| &raw mut *it);
    // SAFETY: everything that the headers point to lives until the call returns.
    let result = answer(unsafe { libc::recvmmsg(fd, all.as_mut_ptr(), count, flags, timeout) });
    batch(result, &all)
}

/// Room for the control data of one descriptor, aligned.
const RIGHTS: usize = 8;

/// Sends a byte and a descriptor over a unix socket (`SCM_RIGHTS`).
pub fn pass(through: Fd, fd: Fd) -> Answer {
    let mut control = [0u64; RIGHTS];
    let mut byte = [b'p'];
    let mut part = iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut message = header();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: arithmetic only.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as _;
    // SAFETY: the control buffer has room for one header and one number.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const message);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(first).cast::<c_int>().write_unaligned(fd);
    }
    // SAFETY: everything that the header points to lives until the call returns.
    answer(unsafe { libc::sendmsg(through, &raw const message, 0) } as i64)
}

/// Receives a descriptor that [`pass`] sent.
pub fn receive_passed(through: Fd) -> Answer {
    let mut control = [0u64; RIGHTS];
    let mut byte = [0u8];
    let mut part = iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut message = header();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: everything that the header points to lives until the call returns.
    let got = answer(unsafe { libc::recvmsg(through, &raw mut message, 0) } as i64)?;
    // SAFETY: the kernel filled the control buffer.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const message);
        if got == 1 && !first.is_null() && (*first).cmsg_type == libc::SCM_RIGHTS {
            return Ok(i64::from(libc::CMSG_DATA(first).cast::<c_int>().read_unaligned()));
        }
    }
    Err(libc::ENOMSG)
}
