//! `l2.api`, version 3.3.0. Written by vpp-api-generator: change that, not this.

use super::interface_types::InterfaceIndex;
use crate::definition::{default_is_zero, enumeration, flags, message, verdict, wire_struct};
use crate::mac::MacAddress;
use crate::wire::FixedString;
use crate::wire::{DecodeError, EncodeError, Reader, Wire, Writer};
use std::net::IpAddr;

enumeration! {
    /// `mac_event_action`.
    pub struct MacEventAction(u32) {
        ADD = 0,
        DELETE = 1,
        MOVE = 2,
    }
}

flags! {
    /// `bd_flags`.
    pub struct BdFlags(u32) {
        NONE = 0,
        LEARN = 1,
        FWD = 2,
        FLOOD = 4,
        UU_FLOOD = 8,
        ARP_TERM = 16,
        ARP_UFWD = 32,
    }
}

enumeration! {
    /// `l2_port_type`.
    pub struct L2PortType(u32) {
        NORMAL = 0,
        BVI = 1,
        UU_FWD = 2,
    }
}

wire_struct! {
    /// `mac_entry`.
    pub struct MacEntry {
        pub sw_if_index: InterfaceIndex,
        pub mac_addr: MacAddress,
        pub action: MacEventAction,
        pub flags: u8,
    }
}

wire_struct! {
    /// `bridge_domain_sw_if`.
    pub struct BridgeDomainSwIf {
        pub context: u32,
        pub sw_if_index: InterfaceIndex,
        pub shg: u8,
    }
}

wire_struct! {
    /// `bd_ip_mac`.
    pub struct BdIpMac {
        pub bd_id: u32,
        pub ip: IpAddr,
        pub mac: MacAddress,
    }
}

wire_struct! {
    /// `l2_xconnect_details`, CRC 0x472b6b67.
    pub struct L2XconnectDetails {
        pub rx_sw_if_index: InterfaceIndex,
        pub tx_sw_if_index: InterfaceIndex,
    }
}

message!(
    L2XconnectDetails,
    "l2_xconnect_details",
    0x472b6b67,
    "l2_xconnect_details_472b6b67",
    Context
);

wire_struct! {
    /// `l2_xconnect_dump`, CRC 0x51077d14.
    pub struct L2XconnectDump {}
}

message!(
    L2XconnectDump,
    "l2_xconnect_dump",
    0x51077d14,
    "l2_xconnect_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for L2XconnectDump {
    type Details = L2XconnectDetails;
}

wire_struct! {
    /// `l2_fib_table_details`, CRC 0xa44ef6b8.
    pub struct L2FibTableDetails {
        pub bd_id: u32,
        pub mac: MacAddress,
        pub sw_if_index: InterfaceIndex,
        pub static_mac: bool,
        pub filter_mac: bool,
        pub bvi_mac: bool,
    }
}

message!(
    L2FibTableDetails,
    "l2_fib_table_details",
    0xa44ef6b8,
    "l2_fib_table_details_a44ef6b8",
    Context
);

wire_struct! {
    /// `l2_fib_table_dump`, CRC 0xc25fdce6.
    pub struct L2FibTableDump {
        pub bd_id: u32,
    }
}

message!(
    L2FibTableDump,
    "l2_fib_table_dump",
    0xc25fdce6,
    "l2_fib_table_dump_c25fdce6",
    ClientAndContext
);

impl crate::Dump for L2FibTableDump {
    type Details = L2FibTableDetails;
}

wire_struct! {
    /// `l2_fib_clear_table`, CRC 0x51077d14.
    pub struct L2FibClearTable {}
}

message!(
    L2FibClearTable,
    "l2_fib_clear_table",
    0x51077d14,
    "l2_fib_clear_table_51077d14",
    ClientAndContext
);

impl crate::Request for L2FibClearTable {
    type Reply = L2FibClearTableReply;
}

