//! The worker's ends of the queues.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use super::bell::{Bell, descriptor};
use super::frame::{BufferPool, Return, StackFrame};
use super::port::StackPort;
use super::{FROM_STACK, TO_STACK, TO_STACK_BYTES};

/// Where a worker takes the frames of a stack from.
#[derive(Debug)]
pub(crate) struct StackInput {
    frames: Consumer<StackFrame>,
    bell: Arc<Bell>,
}

impl StackInput {
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<StackFrame> {
        self.frames.pop().ok()
    }

    /// Asks to be woken; `false` when there are frames.
    pub(crate) fn arm(&self) -> bool {
        let seen = self.bell.seen();
        if !self.frames.is_empty() {
            return false;
        }
        self.bell.arm(seen)
    }

    pub(crate) fn disarm(&self) {
        self.bell.disarm();
    }
}

impl AsFd for StackInput {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Where a worker puts the frames for a stack, and tells it which of its own are gone.
#[derive(Debug)]
pub(crate) struct StackOutput {
    frames: Producer<StackFrame>,
    /// Buffers of frames that the stack has read.
    read: Consumer<Return>,
    /// What became of the stack's frames.
    gone: Producer<Return>,
    frame_bell: Arc<Bell>,
    gone_bell: Arc<Bell>,
    /// Bytes of the frames that wait for the stack.
    waiting: usize,
    new_frames: bool,
    new_gone: bool,
    /// The stack owns the address; both ends have it.
    owns: Arc<AtomicBool>,
}

impl StackOutput {
    /// Whether the stack is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.frames.is_abandoned()
    }

    /// Hands a frame over; gives it back when there is no room.
    #[inline]
    pub(crate) fn push(
        &mut self,
        frame: StackFrame,
        pool: &mut BufferPool,
    ) -> Result<(), StackFrame> {
        if !self.has_room() {
            self.collect(pool);
            if !self.has_room() {
                return Err(frame);
            }
        }
        let len = frame.bytes().len();
        self.frames.push(frame).map_err(|PushError::Full(frame)| frame)?;
        self.waiting += len;
        self.new_frames = true;
        Ok(())
    }

    /// Whether a frame would be taken, by what was collected last.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.waiting < TO_STACK_BYTES && !self.frames.is_full()
    }

    /// Takes back the buffers of frames that were read.
    #[inline]
    pub(crate) fn collect(&mut self, pool: &mut BufferPool) {
        while let Ok(read) = self.read.pop() {
            self.waiting = self.waiting.saturating_sub(read.len);
            if let Some(buffer) = read.buffer {
                pool.rest(buffer);
            }
        }
    }

    /// Tells the stack whether it owns the endpoint's address, and wakes it if that is news.
    pub(crate) fn set_owner(&mut self, owns: bool) {
        if self.owns.swap(owns, Ordering::AcqRel) != owns {
            self.frame_bell.ring();
        }
    }

    /// Tells the stack that a frame of its own is gone. There is room: the stack never has more frames
    /// on the way than the queue takes.
    #[inline]
    pub(crate) fn report_gone(&mut self, gone: Return) {
        let _ = self.gone.push(gone);
        self.new_gone = true;
    }

    /// Wakes the stack when there is something new for it.
    #[inline]
    pub(crate) fn flush(&mut self) {
        if std::mem::take(&mut self.new_frames) {
            self.frame_bell.ring();
        }
        if std::mem::take(&mut self.new_gone) {
            self.gone_bell.ring();
        }
    }
}

/// All ends of the queues between a worker and a stack.
///
/// # Errors
/// When there are no descriptors left.
pub(crate) fn connect() -> rustix::io::Result<(StackInput, StackOutput, StackPort)> {
    let (from_stack, sent) = RingBuffer::new(FROM_STACK);
    let (gone, is_gone) = RingBuffer::new(FROM_STACK);
    let (to_stack, received) = RingBuffer::new(TO_STACK);
    let (has_read, read) = RingBuffer::new(TO_STACK);
    let worker_bell = Arc::new(Bell::new(descriptor()?));
    let stack_fd = descriptor()?;
    let frame_bell = Arc::new(Bell::new(Arc::clone(&stack_fd)));
    let gone_bell = Arc::new(Bell::new(stack_fd));
    let input = StackInput { frames: sent, bell: Arc::clone(&worker_bell) };
    let owns = Arc::new(AtomicBool::new(true));
    let output = StackOutput {
        frames: to_stack,
        read,
        gone,
        frame_bell: Arc::clone(&frame_bell),
        gone_bell: Arc::clone(&gone_bell),
        waiting: 0,
        new_frames: false,
        new_gone: false,
        owns: Arc::clone(&owns),
    };
    let ends = super::port::Ends {
        received,
        read: has_read,
        sent: from_stack,
        gone: is_gone,
        worker_bell,
        frame_bell,
        gone_bell,
        owns,
    };
    Ok((input, output, StackPort::new(ends)))
}
