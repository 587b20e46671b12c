//! A port whose station is a network stack of this process.
//!
//! Frames cross between the worker and the stack's thread through two bounded queues, one each way,
//! lock-free, with one producer and one consumer. A frame is an owned buffer; its consumer gives the
//! buffer back through a third queue, so in steady state nothing is allocated. A frame between two
//! stacks of one worker changes hands without a copy.
//!
//! Neither side makes a system call while the other one is awake: whoever runs out of work arms its
//! bell, looks once more and sleeps, and only then does the other side write the descriptor.
//!
//! Frames carry what the sender left undone (checksum, segmentation) beside them, as on a TAP. A frame
//! that a stack sends is dropped only as a last resort: TCP stacks in user space wait long before they
//! repeat (smoltcp: a second). While the destination has no room, the frame waits at the worker and its
//! tag stays with it; the stack is told tag by tag what has left and can stop sending to a neighbour that
//! does not read, without stopping for the others.

#![forbid(unsafe_code)]

mod bell;
mod frame;
mod port;
mod queue;

#[cfg(test)]
mod tests;

pub use frame::{StackFrame, Tag};
pub use port::{Armed, StackPort, WaitFor};

pub(crate) use frame::{BufferPool, Return};
pub(crate) use queue::{StackInput, StackOutput, connect};

/// Frames that may be on the way from a stack: sent, and not yet reported as gone.
pub(crate) const FROM_STACK: usize = 2048;
/// Frames that may wait for a stack.
pub(crate) const TO_STACK: usize = 1024;
/// Bytes that may wait for a stack.
pub(crate) const TO_STACK_BYTES: usize = 16 << 20;
