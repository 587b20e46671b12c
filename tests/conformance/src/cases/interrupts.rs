//! Signals and timeouts: what ends a blocked call, and how.

use super::{Case, nothing};
use crate::checked::pattern;
use crate::names;
use crate::script::Script;
use crate::sys::{self, Epoll, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::new("timeout_recv", timeout_recv, idle),
    Case::new("timeout_send", timeout_send, idle),
    Case::new("timeout_accept", timeout_accept, nothing),
    Case::new("timeout_recvmmsg", timeout_recvmmsg, idle),
    Case::new("signal_recv", signal_recv, idle),
    Case::new("signal_recv_restart", signal_recv_restart, sends_later),
    Case::new("signal_recv_timeout", signal_recv_timeout, idle),
    Case::new("signal_accept", signal_accept, nothing),
    Case::new("signal_accept_restart", signal_accept_restart, connects_later),
    Case::new("signal_send", signal_send, idle),
    Case::new("signal_send_restart", signal_send_restart, reads_later),
    Case::new("signal_waits", signal_waits, idle),
    Case::new("signal_waitall", signal_waitall, sends_some),
    Case::new("signal_ignored", signal_ignored, sends_later),
    Case::new("signal_storm", signal_storm, signal_storm_two),
];

fn idle(script: &mut Script) {
    let _fd = script.connect_one();
    script.meet();
}

fn timeout(script: &Script, fd: Fd, option: i32, milliseconds: i64) {
    script.log("timeout", sys::set_timeout(fd, option, milliseconds));
}

fn timeout_recv(script: &mut Script) {
    let fd = script.accept_one();
    timeout(script, fd, libc::SO_RCVTIMEO, 40);
    script.recv(fd, 9, 0);
    script.recv(fd, 9, libc::MSG_WAITALL);
    script.recv(fd, 9, libc::MSG_PEEK);
    script.read(fd, 9);
    let mut parts = [vec![0; 3]];
    script.log("readv", sys::read_parts(fd, &mut parts));
    let got = sys::receive_message(fd, &mut parts, 0);
    script.log("recvmsg", got.result);
    script.meet();
}

fn timeout_send(script: &mut Script) {
    let fd = script.accept_one();
    timeout(script, fd, libc::SO_SNDTIMEO, 40);
    script.fill_up(fd, 1);
    script.send(fd, b"x", 0);
    script.write(fd, b"x");
    script.log("writev", sys::write_parts(fd, &[b"x"]));
    script.meet();
}

fn timeout_accept(script: &mut Script) {
    let listener = script.listener(4);
    timeout(script, listener, libc::SO_RCVTIMEO, 40);
    script.accept4(listener, 0);
    let (answer, ..) = sys::accept(listener);
    script.log_fd("accept", answer);
}

fn timeout_recvmmsg(script: &mut Script) {
    let fd = script.accept_one();
    timeout(script, fd, libc::SO_RCVTIMEO, 40);
    let mut buffers = vec![vec![0; 4]; 2];
    let got = sys::receive_many(fd, &mut buffers, 0, None);
    script.note(&format!("recvmmsg = {} {:?}", names::answer(got.result), got.lengths));
    script.meet();
}

/// Makes a call that `SIGALRM` shall interrupt. It comes again and again: on a busy machine the first one may come before
/// the call sleeps.
pub(super) fn alarmed<T>(call: impl FnOnce() -> T) -> T {
    sys::alarm_after(40, true);
    let answer = call();
    sys::alarm_after(0, false);
    answer
}

/// Notes that there were some, once they are over.
pub(super) fn alarms_came(script: &Script) {
    script.note(&format!("SIGALRM came: {}", sys::caught(libc::SIGALRM) > 0));
}

fn count(script: &Script) {
    script.note(&format!("SIGALRM {}", sys::caught(libc::SIGALRM)));
}

fn signal_recv(script: &mut Script) {
    let fd = script.accept_one();
    sys::catch(libc::SIGALRM, false);
    alarmed(|| script.recv(fd, 9, 0));
    alarmed(|| script.read(fd, 9));
    alarmed(|| script.recv(fd, 9, libc::MSG_WAITALL));
    alarms_came(script);
    script.meet();
}

fn signal_recv_restart(script: &mut Script) {
    let fd = script.accept_one();
    sys::catch(libc::SIGALRM, true);
    sys::alarm_after(20, false);
    script.meet();
    script.recv(fd, 9, 0);
    count(script);
}

