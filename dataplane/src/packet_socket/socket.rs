//! Opening packet sockets (Linux `include/uapi/linux/if_packet.h`, `net/packet/af_packet.c`).

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::{
    set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force, socket_error,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::messages::enable;

/// Bytes of frames, as the kernel counts its own memory for them, that may wait for the agent, and as many that
/// may wait for the receiver's kernel. The kernel doubles the number. Memory is used only while frames wait; the
/// default would hold three large segments.
const QUEUE_BYTES: usize = 8 << 20;

/// Why there is no packet socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PacketSocketError {
    /// Missing privilege.
    #[error(
        "not permitted to open a packet socket: run as root or grant the capability CAP_NET_RAW"
    )]
    NotPermitted(#[source] io::Error),
    /// The kernel lacks packet sockets or one of their options.
    #[error(
        "this kernel has no packet sockets with {what}: Linux 4.20 or newer with CONFIG_PACKET has"
    )]
    Unsupported {
        /// What is missing.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Another system call failed.
    #[error("cannot {action} the packet socket of `{link}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The link.
        link: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// A socket that receives what arrives at one link, whoever it is for, and sends by it. Each frame is behind a
/// 10-byte [`VirtioNetHeader`](crate::offload::VirtioNetHeader). Non-blocking, closed on exec.
#[derive(Debug)]
pub struct PacketSocket {
    link: String,
    fd: OwnedFd,
}

impl PacketSocket {
    /// Opens a socket for the link that has this index in the network namespace of the calling thread. `link` is
    /// its name, for people.
    ///
    /// # Errors
    /// [`PacketSocketError`].
    pub fn open(link: &str, index: u32) -> Result<Self, PacketSocketError> {
        if cfg!(target_endian = "big") {
            // The header has the byte order of the machine here, and ours is little endian.
            let source = Errno::OPNOTSUPP.into();
            return Err(PacketSocketError::Unsupported { what: "a little-endian header", source });
        }
        let socket = Self { link: link.to_owned(), fd: open_socket()? };
        // Before it is bound, so that no frame comes in another form.
        socket.enable(libc::PACKET_VNET_HDR, "virtio-net headers")?;
        socket.enable(libc::PACKET_AUXDATA, "VLAN tags")?;
        socket.enable(libc::PACKET_IGNORE_OUTGOING, "PACKET_IGNORE_OUTGOING")?;
        set_socket_recv_buffer_size_force(&socket.fd, QUEUE_BYTES)
            .and_then(|()| set_socket_send_buffer_size_force(&socket.fd, QUEUE_BYTES))
            .map_err(|errno| socket.failed("set the buffers of", errno))?;
        socket.bind(index)?;
        // A link that is down is said so once, to whoever receives or sends next (`packet_do_bind`): a frame that
        // is sent when it is up would be lost for it.
        let _ = socket_error(&socket.fd);
        Ok(socket)
    }

    /// The link's name when the socket was opened.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// Frames that the kernel dropped because too many waited, since the last call.
    pub fn take_lost(&self) -> u64 {
        let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut length = size::<libc::tpacket_stats>();
        // SAFETY: the kernel writes at most `length` bytes to `statistics`, which has as many.
        let outcome = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        if outcome == 0 { statistics.tp_drops.into() } else { 0 }
    }

    fn enable(&self, option: libc::c_int, what: &'static str) -> Result<(), PacketSocketError> {
        enable(self.fd.as_fd(), libc::SOL_PACKET, option)
            .map_err(|errno| PacketSocketError::Unsupported { what, source: errno.into() })
    }

    fn bind(&self, index: u32) -> Result<(), PacketSocketError> {
        let index = i32::try_from(index).map_err(|_| self.failed("bind", Errno::NODEV))?;
        // SAFETY: all bytes zero are a valid address.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = AddressFamily::PACKET.as_raw();
        address.sll_protocol = EVERY_PROTOCOL.to_be();
        address.sll_ifindex = index;
        // SAFETY: the kernel reads as many bytes of the address as it is told that there are.
        let outcome = unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                size::<libc::sockaddr_ll>(),
            )
        };
        if outcome == 0 {
            return Ok(());
        }
        let source = io::Error::last_os_error();
        Err(PacketSocketError::Io { action: "bind", link: self.link.clone(), source })
    }

    fn failed(&self, action: &'static str, errno: Errno) -> PacketSocketError {
        PacketSocketError::Io { action, link: self.link.clone(), source: errno.into() }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `ETH_P_ALL` (`linux/if_ether.h`).
const EVERY_PROTOCOL: u16 = 3;

/// The size of a small structure, as socket calls want it.
#[expect(clippy::cast_possible_truncation, reason = "a few bytes")]
const fn size<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

/// Without a protocol it receives nothing until it is bound.
fn open_socket() -> Result<OwnedFd, PacketSocketError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None).map_err(|errno| match errno {
        Errno::PERM | Errno::ACCESS => PacketSocketError::NotPermitted(errno.into()),
        _ => PacketSocketError::Unsupported { what: "raw frames", source: errno.into() },
    })
}
