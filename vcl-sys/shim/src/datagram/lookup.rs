//! Asking the broker: who is a session, and who wants to be one.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::sync::atomic::Ordering;

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketType, sockopt};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use session::wire::{Protocol, Refusal, Reply, Request, Reuse};

use super::flow::Flow;
use super::flows::{Route, Without};
use super::state::State;
use super::{Datagram, hub};
use crate::connect::{as_sent, bound_to, leaves_the_host};
use crate::hidden::Hidden;
use crate::listen::RENEW_EVERY;
use crate::raw::borrow;
use crate::socket::Family;
use crate::{broker, clock, log};

/// How long an answer that there is no session with somebody is good for, in nanoseconds. A flow that
/// ends sooner than that is not replaced at once.
pub(super) const ASK_EVERY: u64 = 200_000_000;

/// Flows that may wait to be taken in by a program that does not look.
const BACKLOG: u32 = 256;

impl Datagram {
    /// The program bound the socket, or wants to know its address: peers may send to it from now on.
    pub(crate) fn announce(&self, fd: c_int) {
        if !self.may_have_flows() {
            return;
        }
        {
            let state = self.state.lock();
            if state.near.is_some() || state.peer.is_some() {
                return;
            }
        }
        let Some(address) = bound_to(borrow(fd)).filter(|it| it.port() != 0) else { return };
        if !(address.ip().is_unspecified() || leaves_the_host(address.ip())) {
            return;
        }
        match self.register(fd, address) {
            Ok(true) => log::decision!("fd {fd}: datagrams of sessions are taken on {address}"),
            Ok(false) => log::decision!("fd {fd}: {address} is no business of sessions"),
            Err(error) => log::decision!("fd {fd}: no sessions on {address}: {error}"),
        }
    }

    fn register(&self, fd: c_int, address: SocketAddr) -> Result<bool, Errno> {
        let kernel = borrow(fd);
        let (near, far) = broker::pair(SocketType::SEQPACKET)?;
        let request = Request::Listen {
            protocol: Protocol::Datagram,
            address: as_sent(address, self.family),
            backlog: BACKLOG,
            reuse: Reuse {
                address: sockopt::socket_reuseaddr(kernel).unwrap_or(false),
                port: sockopt::socket_reuseport(kernel).unwrap_or(false),
                v6_only: self.family == Family::V6 && sockopt::ipv6_v6only(kernel).unwrap_or(false),
            },
            cookie: sockopt::socket_cookie(&near)?,
        };
        broker::ask(&request, &[far.as_fd()])?;
        drop(far);
        match broker::await_reply(&near, broker::ANSWER_WITHIN)? {
            Some((Reply::Listening, _)) => {}
            Some((Reply::Refused(refusal), _)) => return Err(broker::errno(refusal)),
            _ => return Ok(false),
        }
        let near = Hidden::duplicate(near.as_fd())?;
        self.activate(fd)?;
        let mut state = self.state.lock();
        state.own_hub()?.add(&near, hub::ANNOUNCEMENTS)?;
        state.near = Some(near);
        Ok(true)
    }

    /// Takes in the flows that the broker announced.
    pub(super) fn take_announced(&self) {
        loop {
            let mut state = self.state.lock();
            let Some(near) = state.near.as_ref().map(Hidden::number) else { return };
            let message = broker::read_reply(borrow(near), RecvFlags::DONTWAIT);
            let (info, socket, memory) = match message {
                Ok(Some((Reply::Accept(info), [Some(socket), Some(memory)]))) => {
                    (info, socket, memory)
                }
                Ok(Some(_)) | Err(Errno::PROTO) => continue,
                Ok(None) | Err(Errno::CONNRESET) => {
                    if let (Some(near), Some(hub)) = (state.near.take(), &state.hub) {
                        hub.remove(&near);
                    }
                    let _ = state.remind();
                    return;
                }
                Err(_) => return,
            };
            let taken =
                Flow::open(info, &socket, &memory).and_then(|flow| state.add(Arc::new(flow)));
            match taken {
                Ok(()) => log::decision!("session {} of datagrams from {}", info.id, info.remote),
                Err(error) => {
                    log::warning!("session {} from {} is not taken: {error}", info.id, info.remote);
                }
            }
        }
    }

    /// The way to `peer`; the broker is asked when nothing is known.
    pub(super) fn route(&self, fd: c_int, peer: SocketAddr) -> Route<Arc<Flow>> {
        let now = clock::now();
        let route = self.state.lock().flows.route(peer, now);
        if route != Route::Unknown {
            return route;
        }
        let why = match self.connect_flow(fd, peer) {
            Ok(Ok(flow)) => return Route::Flow(flow),
            Ok(Err(why)) => why,
            Err(error) => {
                log::detail!("fd {fd}: no session of datagrams to {peer}: {error}");
                Without::Kernel
            }
        };
        let mut state = self.state.lock();
        let now = clock::now();
        state.flows.note(peer, why, now, now + ASK_EVERY);
        // Another thread may have made one.
        state.flows.route(peer, now)
    }

