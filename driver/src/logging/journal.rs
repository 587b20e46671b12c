//! The systemd journal as the place where log lines go: with their level and their fields, so that `journalctl
//! NETWORK=…` and `-p warning` find them.

use std::io::{self, Write as _, stderr};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::entry::Entry;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// What entries are found by with `journalctl -t`.
const PROGRAM: &str = "dockervpp";

/// A way to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    /// Lines that it did not take since it last took one.
    lost: AtomicU64,
}

impl Journal {
    /// # Errors
    /// When nobody listens there.
    pub(super) fn open() -> io::Result<Self> {
        // Only tried: a journal that is started anew has another socket.
        UnixDatagram::unbound()?.connect(SOCKET)?;
        let socket = UnixDatagram::unbound()?;
        // A journal that does not take lines holds nobody up.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, lost: AtomicU64::new(0) })
    }

    /// Whether standard error leads to the journal (systemd.exec(5), `JOURNAL_STREAM`).
    pub(super) fn has_standard_error() -> bool {
        let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
        rustix::fs::fstat(stderr())
            .is_ok_and(|it| stream.to_str() == Some(&format!("{}:{}", it.st_dev, it.st_ino)))
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let entry = Entry::of(event);
        let datagram = entry.encode(event.metadata(), PROGRAM);
        // Nobody else could be told of failures.
        match self.socket.send_to(&datagram, SOCKET) {
            Ok(_) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let _ = writeln!(stderr(), "{lost} lines are missing: the journal took none");
                }
            }
            // It stands still, and standard error may lead to it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            // It is being replaced.
            Err(_) => {
                let _ = writeln!(stderr(), "{} {}", event.metadata().level(), entry.text());
            }
        }
    }
}
