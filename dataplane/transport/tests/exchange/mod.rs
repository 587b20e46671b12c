//! Much goes through a session and a socket of the kernel, both ways.

use std::net::{Shutdown, TcpStream};

use rustix::event::PollFlags;
use session::Stream;

use crate::lab::kernel_stream::{patient, pour, swallow};
use crate::lab::service::{fill_pattern, is_pattern};
use crate::support::{End, PATIENCE, wait};

/// Bytes that go through several rings and buffers.
const MUCH: u64 = 12 << 20;

fn pour_session(end: &End, count: u64) {
    let mut piece = vec![0; 1 << 18];
    let mut sent = 0;
    while sent < count {
        let length = usize::try_from(count - sent).expect("64 bits").min(piece.len());
        fill_pattern(sent, &mut piece[..length]);
        end.write_all(&piece[..length]);
        sent += length as u64;
    }
}

fn swallow_session(end: &End, count: u64) {
    let mut received = 0;
    while received < count {
        let length = usize::try_from((count - received).min(1 << 16)).expect("small");
        assert!(is_pattern(received, &end.read(length)), "wrong bytes after {received}");
        received += length as u64;
    }
}

/// The program writes no more.
fn end_stream(end: &End) {
    end.stream().end();
    rustix::net::shutdown(&end.socket, rustix::net::Shutdown::Write).expect("open");
}

fn awaits_end(end: &End) {
    wait(&end.socket, PollFlags::RDHUP);
    let stream: Stream<'_> = end.stream();
    assert!(stream.peer_ended());
    assert_eq!(stream.readable(), Ok(0));
}

/// Much goes both ways at once, and both ends are seen.
pub(crate) fn exchange(end: &End, stream: &TcpStream) {
    patient(stream, PATIENCE);
    std::thread::scope(|scope| {
        let there = scope.spawn(|| swallow(stream));
        let back = scope.spawn(|| {
            pour(stream, MUCH);
            stream.shutdown(Shutdown::Write).expect("open");
        });
        let reads = scope.spawn(|| swallow_session(end, MUCH));
        pour_session(end, MUCH);
        reads.join().expect("no panic");
        end_stream(end);
        assert_eq!(there.join().expect("no panic"), MUCH);
        back.join().expect("no panic");
    });
    awaits_end(end);
}
