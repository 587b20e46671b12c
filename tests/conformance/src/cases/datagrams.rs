//! UDP: datagrams between sockets connected and not, their boundaries, many at once, what is nobody's.

use std::net::SocketAddr;

use super::{Case, nothing};
use crate::names;
use crate::script::{Family, Script};
use crate::sys::{self, Epoll, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("datagram_exchange", exchange, exchange_two),
    Case::all("datagram_connected", connected, connected_two),
    Case::new("datagram_sizes", sizes, sizes_two),
    Case::new("datagram_cut", cut, cut_two),
    Case::all("datagram_batches", batches, batches_two),
    Case::new("datagram_dup", duplicates, duplicates_two),
    Case::new("datagram_dup2", dup2_over, dup2_over_two),
    Case::new("datagram_timeout", timeout, timeout_two),
    // Not with IPv4 a second time: the kernel sends few refusals a second to one peer.
    Case {
        name: "datagram_refused",
        families: &[Family::V4, Family::V6],
        one: refused,
        two: refused_two,
    },
    Case::new("datagram_strangers", strangers, strangers_two),
    Case::new("datagram_taken_back", taken_back, taken_back_two),
    Case::new("datagram_ready", ready, ready_two),
    Case::new("datagram_epoll", epoll, ready_two),
    Case::new("datagram_shutdown", shutdown, shutdown_two),
    Case::new("datagram_errors", errors, nothing),
];

/// A bound socket, whose port the other side is told.
pub(super) fn bound(script: &mut Script) -> Fd {
    let fd = script.datagram(0);
    script.bind(fd, SocketAddr::new(script.any(), 0));
    script.announce(fd);
    fd
}

pub(super) fn send_to(script: &Script, fd: Fd, bytes: &[u8], to: SocketAddr) {
    let call = format!("sendto {} {}", bytes.len(), script.show(Some(to)));
    script.log(&call, sys::send_to(fd, bytes, 0, to));
}

/// `recvfrom`; whom it names.
pub(super) fn recv_from(script: &Script, fd: Fd, len: usize) -> Option<SocketAddr> {
    let mut buffer = vec![0; len];
    let (answer, from, name) = sys::recv_from(fd, &mut buffer, 0);
    let got = answer.ok().and_then(|it| usize::try_from(it).ok()).unwrap_or(0).min(len);
    script.note(&format!(
        "recvfrom {len} = {} {} from {} length {name}",
        names::answer(answer),
        names::bytes(&buffer[..got]),
        script.show(from)
    ));
    from
}

fn exchange(script: &mut Script) {
    let fd = bound(script);
    let from = recv_from(script, fd, 100).expect("a sender");
    send_to(script, fd, b"back", from);
    send_to(script, fd, b"", from);
    recv_from(script, fd, 100);
    script.own_name(fd);
    script.peer_name(fd);
    script.send(fd, b"to nobody", 0);
    script.meet();
}

fn exchange_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(0);
    send_to(script, fd, b"out", to);
    recv_from(script, fd, 100);
    recv_from(script, fd, 100);
    send_to(script, fd, b"again", to);
    script.own_name(fd);
    script.meet();
}

/// Both ends are connected, and the calls are those of files.
fn connected(script: &mut Script) {
    let fd = bound(script);
    let from = recv_from(script, fd, 100).expect("a sender");
    script.connect(fd, from);
    script.peer_name(fd);
    script.own_name(fd);
    script.write(fd, b"written");
    script.log("writev", sys::write_parts(fd, &[b"in ", b"", b"parts"]));
    script.log("sendmsg", sys::send_message(fd, &[b"a ", b"message"], 0, None));
    send_to(script, fd, b"named", from);
    script.read(fd, 100);
    script.meet();
}

fn connected_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(0);
    script.connect(fd, to);
    script.peer_name(fd);
    script.send(fd, b"first", 0);
    script.read(fd, 100);
    let mut parts = [vec![b'.'; 4], vec![b'.'; 9]];
    let answer = sys::read_parts(fd, &mut parts);
    let all: Vec<_> = parts.iter().map(|it| names::bytes(it)).collect();
    script.note(&format!("readv = {} {}", names::answer(answer), all.join(" ")));
    let mut parts = [vec![b'.'; 20]];
    let got = sys::receive_message(fd, &mut parts, 0);
    script.note(&format!(
        "recvmsg = {} flags {} name {} control {} from {} {}",
        names::answer(got.result),
        names::message(got.flags),
        got.name_len,
        got.control_len,
        script.show(got.from),
        names::bytes(&parts[0])
    ));
    script.recv(fd, 100, 0);
    script.write(fd, b"done");
    script.meet();
}

