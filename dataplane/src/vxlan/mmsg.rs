//! Many datagrams in one system call (Linux `sendmmsg`, `recvmmsg`), with segmentation by the kernel on the way
//! out (`UDP_SEGMENT`) and merged by it on the way in (`UDP_GRO`; udp(7)).
//!
//! Both are non-blocking, and the kernel keeps nothing of what a call lends it.

#![allow(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// Messages in one call.
pub(super) const BATCH: usize = 32;

/// One message to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    /// To whom; of the socket's family.
    pub(super) to: SocketAddr,
    /// What.
    pub(super) bytes: &'a [u8],
    /// Has the kernel cut it into datagrams of so many bytes.
    pub(super) segment: Option<u16>,
}

/// What was received into one buffer: datagrams of one sender behind each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// Who sent it; `None` when the kernel does not say.
    pub(crate) source: Option<IpAddr>,
    /// Bytes received.
    pub(crate) length: usize,
    /// Bytes of each datagram but the last; at least 1.
    pub(crate) segment: usize,
    /// It was longer than the buffer.
    pub(crate) truncated: bool,
}

/// Sends messages, each to its place, and reports what became of each, in order.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    messages: &[Outgoing<'_>],
    mut report: impl FnMut(usize, Result<(), Errno>),
) {
    for (batch, messages) in messages.chunks(BATCH).enumerate() {
        let mut names = [Name::EMPTY; BATCH];
        let mut controls = [Control::EMPTY; BATCH];
        let mut vectors = [EMPTY_VECTOR; BATCH];
        let mut headers = [EMPTY_HEADER; BATCH];
        for (at, message) in messages.iter().enumerate() {
            names[at] = Name::of(message.to);
            vectors[at] = libc::iovec {
                // The kernel only reads it.
                iov_base: message.bytes.as_ptr().cast_mut().cast(),
                iov_len: message.bytes.len(),
            };
            let header = &mut headers[at].msg_hdr;
            header.msg_name = (&raw mut names[at]).cast();
            header.msg_namelen = Name::length_of(message.to);
            header.msg_iov = &raw mut vectors[at];
            header.msg_iovlen = 1;
            if let Some(segment) = message.segment {
                controls[at] = Control::segment(segment);
                header.msg_control = (&raw mut controls[at]).cast();
                header.msg_controllen = size_of::<Control>();
            }
        }
        let mut next = 0;
        while next < messages.len() {
            let left = &mut headers[next..messages.len()];
            // SAFETY: each header names a name, a vector and maybe control bytes of the arrays above, and the
            // bytes of a message, all of which outlive the call and are only read by it; `left` has as many
            // headers as said.
            let sent = unsafe {
                let count = u32::try_from(left.len()).unwrap_or(0);
                libc::sendmmsg(socket.as_raw_fd(), left.as_mut_ptr(), count, libc::MSG_DONTWAIT)
            };
            // A failure is that of the first message; those before it are reported by a count.
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => {
                    (next..next + sent).for_each(|at| report(batch * BATCH + at, Ok(())));
                    next += sent;
                }
                _ => match last_error() {
                    Errno::INTR => {}
                    error => {
                        report(batch * BATCH + next, Err(error));
                        next += 1;
                    }
                },
            }
        }
    }
}

