//! Signals in programs with threads, or with handlers that differ: some restart a blocked call, some do not.

use super::Case;
use super::interrupts::{alarmed, alarms_came, drain_later};
use crate::names;
use crate::script::Script;
use crate::sys::{self, Answer, Child, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::new("signals_thread_recv", thread_recv, sends_when_told),
    Case::new("signals_thread_timeouts", thread_timeouts, idle),
    Case::new("signals_differ_recv", differ_recv, sends_when_told),
    Case::new("signals_differ_recv_alone", differ_recv_alone, sends_later),
    Case::new("signals_differ_send", differ_send, reads_when_told),
    Case::new("signals_differ_send_alone", differ_send_alone, reads_later),
    Case::new("signals_differ_accept", differ_accept, connects_when_told),
    Case::new("signals_differ_datagrams", differ_datagrams, sends_datagrams),
    Case::new("signals_differ_timeout", differ_timeout, idle),
    Case::new("signals_once", once, idle),
    Case::new("signals_once_datagrams", once_datagrams, sends_datagrams),
    Case::new("signals_to_the_process", to_the_process, sends_when_told),
    Case::new("signals_blocked", blocked, sends_when_told),
    Case::new("sigpipe_in_thread", sigpipe_in_thread, closes),
    Case::new("stopped_and_continued", stopped, idle),
];

/// Its handler restarts calls.
const RESTARTS: i32 = libc::SIGUSR1;
/// Its handler does not.
const INTERRUPTS: i32 = libc::SIGUSR2;

/// Installs both kinds of handlers.
fn handlers_differ() {
    sys::catch(RESTARTS, true);
    sys::catch(INTERRUPTS, false);
}

/// Signals one thread, and waits until its handler ran.
fn signal(script: &Script, thread: i32, signal: i32) {
    let before = sys::caught(signal);
    sys::signal_thread(thread, signal);
    script.until("the handler runs", || sys::caught(signal) > before);
}

fn counts(script: &Script) {
    let (restarts, interrupts) = (sys::caught(RESTARTS), sys::caught(INTERRUPTS));
    script.note(&format!("caught {restarts} and {interrupts}"));
}

fn idle(script: &mut Script) {
    let _fd = script.connect_one();
    script.meet();
}

/// Sends a word whenever the other side asks for one, until that is done.
fn sends_when_told(script: &mut Script) {
    let fd = script.connect_one();
    while script.hear() == "send" {
        script.push(fd, b"word");
    }
}

fn receive(fd: Fd) -> Answer {
    sys::recv(fd, &mut [0; 9], 0)
}

/// A thread sleeps in `receive`, is signalled, and is sent something where that does not end it.
fn signalled_while_receiving(script: &Script, fd: Fd, number: i32, restarts: bool) {
    let got = script.while_asleep(
        move || receive(fd),
        |thread| {
            signal(script, thread, number);
            if restarts {
                script.tell("send");
            }
        },
    );
    script.log("recv", got);
}

fn thread_recv(script: &mut Script) {
    let fd = script.accept_one();
    for restarts in [true, false, true] {
        sys::catch(RESTARTS, restarts);
        signalled_while_receiving(script, fd, RESTARTS, restarts);
    }
    counts(script);
    script.tell("done");
}

fn in_thread(call: impl FnOnce() -> Answer + Send) -> Answer {
    std::thread::scope(|scope| scope.spawn(call).join().expect("the thread returns"))
}

/// A call with a timeout is interrupted whatever the handler says.
fn thread_timeouts(script: &mut Script) {
    let fd = script.accept_one();
    let timeout = |option, ms| script.log("timeout", sys::set_timeout(fd, option, ms));
    timeout(libc::SO_RCVTIMEO, 40);
    script.log("recv", in_thread(move || receive(fd)));
    timeout(libc::SO_RCVTIMEO, 10_000);
    sys::catch(RESTARTS, true);
    signalled_while_receiving(script, fd, RESTARTS, false);
    script.fill_up(fd, 1);
    timeout(libc::SO_SNDTIMEO, 40);
    script.log("send", in_thread(move || sys::send(fd, b"x", 0)));
    timeout(libc::SO_SNDTIMEO, 10_000);
    let sent = script
        .while_asleep(move || sys::send(fd, b"x", 0), |thread| signal(script, thread, RESTARTS));
    script.log("send", sent);
    counts(script);
    script.meet();
}

fn differ_recv(script: &mut Script) {
    let fd = script.accept_one();
    handlers_differ();
    for restarts in [true, false, true, true, false] {
        let number = if restarts { RESTARTS } else { INTERRUPTS };
        signalled_while_receiving(script, fd, number, restarts);
    }
    counts(script);
    script.tell("done");
}

/// As [`differ_recv`], in a program with one thread.
fn differ_recv_alone(script: &mut Script) {
    let fd = script.accept_one();
    sys::catch(INTERRUPTS, false);
    sys::catch(libc::SIGALRM, true);
    sys::alarm_after(20, false);
    script.meet();
    script.recv(fd, 9, 0);
    sys::catch(RESTARTS, true);
    sys::catch(libc::SIGALRM, false);
    alarmed(|| script.recv(fd, 9, 0));
    alarms_came(script);
    script.meet();
}

