//! `poll` and `select` with their variants.

use super::{Case, nothing};
use crate::names;
use crate::script::Script;
use crate::sys::{self, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("poll_stream", poll_stream, poll_stream_two),
    Case::new("poll_many", poll_many, poll_many_two),
    Case::new("poll_nothing", poll_nothing, nothing),
    Case::new("poll_wakes", poll_wakes, poll_wakes_two),
    Case::new("poll_room", poll_room, poll_room_two),
    Case::new("poll_little_room", poll_little_room, poll_little_room_two),
    Case::new("select_stream", select_stream, select_stream_two),
    Case::new("select_wakes", select_wakes, poll_wakes_two),
    Case::new("low_water", low_water, low_water_two),
];

const ALL: i16 = libc::POLLIN
    | libc::POLLOUT
    | libc::POLLRDHUP
    | libc::POLLPRI
    | libc::POLLRDNORM
    | libc::POLLWRNORM;

fn poll_stream(script: &mut Script) {
    let fd = script.accept_one();
    script.poll(fd, ALL, 0);
    script.poll(fd, libc::POLLIN, 0);
    script.poll(fd, 0, 0);
    script.meet();
    script.until_waiting(fd, 4);
    script.poll(fd, ALL, 0);
    script.poll(fd, libc::POLLOUT, 0);
    script.recv(fd, 2, 0);
    script.poll(fd, ALL, 0);
    script.recv(fd, 2, libc::MSG_PEEK);
    script.poll(fd, ALL, 0);
    script.recv(fd, 2, 0);
    script.poll(fd, ALL, 0);
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.poll(fd, ALL, 0);
    script.poll(fd, 0, 0);
    script.poll(fd, libc::POLLPRI, 0);
    script.recv(fd, 2, 0);
    script.poll(fd, ALL, 0);
    script.shutdown(fd, libc::SHUT_WR);
    script.poll(fd, ALL, 0);
    script.poll(fd, 0, 0);
}

fn poll_stream_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"abcd", 0);
    script.meet();
    script.shutdown(fd, libc::SHUT_WR);
    script.recv(fd, 1, 0);
}

fn poll(script: &Script, wanted: &[(Fd, i16)], timeout: i32) {
    let (answer, got) = sys::poll(wanted, timeout);
    let got: Vec<_> = got.into_iter().map(names::poll).collect();
    script.note(&format!("poll = {} {}", names::answer(answer), got.join(" ")));
    let (answer, got) = sys::ppoll(wanted, timeout.into());
    let got: Vec<_> = got.into_iter().map(names::poll).collect();
    script.note(&format!("ppoll = {} {}", names::answer(answer), got.join(" ")));
}

/// Sessions among pipes, listeners, closed and left out descriptors.
fn poll_many(script: &mut Script) {
    let listener = script.listener(4);
    let first = script.accept4(listener, 0).fd();
    let (read, write) = sys::pipe();
    script.meet();
    let both = libc::POLLIN | libc::POLLOUT;
    let wanted = [
        (first, both),
        (-1, both),
        (read, both),
        (write, both),
        (listener, both),
        (first, libc::POLLIN),
        (999, both),
    ];
    poll(script, &wanted, 0);
    sys::write(write, b"x").expect("room");
    script.tell("go");
    script.until_waiting(first, 1);
    script.until_events(listener, libc::POLLIN);
    poll(script, &wanted, 0);
    poll(script, &wanted[..6], 1000);
    poll(script, &[(first, libc::POLLPRI), (read, libc::POLLIN)], 1000);
    script.meet();
}

fn poll_many_two(script: &mut Script) {
    let to = script.destination();
    let first = script.stream(0);
    script.connect(first, to);
    script.meet();
    script.hear();
    script.send(first, b"1", 0);
    let second = script.stream(0);
    script.connect(second, to);
    script.meet();
}

fn poll_nothing(script: &mut Script) {
    poll(script, &[], 10);
    poll(script, &[(-1, libc::POLLIN)], 10);
    let fresh = script.stream(0);
    poll(script, &[(fresh, ALL)], 0);
    script.listen(fresh, 1);
    poll(script, &[(fresh, ALL)], 10);
    script.close(fresh);
    poll(script, &[(fresh, ALL)], 10);
    poll(script, &[(fresh, 0)], -1);
}

fn poll_wakes(script: &mut Script) {
    let fd = script.accept_one();
    script.poll(fd, libc::POLLIN, 20);
    script.meet();
    script.poll(fd, libc::POLLIN, 5000);
    script.recv(fd, 9, 0);
    script.meet();
    script.poll(fd, libc::POLLIN, -1);
    script.recv(fd, 9, 0);
    script.poll(fd, libc::POLLIN | libc::POLLOUT, -1);
    script.meet();
    let (answer, got) = sys::ppoll(&[(fd, libc::POLLIN)], 5000);
    script.note(&format!("ppoll = {} {}", names::answer(answer), names::poll(got[0])));
    script.recv(fd, 9, 0);
}

