//! `getsockopt` and `setsockopt`: the options that programs use.

use super::{Case, nothing};
use crate::names;
use crate::script::Script;
use crate::sys::{self, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("options_fresh", options_fresh, nothing),
    Case::all("options_listener", options_listener, nothing),
    Case::all("options_connected", options_connected, options_connected),
    Case::new("options_set_before", set_before, set_before_two),
    Case::new("options_inherited", inherited, inherited_two),
    Case::all("options_odd", odd, odd_two),
    Case::new("option_timeouts", timeouts, timeouts_two),
    Case::new("option_linger", linger, linger_two),
    Case::new("option_buffers", buffers, buffers_two),
    Case::new("option_tcp_info", tcp_info, tcp_info_two),
];

const SOCKET: i32 = libc::SOL_SOCKET;
const TCP: i32 = libc::IPPROTO_TCP;
const IP: i32 = libc::IPPROTO_IP;
const IPV6: i32 = libc::IPPROTO_IPV6;

/// Name, level, number, and a value to set.
type Named = (&'static str, i32, i32, i32);

const SETTABLE: &[Named] = &[
    ("SO_REUSEADDR", SOCKET, libc::SO_REUSEADDR, 1),
    ("SO_REUSEPORT", SOCKET, libc::SO_REUSEPORT, 1),
    ("SO_KEEPALIVE", SOCKET, libc::SO_KEEPALIVE, 5),
    ("SO_BROADCAST", SOCKET, libc::SO_BROADCAST, 1),
    ("SO_OOBINLINE", SOCKET, libc::SO_OOBINLINE, 1),
    ("SO_DONTROUTE", SOCKET, libc::SO_DONTROUTE, 0),
    ("SO_PRIORITY", SOCKET, libc::SO_PRIORITY, 3),
    ("SO_RCVLOWAT", SOCKET, libc::SO_RCVLOWAT, 1),
    ("SO_TIMESTAMP", SOCKET, libc::SO_TIMESTAMP, 0),
    ("SO_NO_CHECK", SOCKET, libc::SO_NO_CHECK, 0),
    ("TCP_NODELAY", TCP, libc::TCP_NODELAY, 1),
    ("TCP_CORK", TCP, libc::TCP_CORK, 0),
    ("TCP_QUICKACK", TCP, libc::TCP_QUICKACK, 1),
    ("TCP_KEEPIDLE", TCP, libc::TCP_KEEPIDLE, 77),
    ("TCP_KEEPINTVL", TCP, libc::TCP_KEEPINTVL, 11),
    ("TCP_KEEPCNT", TCP, libc::TCP_KEEPCNT, 4),
    ("TCP_USER_TIMEOUT", TCP, libc::TCP_USER_TIMEOUT, 12_345),
    ("TCP_SYNCNT", TCP, libc::TCP_SYNCNT, 3),
    ("TCP_LINGER2", TCP, libc::TCP_LINGER2, 20),
    ("TCP_DEFER_ACCEPT", TCP, libc::TCP_DEFER_ACCEPT, 0),
    ("TCP_WINDOW_CLAMP", TCP, libc::TCP_WINDOW_CLAMP, 0),
    ("TCP_NOTSENT_LOWAT", TCP, libc::TCP_NOTSENT_LOWAT, 16_384),
];

const OF_V4: &[Named] = &[
    ("IP_TOS", IP, libc::IP_TOS, 0x10),
    ("IP_TTL", IP, libc::IP_TTL, 33),
    ("IP_RECVTOS", IP, libc::IP_RECVTOS, 0),
    ("IP_MTU_DISCOVER", IP, libc::IP_MTU_DISCOVER, 1),
    ("IP_FREEBIND", IP, libc::IP_FREEBIND, 0),
];

const OF_V6: &[Named] = &[
    ("IPV6_UNICAST_HOPS", IPV6, libc::IPV6_UNICAST_HOPS, 33),
    ("IPV6_TCLASS", IPV6, libc::IPV6_TCLASS, 0x20),
    ("IPV6_RECVPKTINFO", IPV6, libc::IPV6_RECVPKTINFO, 0),
];

const READABLE: &[(&str, i32, i32)] = &[
    ("SO_TYPE", SOCKET, libc::SO_TYPE),
    ("SO_DOMAIN", SOCKET, libc::SO_DOMAIN),
    ("SO_PROTOCOL", SOCKET, libc::SO_PROTOCOL),
    ("SO_ACCEPTCONN", SOCKET, libc::SO_ACCEPTCONN),
    ("SO_ERROR", SOCKET, libc::SO_ERROR),
    ("SO_LINGER", SOCKET, libc::SO_LINGER),
    ("SO_RCVTIMEO", SOCKET, libc::SO_RCVTIMEO),
    ("SO_SNDTIMEO", SOCKET, libc::SO_SNDTIMEO),
    ("SO_SNDLOWAT", SOCKET, libc::SO_SNDLOWAT),
    ("SO_MARK", SOCKET, libc::SO_MARK),
    ("SO_PEERCRED", SOCKET, libc::SO_PEERCRED),
    ("IPV6_V6ONLY", IPV6, libc::IPV6_V6ONLY),
    ("unknown of the socket", SOCKET, 9999),
    ("unknown of TCP", TCP, 9999),
    ("unknown of IP", IP, 9999),
    ("unknown level", 9999, 1),
];

fn get(script: &Script, fd: Fd, name: &str, level: i32, number: i32) {
    let (answer, len, [value, second]) = sys::get_option(fd, level, number);
    let shown = match (answer, len) {
        (Ok(_), 4) => format!("length 4 value {value}"),
        (Ok(_), 8 | 16) => format!("length {len} values {value} {second}"),
        (Ok(_), _) => format!("length {len}"),
        _ => String::new(),
    };
    script.note(&format!("get {name} = {} {shown}", names::answer(answer)));
}

fn set(script: &Script, fd: Fd, name: &str, level: i32, number: i32, value: i32) {
    script.log(&format!("set {name} {value}"), sys::set_option(fd, level, number, value));
}

fn read_all(script: &Script, fd: Fd) {
    for (name, level, number) in READABLE {
        get(script, fd, name, *level, *number);
    }
    for (name, level, number, _) in SETTABLE.iter().chain(OF_V4).chain(OF_V6) {
        get(script, fd, name, *level, *number);
    }
}

fn set_all(script: &Script, fd: Fd) {
    for (name, level, number, value) in SETTABLE.iter().chain(OF_V4).chain(OF_V6) {
        set(script, fd, name, *level, *number, *value);
        get(script, fd, name, *level, *number);
    }
}

fn options_fresh(script: &mut Script) {
    let fd = script.stream(0);
    read_all(script, fd);
    set_all(script, fd);
}

fn options_listener(script: &mut Script) {
    let fd = script.listener(4);
    read_all(script, fd);
    set_all(script, fd);
}

fn options_connected(script: &mut Script) {
    let fd = script.pair();
    read_all(script, fd);
    set_all(script, fd);
    script.meet();
}

/// What was set before a socket is connected is still there afterwards.
fn set_before(script: &mut Script) {
    let fd = script.accept_one();
    read_all(script, fd);
    script.meet();
}

fn set_before_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.stream(0);
    for (name, level, number, value) in SETTABLE {
        set(script, fd, name, *level, *number, *value);
    }
    script.connect(fd, to);
    read_all(script, fd);
    script.meet();
}

