//! `poll` with sessions in it; `select` comes down to the same.
//!
//! Sessions are judged by their rings, everything else by the kernel. Before the call sleeps it arms
//! the sessions and has the kernel watch their sockets for tokens.

use alloc::sync::Arc;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use libc::pollfd;
use rustix::io::Errno;
use smallvec::SmallVec;

use crate::clock::{self, Limit};
use crate::datagram::Datagram;
use crate::epoll::Epoll;
use crate::listen::{self, RENEW_EVERY};
use crate::raw::{self, SignalMask};
use crate::readiness::{self, ALWAYS, HUP, IN, LISTENER, NVAL, OUT, READ_HANG_UP, READS, WRITES};
use crate::sleepers::Counter;
use crate::socket::{Link, Role, Socket};
use crate::table::{self, Object};
use crate::wait::PATIENCE;

/// A descriptor that the kernel does not judge alone.
enum Own {
    Socket(Arc<Socket>),
    Epoll(Arc<Epoll>),
    /// The kernel judges its descriptor, and this library its flows.
    Datagram(Arc<Datagram>),
}

struct Watched {
    /// Its place among the descriptors of the call.
    at: usize,
    own: Own,
    /// Another thread closed the descriptor meanwhile: Linux looks at the numbers again (`do_pollfd`).
    closed: bool,
}

impl Watched {
    fn link(&self) -> Option<&Link> {
        match &self.own {
            Own::Socket(socket) => socket.link(),
            Own::Epoll(_) | Own::Datagram(_) => None,
        }
    }

    /// A socket with flows, of which a peer that was not there is of interest whatever is asked (poll(2): `POLLERR`).
    fn datagram(&self) -> Option<&Datagram> {
        match &self.own {
            Own::Datagram(socket) => Some(socket),
            _ => None,
        }
    }

    /// Looks at rings.
    fn has_rings(&self) -> bool {
        match &self.own {
            Own::Datagram(socket) => socket.has_flows(),
            _ => self.link().is_some(),
        }
    }
}

/// A call with the descriptors of ours that it names.
pub(crate) struct Poll<'a> {
    fds: &'a mut [pollfd],
    watched: SmallVec<[Watched; 8]>,
    /// What the kernel is asked: the program's descriptors in the same places.
    kernel: SmallVec<[pollfd; 32]>,
    /// Some are for the kernel to judge.
    plain: bool,
    /// A listener's agent is away: look again soon.
    parked: bool,
    /// What other threads of this process fill when they have news of a session.
    counter: Option<Counter>,
}

/// Whether a call with these descriptors concerns anything of ours.
pub(crate) fn concerns(mut fds: impl Iterator<Item = c_int>) -> bool {
    fds.any(|fd| match table::get(fd) {
        Some(Object::Socket(_) | Object::Epoll(_)) => true,
        Some(Object::Datagram(socket)) => socket.may_become_active(),
        Some(Object::Fresh(_)) | None => false,
    })
}

/// Calls that found sessions ready; now and then the kernel is asked all the same, for the ends of
/// peers that it alone knows of.
static CALLS: AtomicU32 = AtomicU32::new(0);
const KERNEL_EVERY: u32 = 16;

/// How often the kernel is asked while a call looks at rings, in nanoseconds.
const ASK_EVERY: u64 = 4_000;

impl<'a> Poll<'a> {
    pub(crate) fn new(fds: &'a mut [pollfd]) -> Self {
        let mut watched: SmallVec<[Watched; 8]> = SmallVec::new();
        let mut plain = false;
        for (at, entry) in fds.iter().enumerate() {
            let own = match table::get(entry.fd) {
                Some(Object::Socket(socket)) => Own::Socket(socket),
                Some(Object::Epoll(epoll)) => Own::Epoll(epoll),
                Some(Object::Datagram(socket)) => {
                    if u32::from(entry.events.cast_unsigned()) & READS != 0 {
                        socket.expect(entry.fd);
                    }
                    if !socket.is_active() {
                        plain = true;
                        continue;
                    }
                    Own::Datagram(socket)
                }
                Some(Object::Fresh(_)) | None => {
                    plain |= entry.fd >= 0;
                    continue;
                }
            };
            plain |= !matches!(&own, Own::Socket(socket) if socket.link().is_some());
            watched.push(Watched { at, own, closed: false });
        }
        let mut kernel: SmallVec<[pollfd; 32]> = SmallVec::from_slice(fds);
        for it in &watched {
            if matches!(&it.own, Own::Socket(socket) if socket.listener().is_some()) {
                kernel[it.at].events &= readiness::events(LISTENER);
            }
            if let Some(socket) = it.datagram() {
                kernel.push(pollfd { fd: socket.hub(), events: libc::POLLIN, revents: 0 });
            }
        }
        Self { fds, watched, kernel, plain, parked: false, counter: None }
    }

