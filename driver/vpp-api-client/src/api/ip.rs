//! `ip.api`, version 3.2.0. Written by vpp-api-generator: change that, not this.

use super::fib_types::FibPath;
use super::interface_types::InterfaceIndex;
use super::ip_types::AddressWithPrefix;
use super::ip_types::Prefix;
use crate::definition::{default_is_zero, message, verdict, wire_struct};
use crate::wire::FixedString;
use crate::wire::{DecodeError, EncodeError, Reader, Wire, Writer};
use std::net::Ipv6Addr;

wire_struct! {
    /// `ip_table`.
    pub struct IpTable {
        pub table_id: u32,
        pub is_ip6: bool,
        pub name: FixedString<64>,
    }
}

/// `ip_route`.
#[derive(Debug, Clone, PartialEq)]
pub struct IpRoute {
    pub table_id: u32,
    pub stats_index: u32,
    pub prefix: Prefix,
    pub paths: Vec<FibPath>,
}

impl Wire for IpRoute {
    fn zero() -> Self {
        Self {
            table_id: Wire::zero(),
            stats_index: Wire::zero(),
            prefix: Wire::zero(),
            paths: Vec::new(),
        }
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.table_id.encode(to)?;
        self.stats_index.encode(to)?;
        self.prefix.encode(to)?;
        to.count::<u8>("paths", self.paths.len())?;
        to.list(&self.paths)?;
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let table_id = Wire::decode(from)?;
        let stats_index = Wire::decode(from)?;
        let prefix = Wire::decode(from)?;
        let n_paths = u8::decode(from)?;
        let paths = from.list(n_paths as usize)?;
        Ok(Self { table_id, stats_index, prefix, paths })
    }
}

default_is_zero!(IpRoute);

/// `ip_route_v2`.
#[derive(Debug, Clone, PartialEq)]
pub struct IpRouteV2 {
    pub table_id: u32,
    pub stats_index: u32,
    pub prefix: Prefix,
    pub src: u8,
    pub paths: Vec<FibPath>,
}

impl Wire for IpRouteV2 {
    fn zero() -> Self {
        Self {
            table_id: Wire::zero(),
            stats_index: Wire::zero(),
            prefix: Wire::zero(),
            src: Wire::zero(),
            paths: Vec::new(),
        }
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.table_id.encode(to)?;
        self.stats_index.encode(to)?;
        self.prefix.encode(to)?;
        to.count::<u8>("paths", self.paths.len())?;
        self.src.encode(to)?;
        to.list(&self.paths)?;
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let table_id = Wire::decode(from)?;
        let stats_index = Wire::decode(from)?;
        let prefix = Wire::decode(from)?;
        let n_paths = u8::decode(from)?;
        let src = Wire::decode(from)?;
        let paths = from.list(n_paths as usize)?;
        Ok(Self { table_id, stats_index, prefix, src, paths })
    }
}

default_is_zero!(IpRouteV2);

wire_struct! {
    /// `ip_table_add_del`, CRC 0x0ffdaec0.
    pub struct IpTableAddDel {
        pub is_add: bool = true,
        pub table: IpTable,
    }
}

message!(
    IpTableAddDel,
    "ip_table_add_del",
    0x0ffdaec0,
    "ip_table_add_del_0ffdaec0",
    ClientAndContext
);

impl crate::Request for IpTableAddDel {
    type Reply = IpTableAddDelReply;
}

verdict! {
    /// `ip_table_add_del_reply`, CRC 0xe8d4e804.
    IpTableAddDelReply, "ip_table_add_del_reply", 0xe8d4e804, "ip_table_add_del_reply_e8d4e804"
}

wire_struct! {
    /// `ip_table_add_del_v2`, CRC 0x14e5081f.
    pub struct IpTableAddDelV2 {
        pub table: IpTable,
        pub create_mfib: bool = true,
        pub is_add: bool = true,
    }
}

