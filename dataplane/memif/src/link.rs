//! A connected link: its control socket, whose end is the link's end, and its queues.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::handshake::{HandshakeError, PeerNames, Stage, disconnect};
use crate::memory::Queues;
use crate::parameters::{InterfaceId, Role};
use crate::queue::LinkState;
use crate::socket::{ControlSocket, ReceiveError, Received};
use crate::text::Reason;
use crate::wire::Message;

/// Who is at the other end, as the kernel recorded it when the connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Process, in our pid namespace; 0 if it is not visible there.
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Why a link is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// This end ended it.
    Local(Reason),
    /// The peer ended it, with these words.
    Peer {
        /// Its number for it; 0 from everyone but VPP.
        code: u32,
        /// Its words for it.
        reason: Reason,
    },
    /// The peer is gone without a word: usual when its process ends.
    Eof,
    /// The peer sent something that has no place on a connected link.
    Protocol(HandshakeError),
    /// The control socket failed.
    Io(io::ErrorKind),
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(reason) => write!(formatter, "ended here: {reason}"),
            Self::Peer { code: 0, reason } => write!(formatter, "ended by the peer: {reason}"),
            Self::Peer { code, reason } => {
                write!(formatter, "ended by the peer: {reason} (code {code})")
            }
            Self::Eof => formatter.write_str("the peer is gone"),
            Self::Protocol(error) => write!(formatter, "the peer broke the protocol: {error}"),
            Self::Io(kind) => write!(formatter, "control socket: {kind}"),
        }
    }
}

/// A connected link.
///
/// It lives as long as this value and the peer do: dropping it tells the peer, and its queues then
/// return [`RingFault::Disconnected`](crate::RingFault::Disconnected). Its descriptor becomes
/// readable when something happened that [`Link::poll`] should look at; whoever polls the
/// [`Listener`](crate::Listener) or [`Client`](crate::Client) that it came from is told there too.
#[derive(Debug)]
pub struct Link {
    control: Arc<Control>,
    queues: Option<Queues>,
    facts: Facts,
}

/// What does not change while a link is up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) id: InterfaceId,
    pub(crate) role: Role,
    pub(crate) peer: PeerNames,
    pub(crate) credentials: Credentials,
}

impl Link {
    pub(crate) fn new(control: Arc<Control>, queues: Queues, facts: Facts) -> Self {
        Self { control, queues: Some(queues), facts }
    }

    /// The interface that it belongs to.
    pub fn id(&self) -> InterfaceId {
        self.facts.id
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.facts.role
    }

    /// Who the peer says it is.
    pub fn peer(&self) -> PeerNames {
        self.facts.peer
    }

    /// Who the peer is by the kernel's word.
    pub fn credentials(&self) -> Credentials {
        self.facts.credentials
    }

    /// The queues, once. They belong to the caller from then on and may go to other threads; keep
    /// the link itself while they are used.
    pub fn take_queues(&mut self) -> Option<Queues> {
        self.queues.take()
    }

    /// Looks at the control socket; `Some` once the link is over, then for ever.
    pub fn poll(&self) -> Option<DisconnectReason> {
        self.control.poll()
    }

    /// Ends the link and tells the peer why, in at most 95 bytes.
    pub fn disconnect(self, reason: &str) {
        self.control.close(reason);
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.control.close("closed");
    }
}

/// What a link shares with the listener or client that made it: both watch the same socket, and
/// the first to see its end settles the reason.
#[derive(Debug)]
pub(crate) struct Control {
    socket: ControlSocket,
    state: Arc<LinkState>,
    /// The eventfds of our receive queues: at the end, whoever sleeps on one is woken.
    sleepers: Vec<OwnedFd>,
    ended: Mutex<Option<DisconnectReason>>,
}

impl Control {
    pub(crate) fn new(socket: ControlSocket, queues: &Queues) -> io::Result<Self> {
        let sleepers = queues.rx.iter().map(|queue| queue.as_fd().try_clone_to_owned());
        Ok(Self {
            socket,
            state: Arc::clone(&queues.state),
            sleepers: sleepers.collect::<Result<_, _>>()?,
            ended: Mutex::new(None),
        })
    }

    /// Why the link is over, if it is.
    pub(crate) fn poll(&self) -> Option<DisconnectReason> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.is_none() {
            *ended = self.look();
            if let Some(reason) = &*ended {
                self.end(reason);
            }
        }
        ended.clone()
    }

    /// Ends the link for a reason of this end's, unless it is over already.
    pub(crate) fn close(&self, reason: &str) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.is_none() {
            let reason = DisconnectReason::Local(Reason::truncated(reason));
            self.end(&reason);
            *ended = Some(reason);
        }
    }

    /// A queue's user may have closed the state after a fault; the peer hears of it here.
    fn look(&self) -> Option<DisconnectReason> {
        if !self.state.is_open() {
            return Some(DisconnectReason::Local(Reason::truncated("closed after a fault")));
        }
        match self.socket.receive() {
            Ok(Received::Nothing) => None,
            Ok(Received::Eof) => Some(DisconnectReason::Eof),
            Ok(Received::Message(Message::Disconnect(peer), _)) => {
                Some(DisconnectReason::Peer { code: peer.code, reason: peer.reason })
            }
            Ok(Received::Message(message, _)) => {
                let (kind, stage) = (message.kind(), Stage::Connected);
                Some(DisconnectReason::Protocol(HandshakeError::Unexpected { kind, stage }))
            }
            Err(ReceiveError::Protocol(error)) => Some(DisconnectReason::Protocol(error)),
            Err(ReceiveError::Io(error)) => Some(DisconnectReason::Io(error.kind())),
        }
    }

    /// Closes the queues, tells the peer if it was not the one who ended it, wakes all sleepers.
    fn end(&self, reason: &DisconnectReason) {
        self.state.close();
        let farewell = match reason {
            DisconnectReason::Local(reason) => Some(disconnect(&reason.to_string())),
            DisconnectReason::Protocol(error) => Some(error.to_disconnect()),
            _ => None,
        };
        if let Some(message) = farewell {
            // Best effort: the end of the socket says the same without the words.
            let _ = self.socket.send(&message, None);
        }
        self.socket.shut_down();
        for sleeper in &self.sleepers {
            wake(sleeper.as_fd());
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Writes an eventfd that the peer shares. It could have filled the counter and made the open file
/// blocking, so only what the kernel takes at once is written; a full counter wakes as well.
fn wake(eventfd: BorrowedFd<'_>) {
    let mut ready = [PollFd::new(&eventfd, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut ready, Some(&now)).is_ok_and(|count| count > 0) {
        let _ = rustix::io::write(eventfd, &1_u64.to_ne_bytes());
    }
}
