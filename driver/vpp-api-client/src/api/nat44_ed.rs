//! `nat44_ed.api`, version 5.5.0. Written by vpp-api-generator: change that, not this.

use super::interface_types::InterfaceIndex;
use super::nat_types::NatConfigFlags;
use super::nat_types::NatLogLevel;
use super::nat_types::NatTimeouts;
use crate::definition::{default_is_zero, flags, message, verdict, wire_struct};
use crate::wire::FixedString;
use crate::wire::{DecodeError, EncodeError, Reader, Wire, Writer};
use std::net::Ipv4Addr;

flags! {
    /// `nat44_config_flags`.
    pub struct Nat44ConfigFlags(u8) {
        ENDPOINT_INDEPENDENT = 0,
        ENDPOINT_DEPENDENT = 1,
        STATIC_MAPPING_ONLY = 2,
        CONNECTION_TRACKING = 4,
        OUT2IN_DPO = 8,
    }
}

wire_struct! {
    /// `nat44_ed_plugin_enable_disable`, CRC 0xbe17f8dd.
    pub struct Nat44EdPluginEnableDisable {
        pub inside_vrf: u32,
        pub outside_vrf: u32,
        pub sessions: u32,
        pub session_memory: u32,
        pub enable: bool,
        pub flags: Nat44ConfigFlags,
    }
}

message!(
    Nat44EdPluginEnableDisable,
    "nat44_ed_plugin_enable_disable",
    0xbe17f8dd,
    "nat44_ed_plugin_enable_disable_be17f8dd",
    ClientAndContext
);

impl crate::Request for Nat44EdPluginEnableDisable {
    type Reply = Nat44EdPluginEnableDisableReply;
}

verdict! {
    /// `nat44_ed_plugin_enable_disable_reply`, CRC 0xe8d4e804.
    Nat44EdPluginEnableDisableReply, "nat44_ed_plugin_enable_disable_reply", 0xe8d4e804, "nat44_ed_plugin_enable_disable_reply_e8d4e804"
}

wire_struct! {
    /// `nat44_forwarding_enable_disable`, CRC 0xb3e225d2.
    /// VPP calls it deprecated.
    pub struct Nat44ForwardingEnableDisable {
        pub enable: bool,
    }
}

message!(
    Nat44ForwardingEnableDisable,
    "nat44_forwarding_enable_disable",
    0xb3e225d2,
    "nat44_forwarding_enable_disable_b3e225d2",
    ClientAndContext
);

impl crate::Request for Nat44ForwardingEnableDisable {
    type Reply = Nat44ForwardingEnableDisableReply;
}

verdict! {
    /// `nat44_forwarding_enable_disable_reply`, CRC 0xe8d4e804.
    /// VPP calls it deprecated.
    Nat44ForwardingEnableDisableReply, "nat44_forwarding_enable_disable_reply", 0xe8d4e804, "nat44_forwarding_enable_disable_reply_e8d4e804"
}

wire_struct! {
    /// `nat_set_timeouts`, CRC 0xd4746b16.
    /// VPP calls it deprecated.
    pub struct NatSetTimeouts {
        pub udp: u32,
        pub tcp_established: u32,
        pub tcp_transitory: u32,
        pub icmp: u32,
    }
}

message!(
    NatSetTimeouts,
    "nat_set_timeouts",
    0xd4746b16,
    "nat_set_timeouts_d4746b16",
    ClientAndContext
);

impl crate::Request for NatSetTimeouts {
    type Reply = NatSetTimeoutsReply;
}

verdict! {
    /// `nat_set_timeouts_reply`, CRC 0xe8d4e804.
    /// VPP calls it deprecated.
    NatSetTimeoutsReply, "nat_set_timeouts_reply", 0xe8d4e804, "nat_set_timeouts_reply_e8d4e804"
}

wire_struct! {
    /// `nat44_set_session_limit`, CRC 0x8899bbb1.
    pub struct Nat44SetSessionLimit {
        pub session_limit: u32,
        pub vrf_id: u32,
    }
}

message!(
    Nat44SetSessionLimit,
    "nat44_set_session_limit",
    0x8899bbb1,
    "nat44_set_session_limit_8899bbb1",
    ClientAndContext
);

impl crate::Request for Nat44SetSessionLimit {
    type Reply = Nat44SetSessionLimitReply;
}