fn sends_later(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    sys::sleep_ms(150);
    script.send(fd, b"later", 0);
}

/// A socket with a timeout is interrupted whatever the handler says (signal(7)).
fn signal_recv_timeout(script: &mut Script) {
    let fd = script.accept_one();
    timeout(script, fd, libc::SO_RCVTIMEO, 5000);
    sys::catch(libc::SIGALRM, true);
    alarmed(|| script.recv(fd, 9, 0));
    alarms_came(script);
    script.meet();
}

fn signal_accept(script: &mut Script) {
    let listener = script.listener(4);
    sys::catch(libc::SIGALRM, false);
    alarmed(|| script.accept4(listener, 0));
    alarms_came(script);
}

fn signal_accept_restart(script: &mut Script) {
    let listener = script.listener(4);
    sys::catch(libc::SIGALRM, true);
    sys::alarm_after(20, false);
    script.accept4(listener, 0);
    count(script);
    script.meet();
}

fn connects_later(script: &mut Script) {
    let to = script.destination();
    sys::sleep_ms(150);
    let fd = script.stream(0);
    script.connect(fd, to);
    script.meet();
}

fn signal_send(script: &mut Script) {
    let fd = script.accept_one();
    script.fill_up(fd, 1);
    sys::catch(libc::SIGALRM, false);
    alarmed(|| script.send(fd, b"x", 0));
    alarmed(|| script.write(fd, b"x"));
    alarms_came(script);
    script.meet();
}

fn signal_send_restart(script: &mut Script) {
    let fd = script.accept_one();
    let sent = script.fill_up(fd, 1);
    sys::catch(libc::SIGALRM, true);
    sys::alarm_after(20, false);
    script.tell(&sent.to_string());
    script.send(fd, b"x", 0);
    count(script);
    script.meet();
}

fn reads_later(script: &mut Script) {
    drain_later(script);
}

/// Takes what the other side filled in, and a word, after a while; the connection.
pub(super) fn drain_later(script: &mut Script) -> Fd {
    let fd = script.connect_one();
    let sent: usize = script.hear().parse().expect("a number");
    sys::sleep_ms(150);
    script.drain(fd, 1, sent);
    script.recv(fd, 9, 0);
    script.meet();
    fd
}

/// Waiting for readiness is never restarted.
fn signal_waits(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN.cast_unsigned(), 1);
    sys::catch(libc::SIGALRM, true);
    alarmed(|| script.poll(fd, libc::POLLIN, 5000));
    alarmed(|| script.log("ppoll", sys::ppoll(&[(fd, libc::POLLIN)], 5000).0));
    alarmed(|| script.log("select", sys::select(&[(fd, [true, false, false])], 5000).0));
    alarmed(|| script.log("pselect", sys::pselect(&[(fd, [true, false, false])], 5000).0));
    alarmed(|| script.epoll(&epoll, 5000));
    alarmed(|| script.log("epoll_pwait", epoll.pwait(5000).0));
    alarms_came(script);
    script.meet();
}

fn signal_waitall(script: &mut Script) {
    let fd = script.accept_one();
    script.until_waiting(fd, 4);
    sys::catch(libc::SIGALRM, false);
    alarmed(|| script.recv(fd, 9, libc::MSG_WAITALL));
    alarms_came(script);
    script.meet();
}

fn sends_some(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"some", 0);
    script.meet();
}

fn signal_ignored(script: &mut Script) {
    let fd = script.accept_one();
    sys::ignore(libc::SIGALRM);
    sys::alarm_after(10, true);
    script.meet();
    script.recv(fd, 9, 0);
    count(script);
}

/// Signals all the time: not a byte is lost or doubled.
fn signal_storm(script: &mut Script) {
    let fd = script.accept_one();
    sys::catch(libc::SIGALRM, true);
    sys::alarm_after(1, true);
    let got = script.pull(fd, 20_000_003);
    script.note(&names::bytes(&got));
    script.note(&format!("interrupted: {}", sys::caught(libc::SIGALRM) > 0));
    script.meet();
}

fn signal_storm_two(script: &mut Script) {
    let fd = script.connect_one();
    sys::catch(libc::SIGALRM, false);
    sys::alarm_after(1, true);
    script.push(fd, &pattern(9, 0, 20_000_003));
    sys::alarm_after(0, false);
    script.meet();
}
