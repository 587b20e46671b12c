//! Flags of the receiving and sending calls.

use super::Case;
use crate::names;
use crate::script::Script;
use crate::sys::{self, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("peek", peek, peek_two),
    Case::new("waitall", waitall, waitall_two),
    Case::new("waitall_peek", waitall_peek, waitall_peek_two),
    Case::new("dontwait", dontwait, dontwait_two),
    Case::new("trunc", trunc, trunc_two),
    Case::new("urgent", urgent, urgent_two),
    Case::new("odd_flags", odd_flags, odd_flags_two),
];

fn peek(script: &mut Script) {
    let fd = script.accept_one();
    script.until_waiting(fd, 6);
    script.recv(fd, 3, libc::MSG_PEEK);
    script.recv(fd, 100, libc::MSG_PEEK);
    script.waiting(fd);
    script.recv(fd, 2, 0);
    script.recv(fd, 100, libc::MSG_PEEK | libc::MSG_DONTWAIT);
    script.recv(fd, 100, 0);
    script.recv(fd, 100, libc::MSG_PEEK | libc::MSG_DONTWAIT);
    script.meet();
    // Waits for what comes.
    script.recv(fd, 100, libc::MSG_PEEK);
    script.recv(fd, 100, 0);
    script.meet();
    script.recv(fd, 100, libc::MSG_PEEK);
    script.recv(fd, 100, 0);
}

fn peek_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"abcdef", 0);
    script.meet();
    sys::sleep_ms(20);
    script.send(fd, b"later", 0);
    script.meet();
    script.close(fd);
}

fn waitall(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    script.recv(fd, 10, libc::MSG_WAITALL);
    script.meet();
    // What the end cuts short.
    script.recv(fd, 10, libc::MSG_WAITALL);
    script.recv(fd, 10, libc::MSG_WAITALL);
}

fn waitall_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"12345", 0);
    sys::sleep_ms(30);
    script.send(fd, b"678", 0);
    sys::sleep_ms(30);
    script.send(fd, b"90", 0);
    script.meet();
    script.send(fd, b"abc", 0);
    sys::sleep_ms(30);
    script.close(fd);
}

fn waitall_peek(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    script.recv(fd, 6, libc::MSG_WAITALL | libc::MSG_PEEK);
    script.waiting(fd);
    script.recv(fd, 6, libc::MSG_WAITALL);
    script.recv(fd, 6, libc::MSG_WAITALL | libc::MSG_DONTWAIT);
    script.meet();
    script.until_waiting(fd, 2);
    script.recv(fd, 6, libc::MSG_WAITALL | libc::MSG_DONTWAIT);
    script.meet();
}

fn waitall_peek_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"abc", 0);
    sys::sleep_ms(30);
    script.send(fd, b"def", 0);
    script.meet();
    script.send(fd, b"gh", 0);
    script.meet();
}

fn dontwait(script: &mut Script) {
    let fd = script.accept_one();
    script.recv(fd, 4, libc::MSG_DONTWAIT);
    script.meet();
    script.until_waiting(fd, 3);
    script.recv(fd, 4, libc::MSG_DONTWAIT);
    script.recv(fd, 4, libc::MSG_DONTWAIT);
    script.send(fd, b"xyz", libc::MSG_DONTWAIT);
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.recv(fd, 4, libc::MSG_DONTWAIT);
}

fn dontwait_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"abc", libc::MSG_DONTWAIT);
    script.recv(fd, 3, 0);
    script.meet();
    script.close(fd);
}

fn trunc(script: &mut Script) {
    let fd = script.accept_one();
    script.until_waiting(fd, 10);
    let mut buffer = [b'.'; 4];
    let answer = sys::recv(fd, &mut buffer, libc::MSG_TRUNC);
    script.note(&format!("trunc = {} {}", names::answer(answer), names::bytes(&buffer)));
    let mut buffer = [b'.'; 4];
    let answer = sys::recv(fd, &mut buffer, libc::MSG_TRUNC | libc::MSG_PEEK);
    script.note(&format!("trunc, peek = {} {}", names::answer(answer), names::bytes(&buffer)));
    script.recv(fd, 100, 0);
    script.recv(fd, 100, libc::MSG_TRUNC | libc::MSG_DONTWAIT);
    script.meet();
}

fn trunc_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"0123456789", 0);
    script.meet();
}

fn urgent(script: &mut Script) {
    let fd = script.accept_one();
    script.recv(fd, 1, libc::MSG_OOB);
    script.log("at mark", sys::ioctl_int(fd, sys::SIOCATMARK, -1).0);
    script.meet();
}

fn urgent_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"!", libc::MSG_OOB);
}

fn odd_flags(script: &mut Script) {
    let fd = script.accept_one();
    script.until_waiting(fd, 6);
    script.recv(fd, 2, libc::MSG_NOSIGNAL);
    script.recv(fd, 2, libc::MSG_DONTROUTE);
    script.recv(fd, 2, libc::MSG_ERRQUEUE);
    script.recv(fd, 2, libc::MSG_CMSG_CLOEXEC);
    script.meet();
}

fn odd_flags_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"ab", libc::MSG_CONFIRM);
    script.send(fd, b"cd", libc::MSG_MORE);
    script.send(fd, b"ef", libc::MSG_EOR);
    script.meet();
}
