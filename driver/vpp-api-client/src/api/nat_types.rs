//! `nat_types.api`, version 0.0.1. Written by vpp-api-generator: change that, not this.

use crate::definition::{enumeration, flags, wire_struct};

enumeration! {
    /// `nat_log_level`.
    pub struct NatLogLevel(u8) {
        NONE = 0,
        ERROR = 1,
        WARNING = 2,
        NOTICE = 3,
        INFO = 4,
        DEBUG = 5,
    }
}

flags! {
    /// `nat_config_flags`.
    pub struct NatConfigFlags(u8) {
        NONE = 0,
        TWICE_NAT = 1,
        SELF_TWICE_NAT = 2,
        OUT2IN_ONLY = 4,
        ADDR_ONLY = 8,
        OUTSIDE = 16,
        INSIDE = 32,
        STATIC = 64,
        EXT_HOST_VALID = 128,
    }
}

wire_struct! {
    /// `nat_timeouts`.
    pub struct NatTimeouts {
        pub udp: u32,
        pub tcp_established: u32,
        pub tcp_transitory: u32,
        pub icmp: u32,
    }
}
