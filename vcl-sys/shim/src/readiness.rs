//! What `poll`, `select` and `epoll` say of a session, computed from its rings.
//!
//! The bits are those of `poll`; `epoll` uses the same numbers. What they mean for TCP is the source
//! (`tcp_poll` of Linux): a peer that only closed its side leaves the socket readable and writable
//! (`CLOSE_WAIT`), a hang-up is when both directions are over.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use session::{Room, Stream};

use crate::connect;
use crate::socket::{Link, Session};
use crate::wait;

pub(crate) const IN: u32 = bits(libc::POLLIN);
pub(crate) const PRI: u32 = bits(libc::POLLPRI);
pub(crate) const OUT: u32 = bits(libc::POLLOUT);
pub(crate) const ERR: u32 = bits(libc::POLLERR);
pub(crate) const HUP: u32 = bits(libc::POLLHUP);
pub(crate) const NVAL: u32 = bits(libc::POLLNVAL);
pub(crate) const READ_NORMAL: u32 = bits(libc::POLLRDNORM);
pub(crate) const WRITE_NORMAL: u32 = bits(libc::POLLWRNORM);
pub(crate) const READ_HANG_UP: u32 = bits(libc::POLLRDHUP);

/// Interests that bytes to read, or their end, can meet.
pub(crate) const READS: u32 = IN | READ_NORMAL | READ_HANG_UP;
/// Interests that a listener can meet: a connection waits. Its socket of the kernel has room, which
/// nobody shall hear of.
pub(crate) const LISTENER: u32 = IN | READ_NORMAL;
/// Interests that room can meet.
pub(crate) const WRITES: u32 = OUT | WRITE_NORMAL;
/// Reported whether asked for or not.
pub(crate) const ALWAYS: u32 = ERR | HUP;

#[allow(clippy::cast_sign_loss)]
const fn bits(event: libc::c_short) -> u32 {
    event as u16 as u32
}

/// The reverse of [`bits`].
#[allow(clippy::cast_possible_truncation)]
pub(crate) const fn events(mask: u32) -> libc::c_short {
    mask as libc::c_short
}

/// A look at a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Now {
    /// What is ready; complete within the interest that was given, and [`ALWAYS`].
    pub(crate) mask: u32,
    /// The peer's tail: it changes with every byte that arrives.
    pub(crate) tail: u64,
    /// Writes so far that found too little room.
    pub(crate) short_writes: u32,
    /// Bytes wait, but fewer than a read waits for (`SO_RCVLOWAT`).
    pub(crate) scant: bool,
    /// What happened once and for all: see [`Happened`].
    pub(crate) happened: Happened,
}

/// Events that happen once in the life of a session; each is news for an edge-triggered interest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Happened(u8);

impl Happened {
    pub(crate) const NOTHING: Self = Self(0);
    pub(crate) const ESTABLISHED: Self = Self(1);
    pub(crate) const PEER_ENDED: Self = Self(2);
    pub(crate) const PEER_GONE: Self = Self(4);
    pub(crate) const RESET: Self = Self(8);
    pub(crate) const READ_ENDED: Self = Self(16);
    pub(crate) const WRITE_ENDED: Self = Self(32);
    pub(crate) const ERROR: Self = Self(64);

    #[must_use]
    pub(crate) const fn and(self, other: Self, when: bool) -> Self {
        if when { Self(self.0 | other.0) } else { self }
    }

    /// Whether something is here that was not in `before`.
    pub(crate) const fn has_news(self, before: Self) -> bool {
        self.0 & !before.0 != 0
    }
}

