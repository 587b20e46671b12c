//! epoll: level, edge, once, exclusive; what is told when.

use super::Case;
use crate::names;
use crate::script::Script;
use crate::sys::{self, Epoll, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("epoll_level", level, three_steps),
    Case::all("epoll_edge", edge, edge_two),
    Case::new("epoll_edge_partial", edge_partial, edge_partial_two),
    Case::new("epoll_edge_room", edge_room, edge_room_two),
    Case::new("epoll_edge_room_late", edge_room_late, edge_room_two),
    Case::new("epoll_edge_room_asleep", edge_room_asleep, edge_room_asleep_two),
    Case::new("epoll_once", once, once_two),
    Case::new("epoll_exclusive", exclusive, exclusive_two),
    Case::new("epoll_errors", errors, errors_two),
    Case::new("epoll_wakes", wakes, wakes_two),
    Case::new("epoll_mixed", mixed, mixed_two),
    Case::new("epoll_reset", reset, reset_two),
    Case::new("epoll_half_close", half_close, half_close_two),
    Case::new("epoll_change", change, change_two),
];

pub(super) const IN: u32 = libc::EPOLLIN.cast_unsigned();
pub(super) const OUT: u32 = libc::EPOLLOUT.cast_unsigned();
pub(super) const RDHUP: u32 = libc::EPOLLRDHUP.cast_unsigned();
pub(super) const EDGE: u32 = libc::EPOLLET.cast_unsigned();
pub(super) const ONCE: u32 = libc::EPOLLONESHOT.cast_unsigned();
pub(super) const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE.cast_unsigned();
pub(super) const ADD: i32 = libc::EPOLL_CTL_ADD;
pub(super) const MOD: i32 = libc::EPOLL_CTL_MOD;
pub(super) const DEL: i32 = libc::EPOLL_CTL_DEL;

fn level(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN | OUT | RDHUP, 1);
    script.epoll(&epoll, 0);
    script.epoll(&epoll, 0);
    script.control(&epoll, MOD, fd, IN | RDHUP, 2);
    script.epoll(&epoll, 0);
    script.meet();
    script.until_waiting(fd, 4);
    script.epoll(&epoll, 1000);
    script.epoll(&epoll, 1000);
    script.recv(fd, 2, 0);
    script.epoll(&epoll, 1000);
    script.recv(fd, 9, 0);
    script.epoll(&epoll, 0);
    script.epoll(&epoll, 20);
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.epoll(&epoll, 1000);
    script.recv(fd, 9, 0);
    script.epoll(&epoll, 1000);
    script.control(&epoll, DEL, fd, 0, 0);
    script.epoll(&epoll, 0);
}

fn three_steps(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"abcd", 0);
    script.meet();
    script.shutdown(fd, libc::SHUT_WR);
    script.recv(fd, 1, 0);
}

fn edge(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN | RDHUP | EDGE, 7);
    script.epoll(&epoll, 0);
    script.meet();
    script.until_waiting(fd, 2);
    script.epoll(&epoll, 1000);
    // Once is enough, read or not.
    script.epoll(&epoll, 0);
    script.meet();
    script.until_waiting(fd, 4);
    script.epoll(&epoll, 1000);
    script.epoll(&epoll, 0);
    script.recv(fd, 9, 0);
    script.epoll(&epoll, 0);
    script.meet();
    script.until_waiting(fd, 2);
    script.epoll(&epoll, 1000);
    // To ask again is to be told again.
    script.control(&epoll, MOD, fd, IN | EDGE, 8);
    script.epoll(&epoll, 1000);
    script.epoll(&epoll, 0);
    script.recv(fd, 9, 0);
    script.control(&epoll, MOD, fd, IN | RDHUP | EDGE, 9);
    script.epoll(&epoll, 0);
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    // The kernel says it twice, a moment apart (`tcp_fin`, then `tcp_data_ready`): who looks in between is told twice.
    script.meet();
    script.epoll(&epoll, 1000);
    script.epoll(&epoll, 0);
}

fn edge_two(script: &mut Script) {
    let fd = script.connect_one();
    for _ in 0..3 {
        script.meet();
        script.send(fd, b"ab", 0);
    }
    script.meet();
    script.shutdown(fd, libc::SHUT_WR);
    script.meet();
    script.recv(fd, 1, 0);
}

/// Edge-triggered, reading less than there is: only news count.
fn edge_partial(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.meet();
    script.until_waiting(fd, 4);
    script.control(&epoll, ADD, fd, IN | EDGE, 1);
    script.epoll(&epoll, 1000);
    script.recv(fd, 2, 0);
    script.epoll(&epoll, 0);
    script.meet();
    script.until_waiting(fd, 6);
    script.epoll(&epoll, 1000);
    script.recv(fd, 3, 0);
    script.epoll(&epoll, 0);
    script.meet();
}

fn edge_partial_two(script: &mut Script) {
    let fd = script.connect_one();
    for _ in 0..2 {
        script.meet();
        script.send(fd, b"abcd", 0);
    }
    script.meet();
}

