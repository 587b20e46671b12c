//! A batch of reads or writes with one system call, complete on return.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::{Outcome, Outlet};

/// An `io_uring` of which each operation starts and ends within one call.
pub(super) struct Ring {
    ring: IoUring,
    /// Entries of the call under way; kept for its memory.
    entries: Vec<Entry>,
}

/// One write: its outcome's place, where to, and the bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriteRequest<'a> {
    pub(super) index: usize,
    pub(super) outlet: Outlet<'a>,
    pub(super) bytes: &'a [u8],
}

impl Ring {
    /// A ring for batches of up to `batch` operations; fails when the kernel has no `io_uring`,
    /// forbids it, or cannot read a TAP with `RWF_NOWAIT`.
    pub(super) fn new(batch: usize) -> io::Result<Self> {
        let entries = u32::try_from(batch.max(1).next_power_of_two())
            .map_err(|_| io::Error::from(Errno::INVAL))?;
        let mut ring = Self { ring: IoUring::new(entries)?, entries: Vec::with_capacity(batch) };
        ring.probe()?;
        Ok(ring)
    }

    /// Reads one frame into each chunk of `stride` bytes of `buffers`, at once or not at all, and
    /// writes each outcome to the place in `outcomes` that the chunk has in `buffers`. There are as
    /// many reads as `outcomes`, and as many chunks at least.
    ///
    /// # Errors
    /// The ring is of no more use; reads that did not run have no outcome.
    pub(super) fn read(
        &mut self,
        fd: BorrowedFd<'_>,
        buffers: &mut [u8],
        stride: usize,
        outcomes: &mut [Option<Outcome>],
    ) -> io::Result<()> {
        let chunks = buffers.chunks_exact_mut(stride).zip(0..outcomes.len() as u64);
        self.entries.clear();
        self.entries.extend(chunks.map(|(chunk, index)| {
            opcode::Read::new(types::Fd(fd.as_raw_fd()), chunk.as_mut_ptr(), length(chunk))
                .offset(CURRENT_POSITION)
                .rw_flags(libc::RWF_NOWAIT)
                .build()
                .user_data(index)
        }));
        // SAFETY: each entry names a chunk of its own of `buffers`, which this call borrows
        // mutably, and `fd`, which it borrows. `run` returns only when no entry is in flight, and
        // nobody reads or writes `buffers` before that.
        unsafe { self.run(outcomes) }
    }

    /// Performs each write and stores its outcome.
    ///
    /// # Errors
    /// As [`Ring::read`].
    pub(super) fn write<'a>(
        &mut self,
        requests: impl Iterator<Item = WriteRequest<'a>>,
        outcomes: &mut [Option<Outcome>],
    ) -> io::Result<()> {
        self.entries.clear();
        self.entries.extend(requests.map(|request| {
            let (bytes, count) = (request.bytes.as_ptr(), length(request.bytes));
            let entry = match request.outlet {
                Outlet::Tap(queue) => {
                    opcode::Write::new(types::Fd(queue.as_raw_fd()), bytes, count)
                        .offset(CURRENT_POSITION)
                        .rw_flags(libc::RWF_NOWAIT)
                        .build()
                }
                // Sockets know `RWF_NOWAIT` since Linux 6.4 only.
                Outlet::Socket(socket) => {
                    opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes, count)
                        .flags(libc::MSG_DONTWAIT)
                        .build()
                }
            };
            entry.user_data(request.index as u64)
        }));
        // SAFETY: bytes and descriptors are borrowed for 'a, which outlives this call, and `run`
        // returns only when no entry is in flight.
        unsafe { self.run(outcomes) }
    }

    /// Submits all entries and waits until each that was submitted is complete.
    ///
    /// An error means that the kernel refused some of them. Nothing is in flight then either, but the
    /// ring may still hold entries and must not be submitted again.
    ///
    /// # Safety
    /// Memory and descriptors that the entries name must stay valid, and the memory unused by
    /// others, until this function returns.
    unsafe fn run(&mut self, outcomes: &mut [Option<Outcome>]) -> io::Result<()> {
        // SAFETY: the caller keeps what the entries name valid until this function returns.
        let pushed = unsafe { self.ring.submission().push_multiple(&self.entries) };
        pushed.map_err(|_| io::Error::from(Errno::NOBUFS))?;
        let count = self.entries.len();
        let (mut submitted, mut completed) = (0, 0);
        while completed < count {
            let result = self.ring.submit_and_wait(count - completed);
            submitted += result.as_ref().map_or(0, |submitted| *submitted);
            for completion in self.ring.completion() {
                completed += 1;
                let place = usize::try_from(completion.user_data()).ok();
                if let Some(outcome) = place.and_then(|place| outcomes.get_mut(place)) {
                    *outcome = Some(outcome_of(completion.result()));
                }
            }
            // While operations are in flight there is no way but to wait for them.
            if let Err(error) = result
                && completed == submitted
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads from the TUN driver without a device: an answer about the missing device shows that
    /// reading and `RWF_NOWAIT` are supported.
    fn probe(&mut self) -> io::Result<()> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let driver = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
        let mut buffer = [0; 16];
        let mut outcomes = [None];
        self.read(driver.as_fd(), &mut buffer, 16, &mut outcomes)?;
        match outcomes {
            [Some(Err(Errno::BADFD))] => Ok(()),
            [Some(Err(error))] => Err(error.into()),
            _ => Err(Errno::NOTSUP.into()),
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("fd", &self.ring.as_raw_fd()).finish_non_exhaustive()
    }
}

/// The offset that stands for the file's own position, of which a TAP takes no notice.
const CURRENT_POSITION: u64 = u64::MAX;

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn outcome_of(result: i32) -> Outcome {
    usize::try_from(result).map_err(|_| Errno::from_raw_os_error(-result))
}

/// The same interface without a ring: one call per operation.
pub(super) fn read_frame(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Outcome {
    rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut *buffer))
}

/// As [`read_frame`].
pub(super) fn write_frame(outlet: Outlet<'_>, bytes: &[u8]) -> Outcome {
    rustix::io::retry_on_intr(|| match outlet {
        Outlet::Tap(queue) => rustix::io::write(queue, bytes),
        Outlet::Socket(socket) => send(socket, bytes, SendFlags::DONTWAIT),
    })
}
