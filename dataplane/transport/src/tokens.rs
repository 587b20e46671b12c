//! The socket of a session: tokens, ends, and what the kernel tells of the other side. Nothing here
//! waits.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, shutdown};
use session::{FILL_TOKENS, Stream};

/// The agent's end of a session's socket, and what is known of the program's.
#[derive(Debug)]
pub(crate) struct Tokens {
    socket: OwnedFd,
    /// The program will write no more.
    pub(crate) ended: bool,
    /// The program's end is closed, or both directions ended.
    pub(crate) hung_up: bool,
}

impl AsFd for Tokens {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Tokens {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, ended: false, hung_up: false }
    }

    /// Takes note of what epoll says.
    pub(crate) fn note(&mut self, flags: EventFlags) {
        self.ended |= flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        self.hung_up |= flags.intersects(EventFlags::HUP | EventFlags::ERR);
    }

    /// Wakes the program's reader.
    pub(crate) fn send(&mut self, stream: &Stream<'_>) {
        stream.count_token();
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::send(&self.socket, &[0], flags) {
            // No room means that tokens wait there already. An interruption cannot happen without waiting.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.hung_up = true,
        }
    }

    /// Makes the own end unwritable until the program takes the tokens.
    pub(crate) fn fill(&mut self, stream: &Stream<'_>) {
        for _ in 0..FILL_TOKENS {
            self.send(stream);
        }
    }

    /// Takes the tokens out, unless they keep the program's writer asleep for good reason.
    pub(crate) fn drain(&mut self, stream: &Stream<'_>) {
        if stream.must_keep_tokens() {
            return;
        }
        let mut tokens = [0u8; 64];
        match rustix::net::recv(&self.socket, &mut tokens, RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.ended = true,
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.hung_up = true,
        }
    }

    /// Has the program see the end of the stream.
    pub(crate) fn end(&self) {
        // Fails only when the other end is gone.
        let _ = shutdown(&self.socket, Shutdown::Write);
    }
}
