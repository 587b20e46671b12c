//! Sending a datagram.

use alloc::sync::Arc;
use core::ffi::c_int;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;

use rustix::io::Errno;
use session::datagram::Mtu;

use super::Datagram;
use super::flow::{Flow, Sent};
use super::flows::Route;
use super::whole::{Verdict, kernels_mtu};
use crate::buffers::Buffers;
use crate::connect::{as_sent, is_nonblocking, leaves_the_host};

/// What becomes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is sent, or failed.
    Answer(Result<usize, Errno>),
    /// The kernel shall send it.
    Kernel,
}

/// Flags that mean nothing to a flow, or what it does.
const FLAGS: c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | libc::MSG_CONFIRM;

/// Sends to `to`, or to the connected peer.
pub(crate) fn send(
    fd: c_int,
    socket: &Arc<Datagram>,
    to: Option<SocketAddr>,
    buffers: &Buffers<'_>,
    flags: c_int,
) -> Outcome {
    let ended = socket.write_ended.load(Ordering::Acquire);
    if flags & !FLAGS != 0 || ended || !socket.may_have_flows() {
        return Outcome::Kernel;
    }
    let connected = socket.peer();
    let peer = match to.map(|to| as_sent(to, socket.family)).or(connected) {
        Some(peer) if peer.port() != 0 && leaves_the_host(peer.ip()) => peer,
        _ => return Outcome::Kernel,
    };
    if connected.is_some() && socket.take_refused() {
        return Outcome::Answer(Err(Errno::CONNREFUSED));
    }
    let may_block = || {
        flags & libc::MSG_DONTWAIT == 0 && is_nonblocking(fd).is_ok_and(|nonblocking| !nonblocking)
    };
    // A flow that ended is looked up again, once.
    for _ in 0..2 {
        match socket.route(fd, peer) {
            Route::Flow(flow) if socket.is_too_long(&flow, buffers.len()) => {
                return Outcome::Answer(Err(Errno::MSGSIZE));
            }
            Route::Flow(flow) => match flow.send(buffers, may_block) {
                Sent::Done | Sent::Dropped => return Outcome::Answer(Ok(buffers.len())),
                Sent::TooLong => return Outcome::Kernel,
                Sent::Gone => {
                    socket.flow_ended(&flow);
                    if connected.is_some() && socket.take_refused() {
                        return Outcome::Answer(Err(Errno::CONNREFUSED));
                    }
                }
            },
            Route::Nobody => {
                if connected == Some(peer) {
                    socket.refused.store(true, Ordering::Release);
                }
                return Outcome::Answer(Ok(buffers.len()));
            }
            Route::Kernel | Route::Unknown => return Outcome::Kernel,
        }
    }
    Outcome::Kernel
}

impl Datagram {
    /// Whether a datagram through this flow would have to be cut, and must not be. Straight to another program there
    /// is no bound but the one that the kernel would have.
    fn is_too_long(&self, flow: &Flow, len: usize) -> bool {
        let (peer, told) = (flow.remote(), flow.told_mtu());
        match self.whole.judge(peer.is_ipv4(), len, told) {
            Verdict::Fits => false,
            Verdict::TooLong => true,
            Verdict::Unknown => {
                let kernels = kernels_mtu(peer).map(|mtu| Mtu { path: mtu, own: mtu });
                self.whole.judge(peer.is_ipv4(), len, kernels) == Verdict::TooLong
            }
        }
    }

    /// Whether a datagram to the connected peer found nobody, which is told once.
    pub(crate) fn take_refused(&self) -> bool {
        self.refused.swap(false, Ordering::AcqRel)
    }
}
