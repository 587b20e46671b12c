//! `epoll_wait`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::sync::atomic::Ordering;
use core::time::Duration;

use rustix::io::Errno;

use super::places::Places;
use super::set::Target;
use super::tag::Tag;
use super::{Epoll, State, waker};
use crate::clock::{self, Limit};
use crate::datagram::Datagram;
use crate::listen::{self, RENEW_EVERY};
use crate::raw::{self, SignalMask};
use crate::readiness::{self, ALWAYS, HUP, IN};
use crate::socket::Listener;
use crate::wait::PATIENCE;

/// Waits that report hot registrations alone before the kernel is asked, too.
const KERNEL_EVERY: u32 = 4;
/// The same when nothing but sessions is registered: only their peers' ends are news of the kernel.
const KERNEL_EVERY_WITHOUT_OTHERS: u32 = 64;

/// Waits for events; answers how many are in `out`.
pub(crate) fn wait(
    epfd: c_int,
    epoll: &Epoll,
    out: Places,
    limit: Limit,
    mask: SignalMask,
) -> Result<usize, Errno> {
    epoll.number.store(epfd, Ordering::Relaxed);
    let mut look = Look { epfd, epoll, out };
    let (mut hot, kernel_first) = epoll.state.lock().begin();
    loop {
        if hot {
            let found = look.without_sleep(kernel_first, limit)?;
            if found > 0 || limit.now {
                return Ok(look.leave(found));
            }
        }
        if let Some(found) = look.prepare() {
            if found > 0 {
                return Ok(look.leave(found));
            }
            hot = true;
            continue;
        }
        let (slept, cut) = look.sleep(limit, mask, hot);
        let reported = match slept {
            Ok(count) => count,
            Err(error) => {
                look.leave(0);
                return Err(error);
            }
        };
        let mut found = look.sort(reported);
        found += look.collect(found, false);
        let over = reported == 0 && !cut;
        if found > 0 || over || limit.now {
            return Ok(look.leave(found));
        }
        hot = epoll.state.lock().set.has_hot();
    }
}

/// Takes what the kernel has to report of an epoll with sessions alone.
pub(super) fn absorb(epfd: c_int, epoll: &Epoll) {
    let mut space = Places::space();
    let out = Places::of(&mut space);
    let look = Look { epfd, epoll, out };
    while look.ask_once() == Ok(out.room()) {}
}

struct Look<'a> {
    epfd: c_int,
    epoll: &'a Epoll,
    out: Places,
}

impl State {
    /// Whether there are hot registrations, and whether the kernel is to be asked before them.
    fn begin(&mut self) -> (bool, bool) {
        self.waits = self.waits.wrapping_add(1);
        let every = if self.knows_all() { KERNEL_EVERY_WITHOUT_OTHERS } else { KERNEL_EVERY };
        let kernel_first = self.waits.is_multiple_of(every) || self.dry;
        self.dry = false;
        (self.set.has_hot(), kernel_first)
    }
}

