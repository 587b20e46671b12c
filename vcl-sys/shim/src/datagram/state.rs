//! What a datagram socket has beside the kernel's socket: its hub, its flows, what announces them.

use alloc::sync::Arc;
use core::net::SocketAddr;

use rustix::io::Errno;

use super::flow::Flow;
use super::flows::{Flows, Without};
use super::hub::{self, Hub};
use super::lookup::ASK_EVERY;
use crate::hidden::Hidden;
use crate::{clock, process};

/// What the descriptors of a socket share, under its lock.
pub(super) struct State {
    pub(super) hub: Option<Hub>,
    /// Where flows are announced.
    pub(super) near: Option<Hidden>,
    /// Runs while the agent is away.
    pub(super) reminder: Option<Hidden>,
    /// The kernel's socket once more, for calls that sleep while another thread may close the program's descriptor:
    /// as to the kernel, it is there until they return.
    pub(super) kernel: Option<Hidden>,
    pub(super) flows: Flows<Arc<Flow>>,
    /// What the socket is connected to.
    pub(super) peer: Option<SocketAddr>,
    /// The own address as far as the kernel does not know it.
    pub(super) local: Option<SocketAddr>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            hub: None,
            near: None,
            reminder: None,
            kernel: None,
            flows: Flows::new(),
            peer: None,
            local: None,
        }
    }

    /// The hub of this process.
    pub(super) fn own_hub(&mut self) -> Result<&Hub, Errno> {
        if self.hub.as_ref().is_none_or(|hub| !hub.is_own() && !process::borrows_memory()) {
            let hub = Hub::new()?;
            for (_, flow) in self.flows.iter() {
                hub.add(&flow.socket, flow.id)?;
            }
            if self.hub.is_some() {
                // The parent has the same flows.
                self.flows.keep_awake();
            }
            for (member, name) in
                [(&self.near, hub::ANNOUNCEMENTS), (&self.reminder, hub::REMINDER)]
            {
                if let Some(member) = member {
                    hub.add(member, name)?;
                }
            }
            self.hub = Some(hub);
        }
        self.hub.as_ref().ok_or(Errno::NOENT)
    }

    /// A flow's socket has something; answers whether it is that the connected peer is not there.
    pub(super) fn take_token(&mut self, name: u64) -> bool {
        let Some(flow) = self.flows.get(name).cloned() else { return false };
        self.flows.wake(name);
        flow.drain();
        flow.is_gone() && self.end(&flow)
    }

    pub(super) fn add(&mut self, flow: Arc<Flow>) -> Result<(), Errno> {
        let peer = flow.remote();
        if self.peer.is_some_and(|it| it != peer) {
            // A connected socket hears its peer alone.
            return Err(Errno::CONNREFUSED);
        }
        self.own_hub()?.add(&flow.socket, flow.id)?;
        // Somebody may sleep already.
        flow.arm();
        self.flows.add(flow.id, peer, flow);
        Ok(())
    }

    /// The peer of a flow is gone: what it sent can still be read. Answers whether the socket is
    /// connected to that peer and nobody has its port.
    pub(super) fn end(&mut self, flow: &Arc<Flow>) -> bool {
        if let Some(hub) = &self.hub {
            hub.remove(&flow.socket);
        }
        if flow.has_news() {
            // Nothing is sent through it any more.
            self.flows.divert(flow.id);
        } else {
            self.flows.remove(flow.id);
        }
        let refused = flow.was_refused();
        if refused {
            let now = clock::now();
            self.flows.note(flow.remote(), Without::Nobody, now, now + ASK_EVERY);
        }
        refused && self.peer == Some(flow.remote())
    }

    pub(super) fn forget(&mut self, flow: &Arc<Flow>) {
        if let Some(hub) = &self.hub {
            hub.remove(&flow.socket);
        }
        self.flows.remove(flow.id);
    }
}