verdict! {
    /// `l2_fib_clear_table_reply`, CRC 0xe8d4e804.
    L2FibClearTableReply, "l2_fib_clear_table_reply", 0xe8d4e804, "l2_fib_clear_table_reply_e8d4e804"
}

wire_struct! {
    /// `l2fib_flush_all`, CRC 0x51077d14.
    pub struct L2fibFlushAll {}
}

message!(
    L2fibFlushAll,
    "l2fib_flush_all",
    0x51077d14,
    "l2fib_flush_all_51077d14",
    ClientAndContext
);

impl crate::Request for L2fibFlushAll {
    type Reply = L2fibFlushAllReply;
}

verdict! {
    /// `l2fib_flush_all_reply`, CRC 0xe8d4e804.
    L2fibFlushAllReply, "l2fib_flush_all_reply", 0xe8d4e804, "l2fib_flush_all_reply_e8d4e804"
}

wire_struct! {
    /// `l2fib_flush_bd`, CRC 0xc25fdce6.
    pub struct L2fibFlushBd {
        pub bd_id: u32,
    }
}

message!(L2fibFlushBd, "l2fib_flush_bd", 0xc25fdce6, "l2fib_flush_bd_c25fdce6", ClientAndContext);

impl crate::Request for L2fibFlushBd {
    type Reply = L2fibFlushBdReply;
}

verdict! {
    /// `l2fib_flush_bd_reply`, CRC 0xe8d4e804.
    L2fibFlushBdReply, "l2fib_flush_bd_reply", 0xe8d4e804, "l2fib_flush_bd_reply_e8d4e804"
}

