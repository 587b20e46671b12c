//! Reading bursts of frames.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::ring::read_frame;
use super::{Backend, HEADER_LEN, IoMode, Outcome};
use crate::offload::{BadOffload, VirtioNetHeader};

/// Reads bursts of frames from any TAP queue; one per worker thread.
#[derive(Debug)]
pub struct TapReader {
    backend: Backend,
    /// `batch` buffers of `stride` bytes. Untouched ones cost no memory.
    buffers: Box<[u8]>,
    stride: usize,
    batch: usize,
    /// Of the last burst, in order; absent before the read ran.
    outcomes: Vec<Option<Outcome>>,
}

impl TapReader {
    /// A reader of bursts of up to `batch` frames, each with its header at most `buffer_len` bytes
    /// long ([`BUFFER_LEN`](super::BUFFER_LEN) takes every frame).
    pub fn new(batch: usize, buffer_len: usize) -> Self {
        Self::with_backend(Backend::best(batch.max(1)), batch, buffer_len)
    }

    /// The same with one system call per frame, whatever the kernel offers.
    pub fn with_syscalls(batch: usize, buffer_len: usize) -> Self {
        Self::with_backend(Backend::Syscall(None), batch, buffer_len)
    }

    /// How it reads.
    pub fn mode(&self) -> IoMode {
        self.backend.mode()
    }

    /// Why it does not use `io_uring`, when it wanted to.
    pub fn fallback_reason(&self) -> Option<&io::Error> {
        self.backend.fallback_reason()
    }

    /// Reads what waits in `queue`, at most `max` frames, in their order, without blocking.
    ///
    /// # Errors
    /// The kernel's, when the first read fails: the device is gone (`EBADFD`), say. An empty queue
    /// is no error.
    pub fn read_burst(&mut self, queue: BorrowedFd<'_>, max: usize) -> io::Result<Burst<'_>> {
        let max = max.min(self.batch);
        self.outcomes.clear();
        // Most queues hold nothing or one frame, and a read from an empty queue costs something:
        // begin small, then go for the rest.
        let mut want = FIRST_READS;
        let mut drained = false;
        while !drained && self.outcomes.len() < max {
            let from = self.outcomes.len();
            self.read_more(queue, want.min(max - from));
            drained = self.outcomes[from..].iter().any(|outcome| !matches!(outcome, Some(Ok(_))));
            want *= 4;
        }
        if let Some(Some(Err(error))) = self.outcomes.first()
            && *error != Errno::AGAIN
        {
            return Err((*error).into());
        }
        let frames = self.buffers.chunks_exact_mut(self.stride).zip(self.outcomes.iter());
        Ok(Burst { frames, drained })
    }

    fn with_backend(backend: Backend, batch: usize, buffer_len: usize) -> Self {
        let batch = batch.max(1);
        let stride = buffer_len.max(HEADER_LEN).next_multiple_of(CACHE_LINE);
        let buffers = vec![0; batch * stride].into_boxed_slice();
        Self { backend, buffers, stride, batch, outcomes: Vec::with_capacity(batch) }
    }

    /// Reads into the next `count` buffers.
    fn read_more(&mut self, queue: BorrowedFd<'_>, count: usize) {
        let from = self.outcomes.len();
        self.outcomes.resize(from + count, None);
        let buffers = &mut self.buffers[from * self.stride..];
        let outcomes = &mut self.outcomes[from..];
        if let Backend::Ring(ring) = &mut self.backend {
            match ring.read(queue, buffers, self.stride, outcomes) {
                Ok(()) => return,
                Err(error) => self.backend = Backend::Syscall(Some(error)),
            }
        }
        for (buffer, outcome) in buffers.chunks_exact_mut(self.stride).zip(outcomes) {
            if outcome.is_none() {
                let result = read_frame(queue, buffer);
                *outcome = Some(result);
                if result.is_err() {
                    break;
                }
            }
        }
    }
}

/// The frames of a burst, in the order of the queue.
#[derive(Debug)]
pub struct Burst<'a> {
    frames:
        std::iter::Zip<std::slice::ChunksExactMut<'a, u8>, std::slice::Iter<'a, Option<Outcome>>>,
    drained: bool,
}

impl Burst<'_> {
    /// Whether the queue was seen empty; otherwise more frames may wait in it.
    pub fn is_drained(&self) -> bool {
        self.drained
    }
}

impl<'a> Iterator for Burst<'a> {
    /// What the frame still needs, and the frame from its Ethernet header on.
    type Item = (Result<VirtioNetHeader, BadOffload>, &'a mut [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (buffer, outcome) = self.frames.next()?;
            let Some(Ok(length)) = outcome else { continue };
            let (header, frame) = buffer.split_at_mut(HEADER_LEN);
            let length = length.saturating_sub(HEADER_LEN).min(frame.len());
            return Some((VirtioNetHeader::parse(header), &mut frame[..length]));
        }
    }
}

const FIRST_READS: usize = 4;
const CACHE_LINE: usize = 64;
