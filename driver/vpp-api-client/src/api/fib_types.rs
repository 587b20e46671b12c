//! `fib_types.api`, version 2.0.1. Written by vpp-api-generator: change that, not this.

use super::ip_types::AddressUnion;
use crate::definition::{enumeration, flags, wire_struct};

enumeration! {
    /// `fib_path_nh_proto`.
    pub struct FibPathNhProto(u32) {
        IP4 = 0,
        IP6 = 1,
        MPLS = 2,
        ETHERNET = 3,
        BIER = 4,
    }
}

flags! {
    /// `fib_path_flags`.
    pub struct FibPathFlags(u32) {
        NONE = 0,
        RESOLVE_VIA_ATTACHED = 1,
        RESOLVE_VIA_HOST = 2,
        POP_PW_CW = 4,
    }
}

enumeration! {
    /// `fib_path_type`.
    pub struct FibPathType(u32) {
        NORMAL = 0,
        LOCAL = 1,
        DROP = 2,
        UDP_ENCAP = 3,
        BIER_IMP = 4,
        ICMP_UNREACH = 5,
        ICMP_PROHIBIT = 6,
        SOURCE_LOOKUP = 7,
        DVR = 8,
        INTERFACE_RX = 9,
        CLASSIFY = 10,
    }
}

wire_struct! {
    /// `fib_mpls_label`.
    pub struct FibMplsLabel {
        pub is_uniform: u8,
        pub label: u32,
        pub ttl: u8,
        pub exp: u8,
    }
}

wire_struct! {
    /// `fib_path_nh`.
    pub struct FibPathNh {
        pub address: AddressUnion,
        pub via_label: u32,
        pub obj_id: u32,
        pub classify_table_index: u32,
    }
}

wire_struct! {
    /// `fib_path`.
    pub struct FibPath {
        pub sw_if_index: u32,
        pub table_id: u32,
        pub rpf_id: u32,
        pub weight: u8,
        pub preference: u8,
        pub type_: FibPathType,
        pub flags: FibPathFlags,
        pub proto: FibPathNhProto,
        pub nh: FibPathNh,
        pub n_labels: u8,
        pub label_stack: [FibMplsLabel; 16],
    }
}