/// Receives into each `stride` bytes of `buffers`; says what, in order. At most [`BATCH`] at a time.
///
/// # Errors
/// The kernel's. That nothing waits is no error.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    buffers: &mut [u8],
    stride: usize,
    received: &mut Vec<Datagram>,
) -> Result<(), Errno> {
    received.clear();
    let mut names = [Name::EMPTY; BATCH];
    let mut controls = [Control::EMPTY; BATCH];
    let mut vectors = [EMPTY_VECTOR; BATCH];
    let mut headers = [EMPTY_HEADER; BATCH];
    let mut room = 0;
    for (at, buffer) in buffers.chunks_exact_mut(stride.max(1)).take(BATCH).enumerate() {
        vectors[at] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let header = &mut headers[at].msg_hdr;
        header.msg_name = (&raw mut names[at]).cast();
        header.msg_namelen = NAME_LENGTH;
        header.msg_iov = &raw mut vectors[at];
        header.msg_iovlen = 1;
        header.msg_control = (&raw mut controls[at]).cast();
        header.msg_controllen = size_of::<Control>();
        room = at + 1;
    }
    let taken = loop {
        // SAFETY: each header names a chunk of its own of `buffers`, which is borrowed mutably, and places of the
        // arrays above; all outlive the call, and `headers` has at least `room` of them.
        let taken = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                u32::try_from(room).unwrap_or(0),
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        match (usize::try_from(taken), last_error()) {
            (Ok(taken), _) => break taken,
            (Err(_), Errno::INTR) => {}
            (Err(_), Errno::AGAIN) => return Ok(()),
            (Err(_), error) => return Err(error),
        }
    };
    received.extend((0..taken).map(|at| {
        let length = headers[at].msg_len as usize;
        Datagram {
            source: names[at].ip(),
            length,
            segment: controls[at]
                .merged(headers[at].msg_hdr.msg_controllen)
                .unwrap_or(length)
                .max(1),
            truncated: headers[at].msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }));
    Ok(())
}

/// Has the kernel merge datagrams of one flow.
///
/// # Errors
/// The kernel's.
pub(super) fn merge(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    // SAFETY: `UDP_GRO` reads an `int`, whose place and size these are.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            (&raw const on).cast(),
            u32::try_from(size_of::<libc::c_int>()).unwrap_or(0),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Bytes of the longer address, `struct sockaddr_in6`.
const NAME_LENGTH: libc::socklen_t = 28;

/// A socket address as the kernel has it: `struct sockaddr_in` or `struct sockaddr_in6`.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
struct Name([u8; NAME_LENGTH as usize]);

impl Name {
    const EMPTY: Self = Self([0; NAME_LENGTH as usize]);

    fn of(address: SocketAddr) -> Self {
        let mut name = Self::EMPTY;
        let family = if address.is_ipv4() { AF_INET } else { AF_INET6 };
        name.0[..2].copy_from_slice(&family.to_ne_bytes());
        name.0[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address.ip() {
            IpAddr::V4(ip) => name.0[4..8].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => name.0[8..24].copy_from_slice(&ip.octets()),
        }
        name
    }

    fn length_of(address: SocketAddr) -> libc::socklen_t {
        if address.is_ipv4() { 16 } else { NAME_LENGTH }
    }

    fn ip(&self) -> Option<IpAddr> {
        let family = u16::from_ne_bytes([self.0[0], self.0[1]]);
        match family {
            AF_INET => self.0[4..].first_chunk::<4>().map(|it| Ipv4Addr::from(*it).into()),
            AF_INET6 => self.0[8..]
                .first_chunk::<16>()
                .map(|it| IpAddr::from(Ipv6Addr::from(*it)).to_canonical()),
            _ => None,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "2 and 10")]
const AF_INET: u16 = libc::AF_INET as u16;
#[expect(clippy::cast_possible_truncation, reason = "2 and 10")]
const AF_INET6: u16 = libc::AF_INET6 as u16;

/// Room for one control message with at most eight bytes.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_HEADER + 8]);

/// `struct cmsghdr`: its length with what follows, level and type.
const CONTROL_HEADER: usize = size_of::<libc::cmsghdr>();
const _: () = assert!(CONTROL_HEADER == size_of::<usize>() + 8);

impl Control {
    const EMPTY: Self = Self([0; CONTROL_HEADER + 8]);

    /// The length that the kernel is to cut to.
    fn segment(bytes: u16) -> Self {
        let mut control = Self::EMPTY;
        let level = size_of::<usize>();
        control.0[..level].copy_from_slice(&(CONTROL_HEADER + 2).to_ne_bytes());
        control.0[level..level + 4].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
        control.0[level + 4..level + 8].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
        control.0[CONTROL_HEADER..CONTROL_HEADER + 2].copy_from_slice(&bytes.to_ne_bytes());
        control
    }

    /// The length of the datagrams that the kernel merged, if it did; it wrote `length` bytes.
    fn merged(&self, length: usize) -> Option<usize> {
        let level = size_of::<usize>();
        let word = |at: usize| self.0[at..].first_chunk::<4>().map(|it| i32::from_ne_bytes(*it));
        let is_merged = length >= CONTROL_HEADER + 4
            && word(level) == Some(libc::SOL_UDP)
            && word(level + 4) == Some(libc::UDP_GRO);
        usize::try_from(word(CONTROL_HEADER)?).ok().filter(|size| is_merged && *size > 0)
    }
}

const EMPTY_VECTOR: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

// SAFETY: a `struct mmsghdr` of zeros is one without name, data and control bytes.
const EMPTY_HEADER: libc::mmsghdr = unsafe { std::mem::zeroed() };
