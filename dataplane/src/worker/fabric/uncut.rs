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

    /// A frame of such a device: a TCP segment beyond the MTU gets what it was not given. It is copied, so that the receiver
    /// gets what was looked at.
    pub(crate) fn ingress_uncut(&mut self, from: PortSlot, frame: &Frame<'_>) {
        let length = frame.len();
        if length <= self.longest(from) || length > MOST_COPIED {
            return self.ingress_memif(from, frame);
        }
        let mtu = self.domain_of(from).map_or(0, |domain| domain.mtu);
        let mut bytes = std::mem::take(&mut self.copy);
        bytes.clear();
        bytes.resize(length, 0);
        let copied = frame.copy_to(&mut bytes);
        let bytes_of = &mut bytes[..copied];
        // All else is too long, and counted as such.
        let offload = uncut(bytes_of, mtu).unwrap_or(VirtioNetHeader::PLAIN);
        self.switch_private(from, offload, bytes_of);
        self.copy = bytes;
    }
}
