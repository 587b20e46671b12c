//! What registrations with epoll live through: connecting, listening, closing, duplicates, forks, and
//! sets within sets.

use super::Case;
use super::epoll::{ADD, DEL, EDGE, IN, MOD, OUT, RDHUP};
use crate::names;
use crate::script::Script;
use crate::sys::{self, Epoll, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("epoll_before_connect", nothing_but_accept, before_connect),
    Case::new("epoll_before_connect_edge", nothing_but_accept, before_connect_edge),
    Case::new("epoll_before_connect_refused", refusing, before_connect_refused),
    Case::new("epoll_listener", listener, listener_two),
    Case::new("epoll_listener_before_listen", before_listen, listener_two),
    Case::new("epoll_listener_edge", listener_edge, listener_two),
    Case::new("epoll_close", close, close_two),
    Case::new("epoll_duplicates", duplicates, duplicates_two),
    Case::new("epoll_two_sets", two_sets, two_sets_two),
    Case::new("epoll_nested", nested, nested_two),
    Case::new("epoll_polled", polled, nested_two),
    Case::new("epoll_forked", forked, forked_two),
];

fn nothing_but_accept(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    script.send(fd, b"hello", 0);
    script.meet();
}

/// Registered while nobody knows yet what becomes of the socket.
fn before_connect(script: &mut Script) {
    let to = script.destination();
    let fd = script.stream(libc::SOCK_NONBLOCK);
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN | OUT | RDHUP, 5);
    script.epoll(&epoll, 0);
    script.connect(fd, to);
    script.until_events(fd, libc::POLLOUT);
    script.epoll(&epoll, 1000);
    script.error(fd);
    script.control(&epoll, MOD, fd, IN | RDHUP, 6);
    script.epoll(&epoll, 0);
    script.meet();
    script.epoll(&epoll, 5000);
    script.recv(fd, 9, 0);
    script.epoll(&epoll, 0);
    script.control(&epoll, DEL, fd, 0, 0);
    script.control(&epoll, DEL, fd, 0, 0);
    script.meet();
}

fn before_connect_edge(script: &mut Script) {
    let to = script.destination();
    let fd = script.stream(libc::SOCK_NONBLOCK);
    script.connect(fd, to);
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN | OUT | RDHUP | EDGE, 5);
    script.until_events(fd, libc::POLLOUT);
    script.until_done(fd);
    script.epoll(&epoll, 1000);
    script.epoll(&epoll, 0);
    script.meet();
    script.until_waiting(fd, 5);
    script.epoll(&epoll, 5000);
    script.epoll(&epoll, 0);
    script.recv(fd, 9, 0);
    script.meet();
}

fn refusing(script: &mut Script) {
    let bound = script.stream(0);
    let any = (script.any(), 0).into();
    sys::bind(bound, any).expect("a free port");
    script.announce(bound);
    script.meet();
}

fn before_connect_refused(script: &mut Script) {
    let to = script.destination();
    let fd = script.stream(libc::SOCK_NONBLOCK);
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN | OUT | RDHUP | EDGE, 5);
    script.epoll(&epoll, 0);
    script.connect(fd, to);
    script.until_over(fd);
    script.epoll(&epoll, 1000);
    script.error(fd);
    script.meet();
}

fn accepts(script: &mut Script, epoll: &Epoll, listener: Fd) {
    script.epoll(epoll, 0);
    script.meet();
    script.until_events(listener, libc::POLLIN);
    script.epoll(epoll, 1000);
    script.epoll(epoll, 0);
    let accepted = script.accept4(listener, libc::SOCK_NONBLOCK).fd();
    script.accept4(listener, 0);
    script.epoll(epoll, 0);
    script.control(epoll, ADD, accepted, IN, 2);
    script.meet();
    script.until_waiting(accepted, 2);
    script.epoll(epoll, 1000);
    script.recv(accepted, 9, 0);
    script.meet();
    script.until_events(listener, libc::POLLIN);
    script.epoll(epoll, 1000);
    script.accept4(listener, 0);
    script.epoll(epoll, 0);
    script.meet();
}

fn listener(script: &mut Script) {
    let listener = script.listener(8);
    script.nonblocking(listener);
    let epoll = Epoll::new();
    script.control(&epoll, ADD, listener, IN, 1);
    accepts(script, &epoll, listener);
}

fn before_listen(script: &mut Script) {
    let listener = script.stream(libc::SOCK_NONBLOCK);
    let epoll = Epoll::new();
    script.control(&epoll, ADD, listener, IN, 1);
    script.epoll(&epoll, 0);
    let any = (script.any(), 0).into();
    script.bind(listener, any);
    script.listen(listener, 8);
    script.announce(listener);
    accepts(script, &epoll, listener);
}

