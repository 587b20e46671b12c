//! Sockets in several processes: forks, exec, passed descriptors, killed peers.

use super::Case;
use crate::names;
use crate::script::Script;
use crate::sys::{self, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("fork_before_accept", before_accept, several),
    Case::all("fork_after_accept", after_accept, after_accept_two),
    Case::new("fork_shared", shared, shared_two),
    Case::new("fork_many", many, several),
    Case::new("fork_client", client, client_two),
    Case::all("exec_inherits", exec_inherits, exec_inherits_two),
    Case::new("exec_closes", exec_closes, exec_closes_two),
    Case::all("passed_accepted", passed_accepted, passed_accepted_two),
    Case::new("passed_connected", passed_connected, passed_connected_two),
    Case::new("passed_listener", passed_listener, several),
    Case::new("prefork_passing", prefork_passing, several),
    Case::new("killed_idle", killed_idle, survives),
    Case::new("killed_with_unread", killed_unread, survives_unread),
    Case::new("killed_reading", killed_reading, survives),
    Case::new("killed_writing", killed_writing, survives_writer),
    Case::new("killed_after_sending", killed_after_sending, survives_bytes),
    Case::new("killed_listening", killed_listening, survives_listener),
];

/// How many connections [`several`] makes.
pub(super) const SEVERAL: usize = 6;

/// Answers one request and ends.
pub(super) fn serve(script: &Script, fd: Fd) {
    let got = script.pull(fd, 4);
    script.push(fd, &got);
    script.push(fd, b"!");
    let _ = sys::close(fd);
}

pub(super) fn ended(script: &Script, children: Vec<i32>) {
    for child in children {
        script.note(&format!("{:?}", sys::wait_for(child)));
    }
}

/// Workers that share a listener, as many servers have them.
fn before_accept(script: &mut Script) {
    let listener = script.listener(16);
    let mut children = Vec::new();
    for _ in 0..SEVERAL / 2 {
        let Some(child) = sys::fork() else {
            for _ in 0..2 {
                let fd = crate::calls::fd(sys::accept4(listener, 0));
                serve(script, fd);
            }
            sys::quit(0);
        };
        children.push(child);
    }
    script.close(listener);
    ended(script, children);
    script.meet();
}

pub(super) fn several(script: &mut Script) {
    let to = script.destination();
    for _ in 0..SEVERAL {
        let fd = script.stream(0);
        script.connect(fd, to);
        script.send(fd, b"task", 0);
        let got = script.pull(fd, 5);
        script.note(&names::bytes(&got));
        script.recv(fd, 9, 0);
        script.close(fd);
    }
    script.meet();
}

fn after_accept(script: &mut Script) {
    let fd = script.accept_one();
    let Some(child) = sys::fork() else {
        script.recv(fd, 9, 0);
        script.send(fd, b"from the child", 0);
        script.peer_name(fd);
        sys::quit(0);
    };
    ended(script, vec![child]);
    // The child's end is not the connection's.
    script.meet();
    script.recv(fd, 99, 0);
    script.send(fd, b"from the parent", 0);
    script.close(fd);
}

fn after_accept_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"question", 0);
    script.recv(fd, 99, 0);
    script.meet();
    script.poll(fd, libc::POLLIN, 0);
    script.send(fd, b"another", 0);
    script.recv(fd, 99, 0);
    script.recv(fd, 99, 0);
}

/// Parent and child take turns on one connection: there is one stream, not two.
fn shared(script: &mut Script) {
    let fd = script.accept_one();
    let (wait, go) = sys::unix_pair(libc::SOCK_STREAM);
    let Some(child) = sys::fork() else {
        for round in 0..5 {
            let _ = sys::read(wait, &mut [0]);
            script.recv(fd, 3, 0);
            script.send(fd, format!("child {round};").as_bytes(), 0);
            let _ = sys::write(wait, b"x");
        }
        sys::quit(0);
    };
    for round in 0..5 {
        script.until_waiting(fd, 6);
        script.recv(fd, 3, 0);
        script.send(fd, format!("parent {round};").as_bytes(), 0);
        let _ = sys::write(go, b"x");
        let _ = sys::read(go, &mut [0]);
        script.meet();
    }
    ended(script, vec![child]);
    script.meet();
}

fn shared_two(script: &mut Script) {
    let fd = script.connect_one();
    for round in 0..5 {
        script.send(fd, format!("{round:03}{round:03}").as_bytes(), 0);
        script.meet();
        let got = script.pull(fd, 17);
        script.note(&names::bytes(&got));
    }
    script.meet();
}

