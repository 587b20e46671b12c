//! `vhost_user.api`, version 4.1.1. Written by vpp-api-generator: change that, not this.

use super::interface_types::InterfaceIndex;
use super::virtio_types::VirtioNetFeaturesFirst32;
use super::virtio_types::VirtioNetFeaturesLast32;
use crate::definition::{message, verdict, wire_struct};
use crate::mac::MacAddress;
use crate::wire::FixedString;

wire_struct! {
    /// `create_vhost_user_if_v2`, CRC 0xdba1cc1d.
    pub struct CreateVhostUserIfV2 {
        pub is_server: bool,
        pub sock_filename: FixedString<256>,
        pub renumber: bool,
        pub disable_mrg_rxbuf: bool,
        pub disable_indirect_desc: bool,
        pub enable_gso: bool,
        pub enable_packed: bool,
        pub enable_event_idx: bool,
        pub custom_dev_instance: u32,
        pub use_custom_mac: bool,
        pub mac_address: MacAddress,
        pub tag: FixedString<64>,
    }
}

message!(
    CreateVhostUserIfV2,
    "create_vhost_user_if_v2",
    0xdba1cc1d,
    "create_vhost_user_if_v2_dba1cc1d",
    ClientAndContext
);

impl crate::Request for CreateVhostUserIfV2 {
    type Reply = CreateVhostUserIfV2Reply;
}

wire_struct! {
    /// `create_vhost_user_if_v2_reply`, CRC 0x5383d31f.
    pub struct CreateVhostUserIfV2Reply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    CreateVhostUserIfV2Reply,
    "create_vhost_user_if_v2_reply",
    0x5383d31f,
    "create_vhost_user_if_v2_reply_5383d31f",
    Context
);

impl crate::Reply for CreateVhostUserIfV2Reply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `modify_vhost_user_if_v2`, CRC 0xb2483771.
    pub struct ModifyVhostUserIfV2 {
        pub sw_if_index: InterfaceIndex,
        pub is_server: bool,
        pub sock_filename: FixedString<256>,
        pub renumber: bool,
        pub enable_gso: bool,
        pub enable_packed: bool,
        pub enable_event_idx: bool,
        pub custom_dev_instance: u32,
    }
}

message!(
    ModifyVhostUserIfV2,
    "modify_vhost_user_if_v2",
    0xb2483771,
    "modify_vhost_user_if_v2_b2483771",
    ClientAndContext
);

impl crate::Request for ModifyVhostUserIfV2 {
    type Reply = ModifyVhostUserIfV2Reply;
}

verdict! {
    /// `modify_vhost_user_if_v2_reply`, CRC 0xe8d4e804.
    ModifyVhostUserIfV2Reply, "modify_vhost_user_if_v2_reply", 0xe8d4e804, "modify_vhost_user_if_v2_reply_e8d4e804"
}

wire_struct! {
    /// `delete_vhost_user_if`, CRC 0xf9e6675e.
    pub struct DeleteVhostUserIf {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    DeleteVhostUserIf,
    "delete_vhost_user_if",
    0xf9e6675e,
    "delete_vhost_user_if_f9e6675e",
    ClientAndContext
);

impl crate::Request for DeleteVhostUserIf {
    type Reply = DeleteVhostUserIfReply;
}

verdict! {
    /// `delete_vhost_user_if_reply`, CRC 0xe8d4e804.
    DeleteVhostUserIfReply, "delete_vhost_user_if_reply", 0xe8d4e804, "delete_vhost_user_if_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_vhost_user_details`, CRC 0x0cee1e53.
    pub struct SwInterfaceVhostUserDetails {
        pub sw_if_index: InterfaceIndex,
        pub interface_name: FixedString<64>,
        pub virtio_net_hdr_sz: u32,
        pub features_first_32: VirtioNetFeaturesFirst32,
        pub features_last_32: VirtioNetFeaturesLast32,
        pub is_server: bool,
        pub sock_filename: FixedString<256>,
        pub num_regions: u32,
        pub sock_errno: i32,
    }
}

message!(
    SwInterfaceVhostUserDetails,
    "sw_interface_vhost_user_details",
    0x0cee1e53,
    "sw_interface_vhost_user_details_0cee1e53",
    Context
);

wire_struct! {
    /// `sw_interface_vhost_user_dump`, CRC 0xf9e6675e.
    pub struct SwInterfaceVhostUserDump {
        pub sw_if_index: InterfaceIndex = InterfaceIndex(4294967295),
    }
}

message!(
    SwInterfaceVhostUserDump,
    "sw_interface_vhost_user_dump",
    0xf9e6675e,
    "sw_interface_vhost_user_dump_f9e6675e",
    ClientAndContext
);

impl crate::Dump for SwInterfaceVhostUserDump {
    type Details = SwInterfaceVhostUserDetails;
}
