//! Sockets that programs hand to what they start: listeners over exec, connections as standard input, and
//! sockets that are nothing yet.

use super::Case;
use super::processes::{SEVERAL, ended, several};
use crate::script::Script;
use crate::sys::{self, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("exec_listener", exec_listener, several),
    Case::new("spawned_with_connection", spawned, spawned_two),
    Case::new("passed_unconnected", passed_unconnected, passed_unconnected_two),
    Case::new("fork_before_connect", before_connect, before_connect_two),
];

/// As a supervisor does that opens the sockets of its services.
fn exec_listener(script: &mut Script) {
    let listener = script.listener(16);
    let Some(child) = sys::fork() else {
        let count = SEVERAL.to_string();
        sys::execute(&["serving", &listener.to_string(), &count, script.case()]);
    };
    script.close(listener);
    ended(script, vec![child]);
    script.meet();
}

/// As `inetd` does, by `posix_spawn`.
fn spawned(script: &mut Script) {
    let fd = script.accept_one();
    script.until_waiting(fd, 6);
    script.recv(fd, 2, 0);
    let status = sys::spawn_on(fd, &["inherited", "0", script.case()]);
    script.note(&format!("ended {status:?}"));
    script.meet();
}

fn spawned_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"abcdef", 0);
    script.recv(fd, 9, libc::MSG_WAITALL);
    script.recv(fd, 9, 0);
    script.meet();
}

/// A socket is passed before it is connected; who got it connects it.
fn passed_unconnected(script: &mut Script) {
    let fd = script.accept_one();
    script.recv(fd, 5, libc::MSG_WAITALL);
    script.send(fd, b"answer", 0);
    script.recv(fd, 9, 0);
    script.meet();
}

fn passed_unconnected_two(script: &mut Script) {
    let (ours, theirs) = sys::unix_pair(libc::SOCK_STREAM);
    let to = script.destination();
    let Some(child) = sys::fork() else {
        let fd = crate::calls::fd(sys::receive_passed(theirs));
        script.connect(fd, to);
        script.send(fd, b"child", 0);
        script.recv(fd, 9, 0);
        sys::quit(0);
    };
    let fd = script.stream(0);
    let answers = [sys::pass(ours, fd), sys::close(fd)];
    ended(script, vec![child]);
    script.note(&format!("passed, closed = {answers:?}"));
    script.meet();
}

/// A child connects what its parent made.
fn before_connect(script: &mut Script) {
    let fd = script.accept_one();
    script.recv(fd, 5, libc::MSG_WAITALL);
    script.recv(fd, 9, 0);
    script.meet();
}

fn before_connect_two(script: &mut Script) {
    let to = script.destination();
    let fd = script.stream(0);
    let Some(child) = sys::fork() else {
        script.connect(fd, to);
        script.send(fd, b"child", 0);
        sys::quit(0);
    };
    ended(script, vec![child]);
    script.peer_name(fd);
    script.send(fd, b"parent", libc::MSG_NOSIGNAL);
    script.meet();
}
