//! Numbers of the C library as the words that people know.

use std::fmt::Write as _;

use crate::sys::{Answer, libc};

const ERRORS: &[(i32, &str)] = &[
    (libc::EPERM, "EPERM"),
    (libc::ENOENT, "ENOENT"),
    (libc::EINTR, "EINTR"),
    (libc::EIO, "EIO"),
    (libc::EBADF, "EBADF"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EACCES, "EACCES"),
    (libc::EFAULT, "EFAULT"),
    (libc::EEXIST, "EEXIST"),
    (libc::ENODEV, "ENODEV"),
    (libc::EINVAL, "EINVAL"),
    (libc::EMFILE, "EMFILE"),
    (libc::ENOTTY, "ENOTTY"),
    (libc::ESPIPE, "ESPIPE"),
    (libc::EPIPE, "EPIPE"),
    (libc::EDOM, "EDOM"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::ELOOP, "ELOOP"),
    (libc::ENOMSG, "ENOMSG"),
    (libc::EPROTO, "EPROTO"),
    (libc::ENOTSOCK, "ENOTSOCK"),
    (libc::EDESTADDRREQ, "EDESTADDRREQ"),
    (libc::EMSGSIZE, "EMSGSIZE"),
    (libc::EPROTOTYPE, "EPROTOTYPE"),
    (libc::ENOPROTOOPT, "ENOPROTOOPT"),
    (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
    (libc::EADDRINUSE, "EADDRINUSE"),
    (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (libc::ENETUNREACH, "ENETUNREACH"),
    (libc::ECONNABORTED, "ECONNABORTED"),
    (libc::ECONNRESET, "ECONNRESET"),
    (libc::ENOBUFS, "ENOBUFS"),
    (libc::EISCONN, "EISCONN"),
    (libc::ENOTCONN, "ENOTCONN"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (libc::ECONNREFUSED, "ECONNREFUSED"),
    (libc::EHOSTUNREACH, "EHOSTUNREACH"),
    (libc::EALREADY, "EALREADY"),
    (libc::EINPROGRESS, "EINPROGRESS"),
];

/// The name of a number in `errno`, `0` for none.
pub fn error(number: i32) -> String {
    let known = ERRORS.iter().find(|(it, _)| *it == number);
    known.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

/// What a call returned, or the name of its error.
pub fn answer(answer: Answer) -> String {
    answer.map_or_else(error, |value| value.to_string())
}

/// As [`answer`], for calls that return a descriptor, whose number says nothing.
pub fn descriptor(answer: Answer) -> String {
    answer.map_or_else(error, |_| "fd".to_owned())
}

const MESSAGE: &[(u32, &str)] = &[
    (libc::MSG_OOB as u32, "OOB"),
    (libc::MSG_PEEK as u32, "PEEK"),
    (libc::MSG_DONTROUTE as u32, "DONTROUTE"),
    (libc::MSG_CTRUNC as u32, "CTRUNC"),
    (libc::MSG_TRUNC as u32, "TRUNC"),
    (libc::MSG_DONTWAIT as u32, "DONTWAIT"),
    (libc::MSG_EOR as u32, "EOR"),
    (libc::MSG_WAITALL as u32, "WAITALL"),
    (libc::MSG_NOSIGNAL as u32, "NOSIGNAL"),
    (libc::MSG_MORE as u32, "MORE"),
    (libc::MSG_WAITFORONE as u32, "WAITFORONE"),
    (libc::MSG_CMSG_CLOEXEC as u32, "CMSG_CLOEXEC"),
];

/// `EPOLL…` of the same bits as `POLL…`, and those of epoll alone.
const EVENTS: &[(u32, &str)] = &[
    (libc::EPOLLIN as u32, "IN"),
    (libc::EPOLLPRI as u32, "PRI"),
    (libc::EPOLLOUT as u32, "OUT"),
    (libc::EPOLLERR as u32, "ERR"),
    (libc::EPOLLHUP as u32, "HUP"),
    (libc::POLLNVAL as u32, "NVAL"),
    (libc::EPOLLRDNORM as u32, "RDNORM"),
    (libc::EPOLLWRNORM as u32, "WRNORM"),
    (libc::EPOLLRDHUP as u32, "RDHUP"),
    (libc::EPOLLEXCLUSIVE as u32, "EXCLUSIVE"),
    (libc::EPOLLONESHOT as u32, "ONESHOT"),
    (libc::EPOLLET.cast_unsigned(), "ET"),
];

fn bits(value: u32, known: &[(u32, &str)]) -> String {
    let mut left = value;
    let mut text = String::new();
    for (bit, name) in known {
        if left & bit != 0 {
            left &= !bit;
            let _ = write!(text, "{}{name}", if text.is_empty() { "" } else { "|" });
        }
    }
    match (text.is_empty(), left) {
        (true, 0) => "0".to_owned(),
        (_, 0) => text,
        _ => format!("{text}+{left:#x}"),
    }
}

/// `MSG_…` bits.
pub fn message(flags: i32) -> String {
    bits(flags.cast_unsigned(), MESSAGE)
}

/// `POLL…` bits.
pub fn poll(events: i16) -> String {
    bits(u32::from(events.cast_unsigned()), EVENTS)
}

/// `EPOLL…` bits.
pub fn epoll(events: u32) -> String {
    bits(events, EVENTS)
}

/// Bytes: as text when they are short, else their number and checksum.
pub fn bytes(bytes: &[u8]) -> String {
    if bytes.len() <= 40 {
        return format!("{:?}", String::from_utf8_lossy(bytes));
    }
    format!("{} bytes of checksum {:016x}", bytes.len(), crate::checked::checksum(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_numbers() {
        assert_eq!(answer(Ok(3)), "3");
        assert_eq!(answer(Err(libc::ECONNRESET)), "ECONNRESET");
        assert_eq!(descriptor(Ok(7)), "fd");
        assert_eq!(message(libc::MSG_PEEK | libc::MSG_DONTWAIT), "PEEK|DONTWAIT");
        assert_eq!(poll(libc::POLLIN | libc::POLLHUP), "IN|HUP");
        assert_eq!(epoll(0), "0");
    }
}
