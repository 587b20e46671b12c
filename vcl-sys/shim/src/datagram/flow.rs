//! One session of datagrams: with one peer, of one socket.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use rustix::event::PollFlags;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use session::datagram::{MAX_PAYLOAD, MAX_PAYLOAD_V4, Mtu, Slot, Waiting, fits};
use session::wire::{SessionInfo, Transport};
use session::{Broken, Closed};

use super::whole::Kernels;
use crate::buffers::Buffers;
use crate::clock;
use crate::hidden::Hidden;
use crate::raw::borrow;
use crate::socket::Session;
use crate::sync::Turn;
use crate::wait::{self, PATIENCE};

/// Numbers of flows, by which a hub names them.
static LAST: AtomicU64 = AtomicU64::new(super::hub::FIRST_FLOW);

/// See the module.
pub(super) struct Flow {
    pub(super) id: u64,
    session: Session,
    pub(super) socket: Hidden,
    /// When it was made, in nanoseconds of the clock.
    pub(super) born: u64,
    /// The peer closed its side.
    gone: AtomicBool,
    /// The last datagram found no room although it waited for some.
    stalled: AtomicBool,
    /// Datagrams that found no room.
    dropped: AtomicU64,
    /// How long packets to the peer the kernel would send.
    pub(super) kernels: Kernels,
}

impl PartialEq for Flow {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Done,
    /// There is no room, and it is lost.
    Dropped,
    /// The ring can never hold it.
    TooLong,
    /// The peer is gone.
    Gone,
}

/// A datagram that was received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Got {
    /// Bytes in the program's buffers.
    pub(crate) bytes: usize,
    /// Bytes that the datagram had.
    pub(crate) length: usize,
    /// Where it is from; none when the kernel told already.
    pub(crate) from: Option<SocketAddr>,
}

