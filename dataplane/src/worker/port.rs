//! A port as its worker sees it: where frames to the endpoint go.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::Arc;

use memif::TxQueue;
use memif::queue::LinkState;

use crate::bridge::Tick;
use crate::control::{DataplaneError, MemifStatus, PortId, PortOwner, PortStatus, VhostStatus};
use crate::counters::CounterCells;
use crate::packet_socket::PacketSocket;
use crate::policy::{Guard, Limits};
use crate::stack_port::StackOutput;
use crate::tap::{Outlet, TapDevice};
use crate::worker::fabric::{Parcel, Tunnel};
use crate::{DomainId, MacAddr, PortConfig};

/// One port and its ways out. The ways in are [`Input`](super::inputs::Input)s.
#[expect(clippy::struct_excessive_bools, reason = "facts that hold in any combination")]
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) id: PortId,
    pub(crate) domain: DomainId,
    /// Where its worker keeps the domain.
    pub(crate) domain_index: usize,
    pub(crate) name: Arc<str>,
    pub(crate) mac: Option<MacAddr>,
    /// Not isolated, whatever its domain says.
    pub(crate) open: bool,
    /// Its device leaves TCP segments uncut.
    pub(crate) uncut: bool,
    /// What its frames may claim.
    pub(crate) guard: Guard,
    /// How many there may be.
    pub(crate) limits: Option<Box<Limits>>,
    pub(crate) counters: Arc<CounterCells>,
    pub(crate) memif: Option<MemifOutput>,
    pub(crate) vhost: Option<VhostOutput>,
    pub(crate) tap: Option<Arc<TapDevice>>,
    pub(crate) veth: Option<Arc<PacketSocket>>,
    pub(crate) stack: Option<StackOutput>,
    /// Somebody who is not behind this port has the address of its stack.
    pub(crate) lent: bool,
    /// The other host that it leads to; such a port has no device.
    pub(crate) tunnel: Option<Tunnel>,
    /// Frames of stacks that wait for room in a queue of this port.
    pub(crate) parked: VecDeque<Parcel>,
    /// When the queue last took one of them.
    pub(crate) parked_since: Tick,
    /// Something was pushed and not yet flushed.
    pub(crate) dirty: bool,
    /// Some capture may want its frames.
    pub(crate) captured: bool,
}

/// The queues to a connected memif client.
#[derive(Debug)]
pub(crate) struct MemifOutput {
    pub(crate) queues: Vec<TxQueue>,
    pub(crate) state: Arc<LinkState>,
    pub(crate) status: MemifStatus,
}

/// The queues to the front end of a vhost-user device.
#[derive(Debug)]
pub(crate) struct VhostOutput {
    pub(crate) queues: Vec<vhost_user_net::TxQueue>,
    pub(crate) state: Arc<vhost_user_net::LinkState>,
    pub(crate) status: VhostStatus,
}

impl Port {
    /// # Errors
    /// When the port has no address to which its policy could hold it.
    pub(crate) fn new(
        id: PortId,
        domain: DomainId,
        config: &PortConfig,
    ) -> Result<Self, DataplaneError> {
        Ok(Self {
            id,
            domain,
            domain_index: usize::MAX,
            name: config.name.as_str().into(),
            mac: config.mac,
            open: config.open,
            uncut: config.uncut,
            guard: config.policy.guard(config.mac)?,
            limits: Limits::of(&config.policy).map(Box::new),
            counters: Arc::default(),
            memif: None,
            vhost: None,
            tap: None,
            veth: None,
            stack: None,
            lent: false,
            tunnel: None,
            parked: VecDeque::new(),
            parked_since: Tick(0),
            dirty: false,
            captured: false,
        })
    }

    /// The port of another host.
    pub(crate) fn tunnel(id: PortId, domain: DomainId, tunnel: Tunnel) -> Self {
        let config = PortConfig::new(tunnel.peer.to_string(), None);
        let port =
            Self::new(id, domain, &config).expect("nothing is checked, so no address is missing");
        Self { tunnel: Some(tunnel), ..port }
    }

    /// Who owns the endpoint's address: a connected memif client or vhost-user front end, of which a port
    /// has at most one; otherwise its TAP, its veth pair or its stack, of which it has at most one as well.
    #[inline]
    pub(crate) fn owner(&self) -> PortOwner {
        match self {
            Self { memif: Some(_), .. } => PortOwner::Memif,
            Self { vhost: Some(_), .. } => PortOwner::Vhost,
            Self { tap: Some(_), .. } => PortOwner::Tap,
            Self { veth: Some(_), .. } => PortOwner::Veth,
            Self { stack: Some(_), lent: false, .. } => PortOwner::Stack,
            Self { tunnel: Some(_), .. } => PortOwner::Vxlan,
            _ => PortOwner::None,
        }
    }

    /// Tells the stack, if there is one, whether it owns the address.
    pub(crate) fn tell_owner(&mut self) {
        let owns = self.memif.is_none() && self.vhost.is_none() && !self.lent;
        if let Some(stack) = &mut self.stack {
            stack.set_owner(owns);
        }
    }

    /// The way of a flow to the endpoint's kernel.
    pub(crate) fn outlet(&self, flow: u32) -> Option<Outlet<'_>> {
        if let Some(veth) = &self.veth {
            return Some(Outlet::Socket(veth.as_fd()));
        }
        let queues = self.tap.as_ref()?.queues();
        let index = flow as usize % queues.len().max(1);
        queues.get(index).map(|queue| Outlet::Tap(queue.as_fd()))
    }

    /// Counts what the kernel dropped on the way from its link; on the port's worker only.
    pub(crate) fn count_lost(&self) {
        if let Some(veth) = &self.veth {
            self.counters.overrun(veth.take_lost());
        }
    }

    /// On the port's worker only.
    pub(crate) fn status(&self) -> PortStatus {
        self.count_lost();
        PortStatus {
            id: self.id,
            domain: self.domain,
            name: self.name.to_string(),
            mac: self.mac,
            antispoof: self.guard.antispoof(),
            owner: self.owner(),
            memif: self.memif.as_ref().map(|memif| memif.status.clone()),
            vhost: self.vhost.as_ref().map(|vhost| vhost.status.clone()),
            tap: self.tap.as_ref().map(|tap| tap.name().to_owned()),
            veth: self.veth.as_ref().map(|veth| veth.link().to_owned()),
            peer: self.tunnel.map(|tunnel| tunnel.peer),
            counters: self.counters.read(),
        }
    }
}
