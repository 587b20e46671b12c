//! Features of the device: what is offered, what was agreed on. Pure.

use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_GUEST_TSO4,
    VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_GUEST_USO6,
    VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_USO,
    VIRTIO_NET_F_MQ, VIRTIO_NET_F_MRG_RXBUF,
};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};

use crate::HEADER_LEN;

/// `VHOST_USER_F_PROTOCOL_FEATURES` of the vhost-user protocol: there are protocol features, and rings begin
/// disabled.
const PROTOCOL_FEATURES: u32 = 30;

/// Features of a device, a bit each as in virtio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(pub u64);

impl Features {
    /// What every device offers. Several queues are offered only where there may be some.
    pub fn offered(queue_pairs: u16) -> Self {
        let always = [
            VIRTIO_F_VERSION_1,
            VIRTIO_RING_F_INDIRECT_DESC,
            VIRTIO_RING_F_EVENT_IDX,
            PROTOCOL_FEATURES,
            VIRTIO_NET_F_MRG_RXBUF,
            VIRTIO_NET_F_CSUM,
            VIRTIO_NET_F_HOST_TSO4,
            VIRTIO_NET_F_HOST_TSO6,
            VIRTIO_NET_F_HOST_ECN,
            VIRTIO_NET_F_HOST_USO,
            VIRTIO_NET_F_GUEST_CSUM,
            VIRTIO_NET_F_GUEST_TSO4,
            VIRTIO_NET_F_GUEST_TSO6,
            VIRTIO_NET_F_GUEST_ECN,
            VIRTIO_NET_F_GUEST_USO4,
            VIRTIO_NET_F_GUEST_USO6,
        ];
        let several = (queue_pairs > 1).then_some(VIRTIO_NET_F_MQ);
        Self(always.into_iter().chain(several).fold(0, |all, bit| all | 1 << bit))
    }

    /// Whether all of these are among `others`.
    pub fn within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    fn has(self, bit: u32) -> bool {
        self.0 & (1 << bit) != 0
    }

    /// Rings begin disabled, and are enabled by a message.
    pub(crate) fn rings_begin_disabled(self) -> bool {
        self.has(PROTOCOL_FEATURES)
    }

    /// Each side names the place in a ring at which it wants to be woken.
    pub(crate) fn named_events(self) -> bool {
        self.has(VIRTIO_RING_F_EVENT_IDX)
    }

    /// A frame may take several buffers of the front end.
    pub(crate) fn merged_buffers(self) -> bool {
        self.has(VIRTIO_NET_F_MRG_RXBUF)
    }

    /// Length of the header in front of each frame.
    pub(crate) fn header_len(self) -> usize {
        let long = self.has(VIRTIO_F_VERSION_1) || self.merged_buffers();
        if long { HEADER_LEN } else { HEADER_LEN - 2 }
    }

    /// The front end takes frames whose checksum is still to be completed.
    #[inline]
    pub fn takes_partial_checksums(self) -> bool {
        self.has(VIRTIO_NET_F_GUEST_CSUM)
    }

    /// It takes TCP frames over IPv4 that are still to be cut.
    pub fn takes_tcp4_segments(self) -> bool {
        self.has(VIRTIO_NET_F_GUEST_TSO4)
    }

    /// It takes TCP frames over IPv6 that are still to be cut.
    pub fn takes_tcp6_segments(self) -> bool {
        self.has(VIRTIO_NET_F_GUEST_TSO6)
    }

    /// It takes TCP frames with ECN that are still to be cut.
    pub fn takes_ecn_segments(self) -> bool {
        self.has(VIRTIO_NET_F_GUEST_ECN)
    }

    /// It takes UDP frames that are still to be cut, over either IP.
    pub fn takes_udp_segments(self) -> bool {
        self.has(VIRTIO_NET_F_GUEST_USO4) && self.has(VIRTIO_NET_F_GUEST_USO6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_queues_are_offered_where_there_are_some() {
        let (one, two) = (Features::offered(1), Features::offered(2));
        assert_eq!(two.0 & !one.0, 1 << VIRTIO_NET_F_MQ);
        assert!(one.within(two) && !two.within(one));
    }

    #[test]
    fn packed_rings_are_not_offered() {
        assert!(!Features(1 << 34).within(Features::offered(8)));
    }

    #[test]
    fn only_old_drivers_have_the_short_header() {
        assert_eq!(Features(0).header_len(), 10);
        assert_eq!(Features(1 << VIRTIO_F_VERSION_1).header_len(), 12);
        assert_eq!(Features(1 << VIRTIO_NET_F_MRG_RXBUF).header_len(), 12);
    }
}
