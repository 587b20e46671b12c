//! A socket that is bound to a port, and listens or rests. While it rests the kernel refuses connections to the
//! port, and nobody else gets it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{Shutdown, listen, shutdown, sockopt};

use super::table::Wanted;

/// Connections that may wait at most: Linux's `somaxconn`.
const MOST_WAITING: u32 = 4096;

/// A bound TCP socket.
#[derive(Debug)]
pub(super) struct Listening {
    socket: OwnedFd,
    now: Option<Wanted>,
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Listening {
    /// Of a socket that is bound, whether it listens or not. It was bound to a port by its number: the kernel
    /// takes a port that it chose back from a socket that does not listen any more (`tcp_set_state`).
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, now: None }
    }

    /// Has it do what is wanted.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) fn set(&mut self, wanted: Wanted) -> rustix::io::Result<()> {
        if self.now == Some(wanted) {
            return Ok(());
        }
        self.now = None;
        match wanted {
            Wanted::Listen(backlog) => {
                // Connections of before are not in the way of a socket that would share the port with them
                // (`inet_csk_get_port`, which `listen` calls again; Linux 6.18).
                sockopt::set_socket_reuseaddr(&self.socket, true)?;
                let backlog = backlog.clamp(1, MOST_WAITING).cast_signed();
                listen(&self.socket, backlog)?;
            }
            Wanted::Rest => self.rest()?,
        }
        self.now = Some(wanted);
        Ok(())
    }

    /// Ends listening without giving the port back: a socket that is shut down to read leaves the state, resets
    /// who waits, and stays bound (`inet_shutdown`, `tcp_disconnect`).
    fn rest(&mut self) -> rustix::io::Result<()> {
        // Others could share the port with one that does not listen.
        sockopt::set_socket_reuseaddr(&self.socket, false)?;
        match shutdown(&self.socket, Shutdown::Read) {
            // It was at rest.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;

    fn bound() -> Listening {
        let chosen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Listening::new(TcpListener::bind(chosen).unwrap().into())
    }

    fn at(socket: &Listening) -> SocketAddr {
        rustix::net::getsockname(socket).unwrap().try_into().unwrap()
    }

    #[test]
    fn at_rest_it_refuses_and_keeps_its_port() {
        let mut socket = bound();
        let address = at(&socket);
        for _ in 0..3 {
            socket.set(Wanted::Rest).unwrap();
            assert_eq!(
                TcpStream::connect(address).unwrap_err().kind(),
                ErrorKind::ConnectionRefused
            );
            // The standard library shares ports with who does not listen.
            for other in [address, SocketAddr::new([0, 0, 0, 0].into(), address.port())] {
                assert_eq!(TcpListener::bind(other).unwrap_err().kind(), ErrorKind::AddrInUse);
            }
            socket.set(Wanted::Listen(4)).unwrap();
            let client = TcpStream::connect(address).unwrap();
            let (accepted, from) = rustix::net::acceptfrom(&socket).unwrap();
            assert_eq!(from.map(|it| SocketAddr::try_from(it).unwrap()), client.local_addr().ok());
            // Both stay open into the next round in which it listens.
            std::mem::forget((client, accepted));
        }
    }

    #[test]
    fn who_waits_is_reset_when_it_rests() {
        use std::io::Read as _;
        let mut socket = bound();
        socket.set(Wanted::Listen(4)).unwrap();
        let mut client = TcpStream::connect(at(&socket)).unwrap();
        socket.set(Wanted::Rest).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