message!(
    IpTableAddDelV2,
    "ip_table_add_del_v2",
    0x14e5081f,
    "ip_table_add_del_v2_14e5081f",
    ClientAndContext
);

impl crate::Request for IpTableAddDelV2 {
    type Reply = IpTableAddDelV2Reply;
}

verdict! {
    /// `ip_table_add_del_v2_reply`, CRC 0xe8d4e804.
    IpTableAddDelV2Reply, "ip_table_add_del_v2_reply", 0xe8d4e804, "ip_table_add_del_v2_reply_e8d4e804"
}

wire_struct! {
    /// `ip_table_allocate`, CRC 0xb9d2e09e.
    pub struct IpTableAllocate {
        pub table: IpTable,
    }
}

message!(
    IpTableAllocate,
    "ip_table_allocate",
    0xb9d2e09e,
    "ip_table_allocate_b9d2e09e",
    ClientAndContext
);

impl crate::Request for IpTableAllocate {
    type Reply = IpTableAllocateReply;
}

wire_struct! {
    /// `ip_table_allocate_reply`, CRC 0x1728303a.
    pub struct IpTableAllocateReply {
        pub retval: i32,
        pub table: IpTable,
    }
}

message!(
    IpTableAllocateReply,
    "ip_table_allocate_reply",
    0x1728303a,
    "ip_table_allocate_reply_1728303a",
    Context
);

impl crate::Reply for IpTableAllocateReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `ip_table_dump`, CRC 0x51077d14.
    pub struct IpTableDump {}
}

message!(IpTableDump, "ip_table_dump", 0x51077d14, "ip_table_dump_51077d14", ClientAndContext);

impl crate::Dump for IpTableDump {
    type Details = IpTableDetails;
}

wire_struct! {
    /// `ip_table_replace_begin`, CRC 0xb9d2e09e.
    pub struct IpTableReplaceBegin {
        pub table: IpTable,
    }
}

message!(
    IpTableReplaceBegin,
    "ip_table_replace_begin",
    0xb9d2e09e,
    "ip_table_replace_begin_b9d2e09e",
    ClientAndContext
);

impl crate::Request for IpTableReplaceBegin {
    type Reply = IpTableReplaceBeginReply;
}

verdict! {
    /// `ip_table_replace_begin_reply`, CRC 0xe8d4e804.
    IpTableReplaceBeginReply, "ip_table_replace_begin_reply", 0xe8d4e804, "ip_table_replace_begin_reply_e8d4e804"
}

wire_struct! {
    /// `ip_table_replace_end`, CRC 0xb9d2e09e.
    pub struct IpTableReplaceEnd {
        pub table: IpTable,
    }
}

message!(
    IpTableReplaceEnd,
    "ip_table_replace_end",
    0xb9d2e09e,
    "ip_table_replace_end_b9d2e09e",
    ClientAndContext
);

impl crate::Request for IpTableReplaceEnd {
    type Reply = IpTableReplaceEndReply;
}

verdict! {
    /// `ip_table_replace_end_reply`, CRC 0xe8d4e804.
    IpTableReplaceEndReply, "ip_table_replace_end_reply", 0xe8d4e804, "ip_table_replace_end_reply_e8d4e804"
}

wire_struct! {
    /// `ip_table_flush`, CRC 0xb9d2e09e.
    pub struct IpTableFlush {
        pub table: IpTable,
    }
}

message!(IpTableFlush, "ip_table_flush", 0xb9d2e09e, "ip_table_flush_b9d2e09e", ClientAndContext);

impl crate::Request for IpTableFlush {
    type Reply = IpTableFlushReply;
}

verdict! {
    /// `ip_table_flush_reply`, CRC 0xe8d4e804.
    IpTableFlushReply, "ip_table_flush_reply", 0xe8d4e804, "ip_table_flush_reply_e8d4e804"
}

wire_struct! {
    /// `ip_table_details`, CRC 0xc79fca0f.
    pub struct IpTableDetails {
        pub table: IpTable,
    }
}

