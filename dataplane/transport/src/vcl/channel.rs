//! The socket between the agent and the process: messages, and descriptors that come along. Nothing here
//! waits.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::wire::MESSAGE_BYTES;

/// Descriptors that come with a message at most: a session's socket and its memory.
const MOST_DESCRIPTORS: usize = 2;

/// Messages that wait at most for the other side to take them. Each connection and each listener has one or
/// two under way.
const MOST_WAITING: usize = 1 << 17;

/// A message on its way.
#[derive(Debug)]
struct Outgoing {
    bytes: [u8; MESSAGE_BYTES],
    descriptors: Vec<Arc<OwnedFd>>,
}

/// A message that came.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// The other side is gone, or does not take what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// One end of the socket.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
    waiting: VecDeque<Outgoing>,
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Channel {
    /// Takes one end of a pair of sequenced packets.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, waiting: VecDeque::new() }
    }

    /// Sends a message, now or as soon as there is room.
    ///
    /// # Errors
    /// [`Gone`].
    pub(crate) fn send(
        &mut self,
        bytes: [u8; MESSAGE_BYTES],
        descriptors: Vec<Arc<OwnedFd>>,
    ) -> Result<(), Gone> {
        if self.waiting.len() >= MOST_WAITING {
            return Err(Gone);
        }
        self.waiting.push_back(Outgoing { bytes, descriptors });
        self.flush()
    }

    /// Sends what waits, as far as there is room.
    ///
    /// # Errors
    /// [`Gone`].
    pub(crate) fn flush(&mut self) -> Result<(), Gone> {
        while let Some(next) = self.waiting.front() {
            match next.send(&self.socket) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }

    /// The next message, if one is there.
    ///
    /// # Errors
    /// [`Gone`].
    pub(crate) fn receive(&mut self) -> Result<Option<Incoming>, Gone> {
        let mut bytes = vec![0; MESSAGE_BYTES + 1];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received =
            recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags);
        match received {
            Ok(received) if received.bytes == 0 => Err(Gone),
            Ok(received) => {
                bytes.truncate(received.bytes);
                let rights = control.drain().filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                    _ => None,
                });
                Ok(Some(Incoming { bytes, descriptors: rights.flatten().collect() }))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(_) => Err(Gone),
        }
    }
}

impl Outgoing {
    fn send(&self, socket: &OwnedFd) -> rustix::io::Result<()> {
        let descriptors: Vec<_> = self.descriptors.iter().map(|it| it.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            let fits = control.push(SendAncillaryMessage::ScmRights(&descriptors));
            debug_assert!(fits, "there are no more than there is room for");
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendmsg(socket, &[IoSlice::new(&self.bytes)], &mut control, flags).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn pair() -> (Channel, Channel) {
        let flags = SocketFlags::CLOEXEC;
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        (Channel::new(a), Channel::new(b))
    }

    #[test]
    fn messages_and_descriptors_keep_their_order_however_full_the_socket_is() {
        let (mut here, mut there) = pair();
        let count = 2000u32;
        for number in 0..count {
            let mut bytes = [0; MESSAGE_BYTES];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            let sent = if number % 100 == 0 {
                vec![Arc::new(rustix::io::fcntl_dupfd_cloexec(&here.socket, 0).unwrap())]
            } else {
                Vec::new()
            };
            here.send(bytes, sent).unwrap();
        }
        assert!(!here.waiting.is_empty(), "the socket is smaller");
        for number in 0..count {
            let message = loop {
                here.flush().unwrap();
                if let Some(message) = there.receive().unwrap() {
                    break message;
                }
            };
            assert_eq!(message.bytes.len(), MESSAGE_BYTES);
            assert_eq!(message.bytes[..4], number.to_le_bytes());
            assert_eq!(message.descriptors.len(), usize::from(number % 100 == 0));
        }
        assert!(there.receive().unwrap().is_none());
    }

    #[test]
    fn the_end_of_the_other_side_is_seen() {
        let (mut here, there) = pair();
        drop(there);
        assert_eq!(here.receive().err(), Some(Gone));
        assert_eq!(here.send([0; MESSAGE_BYTES], Vec::new()), Err(Gone));
    }
}
