//! `socket`, `bind`, `listen`, `accept`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Case, nothing};
use crate::calls::fd;
use crate::names;
use crate::script::{Family, Script};
use crate::sys::{self, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("socket_kinds", socket_kinds, nothing),
    Case::all("bind_ephemeral", bind_ephemeral, nothing),
    Case::all("bind_in_use", bind_in_use, nothing),
    Case::new("bind_reuse", bind_reuse, nothing),
    Case::all("bind_not_here", bind_not_here, nothing),
    Case::new("bind_v6only", bind_v6only, nothing),
    Case::all("listen", listen, nothing),
    Case::new("listening_socket_as_stream", listening_as_stream, nothing),
    Case::all("accept_flags", accept_flags, accept_flags_two),
    Case::all("accept_address", accept_address, accept_address_two),
    Case::new("accept_errors", accept_errors, accept_errors_two),
    Case::new("backlog_waits", backlog_waits, backlog_waits_two),
    Case::new("listener_closed_over_waiting", closed_over_waiting, closed_over_waiting_two),
    Case::new("listener_closed", listener_closed, listener_closed_two),
    Case::new("listener_shut_down", listener_shut_down, nothing),
];

/// The flags of a descriptor.
fn flags(script: &Script, fd: Fd) {
    let status = sys::fcntl(fd, libc::F_GETFL, 0);
    let close_on_exec = sys::fcntl(fd, libc::F_GETFD, 0);
    let named = status.map(|bits| {
        let nonblocking = bits & i64::from(libc::O_NONBLOCK) != 0;
        let mode = bits & i64::from(libc::O_ACCMODE);
        format!("mode {mode} nonblocking {nonblocking}")
    });
    let named = named.unwrap_or_else(names::error);
    script.note(&format!("flags {named} cloexec {}", names::answer(close_on_exec)));
}

fn socket_kinds(script: &mut Script) {
    let domain = script.family.domain();
    let kinds = [
        (domain, libc::SOCK_STREAM, 0),
        (domain, libc::SOCK_STREAM, libc::IPPROTO_TCP),
        (domain, libc::SOCK_STREAM, libc::IPPROTO_UDP),
        (domain, libc::SOCK_DGRAM, libc::IPPROTO_TCP),
        (domain, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0),
        (domain, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0),
        (domain, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0),
        (domain, 99, 0),
        (99, libc::SOCK_STREAM, 0),
        (libc::AF_UNIX, libc::SOCK_STREAM, 0),
    ];
    for (index, (domain, kind, protocol)) in kinds.into_iter().enumerate() {
        let made = script.log_fd(&format!("socket {index}"), sys::socket(domain, kind, protocol));
        if made.is_ok() {
            flags(script, made.fd());
        }
    }
}

fn bind_ephemeral(script: &mut Script) {
    let socket = script.stream(0);
    script.own_name(socket);
    script.bind(socket, SocketAddr::new(script.own(), 0));
    script.own_name(socket);
    script.peer_name(socket);
    script.bind(socket, SocketAddr::new(script.own(), 0));
    script.close(socket);
    script.bind(socket, SocketAddr::new(script.own(), 0));
}

fn bind_in_use(script: &mut Script) {
    let first = script.listener(4);
    let port = sys::own_name(first).1.expect("bound").port();
    for ip in [script.any(), script.own()] {
        let second = script.stream(0);
        script.bind(second, SocketAddr::new(ip, port));
        let third = script.stream(0);
        set(script, third, libc::SO_REUSEADDR);
        script.bind(third, SocketAddr::new(ip, port));
    }
    script.close(first);
    let again = script.stream(0);
    script.bind(again, SocketAddr::new(script.any(), port));
    script.listen(again, 4);
}

fn set(script: &Script, fd: Fd, option: i32) {
    script.log("setsockopt", sys::set_option(fd, libc::SOL_SOCKET, option, 1));
}

fn bind_reuse(script: &mut Script) {
    for option in [libc::SO_REUSEADDR, libc::SO_REUSEPORT] {
        let (first, second) = (script.stream(0), script.stream(0));
        set(script, first, option);
        set(script, second, option);
        script.bind(first, SocketAddr::new(script.any(), 0));
        let port = sys::own_name(first).1.expect("bound").port();
        script.bind(second, SocketAddr::new(script.any(), port));
        script.listen(first, 4);
        script.listen(second, 4);
        // One that does not say so finds the port taken.
        let third = script.stream(0);
        script.bind(third, SocketAddr::new(script.any(), port));
    }
}

fn bind_not_here(script: &mut Script) {
    let socket = script.stream(0);
    script.bind(socket, SocketAddr::new(script.peer(), 0));
    let other: IpAddr = match script.family {
        Family::V4 => Ipv6Addr::UNSPECIFIED.into(),
        Family::V6 | Family::Mapped => Ipv4Addr::UNSPECIFIED.into(),
    };
    script.bind(socket, SocketAddr::new(other, 0));
    script.own_name(socket);
}

fn bind_v6only(script: &mut Script) {
    let v6 = |only| {
        let made = fd(sys::socket(libc::AF_INET6, libc::SOCK_STREAM, 0));
        sys::set_option(made, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, only).expect("an option");
        made
    };
    for only in [0, 1] {
        let first = v6(only);
        // A port that is free for IPv4 too: the kernel chooses one for IPv6 alone where a socket is that only.
        let probe = fd(sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0));
        sys::bind(probe, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)).expect("a free port");
        let port = sys::own_name(probe).1.expect("bound").port();
        sys::close(probe).expect("open");
        script.bind(first, SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
        script.listen(first, 4);
        let second = script.stream(0);
        script.bind(second, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
        script.listen(second, 4);
    }
}

