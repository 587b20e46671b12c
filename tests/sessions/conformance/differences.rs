//! What sessions answer in another way than the kernel's TCP, and why.
//!
//! Everything else is a bug. Each entry must still be met, and stands in `docs/shim.md` in the same
//! words.

use super::across::{Between, With};

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
    /// Where a network stack has it that stands between the session and its peer; nowhere if the session itself has it.
    pub(crate) between: &'static [Between],
}

/// All of them.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        what: "There are no urgent data: sending with `MSG_OOB` is `EOPNOTSUPP`.",
        cases: &["urgent"],
        lines: &[("send 1 OOB = 1", "send 1 OOB = EOPNOTSUPP")],
        between: &[],
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
        between: &[],
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
        between: &[],
    },
    Difference {
        what: "Stopping and continuing a process (`SIGSTOP`, `SIGCONT`) does not interrupt a call with a timeout that \
               sleeps in `poll`.",
        cases: &["stopped_and_continued"],
        lines: &[("send with timeout = EINTR", "send with timeout = EAGAIN")],
        between: &[],
    },
    Difference {
        what: "A write that waits for room, and a blocked `connect`, end when another thread closes the descriptor: with \
               what was written so far, or `EBADF`.",
        cases: &["threads_close_while_sending"],
        lines: &[("send = 16777216", "send = EBADF")],
        between: &[],
    },
    Difference {
        what: "Closing a descriptor ends its registrations with epoll, even if a duplicate is still open.",
        cases: &["epoll_duplicates"],
        lines: &[("epoll_wait = 1 1:IN", "epoll_wait = 0")],
        between: &[],
    },
    Difference {
        what: "An epoll descriptor inside another one may be reported once more after what it had to \
               report was taken.",
        cases: &["epoll_nested"],
        lines: &[("epoll_wait = 0", "epoll_wait = 1 2:IN")],
        between: &[],
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
        between: &[],
    },
];

/// More of them, where a network stack stands between a session and the kernel's TCP.
pub(crate) const ACROSS: &[Difference] = &[
    Difference {
        what: "`TCP_WINDOW_CLAMP` of the kernel's end is another: the network stacks send no time stamps.",
        cases: &["options_connected", "options_set_before", "options_inherited"],
        lines: &[(
            "get TCP_WINDOW_CLAMP = 0 length 4 value *",
            "get TCP_WINDOW_CLAMP = 0 length 4 value *",
        )],
        between: &[Between::Stack],
    },
    Difference {
        what: "A blocking `connect` that failed leaves a socket without a port; Linux keeps the one that it had chosen.",
        cases: &["connect_refused"],
        lines: &[
            (
                "getsockname = 0 0.0.0.0 port some length 16",
                "getsockname = 0 0.0.0.0 port 0 length 16",
            ),
            ("getsockname = 0 :: port some length 28", "getsockname = 0 :: port 0 length 28"),
        ],
        between: BOTH,
    },
];

const BOTH: &[Between] = &[Between::Stack, Between::Vcl];

/// Cases that are not compared where a network stack stands between.
#[derive(Debug)]
pub(crate) struct LeftOut {
    /// Why, in the words of the documentation.
    pub(crate) what: &'static str,
    /// Parts of their names.
    pub(crate) cases: &'static [&'static str],
    pub(crate) between: &'static [Between],
    /// Which side has sessions then.
    pub(crate) with: &'static [With],
}

/// All of them.
pub(crate) const LEFT_OUT: &[LeftOut] = &[
    LeftOut {
        what: "In kind `userspace` the kernel's sockets lead nowhere: one that an option keeps the kernel's, or that was \
               passed on before it was connected, cannot connect.",
        cases: &[
            "passed_unconnected",
            "threads_close_while_receiving_datagrams",
            "threads_close_while_accepting",
        ],
        between: BOTH,
        with: &[With::Two],
    },
    LeftOut {
        what: "A network stack takes connections before the program does, beside those of the backlog.",
        cases: &["backlog_full"],
        between: BOTH,
        with: &[With::One],
    },
    LeftOut {
        what: "A socket that is full is not full for long: the peer's kernel, which nobody reads from, takes some more whenever \
               the network stack asks it.",
        cases: &[
            "closed_while_writing",
            "poll_room",
            "poll_little_room",
            "timeout_send",
            "signal_send",
            "threads_shutdown_while_sending",
            "threads_shutdown_sending_signals",
            "threads_close_while_sending",
            "signals_thread_timeouts",
            "signals_differ_send",
            "signals_once",
            "stopped_and_continued",
        ],
        between: BOTH,
        with: &[With::One],
    },
    LeftOut {
        what: "so does one that comes before that look",
        cases: &["backlog_full_restart"],
        between: BOTH,
        with: &[With::Two],
    },
    LeftOut {
        what: "VPP tells nothing of a reset that comes after the peer's end: what is written then seems to be taken.",
        cases: &["close_clean", "sigpipe"],
        between: &[Between::Vcl],
        with: &[With::One],
    },
    LeftOut {
        what: "VPP tells nothing of a reset that comes after the peer's end: what is written then seems to be taken.",
        cases: &["killed_idle", "killed_reading"],
        between: &[Between::Vcl],
        with: &[With::Two],
    },
    LeftOut {
        what: "Where nobody has an address, VPP gives a `connect` up after 66 seconds; Linux after 3, in its own network.",
        cases: &["connect_nowhere"],
        between: &[Between::Vcl],
        with: &[With::Two],
    },
    LeftOut {
        what: "Datagrams do not go by VPP's host stack.",
        cases: &["datagram", "threads_close_while_receiving_many"],
        between: &[Between::Vcl],
        with: &[With::One, With::Two],
    },
];