fn listener_edge(script: &mut Script) {
    let listener = script.listener(8);
    script.nonblocking(listener);
    let epoll = Epoll::new();
    script.control(&epoll, ADD, listener, IN | EDGE, 1);
    accepts(script, &epoll, listener);
}

fn listener_two(script: &mut Script) {
    let to = script.destination();
    script.meet();
    let fd = script.stream(0);
    script.connect(fd, to);
    script.meet();
    script.send(fd, b"ab", 0);
    script.meet();
    let second = script.stream(0);
    script.connect(second, to);
    script.meet();
}

fn close(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN | OUT, 1);
    script.epoll(&epoll, 0);
    script.close(fd);
    script.epoll(&epoll, 0);
    // The number may come back as something else.
    let (read, write) = sys::pipe();
    script.control(&epoll, ADD, read, IN, 2);
    script.epoll(&epoll, 0);
    sys::write(write, b"x").expect("room");
    script.epoll(&epoll, 0);
    script.meet();
}

fn close_two(script: &mut Script) {
    let fd = script.connect_one();
    script.recv(fd, 1, 0);
    script.meet();
}

fn duplicates(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    let copy = script.log_fd("dup", sys::dup(fd)).fd();
    script.control(&epoll, ADD, fd, IN, 1);
    script.control(&epoll, ADD, copy, IN, 2);
    script.meet();
    script.until_waiting(fd, 2);
    script.epoll(&epoll, 1000);
    script.control(&epoll, DEL, copy, 0, 0);
    script.epoll(&epoll, 1000);
    // The connection lives on in the duplicate, and so does the registration.
    script.close(fd);
    script.epoll(&epoll, 1000);
    script.recv(copy, 9, 0);
    script.epoll(&epoll, 0);
    script.close(copy);
    script.epoll(&epoll, 0);
    script.meet();
}

fn duplicates_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"ab", 0);
    script.meet();
}

fn two_sets(script: &mut Script) {
    let fd = script.accept_one();
    let (first, second) = (Epoll::new(), Epoll::new());
    script.control(&first, ADD, fd, IN, 1);
    script.control(&second, ADD, fd, IN | EDGE, 2);
    script.meet();
    script.until_waiting(fd, 2);
    script.epoll(&first, 1000);
    script.epoll(&second, 1000);
    script.epoll(&second, 0);
    script.epoll(&first, 1000);
    script.recv(fd, 9, 0);
    script.epoll(&first, 0);
    script.close(first.0);
    script.meet();
    script.until_waiting(fd, 2);
    script.epoll(&second, 1000);
    script.meet();
}

fn two_sets_two(script: &mut Script) {
    let fd = script.connect_one();
    for _ in 0..2 {
        script.meet();
        script.send(fd, b"ab", 0);
    }
    script.meet();
}

fn nested(script: &mut Script) {
    let fd = script.accept_one();
    let (inner, outer) = (Epoll::new(), Epoll::new());
    script.control(&inner, ADD, fd, IN, 1);
    script.control(&outer, ADD, inner.0, IN, 2);
    script.epoll(&outer, 0);
    script.meet();
    script.epoll(&outer, 5000);
    script.epoll(&inner, 0);
    script.recv(fd, 9, 0);
    script.epoll(&outer, 0);
    script.meet();
    script.epoll(&outer, -1);
    script.recv(fd, 9, 0);
    script.meet();
}

/// An epoll descriptor among others in `poll` and `select`.
fn polled(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN, 1);
    script.poll(epoll.0, libc::POLLIN, 0);
    script.meet();
    script.poll(epoll.0, libc::POLLIN, 5000);
    script.epoll(&epoll, 0);
    script.recv(fd, 9, 0);
    script.poll(epoll.0, libc::POLLIN, 0);
    script.meet();
    let (answer, got) = sys::select(&[(epoll.0, [true, false, false])], 5000);
    script.note(&format!("select = {} {got:?}", names::answer(answer)));
    script.recv(fd, 9, 0);
    script.meet();
}

fn nested_two(script: &mut Script) {
    let fd = script.connect_one();
    for _ in 0..2 {
        script.meet();
        sys::sleep_ms(20);
        script.send(fd, b"ab", 0);
    }
    script.meet();
}

/// A child waits on the set that its parent made.
fn forked(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN, 1);
    let Some(child) = sys::fork() else {
        script.epoll(&epoll, 5000);
        script.recv(fd, 9, 0);
        script.epoll(&epoll, 0);
        sys::quit(0);
    };
    script.meet();
    script.note(&format!("{:?}", sys::wait_for(child)));
    script.epoll(&epoll, 0);
    script.meet();
    script.epoll(&epoll, 5000);
    script.recv(fd, 9, 0);
    script.meet();
}

fn forked_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"child", 0);
    script.meet();
    script.send(fd, b"parent", 0);
    script.meet();
}