fn edge_room(script: &mut Script) {
    let fd = script.accept_one();
    script.nonblocking(fd);
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, OUT | EDGE, 1);
    script.epoll(&epoll, 1000);
    script.epoll(&epoll, 0);
    let sent = script.fill_up(fd, 1);
    script.epoll(&epoll, 0);
    script.tell(&sent.to_string());
    script.epoll(&epoll, 5000);
    script.send(fd, b"x", 0);
    script.meet();
}

/// As [`edge_room`], after many waits that had nothing to report.
fn edge_room_late(script: &mut Script) {
    let fd = script.accept_one();
    script.nonblocking(fd);
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, OUT | EDGE, 1);
    script.epoll(&epoll, 1000);
    for _ in 0..300 {
        script.epoll(&epoll, 0);
    }
    let sent = script.fill_up(fd, 1);
    script.tell(&sent.to_string());
    script.epoll(&epoll, 5000);
    script.send(fd, b"x", 0);
    script.meet();
}

/// As [`edge_room`], while another thread waits already.
fn edge_room_asleep(script: &mut Script) {
    let fd = script.accept_one();
    script.nonblocking(fd);
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, OUT | EDGE, 1);
    script.epoll(&epoll, 1000);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| script.epoll(&epoll, 10_000));
        sys::sleep_ms(100);
        let sent = script.fill_up(fd, 1);
        script.tell(&sent.to_string());
        waits.join().expect("the wait does not panic");
    });
    script.meet();
}

fn edge_room_asleep_two(script: &mut Script) {
    let fd = script.connect_one();
    let sent: usize = script.hear().parse().expect("a number");
    script.drain(fd, 1, sent);
    script.meet();
}

fn edge_room_two(script: &mut Script) {
    let fd = script.connect_one();
    let sent: usize = script.hear().parse().expect("a number");
    script.drain(fd, 1, sent);
    script.recv(fd, 9, 0);
    script.meet();
}

fn once(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN | ONCE, 1);
    script.meet();
    script.until_waiting(fd, 2);
    script.epoll(&epoll, 1000);
    script.epoll(&epoll, 0);
    script.control(&epoll, MOD, fd, IN | ONCE, 2);
    script.epoll(&epoll, 1000);
    script.epoll(&epoll, 0);
    script.recv(fd, 9, 0);
    script.meet();
    script.until_waiting(fd, 2);
    script.epoll(&epoll, 0);
    script.control(&epoll, MOD, fd, IN | OUT | ONCE | EDGE, 3);
    script.epoll(&epoll, 1000);
    script.epoll(&epoll, 0);
    script.recv(fd, 9, 0);
    script.meet();
    // Without a question not even the end is told.
    script.until_events(fd, libc::POLLRDHUP);
    script.epoll(&epoll, 20);
    script.control(&epoll, MOD, fd, ONCE, 4);
    script.epoll(&epoll, 0);
    script.control(&epoll, MOD, fd, IN | ONCE, 5);
    script.epoll(&epoll, 1000);
}

fn once_two(script: &mut Script) {
    let fd = script.connect_one();
    for _ in 0..2 {
        script.meet();
        script.send(fd, b"ab", 0);
    }
    script.meet();
    script.shutdown(fd, libc::SHUT_WR);
    script.recv(fd, 1, 0);
}

fn exclusive(script: &mut Script) {
    let fd = script.accept_one();
    let (first, second) = (Epoll::new(), Epoll::new());
    script.control(&first, ADD, fd, IN | EXCLUSIVE, 1);
    script.control(&second, ADD, fd, IN | EXCLUSIVE, 2);
    script.control(&first, MOD, fd, IN, 3);
    script.control(&first, MOD, fd, IN | EXCLUSIVE, 3);
    let third = Epoll::new();
    script.control(&third, ADD, fd, IN | EXCLUSIVE | ONCE, 4);
    script.control(&third, ADD, fd, IN | EXCLUSIVE | RDHUP, 4);
    script.meet();
    script.until_waiting(fd, 2);
    script.epoll(&first, 1000);
    script.epoll(&first, 1000);
    script.recv(fd, 9, 0);
    script.epoll(&first, 0);
    script.epoll(&second, 0);
    script.control(&first, DEL, fd, 0, 0);
    script.meet();
}

fn exclusive_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"ab", 0);
    script.meet();
}

fn errors(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, MOD, fd, IN, 1);
    script.control(&epoll, DEL, fd, 0, 1);
    script.control(&epoll, ADD, fd, IN, 1);
    script.control(&epoll, ADD, fd, IN, 1);
    script.control(&epoll, ADD, 999, IN, 1);
    script.control(&epoll, ADD, epoll.0, IN, 1);
    script.control(&epoll, 77, fd, IN, 1);
    script.control(&Epoll(fd), ADD, fd, IN, 1);
    script.control(&Epoll(999), ADD, fd, IN, 1);
    script.epoll(&Epoll(fd), 0);
    script.epoll(&Epoll(999), 0);
    script.log("no room", epoll.wait_for(0, 0));
    script.log("negative room", epoll.wait_for(-1, 0));
    let (answer, _) = epoll.pwait(0);
    script.log("epoll_pwait", answer);
    script.meet();
}

