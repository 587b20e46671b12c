//! A connected stream socket of either family, and those of them that have something to do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mio::event::Source;
use mio::{Interest, Registry, Token};

use crate::worker::Place;

/// How long the server may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connected socket that does not block.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
}

impl Socket {
    /// Connects, and tries again while nobody listens yet.
    pub(super) fn connect(place: &Place) -> Result<Self> {
        let end = Instant::now() + PATIENCE;
        loop {
            let error = match Self::try_connect(place) {
                Ok(socket) => return Ok(socket),
                Err(error) => error,
            };
            let may_come = matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::NotFound | ErrorKind::WouldBlock
            );
            if !may_come || Instant::now() >= end {
                return Err(error).with_context(|| format!("cannot connect to {place:?}"));
            }
            sleep(Duration::from_millis(5));
        }
    }

    fn try_connect(place: &Place) -> io::Result<Self> {
        match place {
            Place::Tcp(address) => {
                let socket = TcpStream::connect(address)?;
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Tcp(mio::net::TcpStream::from_std(socket)))
            }
            Place::Unix(path) => {
                let socket = UnixStream::connect(path)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Unix(mio::net::UnixStream::from_std(socket)))
            }
        }
    }

    /// Reads what is there; `None` when nothing is.
    pub(super) fn take(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        unless_blocked(|| match self {
            Self::Tcp(socket) => socket.read(into),
            Self::Unix(socket) => socket.read(into),
        })
    }

    /// Writes what there is room for; `None` when there is none.
    pub(super) fn put(&mut self, from: &[u8]) -> io::Result<Option<usize>> {
        unless_blocked(|| match self {
            Self::Tcp(socket) => socket.write(from),
            Self::Unix(socket) => socket.write(from),
        })
    }
}

/// Does it again when a signal came in between: no bytes would mean the end of the stream.
fn unless_blocked(mut transfer: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match transfer() {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, of: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.register(registry, token, of),
            Self::Unix(socket) => socket.register(registry, token, of),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, of: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.reregister(registry, token, of),
            Self::Unix(socket) => socket.reregister(registry, token, of),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.deregister(registry),
            Self::Unix(socket) => socket.deregister(registry),
        }
    }
}

/// Connections, by number, that may have something to do. Each is in it once.
#[derive(Debug, Default)]
pub(super) struct Ready {
    queue: Vec<usize>,
    is_in: Vec<bool>,
}

impl Ready {
    pub(super) fn add(&mut self, number: usize) {
        if self.is_in.len() <= number {
            self.is_in.resize(number + 1, false);
        }
        if !std::mem::replace(&mut self.is_in[number], true) {
            self.queue.push(number);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes all out.
    pub(super) fn take(&mut self) -> Vec<usize> {
        for &number in &self.queue {
            self.is_in[number] = false;
        }
        std::mem::take(&mut self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_in_between_is_no_end() {
        let mut outcomes = [Err(ErrorKind::Interrupted.into()), Ok(5)].into_iter();
        assert_eq!(unless_blocked(|| outcomes.next().unwrap()).unwrap(), Some(5));
        assert_eq!(unless_blocked(|| Err(ErrorKind::WouldBlock.into())).unwrap(), None);
    }

    #[test]
    fn each_is_in_once_and_may_come_again() {
        let mut ready = Ready::default();
        for number in [3, 1, 3, 3, 1] {
            ready.add(number);
        }
        assert_eq!(ready.take(), [3, 1]);
        assert!(ready.is_empty());
        ready.add(3);
        assert_eq!(ready.take(), [3]);
    }
}