/// From nothing to the most that there can be, and one more.
fn sizes(script: &mut Script) {
    let fd = bound(script);
    for _ in 0..7 {
        let from = recv_from(script, fd, 70_000).expect("a sender");
        send_to(script, fd, b"next", from);
    }
}

fn sizes_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(0);
    for len in [0, 1, 1472, 1473, 9000, 60_000, 65_507] {
        let bytes: Vec<u8> = (0..len).map(|at: u32| at.to_le_bytes()[0]).collect();
        send_to(script, fd, &bytes, to);
        script.recv(fd, 10, 0);
    }
    send_to(script, fd, &vec![0; 65_508], to);
    send_to(script, fd, &vec![0; 100_000], to);
}

fn cut(script: &mut Script) {
    let fd = bound(script);
    script.until_events(fd, libc::POLLIN);
    script.waiting(fd);
    script.recv(fd, 4, libc::MSG_PEEK);
    script.recv(fd, 0, libc::MSG_PEEK | libc::MSG_TRUNC);
    script.recv(fd, 4, libc::MSG_PEEK | libc::MSG_TRUNC);
    let mut parts = [vec![b'.'; 3], vec![b'.'; 3]];
    let got = sys::receive_message(fd, &mut parts, libc::MSG_CMSG_CLOEXEC);
    let all: Vec<_> = parts.iter().map(|it| names::bytes(it)).collect();
    let (result, flags) = (names::answer(got.result), names::message(got.flags));
    script.note(&format!("recvmsg = {result} {flags} {}", all.join(" ")));
    script.tell("next");
    script.until_events(fd, libc::POLLIN);
    script.recv(fd, 4, libc::MSG_TRUNC);
    script.tell("next");
    script.until_events(fd, libc::POLLIN);
    script.recv(fd, 100, libc::MSG_WAITALL);
    script.tell("next");
    script.until_events(fd, libc::POLLIN);
    script.waiting(fd);
    script.recv(fd, 0, 0);
    script.recv(fd, 4, libc::MSG_DONTWAIT);
    script.recv(fd, 4, libc::MSG_DONTWAIT | libc::MSG_PEEK);
    script.waiting(fd);
}

fn cut_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(0);
    send_to(script, fd, b"ten bytes!", to);
    script.hear();
    send_to(script, fd, b"more than four", to);
    script.hear();
    send_to(script, fd, b"not all", to);
    script.hear();
    send_to(script, fd, b"", to);
}

pub(super) fn many(script: &Script, fd: Fd, lens: &[usize], flags: i32, timeout: Option<i64>) {
    let mut buffers: Vec<_> = lens.iter().map(|len| vec![b'.'; *len]).collect();
    let got = sys::receive_many(fd, &mut buffers, flags, timeout);
    let all: Vec<_> = buffers.iter().map(|it| names::bytes(it)).collect();
    let (result, flags) = (names::answer(got.result), names::message(flags));
    script.note(&format!(
        "recvmmsg {lens:?} {flags} = {result} {:?} {}",
        got.lengths,
        all.join(" ")
    ));
}

pub(super) fn send_many(script: &Script, fd: Fd, all: &[&[u8]]) {
    let sent = sys::send_many(fd, all, 0);
    script.note(&format!("sendmmsg = {} {:?}", names::answer(sent.result), sent.lengths));
}

fn batches(script: &mut Script) {
    let fd = bound(script);
    many(script, fd, &[8, 8, 3, 8], 0, None);
    many(script, fd, &[8], libc::MSG_DONTWAIT, None);
    script.tell("one");
    many(script, fd, &[8, 8], libc::MSG_WAITFORONE, None);
    script.tell("two");
    many(script, fd, &[8, 8], 0, Some(5000));
    many(script, fd, &[], 0, None);
    script.meet();
}

fn batches_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(0);
    script.connect(fd, to);
    send_many(script, fd, &[b"one", b"", b"three", b"four"]);
    script.hear();
    send_many(script, fd, &[b"alone"]);
    script.hear();
    send_many(script, fd, &[b"a", b"b"]);
    send_many(script, fd, &[]);
    script.meet();
    // One that is too long ends the batch.
    let long = vec![0; 70_000];
    send_many(script, fd, &[b"fits", &long, b"never sent"]);
    send_many(script, fd, &[&long]);
}

