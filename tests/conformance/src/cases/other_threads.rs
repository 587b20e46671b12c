//! What one thread does to a socket while another one sleeps for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::epoll::{ADD, EDGE, EXCLUSIVE, IN, MOD, ONCE, OUT, RDHUP};
use super::{Case, nothing};
use crate::names;
use crate::script::Script;
use crate::sys::{self, Epoll, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::new("threads_shutdown_read_signals", shutdown_read, shutdown_read_two),
    Case::new("threads_shutdown_both_signals", shutdown_both, shutdown_both_two),
    Case::new("threads_shutdown_while_sending", shutdown_sending, reads_the_rest),
    Case::new("threads_shutdown_sending_signals", shutdown_sending_signals, reads_the_rest),
    Case::new("threads_shutdown_all", shutdown_all, waits_for_end),
    Case::new("threads_shutdown_listener", shutdown_listener, nothing),
    Case::new("threads_nonblocking_while_receiving", nonblocking_receiving, sends_one),
    Case::new("epoll_added_while_asleep", added, sends_one),
    Case::new("epoll_changed_while_asleep", changed, sends_one),
    Case::new("epoll_threads_once", threads_once, sends_rounds),
    Case::new("epoll_threads_edge", threads_edge, sends_rounds),
    Case::new("epoll_exclusive_listeners", exclusive_listeners, connects_many),
];

const ALL: i16 = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;

/// Handlers of both kinds, and a signal that a sleep was interrupted by: from then on the program is one in which
/// it matters which signal came.
fn signals_differ(script: &Script, fd: Fd) {
    sys::catch(libc::SIGUSR1, true);
    sys::catch(libc::SIGUSR2, false);
    let got = script.while_asleep(
        move || sys::recv(fd, &mut [0; 9], 0),
        |thread| sys::signal_thread(thread, libc::SIGUSR2),
    );
    script.log("recv", got);
}

fn shutdown_read(script: &mut Script) {
    let fd = script.accept_one();
    signals_differ(script, fd);
    let got = script.while_asleep(
        move || sys::recv(fd, &mut [0; 9], 0),
        |_| {
            script.shutdown(fd, libc::SHUT_RD);
        },
    );
    script.log("recv", got);
    script.send(fd, b"still", 0);
    script.meet();
    script.until_waiting(fd, 7);
    script.recv(fd, 9, 0);
    script.meet();
}

fn shutdown_read_two(script: &mut Script) {
    let fd = script.connect_one();
    script.recv(fd, 5, libc::MSG_WAITALL);
    script.poll(fd, ALL, 0);
    script.send(fd, b"as well", 0);
    script.meet();
    script.meet();
}

fn shutdown_both(script: &mut Script) {
    let fd = script.accept_one();
    signals_differ(script, fd);
    let got = script.while_asleep(
        move || sys::recv(fd, &mut [0; 9], 0),
        |_| {
            script.shutdown(fd, libc::SHUT_RDWR);
        },
    );
    script.log("recv", got);
    script.meet();
    script.meet();
    script.close(fd);
}

/// Whose peer shut the socket down sees the end of the stream, and no more.
fn shutdown_both_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.poll(fd, ALL, 0);
    script.recv(fd, 9, 0);
    script.meet();
}

/// A sender that waits for room learns that no more is written.
fn while_sending(script: &Script, fd: Fd) {
    let sent = script.fill_up(fd, 3);
    sys::catch(libc::SIGPIPE, true);
    let answer = script.while_asleep(
        move || sys::send(fd, &[7; 100], 0),
        |_| {
            script.shutdown(fd, libc::SHUT_WR);
        },
    );
    script.log("send", answer);
    script.note(&format!("SIGPIPE {}", sys::caught(libc::SIGPIPE)));
    script.tell(&sent.to_string());
    script.meet();
}

fn shutdown_sending(script: &mut Script) {
    let fd = script.accept_one();
    while_sending(script, fd);
}

fn shutdown_sending_signals(script: &mut Script) {
    let fd = script.accept_one();
    signals_differ(script, fd);
    while_sending(script, fd);
}

fn reads_the_rest(script: &mut Script) {
    let fd = script.connect_one();
    let sent: usize = script.hear().parse().expect("a number");
    script.drain(fd, 3, sent);
    script.recv(fd, 9, 0);
    script.meet();
}

/// Every thread that sleeps for the socket is told, in whichever call.
fn shutdown_all(script: &mut Script) {
    let fd = script.accept_one();
    let told = thread::scope(|scope| {
        let calls: [Box<dyn FnOnce() -> String + Send>; 4] = [
            Box::new(move || names::answer(sys::recv(fd, &mut [0; 9], 0))),
            Box::new(move || names::answer(sys::recv(fd, &mut [0; 9], libc::MSG_PEEK))),
            Box::new(move || names::answer(sys::read(fd, &mut [0; 9]))),
            Box::new(move || format!("{:?}", sys::poll(&[(fd, libc::POLLIN)], 10_000))),
        ];
        let threads: Vec<_> = calls.into_iter().map(|call| scope.spawn(call)).collect();
        sys::sleep_ms(100);
        script.shutdown(fd, libc::SHUT_RD);
        threads.into_iter().map(|it| it.join().expect("the thread returns")).collect::<Vec<_>>()
    });
    script.note(&format!("{told:?}"));
    script.close(fd);
}