wire_struct! {
    /// `l2fib_flush_int`, CRC 0xf9e6675e.
    pub struct L2fibFlushInt {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    L2fibFlushInt,
    "l2fib_flush_int",
    0xf9e6675e,
    "l2fib_flush_int_f9e6675e",
    ClientAndContext
);

impl crate::Request for L2fibFlushInt {
    type Reply = L2fibFlushIntReply;
}

verdict! {
    /// `l2fib_flush_int_reply`, CRC 0xe8d4e804.
    L2fibFlushIntReply, "l2fib_flush_int_reply", 0xe8d4e804, "l2fib_flush_int_reply_e8d4e804"
}

wire_struct! {
    /// `l2fib_add_del`, CRC 0xeddda487.
    pub struct L2fibAddDel {
        pub mac: MacAddress,
        pub bd_id: u32,
        pub sw_if_index: InterfaceIndex,
        pub is_add: bool = true,
        pub static_mac: bool,
        pub filter_mac: bool,
        pub bvi_mac: bool,
    }
}

message!(L2fibAddDel, "l2fib_add_del", 0xeddda487, "l2fib_add_del_eddda487", ClientAndContext);

impl crate::Request for L2fibAddDel {
    type Reply = L2fibAddDelReply;
}

verdict! {
    /// `l2fib_add_del_reply`, CRC 0xe8d4e804.
    L2fibAddDelReply, "l2fib_add_del_reply", 0xe8d4e804, "l2fib_add_del_reply_e8d4e804"
}

wire_struct! {
    /// `want_l2_macs_events2`, CRC 0xcc1377b0.
    pub struct WantL2MacsEvents2 {
        pub max_macs_in_event: u8 = 10,
        pub enable_disable: bool = true,
        pub pid: u32,
    }
}

message!(
    WantL2MacsEvents2,
    "want_l2_macs_events2",
    0xcc1377b0,
    "want_l2_macs_events2_cc1377b0",
    ClientAndContext
);

impl crate::Request for WantL2MacsEvents2 {
    type Reply = WantL2MacsEvents2Reply;
}

verdict! {
    /// `want_l2_macs_events2_reply`, CRC 0xe8d4e804.
    WantL2MacsEvents2Reply, "want_l2_macs_events2_reply", 0xe8d4e804, "want_l2_macs_events2_reply_e8d4e804"
}

/// `l2_macs_event`, CRC 0x44b8fd64.
#[derive(Debug, Clone, PartialEq)]
pub struct L2MacsEvent {
    pub pid: u32,
    pub mac: Vec<MacEntry>,
}

impl Wire for L2MacsEvent {
    fn zero() -> Self {
        Self { pid: Wire::zero(), mac: Vec::new() }
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.pid.encode(to)?;
        to.count::<u32>("mac", self.mac.len())?;
        to.list(&self.mac)?;
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let pid = Wire::decode(from)?;
        let n_macs = u32::decode(from)?;
        let mac = from.list(n_macs as usize)?;
        Ok(Self { pid, mac })
    }
}

default_is_zero!(L2MacsEvent);

message!(L2MacsEvent, "l2_macs_event", 0x44b8fd64, "l2_macs_event_44b8fd64", Client);

impl crate::Event for L2MacsEvent {}

wire_struct! {
    /// `l2_flags`, CRC 0xfc41cfe8.
    pub struct L2Flags {
        pub sw_if_index: InterfaceIndex,
        pub is_set: bool,
        pub feature_bitmap: u32,
    }
}

message!(L2Flags, "l2_flags", 0xfc41cfe8, "l2_flags_fc41cfe8", ClientAndContext);

impl crate::Request for L2Flags {
    type Reply = L2FlagsReply;
}

wire_struct! {
    /// `l2_flags_reply`, CRC 0x29b2a2b3.
    pub struct L2FlagsReply {
        pub retval: i32,
        pub resulting_feature_bitmap: u32,
    }
}

message!(L2FlagsReply, "l2_flags_reply", 0x29b2a2b3, "l2_flags_reply_29b2a2b3", Context);

impl crate::Reply for L2FlagsReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `l2_flags_get`, CRC 0xf9e6675e.
    pub struct L2FlagsGet {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(L2FlagsGet, "l2_flags_get", 0xf9e6675e, "l2_flags_get_f9e6675e", ClientAndContext);

impl crate::Request for L2FlagsGet {
    type Reply = L2FlagsGetReply;
}

wire_struct! {
    /// `l2_flags_get_reply`, CRC 0x35cb810f.
    pub struct L2FlagsGetReply {
        pub retval: i32,
        pub input_feature_bitmap: u32,
        pub output_feature_bitmap: u32,
    }
}

message!(L2FlagsGetReply, "l2_flags_get_reply", 0x35cb810f, "l2_flags_get_reply_35cb810f", Context);

impl crate::Reply for L2FlagsGetReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `l2_flags_set`, CRC 0xd4030647.
    pub struct L2FlagsSet {
        pub sw_if_index: InterfaceIndex,
        pub is_set: bool,
        pub input_feature_bitmap: u32,
        pub output_feature_bitmap: u32,
    }
}

message!(L2FlagsSet, "l2_flags_set", 0xd4030647, "l2_flags_set_d4030647", ClientAndContext);

impl crate::Request for L2FlagsSet {
    type Reply = L2FlagsSetReply;
}

verdict! {
    /// `l2_flags_set_reply`, CRC 0xe8d4e804.
    L2FlagsSetReply, "l2_flags_set_reply", 0xe8d4e804, "l2_flags_set_reply_e8d4e804"
}

wire_struct! {
    /// `bridge_domain_set_mac_age`, CRC 0xb537ad7b.
    pub struct BridgeDomainSetMacAge {
        pub bd_id: u32,
        pub mac_age: u8,
    }
}

message!(
    BridgeDomainSetMacAge,
    "bridge_domain_set_mac_age",
    0xb537ad7b,
    "bridge_domain_set_mac_age_b537ad7b",
    ClientAndContext
);

impl crate::Request for BridgeDomainSetMacAge {
    type Reply = BridgeDomainSetMacAgeReply;
}

verdict! {
    /// `bridge_domain_set_mac_age_reply`, CRC 0xe8d4e804.
    BridgeDomainSetMacAgeReply, "bridge_domain_set_mac_age_reply", 0xe8d4e804, "bridge_domain_set_mac_age_reply_e8d4e804"
}

wire_struct! {
    /// `bridge_domain_set_default_learn_limit`, CRC 0xf097ffce.
    pub struct BridgeDomainSetDefaultLearnLimit {
        pub learn_limit: u32,
    }
}

message!(
    BridgeDomainSetDefaultLearnLimit,
    "bridge_domain_set_default_learn_limit",
    0xf097ffce,
    "bridge_domain_set_default_learn_limit_f097ffce",
    ClientAndContext
);

impl crate::Request for BridgeDomainSetDefaultLearnLimit {
    type Reply = BridgeDomainSetDefaultLearnLimitReply;
}

verdict! {
    /// `bridge_domain_set_default_learn_limit_reply`, CRC 0xe8d4e804.
    BridgeDomainSetDefaultLearnLimitReply, "bridge_domain_set_default_learn_limit_reply", 0xe8d4e804, "bridge_domain_set_default_learn_limit_reply_e8d4e804"
}

wire_struct! {
    /// `bridge_domain_set_learn_limit`, CRC 0x89c52b5f.
    pub struct BridgeDomainSetLearnLimit {
        pub bd_id: u32,
        pub learn_limit: u32,
    }
}

message!(
    BridgeDomainSetLearnLimit,
    "bridge_domain_set_learn_limit",
    0x89c52b5f,
    "bridge_domain_set_learn_limit_89c52b5f",
    ClientAndContext
);

impl crate::Request for BridgeDomainSetLearnLimit {
    type Reply = BridgeDomainSetLearnLimitReply;
}

verdict! {
    /// `bridge_domain_set_learn_limit_reply`, CRC 0xe8d4e804.
    BridgeDomainSetLearnLimitReply, "bridge_domain_set_learn_limit_reply", 0xe8d4e804, "bridge_domain_set_learn_limit_reply_e8d4e804"
}

wire_struct! {
    /// `bridge_domain_add_del_v2`, CRC 0x600b7170.
    pub struct BridgeDomainAddDelV2 {
        pub bd_id: u32,
        pub flood: bool,
        pub uu_flood: bool,
        pub forward: bool,
        pub learn: bool,
        pub arp_term: bool,
        pub arp_ufwd: bool,
        pub mac_age: u8,
        pub bd_tag: FixedString<64>,
        pub is_add: bool = true,
    }
}

message!(
    BridgeDomainAddDelV2,
    "bridge_domain_add_del_v2",
    0x600b7170,
    "bridge_domain_add_del_v2_600b7170",
    ClientAndContext
);

impl crate::Request for BridgeDomainAddDelV2 {
    type Reply = BridgeDomainAddDelV2Reply;
}

wire_struct! {
    /// `bridge_domain_add_del_v2_reply`, CRC 0xfcb1e980.
    pub struct BridgeDomainAddDelV2Reply {
        pub retval: i32,
        pub bd_id: u32,
    }
}

message!(
    BridgeDomainAddDelV2Reply,
    "bridge_domain_add_del_v2_reply",
    0xfcb1e980,
    "bridge_domain_add_del_v2_reply_fcb1e980",
    Context
);

impl crate::Reply for BridgeDomainAddDelV2Reply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `bridge_domain_dump`, CRC 0x74396a43.
    pub struct BridgeDomainDump {
        pub bd_id: u32 = 4294967295,
        pub sw_if_index: InterfaceIndex = InterfaceIndex(4294967295),
    }
}

