//! How connections end.

use super::Case;
use crate::script::Script;
use crate::sys::{self, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("half_close", half_close, half_close_two),
    Case::new("shutdown_read", shutdown_read, shutdown_read_two),
    Case::new("shutdown_both", shutdown_both, shutdown_both_two),
    Case::new("shutdown_odd", shutdown_odd, shutdown_odd_two),
    Case::all("close_clean", close_clean, close_clean_two),
    Case::new("close_with_bytes_on_the_way", close_with_bytes, close_with_bytes_two),
    Case::all("close_unread", close_unread, close_unread_two),
    Case::new("close_unread_both", close_unread_both, close_unread_both_two),
    Case::all("linger_zero", linger_zero, linger_zero_two),
    Case::new("linger", linger, linger_two),
    Case::new("sigpipe_kills", sigpipe_kills, sigpipe_kills_two),
    Case::new("sigpipe", sigpipe, sigpipe_two),
    Case::new("closed_while_reading", closed_while_reading, closed_while_reading_two),
    Case::new("closed_while_writing", closed_while_writing, closed_while_writing_two),
    Case::new("reset_while_reading", reset_while_reading, reset_while_reading_two),
    Case::new("write_after_peer_read_end", after_read_end, after_read_end_two),
    Case::new("both_close", both_close, both_close_two),
];

const ALL: i16 = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;

fn half_close(script: &mut Script) {
    let fd = script.accept_one();
    script.until_events(fd, libc::POLLRDHUP);
    script.poll(fd, ALL, 0);
    script.waiting(fd);
    script.recv(fd, 10, 0);
    script.recv(fd, 10, 0);
    script.recv(fd, 10, libc::MSG_DONTWAIT);
    script.poll(fd, ALL, 0);
    script.send(fd, b"late", 0);
    script.meet();
    script.shutdown(fd, libc::SHUT_WR);
    script.poll(fd, ALL, 0);
    script.send(fd, b"too late", libc::MSG_NOSIGNAL);
    script.meet();
    script.recv(fd, 10, 0);
    // Until the peer has acknowledged the end, the kernel's socket is not closed.
    script.until("the end is acknowledged", || sys::peer_name(fd).0.is_err());
    script.peer_name(fd);
    script.error(fd);
}

fn half_close_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"early", 0);
    script.shutdown(fd, libc::SHUT_WR);
    script.poll(fd, ALL & !libc::POLLIN, 0);
    sys::catch(libc::SIGPIPE, true);
    script.send(fd, b"x", 0);
    script.send(fd, b"x", libc::MSG_NOSIGNAL);
    script.note(&format!("SIGPIPE {}", sys::caught(libc::SIGPIPE)));
    script.recv(fd, 10, 0);
    script.meet();
    script.until_over(fd);
    script.poll(fd, ALL, 0);
    script.recv(fd, 10, 0);
    script.recv(fd, 10, 0);
    script.meet();
    script.error(fd);
    script.close(fd);
}

fn shutdown_read(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    script.send(fd, b"anyway", 0);
    script.meet();
    script.recv(fd, 10, 0);
    script.poll(fd, ALL, 0);
    script.meet();
}

fn shutdown_read_two(script: &mut Script) {
    let fd = script.connect_one();
    script.shutdown(fd, libc::SHUT_RD);
    script.poll(fd, ALL, 0);
    script.recv(fd, 10, 0);
    script.recv(fd, 10, libc::MSG_DONTWAIT);
    script.meet();
    script.meet();
    script.until_waiting(fd, 6);
    script.recv(fd, 10, 0);
    script.recv(fd, 10, 0);
    script.send(fd, b"still", 0);
    script.meet();
}

fn shutdown_both(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.poll(fd, ALL, 0);
    script.recv(fd, 10, 0);
    script.meet();
    script.close(fd);
}

fn shutdown_both_two(script: &mut Script) {
    let fd = script.connect_one();
    script.shutdown(fd, libc::SHUT_RDWR);
    script.poll(fd, ALL, 0);
    script.recv(fd, 10, 0);
    script.send(fd, b"x", libc::MSG_NOSIGNAL);
    script.meet();
    script.meet();
    script.error(fd);
}

