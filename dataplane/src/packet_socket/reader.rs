//! Reading bursts of frames.

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::PacketSocket;
use super::unpack::{HEADER, unpack};
use crate::messages::{BATCH, Incoming, Senders, receive};
use crate::offload::{BadOffload, VirtioNetHeader};

/// Reads bursts of frames from any packet socket; one per worker thread.
#[derive(Debug)]
pub struct PacketReader {
    /// [`BATCH`] buffers of `stride` bytes. Untouched ones cost no memory.
    buffers: Box<[u8]>,
    stride: usize,
    messages: [Incoming; BATCH],
}

impl PacketReader {
    /// A reader of frames that are, with their header, at most `buffer_len` bytes long
    /// ([`BUFFER_LEN`](crate::tap::BUFFER_LEN) takes every frame but those of "big TCP").
    pub fn new(buffer_len: usize) -> Self {
        let stride = buffer_len.max(HEADER).next_multiple_of(CACHE_LINE);
        Self {
            buffers: vec![0; BATCH * stride].into_boxed_slice(),
            stride,
            messages: [Incoming::EMPTY; BATCH],
        }
    }

    /// Reads what waits, in order, without blocking.
    ///
    /// # Errors
    /// The kernel's; the link is gone, say. Nothing to read is no error, and neither is a link that is down.
    pub fn read_burst(&mut self, socket: &PacketSocket) -> io::Result<PacketBurst<'_>> {
        let Self { buffers, stride, messages } = self;
        let received = receive(socket.as_fd(), Senders::Unnamed, buffers, *stride, messages);
        let (count, end) = match received {
            // Also of a batch that ended early: the reason may be an error, which the next call says.
            Ok(count) => (count, End::More),
            Err(Errno::AGAIN) => (0, End::Drained),
            // A frame whose offloads the header cannot name was taken out of the queue (`packet_rcv_vnet`).
            Err(Errno::INVAL) => (0, End::Unnamed),
            // Said once; frames that came before still wait.
            Err(Errno::NETDOWN) => (0, End::More),
            Err(errno) => return Err(errno.into()),
        };
        let messages = buffers.chunks_exact_mut(*stride).zip(&*messages);
        Ok(PacketBurst { messages: messages.take(count), end })
    }
}

/// Why a burst ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Drained,
    More,
    /// One frame is lost, and more may wait.
    Unnamed,
}

type Messages<'a> =
    std::iter::Zip<std::slice::ChunksExactMut<'a, u8>, std::slice::Iter<'a, Incoming>>;

/// The frames of a burst, in the order of the queue.
#[derive(Debug)]
pub struct PacketBurst<'a> {
    messages: std::iter::Take<Messages<'a>>,
    end: End,
}

impl PacketBurst<'_> {
    /// Whether the queue was seen empty; otherwise more frames may wait in it.
    pub fn is_drained(&self) -> bool {
        self.end == End::Drained
    }

    /// Whether a frame was lost because its offloads cannot be said in its header.
    pub fn has_unnamed_offload(&self) -> bool {
        self.end == End::Unnamed
    }
}

impl<'a> Iterator for PacketBurst<'a> {
    /// What the frame still needs, and the frame from its Ethernet header on.
    type Item = (Result<VirtioNetHeader, BadOffload>, &'a mut [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (buffer, message) = self.messages.next()?;
        Some(unpack(buffer, message.length, &message.control))
    }
}

const CACHE_LINE: usize = 64;
