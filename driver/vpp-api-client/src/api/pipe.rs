//! `pipe.api`, version 1.0.1. Written by vpp-api-generator: change that, not this.

use super::interface_types::InterfaceIndex;
use crate::definition::{message, verdict, wire_struct};

wire_struct! {
    /// `pipe_create`, CRC 0xbb263bd3.
    pub struct PipeCreate {
        pub is_specified: bool,
        pub user_instance: u32,
    }
}

message!(PipeCreate, "pipe_create", 0xbb263bd3, "pipe_create_bb263bd3", ClientAndContext);

impl crate::Request for PipeCreate {
    type Reply = PipeCreateReply;
}

wire_struct! {
    /// `pipe_create_reply`, CRC 0xb7ce310c.
    pub struct PipeCreateReply {
        pub retval: i32,
        pub sw_if_index: InterfaceIndex,
        pub pipe_sw_if_index: [InterfaceIndex; 2],
    }
}

message!(PipeCreateReply, "pipe_create_reply", 0xb7ce310c, "pipe_create_reply_b7ce310c", Context);

impl crate::Reply for PipeCreateReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `pipe_delete`, CRC 0xf9e6675e.
    pub struct PipeDelete {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(PipeDelete, "pipe_delete", 0xf9e6675e, "pipe_delete_f9e6675e", ClientAndContext);

impl crate::Request for PipeDelete {
    type Reply = PipeDeleteReply;
}

verdict! {
    /// `pipe_delete_reply`, CRC 0xe8d4e804.
    PipeDeleteReply, "pipe_delete_reply", 0xe8d4e804, "pipe_delete_reply_e8d4e804"
}

wire_struct! {
    /// `pipe_dump`, CRC 0x51077d14.
    pub struct PipeDump {}
}

message!(PipeDump, "pipe_dump", 0x51077d14, "pipe_dump_51077d14", ClientAndContext);

impl crate::Dump for PipeDump {
    type Details = PipeDetails;
}

wire_struct! {
    /// `pipe_details`, CRC 0xc52b799d.
    pub struct PipeDetails {
        pub sw_if_index: InterfaceIndex,
        pub pipe_sw_if_index: [InterfaceIndex; 2],
        pub instance: u32,
    }
}

message!(PipeDetails, "pipe_details", 0xc52b799d, "pipe_details_c52b799d", Context);