/// A process for each connection.
fn many(script: &mut Script) {
    let listener = script.listener(16);
    let mut children = Vec::new();
    for _ in 0..SEVERAL {
        let fd = script.accept4(listener, libc::SOCK_CLOEXEC).fd();
        let Some(child) = sys::fork() else {
            serve(script, fd);
            sys::quit(0);
        };
        script.close(fd);
        children.push(child);
    }
    ended(script, children);
    script.meet();
}

fn client(script: &mut Script) {
    let fd = script.accept_one();
    let got = script.pull(fd, 8);
    script.note(&names::bytes(&got));
    script.send(fd, b"to the child", 0);
    script.recv(fd, 99, 0);
    script.meet();
}

/// The child inherits a connected socket and outlives its parent's use of it.
fn client_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"parent", 0);
    let Some(child) = sys::fork() else {
        script.send(fd, b"ch", 0);
        script.recv(fd, 99, 0);
        script.close(fd);
        sys::quit(0);
    };
    let closed = sys::close(fd);
    ended(script, vec![child]);
    script.log("close", closed);
    script.meet();
}

fn exec_inherits(script: &mut Script) {
    let fd = script.accept_one();
    script.until_waiting(fd, 6);
    script.recv(fd, 2, 0);
    let Some(child) = sys::fork() else {
        sys::execute(&["inherited", &fd.to_string(), script.case()]);
    };
    let closed = sys::close(fd);
    ended(script, vec![child]);
    script.log("close", closed);
    script.meet();
}

fn exec_inherits_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"abcdef", 0);
    let got = script.pull(fd, 9);
    script.note(&names::bytes(&got));
    script.recv(fd, 9, 0);
    script.meet();
}

fn exec_closes(script: &mut Script) {
    let listener = script.listener(4);
    let fd = script.accept4(listener, libc::SOCK_CLOEXEC).fd();
    let Some(child) = sys::fork() else {
        sys::execute(&["inherited", &fd.to_string(), script.case()]);
    };
    let closed = sys::close(fd);
    ended(script, vec![child]);
    script.log("close", closed);
    script.meet();
}

fn exec_closes_two(script: &mut Script) {
    let fd = script.connect_one();
    script.recv(fd, 9, 0);
    script.meet();
}

/// A process that was there before the connection is given it.
fn passed_accepted(script: &mut Script) {
    let (ours, theirs) = sys::unix_pair(libc::SOCK_STREAM);
    let Some(child) = sys::fork() else {
        let fd = crate::calls::fd(sys::receive_passed(theirs));
        script.recv(fd, 99, 0);
        script.peer_name(fd);
        script.send(fd, b"from elsewhere", 0);
        script.poll(fd, libc::POLLIN | libc::POLLOUT, 0);
        script.close(fd);
        sys::quit(0);
    };
    let fd = script.accept_one();
    script.until_waiting(fd, 8);
    script.recv(fd, 4, 0);
    pass_away(script, ours, fd, child);
    script.meet();
}

/// Passes a descriptor, closes it, and waits for the end of who got it; writes down nothing before that.
fn pass_away(script: &Script, through: Fd, fd: Fd, child: i32) {
    let answers = [sys::pass(through, fd), sys::close(fd)];
    ended(script, vec![child]);
    script.note(&format!("passed, closed = {answers:?}"));
}

fn passed_accepted_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"headbody", 0);
    let got = script.pull(fd, 14);
    script.note(&names::bytes(&got));
    script.recv(fd, 9, 0);
    script.meet();
}

fn passed_connected(script: &mut Script) {
    let fd = script.accept_one();
    let got = script.pull(fd, 4);
    script.note(&names::bytes(&got));
    script.send(fd, b"answer", 0);
    script.recv(fd, 99, 0);
    script.meet();
}

fn passed_connected_two(script: &mut Script) {
    let (ours, theirs) = sys::unix_pair(libc::SOCK_DGRAM);
    let Some(child) = sys::fork() else {
        let fd = crate::calls::fd(sys::receive_passed(theirs));
        script.send(fd, b"gift", 0);
        script.recv(fd, 99, 0);
        sys::quit(0);
    };
    let fd = script.connect_one();
    pass_away(script, ours, fd, child);
    script.meet();
}

fn passed_listener(script: &mut Script) {
    let (ours, theirs) = sys::unix_pair(libc::SOCK_STREAM);
    let Some(child) = sys::fork() else {
        let listener = crate::calls::fd(sys::receive_passed(theirs));
        for _ in 0..SEVERAL {
            serve(script, crate::calls::fd(sys::accept4(listener, 0)));
        }
        sys::quit(0);
    };
    let listener = script.listener(16);
    pass_away(script, ours, listener, child);
    script.meet();
}

