//! Tokens, and sleeping until there is one.

use core::ffi::{c_int, c_short};
use core::sync::atomic::{AtomicU32, Ordering, fence};
use core::time::Duration;

use libc::pollfd;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::sockopt::Timeout;
use rustix::net::{RecvFlags, SendFlags};
use session::{FILL_TOKENS, Room};
use smallvec::SmallVec;

use crate::broker;
use crate::clock;
use crate::epoll;
use crate::raw::borrow;
use crate::signals;
use crate::sleepers::Counter;
use crate::socket::{Link, Session};
use crate::table;

/// Longest time that a call looks at the ring by itself before it sleeps, in nanoseconds. To sleep
/// and be woken costs about as much.
const SPIN_MOST: u32 = 30_000;
/// Shortest: enough to see whether the peer is working at this very moment.
const SPIN_LEAST: u32 = 1_000;

/// How long to look before sleeping; learns from what came of it.
pub(crate) struct Patience(AtomicU32);

/// One for the process: what pays depends on how many processors there are for how many programs.
pub(crate) static PATIENCE: Patience = Patience(AtomicU32::new(SPIN_MOST));

impl Patience {
    /// Looks with `done` until it answers `true` or the time is over.
    pub(crate) fn look(&self, mut done: impl FnMut() -> bool) -> bool {
        let limit = self.limit();
        let start = clock::now();
        loop {
            for _ in 0..32 {
                if done() {
                    return true;
                }
                core::hint::spin_loop();
            }
            if clock::now().saturating_sub(start) >= limit {
                return false;
            }
        }
    }

    /// Nanoseconds to look for.
    pub(crate) fn limit(&self) -> u64 {
        u64::from(self.0.load(Ordering::Relaxed))
    }

    /// Notes how long a sleep after a vain look took, in nanoseconds.
    pub(crate) fn slept(&self, nanoseconds: u64) {
        let now = self.0.load(Ordering::Relaxed);
        let next = if nanoseconds < u64::from(SPIN_MOST) * 2 {
            SPIN_MOST
        } else {
            (now / 2).max(SPIN_LEAST)
        };
        self.0.store(next, Ordering::Relaxed);
    }
}

/// Wakes the peer's reader. A number that another thread closed may be somebody else's, who gets no token; the peer
/// is woken by the end of the socket.
pub(crate) fn send_token(fd: c_int, link: &Link, session: &Session) {
    if !table::is_session(fd, link) {
        return;
    }
    session.stream().count_token();
    match rustix::net::send(borrow(fd), &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        // No room means that tokens wait there already.
        Ok(_) | Err(Errno::AGAIN) => {}
        Err(_) => link.note_gone(),
    }
}

/// Takes the tokens out of the own socket, unless they keep the peer's writer asleep for good reason.
/// Sees the peer's end on the way.
pub(crate) fn drain_tokens(fd: c_int, link: &Link, session: &Session) {
    if !session.stream().must_keep_tokens() && table::is_session(fd, link) {
        note_tokens(fd, link, receive_tokens(fd, RecvFlags::DONTWAIT));
    }
}

fn receive_tokens(fd: c_int, flags: RecvFlags) -> Result<usize, Errno> {
    let mut tokens = [0u8; 64];
    rustix::net::recv(borrow(fd), &mut tokens, flags).map(|(count, _)| count)
}

/// Draws conclusions from reading tokens; answers why a blocking call must return, if it must.
fn note_tokens(fd: c_int, link: &Link, received: Result<usize, Errno>) -> Option<Errno> {
    match received {
        Ok(0) => {
            link.peer_ended.store(true, Ordering::Release);
            if is_hung_up(fd) {
                link.note_gone();
            }
            None
        }
        Ok(_) => None,
        Err(Errno::CONNRESET) => {
            link.note_gone();
            None
        }
        Err(error) => Some(error),
    }
}

/// Whether both directions are over. Who ended the own one and reads no more would not find out that the peer is gone.
pub(crate) fn is_over(fd: c_int, link: &Link) -> bool {
    if link.write_ended.load(Ordering::Acquire)
        && !link.is_over()
        && table::is_session(fd, link)
        && is_hung_up(fd)
    {
        link.note_gone();
    }
    link.is_over()
}