message!(
    BridgeDomainDump,
    "bridge_domain_dump",
    0x74396a43,
    "bridge_domain_dump_74396a43",
    ClientAndContext
);

impl crate::Dump for BridgeDomainDump {
    type Details = BridgeDomainDetails;
}

/// `bridge_domain_details`, CRC 0x0fa506fd.
#[derive(Debug, Clone, PartialEq)]
pub struct BridgeDomainDetails {
    pub bd_id: u32,
    pub flood: bool,
    pub uu_flood: bool,
    pub forward: bool,
    pub learn: bool,
    pub arp_term: bool,
    pub arp_ufwd: bool,
    pub mac_age: u8,
    pub bd_tag: FixedString<64>,
    pub bvi_sw_if_index: InterfaceIndex,
    pub uu_fwd_sw_if_index: InterfaceIndex,
    pub sw_if_details: Vec<BridgeDomainSwIf>,
}

impl Wire for BridgeDomainDetails {
    fn zero() -> Self {
        Self {
            bd_id: Wire::zero(),
            flood: Wire::zero(),
            uu_flood: Wire::zero(),
            forward: Wire::zero(),
            learn: Wire::zero(),
            arp_term: Wire::zero(),
            arp_ufwd: Wire::zero(),
            mac_age: Wire::zero(),
            bd_tag: Wire::zero(),
            bvi_sw_if_index: Wire::zero(),
            uu_fwd_sw_if_index: Wire::zero(),
            sw_if_details: Vec::new(),
        }
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.bd_id.encode(to)?;
        self.flood.encode(to)?;
        self.uu_flood.encode(to)?;
        self.forward.encode(to)?;
        self.learn.encode(to)?;
        self.arp_term.encode(to)?;
        self.arp_ufwd.encode(to)?;
        self.mac_age.encode(to)?;
        self.bd_tag.encode(to)?;
        self.bvi_sw_if_index.encode(to)?;
        self.uu_fwd_sw_if_index.encode(to)?;
        to.count::<u32>("sw_if_details", self.sw_if_details.len())?;
        to.list(&self.sw_if_details)?;
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bd_id = Wire::decode(from)?;
        let flood = Wire::decode(from)?;
        let uu_flood = Wire::decode(from)?;
        let forward = Wire::decode(from)?;
        let learn = Wire::decode(from)?;
        let arp_term = Wire::decode(from)?;
        let arp_ufwd = Wire::decode(from)?;
        let mac_age = Wire::decode(from)?;
        let bd_tag = Wire::decode(from)?;
        let bvi_sw_if_index = Wire::decode(from)?;
        let uu_fwd_sw_if_index = Wire::decode(from)?;
        let n_sw_ifs = u32::decode(from)?;
        let sw_if_details = from.list(n_sw_ifs as usize)?;
        Ok(Self {
            bd_id,
            flood,
            uu_flood,
            forward,
            learn,
            arp_term,
            arp_ufwd,
            mac_age,
            bd_tag,
            bvi_sw_if_index,
            uu_fwd_sw_if_index,
            sw_if_details,
        })
    }
}