    fn connect_flow(
        &self,
        fd: c_int,
        peer: SocketAddr,
    ) -> Result<Result<Arc<Flow>, Without>, Errno> {
        let source = self.bound(fd)?;
        let (near, far) = broker::pair(SocketType::STREAM)?;
        broker::shrink(near.as_fd())?;
        let request = Request::Connect {
            protocol: Protocol::Datagram,
            source: Some(as_sent(source, self.family)),
            destination: peer,
            cookie: sockopt::socket_cookie(&near)?,
            sharing: 0,
        };
        broker::ask(&request, &[far.as_fd()])?;
        drop(far);
        let (info, memory) = match broker::await_reply(&near, broker::ANSWER_WITHIN)? {
            Some((Reply::Connected(info), [Some(memory), _])) => (info, memory),
            Some((Reply::Refused(Refusal::Refused), _)) => return Ok(Err(Without::Nobody)),
            Some((Reply::Refused(refusal), _)) => return Err(broker::errno(refusal)),
            _ => return Ok(Err(Without::Kernel)),
        };
        log::decision!("fd {fd}: session {} of datagrams to {peer}", info.id);
        let flow = Arc::new(Flow::open(info, &near, &memory)?);
        self.activate(fd)?;
        self.state.lock().add(flow.clone())?;
        // From now on others may want to reach it, too.
        if self.peer().is_none() {
            self.announce(fd);
        }
        Ok(Ok(flow))
    }

    /// The own address; the kernel chooses a port if there is none.
    fn bound(&self, fd: c_int) -> Result<SocketAddr, Errno> {
        let socket = borrow(fd);
        if let Some(address) = bound_to(socket).filter(|it| it.port() != 0) {
            return Ok(address);
        }
        let any: SocketAddr = match self.family {
            Family::V4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
            Family::V6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        rustix::net::bind(socket, &any)?;
        bound_to(socket).ok_or(Errno::ADDRNOTAVAIL)
    }

    /// A flow is over. One that ended at once will not be better the next time.
    pub(super) fn flow_ended(&self, flow: &Arc<Flow>) {
        let mut state = self.state.lock();
        if state.end(flow) {
            self.refused.store(true, Ordering::Release);
        }
        let now = clock::now();
        if !flow.was_refused() && now.saturating_sub(flow.born) < ASK_EVERY {
            state.flows.note(flow.remote(), Without::Kernel, now, now + ASK_EVERY);
        }
    }

    /// `connect` of the program, after the kernel's answer. Where the kernel knows no way, the
    /// broker may.
    pub(crate) fn connect(
        &self,
        fd: c_int,
        peer: SocketAddr,
        kernel: Result<(), Errno>,
    ) -> Result<(), Errno> {
        if !self.may_have_flows() || !leaves_the_host(peer.ip()) {
            if kernel.is_ok() {
                self.state.lock().peer = Some(peer);
            }
            return kernel;
        }
        let peer = as_sent(peer, self.family);
        if self.is_active() {
            self.digest(fd);
        }
        let local = match kernel {
            Ok(()) => None,
            Err(error) => match self.route(fd, peer) {
                Route::Flow(flow) => Some(flow.local()),
                Route::Nobody => None,
                Route::Kernel | Route::Unknown => return Err(error),
            },
        };
        let mut state = self.state.lock();
        state.local = local;
        state.peer = Some(peer);
        // A connected socket hears its peer alone.
        let near = state.near.take();
        let others = state.flows.iter().filter(|(it, _)| *it != peer);
        let others: Vec<_> = others.map(|(_, flow)| flow.clone()).collect();
        for flow in &others {
            state.forget(flow);
        }
        drop(state);
        drop((near, others));
        self.refused.store(false, Ordering::Release);
        Ok(())
    }

    /// The program took the connection back.
    pub(crate) fn disconnect(&self, fd: c_int) {
        let mut state = self.state.lock();
        let was = state.peer.take();
        state.local = None;
        drop(state);
        if was.is_some() && self.is_active() {
            self.announce(fd);
        }
    }

    /// Tells the agent, which went away and may be back, of the socket.
    pub(super) fn renew(&self, fd: c_int) {
        let reminder = {
            let state = self.state.lock();
            let Some(reminder) = &state.reminder else { return };
            let mut ticks = [0; 8];
            let _ = rustix::io::read(borrow(reminder.number()), &mut ticks);
            reminder.number()
        };
        self.announce(fd);
        let mut state = self.state.lock();
        if state.near.is_some()
            && let Some(reminder) = state.reminder.take_if(|it| it.number() == reminder)
            && let Some(hub) = &state.hub
        {
            hub.remove(&reminder);
        }
    }
}

impl State {
    /// Has the hub become readable now and then, until the agent is back.
    fn remind(&mut self) -> Result<(), Errno> {
        if self.reminder.is_some() {
            return Ok(());
        }
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer: OwnedFd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let every = Timespec { tv_sec: 0, tv_nsec: RENEW_EVERY.subsec_nanos().into() };
        let times = Itimerspec { it_interval: every, it_value: every };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        let timer = Hidden::duplicate(timer.as_fd())?;
        self.own_hub()?.add(&timer, hub::REMINDER)?;
        self.reminder = Some(timer);
        Ok(())
    }
}