verdict! {
    /// `nat44_set_session_limit_reply`, CRC 0xe8d4e804.
    Nat44SetSessionLimitReply, "nat44_set_session_limit_reply", 0xe8d4e804, "nat44_set_session_limit_reply_e8d4e804"
}

wire_struct! {
    /// `nat44_show_running_config`, CRC 0x51077d14.
    pub struct Nat44ShowRunningConfig {}
}

message!(
    Nat44ShowRunningConfig,
    "nat44_show_running_config",
    0x51077d14,
    "nat44_show_running_config_51077d14",
    ClientAndContext
);

impl crate::Request for Nat44ShowRunningConfig {
    type Reply = Nat44ShowRunningConfigReply;
}

wire_struct! {
    /// `nat44_show_running_config_reply`, CRC 0x93d8e267.
    pub struct Nat44ShowRunningConfigReply {
        pub retval: i32,
        pub inside_vrf: u32,
        pub outside_vrf: u32,
        pub users: u32,
        pub sessions: u32,
        pub user_sessions: u32,
        pub user_buckets: u32,
        pub translation_buckets: u32,
        pub forwarding_enabled: bool,
        pub ipfix_logging_enabled: bool,
        pub timeouts: NatTimeouts,
        pub log_level: NatLogLevel,
        pub flags: Nat44ConfigFlags,
    }
}

message!(
    Nat44ShowRunningConfigReply,
    "nat44_show_running_config_reply",
    0x93d8e267,
    "nat44_show_running_config_reply_93d8e267",
    Context
);

impl crate::Reply for Nat44ShowRunningConfigReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `nat44_ed_add_del_vrf_table`, CRC 0x08330904.
    pub struct Nat44EdAddDelVrfTable {
        pub table_vrf_id: u32,
        pub is_add: bool,
    }
}

message!(
    Nat44EdAddDelVrfTable,
    "nat44_ed_add_del_vrf_table",
    0x08330904,
    "nat44_ed_add_del_vrf_table_08330904",
    ClientAndContext
);

impl crate::Request for Nat44EdAddDelVrfTable {
    type Reply = Nat44EdAddDelVrfTableReply;
}

verdict! {
    /// `nat44_ed_add_del_vrf_table_reply`, CRC 0xe8d4e804.
    Nat44EdAddDelVrfTableReply, "nat44_ed_add_del_vrf_table_reply", 0xe8d4e804, "nat44_ed_add_del_vrf_table_reply_e8d4e804"
}

wire_struct! {
    /// `nat44_ed_add_del_vrf_route`, CRC 0x59187407.
    pub struct Nat44EdAddDelVrfRoute {
        pub table_vrf_id: u32,
        pub vrf_id: u32,
        pub is_add: bool,
    }
}

message!(
    Nat44EdAddDelVrfRoute,
    "nat44_ed_add_del_vrf_route",
    0x59187407,
    "nat44_ed_add_del_vrf_route_59187407",
    ClientAndContext
);

impl crate::Request for Nat44EdAddDelVrfRoute {
    type Reply = Nat44EdAddDelVrfRouteReply;
}

verdict! {
    /// `nat44_ed_add_del_vrf_route_reply`, CRC 0xe8d4e804.
    Nat44EdAddDelVrfRouteReply, "nat44_ed_add_del_vrf_route_reply", 0xe8d4e804, "nat44_ed_add_del_vrf_route_reply_e8d4e804"
}

wire_struct! {
    /// `nat44_ed_vrf_tables_v2_dump`, CRC 0x51077d14.
    pub struct Nat44EdVrfTablesV2Dump {}
}

message!(
    Nat44EdVrfTablesV2Dump,
    "nat44_ed_vrf_tables_v2_dump",
    0x51077d14,
    "nat44_ed_vrf_tables_v2_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for Nat44EdVrfTablesV2Dump {
    type Details = Nat44EdVrfTablesV2Details;
}

/// `nat44_ed_vrf_tables_v2_details`, CRC 0x7b264e4f.
#[derive(Debug, Clone, PartialEq)]
pub struct Nat44EdVrfTablesV2Details {
    pub table_vrf_id: u32,
    pub vrf_ids: Vec<u32>,
}

