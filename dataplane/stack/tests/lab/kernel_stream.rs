//! The other end of a tested stream: a socket of the kernel.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::service::{fill_pattern, is_pattern};

/// No read or write waits for longer than `limit`.
pub(crate) fn patient(stream: &TcpStream, limit: Duration) {
    stream.set_read_timeout(Some(limit)).expect("a socket");
    stream.set_write_timeout(Some(limit)).expect("a socket");
}

/// Sends `count` bytes of the pattern.
pub(crate) fn pour(mut stream: &TcpStream, count: u64) {
    let mut piece = vec![0; 1 << 18];
    let mut sent = 0;
    while sent < count {
        let length = usize::try_from(count - sent).expect("64 bits").min(piece.len());
        fill_pattern(sent, &mut piece[..length]);
        stream.write_all(&piece[..length]).expect("writes");
        sent += length as u64;
    }
}

/// Reads to the end; returns how much came. All of it is the pattern's.
pub(crate) fn swallow(mut stream: &TcpStream) -> u64 {
    let mut piece = vec![0; 1 << 18];
    let mut received = 0;
    loop {
        let count = stream.read(&mut piece).expect("reads");
        if count == 0 {
            return received;
        }
        assert!(is_pattern(received, &piece[..count]), "wrong bytes after {received}");
        received += count as u64;
    }
}
