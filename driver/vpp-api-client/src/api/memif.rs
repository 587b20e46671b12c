//! `memif.api`, version 3.1.0. Written by vpp-api-generator: change that, not this.

use super::interface_types::IfStatusFlags;
use super::interface_types::InterfaceIndex;
use crate::definition::{enumeration, message, verdict, wire_struct};
use crate::mac::MacAddress;
use crate::wire::FixedString;

enumeration! {
    /// `memif_role`.
    pub struct MemifRole(u32) {
        MASTER = 0,
        SLAVE = 1,
    }
}

enumeration! {
    /// `memif_mode`.
    pub struct MemifMode(u32) {
        ETHERNET = 0,
        IP = 1,
        PUNT_INJECT = 2,
    }
}

wire_struct! {
    /// `memif_socket_filename_add_del`, CRC 0xa2ce1a10.
    /// VPP calls it deprecated.
    pub struct MemifSocketFilenameAddDel {
        pub is_add: bool,
        pub socket_id: u32,
        pub socket_filename: FixedString<108>,
    }
}

message!(
    MemifSocketFilenameAddDel,
    "memif_socket_filename_add_del",
    0xa2ce1a10,
    "memif_socket_filename_add_del_a2ce1a10",
    ClientAndContext
);

impl crate::Request for MemifSocketFilenameAddDel {
    type Reply = MemifSocketFilenameAddDelReply;
}

verdict! {
    /// `memif_socket_filename_add_del_reply`, CRC 0xe8d4e804.
    /// VPP calls it deprecated.
    MemifSocketFilenameAddDelReply, "memif_socket_filename_add_del_reply", 0xe8d4e804, "memif_socket_filename_add_del_reply_e8d4e804"
}

wire_struct! {
    /// `memif_socket_filename_add_del_v2`, CRC 0x34223bdf.
    pub struct MemifSocketFilenameAddDelV2 {
        pub is_add: bool,
        pub socket_id: u32 = 4294967295,
        pub socket_filename: String,
    }
}

message!(
    MemifSocketFilenameAddDelV2,
    "memif_socket_filename_add_del_v2",
    0x34223bdf,
    "memif_socket_filename_add_del_v2_34223bdf",
    ClientAndContext
);

impl crate::Request for MemifSocketFilenameAddDelV2 {
    type Reply = MemifSocketFilenameAddDelV2Reply;
}

wire_struct! {
    /// `memif_socket_filename_add_del_v2_reply`, CRC 0x9f29bdb9.
    pub struct MemifSocketFilenameAddDelV2Reply {
        pub retval: i32,
        pub socket_id: u32,
    }
}

message!(
    MemifSocketFilenameAddDelV2Reply,
    "memif_socket_filename_add_del_v2_reply",
    0x9f29bdb9,
    "memif_socket_filename_add_del_v2_reply_9f29bdb9",
    Context
);

impl crate::Reply for MemifSocketFilenameAddDelV2Reply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `memif_create`, CRC 0xb1b25061.
    /// VPP calls it deprecated.
    pub struct MemifCreate {
        pub role: MemifRole,
        pub mode: MemifMode,
        pub rx_queues: u8,
        pub tx_queues: u8,
        pub id: u32,
        pub socket_id: u32,
        pub ring_size: u32,
        pub buffer_size: u16,
        pub no_zero_copy: bool,
        pub hw_addr: MacAddress,
        pub secret: FixedString<24>,
    }
}

message!(MemifCreate, "memif_create", 0xb1b25061, "memif_create_b1b25061", ClientAndContext);

impl crate::Request for MemifCreate {
    type Reply = MemifCreateReply;
}

wire_struct! {
    /// `memif_create_reply`, CRC 0x5383d31f.
    /// VPP calls it deprecated.
    pub struct MemifCreateReply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    MemifCreateReply,
    "memif_create_reply",
    0x5383d31f,
    "memif_create_reply_5383d31f",
    Context
);

impl crate::Reply for MemifCreateReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `memif_create_v2`, CRC 0x8c7de5f7.
    pub struct MemifCreateV2 {
        pub role: MemifRole,
        pub mode: MemifMode,
        pub rx_queues: u8,
        pub tx_queues: u8,
        pub id: u32,
        pub socket_id: u32,
        pub ring_size: u32,
        pub buffer_size: u16,
        pub no_zero_copy: bool,
        pub use_dma: bool,
        pub hw_addr: MacAddress,
        pub secret: FixedString<24>,
    }
}

message!(
    MemifCreateV2,
    "memif_create_v2",
    0x8c7de5f7,
    "memif_create_v2_8c7de5f7",
    ClientAndContext
);

impl crate::Request for MemifCreateV2 {
    type Reply = MemifCreateV2Reply;
}

wire_struct! {
    /// `memif_create_v2_reply`, CRC 0x5383d31f.
    pub struct MemifCreateV2Reply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    MemifCreateV2Reply,
    "memif_create_v2_reply",
    0x5383d31f,
    "memif_create_v2_reply_5383d31f",
    Context
);

impl crate::Reply for MemifCreateV2Reply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `memif_delete`, CRC 0xf9e6675e.
    pub struct MemifDelete {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(MemifDelete, "memif_delete", 0xf9e6675e, "memif_delete_f9e6675e", ClientAndContext);

impl crate::Request for MemifDelete {
    type Reply = MemifDeleteReply;
}

verdict! {
    /// `memif_delete_reply`, CRC 0xe8d4e804.
    MemifDeleteReply, "memif_delete_reply", 0xe8d4e804, "memif_delete_reply_e8d4e804"
}

wire_struct! {
    /// `memif_socket_filename_details`, CRC 0x7ff326f7.
    pub struct MemifSocketFilenameDetails {
        pub socket_id: u32,
        pub socket_filename: FixedString<108>,
    }
}

message!(
    MemifSocketFilenameDetails,
    "memif_socket_filename_details",
    0x7ff326f7,
    "memif_socket_filename_details_7ff326f7",
    Context
);

wire_struct! {
    /// `memif_socket_filename_dump`, CRC 0x51077d14.
    pub struct MemifSocketFilenameDump {}
}

message!(
    MemifSocketFilenameDump,
    "memif_socket_filename_dump",
    0x51077d14,
    "memif_socket_filename_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for MemifSocketFilenameDump {
    type Details = MemifSocketFilenameDetails;
}

wire_struct! {
    /// `memif_details`, CRC 0xda34feb9.
    pub struct MemifDetails {
        pub sw_if_index: InterfaceIndex,
        pub hw_addr: MacAddress,
        pub id: u32,
        pub role: MemifRole,
        pub mode: MemifMode,
        pub zero_copy: bool,
        pub socket_id: u32,
        pub ring_size: u32,
        pub buffer_size: u16,
        pub flags: IfStatusFlags,
        pub if_name: FixedString<64>,
    }
}

message!(MemifDetails, "memif_details", 0xda34feb9, "memif_details_da34feb9", Context);

wire_struct! {
    /// `memif_dump`, CRC 0x51077d14.
    pub struct MemifDump {}
}

message!(MemifDump, "memif_dump", 0x51077d14, "memif_dump_51077d14", ClientAndContext);

impl crate::Dump for MemifDump {
    type Details = MemifDetails;
}