default_is_zero!(BridgeDomainDetails);

message!(
    BridgeDomainDetails,
    "bridge_domain_details",
    0x0fa506fd,
    "bridge_domain_details_0fa506fd",
    Context
);

wire_struct! {
    /// `bridge_flags`, CRC 0x1b0c5fbd.
    pub struct BridgeFlags {
        pub bd_id: u32,
        pub is_set: bool,
        pub flags: BdFlags,
    }
}

message!(BridgeFlags, "bridge_flags", 0x1b0c5fbd, "bridge_flags_1b0c5fbd", ClientAndContext);

impl crate::Request for BridgeFlags {
    type Reply = BridgeFlagsReply;
}

wire_struct! {
    /// `bridge_flags_reply`, CRC 0x29b2a2b3.
    pub struct BridgeFlagsReply {
        pub retval: i32,
        pub resulting_feature_bitmap: u32,
    }
}

message!(
    BridgeFlagsReply,
    "bridge_flags_reply",
    0x29b2a2b3,
    "bridge_flags_reply_29b2a2b3",
    Context
);

impl crate::Reply for BridgeFlagsReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `l2_interface_vlan_tag_rewrite`, CRC 0x62cc0bbc.
    pub struct L2InterfaceVlanTagRewrite {
        pub sw_if_index: InterfaceIndex,
        pub vtr_op: u32,
        pub push_dot1q: u32,
        pub tag1: u32,
        pub tag2: u32,
    }
}

