//! `virtio_types.api`, version 1.0.0. Written by vpp-api-generator: change that, not this.

use crate::definition::enumeration;

enumeration! {
    /// `virtio_net_features_first_32`.
    pub struct VirtioNetFeaturesFirst32(u32) {
        VIRTIO_NET_F_API_CSUM = 1,
        VIRTIO_NET_F_API_GUEST_CSUM = 2,
        VIRTIO_NET_F_API_GUEST_TSO4 = 128,
        VIRTIO_NET_F_API_GUEST_TSO6 = 256,
        VIRTIO_NET_F_API_GUEST_UFO = 1024,
        VIRTIO_NET_F_API_HOST_TSO4 = 2048,
        VIRTIO_NET_F_API_HOST_TSO6 = 4096,
        VIRTIO_NET_F_API_HOST_UFO = 16384,
        VIRTIO_NET_F_API_MRG_RXBUF = 32768,
        VIRTIO_NET_F_API_CTRL_VQ = 131072,
        VIRTIO_NET_F_API_GUEST_ANNOUNCE = 2097152,
        VIRTIO_NET_F_API_MQ = 4194304,
        VHOST_F_API_LOG_ALL = 67108864,
        VIRTIO_F_API_ANY_LAYOUT = 134217728,
        VIRTIO_F_API_INDIRECT_DESC = 268435456,
        VHOST_USER_F_API_PROTOCOL_FEATURES = 1073741824,
    }
}

enumeration! {
    /// `virtio_net_features_last_32`.
    pub struct VirtioNetFeaturesLast32(u32) {
        VERSION_1 = 1,
    }
}
