//! Options and flags.

use libc::{c_int, c_ulong};

use super::{Answer, Fd, answer, len_of, void};

/// Whether the urgent mark is next (`<asm-generic/sockios.h>`).
pub const SIOCATMARK: c_ulong = 0x8905;

/// `setsockopt` of an `int`.
pub fn set_option(fd: Fd, level: c_int, name: c_int, value: c_int) -> Answer {
    let from = (&raw const value).cast();
    // SAFETY: an `int` of that length.
    answer(unsafe { libc::setsockopt(fd, level, name, from, len_of::<c_int>()) })
}

/// `getsockopt` into up to 256 bytes: the answer, the length, and the first number.
pub fn get_option(fd: Fd, level: c_int, name: c_int) -> (Answer, u32, [c_int; 2]) {
    let mut value = [0 as c_int; 64];
    let mut len = len_of::<[c_int; 64]>();
    // SAFETY: `value` has `len` bytes.
    let result = answer(unsafe {
        libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), &raw mut len)
    });
    (result, len, [value[0], value[1]])
}

/// `setsockopt` of the first `len` bytes of an `int`.
pub fn set_short(fd: Fd, level: c_int, name: c_int, len: usize) -> Answer {
    let value = (1 as c_int).to_ne_bytes();
    let value = &value[..len];
    let (from, len) = (value.as_ptr().cast(), libc::socklen_t::try_from(len).unwrap_or(0));
    // SAFETY: so many bytes.
    answer(unsafe { libc::setsockopt(fd, level, name, from, len) })
}

/// `getsockopt` into `len` bytes: the answer and the length that came back.
pub fn get_short(fd: Fd, level: c_int, name: c_int, len: usize) -> (Answer, u32) {
    let mut value = vec![0_u8; len];
    let mut len = libc::socklen_t::try_from(len).unwrap_or(0);
    let into = value.as_mut_ptr().cast();
    // SAFETY: `value` has `len` bytes.
    let result = answer(unsafe { libc::getsockopt(fd, level, name, into, &raw mut len) });
    (result, len)
}

/// `setsockopt` of `SO_RCVTIMEO` or `SO_SNDTIMEO`.
pub fn set_timeout(fd: Fd, name: c_int, milliseconds: i64) -> Answer {
    let value = libc::timeval { tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000 };
    let from = (&raw const value).cast();
    // SAFETY: a `timeval` of that length.
    answer(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, name, from, len_of::<libc::timeval>()) })
}

/// `setsockopt` of `SO_LINGER`.
pub fn set_linger(fd: Fd, on: bool, seconds: c_int) -> Answer {
    let value = libc::linger { l_onoff: c_int::from(on), l_linger: seconds };
    let from = (&raw const value).cast();
    // SAFETY: a `linger` of that length.
    answer(unsafe {
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, from, len_of::<libc::linger>())
    })
}

/// `fcntl` with a number.
pub fn fcntl(fd: Fd, command: c_int, argument: c_int) -> Answer {
    // SAFETY: commands with a number only.
    answer(unsafe { libc::fcntl(fd, command, argument) })
}

/// `ioctl` with a pointer to an `int`; the answer and what is there afterwards.
pub fn ioctl_int(fd: Fd, request: c_ulong, value: c_int) -> (Answer, c_int) {
    let mut value = value;
    // SAFETY: requests that take a pointer to an `int` only.
    let result = answer(unsafe { libc::ioctl(fd, request as _, void(&mut value)) });
    (result, value)
}