/// A socket under several numbers is one socket, whichever was closed.
fn duplicates(script: &mut Script) {
    let fd = bound(script);
    let copy = script.log_fd("dup", sys::dup(fd)).fd();
    let from = recv_from(script, copy, 100).expect("a sender");
    script.close(fd);
    send_to(script, copy, b"by the copy", from);
    recv_from(script, copy, 100);
    let high = script.log_fd("F_DUPFD", sys::fcntl(copy, libc::F_DUPFD_CLOEXEC, 60)).fd();
    script.close(copy);
    script.connect(high, from);
    script.send(high, b"by the last", 0);
    script.recv(high, 100, 0);
    script.recv(copy, 100, 0);
    script.meet();
    script.close(high);
}

fn duplicates_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(0);
    // A duplicate of before anybody was asked.
    let copy = script.log_fd("dup", sys::dup(fd)).fd();
    send_to(script, fd, b"by the first", to);
    recv_from(script, copy, 100);
    send_to(script, copy, b"and the other", to);
    recv_from(script, fd, 100);
    send_to(script, fd, b"the end", to);
    script.meet();
}

fn dup2_over(script: &mut Script) {
    let fd = bound(script);
    let other = script.datagram(0);
    let from = recv_from(script, fd, 100).expect("a sender");
    script.log_fd("dup2", sys::dup2(fd, other));
    script.close(fd);
    send_to(script, other, b"under another number", from);
    let (read, _write) = sys::pipe();
    script.log_fd("dup2", sys::dup2(read, other));
    script.log("fstat", sys::kind_of_file(other));
    script.meet();
}

fn dup2_over_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(0);
    send_to(script, fd, b"hello", to);
    recv_from(script, fd, 100);
    script.meet();
}

/// As a resolver does: an answer within a time, or another try.
fn timeout(script: &mut Script) {
    let fd = bound(script);
    let from = recv_from(script, fd, 100).expect("a sender");
    recv_from(script, fd, 100);
    send_to(script, fd, b"the answer", from);
    script.meet();
}

fn timeout_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(libc::SOCK_NONBLOCK);
    script.connect(fd, to);
    script.send(fd, b"question", libc::MSG_NOSIGNAL);
    script.poll(fd, libc::POLLIN, 50);
    script.recv(fd, 100, 0);
    let flags = sys::fcntl(fd, libc::F_SETFL, 0);
    script.log("blocking", flags);
    script.log("timeout", sys::set_timeout(fd, libc::SO_RCVTIMEO, 50));
    script.recv(fd, 100, 0);
    script.send(fd, b"once more", libc::MSG_NOSIGNAL);
    script.log("no timeout", sys::set_timeout(fd, libc::SO_RCVTIMEO, 0));
    script.recv(fd, 100, 0);
    script.meet();
}

/// Nobody has the port: the connected socket is told, once, by whichever call comes first.
fn refused(script: &mut Script) {
    let fd = bound(script);
    script.close(fd);
    script.meet();
    script.meet();
}

fn refused_two(script: &mut Script) {
    let to = script.destination();
    script.meet();
    let fd = script.datagram(0);
    script.connect(fd, to);
    let told = |script: &Script| {
        script.send(fd, b"anybody?", 0);
        script.until_events(fd, libc::POLLERR);
    };
    told(script);
    script.poll(fd, libc::POLLIN | libc::POLLOUT, 0);
    script.recv(fd, 100, 0);
    script.recv(fd, 100, libc::MSG_DONTWAIT);
    told(script);
    script.error(fd);
    script.error(fd);
    told(script);
    script.send(fd, b"hello?", 0);
    script.recv(fd, 100, libc::MSG_DONTWAIT);
    script.close(fd);
    // Who is not connected hears nothing of it.
    let fd = script.datagram(0);
    send_to(script, fd, b"anybody?", to);
    script.poll(fd, libc::POLLIN, 50);
    script.error(fd);
    script.meet();
}

/// A connected socket hears its peer alone.
fn strangers(script: &mut Script) {
    let fd = bound(script);
    let from = recv_from(script, fd, 100).expect("a sender");
    script.connect(fd, from);
    script.meet();
    script.recv(fd, 100, 0);
    script.recv(fd, 100, libc::MSG_DONTWAIT);
    script.meet();
}