fn shutdown_odd(script: &mut Script) {
    let fd = script.accept_one();
    script.shutdown(fd, 7);
    script.shutdown(fd, libc::SHUT_WR);
    script.shutdown(fd, libc::SHUT_WR);
    script.shutdown(fd, libc::SHUT_RD);
    script.shutdown(fd, libc::SHUT_RDWR);
    script.shutdown(999, libc::SHUT_RDWR);
    script.meet();
    script.meet();
    // It hung up by itself; the peer's end comes a moment after the peer closed.
    script.until("the peer's end", || sys::peer_name(fd).0.is_err());
    script.shutdown(fd, libc::SHUT_RDWR);
}

fn shutdown_odd_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.recv(fd, 4, 0);
    script.close(fd);
    script.meet();
}

fn close_clean(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.poll(fd, ALL, 0);
    script.recv(fd, 10, 0);
    // Nobody is there; the first write only finds that out.
    script.send(fd, b"anybody?", libc::MSG_NOSIGNAL);
    script.until_over(fd);
    script.poll(fd, ALL, 0);
    script.recv(fd, 10, 0);
    script.send(fd, b"x", libc::MSG_NOSIGNAL);
    script.send(fd, b"x", libc::MSG_NOSIGNAL);
    script.error(fd);
    script.recv(fd, 10, 0);
    script.peer_name(fd);
    script.poll(fd, ALL, 0);
}

fn close_clean_two(script: &mut Script) {
    let fd = script.connect_one();
    script.close(fd);
    script.meet();
}

fn close_with_bytes(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.poll(fd, ALL, 0);
    script.waiting(fd);
    script.recv(fd, 4, 0);
    script.recv(fd, 10, 0);
    script.recv(fd, 10, 0);
}

fn close_with_bytes_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"last words", 0);
    script.close(fd);
    script.meet();
}

fn close_unread(script: &mut Script) {
    let fd = script.accept_one();
    script.send(fd, b"unread", 0);
    script.meet();
    script.meet();
    script.until_over(fd);
    script.poll(fd, ALL, 0);
    script.recv(fd, 10, 0);
    script.recv(fd, 10, 0);
    script.poll(fd, ALL, 0);
    script.error(fd);
    script.send(fd, b"x", libc::MSG_NOSIGNAL);
    script.peer_name(fd);
    script.shutdown(fd, libc::SHUT_RDWR);
}

fn close_unread_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.until_waiting(fd, 6);
    script.close(fd);
    script.meet();
}

fn close_unread_both(script: &mut Script) {
    let fd = script.accept_one();
    script.send(fd, b"unread", 0);
    script.until_waiting(fd, 4);
    script.meet();
    script.meet();
    script.until_over(fd);
    // What the peer sent before it went is still there.
    script.waiting(fd);
    script.recv(fd, 2, 0);
    script.recv(fd, 10, 0);
    script.recv(fd, 10, 0);
    script.recv(fd, 10, 0);
    script.send(fd, b"x", libc::MSG_NOSIGNAL);
}

fn close_unread_both_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"gift", 0);
    script.meet();
    script.until_waiting(fd, 6);
    script.close(fd);
    script.meet();
}

fn linger_zero(script: &mut Script) {
    let fd = script.accept_one();
    script.until_waiting(fd, 4);
    script.meet();
    script.meet();
    script.until_over(fd);
    script.poll(fd, ALL, 0);
    script.recv(fd, 2, 0);
    script.recv(fd, 10, 0);
    script.recv(fd, 10, 0);
    script.recv(fd, 10, 0);
    script.send(fd, b"x", libc::MSG_NOSIGNAL);
    script.error(fd);
}

fn linger_zero_two(script: &mut Script) {
    let fd = script.connect_one();
    script.log("linger", sys::set_linger(fd, true, 0));
    script.send(fd, b"gone", 0);
    script.meet();
    script.close(fd);
    script.meet();
}

fn linger(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    let all = script.pull(fd, 100_000);
    script.note(&all.len().to_string());
    script.recv(fd, 1, 0);
}