impl Wire for Nat44EdVrfTablesV2Details {
    fn zero() -> Self {
        Self { table_vrf_id: Wire::zero(), vrf_ids: Vec::new() }
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.table_vrf_id.encode(to)?;
        to.count::<u32>("vrf_ids", self.vrf_ids.len())?;
        to.list(&self.vrf_ids)?;
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let table_vrf_id = Wire::decode(from)?;
        let n_vrf_ids = u32::decode(from)?;
        let vrf_ids = from.list(n_vrf_ids as usize)?;
        Ok(Self { table_vrf_id, vrf_ids })
    }
}

default_is_zero!(Nat44EdVrfTablesV2Details);

message!(
    Nat44EdVrfTablesV2Details,
    "nat44_ed_vrf_tables_v2_details",
    0x7b264e4f,
    "nat44_ed_vrf_tables_v2_details_7b264e4f",
    Context
);

wire_struct! {
    /// `nat_set_mss_clamping`, CRC 0x25e90abb.
    pub struct NatSetMssClamping {
        pub mss_value: u16,
        pub enable: bool,
    }
}

message!(
    NatSetMssClamping,
    "nat_set_mss_clamping",
    0x25e90abb,
    "nat_set_mss_clamping_25e90abb",
    ClientAndContext
);

impl crate::Request for NatSetMssClamping {
    type Reply = NatSetMssClampingReply;
}

verdict! {
    /// `nat_set_mss_clamping_reply`, CRC 0xe8d4e804.
    NatSetMssClampingReply, "nat_set_mss_clamping_reply", 0xe8d4e804, "nat_set_mss_clamping_reply_e8d4e804"
}

wire_struct! {
    /// `nat_get_mss_clamping`, CRC 0x51077d14.
    pub struct NatGetMssClamping {}
}

message!(
    NatGetMssClamping,
    "nat_get_mss_clamping",
    0x51077d14,
    "nat_get_mss_clamping_51077d14",
    ClientAndContext
);

impl crate::Request for NatGetMssClamping {
    type Reply = NatGetMssClampingReply;
}

wire_struct! {
    /// `nat_get_mss_clamping_reply`, CRC 0x1c0b2a78.
    pub struct NatGetMssClampingReply {
        pub retval: i32,
        pub mss_value: u16,
        pub enable: bool,
    }
}

message!(
    NatGetMssClampingReply,
    "nat_get_mss_clamping_reply",
    0x1c0b2a78,
    "nat_get_mss_clamping_reply_1c0b2a78",
    Context
);

impl crate::Reply for NatGetMssClampingReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `nat44_add_del_interface_addr`, CRC 0x4aed50c0.
    pub struct Nat44AddDelInterfaceAddr {
        pub is_add: bool,
        pub sw_if_index: InterfaceIndex,
        pub flags: NatConfigFlags,
    }
}

message!(
    Nat44AddDelInterfaceAddr,
    "nat44_add_del_interface_addr",
    0x4aed50c0,
    "nat44_add_del_interface_addr_4aed50c0",
    ClientAndContext
);

impl crate::Request for Nat44AddDelInterfaceAddr {
    type Reply = Nat44AddDelInterfaceAddrReply;
}

verdict! {
    /// `nat44_add_del_interface_addr_reply`, CRC 0xe8d4e804.
    Nat44AddDelInterfaceAddrReply, "nat44_add_del_interface_addr_reply", 0xe8d4e804, "nat44_add_del_interface_addr_reply_e8d4e804"
}

wire_struct! {
    /// `nat44_interface_addr_dump`, CRC 0x51077d14.
    pub struct Nat44InterfaceAddrDump {}
}

message!(
    Nat44InterfaceAddrDump,
    "nat44_interface_addr_dump",
    0x51077d14,
    "nat44_interface_addr_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for Nat44InterfaceAddrDump {
    type Details = Nat44InterfaceAddrDetails;
}

wire_struct! {
    /// `nat44_interface_addr_details`, CRC 0xe4aca9ca.
    pub struct Nat44InterfaceAddrDetails {
        pub sw_if_index: InterfaceIndex,
        pub flags: NatConfigFlags,
    }
}

message!(
    Nat44InterfaceAddrDetails,
    "nat44_interface_addr_details",
    0xe4aca9ca,
    "nat44_interface_addr_details_e4aca9ca",
    Context
);

wire_struct! {
    /// `nat44_add_del_address_range`, CRC 0x6f2b8055.
    pub struct Nat44AddDelAddressRange {
        pub first_ip_address: Ipv4Addr,
        pub last_ip_address: Ipv4Addr,
        pub vrf_id: u32,
        pub is_add: bool,
        pub flags: NatConfigFlags,
    }
}