message!(
    L2InterfaceVlanTagRewrite,
    "l2_interface_vlan_tag_rewrite",
    0x62cc0bbc,
    "l2_interface_vlan_tag_rewrite_62cc0bbc",
    ClientAndContext
);

impl crate::Request for L2InterfaceVlanTagRewrite {
    type Reply = L2InterfaceVlanTagRewriteReply;
}

verdict! {
    /// `l2_interface_vlan_tag_rewrite_reply`, CRC 0xe8d4e804.
    L2InterfaceVlanTagRewriteReply, "l2_interface_vlan_tag_rewrite_reply", 0xe8d4e804, "l2_interface_vlan_tag_rewrite_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_set_l2_xconnect`, CRC 0x4fa28a85.
    pub struct SwInterfaceSetL2Xconnect {
        pub rx_sw_if_index: InterfaceIndex,
        pub tx_sw_if_index: InterfaceIndex,
        pub enable: bool = true,
    }
}

message!(
    SwInterfaceSetL2Xconnect,
    "sw_interface_set_l2_xconnect",
    0x4fa28a85,
    "sw_interface_set_l2_xconnect_4fa28a85",
    ClientAndContext
);

impl crate::Request for SwInterfaceSetL2Xconnect {
    type Reply = SwInterfaceSetL2XconnectReply;
}

verdict! {
    /// `sw_interface_set_l2_xconnect_reply`, CRC 0xe8d4e804.
    SwInterfaceSetL2XconnectReply, "sw_interface_set_l2_xconnect_reply", 0xe8d4e804, "sw_interface_set_l2_xconnect_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_set_l2_bridge`, CRC 0xd0678b13.
    pub struct SwInterfaceSetL2Bridge {
        pub rx_sw_if_index: InterfaceIndex,
        pub bd_id: u32,
        pub port_type: L2PortType,
        pub shg: u8,
        pub enable: bool = true,
    }
}

message!(
    SwInterfaceSetL2Bridge,
    "sw_interface_set_l2_bridge",
    0xd0678b13,
    "sw_interface_set_l2_bridge_d0678b13",
    ClientAndContext
);

impl crate::Request for SwInterfaceSetL2Bridge {
    type Reply = SwInterfaceSetL2BridgeReply;
}

verdict! {
    /// `sw_interface_set_l2_bridge_reply`, CRC 0xe8d4e804.
    SwInterfaceSetL2BridgeReply, "sw_interface_set_l2_bridge_reply", 0xe8d4e804, "sw_interface_set_l2_bridge_reply_e8d4e804"
}

wire_struct! {
    /// `bd_ip_mac_add_del`, CRC 0x0257c869.
    pub struct BdIpMacAddDel {
        pub is_add: bool = true,
        pub entry: BdIpMac,
    }
}

message!(
    BdIpMacAddDel,
    "bd_ip_mac_add_del",
    0x0257c869,
    "bd_ip_mac_add_del_0257c869",
    ClientAndContext
);

impl crate::Request for BdIpMacAddDel {
    type Reply = BdIpMacAddDelReply;
}

verdict! {
    /// `bd_ip_mac_add_del_reply`, CRC 0xe8d4e804.
    BdIpMacAddDelReply, "bd_ip_mac_add_del_reply", 0xe8d4e804, "bd_ip_mac_add_del_reply_e8d4e804"
}

