//! Captures name the ports of other hosts by their addresses.

use std::sync::Weak;
use std::time::Duration;

use dataplane::PortId;
use dataplane::control::CapturedFrame;

use super::Shared;
use crate::engine::{EngineError, FrameSource};
use crate::model::EndpointId;

/// A capture, and who knows the other hosts; that does not outlive the engine.
pub(super) struct PeerCapture {
    pub(super) source: Box<dyn FrameSource>,
    pub(super) shared: Weak<Shared>,
}

impl FrameSource for PeerCapture {
    fn next(&mut self, timeout: Duration) -> Result<Option<CapturedFrame>, EngineError> {
        self.source.next(timeout)
    }

    fn endpoint_of(&self, port: PortId) -> Option<EndpointId> {
        self.source.endpoint_of(port)
    }

    fn label_of(&self, port: PortId) -> String {
        let peer = self.shared.upgrade().and_then(|shared| shared.dataplane.port(port).ok()?.peer);
        peer.map_or_else(|| self.source.label_of(port), |peer| format!("vxlan {peer}"))
    }

    fn lost(&self) -> u64 {
        self.source.lost()
    }
}