fn errors_two(script: &mut Script) {
    let _fd = script.connect_one();
    script.meet();
}

fn wakes(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN | RDHUP, 1);
    script.epoll(&epoll, 20);
    for timeout in [5000, -1] {
        script.meet();
        script.epoll(&epoll, timeout);
        script.recv(fd, 9, 0);
    }
    script.meet();
    let (answer, events) = epoll.pwait(5000);
    let events: Vec<_> = events.iter().map(|it| names::epoll(it.bits)).collect();
    script.note(&format!("epoll_pwait = {} {}", names::answer(answer), events.join(" ")));
    script.recv(fd, 9, 0);
}

fn wakes_two(script: &mut Script) {
    let fd = script.connect_one();
    for _ in 0..2 {
        script.meet();
        sys::sleep_ms(30);
        script.send(fd, b"wake up", 0);
    }
    script.meet();
    sys::sleep_ms(30);
    script.shutdown(fd, libc::SHUT_WR);
    script.recv(fd, 1, 0);
}

/// Sessions, pipes and listeners in one set.
fn mixed(script: &mut Script) {
    let listener = script.listener(8);
    let first = script.accept4(listener, 0).fd();
    let second = script.accept4(listener, 0).fd();
    let (read, write) = sys::pipe();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, listener, IN, 1);
    script.control(&epoll, ADD, first, IN, 2);
    script.control(&epoll, ADD, second, IN | EDGE, 3);
    script.control(&epoll, ADD, read, IN, 4);
    script.control(&epoll, ADD, write, OUT | EDGE, 5);
    script.epoll(&epoll, 0);
    script.epoll(&epoll, 0);
    script.meet();
    for fd in [first, second] {
        script.until_waiting(fd, 2);
    }
    script.until_events(listener, libc::POLLIN);
    sys::write(write, b"x").expect("room");
    // All have their turn, if not in the same call.
    let mut seen: Vec<_> = (0..4).flat_map(|_| epoll.wait(1000).1).collect();
    seen.sort_unstable();
    let edges = seen.iter().filter(|it| it.key == 3).count();
    seen.dedup();
    let seen: Vec<_> = seen.iter().map(|it| (it.key, names::epoll(it.bits))).collect();
    script.note(&format!("together: {seen:?}, {edges} edge"));
    let mut seen: Vec<_> = (0..24).filter_map(|_| epoll.next(1000)).collect();
    seen.sort_unstable();
    seen.dedup();
    script.note(&format!("one by one: {seen:?}"));
    script.meet();
}

fn mixed_two(script: &mut Script) {
    let to = script.destination();
    let (first, second) = (script.stream(0), script.stream(0));
    script.connect(first, to);
    script.connect(second, to);
    script.meet();
    script.send(first, b"ab", 0);
    script.send(second, b"cd", 0);
    let third = script.stream(0);
    script.connect(third, to);
    script.meet();
}

fn reset(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN | OUT | RDHUP | EDGE, 1);
    script.epoll(&epoll, 1000);
    let level = Epoll::new();
    script.control(&level, ADD, fd, 0, 2);
    script.epoll(&level, 0);
    script.meet();
    script.until_over(fd);
    script.epoll(&epoll, 1000);
    script.epoll(&level, 1000);
    script.recv(fd, 9, 0);
    script.epoll(&level, 1000);
    script.recv(fd, 9, 0);
}

fn reset_two(script: &mut Script) {
    let fd = script.connect_one();
    script.log("linger", sys::set_linger(fd, true, 0));
    script.meet();
    script.close(fd);
}

fn half_close(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN | OUT | RDHUP, 1);
    script.shutdown(fd, libc::SHUT_WR);
    script.epoll(&epoll, 1000);
    script.meet();
    script.until_over(fd);
    script.epoll(&epoll, 1000);
    script.recv(fd, 9, 0);
    script.recv(fd, 9, 0);
    script.epoll(&epoll, 1000);
}

fn half_close_two(script: &mut Script) {
    let fd = script.connect_one();
    script.recv(fd, 1, 0);
    script.meet();
    script.send(fd, b"bye", 0);
    script.close(fd);
}

fn change(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, 0, 1);
    script.epoll(&epoll, 0);
    script.meet();
    script.until_waiting(fd, 2);
    script.epoll(&epoll, 20);
    script.control(&epoll, MOD, fd, IN, 2);
    script.epoll(&epoll, 1000);
    script.control(&epoll, MOD, fd, OUT, 3);
    script.epoll(&epoll, 1000);
    script.control(&epoll, MOD, fd, libc::EPOLLPRI.cast_unsigned(), 4);
    script.epoll(&epoll, 20);
    script.control(&epoll, DEL, fd, 0, 0);
    script.control(&epoll, ADD, fd, IN | OUT | EDGE, 5);
    script.epoll(&epoll, 1000);
    script.epoll(&epoll, 0);
    script.recv(fd, 9, 0);
    script.meet();
}

fn change_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"ab", 0);
    script.meet();
}
