//! `af_packet.api`, version 2.0.0. Written by vpp-api-generator: change that, not this.

use super::interface_types::InterfaceIndex;
use crate::definition::{enumeration, flags, message, verdict, wire_struct};
use crate::mac::MacAddress;
use crate::wire::FixedString;

enumeration! {
    /// `af_packet_mode`.
    pub struct AfPacketMode(u32) {
        ETHERNET = 1,
        IP = 2,
    }
}

flags! {
    /// `af_packet_flags`.
    pub struct AfPacketFlags(u32) {
        QDISC_BYPASS = 1,
        CKSUM_GSO = 2,
        VERSION_2 = 8,
    }
}

wire_struct! {
    /// `af_packet_create_v2`, CRC 0x4aff0436.
    /// VPP calls it deprecated.
    pub struct AfPacketCreateV2 {
        pub hw_addr: MacAddress,
        pub use_random_hw_addr: bool,
        pub host_if_name: FixedString<64>,
        pub rx_frame_size: u32,
        pub tx_frame_size: u32,
        pub rx_frames_per_block: u32,
        pub tx_frames_per_block: u32,
        pub flags: u32,
        pub num_rx_queues: u16 = 1,
    }
}

message!(
    AfPacketCreateV2,
    "af_packet_create_v2",
    0x4aff0436,
    "af_packet_create_v2_4aff0436",
    ClientAndContext
);

impl crate::Request for AfPacketCreateV2 {
    type Reply = AfPacketCreateV2Reply;
}

wire_struct! {
    /// `af_packet_create_v2_reply`, CRC 0x5383d31f.
    /// VPP calls it deprecated.
    pub struct AfPacketCreateV2Reply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    AfPacketCreateV2Reply,
    "af_packet_create_v2_reply",
    0x5383d31f,
    "af_packet_create_v2_reply_5383d31f",
    Context
);

impl crate::Reply for AfPacketCreateV2Reply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `af_packet_create_v3`, CRC 0xb3a809d4.
    pub struct AfPacketCreateV3 {
        pub mode: AfPacketMode,
        pub hw_addr: MacAddress,
        pub use_random_hw_addr: bool,
        pub host_if_name: FixedString<64>,
        pub rx_frame_size: u32,
        pub tx_frame_size: u32,
        pub rx_frames_per_block: u32,
        pub tx_frames_per_block: u32,
        pub flags: AfPacketFlags,
        pub num_rx_queues: u16 = 1,
        pub num_tx_queues: u16 = 1,
    }
}

message!(
    AfPacketCreateV3,
    "af_packet_create_v3",
    0xb3a809d4,
    "af_packet_create_v3_b3a809d4",
    ClientAndContext
);

impl crate::Request for AfPacketCreateV3 {
    type Reply = AfPacketCreateV3Reply;
}

wire_struct! {
    /// `af_packet_create_v3_reply`, CRC 0x5383d31f.
    pub struct AfPacketCreateV3Reply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    AfPacketCreateV3Reply,
    "af_packet_create_v3_reply",
    0x5383d31f,
    "af_packet_create_v3_reply_5383d31f",
    Context
);

impl crate::Reply for AfPacketCreateV3Reply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `af_packet_delete`, CRC 0x863fa648.
    pub struct AfPacketDelete {
        pub host_if_name: FixedString<64>,
    }
}

message!(
    AfPacketDelete,
    "af_packet_delete",
    0x863fa648,
    "af_packet_delete_863fa648",
    ClientAndContext
);

impl crate::Request for AfPacketDelete {
    type Reply = AfPacketDeleteReply;
}

verdict! {
    /// `af_packet_delete_reply`, CRC 0xe8d4e804.
    AfPacketDeleteReply, "af_packet_delete_reply", 0xe8d4e804, "af_packet_delete_reply_e8d4e804"
}

wire_struct! {
    /// `af_packet_set_l4_cksum_offload`, CRC 0x319cd5c8.
    pub struct AfPacketSetL4CksumOffload {
        pub sw_if_index: InterfaceIndex,
        pub set: bool,
    }
}

message!(
    AfPacketSetL4CksumOffload,
    "af_packet_set_l4_cksum_offload",
    0x319cd5c8,
    "af_packet_set_l4_cksum_offload_319cd5c8",
    ClientAndContext
);

impl crate::Request for AfPacketSetL4CksumOffload {
    type Reply = AfPacketSetL4CksumOffloadReply;
}

verdict! {
    /// `af_packet_set_l4_cksum_offload_reply`, CRC 0xe8d4e804.
    AfPacketSetL4CksumOffloadReply, "af_packet_set_l4_cksum_offload_reply", 0xe8d4e804, "af_packet_set_l4_cksum_offload_reply_e8d4e804"
}

wire_struct! {
    /// `af_packet_dump`, CRC 0x51077d14.
    pub struct AfPacketDump {}
}

message!(AfPacketDump, "af_packet_dump", 0x51077d14, "af_packet_dump_51077d14", ClientAndContext);

impl crate::Dump for AfPacketDump {
    type Details = AfPacketDetails;
}

wire_struct! {
    /// `af_packet_details`, CRC 0x58c7c042.
    pub struct AfPacketDetails {
        pub sw_if_index: InterfaceIndex,
        pub host_if_name: FixedString<64>,
    }
}

message!(AfPacketDetails, "af_packet_details", 0x58c7c042, "af_packet_details_58c7c042", Context);
