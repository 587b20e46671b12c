//! `connect`, in all the ways in which it goes well or not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::interrupts::alarmed;
use super::{Case, nothing};
use crate::names;
use crate::script::{Family, Script};
use crate::sys::{self, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("connect", accepting, connect),
    Case::all("connect_nonblocking", accepting, connect_nonblocking),
    Case::all("connect_refused", refusing, connect_refused),
    Case::all("connect_refused_nonblocking", refusing, connect_refused_nonblocking),
    Case::new("connect_nowhere", nothing, connect_nowhere),
    Case::new("connect_odd_addresses", nothing, odd_addresses),
    Case::all("connect_from_bound", from_bound, from_bound_two),
    Case::new("connect_taken_back", taken_back, taken_back_two),
    Case::new("connect_again_after_refusal", after_refusal, after_refusal_two),
    Case::all("not_connected", not_connected, nothing),
    Case::all("loopback", loopback, nothing),
    Case::all("own_address", own_address, nothing),
    Case::new("connect_with_timeout", accepting, connect_with_timeout),
];

const ALL: i16 = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;

fn accepting(script: &mut Script) {
    let accepted = script.accept_one();
    let got = script.pull(accepted, 5);
    script.note(&names::bytes(&got));
    script.push(accepted, b"world");
    script.meet();
}

fn exchange(script: &Script, fd: Fd) {
    script.send(fd, b"hello", 0);
    let got = script.pull(fd, 5);
    script.note(&names::bytes(&got));
    script.meet();
}

fn connect(script: &mut Script) {
    let to = script.destination();
    let socket = script.stream(0);
    script.connect(socket, to);
    script.connect(socket, to);
    script.own_name(socket);
    script.peer_name(socket);
    script.error(socket);
    exchange(script, socket);
    script.connect(socket, to);
    script.bind(socket, SocketAddr::new(script.any(), 0));
    script.listen(socket, 1);
}

fn connect_nonblocking(script: &mut Script) {
    let to = script.destination();
    let socket = script.stream(libc::SOCK_NONBLOCK);
    script.connect(socket, to);
    script.poll(socket, libc::POLLOUT, 5000);
    script.error(socket);
    script.connect(socket, to);
    script.connect(socket, to);
    script.recv(socket, 5, 0);
    script.peer_name(socket);
    exchange(script, socket);
}

fn connect_with_timeout(script: &mut Script) {
    let to = script.destination();
    let socket = script.stream(0);
    for option in [libc::SO_SNDTIMEO, libc::SO_RCVTIMEO] {
        script.log("timeout", sys::set_timeout(socket, option, 5000));
    }
    script.connect(socket, to);
    exchange(script, socket);
}

/// Tells a port that nobody listens on.
fn refusing(script: &mut Script) {
    let bound = script.stream(0);
    sys::bind(bound, SocketAddr::new(script.any(), 0)).expect("a free port");
    script.announce(bound);
    script.meet();
}

fn connect_refused(script: &mut Script) {
    let to = script.destination();
    let socket = script.stream(0);
    script.connect(socket, to);
    script.error(socket);
    script.poll(socket, ALL, 0);
    script.connect(socket, to);
    script.recv(socket, 4, 0);
    script.own_name(socket);
    script.meet();
}

fn connect_refused_nonblocking(script: &mut Script) {
    let to = script.destination();
    let socket = script.stream(libc::SOCK_NONBLOCK);
    script.connect(socket, to);
    script.until_over(socket);
    script.poll(socket, ALL, 0);
    script.error(socket);
    script.error(socket);
    script.poll(socket, ALL, 0);
    script.peer_name(socket);
    let other = script.stream(libc::SOCK_NONBLOCK);
    script.connect(other, to);
    script.until_over(other);
    script.connect(other, to);
    script.error(other);
    let third = script.stream(libc::SOCK_NONBLOCK);
    script.connect(third, to);
    script.until_over(third);
    script.send(third, b"x", libc::MSG_NOSIGNAL);
    script.send(third, b"x", libc::MSG_NOSIGNAL);
    script.recv(third, 1, 0);
    script.meet();
}

/// An address of the network that nobody has.
fn nobody(script: &Script) -> SocketAddr {
    let IpAddr::V4(peer) = script.peer() else { panic!("a case with IPv4 addresses") };
    let [a, b, c, _] = peer.octets();
    SocketAddr::new(Ipv4Addr::new(a, b, c, 233).into(), 9)
}

