//! Threads that share a socket, and large transfers.

use std::thread;

use super::Case;
use crate::checked::{Checksum, difference, fill};
use crate::names;
use crate::script::Script;
use crate::sys::{self, Fd, libc};

pub(super) const CASES: &[Case] = &[
    Case::all("both_ways_at_once", both_ways, both_ways),
    Case::new("writers", writers, writers_two),
    Case::new("readers", readers, readers_two),
    Case::new("woken_by_shutdown", woken_by_shutdown, woken_two),
    Case::new("woken_by_shutdown_of_reading", woken_by_read_end, woken_by_read_end_two),
    Case::new("woken_by_shutdown_of_writing", woken_by_write_end, woken_by_write_end_two),
    Case::new("accepting_threads", accepting_threads, accepting_two),
    Case::all("bulk_one_byte", bulk_one_byte, bulk_one_byte_two),
    Case::all("bulk_odd_sizes", bulk_odd, bulk_odd_two),
    Case::new("bulk_small_writes", bulk_small, bulk_small_two),
    Case::new("bulk_large", bulk_large, bulk_large_two),
    Case::new("many_connections", many_connections, many_connections_two),
];

/// Sizes that fit nothing, one after the other, for ever.
fn odd_sizes(most: usize) -> impl Iterator<Item = usize> {
    let mut state = 12_345_u64;
    std::iter::repeat_with(move || {
        // Knuth's MMIX.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0) % most + 1
    })
}

/// Sends `len` bytes of the stream `seed` in pieces of `sizes`.
fn send_stream(script: &Script, fd: Fd, seed: u64, len: usize, sizes: impl Iterator<Item = usize>) {
    let mut done = 0;
    let mut buffer = Vec::new();
    for size in sizes {
        buffer.resize(size.min(len - done), 0);
        fill(seed, done as u64, &mut buffer);
        script.push(fd, &buffer);
        done += buffer.len();
        if done == len {
            return;
        }
    }
}

/// Receives `len` bytes of the stream `seed` in pieces of at most `sizes`: what is wrong with them, and
/// their checksum.
fn receive_stream(
    fd: Fd,
    seed: u64,
    len: usize,
    sizes: impl Iterator<Item = usize>,
) -> (Option<u64>, String) {
    let (mut done, mut sum, mut wrong) = (0, Checksum::default(), None);
    let mut buffer = Vec::new();
    for size in sizes {
        buffer.resize(size.min(len - done), 0);
        let got = match sys::recv(fd, &mut buffer, 0) {
            Ok(got) => usize::try_from(got).unwrap_or(0),
            Err(libc::EINTR) => continue,
            Err(error) => return (wrong, format!("{} after {done}", names::error(error))),
        };
        wrong = wrong.or_else(|| difference(seed, done as u64, &buffer[..got]));
        sum.add(&buffer[..got]);
        done += got;
        if done == len || got == 0 {
            break;
        }
    }
    (wrong, format!("{done} bytes, checksum {:016x}", sum.value()))
}

const BOTH_WAYS: usize = 30_000_017;

/// A reader and a writer on either side.
fn both_ways(script: &mut Script) {
    let fd = script.pair();
    let (out, into) = script.side((1, 2), (2, 1));
    let script = &*script;
    let got = thread::scope(|scope| {
        scope.spawn(|| send_stream(script, fd, out, BOTH_WAYS, odd_sizes(70_000)));
        receive_stream(fd, into, BOTH_WAYS, odd_sizes(50_000))
    });
    script.note(&format!("{got:?}"));
    script.meet();
}

const WRITERS: u8 = 4;
const RECORDS: usize = 2_000;
const RECORD: usize = 500;

/// Several writers: whose bytes come first is accidental, but every one comes once.
fn writers(script: &mut Script) {
    let fd = script.accept_one();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for _ in 0..RECORDS {
                    let record = [writer + 1; RECORD];
                    let mut done = 0;
                    while done < RECORD {
                        let more = sys::send(fd, &record[done..], 0).expect("the peer reads");
                        done += usize::try_from(more).expect("answers are positive");
                    }
                }
            });
        }
    });
    script.shutdown(fd, libc::SHUT_WR);
    script.meet();
}

fn count_bytes(fd: Fd) -> [usize; WRITERS as usize + 1] {
    let mut counts = [0; WRITERS as usize + 1];
    let mut buffer = [0; 9_001];
    while let Ok(got @ 1..) = sys::recv(fd, &mut buffer, 0) {
        for byte in &buffer[..usize::try_from(got).unwrap_or(0)] {
            counts[usize::from(*byte).min(WRITERS as usize)] += 1;
        }
    }
    counts
}

fn writers_two(script: &mut Script) {
    let fd = script.connect_one();
    script.note(&format!("{:?}", count_bytes(fd)));
    script.meet();
}