    /// Waits; answers how many descriptors have something to report, in their `revents`.
    pub(crate) fn wait(&mut self, limit: Limit, mask: SignalMask) -> Result<usize, Errno> {
        loop {
            let ask =
                self.plain || CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(KERNEL_EVERY);
            if self.look() == 0 || ask {
                self.ask(if limit.now { mask } else { SignalMask::NONE })?;
            }
            let found = self.found();
            if found > 0 || limit.now {
                return Ok(found);
            }
            if self.spin()? || !self.arm() {
                continue;
            }
            self.watch(1);
            let slept = self.sleep(limit, mask);
            self.watch(-1);
            self.disarm();
            if slept? {
                self.look();
                return Ok(self.found());
            }
        }
    }

    /// Judges the sessions; answers how many have something to report.
    fn look(&mut self) -> usize {
        let mut ready = 0;
        for it in &self.watched {
            let entry = &mut self.fds[it.at];
            let interest = asked(*entry);
            let mask = match &it.own {
                Own::Socket(socket) => match socket.link() {
                    Some(_) if it.closed => NVAL,
                    Some(link) => readiness::look(link, interest).mask & interest,
                    None => continue,
                },
                Own::Datagram(socket) => {
                    // Beside what the kernel says of the descriptor.
                    let mask = socket.look().mask & interest;
                    entry.revents |= readiness::events(mask);
                    ready += usize::from(mask != 0);
                    continue;
                }
                Own::Epoll(epoll) if epoll.is_ready() => IN & interest,
                Own::Epoll(_) => continue,
            };
            entry.revents = readiness::events(mask);
            ready += usize::from(mask != 0);
        }
        ready
    }

    fn found(&self) -> usize {
        self.fds.iter().filter(|entry| entry.revents != 0).count()
    }

    /// Asks the kernel without waiting: for the descriptors that it judges, and for the ends of peers.
    fn ask(&mut self, mask: SignalMask) -> Result<(), Errno> {
        for it in &self.watched {
            if let Some(link) = it.link() {
                set(&mut self.kernel[it.at], self.fds[it.at].fd, wanted(link, 0));
            }
        }
        self.kernel_poll(Some(Duration::ZERO), mask)?;
        self.take_over();
        self.look();
        Ok(())
    }

    /// Looks at the rings for as long as that pays; `true` when there is something to report.
    fn spin(&mut self) -> Result<bool, Errno> {
        if !self.watched.iter().any(Watched::has_rings) {
            return Ok(false);
        }
        let mut asked = clock::now();
        let end = asked.saturating_add(PATIENCE.limit());
        loop {
            for _ in 0..8 {
                if self.look() > 0 {
                    return Ok(true);
                }
                core::hint::spin_loop();
            }
            let now = clock::now();
            if now >= end {
                return Ok(false);
            }
            if self.plain && now - asked >= ASK_EVERY {
                asked = now;
                self.ask(SignalMask::NONE)?;
                if self.found() > 0 {
                    return Ok(true);
                }
            }
        }
    }

    /// Arms the sessions and tells the kernel what to watch; `false` when there is news.
    fn arm(&mut self) -> bool {
        let has_links = self.watched.iter().any(|it| it.link().is_some());
        self.counter = if has_links { Counter::current() } else { None };
        for it in &self.watched {
            let entry = &self.fds[it.at];
            let interest = asked(*entry);
            let link = match &it.own {
                Own::Socket(socket) => match socket.link() {
                    Some(link) => link,
                    None => continue,
                },
                Own::Datagram(socket) => {
                    if asked(*entry) & READS != 0 && socket.arm() {
                        return false;
                    }
                    continue;
                }
                Own::Epoll(epoll) => {
                    if epoll.arm() {
                        return false;
                    }
                    continue;
                }
            };
            let now = readiness::look(link, interest);
            if now.mask & interest != 0 {
                return false;
            }
            readiness::arm(entry.fd, link, interest, &now);
            set(&mut self.kernel[it.at], entry.fd, wanted(link, interest));
        }
        self.look() == 0
    }

    /// Sleeping calls count on tokens that others must leave alone.
    fn watch(&self, by: i32) {
        for link in self.watched.iter().filter_map(Watched::link) {
            link.watchers.fetch_add(by.cast_unsigned(), Ordering::AcqRel);
        }
        for it in &self.watched {
            if let Own::Datagram(socket) = &it.own {
                socket.watch(by);
            }
        }
    }