fn listen(script: &mut Script) {
    let socket = script.stream(0);
    // Without an address it gets a port.
    script.listen(socket, 4);
    script.own_name(socket);
    script.peer_name(socket);
    script.listen(socket, 0);
    script.listen(socket, -1);
    flags(script, socket);
    let datagrams = script.datagram(0);
    script.listen(datagrams, 1);
    script.listen(999, 1);
}

fn listening_as_stream(script: &mut Script) {
    sys::catch(libc::SIGPIPE, true);
    let listener = script.listener(4);
    script.recv(listener, 4, 0);
    script.read(listener, 4);
    script.send(listener, b"x", 0);
    script.note(&format!("SIGPIPE {}", sys::caught(libc::SIGPIPE)));
    script.peer_name(listener);
    let to = SocketAddr::new(script.peer(), 9);
    script.connect(listener, to);
    script.bind(listener, SocketAddr::new(script.any(), 0));
    script.error(listener);
    script.poll(listener, libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP, 0);
    script.waiting(listener);
}

fn accept_flags(script: &mut Script) {
    let listener = script.listener(8);
    for bits in
        [0, libc::SOCK_NONBLOCK, libc::SOCK_CLOEXEC, libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC]
    {
        let accepted = script.accept4(listener, bits).fd();
        flags(script, accepted);
    }
    // The listener's own flag is not passed on.
    script.nonblocking(listener);
    script.accept4(listener, 0);
    script.tell("one more");
    script.until_events(listener, libc::POLLIN);
    let accepted = script.accept4(listener, 0).fd();
    flags(script, accepted);
    flags(script, listener);
    script.meet();
}

fn accept_flags_two(script: &mut Script) {
    let to = script.destination();
    let connect = || {
        let socket = script.stream(0);
        script.connect(socket, to);
    };
    (0..4).for_each(|_| connect());
    script.hear();
    connect();
    script.meet();
}

fn accept_address(script: &mut Script) {
    let listener = script.listener(8);
    let port: u16 = script.hear().parse().expect("a port");
    script.name_port(port, "connecting");
    script.meet();
    let (accepted, from, len) = sys::accept(listener);
    let accepted = script.log_fd("accept", accepted).fd();
    script.note(&format!("from {} length {len}", script.show(from)));
    script.own_name(accepted);
    script.peer_name(accepted);
    script.own_name(listener);
    script.poll(accepted, libc::POLLIN | libc::POLLOUT, 0);
    script.error(accepted);
    script.meet();
}

fn accept_address_two(script: &mut Script) {
    let to = script.destination();
    let socket = script.stream(0);
    script.bind(socket, SocketAddr::new(script.any(), 0));
    let port = sys::own_name(socket).1.expect("bound").port();
    script.name_port(port, "connecting");
    script.tell(&port.to_string());
    script.meet();
    script.connect(socket, to);
    script.own_name(socket);
    script.peer_name(socket);
    script.poll(socket, libc::POLLIN | libc::POLLOUT, 0);
    script.meet();
}

fn accept_errors(script: &mut Script) {
    let unbound = script.stream(0);
    script.accept4(unbound, 0);
    script.accept4(999, 0);
    let listener = script.listener(4);
    script.accept4(listener, 1);
    script.nonblocking(listener);
    script.accept4(listener, 0);
    script.meet();
    script.until_events(listener, libc::POLLIN);
    let accepted = script.accept4(listener, 0).fd();
    script.accept4(accepted, 0);
    script.meet();
}

fn accept_errors_two(script: &mut Script) {
    let to = script.destination();
    script.meet();
    let socket = script.stream(0);
    script.connect(socket, to);
    script.meet();
}

fn backlog_waits(script: &mut Script) {
    let listener = script.listener(8);
    script.meet();
    // That the peer is connected says that its kernel was answered.
    script.until_events(listener, libc::POLLIN);
    script.poll(listener, libc::POLLIN, 0);
    let all: Vec<_> = (0..4).map(|_| script.accept4(listener, 0).fd()).collect();
    for accepted in &all {
        script.pull(*accepted, 4);
    }
    script.nonblocking(listener);
    script.accept4(listener, 0);
    script.poll(listener, libc::POLLIN, 0);
    script.meet();
}

fn backlog_waits_two(script: &mut Script) {
    let to = script.destination();
    for _ in 0..4 {
        let socket = script.stream(0);
        script.connect(socket, to);
        // Before anybody accepted.
        script.send(socket, b"data", 0);
    }
    script.meet();
    script.meet();
}

fn closed_over_waiting(script: &mut Script) {
    let listener = script.listener(8);
    script.meet();
    script.until_events(listener, libc::POLLIN);
    script.close(listener);
    script.meet();
}

fn closed_over_waiting_two(script: &mut Script) {
    let to = script.destination();
    let socket = script.stream(0);
    script.connect(socket, to);
    script.meet();
    script.meet();
    script.until_events(socket, libc::POLLIN);
    script.poll(socket, libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP, 0);
    script.recv(socket, 4, 0);
    script.recv(socket, 4, 0);
}

fn listener_closed(script: &mut Script) {
    let listener = script.listener(8);
    script.close(listener);
    script.meet();
    script.meet();
}

fn listener_closed_two(script: &mut Script) {
    let to = script.destination();
    script.meet();
    let socket = script.stream(0);
    script.connect(socket, to);
    script.error(socket);
    script.meet();
}

fn listener_shut_down(script: &mut Script) {
    let listener = script.listener(8);
    script.shutdown(listener, libc::SHUT_RD);
    script.accept4(listener, 0);
    script.poll(listener, libc::POLLIN, 0);
    script.shutdown(listener, libc::SHUT_RDWR);
}