fn waits_for_end(script: &mut Script) {
    let fd = script.connect_one();
    script.recv(fd, 9, 0);
}

/// Who sleeps for a connection is told that none will come.
fn shutdown_listener(script: &mut Script) {
    for how in 0..4 {
        let listener = script.listener(4);
        let told = script.while_asleep(
            move || match how {
                0 => names::answer(sys::accept4(listener, 0)),
                1 => format!("{:?}", sys::poll(&[(listener, libc::POLLIN)], 10_000)),
                2 => format!("{:?}", sys::select(&[(listener, [true, false, false])], 10_000)),
                _ => {
                    let epoll = Epoll::new();
                    epoll.control(ADD, listener, IN, 1).expect("it can be registered");
                    format!("{:?}", epoll.wait(10_000))
                }
            },
            |_| {
                script.shutdown(listener, libc::SHUT_RD);
            },
        );
        script.note(&told);
        script.accept4(listener, 0);
        script.close(listener);
    }
}

/// A call that sleeps goes on sleeping when the socket becomes non-blocking.
fn nonblocking_receiving(script: &mut Script) {
    let fd = script.accept_one();
    let got = script.while_asleep(
        move || sys::recv(fd, &mut [0; 9], 0),
        |_| {
            script.nonblocking(fd);
            script.tell("send");
        },
    );
    script.log("recv", got);
    script.recv(fd, 9, 0);
    script.meet();
}

fn sends_one(script: &mut Script) {
    let fd = script.connect_one();
    script.hear();
    sys::sleep_ms(30);
    script.send(fd, b"word", 0);
    script.meet();
}

/// A thread sleeps in a set to which another one adds a socket.
fn added(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    let told = script.while_asleep(
        || epoll.wait(10_000),
        |_| {
            script.control(&epoll, ADD, fd, IN, 1);
            script.tell("send");
        },
    );
    script.note(&format!("{told:?}"));
    script.recv(fd, 9, 0);
    // One that is ready already.
    let other = Epoll::new();
    let told =
        script.while_asleep(|| other.wait(10_000), |_| script.control(&other, ADD, fd, OUT, 2));
    script.note(&format!("{told:?}"));
    script.meet();
}

/// A thread sleeps in a set in which another one changes what is asked.
fn changed(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, RDHUP, 1);
    let told =
        script.while_asleep(|| epoll.wait(10_000), |_| script.control(&epoll, MOD, fd, OUT, 2));
    script.note(&format!("{told:?}"));
    script.control(&epoll, MOD, fd, 0, 3);
    let told = script.while_asleep(
        || epoll.wait(10_000),
        |_| {
            script.control(&epoll, MOD, fd, IN | EDGE, 4);
            script.tell("send");
        },
    );
    script.note(&format!("{told:?}"));
    script.meet();
}

const ROUNDS: usize = 20;

/// Threads that wait on one set: each byte wakes one of them.
fn threads_on_one_set(script: &Script, fd: Fd, bits: u32) {
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, bits, 1);
    let (told, got) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while got.load(Ordering::SeqCst) < ROUNDS {
                    if epoll.wait(200).0 != Ok(1) {
                        continue;
                    }
                    told.fetch_add(1, Ordering::SeqCst);
                    if sys::recv(fd, &mut [0], 0) == Ok(1) {
                        got.fetch_add(1, Ordering::SeqCst);
                        if bits & ONCE != 0 {
                            epoll.control(MOD, fd, bits, 1).expect("it is registered");
                        }
                        script.tell("more");
                    }
                }
            });
        }
    });
    script.note(&format!("{told:?} told, {got:?} read"));
    script.meet();
}

fn threads_once(script: &mut Script) {
    let fd = script.accept_one();
    threads_on_one_set(script, fd, IN | ONCE);
}

fn threads_edge(script: &mut Script) {
    let fd = script.accept_one();
    threads_on_one_set(script, fd, IN | EDGE);
}

fn sends_rounds(script: &mut Script) {
    let fd = script.connect_one();
    for _ in 0..ROUNDS {
        script.push(fd, b"x");
        script.hear();
    }
    script.meet();
}

const CONNECTIONS: usize = 12;

/// A set for each thread, all of them with the same listener: every connection is accepted once.
fn exclusive_listeners(script: &mut Script) {
    let listener = script.listener(32);
    script.nonblocking(listener);
    let accepted = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let epoll = Epoll::new();
                epoll.control(ADD, listener, IN | EXCLUSIVE, 1).expect("it can be registered");
                while accepted.load(Ordering::SeqCst) < CONNECTIONS {
                    let _ = epoll.wait(100);
                    while let Ok(fd) = sys::accept4(listener, 0) {
                        let fd = i32::try_from(fd).expect("descriptors are small");
                        assert_eq!(sys::send(fd, b"hello", 0), Ok(5));
                        sys::close(fd).expect("it is open");
                        accepted.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    script.note(&format!("{accepted:?} accepted"));
    script.accept4(listener, 0);
    script.meet();
}

fn connects_many(script: &mut Script) {
    let to = script.destination();
    for _ in 0..CONNECTIONS {
        let fd = script.stream(0);
        script.connect(fd, to);
        script.recv(fd, 5, libc::MSG_WAITALL);
        script.recv(fd, 5, 0);
    }
    script.meet();
}