fn poll_wakes_two(script: &mut Script) {
    let fd = script.connect_one();
    for _ in 0..2 {
        script.meet();
        sys::sleep_ms(30);
        script.send(fd, b"wake up", 0);
    }
    script.meet();
    sys::sleep_ms(30);
    script.close(fd);
}

fn poll_room(script: &mut Script) {
    let fd = script.accept_one();
    script.fill_up(fd, 1);
    script.poll(fd, libc::POLLOUT, 10);
    script.poll(fd, libc::POLLOUT | libc::POLLIN, 0);
    script.meet();
    script.poll(fd, libc::POLLOUT, 5000);
    script.send(fd, b"more", libc::MSG_DONTWAIT);
    script.meet();
    script.shutdown(fd, libc::SHUT_WR);
    script.meet();
}

fn poll_room_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    let mut end = false;
    // Whatever fitted: all that waits, until the peer went on.
    let mut heard = false;
    while !end {
        let mut buffer = vec![0; 65536];
        end = sys::recv(fd, &mut buffer, libc::MSG_DONTWAIT) == Ok(0);
        if !heard && sys::poll(&[(0, libc::POLLIN)], 0).0 == Ok(1) {
            script.meet();
            heard = true;
        }
    }
    script.meet();
}

/// A few bytes of room are none that `poll` tells of.
fn poll_little_room(script: &mut Script) {
    let fd = script.accept_one();
    script.fill_up(fd, 1);
    script.meet();
    script.meet();
    script.poll(fd, libc::POLLOUT, 50);
    script.meet();
    script.poll(fd, libc::POLLOUT, 5000);
    script.shutdown(fd, libc::SHUT_WR);
    script.meet();
}

fn poll_little_room_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.recv(fd, 100, 0);
    script.meet();
    script.meet();
    let mut buffer = vec![0; 65536];
    while sys::recv(fd, &mut buffer, 0) != Ok(0) {}
    script.meet();
}

type Wanted = (Fd, [bool; 3]);

fn select(script: &Script, wanted: &[Wanted], timeout: i64) {
    let show = |got: Vec<[bool; 3]>| {
        let one = |[r, w, e]: [bool; 3]| {
            format!(
                "{}{}{}",
                if r { "r" } else { "-" },
                if w { "w" } else { "-" },
                if e { "e" } else { "-" }
            )
        };
        got.into_iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let (answer, got) = sys::select(wanted, timeout);
    script.note(&format!("select = {} {}", names::answer(answer), show(got)));
    let (answer, got) = sys::pselect(wanted, timeout);
    script.note(&format!("pselect = {} {}", names::answer(answer), show(got)));
}

fn select_stream(script: &mut Script) {
    let listener = script.listener(4);
    let fd = script.accept4(listener, 0).fd();
    let (read, write) = sys::pipe();
    let wanted = [(fd, [true; 3]), (listener, [true, true, false]), (read, [true, false, true])];
    select(script, &wanted, 0);
    select(script, &[(fd, [true, false, false])], 20);
    script.meet();
    script.until_waiting(fd, 4);
    select(script, &wanted, 0);
    sys::write(write, b"x").expect("room");
    script.recv(fd, 9, 0);
    select(script, &wanted, 1000);
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    select(script, &wanted, 0);
    script.recv(fd, 9, 0);
    select(script, &wanted, 0);
    select(script, &[(900, [true; 3])], 0);
}

fn select_stream_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.stream(0);
    script.connect(fd, to);
    script.meet();
    script.send(fd, b"abcd", 0);
    script.meet();
    script.close(fd);
}

fn select_wakes(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    let wake = |timeout| {
        let (answer, got) = sys::select(&[(fd, [true, false, true])], timeout);
        script.note(&format!("select = {} {got:?}", names::answer(answer)));
        script.recv(fd, 9, 0);
    };
    wake(5000);
    script.meet();
    wake(5000);
    script.meet();
    wake(5000);
}

fn low_water(script: &mut Script) {
    let fd = script.accept_one();
    script.log("SO_RCVLOWAT", sys::set_option(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 4));
    script.meet();
    script.until_waiting(fd, 2);
    script.poll(fd, libc::POLLIN, 0);
    script.meet();
    script.until_waiting(fd, 4);
    script.poll(fd, libc::POLLIN, 0);
    script.recv(fd, 9, 0);
    script.meet();
}

fn low_water_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"ab", 0);
    script.meet();
    script.send(fd, b"cd", 0);
    script.meet();
}
