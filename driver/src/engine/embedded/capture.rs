//! A capture of the data path, with endpoints in place of ports.

use std::sync::Arc;
use std::time::Duration;

use dataplane::PortId;
use dataplane::control::{Capture, CapturedFrame};

use super::tables::Tables;
use crate::engine::{EngineError, FrameSource};
use crate::model::EndpointId;

/// A running capture.
#[derive(Debug)]
pub(super) struct PortCapture {
    pub(super) capture: Capture,
    pub(super) tables: Arc<Tables>,
}

impl FrameSource for PortCapture {
    fn next(&mut self, timeout: Duration) -> Result<Option<CapturedFrame>, EngineError> {
        Ok(self.capture.next(timeout)?)
    }

    fn endpoint_of(&self, port: PortId) -> Option<EndpointId> {
        self.tables.endpoint_of(port)
    }

    fn lost(&self) -> u64 {
        self.capture.lost()
    }
}
