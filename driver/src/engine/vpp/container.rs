//! Has VPP serve the memif sockets in containers.

use std::sync::Arc;

use super::controller::Controller;
use super::plan::container_socket;
use super::tag::{Side, Tag};
use crate::engine::EngineError;
use crate::engine::attachment::MemifSockets;
use crate::host::socket::AbstractName;
use crate::model::{EndpointId, SandboxKey};

/// The plain name is every container's same; the others have an interface in them.
pub(super) fn side_of(name: &str) -> Side {
    if name == "dockervpp/memif" { Side::Plain } else { Side::Named }
}

/// Has VPP serve the memif sockets of containers.
#[derive(Debug)]
pub(super) struct ContainerSockets {
    controller: Arc<Controller>,
}

impl ContainerSockets {
    /// Those of the VPP behind `controller`.
    pub(super) fn new(controller: Arc<Controller>) -> Self {
        Self { controller }
    }
}

impl MemifSockets for ContainerSockets {
    fn listen(
        &self,
        endpoint: &EndpointId,
        sandbox: &SandboxKey,
        name: &AbstractName,
    ) -> Result<(), EngineError> {
        let socket = container_socket(sandbox, name);
        let side = side_of(name.to_string().trim_start_matches('@'));
        self.controller.change(|inventory| {
            if let Some(plan) = inventory.endpoints.get_mut(endpoint) {
                plan.memif.insert(side, socket);
                // The interface's name is the last to be known.
                plan.settled |= side == Side::Named;
            }
        });
        let tag = Tag::port(endpoint, side);
        match self.controller.settle_or_later(|of| *of == tag) {
            // The other sockets of the container are not held up: VPP is asked again from time to time,
            // and what it refused is shown.
            Err(EngineError::Vpp(_)) => Ok(()),
            other => other,
        }
    }

    fn unlisten(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        self.controller.change(|inventory| {
            if let Some(plan) = inventory.endpoints.get_mut(endpoint) {
                plan.memif.clear();
                plan.settled = true;
            }
        });
        let sides = [Side::Plain, Side::Named].map(|side| Tag::port(endpoint, side));
        self.controller.settle_or_later(|of| sides.contains(of))
    }
}
