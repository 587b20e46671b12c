//! With worker threads: a pipe gets the nodes of a pipe that was deleted, and a loopback those of another interface.
//!
//! VPP 26.06 gives the nodes of an interface that was deleted to the next one, of whatever kind, last come first served
//! (`src/vnet/interface.c`, `deleted_hw_interface_nodes`). Why a loopback must not have a pipe's is said in
//! [`ownership`](super::ownership). There a packet sets it right, on the thread that sends it; VPP's generator never
//! sends on the main thread of a VPP with workers, which does send: requests for addresses that routes need, say. Workers take
//! over what its books say of where nodes lead to whenever the graph of nodes changes (`src/vlib/threads.c`,
//! `vlib_worker_thread_node_refork`).
//!
//! A memif interface changes nothing of where its nodes lead to, so one that is made first tells whose it got. Those
//! whose nodes do not fit are kept until the right ones were taken.

use vpp_api_client::Error;
use vpp_api_client::api::interface::SwInterfaceDump;
use vpp_api_client::api::interface_types::InterfaceIndex;
use vpp_api_client::api::memif::{MemifCreateV2, MemifDelete, MemifMode, MemifRole};
use vpp_api_client::api::vlib::ShowThreads;

use super::{Failure, Worker, is_loss};
use crate::engine::vpp::cli_text::{Follows, follows};

/// The numbers that such interfaces have at VPP's own memif socket, from here on.
const FIRST: u32 = 0xd0c0_0000;

/// Interfaces made at most. VPP keeps the nodes of as many as there were at the same time.
const MOST: u32 = 4096;

/// What is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Loopback,
    Pipe,
}

impl Kind {
    /// Whether it may have nodes that lead to what this follows.
    fn fits(self, follows: Follows) -> bool {
        match self {
            Self::Loopback => follows != Follows::Pipe,
            Self::Pipe => follows != Follows::Other,
        }
    }
}

/// Interfaces that hold the nodes that did not fit.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Aside(Vec<InterfaceIndex>);

impl Worker<'_> {
    pub(super) async fn has_workers(&self) -> Result<bool, Failure> {
        Ok(self.client.request(&ShowThreads {}).await?.thread_data.len() > 1)
    }

    /// Has the next interface get nodes that fit, where VPP has worker threads. Without, or where VPP refuses, it gets what comes;
    /// an error only when VPP is gone.
    pub(super) async fn clear_the_way(&self, kind: Kind) -> Result<Aside, Failure> {
        let mut aside = Aside::default();
        if !self.has_workers().await? {
            return Ok(aside);
        }
        match self.set_aside(kind, &mut aside).await {
            Err(Failure::Vpp(error)) if is_loss(&error) => Err(error.into()),
            Err(failure) => {
                tracing::warn!(
                    "it is not known whose nodes VPP gives to a {kind:?} that is made: {failure}; if an endpoint with \
                     tcp=vcl reaches nobody, restart VPP"
                );
                Ok(aside)
            }
            Ok(()) => Ok(aside),
        }
    }

    async fn set_aside(&self, kind: Kind, aside: &mut Aside) -> Result<(), Failure> {
        for id in FIRST..FIRST + MOST {
            let sw_if_index = self.placeholder(id).await?;
            let node = format!("{}-tx", name(id));
            let shown = self.command(format!("show vlib graph {node}")).await;
            if let Ok(shown) = &shown
                && !kind.fits(follows(shown))
            {
                aside.0.push(sw_if_index);
                continue;
            }
            self.client.request(&MemifDelete { sw_if_index }).await?;
            return shown.map(drop);
        }
        Err(Failure::Missing("a node that fits"))
    }

    /// Gives the nodes back.
    pub(super) async fn put_back(&self, aside: Aside) -> Result<(), Failure> {
        for sw_if_index in aside.0.into_iter().rev() {
            match self.client.request(&MemifDelete { sw_if_index }).await {
                Err(error) if is_loss(&error) => return Err(error.into()),
                Err(error) => tracing::warn!("a memif interface stays in VPP: {error}"),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// A memif interface that connects to nobody, because it is down.
    async fn placeholder(&self, id: u32) -> Result<InterfaceIndex, Failure> {
        let request = MemifCreateV2 {
            role: MemifRole::SLAVE,
            mode: MemifMode::ETHERNET,
            rx_queues: 1,
            tx_queues: 1,
            id,
            socket_id: 0,
            ring_size: super::RING_SIZE,
            buffer_size: super::BUFFER_SIZE,
            no_zero_copy: true,
            ..MemifCreateV2::default()
        };
        match self.client.request(&request).await {
            Ok(made) => Ok(made.sw_if_index),
            Err(error @ Error::Refused { .. }) => {
                // Of an agent that died.
                let interfaces = self.client.dump(&SwInterfaceDump::default()).await?;
                let left = interfaces.iter().find(|it| *it.interface_name == *name(id));
                let Some(left) = left else { return Err(error.into()) };
                self.client.request(&MemifDelete { sw_if_index: left.sw_if_index }).await?;
                Ok(self.client.request(&request).await?.sw_if_index)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// VPP's name of the interface.
fn name(id: u32) -> String {
    format!("memif0/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipes_nodes_are_for_pipes_and_new_ones_for_all() {
        let all = [Follows::Nothing, Follows::Pipe, Follows::Other];
        assert_eq!(all.map(|it| Kind::Loopback.fits(it)), [true, false, true]);
        assert_eq!(all.map(|it| Kind::Pipe.fits(it)), [true, true, false]);
    }
}
