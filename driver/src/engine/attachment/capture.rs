//! A capture of the data path, with endpoints in place of ports.

use std::sync::Arc;
use std::time::Duration;

use dataplane::PortId;
use dataplane::control::{Capture, CapturedFrame};

use super::tables::Endpoints;
use crate::engine::{EngineError, FrameSource};
use crate::model::EndpointId;

/// A running capture.
#[derive(Debug)]
pub(in crate::engine) struct PortCapture {
    pub(in crate::engine) capture: Capture,
    pub(in crate::engine) endpoints: Arc<Endpoints>,
}

impl FrameSource for PortCapture {
    fn next(&mut self, timeout: Duration) -> Result<Option<CapturedFrame>, EngineError> {
        Ok(self.capture.next(timeout)?)
    }

    fn endpoint_of(&self, port: PortId) -> Option<EndpointId> {
        self.endpoints.of_port(port)
    }

    fn lost(&self) -> u64 {
        self.capture.lost()
    }
}
