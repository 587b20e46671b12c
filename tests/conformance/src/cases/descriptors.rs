//! Descriptors: duplicates, flags, questions about them.

use super::{Case, nothing};
use crate::script::Script;
use crate::sys::{self, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("duplicates", duplicates, duplicates_two),
    Case::new("dup2_over", dup2_over, dup2_over_two),
    Case::new("dup2_over_socket", dup2_over_socket, dup2_over_socket_two),
    Case::new("dup_before_connect", nothing_but_accept, dup_before_connect),
    Case::new("dup_errors", dup_errors, dup_errors_two),
    Case::new("dup_listener", dup_listener, dup_listener_two),
    Case::new("standard_streams", standard_streams, standard_streams_two),
    Case::new("close_range", close_range, close_range_two),
    Case::new("flags", flags, flags_two),
    Case::new("ioctl", ioctl, ioctl_two),
    Case::new("closed", closed, nothing),
    Case::new("numbers_return", numbers_return, numbers_return_two),
];

fn flag(script: &Script, fd: Fd) {
    let nonblocking = sys::fcntl(fd, libc::F_GETFL, 0)
        .map(|bits| i64::from(bits & i64::from(libc::O_NONBLOCK) != 0));
    script.log("O_NONBLOCK", nonblocking);
    script.log("F_GETFD", sys::fcntl(fd, libc::F_GETFD, 0));
}

fn duplicates(script: &mut Script) {
    let fd = script.accept_one();
    let first = script.log_fd("dup", sys::dup(fd)).fd();
    script.send(first, b"through a duplicate", 0);
    script.recv(first, 4, 0);
    script.own_name(first);
    script.close(fd);
    script.recv(first, 99, 0);
    script.send(first, b"still there", 0);
    let second = script.log_fd("F_DUPFD", sys::fcntl(first, libc::F_DUPFD_CLOEXEC, 50)).fd();
    script.note(&format!("at least 50: {}", second >= 50));
    flag(script, second);
    script.close(first);
    script.send(second, b" and there", 0);
    script.meet();
    script.close(second);
}

fn duplicates_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"hello you", 0);
    let got = script.pull(fd, 19);
    script.note(&String::from_utf8_lossy(&got));
    script.meet();
    script.until_waiting(fd, 21);
    script.recv(fd, 99, 0);
    script.recv(fd, 99, 0);
}

fn dup2_over(script: &mut Script) {
    let fd = script.accept_one();
    let (read, write) = sys::pipe();
    script.log_fd("dup2", sys::dup2(fd, read));
    script.send(read, b"was a pipe", 0);
    script.close(fd);
    script.meet();
    // And the other way round: the connection goes, the pipe takes its place.
    let (other, _keep) = sys::pipe();
    script.log_fd("dup2", sys::dup2(other, read));
    script.log("fstat", sys::kind_of_file(read));
    script.close(write);
    script.meet();
}

fn dup2_over_two(script: &mut Script) {
    let fd = script.connect_one();
    script.recv(fd, 99, 0);
    script.meet();
    script.recv(fd, 99, 0);
    script.meet();
}

fn dup2_over_socket(script: &mut Script) {
    let listener = script.listener(4);
    let first = script.accept4(listener, 0).fd();
    let second = script.accept4(listener, 0).fd();
    script.log_fd("dup3", sys::dup3(second, first, libc::O_CLOEXEC));
    flag(script, first);
    script.meet();
    script.recv(first, 99, 0);
    script.recv(second, 99, libc::MSG_DONTWAIT);
    script.meet();
}

fn dup2_over_socket_two(script: &mut Script) {
    let to = script.destination();
    let (first, second) = (script.stream(0), script.stream(0));
    script.connect(first, to);
    script.connect(second, to);
    script.meet();
    script.recv(first, 99, 0);
    script.send(second, b"to the second", 0);
    script.meet();
}

fn nothing_but_accept(script: &mut Script) {
    let fd = script.accept_one();
    script.recv(fd, 99, 0);
    script.send(fd, b"answer", 0);
    script.meet();
}

/// A duplicate that was made before anybody knew what becomes of the socket.
fn dup_before_connect(script: &mut Script) {
    let to = script.destination();
    let fd = script.stream(0);
    let copy = script.log_fd("dup", sys::dup(fd)).fd();
    script.connect(fd, to);
    script.peer_name(copy);
    script.send(copy, b"from the duplicate", 0);
    script.recv(fd, 99, 0);
    script.meet();
}

fn dup_errors(script: &mut Script) {
    let fd = script.accept_one();
    script.log("dup", sys::dup(999));
    script.log("dup2", sys::dup2(999, 5));
    script.log("dup2", sys::dup2(fd, -1));
    script.log("dup3", sys::dup3(fd, fd, 0));
    script.log("dup3", sys::dup3(fd, 60, 12345));
    script.note(&format!("dup2 onto itself: {}", sys::dup2(fd, fd) == Ok(fd.into())));
    script.log("F_DUPFD", sys::fcntl(fd, libc::F_DUPFD, -1));
    script.send(fd, b"well", 0);
    script.meet();
}

fn dup_errors_two(script: &mut Script) {
    let fd = script.connect_one();
    script.recv(fd, 9, 0);
    script.meet();
}

