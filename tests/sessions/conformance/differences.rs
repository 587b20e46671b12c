//! What sessions answer in another way than the kernel's TCP, and why.
//!
//! Everything else is a bug. Each entry must still be met, and stands in `docs/shim.md` in the same
//! words.

/// One difference.
#[derive(Debug)]
pub(crate) struct Difference {
    /// What differs and why, in the words of the documentation.
    pub(crate) what: &'static str,
    /// The cases in which it shows.
    pub(crate) cases: &'static [&'static str],
    /// What the kernel's record says, and what that of sessions says in its place. A star at the end
    /// stands for anything.
    pub(crate) lines: &'static [(&'static str, &'static str)],
}

/// All of them.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        what: "There are no urgent data: sending with `MSG_OOB` is `EOPNOTSUPP`.",
        cases: &["urgent"],
        lines: &[("send 1 OOB = 1", "send 1 OOB = EOPNOTSUPP")],
    },
    Difference {
        what: "A connection is not taken back by connecting to `AF_UNSPEC`: `EISCONN`, and it goes on.",
        cases: &["connect_taken_back"],
        lines: &[
            ("disconnect = 0", "disconnect = EISCONN"),
            ("recv 4 DONTWAIT = ECONNRESET", "recv 4 DONTWAIT = EAGAIN"),
            (
                "getpeername = ENOTCONN no address length 0",
                "getpeername = 0 peer port listening length 16",
            ),
            ("poll IN|OUT|RDHUP = 1 OUT|ERR|HUP", "poll IN|OUT|RDHUP = 1 OUT"),
        ],
    },
    Difference {
        what: "A socket that is there twice by `fork`, or by passing it on, before it is connected becomes a session \
               in the process that connects it; in the others it stays a socket of the kernel that is not connected.",
        cases: &["fork_before_connect"],
        lines: &[
            ("recv 9 0 = 6 \"parent\"", "recv 9 0 = 0"),
            (
                "getpeername = 0 peer port listening length 16",
                "getpeername = ENOTCONN no address length 0",
            ),
            ("send 6 NOSIGNAL = 6", "send 6 NOSIGNAL = EPIPE"),
        ],
    },
    Difference {
        what: "Stopping and continuing a process (`SIGSTOP`, `SIGCONT`) does not interrupt a call with a timeout that \
               sleeps in `poll`.",
        cases: &["stopped_and_continued"],
        lines: &[("send with timeout = EINTR", "send with timeout = EAGAIN")],
    },
    Difference {
        what: "A write that waits for room, and a blocked `connect`, end when another thread closes the descriptor: with \
               what was written so far, or `EBADF`.",
        cases: &["threads_close_while_sending"],
        lines: &[("send = 16777216", "send = EBADF")],
    },
    Difference {
        what: "Closing a descriptor ends its registrations with epoll, even if a duplicate is still open.",
        cases: &["epoll_duplicates"],
        lines: &[("epoll_wait = 1 1:IN", "epoll_wait = 0")],
    },
    Difference {
        what: "An epoll descriptor inside another one may be reported once more after what it had to \
               report was taken.",
        cases: &["epoll_nested"],
        lines: &[("epoll_wait = 0", "epoll_wait = 1 2:IN")],
    },
    Difference {
        what: "`TCP_WINDOW_CLAMP` is zero, or what was set: there is no window.",
        cases: &["options_connected", "options_set_before", "options_inherited"],
        lines: &[
            (
                "get TCP_WINDOW_CLAMP = 0 length 4 value *",
                "get TCP_WINDOW_CLAMP = 0 length 4 value 0",
            ),
            ("set TCP_WINDOW_CLAMP 0 = EINVAL", "set TCP_WINDOW_CLAMP 0 = 0"),
        ],
    },
];
