//! `interface.api`, version 3.2.4. Written by vpp-api-generator: change that, not this.

use super::interface_types::IfStatusFlags;
use super::interface_types::IfType;
use super::interface_types::InterfaceIndex;
use super::interface_types::LinkDuplex;
use super::interface_types::RxMode;
use super::interface_types::SubIfFlags;
use super::ip_types::AddressWithPrefix;
use crate::definition::{default_is_zero, message, verdict, wire_struct};
use crate::mac::MacAddress;
use crate::wire::FixedString;
use crate::wire::{DecodeError, EncodeError, Reader, Wire, Writer};

wire_struct! {
    /// `sw_interface_set_flags`, CRC 0xf5aec1b8.
    pub struct SwInterfaceSetFlags {
        pub sw_if_index: InterfaceIndex,
        pub flags: IfStatusFlags,
    }
}

message!(
    SwInterfaceSetFlags,
    "sw_interface_set_flags",
    0xf5aec1b8,
    "sw_interface_set_flags_f5aec1b8",
    ClientAndContext
);

impl crate::Request for SwInterfaceSetFlags {
    type Reply = SwInterfaceSetFlagsReply;
}

verdict! {
    /// `sw_interface_set_flags_reply`, CRC 0xe8d4e804.
    SwInterfaceSetFlagsReply, "sw_interface_set_flags_reply", 0xe8d4e804, "sw_interface_set_flags_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_set_promisc`, CRC 0xd40860d4.
    pub struct SwInterfaceSetPromisc {
        pub sw_if_index: InterfaceIndex,
        pub promisc_on: bool,
    }
}

message!(
    SwInterfaceSetPromisc,
    "sw_interface_set_promisc",
    0xd40860d4,
    "sw_interface_set_promisc_d40860d4",
    ClientAndContext
);

impl crate::Request for SwInterfaceSetPromisc {
    type Reply = SwInterfaceSetPromiscReply;
}

verdict! {
    /// `sw_interface_set_promisc_reply`, CRC 0xe8d4e804.
    SwInterfaceSetPromiscReply, "sw_interface_set_promisc_reply", 0xe8d4e804, "sw_interface_set_promisc_reply_e8d4e804"
}

wire_struct! {
    /// `hw_interface_set_mtu`, CRC 0xe6746899.
    pub struct HwInterfaceSetMtu {
        pub sw_if_index: InterfaceIndex,
        pub mtu: u16,
    }
}

message!(
    HwInterfaceSetMtu,
    "hw_interface_set_mtu",
    0xe6746899,
    "hw_interface_set_mtu_e6746899",
    ClientAndContext
);

impl crate::Request for HwInterfaceSetMtu {
    type Reply = HwInterfaceSetMtuReply;
}

verdict! {
    /// `hw_interface_set_mtu_reply`, CRC 0xe8d4e804.
    HwInterfaceSetMtuReply, "hw_interface_set_mtu_reply", 0xe8d4e804, "hw_interface_set_mtu_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_set_mtu`, CRC 0x5cbe85e5.
    pub struct SwInterfaceSetMtu {
        pub sw_if_index: InterfaceIndex,
        pub mtu: [u32; 4],
    }
}

message!(
    SwInterfaceSetMtu,
    "sw_interface_set_mtu",
    0x5cbe85e5,
    "sw_interface_set_mtu_5cbe85e5",
    ClientAndContext
);

impl crate::Request for SwInterfaceSetMtu {
    type Reply = SwInterfaceSetMtuReply;
}

verdict! {
    /// `sw_interface_set_mtu_reply`, CRC 0xe8d4e804.
    SwInterfaceSetMtuReply, "sw_interface_set_mtu_reply", 0xe8d4e804, "sw_interface_set_mtu_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_event`, CRC 0x2d3d95a7.
    pub struct SwInterfaceEvent {
        pub pid: u32,
        pub sw_if_index: InterfaceIndex,
        pub flags: IfStatusFlags,
        pub deleted: bool,
    }
}

message!(SwInterfaceEvent, "sw_interface_event", 0x2d3d95a7, "sw_interface_event_2d3d95a7", Client);

impl crate::Event for SwInterfaceEvent {}

wire_struct! {
    /// `want_interface_events`, CRC 0x476f5a08.
    pub struct WantInterfaceEvents {
        pub enable_disable: u32,
        pub pid: u32,
    }
}