fn strangers_two(script: &mut Script) {
    let to = script.destination();
    let (friend, stranger) = (script.datagram(0), script.datagram(0));
    send_to(script, friend, b"hello", to);
    script.meet();
    send_to(script, stranger, b"unheard", to);
    send_to(script, friend, b"heard", to);
    script.meet();
}

/// With a port of its own choice: one that the kernel chose goes with the connection.
fn taken_back(script: &mut Script) {
    let fd = script.datagram(0);
    script.bind(fd, SocketAddr::new(script.any(), 20_777));
    script.announce(fd);
    let from = recv_from(script, fd, 100).expect("a sender");
    script.connect(fd, from);
    script.send(fd, b"connected", 0);
    script.log("disconnect", sys::disconnect(fd));
    script.peer_name(fd);
    script.send(fd, b"to nobody", 0);
    script.meet();
    recv_from(script, fd, 100);
    script.meet();
}

fn taken_back_two(script: &mut Script) {
    let to = script.destination();
    let (first, second) = (script.datagram(0), script.datagram(0));
    send_to(script, first, b"hello", to);
    script.recv(first, 100, 0);
    script.meet();
    send_to(script, second, b"from another", to);
    script.meet();
}

const ALL: i16 = libc::POLLIN
    | libc::POLLOUT
    | libc::POLLRDHUP
    | libc::POLLPRI
    | libc::POLLRDNORM
    | libc::POLLWRNORM;

fn ready(script: &mut Script) {
    let fd = bound(script);
    script.poll(fd, ALL, 0);
    script.tell("send");
    script.poll(fd, libc::POLLIN, 5000);
    script.poll(fd, ALL, 0);
    let (answer, got) = sys::select(&[(fd, [true; 3])], 0);
    script.note(&format!("select = {} {got:?}", names::answer(answer)));
    script.recv(fd, 100, 0);
    script.poll(fd, ALL, 0);
    script.tell("send");
    let (answer, got) = sys::select(&[(fd, [true, false, true])], 5000);
    script.note(&format!("select = {} {got:?}", names::answer(answer)));
    script.recv(fd, 100, 0);
    script.poll(fd, libc::POLLIN, 20);
}

fn ready_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(0);
    for _ in 0..2 {
        script.hear();
        send_to(script, fd, b"now", to);
    }
}

fn epoll(script: &mut Script) {
    let fd = bound(script);
    let set = Epoll::new();
    script.control(&set, libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN as u32, 7);
    script.epoll(&set, 0);
    script.tell("send");
    script.epoll(&set, 5000);
    script.epoll(&set, 0);
    script.recv(fd, 100, 0);
    script.epoll(&set, 0);
    let edge = libc::EPOLLIN as u32 | libc::EPOLLET.cast_unsigned();
    script.control(&set, libc::EPOLL_CTL_MOD, fd, edge, 8);
    script.tell("send");
    script.epoll(&set, 5000);
    script.epoll(&set, 0);
    script.recv(fd, 100, 0);
    script.control(&set, libc::EPOLL_CTL_DEL, fd, 0, 0);
    script.epoll(&set, 0);
}

fn shutdown(script: &mut Script) {
    let fd = bound(script);
    let from = recv_from(script, fd, 100).expect("a sender");
    script.connect(fd, from);
    script.shutdown(fd, libc::SHUT_WR);
    script.send(fd, b"late", libc::MSG_NOSIGNAL);
    script.poll(fd, ALL, 0);
    script.meet();
    script.recv(fd, 100, 0);
    script.shutdown(fd, libc::SHUT_RD);
    script.recv(fd, 100, 0);
    script.poll(fd, ALL, 0);
    script.meet();
}

fn shutdown_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(0);
    send_to(script, fd, b"hello", to);
    script.meet();
    send_to(script, fd, b"still heard", to);
    script.meet();
}

fn errors(script: &mut Script) {
    let fd = script.datagram(0);
    script.send(fd, b"to nobody", 0);
    script.recv(fd, 1, libc::MSG_DONTWAIT);
    script.listen(fd, 1);
    script.accept4(fd, 0);
    script.peer_name(fd);
    script.own_name(fd);
    script.error(fd);
    script.waiting(fd);
    script.send(fd, b"urgent", libc::MSG_OOB);
    script.recv(fd, 1, libc::MSG_OOB | libc::MSG_DONTWAIT);
    script.recv(fd, 1, libc::MSG_ERRQUEUE);
    script.close(fd);
    script.recv(fd, 1, 0);
}