/// A server whose first process accepts and hands the connections to workers.
fn prefork_passing(script: &mut Script) {
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let (ours, theirs) = sys::unix_pair(libc::SOCK_STREAM);
            let Some(child) = sys::fork() else {
                let _ = sys::close(ours);
                while let Ok(fd) = sys::receive_passed(theirs) {
                    serve(script, i32::try_from(fd).expect("descriptors are small"));
                }
                sys::quit(0);
            };
            let _ = sys::close(theirs);
            (ours, child)
        })
        .collect();
    let listener = script.listener(16);
    for round in 0..SEVERAL {
        let fd = script.accept4(listener, 0).fd();
        script.log("pass", sys::pass(workers[round % 2].0, fd));
        script.close(fd);
    }
    // The second worker has a copy of the first one's end: it must go first.
    for (ours, child) in workers.into_iter().rev() {
        let _ = sys::close(ours);
        ended(script, vec![child]);
    }
    script.meet();
}

/// A child that owns the connection alone and is killed at `moment`.
fn killed(script: &mut Script, job: fn(&Script, Fd)) {
    let (told, tell) = sys::pipe();
    let listener = script.listener(4);
    let Some(child) = sys::fork() else {
        let fd = crate::calls::fd(sys::accept4(listener, 0));
        let _ = sys::write(tell, b"x");
        job(script, fd);
        sys::sleep_ms(60_000);
        sys::quit(0);
    };
    let _ = sys::close(listener);
    sys::read(told, &mut [0]).expect("the child tells");
    script.meet();
    sys::sleep_ms(60);
    sys::kill(child, libc::SIGKILL);
    ended(script, vec![child]);
    script.meet();
}

fn killed_idle(script: &mut Script) {
    killed(script, |_, _| {});
}

fn killed_reading(script: &mut Script) {
    killed(script, |_, fd| {
        let _ = sys::recv(fd, &mut [0; 9], 0);
    });
}

const ALL: i16 = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;

/// The other side of one that is killed with nothing unread.
fn survives(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.recv(fd, 9, 0);
    script.meet();
    script.poll(fd, ALL, 0);
    script.send(fd, b"x", libc::MSG_NOSIGNAL);
    script.until_over(fd);
    script.send(fd, b"x", libc::MSG_NOSIGNAL);
    script.recv(fd, 9, 0);
}

fn killed_unread(script: &mut Script) {
    killed(script, |script, fd| script.until_waiting(fd, 6));
}

fn survives_unread(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"unread", 0);
    script.meet();
    script.recv(fd, 9, 0);
    script.meet();
    script.poll(fd, ALL, 0);
    script.recv(fd, 9, 0);
    script.send(fd, b"x", libc::MSG_NOSIGNAL);
}

/// Writes until nothing fits any more; the survivor gets whole blocks and then the end.
fn killed_writing(script: &mut Script) {
    killed(script, |_, fd| while sys::send(fd, &[7; 10_000], 0).is_ok() {});
}

fn survives_writer(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.meet();
    let mut whole = true;
    let end = loop {
        let mut buffer = [0; 10_000];
        match sys::recv(fd, &mut buffer, 0) {
            Ok(got) if got > 0 => {
                let got = usize::try_from(got).unwrap_or(0);
                whole &= buffer[..got].iter().all(|it| *it == 7);
            }
            end => break end,
        }
    };
    script.log("the end", end);
    script.note(&format!("nothing else came: {whole}"));
}

fn killed_after_sending(script: &mut Script) {
    killed(script, |script, fd| script.push(fd, b"testament"));
}

fn survives_bytes(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.meet();
    script.recv(fd, 4, 0);
    script.recv(fd, 99, 0);
    script.recv(fd, 99, 0);
}

/// A server that is killed with connections that it never accepted.
fn killed_listening(script: &mut Script) {
    let (told, tell) = sys::pipe();
    let Some(child) = sys::fork() else {
        let listener = script.listener(4);
        let _ = sys::write(tell, b"x");
        sys::sleep_ms(60_000);
        let _ = sys::close(listener);
        sys::quit(0);
    };
    sys::read(told, &mut [0]).expect("the child tells");
    script.meet();
    sys::kill(child, libc::SIGKILL);
    ended(script, vec![child]);
    script.meet();
}

fn survives_listener(script: &mut Script) {
    let to = script.destination();
    let fd = script.stream(0);
    script.connect(fd, to);
    script.send(fd, b"hello?", 0);
    script.meet();
    script.recv(fd, 9, 0);
    script.meet();
    script.until("nobody listens any more", || {
        let other = script.stream(0);
        let answer = sys::connect(other, to);
        let _ = sys::close(other);
        answer == Err(libc::ECONNREFUSED)
    });
    let other = script.stream(0);
    script.connect(other, to);
}
