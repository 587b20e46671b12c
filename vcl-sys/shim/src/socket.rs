//! What stands behind a descriptor.

#![allow(unsafe_code)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::c_int;
use core::net::SocketAddr;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use session::wire::SessionInfo;
use session::{Closed, Stream};

use crate::hidden::Hidden;
use crate::locals::OwnLocal;
use crate::memory::{self, Memory};
use crate::options::{Options, Touched};
use crate::sync::SpinLock;
use crate::{epoll, sleepers};

/// Address family that the program asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A stream socket of the kernel that may become a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fresh {
    pub(crate) family: Family,
    /// Options that the program set on it.
    pub(crate) touched: Touched,
    /// It has other numbers, too, or had.
    pub(crate) duplicated: bool,
}

/// A descriptor that the kernel does not serve alone. Duplicates of a descriptor share it.
pub(crate) struct Socket {
    pub(crate) family: Family,
    pub(crate) role: Role,
    /// Descriptors of this process that refer to it.
    descriptors: AtomicU32,
    /// `O_NONBLOCK` as last set through this process; the kernel has the truth.
    pub(crate) nonblocking: AtomicBool,
    /// What the program set; accepted sockets start with what their listener has.
    pub(crate) options: SpinLock<Options>,
    /// The kernel's socket that the program bound before it was connected: keeps others off its port.
    reserved: Option<Hidden>,
}

pub(crate) enum Role {
    Session(Link),
    Listener(Listener),
}

impl Socket {
    pub(crate) fn new(family: Family, role: Role, nonblocking: bool) -> Self {
        Self {
            family,
            role,
            descriptors: AtomicU32::new(0),
            nonblocking: AtomicBool::new(nonblocking),
            options: SpinLock::new(Options::new()),
            reserved: None,
        }
    }

    /// With the kernel's socket that was bound to the address of this one.
    pub(crate) fn bound(mut self, socket: Option<Hidden>) -> Self {
        self.reserved = socket;
        self
    }

    /// With the options of the socket that it takes the place of, or was accepted by.
    pub(crate) fn with_options(mut self, options: Options) -> Self {
        *self.options.get_mut() = options;
        self.heed_options();
        self
    }

    /// Does what the options say.
    pub(crate) fn heed_options(&self) {
        let Some(link) = self.link() else { return };
        let (low, reset) = {
            let options = self.options.lock();
            let low = options.integer((libc::SOL_SOCKET, libc::SO_RCVLOWAT)).unwrap_or(1);
            (low, options.close_resets())
        };
        link.set_low_water(low.max(1).unsigned_abs());
        if let Some(session) = link.session() {
            session.stream().set_will_to_reset(reset);
        }
    }

    pub(crate) fn link(&self) -> Option<&Link> {
        match &self.role {
            Role::Session(link) => Some(link),
            Role::Listener(_) => None,
        }
    }

    pub(crate) fn listener(&self) -> Option<&Listener> {
        match &self.role {
            Role::Listener(listener) => Some(listener),
            Role::Session(_) => None,
        }
    }

