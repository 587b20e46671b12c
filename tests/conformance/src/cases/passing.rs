//! What is no session stays as it was: unix sockets, pairs, the loopback, pipes beside them.

use super::{Case, nothing};
use crate::names;
use crate::script::Script;
use crate::sys::{self, Epoll, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::new("unix_pairs", pairs, nothing),
    Case::new("unix_pair_ready", pair_ready, nothing),
    Case::new("unix_pair_forked", pair_forked, nothing),
    Case::new("unix_listener", unix_listener, nothing),
    Case::new("unix_passes_pipe", passes_pipe, nothing),
    Case::new("unix_beside_sessions", beside_sessions, beside_sessions_two),
];

const ALL: i16 = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;

/// What any kind of pair does with bytes.
fn pairs(script: &mut Script) {
    sys::ignore(libc::SIGPIPE);
    for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let (near, far) = sys::unix_pair(kind);
        script.send(near, b"one", 0);
        script.write(near, b"two");
        script.waiting(far);
        script.recv(far, 2, libc::MSG_PEEK);
        script.recv(far, 2, 0);
        script.read(far, 9);
        script.recv(far, 9, libc::MSG_DONTWAIT);
        script.nonblocking(far);
        script.recv(far, 9, libc::MSG_DONTWAIT);
        script.own_name(near);
        script.peer_name(near);
        script.error(near);
        script.shutdown(near, libc::SHUT_WR);
        script.poll(far, ALL, 0);
        script.recv(far, 9, 0);
        let copy = script.log_fd("dup", sys::dup(far)).fd();
        script.close(far);
        script.send(copy, b"back", 0);
        script.recv(near, 9, 0);
        script.close(copy);
        script.poll(near, ALL, 0);
        script.send(near, b"late", 0);
        script.recv(near, 9, libc::MSG_DONTWAIT);
    }
}

fn pair_ready(script: &mut Script) {
    let (near, far) = sys::unix_pair(libc::SOCK_STREAM);
    let epoll = Epoll::new();
    script.control(&epoll, libc::EPOLL_CTL_ADD, far, libc::EPOLLIN.cast_unsigned(), 1);
    script.epoll(&epoll, 0);
    script.send(near, b"word", 0);
    script.epoll(&epoll, 1000);
    let (answer, got) = sys::select(&[(far, [true; 3])], 1000);
    script.note(&format!("select = {} {got:?}", names::answer(answer)));
    script.recv(far, 9, 0);
    script.epoll(&epoll, 0);
    let got = script.while_asleep(
        || epoll.wait(10_000),
        |_| {
            script.close(near);
        },
    );
    script.note(&format!("{got:?}"));
    script.log("timeout", sys::set_timeout(far, libc::SO_RCVTIMEO, 30));
    script.recv(far, 9, 0);
}

fn pair_forked(script: &mut Script) {
    let (near, far) = sys::unix_pair(libc::SOCK_STREAM);
    let Some(child) = sys::fork() else {
        script.close(near);
        script.recv(far, 9, 0);
        script.send(far, b"child", 0);
        sys::quit(0);
    };
    script.close(far);
    let sent = sys::send(near, b"parent", 0);
    let ended = sys::wait_for(child);
    script.log("send", sent);
    script.note(&format!("{ended:?}"));
    script.recv(near, 9, 0);
    script.recv(near, 9, 0);
}

/// A listener of the family, by a name that the kernel chooses.
fn unix_listener(script: &mut Script) {
    let listener = crate::calls::fd(sys::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    script.log("bind", sys::bind_unix(listener));
    script.listen(listener, 4);
    script.poll(listener, libc::POLLIN, 0);
    let client = crate::calls::fd(sys::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0));
    script.log("connect", sys::connect_unix(client, listener));
    script.poll(listener, libc::POLLIN, 0);
    let server = script.accept4(listener, libc::SOCK_CLOEXEC).fd();
    script.send(client, b"request", 0);
    script.recv(server, 9, 0);
    script.write(server, b"answer");
    script.read(client, 9);
    script.shutdown(listener, libc::SHUT_RDWR);
    script.accept4(listener, 0);
    script.close(server);
    script.recv(client, 9, 0);
}

/// Descriptors that are no sockets are passed as ever.
fn passes_pipe(script: &mut Script) {
    let (near, far) = sys::unix_pair(libc::SOCK_STREAM);
    let (read, write) = sys::pipe();
    script.log("pass", sys::pass(near, read));
    script.close(read);
    let passed = script.log_fd("passed", sys::receive_passed(far)).fd();
    sys::write(write, b"through").expect("room");
    script.read(passed, 9);
    script.close(write);
    script.read(passed, 9);
}

fn ready(script: &Script, wanted: &[(Fd, i16)]) {
    let (answer, got) = sys::poll(wanted, 5000);
    let got: Vec<_> = got.into_iter().map(names::poll).collect();
    script.note(&format!("poll = {} {}", names::answer(answer), got.join(" ")));
}

/// All kinds in one wait.
fn beside_sessions(script: &mut Script) {
    let session = script.accept_one();
    let (near, far) = sys::unix_pair(libc::SOCK_STREAM);
    let (read, write) = sys::pipe();
    let wanted = [(session, libc::POLLIN), (far, libc::POLLIN), (read, libc::POLLIN)];
    for step in 0..3 {
        match step {
            0 => {
                script.meet();
                script.until_waiting(session, 4);
            }
            1 => {
                script.send(near, b"unix", 0);
            }
            _ => {
                script.write(write, b"pipe");
            }
        }
        ready(script, &wanted);
        ready(script, &wanted[step..]);
    }
    script.recv(session, 9, 0);
    script.recv(far, 9, 0);
    script.read(read, 9);
    // What comes wakes a sleep for all of them, whichever it is.
    for step in 0..3 {
        let got = script.while_asleep(
            || sys::poll(&wanted, 10_000),
            |_| match step {
                0 => script.tell("send"),
                1 => {
                    script.send(near, b"unix", 0);
                }
                _ => {
                    script.write(write, b"pipe");
                }
            },
        );
        script.note(&format!("{got:?}"));
        let (fd, _) = wanted[step];
        script.read(fd, 9);
    }
    script.meet();
}

fn beside_sessions_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"peer", 0);
    script.hear();
    script.send(fd, b"peer", 0);
    script.meet();
}