/// Looks at a link with regard to `interest`.
pub(crate) fn look(link: &Link, interest: u32) -> Now {
    let set = |flag: &core::sync::atomic::AtomicBool| flag.load(Ordering::Acquire);
    let Some(session) = link.session() else { return look_before(link) };
    let stream = session.stream();
    let (mut mask, mut scant, mut broken) = (0, false, false);
    let peer_ended = set(&link.peer_ended) || stream.peer_ended();
    let read_ended = set(&link.read_ended);
    let write_ended = set(&link.write_ended);
    let peer_gone = set(&link.peer_gone);
    let tail = stream.seen().unwrap_or(0);
    if interest & READS != 0 {
        match stream.readable() {
            Ok(0) => {}
            // As TCP with a full window (`tcp_epollin_ready`): a writer without room cannot bring the rest.
            Ok(waiting) if waiting >= link.low_water() || stream.is_crowded(waiting) => {
                mask |= IN | READ_NORMAL;
            }
            Ok(_) => scant = true,
            Err(_) => broken = true,
        }
    }
    if interest & WRITES != 0 {
        match stream.is_roomy() {
            Ok(false) => {}
            Ok(true) => mask |= OUT | WRITE_NORMAL,
            Err(_) => broken = true,
        }
    }
    let reset = broken || (peer_gone && set(&link.answered));
    let error = link.has_error() || broken;
    let no_reads = peer_ended || read_ended || reset;
    let no_writes = write_ended || reset;
    if no_reads {
        mask |= IN | READ_NORMAL | READ_HANG_UP;
    }
    if no_writes || peer_gone {
        mask |= OUT | WRITE_NORMAL;
    }
    if no_reads && no_writes {
        mask |= HUP;
    }
    if error {
        mask |= ERR;
    }
    let happened = Happened::ESTABLISHED
        .and(Happened::PEER_ENDED, peer_ended)
        .and(Happened::PEER_GONE, peer_gone)
        .and(Happened::RESET, reset)
        .and(Happened::READ_ENDED, read_ended)
        .and(Happened::WRITE_ENDED, write_ended)
        .and(Happened::ERROR, error);
    let short_writes = link.short_writes.load(Ordering::Acquire);
    Now { mask, tail, short_writes, scant, happened }
}

/// A connection on its way is nothing yet, or a failure.
fn look_before(link: &Link) -> Now {
    if !link.peer_gone.load(Ordering::Acquire) {
        return Now::default();
    }
    let error = link.has_error();
    let mask = IN | READ_NORMAL | READ_HANG_UP | OUT | WRITE_NORMAL | HUP;
    Now {
        mask: if error { mask | ERR } else { mask },
        happened: Happened::RESET.and(Happened::ERROR, error),
        ..Now::default()
    }
}

/// Asks for the kernel's socket to report what would meet `interest`. The caller looks once more
/// before it sleeps.
pub(crate) fn arm(fd: c_int, link: &Link, interest: u32, now: &Now) {
    let Some(session) = link.session() else { return };
    if link.peer_gone.load(Ordering::Acquire) {
        return;
    }
    let stream = session.stream();
    if interest & READS != 0 {
        let _ = stream.arm_reader(now.tail);
    }
    if interest & WRITES != 0 && now.mask & OUT == 0 {
        arm_writer(fd, link, session, &stream);
    }
}

fn arm_writer(fd: c_int, link: &Link, session: &Session, stream: &Stream<'_>) {
    if !stream.is_filled().unwrap_or(false) {
        wait::arm_writer(fd, link, session, Room::Ample);
    }
}

/// No token is wanted any more: somebody looks at the ring. `watchers` is how many of those who count
/// on tokens do so.
pub(crate) fn disarm(link: &Link, watchers: u32) {
    if link.watchers.load(Ordering::Acquire) > watchers {
        return;
    }
    if let Some(session) = link.session() {
        session.stream().disarm_reader();
    }
}

/// Draws conclusions from what the kernel reports of a session's socket.
pub(crate) fn note(fd: c_int, link: &Link, events: u32) {
    if link.session().is_none() {
        connect::progress(fd, link);
    }
    let Some(session) = link.session() else { return };
    if events & READ_HANG_UP != 0 {
        link.peer_ended.store(true, Ordering::Release);
    }
    if events & ALWAYS != 0 {
        link.note_gone();
    }
    if events & WRITES != 0 {
        session.stream().note_drained();
    }
    if events & IN != 0 {
        wait::drain_tokens(fd, link, session);
    }
}