    pub(crate) fn hold(&self) {
        self.descriptors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn let_go(&self) {
        if self.descriptors.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(session) = self.link().and_then(Link::session)
        {
            session.stream().leave();
        }
    }
}

/// The program's side of a connection: established, or on the way.
pub(crate) struct Link {
    session: AtomicPtr<Session>,
    /// Waits to be reported by `SO_ERROR` or the next call: a number of `errno`, or zero.
    error: AtomicI32,
    /// The program is done with writing.
    pub(crate) write_ended: AtomicBool,
    /// The program is done with reading.
    pub(crate) read_ended: AtomicBool,
    /// The kernel reported the end of what the peer sends.
    pub(crate) peer_ended: AtomicBool,
    /// The kernel reported that the peer is gone altogether.
    pub(crate) peer_gone: AtomicBool,
    /// A write came after the peer was gone: what TCP would have answered with a reset.
    pub(crate) answered: AtomicBool,
    /// Writes that found too little room, as an edge-triggered `EPOLLOUT` wants to know.
    pub(crate) short_writes: AtomicU32,
    /// Registrations and sleeping calls of this process that count on tokens.
    pub(crate) watchers: AtomicU32,
    /// An epoll of this process counts on the kernel for it, perhaps with room: a write that finds none is news.
    pub(crate) rests: AtomicBool,
    /// `connect` answered that it goes on by itself: the next one tells that it is done.
    pub(crate) awaited: AtomicBool,
    /// Threads of this process that sleep in a read.
    pub(crate) sleepers: AtomicU32,
    /// `SO_RCVLOWAT`.
    low_water: AtomicU32,
    /// This process gave the socket its small send buffer.
    pub(crate) shrunk: AtomicBool,
    /// Where it leads, known before the session is.
    pub(crate) remote: SocketAddr,
}

impl Link {
    pub(crate) fn connecting(remote: SocketAddr) -> Self {
        Self {
            session: AtomicPtr::new(ptr::null_mut()),
            error: AtomicI32::new(0),
            write_ended: AtomicBool::new(false),
            read_ended: AtomicBool::new(false),
            peer_ended: AtomicBool::new(false),
            peer_gone: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            short_writes: AtomicU32::new(0),
            watchers: AtomicU32::new(0),
            rests: AtomicBool::new(false),
            awaited: AtomicBool::new(false),
            sleepers: AtomicU32::new(0),
            low_water: AtomicU32::new(1),
            shrunk: AtomicBool::new(false),
            remote,
        }
    }

    pub(crate) fn established(session: Session) -> Self {
        let link = Self::connecting(session.info.remote);
        link.establish(session);
        link
    }

    /// One that cannot be used any more.
    pub(crate) fn lost() -> Self {
        let link = Self::connecting(crate::resume::NOWHERE);
        link.set_error(Errno::CONNRESET);
        for flag in [&link.answered, &link.peer_ended, &link.peer_gone] {
            flag.store(true, Ordering::Release);
        }
        link
    }

    /// Whether both directions are over, by their ends or by a reset: what TCP calls closed, and
    /// treats as not connected.
    pub(crate) fn is_over(&self) -> bool {
        let set = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        let peer_ended =
            || set(&self.peer_ended) || self.session().is_some_and(|it| it.stream().peer_ended());
        (set(&self.peer_gone) && set(&self.answered)) || (set(&self.write_ended) && peer_ended())
    }

    /// Goes on where another process stopped.
    pub(crate) fn take_over(&self) {
        let ended = self.session().is_some_and(|session| session.stream().ended());
        self.write_ended.store(ended, Ordering::Release);
    }

    /// The session, once there is one.
    #[inline]
    pub(crate) fn session(&self) -> Option<&Session> {
        // SAFETY: set once, freed in `drop` only.
        unsafe { self.session.load(Ordering::Acquire).as_ref() }
    }