fn linger_two(script: &mut Script) {
    let fd = script.connect_one();
    script.log("linger", sys::set_linger(fd, true, 5));
    script.push(fd, &vec![7; 100_000]);
    script.meet();
    script.close(fd);
}

fn gone_peer(script: &Script, fd: Fd) {
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.send(fd, b"first", libc::MSG_NOSIGNAL);
    script.until_over(fd);
    script.error(fd);
}

fn sigpipe_kills(script: &mut Script) {
    let fd = script.accept_one();
    gone_peer(script, fd);
    let child = sys::fork();
    let Some(child) = child else {
        script.send(fd, b"x", libc::MSG_NOSIGNAL);
        script.write(fd, b"x");
        sys::quit(0);
    };
    script.note(&format!("{:?}", sys::wait_for(child)));
}

fn sigpipe_kills_two(script: &mut Script) {
    let fd = script.connect_one();
    script.close(fd);
    script.meet();
}

fn sigpipe(script: &mut Script) {
    sys::catch(libc::SIGPIPE, true);
    let fd = script.accept_one();
    gone_peer(script, fd);
    let count = |what: &str| script.note(&format!("after {what}: {}", sys::caught(libc::SIGPIPE)));
    script.send(fd, b"x", 0);
    count("send");
    script.send(fd, b"x", libc::MSG_NOSIGNAL);
    count("send without signal");
    script.log("writev", sys::write_parts(fd, &[b"x"]));
    count("writev");
    script.log("sendmsg", sys::send_message(fd, &[b"x"], 0, None));
    count("sendmsg");
    script.send(fd, b"", 0);
    count("empty send");
    sys::ignore(libc::SIGPIPE);
    script.write(fd, b"x");
    count("ignoring it");
}

fn sigpipe_two(script: &mut Script) {
    let fd = script.connect_one();
    script.close(fd);
    script.meet();
}

fn closed_while_reading(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    script.recv(fd, 10, 0);
    script.recv(fd, 10, 0);
}

fn closed_while_reading_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    sys::sleep_ms(50);
    script.close(fd);
}

fn closed_while_writing(script: &mut Script) {
    let fd = script.accept_one();
    sys::ignore(libc::SIGPIPE);
    script.fill_up(fd, 2);
    script.meet();
    // Blocks until the peer goes away with unread bytes.
    script.send(fd, &[1; 100], 0);
    script.send(fd, &[1; 100], 0);
    script.recv(fd, 1, 0);
}

fn closed_while_writing_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    sys::sleep_ms(50);
    script.close(fd);
}

fn reset_while_reading(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    script.recv(fd, 10, 0);
    script.recv(fd, 10, 0);
}

fn reset_while_reading_two(script: &mut Script) {
    let fd = script.connect_one();
    script.log("linger", sys::set_linger(fd, true, 0));
    script.meet();
    sys::sleep_ms(50);
    script.close(fd);
}

/// The peer still has the socket but said that it will not read: TCP knows nothing of that.
fn after_read_end(script: &mut Script) {
    let fd = script.accept_one();
    script.meet();
    script.poll(fd, ALL, 0);
    script.send(fd, b"one", 0);
    script.send(fd, b"two", 0);
    script.meet();
    script.until_over(fd);
    script.recv(fd, 10, 0);
}

fn after_read_end_two(script: &mut Script) {
    let fd = script.connect_one();
    script.shutdown(fd, libc::SHUT_RD);
    script.meet();
    script.meet();
    script.until_waiting(fd, 6);
    script.close(fd);
}

fn both_close(script: &mut Script) {
    let fd = script.accept_one();
    shut_and_wait(script, fd);
}

fn both_close_two(script: &mut Script) {
    let fd = script.connect_one();
    shut_and_wait(script, fd);
}

fn shut_and_wait(script: &Script, fd: Fd) {
    script.shutdown(fd, libc::SHUT_WR);
    script.until_over(fd);
    script.poll(fd, ALL, 0);
    script.recv(fd, 10, 0);
    script.error(fd);
    script.close(fd);
}