fn sends_later(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    sys::sleep_ms(150);
    script.send(fd, b"later", 0);
    script.meet();
}

fn differ_send(script: &mut Script) {
    let fd = script.accept_one();
    handlers_differ();
    for restarts in [true, false, true, false] {
        let sent = script.fill_up(fd, 1);
        let number = if restarts { RESTARTS } else { INTERRUPTS };
        let answer = script.while_asleep(
            move || sys::send(fd, b"x", 0),
            |thread| {
                signal(script, thread, number);
                if restarts {
                    script.tell(&sent.to_string());
                }
            },
        );
        script.log("send", answer);
        if !restarts {
            script.tell(&sent.to_string());
        }
        script.meet();
    }
    counts(script);
}

fn reads_when_told(script: &mut Script) {
    let fd = script.connect_one();
    for restarts in [true, false, true, false] {
        let sent: usize = script.hear().parse().expect("a number");
        script.drain(fd, 1, sent);
        if restarts {
            script.recv(fd, 9, 0);
        }
        script.meet();
    }
}

/// As [`differ_send`], in a program with one thread.
fn differ_send_alone(script: &mut Script) {
    let fd = script.accept_one();
    let sent = script.fill_up(fd, 1);
    sys::catch(INTERRUPTS, false);
    sys::catch(libc::SIGALRM, true);
    sys::alarm_after(20, false);
    script.tell(&sent.to_string());
    script.send(fd, b"x", 0);
    script.meet();
    let sent = script.fill_up(fd, 1);
    sys::catch(RESTARTS, true);
    sys::catch(libc::SIGALRM, false);
    alarmed(|| script.send(fd, b"x", 0));
    alarmed(|| script.write(fd, b"x"));
    alarms_came(script);
    script.tell(&sent.to_string());
    script.meet();
}

fn reads_later(script: &mut Script) {
    let fd = drain_later(script);
    let sent: usize = script.hear().parse().expect("a number");
    script.drain(fd, 1, sent);
    script.meet();
}

fn differ_accept(script: &mut Script) {
    let listener = script.listener(4);
    handlers_differ();
    for restarts in [true, false, true, false] {
        let number = if restarts { RESTARTS } else { INTERRUPTS };
        let answer = script.while_asleep(
            move || sys::accept4(listener, 0),
            |thread| {
                signal(script, thread, number);
                if restarts {
                    script.tell("connect");
                }
            },
        );
        script.log_fd("accept4", answer);
    }
    script.tell("done");
}

fn connects_when_told(script: &mut Script) {
    let to = script.destination();
    while script.hear() == "connect" {
        let fd = script.stream(0);
        script.connect(fd, to);
    }
}

fn differ_datagrams(script: &mut Script) {
    let fd = script.datagram(0);
    let any = std::net::SocketAddr::new(script.any(), 0);
    script.bind(fd, any);
    script.announce(fd);
    handlers_differ();
    script.recv(fd, 9, 0);
    for restarts in [true, false, true, false] {
        let number = if restarts { RESTARTS } else { INTERRUPTS };
        signalled_while_receiving(script, fd, number, restarts);
    }
    counts(script);
    script.tell("done");
}

fn sends_datagrams(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(0);
    script.connect(fd, to);
    script.send(fd, b"first", 0);
    while script.hear() == "send" {
        script.send(fd, b"word", 0);
    }
}

fn differ_timeout(script: &mut Script) {
    let fd = script.accept_one();
    handlers_differ();
    script.log("timeout", sys::set_timeout(fd, libc::SO_RCVTIMEO, 10_000));
    for number in [RESTARTS, INTERRUPTS] {
        signalled_while_receiving(script, fd, number, false);
    }
    script.meet();
}

/// A handler that takes itself away when it runs, as that of an alarm that shall end one call: put back before each.
fn once(script: &mut Script) {
    let fd = script.accept_one();
    for _ in 0..2 {
        sys::catch_once(INTERRUPTS);
        signalled_while_receiving(script, fd, INTERRUPTS, false);
    }
    script.fill_up(fd, 1);
    for _ in 0..2 {
        sys::catch_once(INTERRUPTS);
        let sent = script.while_asleep(
            move || sys::send(fd, b"x", 0),
            |thread| signal(script, thread, INTERRUPTS),
        );
        script.log("send", sent);
    }
    counts(script);
    script.meet();
}

/// Each time the handler is put there just after a datagram came, and its signal comes a while later.
fn once_datagrams(script: &mut Script) {
    let fd = script.datagram(0);
    let any = std::net::SocketAddr::new(script.any(), 0);
    script.bind(fd, any);
    script.announce(fd);
    script.recv(fd, 9, 0);
    for _ in 0..2 {
        sys::catch_once(INTERRUPTS);
        let got = script.while_asleep(
            move || receive(fd),
            |thread| {
                sys::sleep_ms(30);
                signal(script, thread, INTERRUPTS);
            },
        );
        script.log("recv", got);
        script.tell("send");
        script.recv(fd, 9, 0);
    }
    counts(script);
    script.tell("done");
}

