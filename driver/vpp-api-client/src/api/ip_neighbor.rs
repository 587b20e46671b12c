//! `ip_neighbor.api`, version 1.0.1. Written by vpp-api-generator: change that, not this.

use super::interface_types::InterfaceIndex;
use super::ip_types::AddressFamily;
use crate::definition::{flags, message, verdict, wire_struct};
use crate::mac::MacAddress;
use std::net::IpAddr;

flags! {
    /// `ip_neighbor_flags`.
    pub struct IpNeighborFlags(u8) {
        NONE = 0,
        STATIC = 1,
        NO_FIB_ENTRY = 2,
    }
}

flags! {
    /// `ip_neighbor_event_flags`.
    pub struct IpNeighborEventFlags(u32) {
        ADDED = 1,
        REMOVED = 2,
    }
}

wire_struct! {
    /// `ip_neighbor`.
    pub struct IpNeighbor {
        pub sw_if_index: InterfaceIndex,
        pub flags: IpNeighborFlags,
        pub mac_address: MacAddress,
        pub ip_address: IpAddr,
    }
}

wire_struct! {
    /// `ip_neighbor_add_del`, CRC 0x0607c257.
    pub struct IpNeighborAddDel {
        pub is_add: bool,
        pub neighbor: IpNeighbor,
    }
}

message!(
    IpNeighborAddDel,
    "ip_neighbor_add_del",
    0x0607c257,
    "ip_neighbor_add_del_0607c257",
    ClientAndContext
);

impl crate::Request for IpNeighborAddDel {
    type Reply = IpNeighborAddDelReply;
}

wire_struct! {
    /// `ip_neighbor_add_del_reply`, CRC 0x1992deab.
    pub struct IpNeighborAddDelReply {
        pub retval: i32,
        pub stats_index: u32,
    }
}

message!(
    IpNeighborAddDelReply,
    "ip_neighbor_add_del_reply",
    0x1992deab,
    "ip_neighbor_add_del_reply_1992deab",
    Context
);

impl crate::Reply for IpNeighborAddDelReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `ip_neighbor_dump`, CRC 0xd817a484.
    pub struct IpNeighborDump {
        pub sw_if_index: InterfaceIndex = InterfaceIndex(4294967295),
        pub af: AddressFamily,
    }
}

message!(
    IpNeighborDump,
    "ip_neighbor_dump",
    0xd817a484,
    "ip_neighbor_dump_d817a484",
    ClientAndContext
);

impl crate::Dump for IpNeighborDump {
    type Details = IpNeighborDetails;
}

wire_struct! {
    /// `ip_neighbor_details`, CRC 0xe29d79f0.
    pub struct IpNeighborDetails {
        pub age: f64,
        pub neighbor: IpNeighbor,
    }
}

message!(
    IpNeighborDetails,
    "ip_neighbor_details",
    0xe29d79f0,
    "ip_neighbor_details_e29d79f0",
    Context
);

wire_struct! {
    /// `ip_neighbor_config`, CRC 0xf4a5cf44.
    pub struct IpNeighborConfig {
        pub af: AddressFamily,
        pub max_number: u32,
        pub max_age: u32,
        pub recycle: bool,
    }
}

message!(
    IpNeighborConfig,
    "ip_neighbor_config",
    0xf4a5cf44,
    "ip_neighbor_config_f4a5cf44",
    ClientAndContext
);

impl crate::Request for IpNeighborConfig {
    type Reply = IpNeighborConfigReply;
}

verdict! {
    /// `ip_neighbor_config_reply`, CRC 0xe8d4e804.
    IpNeighborConfigReply, "ip_neighbor_config_reply", 0xe8d4e804, "ip_neighbor_config_reply_e8d4e804"
}

wire_struct! {
    /// `ip_neighbor_flush`, CRC 0x16aa35d2.
    pub struct IpNeighborFlush {
        pub af: AddressFamily,
        pub sw_if_index: InterfaceIndex = InterfaceIndex(4294967295),
    }
}

message!(
    IpNeighborFlush,
    "ip_neighbor_flush",
    0x16aa35d2,
    "ip_neighbor_flush_16aa35d2",
    ClientAndContext
);

impl crate::Request for IpNeighborFlush {
    type Reply = IpNeighborFlushReply;
}

verdict! {
    /// `ip_neighbor_flush_reply`, CRC 0xe8d4e804.
    IpNeighborFlushReply, "ip_neighbor_flush_reply", 0xe8d4e804, "ip_neighbor_flush_reply_e8d4e804"
}

wire_struct! {
    /// `want_ip_neighbor_events_v2`, CRC 0x73e70a86.
    pub struct WantIpNeighborEventsV2 {
        pub enable: bool,
        pub pid: u32,
        pub ip: IpAddr,
        pub sw_if_index: InterfaceIndex = InterfaceIndex(4294967295),
    }
}

message!(
    WantIpNeighborEventsV2,
    "want_ip_neighbor_events_v2",
    0x73e70a86,
    "want_ip_neighbor_events_v2_73e70a86",
    ClientAndContext
);

impl crate::Request for WantIpNeighborEventsV2 {
    type Reply = WantIpNeighborEventsV2Reply;
}

verdict! {
    /// `want_ip_neighbor_events_v2_reply`, CRC 0xe8d4e804.
    WantIpNeighborEventsV2Reply, "want_ip_neighbor_events_v2_reply", 0xe8d4e804, "want_ip_neighbor_events_v2_reply_e8d4e804"
}

wire_struct! {
    /// `ip_neighbor_event_v2`, CRC 0xc1d53dc0.
    pub struct IpNeighborEventV2 {
        pub pid: u32,
        pub flags: IpNeighborEventFlags,
        pub neighbor: IpNeighbor,
    }
}

message!(
    IpNeighborEventV2,
    "ip_neighbor_event_v2",
    0xc1d53dc0,
    "ip_neighbor_event_v2_c1d53dc0",
    Client
);

impl crate::Event for IpNeighborEventV2 {}