/// Several readers: together they get every byte once.
fn readers(script: &mut Script) {
    let fd = script.accept_one();
    let counts = thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(move || count_bytes(fd))).collect();
        let counts = readers.into_iter().map(|it| it.join().expect("readers end"));
        counts.fold([0; WRITERS as usize + 1], |mut sum, one| {
            sum.iter_mut().zip(one).for_each(|(sum, one)| *sum += one);
            sum
        })
    });
    script.note(&format!("{counts:?}"));
    script.meet();
}

fn readers_two(script: &mut Script) {
    let fd = script.connect_one();
    for _ in 0..1_000 {
        (0..WRITERS).for_each(|value| script.push(fd, &[value + 1; 777]));
    }
    script.shutdown(fd, libc::SHUT_WR);
    script.meet();
}

/// A thread that is blocked in a read returns when another one shuts the socket down.
fn woken_by_shutdown(script: &mut Script) {
    let fd = script.accept_one();
    let answer = thread::scope(|scope| {
        let reader = scope.spawn(move || sys::recv(fd, &mut [0; 9], 0));
        sys::sleep_ms(50);
        script.shutdown(fd, libc::SHUT_RDWR);
        reader.join().expect("the reader returns")
    });
    script.log("recv", answer);
    script.meet();
}

fn woken_two(script: &mut Script) {
    let fd = script.connect_one();
    script.recv(fd, 9, 0);
    script.meet();
}

/// The ways in which a thread waits for bytes.
#[derive(Debug, Clone, Copy)]
enum Waits {
    Recv,
    Poll,
    Select,
    Epoll,
    EpollEdge,
}

/// Waits until another thread shuts the socket down: what it is told, and what a read says then.
fn wait_to_read(fd: Fd, how: Waits) -> String {
    let told = match how {
        Waits::Recv => String::new(),
        Waits::Poll => format!("{:?}", sys::poll(&[(fd, libc::POLLIN | libc::POLLRDHUP)], 10_000)),
        Waits::Select => format!("{:?}", sys::select(&[(fd, [true, false, false])], 10_000)),
        Waits::Epoll | Waits::EpollEdge => {
            let epoll = sys::Epoll::new();
            let edge = if matches!(how, Waits::EpollEdge) { libc::EPOLLET } else { 0 };
            let bits = (libc::EPOLLIN | libc::EPOLLRDHUP | edge).cast_unsigned();
            epoll.control(libc::EPOLL_CTL_ADD, fd, bits, 5).expect("it can be registered");
            format!("{:?}", epoll.wait(10_000))
        }
    };
    format!("{how:?} {told} {:?}", sys::recv(fd, &mut [0; 9], 0))
}

const WAYS: [Waits; 5] = [Waits::Recv, Waits::Poll, Waits::Select, Waits::Epoll, Waits::EpollEdge];

/// A thread that waits for bytes is told that no more are read; the peer notices nothing of it.
fn woken_by_read_end(script: &mut Script) {
    for how in WAYS {
        let fd = script.accept_one();
        let told = thread::scope(|scope| {
            let waiter = scope.spawn(move || wait_to_read(fd, how));
            sys::sleep_ms(50);
            script.shutdown(fd, libc::SHUT_RD);
            waiter.join().expect("the thread returns")
        });
        script.note(&told);
        script.send(fd, b"still", 0);
        script.meet();
        script.until_waiting(fd, 7);
        script.recv(fd, 9, 0);
        script.meet();
        script.close(fd);
    }
}

fn woken_by_read_end_two(script: &mut Script) {
    for _ in WAYS {
        let fd = script.connect_one();
        script.recv(fd, 5, libc::MSG_WAITALL);
        script.poll(fd, libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP, 0);
        script.send(fd, b"as well", 0);
        script.meet();
        script.meet();
        script.close(fd);
    }
}

/// A thread that waits for room is told that no more is written.
fn woken_by_write_end(script: &mut Script) {
    let fd = script.accept_one();
    script.nonblocking(fd);
    script.fill_up(fd, 3);
    let told = thread::scope(|scope| {
        let waiter = scope.spawn(move || sys::poll(&[(fd, libc::POLLOUT)], 10_000));
        sys::sleep_ms(50);
        script.shutdown(fd, libc::SHUT_WR);
        waiter.join().expect("the thread returns")
    });
    script.note(&format!("{told:?}"));
    script.send(fd, b"x", libc::MSG_NOSIGNAL);
    script.meet();
}

fn woken_by_write_end_two(script: &mut Script) {
    let fd = script.connect_one();
    script.meet();
    script.close(fd);
}

