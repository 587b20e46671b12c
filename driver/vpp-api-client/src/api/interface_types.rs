//! `interface_types.api`, version 1.0.0. Written by vpp-api-generator: change that, not this.

use crate::definition::{enumeration, flags, newtype};

newtype! {
    /// `interface_index`.
    pub struct InterfaceIndex(number u32)
}

flags! {
    /// `if_status_flags`.
    pub struct IfStatusFlags(u32) {
        ADMIN_UP = 1,
        LINK_UP = 2,
    }
}

enumeration! {
    /// `link_duplex`.
    pub struct LinkDuplex(u32) {
        UNKNOWN = 0,
        HALF = 1,
        FULL = 2,
    }
}

flags! {
    /// `sub_if_flags`.
    pub struct SubIfFlags(u32) {
        NO_TAGS = 1,
        ONE_TAG = 2,
        TWO_TAGS = 4,
        DOT1AD = 8,
        EXACT_MATCH = 16,
        DEFAULT = 32,
        OUTER_VLAN_ID_ANY = 64,
        INNER_VLAN_ID_ANY = 128,
        MASK_VNET = 254,
        DOT1AH = 256,
    }
}

enumeration! {
    /// `rx_mode`.
    pub struct RxMode(u32) {
        UNKNOWN = 0,
        POLLING = 1,
        INTERRUPT = 2,
        ADAPTIVE = 3,
        DEFAULT = 4,
    }
}

enumeration! {
    /// `if_type`.
    pub struct IfType(u32) {
        HARDWARE = 0,
        SUB = 1,
        P2P = 2,
        PIPE = 3,
    }
}
