//! What the broker asks for, on its way to the thread.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::{EventfdFlags, eventfd};
use session::broker::{Attempt, ListenAt, ListenerId, NetworkStack, Told};

/// Something for the thread to do.
#[derive(Debug)]
pub(crate) enum Command {
    Connect(Attempt),
    Listen(ListenAt, Told),
    Unlisten(ListenerId),
    /// A listener of this port may have room again.
    Room(u16),
    /// End.
    Stop,
}

/// The senders' end.
#[derive(Debug)]
pub(crate) struct Mailbox {
    commands: Sender<Command>,
    wake: OwnedFd,
}

impl Mailbox {
    pub(crate) fn new() -> rustix::io::Result<(Self, Receiver<Command>)> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (commands, inbox) = channel();
        Ok((Self { commands, wake }, inbox))
    }

    /// Posts a command; it is lost when the thread has ended.
    pub(crate) fn post(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            self.wake();
        }
    }

    /// Has the thread look for what there is to do.
    pub(crate) fn wake(&self) {
        // Fails only when the counter is full: then it is readable.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// An eventfd that is written with each command. Who watches it edge-triggered never has to read it.
impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl NetworkStack for Mailbox {
    fn connect(&self, attempt: Attempt) {
        self.post(Command::Connect(attempt));
    }

    fn listen(&self, at: ListenAt, told: Told) {
        self.post(Command::Listen(at, told));
    }

    fn unlisten(&self, listener: ListenerId) {
        self.post(Command::Unlisten(listener));
    }

    fn room(&self, port: u16) {
        self.post(Command::Room(port));
    }
}
