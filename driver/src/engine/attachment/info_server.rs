//! The thread behind the info sockets of all endpoints.
//!
//! A client connects and gets the whole document and the end of the stream at once. The document is far
//! smaller than an empty socket's buffer, so nothing ever waits for a client: one that does not read
//! costs the agent nothing. What clients send is ignored.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};

/// Clients of one socket that are served before the next socket gets its turn.
const CLIENTS_PER_TURN: usize = 16;

/// The pause after the process ran out of descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The key of the descriptor that ends the thread; tickets count from 1.
const STOP: u64 = 0;

/// A socket that is being served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::engine) struct Ticket(u64);

/// The thread and its sockets. Dropping it closes them.
#[derive(Debug)]
pub(in crate::engine) struct InfoServer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl InfoServer {
    /// Starts the thread.
    pub(in crate::engine) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            stop: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            sockets: Mutex::new(Sockets::default()),
        });
        let stop = epoll::EventData::new_u64(STOP);
        epoll::add(&shared.epoll, &shared.stop, stop, epoll::EventFlags::IN)?;
        let served = Arc::clone(&shared);
        let thread = thread::Builder::new().name("info".to_owned()).spawn(move || served.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Serves `document` to the clients of a listening, non-blocking `SOCK_STREAM` socket.
    pub(in crate::engine) fn add(
        &self,
        listener: OwnedFd,
        document: Arc<[u8]>,
    ) -> io::Result<Ticket> {
        let mut sockets = self.shared.lock();
        sockets.last += 1;
        let ticket = Ticket(sockets.last);
        let data = epoll::EventData::new_u64(ticket.0);
        epoll::add(&self.shared.epoll, &listener, data, epoll::EventFlags::IN)?;
        sockets.served.insert(ticket, Served { listener, document });
        Ok(ticket)
    }

    /// Serves another document from now on.
    pub(in crate::engine) fn update(&self, ticket: Ticket, document: Arc<[u8]>) {
        if let Some(served) = self.shared.lock().served.get_mut(&ticket) {
            served.document = document;
        }
    }

    /// Closes the socket: no descriptor of it or of its clients is open when this returns.
    pub(in crate::engine) fn remove(&self, ticket: Ticket) {
        // Closing takes it out of the epoll set. Clients live only while the lock is held.
        self.shared.lock().served.remove(&ticket);
    }
}

impl Drop for InfoServer {
    fn drop(&mut self) {
        // Fails only when it was written before: then the thread ends too.
        let _ = rustix::io::write(&self.shared.stop, &1u64.to_ne_bytes());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the info thread had panicked");
        }
        self.shared.lock().served.clear();
    }
}

#[derive(Debug)]
struct Shared {
    epoll: OwnedFd,
    stop: OwnedFd,
    sockets: Mutex<Sockets>,
}

#[derive(Debug, Default)]
struct Sockets {
    last: u64,
    served: HashMap<Ticket, Served>,
}

#[derive(Debug)]
struct Served {
    listener: OwnedFd,
    document: Arc<[u8]>,
}

/// Whether there is room for more clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Over,
    /// The process has no descriptor left.
    Exhausted,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Sockets> {
        // The map is changed by single calls, so it cannot be left half-changed.
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            let waited =
                epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None);
            match waited {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the info sockets are not served any more");
                    return;
                }
            }
            let mut turn = Turn::Over;
            for event in events.drain(..) {
                match event.data.u64() {
                    STOP => return,
                    key if self.serve(Ticket(key)) == Turn::Exhausted => turn = Turn::Exhausted,
                    _ => {}
                }
            }
            if turn == Turn::Exhausted && self.stopped_within(EXHAUSTED_PAUSE) {
                return;
            }
        }
    }

    fn serve(&self, ticket: Ticket) -> Turn {
        let sockets = self.lock();
        // It may have been removed after the event was reported.
        let Some(served) = sockets.served.get(&ticket) else { return Turn::Over };
        for _ in 0..CLIENTS_PER_TURN {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match accept_with(&served.listener, flags) {
                Ok(client) => answer(&client, &served.document),
                Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                    tracing::warn!(
                        "an info client waits: the agent has no descriptor or memory left"
                    );
                    return Turn::Exhausted;
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => break,
            }
        }
        Turn::Over
    }

    fn stopped_within(&self, pause: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, poll};
        let mut stop = [PollFd::new(&self.stop, PollFlags::IN)];
        let timeout = Timespec::try_from(pause).ok();
        matches!(poll(&mut stop, timeout.as_ref()), Ok(1..))
    }
}

fn answer(client: &OwnedFd, document: &[u8]) {
    // A socket that is closed with unread input gives its peer an error instead of the end.
    let mut ignored = [MaybeUninit::<u8>::uninit(); 4096];
    let _ = recv(client, &mut ignored, RecvFlags::DONTWAIT);
    match send(client, document, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(sent) if sent == document.len() => {}
        outcome => tracing::debug!(?outcome, "an info client did not get its document"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixStream};

    use super::*;
    use crate::host::socket::{AbstractName, SocketKind, listen_abstract};

    fn served(server: &InfoServer, label: &str, document: &[u8]) -> (String, Ticket) {
        let name = format!("dockervpp-test/info/{label}/{}", std::process::id());
        let name_checked = AbstractName::new(name.clone()).unwrap();
        let listener = listen_abstract(&name_checked, SocketKind::Stream).unwrap();
        (name, server.add(listener, document.into()).unwrap())
    }

    fn connect(name: &str) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)
    }

    fn read(name: &str) -> String {
        let mut text = String::new();
        connect(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn each_client_gets_the_document_and_the_end() {
        let server = InfoServer::start().unwrap();
        let (one, ticket) = served(&server, "one", b"first");
        let (two, _) = served(&server, "two", b"second");
        assert_eq!(
            (read(&one), read(&two), read(&one)),
            ("first".into(), "second".into(), "first".into())
        );
        server.update(ticket, b"changed".as_slice().into());
        assert_eq!(read(&one), "changed");
    }

    #[test]
    fn clients_that_do_not_read_hold_nobody_up() {
        let server = InfoServer::start().unwrap();
        let (name, _) = served(&server, "lazy", &[b'x'; 4000]);
        let lazy: Vec<_> = (0..200).map(|_| connect(&name).unwrap()).collect();
        assert_eq!(read(&name).len(), 4000);
        drop(lazy);
    }

    #[test]
    fn a_client_that_talks_first_gets_the_document() {
        let server = InfoServer::start().unwrap();
        let (name, _) = served(&server, "talk", b"document");
        let mut client = connect(&name).unwrap();
        // The answer may be there before this, and the socket closed.
        let _ = client.write(b"GET / HTTP/1.0\r\n\r\n");
        let mut bytes = [0; 8];
        client.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"document");
    }

    #[test]
    fn a_removed_socket_is_closed() {
        let server = InfoServer::start().unwrap();
        let (name, ticket) = served(&server, "gone", b"document");
        server.remove(ticket);
        server.remove(ticket);
        assert_eq!(connect(&name).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn dropping_the_server_closes_all() {
        let server = InfoServer::start().unwrap();
        let (name, _) = served(&server, "drop", b"document");
        drop(server);
        assert_eq!(connect(&name).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