message!(
    WantInterfaceEvents,
    "want_interface_events",
    0x476f5a08,
    "want_interface_events_476f5a08",
    ClientAndContext
);

impl crate::Request for WantInterfaceEvents {
    type Reply = WantInterfaceEventsReply;
}

verdict! {
    /// `want_interface_events_reply`, CRC 0xe8d4e804.
    WantInterfaceEventsReply, "want_interface_events_reply", 0xe8d4e804, "want_interface_events_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_details`, CRC 0x6c221fc7.
    pub struct SwInterfaceDetails {
        pub sw_if_index: InterfaceIndex,
        pub sup_sw_if_index: u32,
        pub l2_address: MacAddress,
        pub flags: IfStatusFlags,
        pub type_: IfType,
        pub link_duplex: LinkDuplex,
        pub link_speed: u32,
        pub link_mtu: u16,
        pub mtu: [u32; 4],
        pub sub_id: u32,
        pub sub_number_of_tags: u8,
        pub sub_outer_vlan_id: u16,
        pub sub_inner_vlan_id: u16,
        pub sub_if_flags: SubIfFlags,
        pub vtr_op: u32,
        pub vtr_push_dot1q: u32,
        pub vtr_tag1: u32,
        pub vtr_tag2: u32,
        pub outer_tag: u16,
        pub b_dmac: MacAddress,
        pub b_smac: MacAddress,
        pub b_vlanid: u16,
        pub i_sid: u32,
        pub interface_name: FixedString<64>,
        pub interface_dev_type: FixedString<64>,
        pub tag: FixedString<64>,
    }
}

message!(
    SwInterfaceDetails,
    "sw_interface_details",
    0x6c221fc7,
    "sw_interface_details_6c221fc7",
    Context
);

wire_struct! {
    /// `sw_interface_dump`, CRC 0xaa610c27.
    pub struct SwInterfaceDump {
        pub sw_if_index: InterfaceIndex = InterfaceIndex(4294967295),
        pub name_filter_valid: bool,
        pub name_filter: String,
    }
}

message!(
    SwInterfaceDump,
    "sw_interface_dump",
    0xaa610c27,
    "sw_interface_dump_aa610c27",
    ClientAndContext
);

impl crate::Dump for SwInterfaceDump {
    type Details = SwInterfaceDetails;
}

wire_struct! {
    /// `sw_interface_add_del_address`, CRC 0x5463d73b.
    pub struct SwInterfaceAddDelAddress {
        pub sw_if_index: InterfaceIndex,
        pub is_add: bool,
        pub del_all: bool,
        pub prefix: AddressWithPrefix,
    }
}

message!(
    SwInterfaceAddDelAddress,
    "sw_interface_add_del_address",
    0x5463d73b,
    "sw_interface_add_del_address_5463d73b",
    ClientAndContext
);

impl crate::Request for SwInterfaceAddDelAddress {
    type Reply = SwInterfaceAddDelAddressReply;
}

verdict! {
    /// `sw_interface_add_del_address_reply`, CRC 0xe8d4e804.
    SwInterfaceAddDelAddressReply, "sw_interface_add_del_address_reply", 0xe8d4e804, "sw_interface_add_del_address_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_set_table`, CRC 0xdf42a577.
    pub struct SwInterfaceSetTable {
        pub sw_if_index: InterfaceIndex,
        pub is_ipv6: bool,
        pub vrf_id: u32,
    }
}

message!(
    SwInterfaceSetTable,
    "sw_interface_set_table",
    0xdf42a577,
    "sw_interface_set_table_df42a577",
    ClientAndContext
);

impl crate::Request for SwInterfaceSetTable {
    type Reply = SwInterfaceSetTableReply;
}

verdict! {
    /// `sw_interface_set_table_reply`, CRC 0xe8d4e804.
    SwInterfaceSetTableReply, "sw_interface_set_table_reply", 0xe8d4e804, "sw_interface_set_table_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_get_table`, CRC 0x2d033de4.
    pub struct SwInterfaceGetTable {
        pub sw_if_index: InterfaceIndex,
        pub is_ipv6: bool,
    }
}

message!(
    SwInterfaceGetTable,
    "sw_interface_get_table",
    0x2d033de4,
    "sw_interface_get_table_2d033de4",
    ClientAndContext
);

impl crate::Request for SwInterfaceGetTable {
    type Reply = SwInterfaceGetTableReply;
}

