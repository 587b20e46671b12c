//! Has VPP serve the memif sockets in containers, and not those of an endpoint whose address a vhost-user front end has.

use std::sync::Arc;

use super::controller::Controller;
#[cfg(feature = "vhost-user")]
use super::plan::FrontEnd;
use super::plan::container_socket;
use super::tag::{Side, Tag};
#[cfg(feature = "vhost-user")]
use super::view::memif_owner;
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
        let sides = Tag::client_ports(endpoint);
        self.controller.settle_or_later(|of| sides.contains(of))
    }

    #[cfg(feature = "vhost-user")]
    fn claim(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        self.set_front_end(endpoint, FrontEnd::Asks);
        let decided = self.decide(endpoint);
        let outcome = if decided.is_ok() { FrontEnd::Owns } else { FrontEnd::Absent };
        self.set_front_end(endpoint, outcome);
        if decided.is_err() {
            // What VPP did of it before it refused.
            self.follow(endpoint);
        }
        decided
    }

    #[cfg(feature = "vhost-user")]
    fn release(&self, endpoint: &EndpointId) {
        self.set_front_end(endpoint, FrontEnd::Absent);
        self.follow(endpoint);
    }
}

#[cfg(feature = "vhost-user")]
impl ContainerSockets {
    /// Has VPP give the address to the front end that asks, also while the agent is still remembering what it had: a
    /// memif client that VPP serves since before keeps the address.
    fn decide(&self, endpoint: &EndpointId) -> Result<(), EngineError> {
        if self.controller.trouble().is_some() {
            // Nobody else has it: a VPP that comes back is told that the front end does.
            return Ok(());
        }
        let sides = [Side::Link, Side::Plain, Side::Named].map(|side| Tag::port(endpoint, side));
        match self.controller.settle(|of| sides.contains(of)) {
            Err(EngineError::VppAway { .. }) => Ok(()),
            Err(other) => Err(other),
            Ok(()) if memif_owner(&self.controller.sight(), endpoint).is_some() => {
                Err(EngineError::Host {
                    what: "a memif client has the endpoint's address".to_owned(),
                    remedy: "end it first".to_owned(),
                })
            }
            Ok(()) => Ok(()),
        }
    }

    fn set_front_end(&self, endpoint: &EndpointId, front_end: FrontEnd) {
        self.controller.change(|inventory| {
            if let Some(plan) = inventory.endpoints.get_mut(endpoint) {
                plan.front_end = front_end;
            }
        });
    }

    /// What VPP does not do now it is asked for again from time to time.
    fn follow(&self, endpoint: &EndpointId) {
        let subject = Tag::port(endpoint, Side::Link).subject();
        if let Err(error) = self.controller.settle_or_later(|of| of.subject() == subject) {
            tracing::warn!(endpoint = endpoint.short(), %error, "memif clients are not served again yet");
        }
    }
}
