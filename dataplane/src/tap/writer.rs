//! Writing batches of frames.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::ring::{WriteRequest, write_frame};
use super::{Backend, HEADER_LEN, IoMode, Outcome};
use crate::DropReason;
use crate::offload::VirtioNetHeader;

/// Where the kernel takes frames.
#[derive(Debug, Clone, Copy)]
pub enum Outlet<'fd> {
    /// A queue of a TAP.
    Tap(BorrowedFd<'fd>),
    /// A packet socket.
    Socket(BorrowedFd<'fd>),
}

impl<'fd> From<BorrowedFd<'fd>> for Outlet<'fd> {
    fn from(queue: BorrowedFd<'fd>) -> Self {
        Self::Tap(queue)
    }
}

/// Why a frame was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The queue of the device is full.
    #[error("the queue of the TAP is full")]
    Full,
    /// The token has no descriptor any more.
    #[error("the TAP is gone")]
    NoDevice,
    /// The kernel refused the frame.
    #[error("the kernel refused the frame")]
    Device(#[source] Errno),
}

impl WriteError {
    /// The reason to count the drop under.
    pub fn reason(self) -> DropReason {
        match self {
            Self::Full => DropReason::Full,
            Self::NoDevice => DropReason::NoDevice,
            Self::Device(_) => DropReason::Device,
        }
    }
}

/// Collects frames for any TAP queue or packet socket and writes them together; one per worker thread. A token `T` of
/// the caller's choice, such as a port slot, stands for the outlet until [`TapWriter::flush`].
#[derive(Debug)]
pub struct TapWriter<T> {
    backend: Backend,
    /// Headers and frames, back to back.
    arena: Box<[u8]>,
    used: usize,
    pending: Vec<Pending<T>>,
    batch: usize,
    outcomes: Vec<Option<Outcome>>,
}

/// Room for one frame in a [`TapWriter`]; given back when dropped without
/// [`Reservation::push`].
#[derive(Debug)]
pub struct Reservation<'a, T> {
    writer: &'a mut TapWriter<T>,
    len: usize,
}

impl<T: Copy> TapWriter<T> {
    /// A writer that holds up to `batch` frames and, headers included, `capacity` bytes; at least
    /// [`BUFFER_LEN`](super::BUFFER_LEN) to take every frame.
    pub fn new(batch: usize, capacity: usize) -> Self {
        Self::with_backend(Backend::best(batch.max(1)), batch, capacity)
    }

    /// The same with one system call per frame, whatever the kernel offers.
    pub fn with_syscalls(batch: usize, capacity: usize) -> Self {
        Self::with_backend(Backend::Syscall(None), batch, capacity)
    }

    /// How it writes.
    pub fn mode(&self) -> IoMode {
        self.backend.mode()
    }

    /// Why it does not use `io_uring`, when it wanted to.
    pub fn fallback_reason(&self) -> Option<&io::Error> {
        self.backend.fallback_reason()
    }

    /// Whether no frame waits for [`TapWriter::flush`].
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Room for a frame of up to `len` bytes; `None` when the writer must be flushed first (or, if it
    /// is empty, when the frame can never fit).
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Option<Reservation<'_, T>> {
        let end = self.used.checked_add(HEADER_LEN)?.checked_add(len)?;
        let fits = self.pending.len() < self.batch && end <= self.arena.len();
        fits.then_some(Reservation { writer: self, len })
    }

    /// Sends the frame pushed last to another queue as well, without a copy; `false` when there is
    /// none or the writer must be flushed first.
    #[inline]
    pub fn repeat(&mut self, token: T) -> bool {
        match self.pending.last() {
            Some(last) if self.pending.len() < self.batch => {
                self.pending.push(Pending { token, ..*last });
                true
            }
            _ => false,
        }
    }

    /// Writes all pending frames, without blocking, and yields for each, in the order of the pushes,
    /// the bytes written (header included) or the reason why not. `outlet_of` names what a token stands
    /// for.
    pub fn flush<'fd>(
        &mut self,
        outlet_of: impl Fn(T) -> Option<Outlet<'fd>>,
    ) -> impl Iterator<Item = (T, Result<usize, WriteError>)> + '_ {
        self.outcomes.clear();
        self.outcomes.resize(self.pending.len(), None);
        self.write(outlet_of);
        self.used = 0;
        self.pending.drain(..).zip(self.outcomes.drain(..)).map(|(pending, outcome)| {
            let outcome = match outcome {
                Some(Ok(length)) => Ok(length),
                // A link behind a packet socket that has no room says the latter.
                Some(Err(Errno::AGAIN | Errno::NOBUFS)) => Err(WriteError::Full),
                Some(Err(error)) => Err(WriteError::Device(error)),
                None => Err(WriteError::NoDevice),
            };
            (pending.token, outcome)
        })
    }

    fn with_backend(backend: Backend, batch: usize, capacity: usize) -> Self {
        let batch = batch.max(1);
        Self {
            backend,
            arena: vec![0; capacity].into_boxed_slice(),
            used: 0,
            pending: Vec::with_capacity(batch),
            batch,
            outcomes: Vec::with_capacity(batch),
        }
    }

    fn write<'fd>(&mut self, outlet_of: impl Fn(T) -> Option<Outlet<'fd>>) {
        let arena = &self.arena;
        let requests = self.pending.iter().enumerate().filter_map(|(index, pending)| {
            let bytes = &arena[pending.start..pending.end];
            Some(WriteRequest { index, outlet: outlet_of(pending.token)?, bytes })
        });
        if let Backend::Ring(ring) = &mut self.backend {
            match ring.write(requests.clone(), &mut self.outcomes) {
                Ok(()) => return,
                Err(error) => self.backend = Backend::Syscall(Some(error)),
            }
        }
        for request in requests {
            self.outcomes[request.index]
                .get_or_insert_with(|| write_frame(request.outlet, request.bytes));
        }
    }
}

impl<T: Copy> Reservation<'_, T> {
    /// The frame's bytes, to be filled in from the Ethernet header on. They hold old bytes before.
    #[inline]
    pub fn frame(&mut self) -> &mut [u8] {
        let start = self.writer.used + HEADER_LEN;
        &mut self.writer.arena[start..start + self.len]
    }

    /// Queues the first `len` bytes of the reservation (at most all of it) for the queue of `token`.
    #[inline]
    pub fn push(self, token: T, header: VirtioNetHeader, len: usize) {
        let writer = self.writer;
        let start = writer.used;
        let frame = start + HEADER_LEN;
        let end = frame + len.min(self.len);
        writer.arena[start..frame].copy_from_slice(&header.encode()[..HEADER_LEN]);
        writer.pending.push(Pending { token, start, end });
        writer.used = end.next_multiple_of(ALIGNMENT);
    }
}

/// Keeps the copies into the arena aligned.
const ALIGNMENT: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Pending<T> {
    token: T,
    start: usize,
    end: usize,
}