fn dup_listener(script: &mut Script) {
    let listener = script.listener(4);
    let copy = script.log_fd("dup", sys::dup(listener)).fd();
    script.close(listener);
    let fd = script.accept4(copy, 0).fd();
    script.recv(fd, 9, 0);
    script.own_name(copy);
    script.meet();
}

fn dup_listener_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"ab", 0);
    script.meet();
}

/// As a server does that is started with the connection as its standard input and output.
fn standard_streams(script: &mut Script) {
    let fd = script.accept_one();
    let Some(child) = sys::fork() else {
        let _ = sys::dup2(fd, 0);
        let _ = sys::dup2(fd, 1);
        let _ = sys::close(fd);
        let mut buffer = [0; 9];
        let got = sys::read(0, &mut buffer).unwrap_or(0);
        let got = usize::try_from(got).unwrap_or(0);
        let sent = sys::write(1, &buffer[..got]);
        sys::quit(i32::from(sent != Ok(4)));
    };
    script.close(fd);
    script.note(&format!("{:?}", sys::wait_for(child)));
    script.meet();
}

fn standard_streams_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"echo", 0);
    script.recv(fd, 9, 0);
    script.recv(fd, 9, 0);
    script.meet();
}

fn close_range(script: &mut Script) {
    let fd = script.accept_one();
    let high = script.log_fd("F_DUPFD", sys::fcntl(fd, libc::F_DUPFD, 100)).fd();
    script.close(fd);
    script.send(high, b"high", 0);
    script.log("close_range", sys::close_range(90, 200));
    script.send(high, b"gone", 0);
    script.meet();
}

fn close_range_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.recv(fd, 9, 0);
    script.recv(fd, 9, 0);
}

fn flags(script: &mut Script) {
    let fd = script.accept_one();
    let copy = script.log_fd("dup", sys::dup(fd)).fd();
    script.nonblocking(fd);
    // The mode is the connection's, the flag is the descriptor's.
    flag(script, copy);
    script.recv(copy, 9, 0);
    script.log("F_SETFD", sys::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC));
    flag(script, fd);
    flag(script, copy);
    let (answer, _) = sys::ioctl_int(copy, libc::FIONBIO, 0);
    script.log("FIONBIO", answer);
    flag(script, fd);
    script.tell("blocking again");
    script.recv(fd, 9, 0);
    script.log("F_SETFL", sys::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK | libc::O_APPEND));
    flag(script, fd);
    script.recv(fd, 9, 0);
    script.log("F_GETOWN", sys::fcntl(fd, libc::F_GETOWN, 0));
    script.meet();
}

fn flags_two(script: &mut Script) {
    let fd = script.connect_one();
    script.hear();
    sys::sleep_ms(30);
    script.send(fd, b"awaited", 0);
    script.meet();
}

fn ioctl(script: &mut Script) {
    let fd = script.accept_one();
    script.waiting(fd);
    script.meet();
    script.until_waiting(fd, 7);
    script.waiting(fd);
    script.recv(fd, 3, libc::MSG_PEEK);
    script.waiting(fd);
    script.recv(fd, 3, 0);
    script.waiting(fd);
    let (answer, value) = sys::ioctl_int(fd, libc::TIOCOUTQ, -1);
    script.log("TIOCOUTQ", answer.map(|_| value.into()));
    let (answer, _) = sys::ioctl_int(fd, libc::FIONBIO, 1);
    script.log("FIONBIO", answer);
    flag(script, fd);
    script.recv(fd, 9, 0);
    script.recv(fd, 9, 0);
    script.log("TCGETS", sys::ioctl_int(fd, 0x7fff_1234, 0).0);
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.waiting(fd);
}

fn ioctl_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"1234567", 0);
    script.meet();
    script.shutdown(fd, libc::SHUT_WR);
    script.recv(fd, 1, 0);
}

fn closed(script: &mut Script) {
    let fd = script.stream(0);
    script.close(fd);
    script.close(fd);
    script.recv(fd, 1, 0);
    script.send(fd, b"x", 0);
    script.listen(fd, 1);
    script.own_name(fd);
    script.shutdown(fd, libc::SHUT_WR);
    script.waiting(fd);
    script.error(fd);
    flag(script, fd);
    script.recv(-1, 1, 0);
    let (read, _write) = sys::pipe();
    script.recv(read, 1, 0);
    script.listen(read, 1);
    script.own_name(read);
}

/// Numbers of descriptors are the lowest that are free, as the standard says.
fn numbers_return(script: &mut Script) {
    let listener = script.listener(4);
    let fd = script.accept4(listener, 0).fd();
    script.note(&format!("next to the listener: {}", fd == listener + 1));
    script.close(fd);
    let (read, write) = sys::pipe();
    script.note(&format!("free again: {}", read == fd));
    sys::write(write, b"x").expect("room");
    script.read(read, 9);
    script.log("fstat", sys::kind_of_file(read));
    script.meet();
}

fn numbers_return_two(script: &mut Script) {
    let before = sys::dup(0).expect("a descriptor");
    sys::close(i32::try_from(before).expect("small")).expect("it is open");
    let fd = script.connect_one();
    script.note(&format!("the lowest: {}", i64::from(fd) == before));
    script.recv(fd, 9, 0);
    script.meet();
}
