//! The interface of the container's kernel, through which it asks name servers and nobody else
//! (the stack decides: [`Stack::receive_from_kernel`]).
//!
//! It is a TAP of one queue. Frames cross one at a time, with a system call each: these are few. A kernel that
//! sends more than that costs its endpoint's thread time, and nobody else's; a turn takes [`BURST`] of them.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use dataplane::offload::VirtioNetHeader;
use dataplane::stack_port::StackPort;
use dataplane::tap::{BUFFER_LEN, HEADER_LEN, TapDevice};
use rustix::io::Errno;
use stack::Stack;

/// Frames of the kernel that are taken in one turn.
const BURST: usize = 64;

/// The kernel's interface.
#[derive(Debug)]
pub(crate) struct KernelLink {
    /// `None` once the kernel has taken it away, with the container's network namespace.
    tap: Option<OwnedFd>,
    /// Frames may wait.
    readable: bool,
    buffer: Box<[u8]>,
}

/// What a read of the interface brought.
enum Read {
    Frame(usize),
    Nothing,
    Gone,
}

impl KernelLink {
    /// The first queue is used; further ones are closed.
    pub(crate) fn new(tap: TapDevice) -> Self {
        let tap = tap.into_queues().into_iter().next();
        // Made of zeros, so that pages which no frame reaches cost nothing.
        Self { tap, readable: true, buffer: vec![0; BUFFER_LEN].into_boxed_slice() }
    }

    /// What to watch.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.tap.as_ref().map(AsFd::as_fd)
    }

    /// The interface has news.
    pub(crate) fn note(&mut self) {
        self.readable = true;
    }

    /// Whether the thread may sleep, since it hears of the next frame.
    pub(crate) fn may_sleep(&self) -> bool {
        !self.readable
    }

    /// Takes what the kernel sent, and gives it what came for it; answers whether there was anything.
    #[inline]
    pub(crate) fn turn(&mut self, stack: &mut Stack, port: &mut StackPort, now: Instant) -> bool {
        let mut any = self.readable && self.take(stack, port, now);
        while let Some((frame, offload)) = stack.for_kernel() {
            any = true;
            if !self.give(&frame, offload) {
                stack.kernel_refused();
            }
        }
        any
    }

    fn take(&mut self, stack: &mut Stack, port: &mut StackPort, now: Instant) -> bool {
        for taken in 0..BURST {
            match self.read() {
                Read::Frame(len) => {
                    let (header, frame) = self.buffer[..len].split_at(HEADER_LEN);
                    // The kernel's own: it asks for nothing that was not offered to it.
                    let Ok(offload) = VirtioNetHeader::parse(header) else { continue };
                    stack.receive_from_kernel(now, frame, offload, port);
                }
                Read::Nothing => {
                    self.readable = false;
                    return taken > 0;
                }
                Read::Gone => {
                    (self.tap, self.readable) = (None, false);
                    return true;
                }
            }
        }
        true
    }

    fn read(&mut self) -> Read {
        let Some(tap) = &self.tap else { return Read::Gone };
        loop {
            match rustix::io::read(tap, &mut self.buffer[..]) {
                Ok(len) if len >= HEADER_LEN => return Read::Frame(len),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Read::Nothing,
                Err(error) => {
                    tracing::debug!(%error, "the interface of a container is gone");
                    return Read::Gone;
                }
            }
        }
    }

    /// Gives the kernel a frame; says whether it took it.
    fn give(&self, frame: &[u8], offload: VirtioNetHeader) -> bool {
        let Some(tap) = &self.tap else { return false };
        let header = offload.encode();
        // Fails when the interface is down, or does not believe the frame.
        rustix::io::writev(tap, &[IoSlice::new(&header[..HEADER_LEN]), IoSlice::new(frame)]).is_ok()
    }
}
