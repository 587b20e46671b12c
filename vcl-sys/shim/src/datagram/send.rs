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
use super::whole::Verdict;
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
            Route::Flow(flow) => {
                if let Err(error) = socket.goes_whole(&flow, buffers.len()) {
                    return Outcome::Answer(Err(error));
                }
                match flow.send(buffers, may_block) {
                    Sent::Done | Sent::Dropped => return Outcome::Answer(Ok(buffers.len())),
                    Sent::TooLong => return Outcome::Kernel,
                    Sent::Gone => {
                        socket.flow_ended(&flow);
                        if connected.is_some() && socket.take_refused() {
                            return Outcome::Answer(Err(Errno::CONNREFUSED));
                        }
                    }
                }
            }
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
    /// Refuses a datagram through this flow that would have to be cut, and must not be. Straight to another program
    /// there is no bound but the one that the kernel would have.
    fn goes_whole(&self, flow: &Flow, len: usize) -> Result<(), Errno> {
        let (peer, told) = (flow.remote(), flow.told_mtu());
        let mut verdict = self.whole.judge(peer.is_ipv4(), len, told);
        if verdict == Verdict::Unknown {
            // Nothing is said of what cannot be found out (no descriptor is left): it is for the program to try again.
            let kernels = flow.kernels.mtu(peer).map_err(|_| Errno::NOBUFS)?;
            let kernels = kernels.map(|mtu| Mtu { path: mtu, own: mtu });
            verdict = self.whole.judge(peer.is_ipv4(), len, kernels);
        }
        if verdict == Verdict::TooLong { Err(Errno::MSGSIZE) } else { Ok(()) }
    }

    /// Whether a datagram to the connected peer found nobody, which is told once.
    pub(crate) fn take_refused(&self) -> bool {
        self.refused.swap(false, Ordering::AcqRel)
    }
}
