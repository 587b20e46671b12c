//! The systemd journal as the place where log lines go: with their level and their fields, so that `journalctl
//! NETWORK=…` and `-p warning` find them.

use std::io::{self, Write as _, stderr};
use std::os::unix::net::UnixDatagram;

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
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// # Errors
    /// When nobody listens there.
    pub(super) fn open() -> io::Result<Self> {
        // Only tried: a journal that is started anew has another socket.
        UnixDatagram::unbound()?.connect(SOCKET)?;
        UnixDatagram::unbound().map(Self)
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
        if self.0.send_to(&datagram, SOCKET).is_err() {
            // The journal is being replaced. Who else could be told of a failure?
            let _ = writeln!(stderr(), "{} {}", event.metadata().level(), entry.text());
        }
    }
}