/// Accepted sockets start with what their listener has.
fn inherited(script: &mut Script) {
    let listener = script.stream(0);
    for (name, level, number, value) in SETTABLE {
        set(script, listener, name, *level, *number, *value);
    }
    script.log("linger", sys::set_linger(listener, true, 3));
    let any = (script.any(), 0).into();
    script.bind(listener, any);
    script.listen(listener, 4);
    script.announce(listener);
    let fd = script.accept4(listener, 0).fd();
    read_all(script, fd);
    script.meet();
}

fn inherited_two(script: &mut Script) {
    let _fd = script.connect_one();
    script.meet();
}

fn odd(script: &mut Script) {
    let fd = script.accept_one();
    for (name, level, number) in READABLE {
        set(script, fd, name, *level, *number, 1);
    }
    set(script, fd, "TCP_KEEPIDLE", TCP, libc::TCP_KEEPIDLE, -1);
    set(script, fd, "TCP_KEEPCNT", TCP, libc::TCP_KEEPCNT, 1000);
    set(script, fd, "TCP_MAXSEG", TCP, libc::TCP_MAXSEG, 1);
    set(script, fd, "SO_PRIORITY", SOCKET, libc::SO_PRIORITY, -5);
    set(script, fd, "SO_RCVLOWAT", SOCKET, libc::SO_RCVLOWAT, -1);
    set(script, fd, "IP_TTL", IP, libc::IP_TTL, 1000);
    for len in [0, 1, 2, 3] {
        let answer = sys::set_short(fd, SOCKET, libc::SO_KEEPALIVE, len);
        script.log(&format!("set {len} bytes"), answer);
        let (answer, got) = sys::get_short(fd, SOCKET, libc::SO_KEEPALIVE, len);
        script.note(&format!("get {len} bytes = {} {got}", names::answer(answer)));
        let (answer, got) = sys::get_short(fd, TCP, libc::TCP_NODELAY, len);
        script.note(&format!("get {len} bytes = {} {got}", names::answer(answer)));
    }
    for len in [0, 4, 16, 17, 28, 29] {
        let (answer, got) = sys::get_short(fd, SOCKET, libc::SO_PEERNAME, len);
        script.note(&format!("get SO_PEERNAME {len} = {} {got}", names::answer(answer)));
    }
    set(script, 999, "closed", SOCKET, libc::SO_KEEPALIVE, 1);
    get(script, 999, "closed", SOCKET, libc::SO_KEEPALIVE);
    script.meet();
}

