//! Frames of a device that leaves TCP segments uncut, as VPP does with those that a kernel gave it.

use memif::queue::Frame;

use super::Fabric;
use super::switch::MOST_COPIED;
use crate::bridge::PortSlot;
use crate::offload::{VirtioNetHeader, uncut};

impl Fabric {
    /// Whether a port's device may leave TCP segments uncut.
    #[inline]
    pub(crate) fn is_uncut(&self, port: PortSlot) -> bool {
        self.port(port).is_some_and(|port| port.uncut)
    }

    /// A frame of such a device: a TCP segment beyond the MTU gets what it was not given.
    pub(crate) fn ingress_uncut(&mut self, from: PortSlot, frame: &Frame<'_>) {
        let length = frame.len();
        if length <= self.longest(from) || length > MOST_COPIED {
            return self.ingress_memif(from, frame);
        }
        let mtu = self.domain_of(from).map_or(0, |domain| domain.mtu);
        // All else is too long, and counted as such.
        self.ingress_copied(from, frame, |bytes| {
            uncut(bytes, mtu).unwrap_or(VirtioNetHeader::PLAIN)
        });
    }
}
