//! The stack's end of the queues.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rtrb::{Consumer, Producer, PushError};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::bell::Bell;
use super::frame::{BufferPool, Return, StackFrame, Tag};
use super::{FROM_STACK, TO_STACK_BYTES};

/// What a stack sleeps for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// Frames.
    Frames,
    /// Frames, and frames of its own that are gone.
    FramesAndRoom,
}

/// Whether a stack may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Armed {
    /// The descriptor will be readable when there is something to do.
    Sleep,
    /// There is something to do.
    Ready,
}

/// The queues as they are handed to a new [`StackPort`].
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) received: Consumer<StackFrame>,
    pub(super) read: Producer<Return>,
    pub(super) sent: Producer<StackFrame>,
    pub(super) gone: Consumer<Return>,
    pub(super) worker_bell: Arc<Bell>,
    pub(super) frame_bell: Arc<Bell>,
    pub(super) gone_bell: Arc<Bell>,
    pub(super) owns: Arc<AtomicBool>,
}

/// A stack's connection to its port. `Send`; dropping it does not detach it from the port, which then
/// drops what is sent to it.
///
/// The descriptor ([`AsFd`]) is an eventfd: readable once the worker rang. Who watches it
/// edge-triggered never has to read it.
#[derive(Debug)]
pub struct StackPort {
    ends: Ends,
    pool: BufferPool,
    /// Frames sent and not yet reported as gone.
    on_the_way: usize,
    unannounced: bool,
    /// What [`StackPort::owns_address`] answered last.
    owned: bool,
}

impl StackPort {
    pub(super) fn new(ends: Ends) -> Self {
        Self { ends, pool: BufferPool::default(), on_the_way: 0, unannounced: false, owned: true }
    }

    /// The next frame for the stack. Give it back with [`StackPort::recycle`]; as long as many are kept,
    /// no further ones come.
    #[inline]
    pub fn receive(&mut self) -> Option<StackFrame> {
        self.ends.received.pop().ok()
    }

    /// Whether the endpoint's address is the stack's: no packet client has it. As long as one has, frames
    /// go there, and what the stack sends is dropped. A change wakes a stack that sleeps.
    #[inline]
    pub fn owns_address(&mut self) -> bool {
        self.owned = self.ends.owns.load(Ordering::Acquire);
        self.owned
    }

    /// Gives back a frame that was received.
    #[inline]
    pub fn recycle(&mut self, frame: StackFrame) {
        // As many as were received, so there is room.
        let _ = self.ends.read.push(Return::of(frame));
    }

    /// Whether [`StackPort::send`] will take a frame.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.on_the_way < FROM_STACK
    }

    /// Frames that [`StackPort::send`] will take one after the other.
    #[inline]
    pub fn room(&self) -> usize {
        FROM_STACK - self.on_the_way
    }

    /// A frame of `len` bytes to fill in, at most [`StackFrame::MAX_LEN`].
    #[inline]
    pub fn new_frame(&mut self, len: usize) -> StackFrame {
        self.pool.frame(len)
    }

    /// Keeps the buffer of a frame of [`StackPort::new_frame`] that is not sent after all.
    pub fn discard(&mut self, frame: StackFrame) {
        if let Some(buffer) = Return::of(frame).buffer {
            self.pool.rest(buffer);
        }
    }

    /// Sends a frame; the worker sees it at once if it is awake, and after [`StackPort::flush`] in any
    /// case. [`StackPort::gone`] yields `tag` when the frame has reached its destination or was dropped.
    ///
    /// # Errors
    /// The frame, when too many are on the way.
    #[inline]
    pub fn send(&mut self, mut frame: StackFrame, tag: Tag) -> Result<(), StackFrame> {
        if !self.has_room() {
            return Err(frame);
        }
        frame.tag = tag;
        self.ends.sent.push(frame).map_err(|PushError::Full(frame)| frame)?;
        self.on_the_way += 1;
        self.unannounced = true;
        Ok(())
    }

    /// The tag of a frame that has left the worker, one per frame.
    #[inline]
    pub fn gone(&mut self) -> Option<Tag> {
        let gone = self.ends.gone.pop().ok()?;
        if let Some(buffer) = gone.buffer {
            self.pool.rest(buffer);
        }
        self.on_the_way -= 1;
        Some(gone.tag)
    }

    /// Wakes the worker if it sleeps and frames were sent.
    #[inline]
    pub fn flush(&mut self) {
        if std::mem::take(&mut self.unannounced) {
            self.ends.worker_bell.ring();
        }
    }

    /// Asks to be woken. After [`Armed::Sleep`] the caller may sleep on the descriptor, and calls
    /// [`StackPort::disarm`] when it is awake again.
    pub fn arm(&mut self, what: WaitFor) -> Armed {
        let Ends { received, gone, frame_bell, gone_bell, owns, .. } = &self.ends;
        let (frames_seen, gone_seen) = (frame_bell.seen(), gone_bell.seen());
        let room = what == WaitFor::FramesAndRoom;
        let idle = received.is_empty()
            && (!room || gone.is_empty())
            && frame_bell.arm(frames_seen)
            && (!room || gone_bell.arm(gone_seen))
            // Looked at last: it may have changed before the bell was armed.
            && owns.load(Ordering::Acquire) == self.owned;
        if !idle {
            self.disarm();
            return Armed::Ready;
        }
        Armed::Sleep
    }

    /// Says that the stack is awake.
    pub fn disarm(&mut self) {
        self.ends.frame_bell.disarm();
        self.ends.gone_bell.disarm();
    }

    /// Sleeps until there is something to do, at most for `timeout`.
    ///
    /// # Errors
    /// The kernel's, other than an interruption by a signal.
    pub fn wait(&mut self, what: WaitFor, timeout: Option<Duration>) -> rustix::io::Result<()> {
        if self.arm(what) == Armed::Ready {
            return Ok(());
        }
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut watched = [PollFd::new(&*self.ends.frame_bell, PollFlags::IN)];
        let outcome = rustix::event::poll(&mut watched, timeout.as_ref());
        self.disarm();
        match outcome {
            Ok(0) | Err(Errno::INTR) => Ok(()),
            Ok(_) => {
                let mut count = [0; 8];
                // Not blocking: read by nobody else.
                rustix::io::read(self.as_fd(), &mut count).map(drop)
            }
            Err(errno) => Err(errno),
        }
    }

    /// Bytes that may wait for the stack; a window of all its connections together that is larger may
    /// lose frames.
    pub const MAX_WAITING: usize = TO_STACK_BYTES;
}

impl AsFd for StackPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ends.frame_bell.as_fd()
    }
}
