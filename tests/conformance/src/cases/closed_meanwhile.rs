//! What a call does that sleeps for a descriptor while another thread closes it, and its number goes to something else.

use super::Case;
use super::datagrams::{bound, many, recv_from, send_many, send_to};
use super::epoll::{ADD, IN, RDHUP};
use crate::calls;
use crate::script::Script;
use crate::sys::{self, Epoll, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::new("threads_close_while_receiving", close_receiving, sends_then_ends),
    Case::new("threads_close_while_sending", close_sending, reads_to_the_end),
    Case::new("threads_close_while_polling", close_polling, sends_then_ends),
    Case::new("threads_close_while_waiting", close_waiting, sends_when_closed),
    Case::new("threads_close_while_receiving_datagrams", close_datagrams, sends_datagrams),
    Case::new("threads_close_while_receiving_many", close_batch, sends_batch),
    Case::new("threads_close_while_accepting", close_accepting, connects_when_closed),
];

/// Closes the socket `fd`, has its number go to something that bytes wait for already, and tells the other side.
fn close_and_reuse(script: &Script, fd: Fd) {
    let (near, far) = sys::unix_pair(libc::SOCK_DGRAM);
    script.close(fd);
    let reused = sys::dup2(near, fd) == Ok(i64::from(fd));
    script.note(&format!("the number is used again: {reused}"));
    script.send(far, b"of the next", 0);
    // Longer than anything goes by an earlier look.
    sys::sleep_ms(30);
    script.tell("send");
}

/// A call that sleeps keeps the socket and its port.
fn close_datagrams(script: &mut Script) {
    for _ in 0..2 {
        let fd = bound(script);
        let one = &*script;
        let receive = || {
            recv_from(one, fd, 20);
        };
        script.while_asleep(receive, |_| close_and_reuse(one, fd));
        script.recv(fd, 20, 0);
        script.close(fd);
        script.meet();
    }
}

/// One is a session's, where there are sessions, and one comes through the kernel.
fn sends_datagrams(script: &mut Script) {
    for by_kernel in [false, true] {
        let to = script.destination();
        let fd = script.datagram(0);
        if by_kernel {
            sys::set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1).expect("it can be set");
        }
        script.hear();
        send_to(script, fd, b"kept", to);
        script.meet();
    }
}

/// All of a call is one call.
fn close_batch(script: &mut Script) {
    let fd = bound(script);
    recv_from(script, fd, 20);
    let one = &*script;
    let receive = || many(one, fd, &[8; 3], 0, None);
    script.while_asleep(receive, |_| close_and_reuse(one, fd));
    script.recv(fd, 20, 0);
    script.meet();
}

fn sends_batch(script: &mut Script) {
    let to = script.destination();
    let fd = script.datagram(0);
    script.connect(fd, to);
    script.send(fd, b"first", 0);
    script.hear();
    for word in [&b"one"[..], b"two", b"three"] {
        send_many(script, fd, &[word]);
        sys::sleep_ms(30);
    }
    script.meet();
}

/// Whoever sleeps for a connection gets the next one, and then nobody listens any more.
fn close_accepting(script: &mut Script) {
    for _ in 0..2 {
        let listener = script.listener(4);
        let accept = move || sys::accept4(listener, 0);
        let accepted = script.while_asleep(accept, |_| close_and_reuse(script, listener));
        let fd = calls::fd(accepted);
        script.recv(fd, 9, 0);
        script.meet();
        script.recv(listener, 20, 0);
        script.close(listener);
        script.meet();
        script.close(fd);
    }
}

/// As [`sends_datagrams`].
fn connects_when_closed(script: &mut Script) {
    for by_kernel in [false, true] {
        let to = script.destination();
        let connect = |script: &Script| {
            let fd = script.stream(0);
            if by_kernel {
                sys::set_option(fd, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1).expect("it can be set");
            }
            script.connect(fd, to);
            fd
        };
        script.hear();
        let fd = connect(script);
        script.send(fd, b"kept", 0);
        script.meet();
        connect(script);
        script.meet();
    }
}

/// A call that sleeps keeps the connection, although its number is gone.
fn close_receiving(script: &mut Script) {
    let fd = script.accept_one();
    let got = script.while_asleep(
        move || sys::recv(fd, &mut [0; 9], 0),
        |_| {
            script.close(fd);
            script.tell("send");
        },
    );
    script.log("recv", got);
    script.recv(fd, 9, 0);
    script.meet();
}

/// More than any buffer has room for.
const MUCH: usize = 16 << 20;

/// The number of a socket for which a call sleeps is closed and goes to something else, which sees nothing of that:
/// neither when there is some room, nor while there is none again.
fn close_sending(script: &mut Script) {
    let fd = script.accept_one();
    let sent = script.fill_up(fd, 3);
    let (near, far) = sys::unix_pair(libc::SOCK_STREAM);
    let block = vec![7; MUCH];
    let answer = script.while_asleep(
        || sys::send(fd, &block, 0),
        |_| {
            script.close(fd);
            let reused = sys::dup2(near, fd) == Ok(i64::from(fd));
            script.note(&format!("the number is used again: {reused}"));
            script.tell(&(sent / 2).to_string());
            script.meet();
            script.poll(far, libc::POLLIN, 100);
            script.meet();
        },
    );
    script.log("send", answer);
    script.meet();
    script.poll(far, libc::POLLIN, 0);
}

fn reads_to_the_end(script: &mut Script) {
    let fd = script.connect_one();
    let some: usize = script.hear().parse().expect("a number");
    script.drain(fd, 3, some);
    script.meet();
    script.meet();
    let mut buffer = vec![0; 64 << 10];
    while sys::recv(fd, &mut buffer, 0).is_ok_and(|it| it > 0) {}
    script.recv(fd, 9, 0);
    script.meet();
}

fn close_polling(script: &mut Script) {
    let fd = script.accept_one();
    let told = script.while_asleep(
        move || sys::poll(&[(fd, libc::POLLIN)], 10_000),
        |_| {
            script.close(fd);
            script.tell("send");
        },
    );
    script.note(&format!("{told:?}"));
    script.meet();
}

fn sends_then_ends(script: &mut Script) {
    let fd = script.connect_one();
    script.hear();
    script.send(fd, b"kept", libc::MSG_NOSIGNAL);
    script.until_events(fd, libc::POLLRDHUP);
    script.meet();
}

/// A registration ends with its descriptor.
fn close_waiting(script: &mut Script) {
    let fd = script.accept_one();
    let epoll = Epoll::new();
    script.control(&epoll, ADD, fd, IN | RDHUP, 1);
    let told = script.while_asleep(
        || epoll.wait(2000),
        |_| {
            script.close(fd);
            script.tell("send");
        },
    );
    script.note(&format!("{told:?}"));
    script.meet();
}

fn sends_when_closed(script: &mut Script) {
    let fd = script.connect_one();
    script.hear();
    script.recv(fd, 9, 0);
    script.send(fd, b"late", libc::MSG_NOSIGNAL);
    script.meet();
}
