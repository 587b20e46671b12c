//! Copies of frames for those who watch: nothing of this is on the way of a frame unless somebody does.

use super::Fabric;
use super::outgoing::Outgoing;
use crate::bridge::PortSlot;
use crate::capture::{CaptureScope, Direction, Sink};
use crate::control::{DataplaneError, PortId};

impl Fabric {
    pub(crate) fn add_capture(&mut self, sink: Sink) -> Result<(), DataplaneError> {
        match sink.scope {
            CaptureScope::Domain(id) if self.domain_index(id).is_none() => {
                return Err(DataplaneError::NoDomain(id));
            }
            CaptureScope::Port(id) if self.slot(id).is_none() => {
                return Err(DataplaneError::NoPort(id));
            }
            CaptureScope::Domain(_) | CaptureScope::Port(_) => {}
        }
        self.captures.push(sink);
        self.mark_captured();
        Ok(())
    }

    /// Ends the captures of a port that is going away.
    pub(crate) fn end_captures(&mut self, id: PortId) {
        self.captures.retain(|sink| sink.scope != CaptureScope::Port(id));
    }

    pub(super) fn mark_captured(&mut self) {
        for port in self.ports.iter_mut().flatten() {
            port.captured = self.captures.iter().any(|sink| match sink.scope {
                CaptureScope::Domain(id) => id == port.domain,
                CaptureScope::Port(id) => id == port.id,
            });
        }
    }

    #[cold]
    pub(super) fn capture(
        &mut self,
        slot: PortSlot,
        direction: Direction,
        gateway: bool,
        out: &Outgoing<'_>,
    ) {
        let Some(port) = self.port(slot) else { return };
        let (id, domain) = (port.id, port.domain);
        for sink in &mut self.captures {
            if sink.wants(domain, id, direction, gateway) {
                sink.record(id, direction, out.len(), |buffer| out.copy_to(buffer));
            }
        }
        if self.captures.iter().any(Sink::is_ended) {
            self.captures.retain(|sink| !sink.is_ended());
            self.mark_captured();
        }
    }

    /// A reply of the gateway in the capture of its domain; the port's capture sees its delivery.
    #[cold]
    pub(super) fn capture_reply(&mut self, to: PortSlot, frame: &Outgoing<'_>) {
        let Some(port) = self.port(to) else { return };
        let (id, domain) = (port.id, port.domain);
        for sink in &mut self.captures {
            if sink.scope == CaptureScope::Domain(domain) {
                sink.record(id, Direction::Egress, frame.len(), |buffer| frame.copy_to(buffer));
            }
        }
    }
}
