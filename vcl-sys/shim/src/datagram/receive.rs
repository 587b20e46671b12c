//! Receiving a datagram.

use alloc::sync::Arc;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use libc::pollfd;
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use smallvec::SmallVec;

use super::Datagram;
use super::flow::Got;
use crate::buffers::Buffers;
use crate::clock;
use crate::connect::is_nonblocking;
use crate::raw::borrow;
use crate::signals;
use crate::wait::PATIENCE;

/// Calls that found something in a flow before the kernel's socket and the hub are looked at, too.
const KERNEL_EVERY: u32 = 16;
static CALLS: AtomicU32 = AtomicU32::new(0);

/// Sleeps of several threads on one socket are cut: a token wakes one of them.
const SHARED_SLEEP: Duration = Duration::from_millis(20);

/// Receives from whoever has something. `native` receives from the kernel's socket of this number with these flags.
pub(crate) fn receive(
    mut fd: c_int,
    socket: &Arc<Datagram>,
    buffers: &Buffers<'_>,
    flags: c_int,
    mut native: impl FnMut(c_int, c_int) -> Result<usize, Errno>,
) -> Result<Got, Errno> {
    let mut kernel =
        |fd, flags| native(fd, flags).map(|bytes| Got { bytes, length: bytes, from: None });
    if flags & (libc::MSG_ERRQUEUE | libc::MSG_OOB) != 0 {
        return kernel(fd, flags);
    }
    let dont_wait = |fd| flags & libc::MSG_DONTWAIT != 0 || is_nonblocking(fd).is_ok_and(|it| it);
    if !socket.is_active() {
        if dont_wait(fd) {
            return kernel(fd, flags);
        }
        socket.expect(fd);
        if !socket.is_active() {
            return kernel(fd, flags);
        }
    }
    let peek = flags & libc::MSG_PEEK != 0;
    let at_once = flags | libc::MSG_DONTWAIT;
    // Who peeked wants to receive the same datagram.
    let peeked = socket.peeked.swap(NOT, Ordering::Relaxed);
    let turn = CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(KERNEL_EVERY);
    if peeked == KERNEL || (turn && peeked == NOT) {
        socket.digest(fd);
        match kernel(fd, at_once) {
            Err(Errno::AGAIN) => {}
            other => return noted(socket, peek, other),
        }
    }
    let mut limit: Option<(Option<Duration>, Option<u64>)> = None;
    loop {
        if let Some(got) = socket.take(buffers, peek) {
            return noted(socket, peek, Ok(got));
        }
        match kernel(fd, at_once) {
            Err(Errno::AGAIN) => {}
            other => return noted(socket, peek, other),
        }
        if socket.peer().is_some() && socket.take_refused() {
            return Err(Errno::CONNREFUSED);
        }
        if dont_wait(fd) {
            socket.digest(fd);
            return noted(socket, peek, socket.take(buffers, peek).ok_or(Errno::AGAIN));
        }
        if socket.read_ended.load(Ordering::Acquire) {
            // It answers at once that nothing more will come.
            return kernel(fd, flags);
        }
        if socket.has_flows() && PATIENCE.look(|| socket.is_ready()) {
            continue;
        }
        fd = socket.number_to_sleep_for(fd)?;
        let (timeout, until) = *limit.get_or_insert_with(|| {
            let timeout = sockopt::socket_timeout(borrow(fd), Timeout::Recv).unwrap_or(None);
            (timeout, clock::deadline(timeout))
        });
        // As the kernel: a timeout makes every signal interrupt.
        let woken = socket.sleep(fd, clock::left(until), timeout.is_none())?;
        if !woken && until.is_some_and(|until| clock::now() >= until) {
            return noted(socket, peek, socket.take(buffers, peek).ok_or(Errno::AGAIN));
        }
    }
}

/// Who answered the last peek.
pub(super) const NOT: u8 = 0;
const FLOW: u8 = 1;
const KERNEL: u8 = 2;

fn noted(socket: &Datagram, peek: bool, got: Result<Got, Errno>) -> Result<Got, Errno> {
    if let (true, Ok(got)) = (peek, &got) {
        let who = if got.from.is_some() { FLOW } else { KERNEL };
        socket.peeked.store(who, Ordering::Relaxed);
    }
    got
}

impl Datagram {
    /// The next datagram of a flow.
    fn take(&self, buffers: &Buffers<'_>, peek: bool) -> Option<Got> {
        loop {
            let flow = self.state.lock().flows.find(
                peek,
                |flow| (flow.has_news() || flow.is_gone()).then(|| flow.clone()),
                |flow| flow.rest(),
            )?;
            if let Some(got) = flow.receive(buffers, peek) {
                return Some(got);
            }
            if flow.is_gone() {
                self.state.lock().forget(&flow);
            }
        }
    }

    /// Sleeps until the kernel's socket or the hub has something; `false` when the time is over. A signal is
    /// [`signals::sleep`]'s to judge.
    fn sleep(&self, fd: c_int, left: Option<Duration>, restarts: bool) -> Result<bool, Errno> {
        self.watch(1);
        if self.arm() {
            self.watch(-1);
            self.disarm(0);
            return Ok(true);
        }
        let entry = |fd| pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut fds = SmallVec::<[pollfd; 4]>::from_slice(&[entry(fd), entry(self.hub())]);
        let shared = self.watchers.load(Ordering::Acquire) > 1;
        let left = if shared {
            Some(left.map_or(SHARED_SLEEP, |left| left.min(SHARED_SLEEP)))
        } else {
            left
        };
        let start = clock::now();
        let slept = signals::sleep(&mut fds, left, restarts, || true);
        PATIENCE.slept(clock::now().saturating_sub(start));
        self.watch(-1);
        self.disarm(0);
        if fds[1].revents != 0 {
            self.digest(fd);
        }
        slept
    }
}