message!(IpTableDetails, "ip_table_details", 0xc79fca0f, "ip_table_details_c79fca0f", Context);

wire_struct! {
    /// `ip_route_add_del`, CRC 0xb8ecfe0d.
    pub struct IpRouteAddDel {
        pub is_add: bool = true,
        pub is_multipath: bool,
        pub route: IpRoute,
    }
}

message!(
    IpRouteAddDel,
    "ip_route_add_del",
    0xb8ecfe0d,
    "ip_route_add_del_b8ecfe0d",
    ClientAndContext
);

impl crate::Request for IpRouteAddDel {
    type Reply = IpRouteAddDelReply;
}

wire_struct! {
    /// `ip_route_add_del_v2`, CRC 0x521ef330.
    pub struct IpRouteAddDelV2 {
        pub is_add: bool = true,
        pub is_multipath: bool,
        pub route: IpRouteV2,
    }
}

message!(
    IpRouteAddDelV2,
    "ip_route_add_del_v2",
    0x521ef330,
    "ip_route_add_del_v2_521ef330",
    ClientAndContext
);

impl crate::Request for IpRouteAddDelV2 {
    type Reply = IpRouteAddDelV2Reply;
}

wire_struct! {
    /// `ip_route_add_del_reply`, CRC 0x1992deab.
    pub struct IpRouteAddDelReply {
        pub retval: i32,
        pub stats_index: u32,
    }
}

message!(
    IpRouteAddDelReply,
    "ip_route_add_del_reply",
    0x1992deab,
    "ip_route_add_del_reply_1992deab",
    Context
);

impl crate::Reply for IpRouteAddDelReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `ip_route_add_del_v2_reply`, CRC 0x1992deab.
    pub struct IpRouteAddDelV2Reply {
        pub retval: i32,
        pub stats_index: u32,
    }
}

message!(
    IpRouteAddDelV2Reply,
    "ip_route_add_del_v2_reply",
    0x1992deab,
    "ip_route_add_del_v2_reply_1992deab",
    Context
);

impl crate::Reply for IpRouteAddDelV2Reply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `ip_route_dump`, CRC 0xb9d2e09e.
    pub struct IpRouteDump {
        pub table: IpTable,
    }
}

message!(IpRouteDump, "ip_route_dump", 0xb9d2e09e, "ip_route_dump_b9d2e09e", ClientAndContext);

impl crate::Dump for IpRouteDump {
    type Details = IpRouteDetails;
}

wire_struct! {
    /// `ip_route_v2_dump`, CRC 0xd16f72e6.
    pub struct IpRouteV2Dump {
        pub src: u8,
        pub table: IpTable,
    }
}

message!(
    IpRouteV2Dump,
    "ip_route_v2_dump",
    0xd16f72e6,
    "ip_route_v2_dump_d16f72e6",
    ClientAndContext
);

impl crate::Dump for IpRouteV2Dump {
    type Details = IpRouteV2Details;
}

wire_struct! {
    /// `ip_route_details`, CRC 0xbda8f315.
    pub struct IpRouteDetails {
        pub route: IpRoute,
    }
}

message!(IpRouteDetails, "ip_route_details", 0xbda8f315, "ip_route_details_bda8f315", Context);

wire_struct! {
    /// `ip_route_v2_details`, CRC 0xb09aa6c0.
    pub struct IpRouteV2Details {
        pub route: IpRouteV2,
    }
}

message!(
    IpRouteV2Details,
    "ip_route_v2_details",
    0xb09aa6c0,
    "ip_route_v2_details_b09aa6c0",
    Context
);

wire_struct! {
    /// `ip_route_lookup`, CRC 0x710d6471.
    pub struct IpRouteLookup {
        pub table_id: u32,
        pub exact: u8,
        pub prefix: Prefix,
    }
}

message!(
    IpRouteLookup,
    "ip_route_lookup",
    0x710d6471,
    "ip_route_lookup_710d6471",
    ClientAndContext
);