wire_struct! {
    /// `sw_interface_get_table_reply`, CRC 0xa6eb0109.
    pub struct SwInterfaceGetTableReply {
        pub retval: i32,
        pub vrf_id: u32,
    }
}

message!(
    SwInterfaceGetTableReply,
    "sw_interface_get_table_reply",
    0xa6eb0109,
    "sw_interface_get_table_reply_a6eb0109",
    Context
);

impl crate::Reply for SwInterfaceGetTableReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `sw_interface_set_unnumbered`, CRC 0x154a6439.
    pub struct SwInterfaceSetUnnumbered {
        pub sw_if_index: InterfaceIndex,
        pub unnumbered_sw_if_index: InterfaceIndex,
        pub is_add: bool,
    }
}

message!(
    SwInterfaceSetUnnumbered,
    "sw_interface_set_unnumbered",
    0x154a6439,
    "sw_interface_set_unnumbered_154a6439",
    ClientAndContext
);

impl crate::Request for SwInterfaceSetUnnumbered {
    type Reply = SwInterfaceSetUnnumberedReply;
}

verdict! {
    /// `sw_interface_set_unnumbered_reply`, CRC 0xe8d4e804.
    SwInterfaceSetUnnumberedReply, "sw_interface_set_unnumbered_reply", 0xe8d4e804, "sw_interface_set_unnumbered_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_clear_stats`, CRC 0xf9e6675e.
    pub struct SwInterfaceClearStats {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    SwInterfaceClearStats,
    "sw_interface_clear_stats",
    0xf9e6675e,
    "sw_interface_clear_stats_f9e6675e",
    ClientAndContext
);

impl crate::Request for SwInterfaceClearStats {
    type Reply = SwInterfaceClearStatsReply;
}

verdict! {
    /// `sw_interface_clear_stats_reply`, CRC 0xe8d4e804.
    SwInterfaceClearStatsReply, "sw_interface_clear_stats_reply", 0xe8d4e804, "sw_interface_clear_stats_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_tag_add_del`, CRC 0x426f8bc1.
    pub struct SwInterfaceTagAddDel {
        pub is_add: bool,
        pub sw_if_index: InterfaceIndex,
        pub tag: FixedString<64>,
    }
}

message!(
    SwInterfaceTagAddDel,
    "sw_interface_tag_add_del",
    0x426f8bc1,
    "sw_interface_tag_add_del_426f8bc1",
    ClientAndContext
);

impl crate::Request for SwInterfaceTagAddDel {
    type Reply = SwInterfaceTagAddDelReply;
}

verdict! {
    /// `sw_interface_tag_add_del_reply`, CRC 0xe8d4e804.
    SwInterfaceTagAddDelReply, "sw_interface_tag_add_del_reply", 0xe8d4e804, "sw_interface_tag_add_del_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_add_del_mac_address`, CRC 0x638bb9f4.
    pub struct SwInterfaceAddDelMacAddress {
        pub sw_if_index: u32,
        pub addr: MacAddress,
        pub is_add: u8,
    }
}

message!(
    SwInterfaceAddDelMacAddress,
    "sw_interface_add_del_mac_address",
    0x638bb9f4,
    "sw_interface_add_del_mac_address_638bb9f4",
    ClientAndContext
);

impl crate::Request for SwInterfaceAddDelMacAddress {
    type Reply = SwInterfaceAddDelMacAddressReply;
}

verdict! {
    /// `sw_interface_add_del_mac_address_reply`, CRC 0xe8d4e804.
    SwInterfaceAddDelMacAddressReply, "sw_interface_add_del_mac_address_reply", 0xe8d4e804, "sw_interface_add_del_mac_address_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_set_mac_address`, CRC 0xc536e7eb.
    pub struct SwInterfaceSetMacAddress {
        pub sw_if_index: InterfaceIndex,
        pub mac_address: MacAddress,
    }
}

message!(
    SwInterfaceSetMacAddress,
    "sw_interface_set_mac_address",
    0xc536e7eb,
    "sw_interface_set_mac_address_c536e7eb",
    ClientAndContext
);

impl crate::Request for SwInterfaceSetMacAddress {
    type Reply = SwInterfaceSetMacAddressReply;
}

verdict! {
    /// `sw_interface_set_mac_address_reply`, CRC 0xe8d4e804.
    SwInterfaceSetMacAddressReply, "sw_interface_set_mac_address_reply", 0xe8d4e804, "sw_interface_set_mac_address_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_get_mac_address`, CRC 0xf9e6675e.
    pub struct SwInterfaceGetMacAddress {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    SwInterfaceGetMacAddress,
    "sw_interface_get_mac_address",
    0xf9e6675e,
    "sw_interface_get_mac_address_f9e6675e",
    ClientAndContext
);

impl crate::Request for SwInterfaceGetMacAddress {
    type Reply = SwInterfaceGetMacAddressReply;
}

wire_struct! {
    /// `sw_interface_get_mac_address_reply`, CRC 0x40ef2c08.
    pub struct SwInterfaceGetMacAddressReply {
        pub retval: i32,
        pub mac_address: MacAddress,
    }
}

message!(
    SwInterfaceGetMacAddressReply,
    "sw_interface_get_mac_address_reply",
    0x40ef2c08,
    "sw_interface_get_mac_address_reply_40ef2c08",
    Context
);

impl crate::Reply for SwInterfaceGetMacAddressReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `sw_interface_set_rx_mode`, CRC 0xb04d1cfe.
    pub struct SwInterfaceSetRxMode {
        pub sw_if_index: InterfaceIndex,
        pub queue_id_valid: bool,
        pub queue_id: u32,
        pub mode: RxMode,
    }
}

message!(
    SwInterfaceSetRxMode,
    "sw_interface_set_rx_mode",
    0xb04d1cfe,
    "sw_interface_set_rx_mode_b04d1cfe",
    ClientAndContext
);

impl crate::Request for SwInterfaceSetRxMode {
    type Reply = SwInterfaceSetRxModeReply;
}

verdict! {
    /// `sw_interface_set_rx_mode_reply`, CRC 0xe8d4e804.
    SwInterfaceSetRxModeReply, "sw_interface_set_rx_mode_reply", 0xe8d4e804, "sw_interface_set_rx_mode_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_set_rx_placement`, CRC 0xdb65f3c9.
    pub struct SwInterfaceSetRxPlacement {
        pub sw_if_index: InterfaceIndex,
        pub queue_id: u32,
        pub worker_id: u32,
        pub is_main: bool,
    }
}

message!(
    SwInterfaceSetRxPlacement,
    "sw_interface_set_rx_placement",
    0xdb65f3c9,
    "sw_interface_set_rx_placement_db65f3c9",
    ClientAndContext
);

impl crate::Request for SwInterfaceSetRxPlacement {
    type Reply = SwInterfaceSetRxPlacementReply;
}

verdict! {
    /// `sw_interface_set_rx_placement_reply`, CRC 0xe8d4e804.
    SwInterfaceSetRxPlacementReply, "sw_interface_set_rx_placement_reply", 0xe8d4e804, "sw_interface_set_rx_placement_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_set_interface_name`, CRC 0x45a1d548.
    pub struct SwInterfaceSetInterfaceName {
        pub sw_if_index: InterfaceIndex,
        pub name: FixedString<64>,
    }
}

message!(
    SwInterfaceSetInterfaceName,
    "sw_interface_set_interface_name",
    0x45a1d548,
    "sw_interface_set_interface_name_45a1d548",
    ClientAndContext
);

impl crate::Request for SwInterfaceSetInterfaceName {
    type Reply = SwInterfaceSetInterfaceNameReply;
}

verdict! {
    /// `sw_interface_set_interface_name_reply`, CRC 0xe8d4e804.
    SwInterfaceSetInterfaceNameReply, "sw_interface_set_interface_name_reply", 0xe8d4e804, "sw_interface_set_interface_name_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_rx_placement_dump`, CRC 0xf9e6675e.
    pub struct SwInterfaceRxPlacementDump {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    SwInterfaceRxPlacementDump,
    "sw_interface_rx_placement_dump",
    0xf9e6675e,
    "sw_interface_rx_placement_dump_f9e6675e",
    ClientAndContext
);

impl crate::Dump for SwInterfaceRxPlacementDump {
    type Details = SwInterfaceRxPlacementDetails;
}

wire_struct! {
    /// `sw_interface_rx_placement_details`, CRC 0x9e44a7ce.
    pub struct SwInterfaceRxPlacementDetails {
        pub sw_if_index: InterfaceIndex,
        pub queue_id: u32,
        pub worker_id: u32,
        pub mode: RxMode,
    }
}

message!(
    SwInterfaceRxPlacementDetails,
    "sw_interface_rx_placement_details",
    0x9e44a7ce,
    "sw_interface_rx_placement_details_9e44a7ce",
    ClientAndContext
);

wire_struct! {
    /// `sw_interface_tx_placement_get`, CRC 0x47250981.
    pub struct SwInterfaceTxPlacementGet {
        pub cursor: u32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    SwInterfaceTxPlacementGet,
    "sw_interface_tx_placement_get",
    0x47250981,
    "sw_interface_tx_placement_get_47250981",
    ClientAndContext
);

impl crate::Get for SwInterfaceTxPlacementGet {
    type Details = SwInterfaceTxPlacementDetails;
    type Reply = SwInterfaceTxPlacementGetReply;

    fn at_cursor(&self, cursor: u32) -> Self {
        Self { cursor, ..self.clone() }
    }
}

wire_struct! {
    /// `sw_interface_tx_placement_get_reply`, CRC 0x53b48f5d.
    pub struct SwInterfaceTxPlacementGetReply {
        pub retval: i32,
        pub cursor: u32,
    }
}

message!(
    SwInterfaceTxPlacementGetReply,
    "sw_interface_tx_placement_get_reply",
    0x53b48f5d,
    "sw_interface_tx_placement_get_reply_53b48f5d",
    Context
);

impl crate::Reply for SwInterfaceTxPlacementGetReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

impl crate::GetReply for SwInterfaceTxPlacementGetReply {
    fn cursor(&self) -> u32 {
        self.cursor
    }
}

/// `sw_interface_tx_placement_details`, CRC 0x00381a2e.
#[derive(Debug, Clone, PartialEq)]
pub struct SwInterfaceTxPlacementDetails {
    pub sw_if_index: InterfaceIndex,
    pub queue_id: u32,
    pub shared: u8,
    pub threads: Vec<u32>,
}

impl Wire for SwInterfaceTxPlacementDetails {
    fn zero() -> Self {
        Self {
            sw_if_index: Wire::zero(),
            queue_id: Wire::zero(),
            shared: Wire::zero(),
            threads: Vec::new(),
        }
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.sw_if_index.encode(to)?;
        self.queue_id.encode(to)?;
        self.shared.encode(to)?;
        to.count::<u32>("threads", self.threads.len())?;
        to.list(&self.threads)?;
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let sw_if_index = Wire::decode(from)?;
        let queue_id = Wire::decode(from)?;
        let shared = Wire::decode(from)?;
        let array_size = u32::decode(from)?;
        let threads = from.list(array_size as usize)?;
        Ok(Self { sw_if_index, queue_id, shared, threads })
    }
}

default_is_zero!(SwInterfaceTxPlacementDetails);

message!(
    SwInterfaceTxPlacementDetails,
    "sw_interface_tx_placement_details",
    0x00381a2e,
    "sw_interface_tx_placement_details_00381a2e",
    ClientAndContext
);

wire_struct! {
    /// `create_subif`, CRC 0x790ca755.
    pub struct CreateSubif {
        pub sw_if_index: InterfaceIndex,
        pub sub_id: u32,
        pub sub_if_flags: SubIfFlags,
        pub outer_vlan_id: u16,
        pub inner_vlan_id: u16,
    }
}

message!(CreateSubif, "create_subif", 0x790ca755, "create_subif_790ca755", ClientAndContext);

impl crate::Request for CreateSubif {
    type Reply = CreateSubifReply;
}

wire_struct! {
    /// `create_subif_reply`, CRC 0x5383d31f.
    pub struct CreateSubifReply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    CreateSubifReply,
    "create_subif_reply",
    0x5383d31f,
    "create_subif_reply_5383d31f",
    Context
);

impl crate::Reply for CreateSubifReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `create_vlan_subif`, CRC 0xaf34ac8b.
    pub struct CreateVlanSubif {
        pub sw_if_index: InterfaceIndex,
        pub vlan_id: u32,
    }
}

message!(
    CreateVlanSubif,
    "create_vlan_subif",
    0xaf34ac8b,
    "create_vlan_subif_af34ac8b",
    ClientAndContext
);

impl crate::Request for CreateVlanSubif {
    type Reply = CreateVlanSubifReply;
}

wire_struct! {
    /// `create_vlan_subif_reply`, CRC 0x5383d31f.
    pub struct CreateVlanSubifReply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    CreateVlanSubifReply,
    "create_vlan_subif_reply",
    0x5383d31f,
    "create_vlan_subif_reply_5383d31f",
    Context
);

impl crate::Reply for CreateVlanSubifReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `delete_subif`, CRC 0xf9e6675e.
    pub struct DeleteSubif {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(DeleteSubif, "delete_subif", 0xf9e6675e, "delete_subif_f9e6675e", ClientAndContext);

impl crate::Request for DeleteSubif {
    type Reply = DeleteSubifReply;
}

verdict! {
    /// `delete_subif_reply`, CRC 0xe8d4e804.
    DeleteSubifReply, "delete_subif_reply", 0xe8d4e804, "delete_subif_reply_e8d4e804"
}

wire_struct! {
    /// `create_loopback`, CRC 0x42bb5d22.
    pub struct CreateLoopback {
        pub mac_address: MacAddress,
    }
}

message!(
    CreateLoopback,
    "create_loopback",
    0x42bb5d22,
    "create_loopback_42bb5d22",
    ClientAndContext
);

impl crate::Request for CreateLoopback {
    type Reply = CreateLoopbackReply;
}

wire_struct! {
    /// `create_loopback_reply`, CRC 0x5383d31f.
    pub struct CreateLoopbackReply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    CreateLoopbackReply,
    "create_loopback_reply",
    0x5383d31f,
    "create_loopback_reply_5383d31f",
    Context
);

impl crate::Reply for CreateLoopbackReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `create_loopback_instance`, CRC 0xd36a3ee2.
    pub struct CreateLoopbackInstance {
        pub mac_address: MacAddress,
        pub is_specified: bool,
        pub user_instance: u32,
    }
}

message!(
    CreateLoopbackInstance,
    "create_loopback_instance",
    0xd36a3ee2,
    "create_loopback_instance_d36a3ee2",
    ClientAndContext
);

impl crate::Request for CreateLoopbackInstance {
    type Reply = CreateLoopbackInstanceReply;
}

wire_struct! {
    /// `create_loopback_instance_reply`, CRC 0x5383d31f.
    pub struct CreateLoopbackInstanceReply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    CreateLoopbackInstanceReply,
    "create_loopback_instance_reply",
    0x5383d31f,
    "create_loopback_instance_reply_5383d31f",
    Context
);

impl crate::Reply for CreateLoopbackInstanceReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `delete_loopback`, CRC 0xf9e6675e.
    pub struct DeleteLoopback {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    DeleteLoopback,
    "delete_loopback",
    0xf9e6675e,
    "delete_loopback_f9e6675e",
    ClientAndContext
);

impl crate::Request for DeleteLoopback {
    type Reply = DeleteLoopbackReply;
}

verdict! {
    /// `delete_loopback_reply`, CRC 0xe8d4e804.
    DeleteLoopbackReply, "delete_loopback_reply", 0xe8d4e804, "delete_loopback_reply_e8d4e804"
}

wire_struct! {
    /// `pcap_trace_on`, CRC 0xcb39e968.
    pub struct PcapTraceOn {
        pub capture_rx: bool,
        pub capture_tx: bool,
        pub capture_drop: bool,
        pub filter: bool,
        pub preallocate_data: bool,
        pub free_data: bool,
        pub max_packets: u32 = 1000,
        pub max_bytes_per_packet: u32 = 512,
        pub sw_if_index: InterfaceIndex,
        pub error: FixedString<128>,
        pub filename: FixedString<64>,
    }
}

message!(PcapTraceOn, "pcap_trace_on", 0xcb39e968, "pcap_trace_on_cb39e968", ClientAndContext);

impl crate::Request for PcapTraceOn {
    type Reply = PcapTraceOnReply;
}

verdict! {
    /// `pcap_trace_on_reply`, CRC 0xe8d4e804.
    PcapTraceOnReply, "pcap_trace_on_reply", 0xe8d4e804, "pcap_trace_on_reply_e8d4e804"
}

wire_struct! {
    /// `pcap_trace_off`, CRC 0x51077d14.
    pub struct PcapTraceOff {}
}

message!(PcapTraceOff, "pcap_trace_off", 0x51077d14, "pcap_trace_off_51077d14", ClientAndContext);

impl crate::Request for PcapTraceOff {
    type Reply = PcapTraceOffReply;
}

verdict! {
    /// `pcap_trace_off_reply`, CRC 0xe8d4e804.
    PcapTraceOffReply, "pcap_trace_off_reply", 0xe8d4e804, "pcap_trace_off_reply_e8d4e804"
}
