//! `vlib.api`, version 1.0.0. Written by vpp-api-generator: change that, not this.

use crate::definition::{default_is_zero, message, wire_struct};
use crate::wire::FixedString;
use crate::wire::{DecodeError, EncodeError, Reader, Wire, Writer};

wire_struct! {
    /// `thread_data`.
    pub struct ThreadData {
        pub id: u32,
        pub name: FixedString<64>,
        pub type_: FixedString<64>,
        pub pid: u32,
        pub cpu_id: u32,
        pub core: u32,
        pub cpu_socket: u32,
    }
}

wire_struct! {
    /// `cli_inband`, CRC 0xf8377302.
    pub struct CliInband {
        pub cmd: String,
    }
}

message!(CliInband, "cli_inband", 0xf8377302, "cli_inband_f8377302", ClientAndContext);

impl crate::Request for CliInband {
    type Reply = CliInbandReply;
}

wire_struct! {
    /// `cli_inband_reply`, CRC 0x05879051.
    pub struct CliInbandReply {
        pub retval: i32,
        pub reply: String,
    }
}

message!(CliInbandReply, "cli_inband_reply", 0x05879051, "cli_inband_reply_05879051", Context);

impl crate::Reply for CliInbandReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `get_node_index`, CRC 0xf1984c64.
    pub struct GetNodeIndex {
        pub node_name: FixedString<64>,
    }
}

message!(GetNodeIndex, "get_node_index", 0xf1984c64, "get_node_index_f1984c64", ClientAndContext);

impl crate::Request for GetNodeIndex {
    type Reply = GetNodeIndexReply;
}

wire_struct! {
    /// `get_node_index_reply`, CRC 0xa8600b89.
    pub struct GetNodeIndexReply {
        pub retval: i32,
        pub node_index: u32,
    }
}

message!(
    GetNodeIndexReply,
    "get_node_index_reply",
    0xa8600b89,
    "get_node_index_reply_a8600b89",
    Context
);

impl crate::Reply for GetNodeIndexReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `show_threads`, CRC 0x51077d14.
    pub struct ShowThreads {}
}

message!(ShowThreads, "show_threads", 0x51077d14, "show_threads_51077d14", ClientAndContext);

impl crate::Request for ShowThreads {
    type Reply = ShowThreadsReply;
}

/// `show_threads_reply`, CRC 0xefd78e83.
#[derive(Debug, Clone, PartialEq)]
pub struct ShowThreadsReply {
    pub retval: i32,
    pub thread_data: Vec<ThreadData>,
}

impl Wire for ShowThreadsReply {
    fn zero() -> Self {
        Self { retval: Wire::zero(), thread_data: Vec::new() }
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.retval.encode(to)?;
        to.count::<u32>("thread_data", self.thread_data.len())?;
        to.list(&self.thread_data)?;
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let retval = Wire::decode(from)?;
        let count = u32::decode(from)?;
        let thread_data = from.list(count as usize)?;
        Ok(Self { retval, thread_data })
    }
}

default_is_zero!(ShowThreadsReply);

message!(
    ShowThreadsReply,
    "show_threads_reply",
    0xefd78e83,
    "show_threads_reply_efd78e83",
    Context
);

impl crate::Reply for ShowThreadsReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}