impl crate::Request for IpRouteLookup {
    type Reply = IpRouteLookupReply;
}

wire_struct! {
    /// `ip_route_lookup_v2`, CRC 0x710d6471.
    pub struct IpRouteLookupV2 {
        pub table_id: u32,
        pub exact: u8,
        pub prefix: Prefix,
    }
}

message!(
    IpRouteLookupV2,
    "ip_route_lookup_v2",
    0x710d6471,
    "ip_route_lookup_v2_710d6471",
    ClientAndContext
);

impl crate::Request for IpRouteLookupV2 {
    type Reply = IpRouteLookupV2Reply;
}

wire_struct! {
    /// `ip_route_lookup_reply`, CRC 0x5d8febcb.
    pub struct IpRouteLookupReply {
        pub retval: i32,
        pub route: IpRoute,
    }
}

message!(
    IpRouteLookupReply,
    "ip_route_lookup_reply",
    0x5d8febcb,
    "ip_route_lookup_reply_5d8febcb",
    Context
);

impl crate::Reply for IpRouteLookupReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `ip_route_lookup_v2_reply`, CRC 0x84cc9e03.
    pub struct IpRouteLookupV2Reply {
        pub retval: i32,
        pub route: IpRouteV2,
    }
}

message!(
    IpRouteLookupV2Reply,
    "ip_route_lookup_v2_reply",
    0x84cc9e03,
    "ip_route_lookup_v2_reply_84cc9e03",
    Context
);

impl crate::Reply for IpRouteLookupV2Reply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `sw_interface_ip6_enable_disable`, CRC 0xae6cfcfb.
    pub struct SwInterfaceIp6EnableDisable {
        pub sw_if_index: InterfaceIndex,
        pub enable: bool,
    }
}

message!(
    SwInterfaceIp6EnableDisable,
    "sw_interface_ip6_enable_disable",
    0xae6cfcfb,
    "sw_interface_ip6_enable_disable_ae6cfcfb",
    ClientAndContext
);

impl crate::Request for SwInterfaceIp6EnableDisable {
    type Reply = SwInterfaceIp6EnableDisableReply;
}

verdict! {
    /// `sw_interface_ip6_enable_disable_reply`, CRC 0xe8d4e804.
    SwInterfaceIp6EnableDisableReply, "sw_interface_ip6_enable_disable_reply", 0xe8d4e804, "sw_interface_ip6_enable_disable_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_ip4_enable_disable`, CRC 0xae6cfcfb.
    pub struct SwInterfaceIp4EnableDisable {
        pub sw_if_index: InterfaceIndex,
        pub enable: bool,
    }
}

message!(
    SwInterfaceIp4EnableDisable,
    "sw_interface_ip4_enable_disable",
    0xae6cfcfb,
    "sw_interface_ip4_enable_disable_ae6cfcfb",
    ClientAndContext
);

impl crate::Request for SwInterfaceIp4EnableDisable {
    type Reply = SwInterfaceIp4EnableDisableReply;
}

verdict! {
    /// `sw_interface_ip4_enable_disable_reply`, CRC 0xe8d4e804.
    SwInterfaceIp4EnableDisableReply, "sw_interface_ip4_enable_disable_reply", 0xe8d4e804, "sw_interface_ip4_enable_disable_reply_e8d4e804"
}

wire_struct! {
    /// `ip_address_details`, CRC 0xee29b797.
    pub struct IpAddressDetails {
        pub sw_if_index: InterfaceIndex,
        pub prefix: AddressWithPrefix,
    }
}

message!(
    IpAddressDetails,
    "ip_address_details",
    0xee29b797,
    "ip_address_details_ee29b797",
    Context
);

wire_struct! {
    /// `ip_address_dump`, CRC 0x2d033de4.
    pub struct IpAddressDump {
        pub sw_if_index: InterfaceIndex,
        pub is_ipv6: bool,
    }
}

