//! Connecting to a listener whose backlog is full: what waits, and what ends the waiting.

use super::Case;
use super::interrupts::alarmed;
use crate::script::Script;
use crate::sys::{self, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::new("backlog_full_timeout", accepts_later, timeout),
    Case::new("backlog_full_nonblocking", accepts_later, nonblocking),
    Case::new("backlog_full_signal", accepts_later, signal),
    Case::new("backlog_full_restart", accepts_later, restart),
    Case::new("backlog_full_threads", accepts_later, threads),
];

/// Connections that wait when nobody accepts: one more than the backlog.
const WAITING: usize = 2;

/// A listener that accepts only when it is told to.
fn accepts_later(script: &mut Script) {
    let listener = script.listener(1);
    script.hear();
    for _ in 0..=WAITING {
        let fd = crate::calls::fd(sys::accept4(listener, 0));
        script.send(fd, b"hello", 0);
        script.close(fd);
    }
    script.meet();
}

/// Fills the backlog; a socket that is to be connected in vain.
fn fill(script: &mut Script, flags: i32) -> (Fd, std::net::SocketAddr) {
    let to = script.destination();
    for _ in 0..WAITING {
        let fd = script.stream(0);
        script.connect(fd, to);
    }
    (script.stream(flags), to)
}

/// Has the other side accept, and waits until the socket is connected.
fn is_let_in(script: &Script, fd: Fd) {
    script.tell("accept");
    script.until_events(fd, libc::POLLIN);
    script.recv(fd, 5, libc::MSG_WAITALL);
}

fn timeout(script: &mut Script) {
    let (fd, to) = fill(script, 0);
    script.log("timeout", sys::set_timeout(fd, libc::SO_SNDTIMEO, 50));
    script.connect(fd, to);
    script.connect(fd, to);
    script.peer_name(fd);
    script.poll(fd, libc::POLLIN | libc::POLLOUT, 0);
    is_let_in(script, fd);
    // It is told once.
    script.connect(fd, to);
    script.connect(fd, to);
    script.meet();
}

fn nonblocking(script: &mut Script) {
    let (fd, to) = fill(script, libc::SOCK_NONBLOCK);
    script.connect(fd, to);
    script.connect(fd, to);
    script.poll(fd, libc::POLLIN | libc::POLLOUT, 20);
    script.recv(fd, 5, 0);
    script.send(fd, b"early", 0);
    script.error(fd);
    is_let_in(script, fd);
    script.connect(fd, to);
    script.connect(fd, to);
    script.meet();
}

fn signal(script: &mut Script) {
    let (fd, to) = fill(script, 0);
    sys::catch(libc::SIGALRM, false);
    for _ in 0..2 {
        alarmed(|| script.connect(fd, to));
    }
    is_let_in(script, fd);
    script.connect(fd, to);
    script.connect(fd, to);
    script.meet();
}

/// With handlers of both kinds; that of the signal that comes restarts.
fn restart(script: &mut Script) {
    let (fd, to) = fill(script, 0);
    sys::catch(libc::SIGUSR2, false);
    sys::catch(libc::SIGALRM, true);
    let answer = script.while_alone_asleep(
        || sys::connect(fd, to),
        |process| {
            sys::kill(process, libc::SIGALRM);
            // Who was woken by it sleeps again.
            script.until("the handler runs", || sys::is_asleep(process));
            script.tell("accept");
        },
    );
    script.log("connect", answer);
    script.note(&format!("SIGALRM {}", sys::caught(libc::SIGALRM)));
    script.recv(fd, 5, libc::MSG_WAITALL);
    script.meet();
}

/// As [`restart`], in a program with threads; then one that does not restart.
fn threads(script: &mut Script) {
    let (fd, to) = fill(script, 0);
    sys::catch(libc::SIGUSR1, true);
    sys::catch(libc::SIGUSR2, false);
    let answer = script.while_asleep(
        move || sys::connect(fd, to),
        |thread| sys::signal_thread(thread, libc::SIGUSR2),
    );
    script.log("connect", answer);
    let answer = script.while_asleep(
        move || sys::connect(fd, to),
        |thread| {
            sys::signal_thread(thread, libc::SIGUSR1);
            script.until("the handler runs", || sys::caught(libc::SIGUSR1) == 1);
            script.tell("accept");
        },
    );
    script.log("connect", answer);
    script.recv(fd, 5, libc::MSG_WAITALL);
    script.meet();
}