message!(
    Nat44AddDelAddressRange,
    "nat44_add_del_address_range",
    0x6f2b8055,
    "nat44_add_del_address_range_6f2b8055",
    ClientAndContext
);

impl crate::Request for Nat44AddDelAddressRange {
    type Reply = Nat44AddDelAddressRangeReply;
}

verdict! {
    /// `nat44_add_del_address_range_reply`, CRC 0xe8d4e804.
    Nat44AddDelAddressRangeReply, "nat44_add_del_address_range_reply", 0xe8d4e804, "nat44_add_del_address_range_reply_e8d4e804"
}

wire_struct! {
    /// `nat44_address_dump`, CRC 0x51077d14.
    pub struct Nat44AddressDump {}
}

message!(
    Nat44AddressDump,
    "nat44_address_dump",
    0x51077d14,
    "nat44_address_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for Nat44AddressDump {
    type Details = Nat44AddressDetails;
}

wire_struct! {
    /// `nat44_address_details`, CRC 0x0d1beac1.
    pub struct Nat44AddressDetails {
        pub ip_address: Ipv4Addr,
        pub flags: NatConfigFlags,
        pub vrf_id: u32,
    }
}

message!(
    Nat44AddressDetails,
    "nat44_address_details",
    0x0d1beac1,
    "nat44_address_details_0d1beac1",
    Context
);