message!(
    IpAddressDump,
    "ip_address_dump",
    0x2d033de4,
    "ip_address_dump_2d033de4",
    ClientAndContext
);

impl crate::Dump for IpAddressDump {
    type Details = IpAddressDetails;
}

wire_struct! {
    /// `ip_unnumbered_details`, CRC 0xcc59bd42.
    pub struct IpUnnumberedDetails {
        pub sw_if_index: InterfaceIndex,
        pub ip_sw_if_index: InterfaceIndex,
    }
}

message!(
    IpUnnumberedDetails,
    "ip_unnumbered_details",
    0xcc59bd42,
    "ip_unnumbered_details_cc59bd42",
    Context
);

wire_struct! {
    /// `ip_unnumbered_dump`, CRC 0xf9e6675e.
    pub struct IpUnnumberedDump {
        pub sw_if_index: InterfaceIndex = InterfaceIndex(4294967295),
    }
}

message!(
    IpUnnumberedDump,
    "ip_unnumbered_dump",
    0xf9e6675e,
    "ip_unnumbered_dump_f9e6675e",
    ClientAndContext
);

impl crate::Dump for IpUnnumberedDump {
    type Details = IpUnnumberedDetails;
}

wire_struct! {
    /// `ip_details`, CRC 0xeb152d07.
    pub struct IpDetails {
        pub sw_if_index: InterfaceIndex,
        pub is_ipv6: bool,
    }
}

message!(IpDetails, "ip_details", 0xeb152d07, "ip_details_eb152d07", Context);

wire_struct! {
    /// `ip_dump`, CRC 0x98d231ca.
    pub struct IpDump {
        pub is_ipv6: bool,
    }
}

message!(IpDump, "ip_dump", 0x98d231ca, "ip_dump_98d231ca", ClientAndContext);

impl crate::Dump for IpDump {
    type Details = IpDetails;
}

wire_struct! {
    /// `sw_interface_ip6_set_link_local_address`, CRC 0x1c10f15f.
    pub struct SwInterfaceIp6SetLinkLocalAddress {
        pub sw_if_index: InterfaceIndex,
        pub ip: Ipv6Addr,
    }
}

message!(
    SwInterfaceIp6SetLinkLocalAddress,
    "sw_interface_ip6_set_link_local_address",
    0x1c10f15f,
    "sw_interface_ip6_set_link_local_address_1c10f15f",
    ClientAndContext
);

impl crate::Request for SwInterfaceIp6SetLinkLocalAddress {
    type Reply = SwInterfaceIp6SetLinkLocalAddressReply;
}

verdict! {
    /// `sw_interface_ip6_set_link_local_address_reply`, CRC 0xe8d4e804.
    SwInterfaceIp6SetLinkLocalAddressReply, "sw_interface_ip6_set_link_local_address_reply", 0xe8d4e804, "sw_interface_ip6_set_link_local_address_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_ip6_get_link_local_address`, CRC 0xf9e6675e.
    pub struct SwInterfaceIp6GetLinkLocalAddress {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    SwInterfaceIp6GetLinkLocalAddress,
    "sw_interface_ip6_get_link_local_address",
    0xf9e6675e,
    "sw_interface_ip6_get_link_local_address_f9e6675e",
    ClientAndContext
);

impl crate::Request for SwInterfaceIp6GetLinkLocalAddress {
    type Reply = SwInterfaceIp6GetLinkLocalAddressReply;
}

wire_struct! {
    /// `sw_interface_ip6_get_link_local_address_reply`, CRC 0xd16b7130.
    pub struct SwInterfaceIp6GetLinkLocalAddressReply {
        pub retval: i32,
        pub ip: Ipv6Addr,
    }
}

message!(
    SwInterfaceIp6GetLinkLocalAddressReply,
    "sw_interface_ip6_get_link_local_address_reply",
    0xd16b7130,
    "sw_interface_ip6_get_link_local_address_reply_d16b7130",
    Context
);

impl crate::Reply for SwInterfaceIp6GetLinkLocalAddressReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}