/// Longest time that a blocking send waits for room, in nanoseconds: several turns of a busy receiver.
const ROOM_WITHIN: u64 = 3_000_000;
/// The same where the receiver is the agent's network stack, which always reads: it waits for its turn on a
/// busy machine, or for a neighbour that has room no more, and such a one may not wake up.
const STACK_ROOM_WITHIN: u64 = 200_000_000;
/// Between looks of the latter, once the former is over.
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Flow {
    /// For a session that the broker announced, with its socket and its memory.
    pub(super) fn open(
        info: SessionInfo,
        socket: &OwnedFd,
        memory: &OwnedFd,
    ) -> Result<Self, Errno> {
        Ok(Self {
            id: LAST.fetch_add(1, Ordering::Relaxed),
            session: Session::open(info, memory, false)?,
            socket: Hidden::duplicate(socket.as_fd())?,
            born: clock::now(),
            gone: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            kernels: Kernels::new(),
        })
    }

    pub(super) fn remote(&self) -> SocketAddr {
        self.session.info.remote
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.session.info.local
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Whether the peer's host said that nobody has its port.
    pub(super) fn was_refused(&self) -> bool {
        self.session.info.transport == Transport::Stack
            && self.session.stream().peer_closed() == Some(Closed::Reset)
    }

    /// How long packets to the peer may be, when the agent's network stack says so.
    pub(super) fn told_mtu(&self) -> Option<Mtu> {
        let by_stack = self.session.info.transport == Transport::Stack;
        by_stack.then(|| self.session.stream().told_mtu()).flatten()
    }

    pub(super) fn note_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Says that this process is done with it.
    pub(super) fn leave(&self) {
        self.session.stream().leave();
    }

    /// Whether a datagram waits.
    pub(super) fn has_news(&self) -> bool {
        let Ok(waiting) = self.session.stream().readable() else {
            self.note_gone();
            return false;
        };
        waiting > 0
    }

    /// Length of the datagram that waits first.
    pub(super) fn next_length(&self) -> Option<usize> {
        let _turn = Turn::take(&self.session.local().reading);
        Waiting::first(&self.session.stream()).ok().flatten().map(|it| it.length())
    }

    /// What changes with every datagram that arrives.
    pub(super) fn tail(&self) -> u64 {
        self.session.stream().seen().unwrap_or(0)
    }

    /// Asks for a token when something comes; `true` when something is there.
    pub(super) fn arm(&self) -> bool {
        if self.is_gone() {
            return self.has_news();
        }
        let _ = self.session.stream().arm_reader(self.tail());
        self.has_news()
    }

    /// As [`arm`](Self::arm), for a flow that is not looked at any more: what it has received so far.
    /// `None` when it must be looked at.
    pub(super) fn rest(&self) -> Option<u64> {
        let quiet = !self.is_gone() && !self.arm();
        quiet.then(|| self.tail())
    }

    /// No token is wanted any more.
    pub(super) fn disarm(&self) {
        self.session.stream().disarm_reader();
    }

    /// Takes the tokens out of the socket; sees the peer's end on the way.
    pub(super) fn drain(&self) {
        let mut tokens = [0u8; 64];
        match rustix::net::recv(borrow(self.socket.number()), &mut tokens, RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(Errno::CONNRESET) => self.note_gone(),
            Ok(_) | Err(_) => {}
        }
    }

    /// Copies the first datagram out; `None` when there is none.
    pub(super) fn receive(&self, buffers: &Buffers<'_>, peek: bool) -> Option<Got> {
        let turn = Turn::take(&self.session.local().reading);
        let stream = self.session.stream();
        stream.follow_reader();
        stream.stay();
        let got = Waiting::first(&stream).and_then(|first| {
            let Some(first) = first else { return Ok(None) };
            let length = first.length();
            let mut at = 0;
            let bytes = buffers.scatter(0, |part| {
                let got = first.read(at, part)?;
                at += got;
                Ok::<_, Broken>(got)
            })?;
            if !peek {
                first.remove()?;
            }
            Ok(Some(Got { bytes, length, from: Some(self.remote()) }))
        });
        drop(turn);
        got.unwrap_or_else(|Broken| {
            self.note_gone();
            None
        })
    }

    /// Sends a datagram. When the ring is full it waits for a moment, longer if it `may_block`.
    pub(super) fn send(&self, buffers: &Buffers<'_>, may_block: impl FnOnce() -> bool) -> Sent {
        let stream = self.session.stream();
        let most = if self.remote().is_ipv4() { MAX_PAYLOAD_V4 } else { MAX_PAYLOAD };
        if buffers.len() > most || !fits(stream.ring_bytes(), buffers.len()) {
            return Sent::TooLong;
        }
        if self.is_gone() || (stream.peer_left() && self.is_hung_up()) {
            return Sent::Gone;
        }
        match self.try_send(buffers) {
            Ok(true) => {
                self.stalled.store(false, Ordering::Relaxed);
                return Sent::Done;
            }
            Ok(false) => {}
            Err(Broken) => return Sent::Gone,
        }
        if self.is_hung_up() {
            return Sent::Gone;
        }
        // A receiver that does not receive is waited for once.
        if !self.stalled.load(Ordering::Relaxed) && self.wait_for_room(buffers, may_block) {
            return Sent::Done;
        }
        self.stalled.store(true, Ordering::Relaxed);
        self.dropped.fetch_add(1, Ordering::Relaxed);
        stream.count_dropped();
        Sent::Dropped
    }

    fn wait_for_room(&self, buffers: &Buffers<'_>, may_block: impl FnOnce() -> bool) -> bool {
        let sent = || self.try_send(buffers) == Ok(true);
        let room = || self.session.stream().writable().is_ok_and(|room| fits(room, buffers.len()));
        if PATIENCE.look(room) && sent() {
            return true;
        }
        if !may_block() {
            return false;
        }
        let start = clock::now();
        let within = match self.session.info.transport {
            Transport::Stack => STACK_ROOM_WITHIN,
            Transport::CutThrough => ROOM_WITHIN,
        };
        loop {
            let waited = clock::now().saturating_sub(start);
            if waited >= within {
                return false;
            }
            if waited < ROOM_WITHIN {
                rustix::thread::sched_yield();
            } else {
                // Its end would be seen at once.
                let _ = wait::sleep(self.socket.number(), PollFlags::empty(), Some(LOOK_EVERY));
            }
            if room() && sent() {
                return true;
            }
            if waited >= ROOM_WITHIN && self.is_hung_up() {
                return false;
            }
        }
    }

    fn try_send(&self, buffers: &Buffers<'_>) -> Result<bool, Broken> {
        let stream = self.session.stream();
        let turn = Turn::take(&self.session.local().writing);
        stream.follow_writer();
        let Some(mut slot) = Slot::reserve(&stream, buffers.len())? else { return Ok(false) };
        buffers.gather(0, |part| {
            slot.put(part)?;
            Ok::<_, Broken>(part.len())
        })?;
        let wake = slot.publish()?;
        drop(turn);
        if wake {
            stream.count_token();
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(borrow(self.socket.number()), &[0], flags) {
                // No room means that tokens wait there already.
                Ok(_) | Err(Errno::AGAIN) => {}
                Err(_) => self.note_gone(),
            }
        }
        Ok(true)
    }

    fn is_hung_up(&self) -> bool {
        let gone = wait::is_hung_up(self.socket.number());
        if gone {
            self.note_gone();
        }
        gone
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.leave();
        let dropped = *self.dropped.get_mut();
        if dropped > 0 {
            crate::log::decision!("{dropped} datagrams to {} found no room", self.remote());
        }
    }
}
