//! Datagrams that the kernel cuts on the way out (`UDP_SEGMENT`) and merges on the way in (`UDP_GRO`; udp(7)).

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::messages::{BATCH, Control, Incoming, Outgoing, Senders, enable, receive};

/// Room for the largest datagram, and for merged ones.
const STRIDE: usize = 1 << 16;

/// What was received into one buffer: datagrams of one sender behind each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// Who sent it; `None` when the kernel does not say.
    pub(crate) source: Option<IpAddr>,
    /// Bytes of each datagram but the last; at least 1.
    pub(crate) segment: usize,
    /// It was longer than the buffer.
    pub(crate) truncated: bool,
}

/// A message to `to`; `segment` has the kernel cut it into datagrams of so many bytes.
pub(super) fn outgoing(to: SocketAddr, bytes: &[u8], segment: Option<u16>) -> Outgoing<'_> {
    let cut = |bytes: u16| Control::of(libc::SOL_UDP, libc::UDP_SEGMENT, &bytes.to_ne_bytes());
    Outgoing { to, bytes, control: segment.map(cut) }
}

/// Room for a batch of what comes.
#[derive(Debug)]
pub(super) struct Inbox {
    /// Untouched ones cost no memory.
    buffers: Box<[u8]>,
    messages: [Incoming; BATCH],
    count: usize,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let buffers = vec![0; BATCH * STRIDE].into_boxed_slice();
        Self { buffers, messages: [Incoming::EMPTY; BATCH], count: 0 }
    }

    /// Has the kernel merge datagrams of one flow that come to a socket.
    pub(super) fn merge(socket: BorrowedFd<'_>) -> Result<(), Errno> {
        enable(socket, libc::SOL_UDP, libc::UDP_GRO)
    }

    /// Receives what waits, at most a batch; `true` when more may wait. That nothing waits is no error.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<bool, Errno> {
        let Self { buffers, messages, count } = self;
        *count = 0;
        match receive(socket, Senders::Named, buffers, STRIDE, messages) {
            Ok(received) => *count = received,
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
        Ok(self.count == BATCH)
    }

    /// What was received, and its bytes.
    pub(super) fn datagrams(&mut self) -> impl Iterator<Item = (Datagram, &mut [u8])> {
        let buffers = self.buffers.chunks_exact_mut(STRIDE);
        self.messages[..self.count].iter().zip(buffers).map(|(message, buffer)| {
            let Incoming { name, control, length } = message;
            let datagram = Datagram {
                source: name.ip(),
                segment: merged(control).unwrap_or(*length).max(1),
                truncated: *length > buffer.len(),
            };
            (datagram, &mut buffer[..(*length).min(STRIDE)])
        })
    }
}

/// The length of the datagrams that the kernel merged, if it did.
fn merged(control: &Control) -> Option<usize> {
    let data = control.data(libc::SOL_UDP, libc::UDP_GRO)?;
    let size = i32::from_ne_bytes(*data.first_chunk()?);
    usize::try_from(size).ok().filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lengths_that_can_be_are_those_of_merged_datagrams() {
        let said = |data: &[u8]| merged(&Control::of(libc::SOL_UDP, libc::UDP_GRO, data));
        assert_eq!(said(&1400_i32.to_ne_bytes()), Some(1400));
        for none in [&0_i32.to_ne_bytes()[..], &(-1_i32).to_ne_bytes(), &[1, 2]] {
            assert_eq!(said(none), None, "{none:?}");
        }
        assert_eq!(merged(&Control::EMPTY), None);
    }
}