wire_struct! {
    /// `nat44_interface_add_del_feature`, CRC 0xf3699b83.
    pub struct Nat44InterfaceAddDelFeature {
        pub is_add: bool,
        pub flags: NatConfigFlags,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    Nat44InterfaceAddDelFeature,
    "nat44_interface_add_del_feature",
    0xf3699b83,
    "nat44_interface_add_del_feature_f3699b83",
    ClientAndContext
);

impl crate::Request for Nat44InterfaceAddDelFeature {
    type Reply = Nat44InterfaceAddDelFeatureReply;
}

verdict! {
    /// `nat44_interface_add_del_feature_reply`, CRC 0xe8d4e804.
    Nat44InterfaceAddDelFeatureReply, "nat44_interface_add_del_feature_reply", 0xe8d4e804, "nat44_interface_add_del_feature_reply_e8d4e804"
}

wire_struct! {
    /// `nat44_interface_dump`, CRC 0x51077d14.
    pub struct Nat44InterfaceDump {}
}

message!(
    Nat44InterfaceDump,
    "nat44_interface_dump",
    0x51077d14,
    "nat44_interface_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for Nat44InterfaceDump {
    type Details = Nat44InterfaceDetails;
}

wire_struct! {
    /// `nat44_interface_details`, CRC 0x5d286289.
    pub struct Nat44InterfaceDetails {
        pub flags: NatConfigFlags,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    Nat44InterfaceDetails,
    "nat44_interface_details",
    0x5d286289,
    "nat44_interface_details_5d286289",
    Context
);

wire_struct! {
    /// `nat44_ed_add_del_output_interface`, CRC 0x47d6e753.
    pub struct Nat44EdAddDelOutputInterface {
        pub is_add: bool,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    Nat44EdAddDelOutputInterface,
    "nat44_ed_add_del_output_interface",
    0x47d6e753,
    "nat44_ed_add_del_output_interface_47d6e753",
    ClientAndContext
);

impl crate::Request for Nat44EdAddDelOutputInterface {
    type Reply = Nat44EdAddDelOutputInterfaceReply;
}

verdict! {
    /// `nat44_ed_add_del_output_interface_reply`, CRC 0xe8d4e804.
    Nat44EdAddDelOutputInterfaceReply, "nat44_ed_add_del_output_interface_reply", 0xe8d4e804, "nat44_ed_add_del_output_interface_reply_e8d4e804"
}

wire_struct! {
    /// `nat44_ed_output_interface_get`, CRC 0xf75ba505.
    pub struct Nat44EdOutputInterfaceGet {
        pub cursor: u32,
    }
}

message!(
    Nat44EdOutputInterfaceGet,
    "nat44_ed_output_interface_get",
    0xf75ba505,
    "nat44_ed_output_interface_get_f75ba505",
    ClientAndContext
);

impl crate::Get for Nat44EdOutputInterfaceGet {
    type Details = Nat44EdOutputInterfaceDetails;
    type Reply = Nat44EdOutputInterfaceGetReply;

    fn at_cursor(&self, cursor: u32) -> Self {
        Self { cursor }
    }
}

wire_struct! {
    /// `nat44_ed_output_interface_get_reply`, CRC 0x53b48f5d.
    pub struct Nat44EdOutputInterfaceGetReply {
        pub retval: i32,
        pub cursor: u32,
    }
}

message!(
    Nat44EdOutputInterfaceGetReply,
    "nat44_ed_output_interface_get_reply",
    0x53b48f5d,
    "nat44_ed_output_interface_get_reply_53b48f5d",
    Context
);

impl crate::Reply for Nat44EdOutputInterfaceGetReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

impl crate::GetReply for Nat44EdOutputInterfaceGetReply {
    fn cursor(&self) -> u32 {
        self.cursor
    }
}

wire_struct! {
    /// `nat44_ed_output_interface_details`, CRC 0x0b45011c.
    pub struct Nat44EdOutputInterfaceDetails {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    Nat44EdOutputInterfaceDetails,
    "nat44_ed_output_interface_details",
    0x0b45011c,
    "nat44_ed_output_interface_details_0b45011c",
    Context
);

wire_struct! {
    /// `nat44_add_del_static_mapping_v2`, CRC 0x5e205f1a.
    pub struct Nat44AddDelStaticMappingV2 {
        pub is_add: bool,
        pub match_pool: bool,
        pub flags: NatConfigFlags,
        pub pool_ip_address: Ipv4Addr,
        pub local_ip_address: Ipv4Addr,
        pub external_ip_address: Ipv4Addr,
        pub protocol: u8,
        pub local_port: u16,
        pub external_port: u16,
        pub external_sw_if_index: InterfaceIndex,
        pub vrf_id: u32,
        pub tag: FixedString<64>,
    }
}

message!(
    Nat44AddDelStaticMappingV2,
    "nat44_add_del_static_mapping_v2",
    0x5e205f1a,
    "nat44_add_del_static_mapping_v2_5e205f1a",
    ClientAndContext
);

impl crate::Request for Nat44AddDelStaticMappingV2 {
    type Reply = Nat44AddDelStaticMappingV2Reply;
}

verdict! {
    /// `nat44_add_del_static_mapping_v2_reply`, CRC 0xe8d4e804.
    Nat44AddDelStaticMappingV2Reply, "nat44_add_del_static_mapping_v2_reply", 0xe8d4e804, "nat44_add_del_static_mapping_v2_reply_e8d4e804"
}

wire_struct! {
    /// `nat44_static_mapping_dump`, CRC 0x51077d14.
    pub struct Nat44StaticMappingDump {}
}

message!(
    Nat44StaticMappingDump,
    "nat44_static_mapping_dump",
    0x51077d14,
    "nat44_static_mapping_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for Nat44StaticMappingDump {
    type Details = Nat44StaticMappingDetails;
}

wire_struct! {
    /// `nat44_static_mapping_details`, CRC 0x06cb40b2.
    pub struct Nat44StaticMappingDetails {
        pub flags: NatConfigFlags,
        pub local_ip_address: Ipv4Addr,
        pub external_ip_address: Ipv4Addr,
        pub protocol: u8,
        pub local_port: u16,
        pub external_port: u16,
        pub external_sw_if_index: InterfaceIndex,
        pub vrf_id: u32,
        pub tag: FixedString<64>,
    }
}

message!(
    Nat44StaticMappingDetails,
    "nat44_static_mapping_details",
    0x06cb40b2,
    "nat44_static_mapping_details_06cb40b2",
    Context
);

wire_struct! {
    /// `nat44_add_del_identity_mapping`, CRC 0x02faaa22.
    pub struct Nat44AddDelIdentityMapping {
        pub is_add: bool,
        pub flags: NatConfigFlags,
        pub ip_address: Ipv4Addr,
        pub protocol: u8,
        pub port: u16,
        pub sw_if_index: InterfaceIndex,
        pub vrf_id: u32,
        pub tag: FixedString<64>,
    }
}

message!(
    Nat44AddDelIdentityMapping,
    "nat44_add_del_identity_mapping",
    0x02faaa22,
    "nat44_add_del_identity_mapping_02faaa22",
    ClientAndContext
);

impl crate::Request for Nat44AddDelIdentityMapping {
    type Reply = Nat44AddDelIdentityMappingReply;
}

verdict! {
    /// `nat44_add_del_identity_mapping_reply`, CRC 0xe8d4e804.
    Nat44AddDelIdentityMappingReply, "nat44_add_del_identity_mapping_reply", 0xe8d4e804, "nat44_add_del_identity_mapping_reply_e8d4e804"
}

wire_struct! {
    /// `nat44_identity_mapping_dump`, CRC 0x51077d14.
    pub struct Nat44IdentityMappingDump {}
}

message!(
    Nat44IdentityMappingDump,
    "nat44_identity_mapping_dump",
    0x51077d14,
    "nat44_identity_mapping_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for Nat44IdentityMappingDump {
    type Details = Nat44IdentityMappingDetails;
}

wire_struct! {
    /// `nat44_identity_mapping_details`, CRC 0x2a52a030.
    pub struct Nat44IdentityMappingDetails {
        pub flags: NatConfigFlags,
        pub ip_address: Ipv4Addr,
        pub protocol: u8,
        pub port: u16,
        pub sw_if_index: InterfaceIndex,
        pub vrf_id: u32,
        pub tag: FixedString<64>,
    }
}

message!(
    Nat44IdentityMappingDetails,
    "nat44_identity_mapping_details",
    0x2a52a030,
    "nat44_identity_mapping_details_2a52a030",
    Context
);

wire_struct! {
    /// `nat44_del_session`, CRC 0x15a5bf8c.
    pub struct Nat44DelSession {
        pub address: Ipv4Addr,
        pub protocol: u8,
        pub port: u16,
        pub vrf_id: u32,
        pub flags: NatConfigFlags,
        pub ext_host_address: Ipv4Addr,
        pub ext_host_port: u16,
    }
}

message!(
    Nat44DelSession,
    "nat44_del_session",
    0x15a5bf8c,
    "nat44_del_session_15a5bf8c",
    ClientAndContext
);

impl crate::Request for Nat44DelSession {
    type Reply = Nat44DelSessionReply;
}

verdict! {
    /// `nat44_del_session_reply`, CRC 0xe8d4e804.
    Nat44DelSessionReply, "nat44_del_session_reply", 0xe8d4e804, "nat44_del_session_reply_e8d4e804"
}

wire_struct! {
    /// `nat44_user_dump`, CRC 0x51077d14.
    pub struct Nat44UserDump {}
}

message!(
    Nat44UserDump,
    "nat44_user_dump",
    0x51077d14,
    "nat44_user_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for Nat44UserDump {
    type Details = Nat44UserDetails;
}

wire_struct! {
    /// `nat44_user_details`, CRC 0x355896c2.
    pub struct Nat44UserDetails {
        pub vrf_id: u32,
        pub ip_address: Ipv4Addr,
        pub nsessions: u32,
        pub nstaticsessions: u32,
    }
}

message!(
    Nat44UserDetails,
    "nat44_user_details",
    0x355896c2,
    "nat44_user_details_355896c2",
    Context
);

wire_struct! {
    /// `nat44_user_session_v3_details`, CRC 0xedae926e.
    pub struct Nat44UserSessionV3Details {
        pub outside_ip_address: Ipv4Addr,
        pub outside_port: u16,
        pub inside_ip_address: Ipv4Addr,
        pub inside_port: u16,
        pub protocol: u16,
        pub flags: NatConfigFlags,
        pub last_heard: u64,
        pub time_since_last_heard: u64,
        pub total_bytes: u64,
        pub total_pkts: u32,
        pub ext_host_address: Ipv4Addr,
        pub ext_host_port: u16,
        pub ext_host_nat_address: Ipv4Addr,
        pub ext_host_nat_port: u16,
        pub is_timed_out: bool,
    }
}

message!(
    Nat44UserSessionV3Details,
    "nat44_user_session_v3_details",
    0xedae926e,
    "nat44_user_session_v3_details_edae926e",
    Context
);

wire_struct! {
    /// `nat44_user_session_v3_dump`, CRC 0xe1899c98.
    pub struct Nat44UserSessionV3Dump {
        pub ip_address: Ipv4Addr,
        pub vrf_id: u32,
    }
}

message!(
    Nat44UserSessionV3Dump,
    "nat44_user_session_v3_dump",
    0xe1899c98,
    "nat44_user_session_v3_dump_e1899c98",
    ClientAndContext
);

impl crate::Dump for Nat44UserSessionV3Dump {
    type Details = Nat44UserSessionV3Details;
}