impl Look<'_> {
    /// Looks at the rings and asks the kernel, for as long as that pays.
    fn without_sleep(&mut self, kernel_first: bool, limit: Limit) -> Result<usize, Errno> {
        let mut found = if kernel_first { self.ask()? } else { 0 };
        found += self.collect(found, true);
        if found == 0 && !kernel_first {
            found = self.ask()?;
            found += self.collect(found, false);
        }
        if found > 0 || limit.now {
            return Ok(found);
        }
        self.spin()
    }

    /// Looks until something comes or patience ends. Now and then the kernel is asked for what it knows.
    fn spin(&mut self) -> Result<usize, Errno> {
        let (mut looks, mut asked) = (0u32, clock::now());
        let end = asked.saturating_add(PATIENCE.limit());
        loop {
            let found = self.collect(0, false);
            if found > 0 {
                return Ok(found);
            }
            core::hint::spin_loop();
            looks += 1;
            if looks % 4 != 0 {
                continue;
            }
            let now = clock::now();
            if now >= end {
                return Ok(0);
            }
            if now - asked >= ASK_EVERY {
                asked = now;
                let found = self.ask()?;
                if found > 0 {
                    return Ok(found);
                }
            }
        }
    }

    fn collect(&self, skip: usize, ageing: bool) -> usize {
        let out = self.out.from(skip);
        let mut state = self.epoll.state.lock();
        state.collect(out, ageing.then_some(self.epfd))
    }

    /// What the kernel has to report at this moment.
    fn ask(&self) -> Result<usize, Errno> {
        Ok(self.sort(self.kernel()?))
    }

    /// As [`ask`](Self::ask), but answers how much the kernel reported.
    fn ask_once(&self) -> Result<usize, Errno> {
        let count = self.kernel()?;
        self.sort(count);
        Ok(count)
    }

    fn kernel(&self) -> Result<usize, Errno> {
        self.out.fill(self.epfd, Some(Duration::ZERO), false, SignalMask::NONE)
    }

    /// Arms everything, and counts as a sleeper from now on; or tells that there is news, and how
    /// many events it makes.
    fn prepare(&self) -> Option<usize> {
        let mut state = self.epoll.state.lock();
        self.epoll.sleepers.fetch_add(1, Ordering::SeqCst);
        if !state.set.arm(self.epfd) {
            return None;
        }
        self.epoll.sleepers.fetch_sub(1, Ordering::SeqCst);
        Some(state.collect(self.out, None))
    }

    /// Sleeps in the kernel. The second answer tells that it was for less than the program asked.
    fn sleep(&self, limit: Limit, mask: SignalMask, hot: bool) -> (Result<usize, Errno>, bool) {
        let mut left = if limit.now { Some(Duration::ZERO) } else { clock::left(limit.deadline) };
        let mut cut = false;
        if self.epoll.state.lock().set.parked > 0 && left.is_none_or(|it| it > RENEW_EVERY) {
            (left, cut) = (Some(RENEW_EVERY), true);
        }
        let start = if hot { clock::now() } else { 0 };
        let slept = self.out.fill(self.epfd, left, limit.precise, mask);
        if hot {
            PATIENCE.slept(clock::now().saturating_sub(start));
        }
        let others = self.epoll.sleepers.fetch_sub(1, Ordering::SeqCst) - 1;
        if hot && others == 0 && !self.epoll.has_sleepers() {
            self.epoll.state.lock().set.disarm();
        }
        if cut {
            self.renew();
        }
        (slept, cut)
    }

    /// The thread goes back to the program. Those that sleep rely on what it leaves behind.
    fn leave(&self, found: usize) -> usize {
        if self.epoll.has_sleepers() && self.epoll.state.lock().set.arm(self.epfd) {
            waker::wake(self.epfd);
        }
        found
    }

    /// Goes through `count` events of the kernel: those of the program stay, in order, those of
    /// sessions make these hot. Answers how many stay.
    fn sort(&self, count: usize) -> usize {
        let mut kept = 0;
        let mut gone: Vec<c_int> = Vec::new();
        let mut flows: Vec<Arc<Datagram>> = Vec::new();
        let mut state = None;
        for at in 0..count {
            let (mut events, mut data) = self.out.get(at);
            if let Some(tag) = Tag::from_data(data) {
                let state = state.get_or_insert_with(|| self.epoll.state.lock());
                match state.note(tag, events) {
                    Noted::Nothing => continue,
                    Noted::Report(asked, own) => (events, data) = (asked, own),
                    Noted::Gone(fd) => {
                        gone.push(fd);
                        continue;
                    }
                    Noted::Flows(socket) => {
                        flows.push(socket);
                        continue;
                    }
                }
            }
            self.out.put(kept, events, data);
            kept += 1;
        }
        drop(state);
        for fd in gone {
            self.park(fd);
        }
        for socket in flows {
            socket.digest_known();
        }
        kept
    }

    /// The agent of a listener went away: the kernel would report nothing else any more.
    fn park(&self, fd: c_int) {
        let mut state = self.epoll.state.lock();
        state.set.park(fd, true);
        let kernel = raw::borrow(self.epfd);
        let _ = rustix::event::epoll::delete(kernel, raw::borrow(fd));
        drop(state);
        self.renew();
    }

    /// Looks whether the agent is back for parked listeners.
    fn renew(&self) {
        let parked: Vec<_> = {
            let state = self.epoll.state.lock();
            let sockets = state.set.parked().filter_map(|(fd, target)| match target {
                Target::Listener(socket) => Some((fd, socket.clone())),
                _ => None,
            });
            sockets.collect()
        };
        for (fd, socket) in parked {
            let Some(listener) = socket.listener() else { continue };
            // Success attaches it again; a failure is followed by the next attempt.
            let _ = listen::renew_once(fd, &socket, listener);
        }
    }
}

/// What an event with one of our tags is.
enum Noted {
    Nothing,
    /// An event for the program, with its own data.
    Report(u32, u64),
    /// The listener lost its agent.
    Gone(c_int),
    /// The hub of a socket has something.
    Flows(Arc<Datagram>),
}

impl State {
    fn collect(&mut self, out: Places, ageing: Option<c_int>) -> usize {
        let mut all = 0;
        let found = self.set.collect(out.room(), ageing, |at, events, data| {
            all |= events;
            out.put(at, events, data);
        });
        self.dry = found > 0 && all & IN == 0;
        found
    }

    fn note(&mut self, tag: Tag, events: u32) -> Noted {
        let Some(it) = self.set.get(tag) else { return Noted::Nothing };
        match &it.target {
            Target::Fresh => Noted::Nothing,
            Target::Flows(socket) => {
                let socket = socket.clone();
                self.set.heat(tag.index);
                Noted::Flows(socket)
            }
            Target::Listener(socket) if events & ALWAYS != 0 => {
                let ended = socket.listener().is_some_and(Listener::has_ended);
                if ended { Noted::Report(HUP, it.data) } else { Noted::Gone(it.fd) }
            }
            Target::Listener(_) => Noted::Report(events, it.data),
            Target::Session(socket) => {
                if let Some(link) = socket.link() {
                    readiness::note(it.fd, link, events);
                }
                self.set.heat(tag.index);
                Noted::Nothing
            }
        }
    }
}

/// How often the kernel is asked while a wait looks at rings, in nanoseconds.
const ASK_EVERY: u64 = 4_000;