    fn disarm(&self) {
        for link in self.watched.iter().filter_map(Watched::link) {
            readiness::disarm(link, 0);
        }
        for it in &self.watched {
            if let Own::Datagram(socket) = &it.own {
                socket.disarm(0);
            }
        }
    }

    /// Sleeps; `true` when the time is over.
    fn sleep(&mut self, limit: Limit, mask: SignalMask) -> Result<bool, Errno> {
        let mut left = clock::left(limit.deadline);
        let mut cut = false;
        if self.parked && left.is_none_or(|left| left > RENEW_EVERY) {
            (left, cut) = (Some(RENEW_EVERY), true);
        }
        let start = clock::now();
        if let Some(counter) = &self.counter {
            self.kernel.push(pollfd { fd: counter.number(), events: libc::POLLIN, revents: 0 });
        }
        let polled = self.kernel_poll(left, mask);
        if self.counter.take().is_some() {
            self.kernel.pop();
        }
        let count = polled?;
        if self.watched.iter().any(Watched::has_rings) {
            PATIENCE.slept(clock::now().saturating_sub(start));
        }
        self.take_over();
        Ok(count == 0 && !cut)
    }

    /// Takes over what the kernel said: of its own descriptors as it is, of sessions as news.
    fn take_over(&mut self) {
        for it in &self.watched {
            if let Some(socket) = it.datagram()
                && self.kernel[self.fds.len()..].iter().any(|hub| hub.revents != 0)
            {
                socket.digest(self.fds[it.at].fd);
            }
        }
        let mut watched = self.watched.iter_mut().peekable();
        self.parked = false;
        for (at, (entry, kernel)) in self.fds.iter_mut().zip(&mut self.kernel).enumerate() {
            let Some(it) = watched.next_if(|it| it.at == at) else {
                entry.revents = kernel.revents;
                continue;
            };
            let events = u32::from(kernel.revents.cast_unsigned());
            match &it.own {
                Own::Datagram(_) => entry.revents = kernel.revents,
                Own::Epoll(epoll) => {
                    let real = kernel.revents == 0 || epoll.is_really_ready(entry.fd);
                    entry.revents = if real { kernel.revents } else { 0 };
                }
                Own::Socket(socket) => match &socket.role {
                    Role::Session(_) if events == 0 => {}
                    Role::Session(link) if table::is_session(entry.fd, link) => {
                        readiness::note(entry.fd, link, events);
                    }
                    Role::Session(_) => it.closed = true,
                    Role::Listener(_) if events & ALWAYS == 0 && kernel.fd >= 0 => {
                        entry.revents = kernel.revents;
                    }
                    Role::Listener(listener) if listener.has_ended() => {
                        entry.revents = readiness::events(HUP);
                    }
                    Role::Listener(_) if !table::is_socket(entry.fd, socket) => {
                        entry.revents = readiness::events(NVAL);
                    }
                    Role::Listener(listener) => {
                        let renewed = listen::renew_once(entry.fd, socket, listener);
                        entry.revents = 0;
                        kernel.fd = if renewed.is_ok() { entry.fd } else { -1 };
                        self.parked |= renewed.is_err();
                    }
                },
            }
        }
    }

    fn kernel_poll(&mut self, timeout: Option<Duration>, mask: SignalMask) -> Result<usize, Errno> {
        raw::ppoll(&mut self.kernel, timeout, mask)
    }
}

/// What the program wants to know; the rest is always told.
fn asked(entry: pollfd) -> u32 {
    u32::from(entry.events.cast_unsigned()) | ALWAYS
}

fn set(kernel: &mut pollfd, fd: c_int, wanted: Option<u32>) {
    kernel.fd = if wanted.is_some() { fd } else { -1 };
    kernel.events = wanted.map_or(0, readiness::events);
    kernel.revents = 0;
}

/// What the kernel shall watch of a session's socket; `None` when it can have no news. Its hang-up is
/// always reported, so a socket that has it must not be asked about again.
fn wanted(link: &Link, interest: u32) -> Option<u32> {
    if link.peer_gone.load(Ordering::Acquire) {
        return None;
    }
    if link.session().is_none() {
        return Some(IN);
    }
    let mut events = 0;
    if !link.peer_ended.load(Ordering::Acquire) {
        events |= READ_HANG_UP;
        if interest & READS != 0 {
            events |= IN;
        }
    } else if link.write_ended.load(Ordering::Acquire) {
        return None;
    }
    if interest & WRITES != 0 {
        events |= OUT;
    }
    Some(events)
}
