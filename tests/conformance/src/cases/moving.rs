//! Moving bytes: the calls of the read and write families.

use super::Case;
use crate::checked::pattern;
use crate::names;
use crate::script::Script;
use crate::sys::{self, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("exchange", exchange, exchange_two),
    Case::new("nothing_to_move", nothing_to_move, nothing_to_move_two),
    Case::new("parts", parts, parts_two),
    Case::new("messages", messages, messages_two),
    Case::new("many_messages", many_messages, many_messages_two),
    Case::new("addresses_of_streams", addresses, addresses_two),
    Case::new("sendfile", sendfile, sendfile_two),
    Case::new("splice", splice, splice_two),
    Case::new("full", full, full_two),
    Case::new("full_blocking", full_blocking, full_blocking_two),
    Case::new("positions", positions, positions_two),
];

fn exchange(script: &mut Script) {
    let fd = script.accept_one();
    script.until_waiting(fd, 5);
    script.waiting(fd);
    script.recv(fd, 100, 0);
    script.send(fd, b"one", 0);
    script.write(fd, b"two");
    script.recv(fd, 1, 0);
    script.recv(fd, 100, 0);
    script.recv(fd, 100, 0);
}

fn exchange_two(script: &mut Script) {
    let fd = script.connect_one();
    script.write(fd, b"hello");
    script.until_waiting(fd, 6);
    script.read(fd, 2);
    script.read(fd, 100);
    script.send(fd, b"bye", 0);
    script.shutdown(fd, libc::SHUT_WR);
}

fn nothing_to_move(script: &mut Script) {
    let fd = script.accept_one();
    script.read(fd, 0);
    script.recv(fd, 0, libc::MSG_DONTWAIT);
    script.recv(fd, 4, libc::MSG_DONTWAIT);
    script.send(fd, b"", 0);
    script.write(fd, b"");
    script.meet();
    script.until_waiting(fd, 3);
    script.recv(fd, 0, 0);
    script.recv(fd, 9, 0);
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.recv(fd, 0, 0);
    script.read(fd, 0);
    script.recv(fd, 9, 0);
}

fn nothing_to_move_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.send(fd, b"abc", 0);
    script.meet();
    script.close(fd);
}

fn read_parts(script: &Script, fd: Fd, lens: &[usize]) {
    let mut parts: Vec<_> = lens.iter().map(|len| vec![b'.'; *len]).collect();
    let answer = sys::read_parts(fd, &mut parts);
    let all: Vec<_> = parts.iter().map(|it| names::bytes(it)).collect();
    script.note(&format!("readv {lens:?} = {} {}", names::answer(answer), all.join(" ")));
}

fn parts(script: &mut Script) {
    let fd = script.accept_one();
    script.log("writev", sys::write_parts(fd, &[b"one ", b"", b"two ", b"three"]));
    script.log("writev", sys::write_parts(fd, &[]));
    script.log("writev", sys::write_parts(fd, &[b"", b""]));
    let many: Vec<&[u8]> = vec![b"x"; 1024];
    script.log("writev 1024", sys::write_parts(fd, &many));
    let too_many: Vec<&[u8]> = vec![b"x"; 1025];
    script.log("writev 1025", sys::write_parts(fd, &too_many));
    script.meet();
}

fn parts_two(script: &mut Script) {
    let fd = script.connect_one();
    script.until_waiting(fd, 13 + 1024);
    read_parts(script, fd, &[2, 3, 0, 4]);
    read_parts(script, fd, &[]);
    read_parts(script, fd, &[0]);
    read_parts(script, fd, &[4, 4000]);
    read_parts(script, fd, &[1; 1025]);
    script.meet();
}

fn receive(script: &Script, fd: Fd, lens: &[usize], flags: i32) {
    let mut parts: Vec<_> = lens.iter().map(|len| vec![b'.'; *len]).collect();
    let got = sys::receive_message(fd, &mut parts, flags);
    let all: Vec<_> = parts.iter().map(|it| names::bytes(it)).collect();
    script.note(&format!(
        "recvmsg {lens:?} {} = {} flags {} name {} control {} {}",
        names::message(flags),
        names::answer(got.result),
        names::message(got.flags),
        got.result.map_or(0, |_| got.name_len),
        got.result.map_or(0, |_| got.control_len),
        all.join(" ")
    ));
}

