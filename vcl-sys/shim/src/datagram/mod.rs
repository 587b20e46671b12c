//! Datagram sockets.
//!
//! The program's descriptor stays the kernel's own socket: it has the address and the options, and its
//! datagrams come from whoever is no session. Beside it a socket has *flows*, one session for each
//! peer that is one: made when something is sent to that peer, or announced by the broker on a hidden
//! socket when the peer sent first. What waits on the program's descriptor waits on the *hub* too, a
//! hidden descriptor that becomes readable when a flow does.
//!
//! * `flows`: the table of peers; `flow`: one of them; `hub`: waking up; `state`: all that together.
//! * `lookup`: asking the broker; `send`, `receive`: moving datagrams; `waiting`: for them.
//! * `closed`: when another thread closes the descriptor meanwhile.
//! * `kernel`: what flows cannot do; `whole`: datagrams that must not be cut.

mod closed;
mod flow;
mod flows;
mod hub;
mod kernel;
mod lookup;
mod receive;
mod send;
mod state;
mod waiting;
mod whole;

use alloc::vec::Vec;
use core::ffi::c_int;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, Ordering};

use rustix::io::Errno;

use crate::connect::leaves_the_host;
use crate::hidden::Hidden;
use crate::options::Name;
use crate::socket::Family;
use crate::sync::SpinLock;
use crate::{clock, epoll};

use flows::Route;
use hub::Hub;
use kernel::wants_the_kernel;
use state::State;
use whole::Wanted;

pub(crate) use receive::receive;
pub(crate) use send::{Outcome, send};

/// A datagram socket; duplicates of a descriptor share it.
pub(crate) struct Datagram {
    pub(crate) family: Family,
    /// It has a hub. Until then it is the kernel's alone.
    active: AtomicBool,
    /// It stays the kernel's alone.
    kernel_only: AtomicBool,
    /// Receiving, or sending, was shut down: what flows have is still received, the rest is the
    /// kernel's to answer.
    read_ended: AtomicBool,
    write_ended: AtomicBool,
    /// A datagram to the connected peer found nobody there.
    refused: AtomicBool,
    /// A descriptor of it.
    number: AtomicI32,
    /// Who answered the last peek, which the next receive follows.
    peeked: AtomicU8,
    /// Sleeping calls and registrations that count on the hub.
    watchers: AtomicU32,
    /// Whether datagrams may be cut.
    whole: Wanted,
    state: SpinLock<State>,
}

impl Datagram {
    pub(crate) fn new(family: Family) -> Self {
        Self {
            family,
            active: AtomicBool::new(false),
            kernel_only: AtomicBool::new(false),
            read_ended: AtomicBool::new(false),
            write_ended: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            number: AtomicI32::new(-1),
            peeked: AtomicU8::new(receive::NOT),
            watchers: AtomicU32::new(0),
            whole: Wanted::new(),
            state: SpinLock::new(State::new()),
        }
    }

    /// Whether there is more than the kernel's socket.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// The kernel's alone, for good: the program asked for what flows cannot do.
    pub(crate) fn keep_to_kernel(&self) {
        self.kernel_only.store(true, Ordering::Release);
        let mut state = self.state.lock();
        let near = state.near.take();
        let flows: Vec<_> = state.flows.iter().map(|(_, flow)| flow.clone()).collect();
        for flow in flows {
            state.forget(&flow);
        }
        drop(state);
        drop(near);
    }

    /// An option was set on the descriptor `fd`.
    pub(crate) fn touched(&self, fd: c_int, name: Name) {
        if wants_the_kernel(name) {
            self.keep_to_kernel();
        }
        self.whole.touched(fd, name);
    }

    /// How long packets to the connected peer may be, where the kernel knows no way to it.
    pub(crate) fn path_mtu(&self) -> Option<u16> {
        let state = self.state.lock();
        state.local?;
        let Route::Flow(flow) = state.flows.route(state.peer?, clock::now()) else {
            return Some(whole::USUAL);
        };
        Some(flow.told_mtu().map_or(whole::USUAL, |mtu| mtu.path))
    }

    /// `shutdown` was called.
    pub(crate) fn note_shutdown(&self, how: c_int) {
        if how != libc::SHUT_WR {
            self.read_ended.store(true, Ordering::Release);
        }
        if how != libc::SHUT_RD {
            self.write_ended.store(true, Ordering::Release);
        }
    }

    fn may_have_flows(&self) -> bool {
        !self.kernel_only.load(Ordering::Acquire)
    }

    /// Whether waiting for it may concern flows.
    pub(crate) fn may_become_active(&self) -> bool {
        self.is_active() || self.may_have_flows()
    }

    /// Somebody is about to wait for datagrams: flows that come meanwhile shall be heard of.
    pub(crate) fn expect(&self, fd: c_int) {
        if self.is_active() || !self.may_have_flows() {
            return;
        }
        let local = self.state.lock().peer.is_some_and(|peer| !leaves_the_host(peer.ip()));
        let bound = crate::connect::bound_to(crate::raw::borrow(fd));
        let on_host =
            bound.is_some_and(|it| !it.ip().is_unspecified() && !leaves_the_host(it.ip()));
        if !local && !on_host {
            let _ = self.activate(fd);
        }
    }

    /// Makes the hub, if there is none.
    fn activate(&self, fd: c_int) -> Result<(), Errno> {
        self.number.store(fd, Ordering::Relaxed);
        let fresh = {
            let mut state = self.state.lock();
            let fresh = state.hub.is_none();
            state.own_hub()?;
            fresh
        };
        self.active.store(true, Ordering::Release);
        if fresh {
            epoll::attach_hub(fd);
        }
        Ok(())
    }

    /// The number of the hub; -1 when there is none.
    pub(crate) fn hub(&self) -> c_int {
        if !self.is_active() {
            return -1;
        }
        self.state.lock().own_hub().map_or(-1, Hub::number)
    }

    /// The own address where the kernel does not know it.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.state.lock().local
    }

    /// What the program connected the socket to.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.state.lock().peer
    }

    /// Tells peers that this process ends.
    pub(crate) fn leave(&self) {
        self.state.lock().flows.iter().for_each(|(_, flow)| flow.leave());
    }

    /// The program wants `number`: what has it gets another one. `None` when nothing has.
    pub(crate) fn make_way(&self, number: c_int) -> Option<Result<(), Errno>> {
        let state = self.state.lock();
        let own = state.hub.iter().map(Hub::hidden);
        let own = own.chain(&state.near).chain(&state.reminder).chain(&state.kernel);
        let mut all = own.chain(state.flows.iter().map(|(_, flow)| &flow.socket));
        all.find(|it| it.number() == number).map(Hidden::move_away)
    }
}