fn connect_nowhere(script: &mut Script) {
    let to = nobody(script);
    let socket = script.stream(libc::SOCK_NONBLOCK);
    script.connect(socket, to);
    script.connect(socket, to);
    script.poll(socket, ALL, 0);
    script.error(socket);
    script.send(socket, b"x", libc::MSG_NOSIGNAL);
    script.recv(socket, 1, 0);
    script.peer_name(socket);
    // A blocking one gives up for its timeout, or for a signal.
    let socket = script.stream(0);
    script.log("timeout", sys::set_timeout(socket, libc::SO_SNDTIMEO, 50));
    script.connect(socket, to);
    script.connect(socket, to);
    let socket = script.stream(0);
    sys::catch(libc::SIGALRM, false);
    alarmed(|| script.connect(socket, to));
    sys::catch(libc::SIGALRM, true);
    sys::alarm_after(50, true);
    // Nobody answers the questions for the address, which takes some seconds.
    let socket = script.stream(0);
    script.connect(socket, to);
}

fn odd_addresses(script: &mut Script) {
    let other: SocketAddr = (Ipv6Addr::LOCALHOST, 9).into();
    let socket = script.stream(0);
    script.connect(socket, other);
    script.log("short", sys::connect_short(socket, SocketAddr::new(script.peer(), 9), 4));
    script.log("closed", sys::connect(999, SocketAddr::new(script.peer(), 9)));
    let broadcast: SocketAddr = (Ipv4Addr::BROADCAST, 9).into();
    script.connect(script.stream(0), broadcast);
    script.connect(script.stream(0), (Ipv4Addr::UNSPECIFIED, 1).into());
    let port_zero = SocketAddr::new(script.peer(), 0);
    script.connect(script.stream(0), port_zero);
}

fn from_bound(script: &mut Script) {
    let port: u16 = script.hear().parse().expect("a port");
    script.name_port(port, "chosen");
    let accepted = script.accept_one();
    script.peer_name(accepted);
    script.meet();
}

fn from_bound_two(script: &mut Script) {
    let socket = script.stream(0);
    let here = SocketAddr::new(script.own(), 0);
    script.bind(socket, here);
    let port = sys::own_name(socket).1.expect("bound").port();
    script.name_port(port, "chosen");
    script.tell(&port.to_string());
    let to = script.destination();
    script.connect(socket, to);
    script.own_name(socket);
    let taken = script.stream(0);
    script.bind(taken, SocketAddr::new(script.own(), port));
    script.meet();
}

fn taken_back(script: &mut Script) {
    let accepted = script.accept_one();
    script.meet();
    script.meet();
    // A reset is on its way, or nothing is.
    let _ = sys::poll(&[(accepted, libc::POLLRDHUP)], 500);
    script.recv(accepted, 4, libc::MSG_DONTWAIT);
    // Until then the other side closes nothing.
    script.meet();
}

fn taken_back_two(script: &mut Script) {
    let socket = script.connect_one();
    script.meet();
    script.log("disconnect", sys::disconnect(socket));
    script.peer_name(socket);
    script.poll(socket, ALL, 0);
    script.meet();
    script.meet();
}

fn after_refusal(script: &mut Script) {
    refusing(script);
    let accepted = script.accept_one();
    script.recv(accepted, 8, 0);
}

fn after_refusal_two(script: &mut Script) {
    let refused = script.destination();
    let socket = script.stream(0);
    script.connect(socket, refused);
    script.meet();
    let to = script.destination();
    script.connect(socket, to);
    script.send(socket, b"at last", 0);
}

fn not_connected(script: &mut Script) {
    sys::catch(libc::SIGPIPE, true);
    let socket = script.stream(0);
    script.poll(socket, ALL, 0);
    script.recv(socket, 4, 0);
    script.read(socket, 4);
    script.send(socket, b"x", 0);
    script.write(socket, b"x");
    script.note(&format!("SIGPIPE {}", sys::caught(libc::SIGPIPE)));
    script.shutdown(socket, libc::SHUT_WR);
    script.peer_name(socket);
    script.waiting(socket);
    script.error(socket);
}

fn talk_to_oneself(script: &mut Script, ip: IpAddr) {
    let listener = script.stream(0);
    script.bind(listener, SocketAddr::new(ip, 0));
    script.listen(listener, 4);
    let to = sys::own_name(listener).1.expect("bound");
    script.name_port(to.port(), "listening");
    let socket = script.stream(0);
    script.connect(socket, to);
    let accepted = script.accept4(listener, 0).fd();
    script.peer_name(socket);
    script.own_name(accepted);
    script.send(socket, b"there", 0);
    script.recv(accepted, 9, 0);
    script.send(accepted, b"and back", 0);
    script.recv(socket, 9, 0);
    script.close(accepted);
    script.recv(socket, 9, 0);
}

fn loopback(script: &mut Script) {
    let ip: IpAddr = match script.family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
        Family::Mapped => Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
    };
    talk_to_oneself(script, ip);
}

fn own_address(script: &mut Script) {
    let own = script.own();
    talk_to_oneself(script, own);
}