fn messages(script: &mut Script) {
    let fd = script.accept_one();
    let send = |parts: &[&[u8]], flags| {
        let call = format!("sendmsg {}", names::message(flags));
        script.log(&call, sys::send_message(fd, parts, flags, None));
    };
    send(&[b"abc", b"def"], 0);
    send(&[b"ghi"], libc::MSG_NOSIGNAL | libc::MSG_MORE);
    send(&[b"jkl"], libc::MSG_DONTWAIT);
    send(&[], 0);
    send(&[b"mno"], libc::MSG_EOR);
    script.meet();
}

fn messages_two(script: &mut Script) {
    let fd = script.connect_one();
    script.until_waiting(fd, 15);
    receive(script, fd, &[2, 2], libc::MSG_PEEK);
    receive(script, fd, &[2, 2], 0);
    receive(script, fd, &[3], libc::MSG_TRUNC);
    receive(script, fd, &[], 0);
    receive(script, fd, &[100], libc::MSG_CMSG_CLOEXEC);
    receive(script, fd, &[100], libc::MSG_DONTWAIT);
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    receive(script, fd, &[100], 0);
}

fn many(script: &Script, fd: Fd, lens: &[usize], flags: i32, timeout: Option<i64>) {
    let mut buffers: Vec<_> = lens.iter().map(|len| vec![b'.'; *len]).collect();
    let got = sys::receive_many(fd, &mut buffers, flags, timeout);
    let all: Vec<_> = buffers.iter().map(|it| names::bytes(it)).collect();
    let (result, flags) = (names::answer(got.result), names::message(flags));
    script.note(&format!(
        "recvmmsg {lens:?} {flags} = {result} {:?} {}",
        got.lengths,
        all.join(" ")
    ));
}

fn many_messages(script: &mut Script) {
    let fd = script.accept_one();
    let sent = sys::send_many(fd, &[b"one", b"", b"three"], 0);
    script.note(&format!("sendmmsg = {} {:?}", names::answer(sent.result), sent.lengths));
    script.meet();
    script.meet();
    let sent = sys::send_many(fd, &[b"more"], libc::MSG_DONTWAIT);
    script.note(&format!("sendmmsg = {} {:?}", names::answer(sent.result), sent.lengths));
    let none = sys::send_many(fd, &[], 0);
    script.note(&format!("sendmmsg = {} {:?}", names::answer(none.result), none.lengths));
    script.meet();
    script.shutdown(fd, libc::SHUT_WR);
    let ended = sys::send_many(fd, &[b"late"], libc::MSG_NOSIGNAL);
    script.note(&format!("sendmmsg = {} {:?}", names::answer(ended.result), ended.lengths));
}

fn many_messages_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.until_waiting(fd, 8);
    many(script, fd, &[3, 2, 10, 10], libc::MSG_DONTWAIT, None);
    many(script, fd, &[3, 2], libc::MSG_DONTWAIT, None);
    script.meet();
    many(script, fd, &[10, 10], libc::MSG_WAITFORONE, None);
    script.meet();
    // A stream's end is an empty message, time and again.
    script.until_events(fd, libc::POLLRDHUP);
    many(script, fd, &[4, 4], 0, None);
}

fn addresses(script: &mut Script) {
    let fd = script.accept_one();
    let peer = sys::peer_name(fd).1.expect("connected");
    script.log("sendto", sys::send_to(fd, b"to", 0, peer));
    script.log("sendmsg", sys::send_message(fd, &[b"to"], 0, Some(peer)));
    script.meet();
}

fn addresses_two(script: &mut Script) {
    let fd = script.connect_one();
    script.until_waiting(fd, 4);
    let mut buffer = [0; 8];
    let (answer, from, len) = sys::recv_from(fd, &mut buffer, 0);
    script.note(&format!("recvfrom = {} {} {len}", names::answer(answer), script.show(from)));
    script.meet();
}

