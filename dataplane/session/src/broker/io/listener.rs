//! The sockets of a listener, and whether its backlog has room.
//!
//! The backlog is the kernel's queue between the far end, which the broker has, and the near end, which
//! the program reads. The broker sets the send buffer of the far end so that the kernel calls it
//! writable exactly while fewer connections wait than the backlog allows; so one `poll` tells
//! whether there is room and whether the listener is still there, and `epoll` tells when there is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{set_socket_send_buffer_size, set_socket_send_buffer_size_force};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::socket::send;
use crate::broker::core::Room;
use crate::wire::Reply;

/// Connections that may wait at most, whatever a program asks for: Linux's `somaxconn`.
const MOST_WAITING: u32 = 4096;

/// A socket is writable while four times what is queued fits its buffer (`unix_writable`, Linux 6.18).
const WRITABLE_SHARE: usize = 4;

/// The sockets of one listener.
#[derive(Debug)]
pub(super) struct ListenerSockets {
    /// The far end of the program's pair.
    pub(super) far: OwnedFd,
    /// The program's kernel socket.
    pub(super) kernel: Option<Arc<OwnedFd>>,
    /// Cookie of the near end, as the program says.
    pub(super) cookie: u64,
    /// What is waited for on the far end besides its end.
    pub(super) wants_room: bool,
    /// The kernel's queue is left alone until there is room.
    pub(super) kernel_rests: bool,
}

impl ListenerSockets {
    /// Whether a connection can be handed over.
    pub(super) fn room(&self) -> Room {
        room(self.far.as_fd())
    }
}

fn room(far: BorrowedFd<'_>) -> Room {
    let mut polled = [PollFd::from_borrowed_fd(far, PollFlags::OUT)];
    if poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_err() {
        return Room::Full;
    }
    let events = polled[0].revents();
    if events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
        Room::Gone
    } else if events.contains(PollFlags::OUT) {
        Room::Free
    } else {
        Room::Full
    }
}

/// What one waiting connection takes of a send buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weight(usize);

impl Weight {
    /// Finds it out, in bytes: a message's place in the kernel is larger than the message.
    pub(super) fn measure() -> io::Result<Self> {
        const MESSAGES: usize = 8;
        let (near, far) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        for _ in 0..MESSAGES {
            send(&far, &Reply::AcceptKernel, &[])?;
        }
        // The kernel doubles what it is told.
        let (mut low, mut high) = (0, 1 << 20);
        while low + 1 < high {
            let middle = usize::midpoint(low, high);
            set_socket_send_buffer_size_force(&far, middle)
                .or_else(|_| set_socket_send_buffer_size(&far, middle))?;
            if room(far.as_fd()) == Room::Free { high = middle } else { low = middle }
        }
        drop(near);
        Ok(Self((2 * high).div_ceil(WRITABLE_SHARE * MESSAGES)))
    }

    /// Has the far end be writable while at most `backlog` connections wait: like the kernel, which
    /// lets one more wait than it was told.
    pub(super) fn apply(self, far: BorrowedFd<'_>, backlog: u32) -> rustix::io::Result<()> {
        let waiting = backlog.clamp(1, MOST_WAITING) as usize;
        let half = (WRITABLE_SHARE * waiting * self.0).div_ceil(2);
        set_socket_send_buffer_size_force(far, half)
            // Without the privilege the buffer ends at `net.core.wmem_max`, and the backlog too.
            .or_else(|_| set_socket_send_buffer_size(far, half))
    }
}