    /// The peer answered. A second answer is ignored.
    pub(crate) fn establish(&self, session: Session) {
        let session = Box::into_raw(Box::new(session));
        let placed = self.session.compare_exchange(
            ptr::null_mut(),
            session,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if placed.is_err() {
            // SAFETY: nobody else saw it.
            drop(unsafe { Box::from_raw(session) });
        }
    }

    /// Bytes that a read waits for, and that make the socket readable.
    pub(crate) fn low_water(&self) -> usize {
        self.low_water.load(Ordering::Relaxed) as usize
    }

    fn set_low_water(&self, bytes: u32) {
        if self.low_water.swap(bytes, Ordering::SeqCst) > bytes {
            // What waits may be enough now (`tcp_set_rcvlowat`).
            sleepers::wake();
            epoll::revive(self);
        }
    }

    pub(crate) fn set_error(&self, error: Errno) {
        self.error.store(error.raw_os_error(), Ordering::Release);
    }

    pub(crate) fn has_error(&self) -> bool {
        self.error.load(Ordering::Acquire) != 0
    }

    /// The pending error, which is reported once.
    pub(crate) fn take_error(&self) -> Option<Errno> {
        match self.error.swap(0, Ordering::AcqRel) {
            0 => None,
            error => Some(Errno::from_raw_os_error(error)),
        }
    }

    /// The pending error, as far as it concerns a reader: that nobody wants what was written does not.
    pub(crate) fn take_read_error(&self) -> Option<Errno> {
        if self.error.load(Ordering::Acquire) == Errno::PIPE.raw_os_error() {
            return None;
        }
        self.take_error()
    }

    /// A write comes after the peer went away in good order. TCP takes the bytes, sends them, and
    /// is told by a reset that nobody wants them: the next write fails (`tcp_reset` makes it
    /// `EPIPE` once the end of the stream was seen).
    pub(crate) fn write_in_vain(&self) {
        self.set_error(Errno::PIPE);
        self.answered.store(true, Ordering::Release);
    }

    /// The peer is gone: what it did not read is lost, which TCP would have answered with a reset.
    pub(crate) fn note_gone(&self) {
        if self.peer_gone.swap(true, Ordering::AcqRel) {
            return;
        }
        self.peer_ended.store(true, Ordering::Release);
        let Some(session) = self.session() else { return };
        let stream = session.stream();
        // When this side ended its stream, the kernel's hang-up may just be the end of the other one,
        // and the peer may still read.
        let unread = !self.write_ended.load(Ordering::Acquire) && stream.unread_by_peer() != Ok(0);
        if unread || stream.peer_wills_reset() || stream.peer_closed() == Some(Closed::Reset) {
            // After its end a reset says only that nobody wants what was written (`tcp_reset`).
            let error = if stream.peer_ended() { Errno::PIPE } else { Errno::CONNRESET };
            self.set_error(error);
            self.answered.store(true, Ordering::Release);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let session = *self.session.get_mut();
        if !session.is_null() {
            // SAFETY: made by `Box::into_raw` in `establish`, and this is its last user.
            drop(unsafe { Box::from_raw(session) });
        }
    }
}

/// An established session.
pub(crate) struct Session {
    pub(crate) info: SessionInfo,
    memory: Arc<Memory>,
    local: OwnLocal,
}

impl Session {
    /// Takes the memory of a session that the broker announced.
    pub(crate) fn open(info: SessionInfo, memory: &OwnedFd, adopt: bool) -> Result<Self, Errno> {
        let memory = memory::open(info.memory, memory, info.place)?;
        Stream::check_header(memory.mapping(), info.place).map_err(|_| Errno::PROTO)?;
        let session = Self { info, memory, local: OwnLocal::new()? };
        // It may have been mapped for another session, which may have said another length.
        Stream::new(session.memory.mapping(), &session.local, info.side, info.place)
            .map_err(|_| Errno::PROTO)?;
        if adopt {
            session.stream().adopt_positions().map_err(|_| Errno::PROTO)?;
        }
        Ok(session)
    }

    /// The view of this side.
    #[inline]
    pub(crate) fn stream(&self) -> Stream<'_> {
        Stream::new(self.memory.mapping(), &self.local, self.info.side, self.info.place)
            .expect("`open` checked the length")
    }

    #[inline]
    pub(crate) fn local(&self) -> &session::Local {
        &self.local
    }
}

/// A listening socket.
pub(crate) struct Listener {
    /// The kernel's listening socket: keeps the port, answers for options and addresses, and takes the
    /// connections that are no sessions.
    /// A process that was given the listener without it can still accept.
    pub(crate) kernel: Option<Hidden>,
    /// By which the broker knows that forked processes mean the same listener.
    pub(crate) cookie: u64,
    pub(crate) backlog: AtomicI32,
    /// The program shut it down.
    pub(crate) ended: AtomicBool,
}

impl Listener {
    /// Whether somebody shut it down, perhaps another process: the kernel's socket listens no more.
    pub(crate) fn has_ended(&self) -> bool {
        let kernel = self.kernel.as_ref().map(Hidden::number);
        self.ended.load(Ordering::Acquire)
            || kernel.is_some_and(|it| {
                rustix::net::sockopt::socket_acceptconn(crate::raw::borrow(it)) == Ok(false)
            })
    }

    /// The number of the kernel's socket; one that is never open when there is none.
    pub(crate) fn kernel_fd(&self) -> c_int {
        self.kernel.as_ref().map_or(-1, Hidden::number)
    }
}