fn odd_two(script: &mut Script) {
    let _fd = script.connect_one();
    script.meet();
}

fn timeouts(script: &mut Script) {
    let fd = script.accept_one();
    for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        script.log("timeout", sys::set_timeout(fd, option, 2000));
        get(script, fd, "timeout", SOCKET, option);
        script.log("no timeout", sys::set_timeout(fd, option, 0));
        get(script, fd, "timeout", SOCKET, option);
        script.log("negative timeout", sys::set_timeout(fd, option, -2000));
        get(script, fd, "timeout", SOCKET, option);
    }
    script.meet();
}

fn timeouts_two(script: &mut Script) {
    let _fd = script.connect_one();
    script.meet();
}

fn linger(script: &mut Script) {
    let fd = script.accept_one();
    get(script, fd, "linger", SOCKET, libc::SO_LINGER);
    script.log("linger", sys::set_linger(fd, true, 7));
    get(script, fd, "linger", SOCKET, libc::SO_LINGER);
    script.log("linger", sys::set_linger(fd, false, 0));
    get(script, fd, "linger", SOCKET, libc::SO_LINGER);
    script.meet();
}

fn linger_two(script: &mut Script) {
    let _fd = script.connect_one();
    script.meet();
}

fn buffers(script: &mut Script) {
    let fd = script.accept_one();
    for option in [libc::SO_SNDBUF, libc::SO_RCVBUF] {
        for value in [0, 4000, 50_000, 1 << 30] {
            set(script, fd, "buffer", SOCKET, option, value);
            get(script, fd, "buffer", SOCKET, option);
        }
    }
    script.meet();
}

fn buffers_two(script: &mut Script) {
    let _fd = script.connect_one();
    script.meet();
}

/// The state is the first byte (`<linux/tcp.h>`).
fn tcp_info(script: &mut Script) {
    let listener = script.listener(4);
    let state = |fd| {
        let (answer, _, [value, _]) = sys::get_option(fd, TCP, libc::TCP_INFO);
        script.note(&format!("TCP_INFO = {} state {}", names::answer(answer), value & 0xff));
    };
    state(listener);
    let fd = script.accept4(listener, 0).fd();
    state(fd);
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.until_done(fd);
    state(fd);
    script.meet();
}

fn tcp_info_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.shutdown(fd, libc::SHUT_WR);
    script.meet();
}
