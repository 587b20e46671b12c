//! `tapv2.api`, version 4.0.0. Written by vpp-api-generator: change that, not this.

use super::interface_types::InterfaceIndex;
use super::ip_types::Ip4AddressWithPrefix;
use super::ip_types::Ip6AddressWithPrefix;
use crate::definition::{flags, message, verdict, wire_struct};
use crate::mac::MacAddress;
use crate::wire::FixedString;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

flags! {
    /// `tap_flags`.
    pub struct TapFlags(u32) {
        GSO = 1,
        CSUM_OFFLOAD = 2,
        PERSIST = 4,
        ATTACH = 8,
        TUN = 16,
        GRO_COALESCE = 32,
        PACKED = 64,
        IN_ORDER = 128,
        CONSISTENT_QP = 256,
    }
}

wire_struct! {
    /// `tap_create_v3`, CRC 0x3f3fd1df.
    pub struct TapCreateV3 {
        pub id: u32 = 4294967295,
        pub use_random_mac: bool = true,
        pub mac_address: MacAddress,
        pub num_rx_queues: u16 = 1,
        pub num_tx_queues: u16 = 1,
        pub tx_ring_sz: u16 = 256,
        pub rx_ring_sz: u16 = 256,
        pub host_mtu_set: bool,
        pub host_mtu_size: u32,
        pub host_mac_addr_set: bool,
        pub host_mac_addr: MacAddress,
        pub host_ip4_prefix_set: bool,
        pub host_ip4_prefix: Ip4AddressWithPrefix,
        pub host_ip6_prefix_set: bool,
        pub host_ip6_prefix: Ip6AddressWithPrefix,
        pub host_ip4_gw_set: bool,
        pub host_ip4_gw: Ipv4Addr,
        pub host_ip6_gw_set: bool,
        pub host_ip6_gw: Ipv6Addr,
        pub tap_flags: TapFlags,
        pub host_namespace_set: bool,
        pub host_namespace: FixedString<64>,
        pub host_if_name_set: bool,
        pub host_if_name: FixedString<64>,
        pub host_bridge_set: bool,
        pub host_bridge: FixedString<64>,
        pub tag: String,
    }
}

message!(TapCreateV3, "tap_create_v3", 0x3f3fd1df, "tap_create_v3_3f3fd1df", ClientAndContext);

impl crate::Request for TapCreateV3 {
    type Reply = TapCreateV3Reply;
}

wire_struct! {
    /// `tap_create_v3_reply`, CRC 0x5383d31f.
    pub struct TapCreateV3Reply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    TapCreateV3Reply,
    "tap_create_v3_reply",
    0x5383d31f,
    "tap_create_v3_reply_5383d31f",
    Context
);

impl crate::Reply for TapCreateV3Reply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `tap_create_v2`, CRC 0x2d0d6570.
    /// VPP calls it deprecated.
    pub struct TapCreateV2 {
        pub id: u32 = 4294967295,
        pub use_random_mac: bool = true,
        pub mac_address: MacAddress,
        pub num_rx_queues: u8 = 1,
        pub tx_ring_sz: u16 = 256,
        pub rx_ring_sz: u16 = 256,
        pub host_mtu_set: bool,
        pub host_mtu_size: u32,
        pub host_mac_addr_set: bool,
        pub host_mac_addr: MacAddress,
        pub host_ip4_prefix_set: bool,
        pub host_ip4_prefix: Ip4AddressWithPrefix,
        pub host_ip6_prefix_set: bool,
        pub host_ip6_prefix: Ip6AddressWithPrefix,
        pub host_ip4_gw_set: bool,
        pub host_ip4_gw: Ipv4Addr,
        pub host_ip6_gw_set: bool,
        pub host_ip6_gw: Ipv6Addr,
        pub tap_flags: TapFlags,
        pub host_namespace_set: bool,
        pub host_namespace: FixedString<64>,
        pub host_if_name_set: bool,
        pub host_if_name: FixedString<64>,
        pub host_bridge_set: bool,
        pub host_bridge: FixedString<64>,
        pub tag: String,
    }
}

message!(TapCreateV2, "tap_create_v2", 0x2d0d6570, "tap_create_v2_2d0d6570", ClientAndContext);

impl crate::Request for TapCreateV2 {
    type Reply = TapCreateV2Reply;
}

wire_struct! {
    /// `tap_create_v2_reply`, CRC 0x5383d31f.
    /// VPP calls it deprecated.
    pub struct TapCreateV2Reply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    TapCreateV2Reply,
    "tap_create_v2_reply",
    0x5383d31f,
    "tap_create_v2_reply_5383d31f",
    Context
);

impl crate::Reply for TapCreateV2Reply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `tap_delete_v2`, CRC 0xf9e6675e.
    pub struct TapDeleteV2 {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(TapDeleteV2, "tap_delete_v2", 0xf9e6675e, "tap_delete_v2_f9e6675e", ClientAndContext);

impl crate::Request for TapDeleteV2 {
    type Reply = TapDeleteV2Reply;
}

verdict! {
    /// `tap_delete_v2_reply`, CRC 0xe8d4e804.
    TapDeleteV2Reply, "tap_delete_v2_reply", 0xe8d4e804, "tap_delete_v2_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_tap_v2_dump`, CRC 0xf9e6675e.
    pub struct SwInterfaceTapV2Dump {
        pub sw_if_index: InterfaceIndex = InterfaceIndex(4294967295),
    }
}

message!(
    SwInterfaceTapV2Dump,
    "sw_interface_tap_v2_dump",
    0xf9e6675e,
    "sw_interface_tap_v2_dump_f9e6675e",
    ClientAndContext
);

impl crate::Dump for SwInterfaceTapV2Dump {
    type Details = SwInterfaceTapV2Details;
}

wire_struct! {
    /// `sw_interface_tap_v2_details`, CRC 0x1e2b2a47.
    pub struct SwInterfaceTapV2Details {
        pub sw_if_index: u32,
        pub id: u32,
        pub tx_ring_sz: u16,
        pub rx_ring_sz: u16,
        pub host_mtu_size: u32,
        pub host_mac_addr: MacAddress,
        pub host_ip4_prefix: Ip4AddressWithPrefix,
        pub host_ip6_prefix: Ip6AddressWithPrefix,
        pub tap_flags: TapFlags,
        pub dev_name: FixedString<64>,
        pub host_if_name: FixedString<64>,
        pub host_namespace: FixedString<64>,
        pub host_bridge: FixedString<64>,
    }
}

message!(
    SwInterfaceTapV2Details,
    "sw_interface_tap_v2_details",
    0x1e2b2a47,
    "sw_interface_tap_v2_details_1e2b2a47",
    Context
);
