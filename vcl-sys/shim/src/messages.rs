//! Messages of `sendmsg` and `recvmsg` as a program lays them out.

#![allow(unsafe_code)]

use alloc::vec::Vec;
use core::ffi::c_int;
use core::ptr;

use libc::{cmsghdr, msghdr};
use rustix::io::Errno;

/// A message that the kernel can read, whichever C library made it: musl's lengths have 32 bits and
/// leave what follows them as it was, where the kernel and glibc have lengths of 64 bits.
pub(crate) struct Plain {
    pub(crate) message: msghdr,
    /// Where the control messages are when they had to be copied.
    #[allow(dead_code, reason = "`message` points into it")]
    control: Vec<u64>,
}

/// The low half of a length, which is all that a valid one has.
const fn low(len: usize) -> usize {
    len & 0xffff_ffff
}

impl Plain {
    /// For `recvmsg`: control messages are the kernel's to write.
    pub(crate) fn to_receive(message: &msghdr) -> Self {
        let mut message = *message;
        message.msg_iovlen = low(message.msg_iovlen);
        message.msg_controllen = low(message.msg_controllen);
        Self { message, control: Vec::new() }
    }

    /// For `sendmsg`.
    ///
    /// # Safety
    /// The control messages are readable, as `sendmsg` demands.
    pub(crate) unsafe fn to_send(message: &msghdr) -> Self {
        let mut plain = Self::to_receive(message);
        // SAFETY: the caller's promise.
        let dirty = unsafe { Headers::of(&plain.message) }.any(|it| {
            // SAFETY: `Headers` gives headers that are inside.
            unsafe { (*it).cmsg_len != low((*it).cmsg_len) }
        });
        if dirty {
            let len = plain.message.msg_controllen;
            let mut copy: Vec<u64> = alloc::vec![0; len.div_ceil(8)];
            // SAFETY: both are as long as `len`.
            unsafe {
                ptr::copy_nonoverlapping(
                    plain.message.msg_control.cast::<u8>(),
                    copy.as_mut_ptr().cast(),
                    len,
                );
            }
            plain.message.msg_control = copy.as_mut_ptr().cast();
            // SAFETY: the copy is as long.
            for header in unsafe { Headers::of(&plain.message) } {
                // SAFETY: the copy is this function's.
                unsafe { (*header).cmsg_len = low((*header).cmsg_len) };
            }
            plain.control = copy;
        }
        plain
    }
}

/// The headers of a message's control messages, as long as they are sound.
pub(crate) struct Headers {
    next: usize,
    end: usize,
}

impl Headers {
    /// # Safety
    /// The control messages are readable, and writable for whoever writes through the pointers.
    pub(crate) unsafe fn of(message: &msghdr) -> Self {
        let start = message.msg_control as usize;
        let len = if start == 0 { 0 } else { low(message.msg_controllen) };
        Self { next: start, end: start.saturating_add(len) }
    }

    /// Whether bytes are left that are no sound header.
    fn is_unsound(&self) -> bool {
        self.end.saturating_sub(self.next) >= size_of::<cmsghdr>()
    }
}

impl Iterator for Headers {
    type Item = *mut cmsghdr;

    fn next(&mut self) -> Option<*mut cmsghdr> {
        let room = self.end.saturating_sub(self.next);
        if room < size_of::<cmsghdr>() {
            return None;
        }
        let header = self.next as *mut cmsghdr;
        // SAFETY: a header's bytes are there; control messages are aligned as their headers are.
        let len = low(unsafe { (*header).cmsg_len });
        if len < size_of::<cmsghdr>() || len > room {
            return None;
        }
        self.next += len.next_multiple_of(size_of::<usize>());
        Some(header)
    }
}

/// What TCP says of the control messages of a `sendmsg` (net/core/sock.c, `sock_cmsg_send`): it wants
/// them sound and known, and a session needs none of them.
///
/// # Safety
/// The control messages are readable.
pub(crate) unsafe fn judge(message: &msghdr) -> Result<(), Errno> {
    const SO_TIMESTAMPING_NEW: c_int = 65;
    const SCM_TS_OPT_ID: c_int = 81;
    // SAFETY: the caller's promise.
    let mut headers = unsafe { Headers::of(message) };
    for header in headers.by_ref() {
        // SAFETY: `Headers` gives headers that are inside.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        let known = matches!(
            kind,
            libc::SCM_RIGHTS
                | libc::SCM_CREDENTIALS
                | libc::SO_MARK
                | libc::SO_PRIORITY
                | libc::SO_TIMESTAMPING
                | libc::SCM_TXTIME
                | SO_TIMESTAMPING_NEW
                | SCM_TS_OPT_ID
        );
        if level == libc::SOL_SOCKET && !known {
            return Err(Errno::INVAL);
        }
    }
    if headers.is_unsound() { Err(Errno::INVAL) } else { Ok(()) }
}

/// The descriptors that came with a message.
///
/// # Safety
/// `message` is what the kernel wrote.
pub(crate) unsafe fn received_descriptors(message: &msghdr, mut each: impl FnMut(c_int)) {
    // SAFETY: the caller's promise.
    for header in unsafe { Headers::of(message) } {
        // SAFETY: `Headers` gives headers that are inside, with their data.
        unsafe {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let bytes = low((*header).cmsg_len) - size_of::<cmsghdr>();
                let data = header.add(1).cast::<c_int>();
                for at in 0..bytes / size_of::<c_int>() {
                    each(data.add(at).read_unaligned());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(control: &mut [u64], len: usize) -> msghdr {
        // SAFETY: zeros are an empty message.
        let mut message: msghdr = unsafe { core::mem::zeroed() };
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = len;
        message
    }

    /// One control message: length, level and kind, and data.
    fn control(len: u64, level: u32, kind: u32, data: u64) -> [u64; 3] {
        [len, u64::from(level) | u64::from(kind) << 32, data]
    }

    #[test]
    fn rubbish_beside_the_lengths_of_musl_is_cleared() {
        let mut bytes = control(0xdead_0000_0014, 1, 1, 0xbeef_0000_0007);
        let mut given = message(&mut bytes, 0xf00d_0000_0018);
        given.msg_iovlen = 0xf00d_0000_0003;
        // SAFETY: the control messages are the array above.
        let plain = unsafe { Plain::to_send(&given) };
        assert_eq!(plain.message.msg_iovlen, 3);
        assert_eq!(plain.message.msg_controllen, 24);
        assert_ne!(plain.message.msg_control, given.msg_control, "the program's bytes stay");
        let mut found = Vec::new();
        // SAFETY: as above.
        unsafe { received_descriptors(&plain.message, |fd| found.push(fd)) };
        assert_eq!(found, [7]);
    }

    #[test]
    fn control_messages_are_judged_as_by_tcp() {
        for (bytes, len, sound) in [
            (control(20, 1, 1, 7), 24, true),
            (control(20, 1, 99, 7), 24, false),
            (control(20, 41, 99, 7), 24, true),
            (control(200, 1, 1, 7), 24, false),
            (control(8, 1, 1, 7), 24, false),
            (control(20, 1, 99, 7), 0, true),
        ] {
            let mut bytes = bytes;
            // SAFETY: the control messages are the array above.
            assert_eq!(unsafe { judge(&message(&mut bytes, len)) }.is_ok(), sound, "{bytes:?}");
        }
    }
}