wire_struct! {
    /// `bd_ip_mac_flush`, CRC 0xc25fdce6.
    pub struct BdIpMacFlush {
        pub bd_id: u32,
    }
}

message!(BdIpMacFlush, "bd_ip_mac_flush", 0xc25fdce6, "bd_ip_mac_flush_c25fdce6", ClientAndContext);

impl crate::Request for BdIpMacFlush {
    type Reply = BdIpMacFlushReply;
}

verdict! {
    /// `bd_ip_mac_flush_reply`, CRC 0xe8d4e804.
    BdIpMacFlushReply, "bd_ip_mac_flush_reply", 0xe8d4e804, "bd_ip_mac_flush_reply_e8d4e804"
}

wire_struct! {
    /// `bd_ip_mac_details`, CRC 0x545af86a.
    pub struct BdIpMacDetails {
        pub entry: BdIpMac,
    }
}

message!(BdIpMacDetails, "bd_ip_mac_details", 0x545af86a, "bd_ip_mac_details_545af86a", Context);

wire_struct! {
    /// `bd_ip_mac_dump`, CRC 0xc25fdce6.
    pub struct BdIpMacDump {
        pub bd_id: u32,
    }
}

message!(BdIpMacDump, "bd_ip_mac_dump", 0xc25fdce6, "bd_ip_mac_dump_c25fdce6", ClientAndContext);

impl crate::Dump for BdIpMacDump {
    type Details = BdIpMacDetails;
}

wire_struct! {
    /// `bvi_create`, CRC 0xf5398559.
    pub struct BviCreate {
        pub mac: MacAddress,
        pub user_instance: u32 = 4294967295,
    }
}

message!(BviCreate, "bvi_create", 0xf5398559, "bvi_create_f5398559", ClientAndContext);

impl crate::Request for BviCreate {
    type Reply = BviCreateReply;
}

wire_struct! {
    /// `bvi_create_reply`, CRC 0x5383d31f.
    pub struct BviCreateReply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(BviCreateReply, "bvi_create_reply", 0x5383d31f, "bvi_create_reply_5383d31f", Context);

impl crate::Reply for BviCreateReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `bvi_delete`, CRC 0xf9e6675e.
    pub struct BviDelete {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(BviDelete, "bvi_delete", 0xf9e6675e, "bvi_delete_f9e6675e", ClientAndContext);

impl crate::Request for BviDelete {
    type Reply = BviDeleteReply;
}

verdict! {
    /// `bvi_delete_reply`, CRC 0xe8d4e804.
    BviDeleteReply, "bvi_delete_reply", 0xe8d4e804, "bvi_delete_reply_e8d4e804"
}

wire_struct! {
    /// `want_l2_arp_term_events`, CRC 0x3ec6d6c2.
    pub struct WantL2ArpTermEvents {
        pub enable: bool,
        pub pid: u32,
    }
}

message!(
    WantL2ArpTermEvents,
    "want_l2_arp_term_events",
    0x3ec6d6c2,
    "want_l2_arp_term_events_3ec6d6c2",
    ClientAndContext
);

impl crate::Request for WantL2ArpTermEvents {
    type Reply = WantL2ArpTermEventsReply;
}

verdict! {
    /// `want_l2_arp_term_events_reply`, CRC 0xe8d4e804.
    WantL2ArpTermEventsReply, "want_l2_arp_term_events_reply", 0xe8d4e804, "want_l2_arp_term_events_reply_e8d4e804"
}

wire_struct! {
    /// `l2_arp_term_event`, CRC 0x6963e07a.
    pub struct L2ArpTermEvent {
        pub pid: u32,
        pub ip: IpAddr,
        pub sw_if_index: InterfaceIndex,
        pub mac: MacAddress,
    }
}

message!(L2ArpTermEvent, "l2_arp_term_event", 0x6963e07a, "l2_arp_term_event_6963e07a", Client);

impl crate::Event for L2ArpTermEvent {}