/// Threads that accept on one listener; one gets each connection.
fn accepting_threads(script: &mut Script) {
    let listener = script.listener(32);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..5 {
                    let fd = crate::calls::fd(sys::accept4(listener, 0));
                    let mut buffer = [0; 4];
                    let got = sys::recv(fd, &mut buffer, libc::MSG_WAITALL);
                    assert_eq!(got, Ok(4));
                    assert_eq!(sys::send(fd, &buffer, 0), Ok(4));
                    sys::close(fd).expect("it is open");
                }
            });
        }
    });
    script.meet();
}

fn accepting_two(script: &mut Script) {
    let to = script.destination();
    thread::scope(|scope| {
        for client in 0..4 {
            scope.spawn(move || {
                for round in 0..5 {
                    let fd = crate::calls::fd(sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0));
                    assert_eq!(sys::connect(fd, to), Ok(0));
                    let word = [client, round, 7, 9];
                    assert_eq!(sys::send(fd, &word, 0), Ok(4));
                    let mut buffer = [0; 4];
                    assert_eq!(sys::recv(fd, &mut buffer, libc::MSG_WAITALL), Ok(4));
                    assert_eq!(buffer, word);
                    assert_eq!(sys::recv(fd, &mut buffer, 0), Ok(0));
                    sys::close(fd).expect("it is open");
                }
            });
        }
    });
    script.note("all served");
    script.meet();
}

fn bulk_one_byte(script: &mut Script) {
    let fd = script.accept_one();
    script.recv(fd, 1, 0);
    script.send(fd, b"z", 0);
    script.meet();
}

fn bulk_one_byte_two(script: &mut Script) {
    let fd = script.connect_one();
    script.send(fd, b"a", 0);
    script.recv(fd, 1, 0);
    script.meet();
}

const ODD: usize = 40_000_003;

fn bulk_odd(script: &mut Script) {
    let fd = script.accept_one();
    let got = receive_stream(fd, 5, ODD, odd_sizes(100_001));
    script.note(&format!("{got:?}"));
    send_stream(script, fd, 6, ODD, odd_sizes(300_007));
    script.meet();
}

fn bulk_odd_two(script: &mut Script) {
    let fd = script.connect_one();
    send_stream(script, fd, 5, ODD, odd_sizes(90_001));
    let got = receive_stream(fd, 6, ODD, odd_sizes(70_007));
    script.note(&format!("{got:?}"));
    script.meet();
}

fn bulk_small(script: &mut Script) {
    let fd = script.accept_one();
    let got = receive_stream(fd, 7, 500_009, odd_sizes(13));
    script.note(&format!("{got:?}"));
    script.meet();
}

fn bulk_small_two(script: &mut Script) {
    let fd = script.connect_one();
    send_stream(script, fd, 7, 500_009, odd_sizes(11));
    script.meet();
}

const LARGE: usize = 200 << 20;

fn bulk_large(script: &mut Script) {
    let fd = script.accept_one();
    let got = receive_stream(fd, 8, LARGE, std::iter::repeat(1 << 20));
    script.note(&format!("{got:?}"));
    script.recv(fd, 1, 0);
}

fn bulk_large_two(script: &mut Script) {
    let fd = script.connect_one();
    send_stream(script, fd, 8, LARGE, std::iter::repeat(1 << 20));
    script.close(fd);
}

const CONNECTIONS: usize = 300;

/// One after the other, and all at once.
fn many_connections(script: &mut Script) {
    let listener = script.listener(512);
    for _ in 0..CONNECTIONS {
        let fd = crate::calls::fd(sys::accept4(listener, 0));
        let got = script.pull(fd, 4);
        script.push(fd, &got);
        sys::close(fd).expect("it is open");
    }
    let all: Vec<_> =
        (0..CONNECTIONS).map(|_| crate::calls::fd(sys::accept4(listener, 0))).collect();
    for fd in &all {
        let got = script.pull(*fd, 4);
        script.push(*fd, &got);
    }
    script.note("all served");
    script.meet();
}

fn many_connections_two(script: &mut Script) {
    let to = script.destination();
    let ask = |fd: Fd, number: usize| {
        let word = u32::try_from(number).unwrap_or(0).to_be_bytes();
        script.push(fd, &word);
        assert_eq!(script.pull(fd, 4), word);
    };
    for number in 0..CONNECTIONS {
        let fd = script.stream(0);
        assert_eq!(sys::connect(fd, to), Ok(0));
        ask(fd, number);
        assert_eq!(sys::recv(fd, &mut [0], 0), Ok(0));
        sys::close(fd).expect("it is open");
    }
    let all: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let fd = script.stream(0);
            assert_eq!(sys::connect(fd, to), Ok(0));
            fd
        })
        .collect();
    for (number, fd) in all.into_iter().enumerate() {
        ask(fd, number);
    }
    script.note("all answered");
    script.meet();
}