/// Whether the kernel says that the peer's socket is closed.
pub(crate) fn is_hung_up(fd: c_int) -> bool {
    let fd = borrow(fd);
    let mut poll = [PollFd::new(&fd, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut poll, Some(&now)).is_ok()
        && poll[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Waits until more than `beyond` bytes wait, the stream ended, or the peer is gone. On a non-blocking
/// descriptor, or with `DONTWAIT`, it looks once and answers `EAGAIN`; a signal answers `EINTR` as it
/// would on a socket of the kernel (the sleep is a `recv` on one).
pub(crate) fn readable(
    fd: c_int,
    link: &Link,
    session: &Session,
    beyond: usize,
    dont_wait: bool,
) -> Result<(), Errno> {
    let stream = session.stream();
    let seen = stream.seen().map_err(|_| Errno::CONNRESET)?;
    let news = || stream.readable().map_or(true, |waiting| waiting > beyond) || stream.peer_ended();
    if news() {
        return Ok(());
    }
    if dont_wait {
        // Tokens that somebody else sleeps for must stay; an end without tokens shows all the same.
        let watched = link.watchers.load(Ordering::Acquire) > 0;
        let look = if watched { RecvFlags::PEEK } else { RecvFlags::empty() };
        let tokens = receive_tokens(fd, RecvFlags::DONTWAIT | look);
        let ended = matches!(tokens, Ok(0) | Err(Errno::CONNRESET));
        note_tokens(fd, link, tokens);
        return if ended || news() { Ok(()) } else { Err(Errno::AGAIN) };
    }
    if PATIENCE.look(news) {
        return Ok(());
    }
    if !stream.arm_reader(seen).map_err(|_| Errno::CONNRESET)? {
        if link.watchers.load(Ordering::Acquire) == 0 {
            stream.disarm_reader();
        }
        return Ok(());
    }
    if !table::is_session(fd, link) {
        return closed(session, beyond);
    }
    if let Some(counter) = Counter::current() {
        return readable_among_threads(fd, link, session, beyond, &counter);
    }
    // Whoever shuts the socket down looks for sleepers after it said so.
    link.sleepers.fetch_add(1, Ordering::SeqCst);
    if link.read_ended.load(Ordering::SeqCst) {
        link.sleepers.fetch_sub(1, Ordering::SeqCst);
        return Ok(());
    }
    let start = clock::now();
    let received = receive_tokens(fd, RecvFlags::empty());
    link.sleepers.fetch_sub(1, Ordering::SeqCst);
    PATIENCE.slept(clock::now().saturating_sub(start));
    note_tokens(fd, link, received).map_or(Ok(()), Err)
}

/// Sleeps until there are tokens, or another thread has news.
fn readable_among_threads(
    fd: c_int,
    link: &Link,
    session: &Session,
    beyond: usize,
    counter: &Counter,
) -> Result<(), Errno> {
    // Whoever shuts the socket down fills the counter after it said so.
    if link.read_ended.load(Ordering::SeqCst) {
        return Ok(());
    }
    let timeout = socket_timeout(fd, Timeout::Recv);
    let start = clock::now();
    let events = sleep_as_a_call(fd, link, libc::POLLIN, timeout, Some(counter))?;
    PATIENCE.slept(clock::now().saturating_sub(start));
    if !table::is_session(fd, link) {
        return closed(session, beyond);
    }
    if events == 0 {
        return Ok(());
    }
    match receive_tokens(fd, RecvFlags::DONTWAIT) {
        // Another thread took them; the caller looks again.
        Err(Errno::AGAIN) => Ok(()),
        received => note_tokens(fd, link, received).map_or(Ok(()), Err),
    }
}

/// What a reader is told whose descriptor another thread closed. What came is still received, as by a call of the
/// kernel.
fn closed(session: &Session, beyond: usize) -> Result<(), Errno> {
    let stream = session.stream();
    let came = stream.readable().is_ok_and(|waiting| waiting > beyond) || stream.peer_ended();
    if came { Ok(()) } else { Err(Errno::BADF) }
}

/// Sleeps until the kernel reports one of `events`, or there are none and the caller looks again: another thread has
/// news, or a signal came whose handler restarts calls. The end of the timeout is `EAGAIN`.
pub(crate) fn sleep_as_a_call(
    fd: c_int,
    link: &Link,
    events: c_short,
    timeout: Option<Duration>,
    counter: Option<&Counter>,
) -> Result<c_short, Errno> {
    let entry = |fd, events| pollfd { fd, events, revents: 0 };
    let mut fds = SmallVec::<[pollfd; 4]>::new();
    fds.push(entry(fd, events));
    fds.extend(counter.map(|it| entry(it.number(), libc::POLLIN)));
    let same = || table::is_session(fd, link);
    let woken = signals::sleep(&mut fds, timeout, timeout.is_none(), same)?;
    if woken { Ok(fds[0].revents) } else { Err(Errno::AGAIN) }
}

fn socket_timeout(fd: c_int, of: Timeout) -> Option<Duration> {
    rustix::net::sockopt::socket_timeout(borrow(fd), of).unwrap_or(None)
}

/// Makes the own socket unwritable until the peer makes room; `false` when there is as much as is wanted
/// already, or nobody to make any.
pub(crate) fn arm_writer(fd: c_int, link: &Link, session: &Session, wanted: Room) -> bool {
    let stream = session.stream();
    if !stream.arm_writer(wanted).unwrap_or(false) {
        return false;
    }
    if !link.shrunk.swap(true, Ordering::Relaxed) {
        // Cannot fail for a socket. Without it more tokens than these would be needed.
        let _ = broker::shrink(borrow(fd));
    }
    for _ in 0..FILL_TOKENS {
        send_token(fd, link, session);
    }
    stream.note_filled().unwrap_or(false) && !link.peer_gone.load(Ordering::Acquire)
}

/// Waits until there is room, or the peer is gone. Answers as [`readable`] does; the longest wait
/// is the socket's `SO_SNDTIMEO`. `EBADF` when another thread closed the descriptor: its socket ended with the sleep.
pub(crate) fn writable(
    fd: c_int,
    link: &Link,
    session: &Session,
    dont_wait: bool,
) -> Result<(), Errno> {
    let stream = session.stream();
    let room = || stream.writable() != Ok(0);
    if room() {
        return Ok(());
    }
    // Whatever wrote too little: room is an edge from now on.
    link.short_writes.fetch_add(1, Ordering::AcqRel);
    if dont_wait {
        if is_hung_up(fd) {
            link.note_gone();
            return Ok(());
        }
        fence(Ordering::SeqCst);
        if link.rests.load(Ordering::SeqCst) && link.rests.swap(false, Ordering::SeqCst) {
            epoll::revive(link);
        }
        return Err(Errno::AGAIN);
    }
    if PATIENCE.look(room) || !arm_writer(fd, link, session, Room::Any) {
        return Ok(());
    }
    let timeout = socket_timeout(fd, Timeout::Send);
    let counter = Counter::current();
    // Whoever shuts the socket down fills the counter after it said so.
    if counter.is_some() && link.write_ended.load(Ordering::SeqCst) {
        return Ok(());
    }
    if !table::is_session(fd, link) {
        return Err(Errno::BADF);
    }
    let start = clock::now();
    let events = sleep_as_a_call(fd, link, libc::POLLOUT, timeout, counter.as_ref())?;
    PATIENCE.slept(clock::now().saturating_sub(start));
    if !table::is_session(fd, link) {
        return Err(Errno::BADF);
    }
    if events & (libc::POLLHUP | libc::POLLERR) != 0 {
        link.note_gone();
    }
    Ok(())
}

/// Sleeps until the kernel reports one of `events` on the descriptor; empty after `timeout`.
pub(crate) fn sleep(
    fd: c_int,
    events: PollFlags,
    timeout: Option<Duration>,
) -> Result<PollFlags, Errno> {
    let fd = borrow(fd);
    let mut poll = [PollFd::new(&fd, events)];
    let timeout = timeout.and_then(|it| Timespec::try_from(it).ok());
    rustix::event::poll(&mut poll, timeout.as_ref())?;
    Ok(poll[0].revents())
}