/// A signal to the process is for its first thread, if that does not block it.
fn to_the_process(script: &mut Script) {
    let fd = script.accept_one();
    handlers_differ();
    let first = sys::thread_id();
    for (number, restarts) in [(RESTARTS, true), (INTERRUPTS, false), (RESTARTS, true)] {
        let quiet = &*script;
        let got = std::thread::scope(|scope| {
            scope.spawn(move || {
                quiet.until("the first thread sleeps", || sys::is_asleep(first));
                let before = sys::caught(number);
                sys::signal_own(number);
                quiet.until("the handler runs", || sys::caught(number) > before);
                if restarts {
                    quiet.tell("send");
                }
            });
            receive(fd)
        });
        script.log("recv", got);
    }
    counts(script);
    script.tell("done");
}

/// What a thread has blocked does not interrupt it.
fn blocked(script: &mut Script) {
    let fd = script.accept_one();
    handlers_differ();
    for number in [INTERRUPTS, RESTARTS] {
        let got = script.while_asleep(
            move || {
                sys::block(number, true);
                let got = receive(fd);
                let pending = sys::is_pending(number);
                sys::block(number, false);
                format!("recv {} pending {pending}", names::answer(got))
            },
            |thread| {
                sys::signal_thread(thread, number);
                sys::sleep_ms(20);
                script.note(&format!("caught {}", sys::caught(number)));
                script.tell("send");
            },
        );
        script.note(&got);
        script.note(&format!("caught {}", sys::caught(number)));
    }
    script.tell("done");
}

/// `SIGPIPE` is for the thread that wrote.
fn sigpipe_in_thread(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.send(fd, b"first", libc::MSG_NOSIGNAL);
    script.until_over(fd);
    script.error(fd);
    sys::block(libc::SIGPIPE, true);
    let told = std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let sent = sys::send(fd, b"x", 0);
            format!("{} pending {}", names::answer(sent), sys::is_pending(libc::SIGPIPE))
        });
        writer.join().expect("the writer returns")
    });
    script.note(&format!("send {told}"));
    script.note(&format!("pending for the others {}", sys::is_pending(libc::SIGPIPE)));
}

fn closes(script: &mut Script) {
    let fd = script.connect_one();
    script.close(fd);
    script.meet();
}

/// A call in which a process is stopped.
type Stopped<'a> = (&'a str, Box<dyn Fn() -> Answer + 'a>);

/// What processes that sleep are told when they were stopped and continued, without any handler (signal(7)).
fn stopped(script: &mut Script) {
    let fd = script.accept_one();
    script.fill_up(fd, 1);
    let epoll = sys::Epoll::new();
    script.control(&epoll, libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN.cast_unsigned(), 1);
    let calls: [Stopped<'_>; 6] = [
        ("recv with timeout", Box::new(|| with_timeout(fd, libc::SO_RCVTIMEO, receive))),
        (
            "send with timeout",
            Box::new(|| with_timeout(fd, libc::SO_SNDTIMEO, |it| sys::send(it, b"x", 0))),
        ),
        ("poll", Box::new(|| sys::poll(&[(fd, libc::POLLIN)], STOPPED_WITHIN).0)),
        ("ppoll", Box::new(|| sys::ppoll(&[(fd, libc::POLLIN)], i64::from(STOPPED_WITHIN)).0)),
        (
            "select",
            Box::new(|| sys::select(&[(fd, [true, false, false])], i64::from(STOPPED_WITHIN)).0),
        ),
        ("epoll_wait", Box::new(|| epoll.wait(STOPPED_WITHIN).0)),
    ];
    let sleepers: Vec<_> = calls
        .into_iter()
        .map(|(call, job)| match sys::fork() {
            None => sys::quit(job().map_or_else(|error| FAILED + error, |_| 0)),
            Some(child) => (call, child),
        })
        .collect();
    for (_, child) in &sleepers {
        script.until("the child sleeps", || sys::is_asleep(*child));
        sys::kill(*child, libc::SIGSTOP);
        script.until("the child stops", || sys::is_stopped(*child));
        sys::kill(*child, libc::SIGCONT);
    }
    for (call, child) in sleepers {
        match sys::wait_for(child) {
            Child::Exited(0) => script.log(call, Ok(0)),
            Child::Exited(status) => script.log(call, Err(status - FAILED)),
            Child::Killed(signal) => panic!("{call}: killed by {signal}"),
        };
    }
    script.meet();
}

/// Longest sleep of those that are stopped: time for all of them to fall asleep, on a busy machine.
const STOPPED_WITHIN: i32 = 4000;

/// How a child ends whose call failed: this and the number in `errno`.
const FAILED: i32 = 100;

fn with_timeout(fd: Fd, option: i32, call: fn(Fd) -> Answer) -> Answer {
    sys::set_timeout(fd, option, STOPPED_WITHIN.into())?;
    call(fd)
}