fn sendfile(script: &mut Script) {
    let fd = script.accept_one();
    let file = sys::memory_file(&pattern(1, 0, 30_000));
    script.log("sendfile", sys::send_file(fd, file, 10_000));
    script.log("position", sys::position(file));
    script.log("sendfile on", sys::send_file_on(fd, file, 20_000));
    script.log("position", sys::position(file));
    script.log("sendfile on", sys::send_file_on(fd, file, 20_000));
    script.log("sendfile on", sys::send_file_on(fd, file, 20_000));
    script.log("sendfile zero", sys::send_file(fd, file, 0));
    let (read, _write) = sys::pipe();
    script.log("sendfile pipe", sys::send_file_on(fd, read, 0));
    script.log("sendfile closed", sys::send_file(999, file, 1));
    script.log("sendfile from socket", sys::send_file_on(file, fd, 1));
    script.meet();
    script.shutdown(fd, libc::SHUT_WR);
    sys::ignore(libc::SIGPIPE);
    script.log("sendfile late", sys::send_file(fd, file, 10));
    script.meet();
}

fn sendfile_two(script: &mut Script) {
    let fd = script.connect_one();
    let got = script.pull(fd, 40_000);
    script.note(&names::bytes(&got));
    script.meet();
    script.recv(fd, 1, 0);
    script.meet();
}

fn splice(script: &mut Script) {
    let fd = script.accept_one();
    let (read, write) = sys::pipe();
    sys::write(write, b"through a pipe").expect("room");
    script.log("splice to socket", sys::splice(read, fd, 7, 0));
    script.log("splice to socket", sys::splice(read, fd, 100, 0));
    script.log("splice to socket", sys::splice(read, fd, 100, libc::SPLICE_F_NONBLOCK));
    script.meet();
    script.until_waiting(fd, 9);
    script.log("splice from socket", sys::splice(fd, write, 4, 0));
    script.log("splice from socket", sys::splice(fd, write, 100, libc::SPLICE_F_MOVE));
    let mut buffer = [0; 20];
    let got = sys::read(read, &mut buffer);
    script.note(&format!("{} {}", names::answer(got), names::bytes(&buffer[..9])));
    script.nonblocking(fd);
    script.log("splice from empty", sys::splice(fd, write, 100, 0));
    script.log("splice two sockets", sys::splice(fd, fd, 1, 0));
    script.meet();
    script.until_events(fd, libc::POLLRDHUP);
    script.log("splice at the end", sys::splice(fd, write, 100, 0));
}

fn splice_two(script: &mut Script) {
    let fd = script.connect_one();
    let got = script.pull(fd, 14);
    script.note(&names::bytes(&got));
    script.meet();
    script.send(fd, b"and again", 0);
    script.meet();
}

/// How much a socket takes is accidental; that it takes no more, and takes more again, is not.
fn full(script: &mut Script) {
    let fd = script.accept_one();
    script.nonblocking(fd);
    script.poll(fd, libc::POLLOUT, 0);
    let sent = script.fill_up(fd, 2);
    script.send(fd, b"x", 0);
    script.write(fd, b"x");
    script.log("writev", sys::write_parts(fd, &[b"x", b"y"]));
    script.poll(fd, libc::POLLOUT | libc::POLLIN, 0);
    script.tell(&sent.to_string());
    script.poll(fd, libc::POLLOUT, 5000);
    script.send(fd, b"x", 0);
    script.meet();
}

fn full_two(script: &mut Script) {
    let fd = script.connect_one();
    let sent: usize = script.hear().parse().expect("a number");
    script.drain(fd, 2, sent);
    script.recv(fd, 10, 0);
    script.meet();
}

fn full_blocking(script: &mut Script) {
    let fd = script.accept_one();
    let all = pattern(3, 0, 9_999_991);
    script.log("send all", sys::send(fd, &all, 0));
    script.log("write all", sys::write(fd, &all));
    let (head, tail) = all.split_at(4_000_003);
    script.log("writev all", sys::write_parts(fd, &[head, tail]));
    script.meet();
}

fn full_blocking_two(script: &mut Script) {
    let fd = script.connect_one();
    sys::sleep_ms(20);
    for _ in 0..3 {
        let got = script.pull(fd, 9_999_991);
        script.note(&names::bytes(&got));
    }
    script.meet();
}

fn positions(script: &mut Script) {
    let fd = script.accept_one();
    script.log("lseek", sys::position(fd));
    script.log("pread", sys::read_at(fd, &mut [0; 4], 0));
    script.log("pwrite", sys::write_at(fd, b"abcd", 0));
    script.log("fstat", sys::kind_of_file(fd));
    script.log("fsync", sys::sync(fd));
    script.meet();
}

fn positions_two(script: &mut Script) {
    let fd = script.connect_one();
    script.recv(fd, 4, libc::MSG_DONTWAIT);
    script.meet();
}
