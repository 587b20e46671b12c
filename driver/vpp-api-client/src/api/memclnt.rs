//! `memclnt.api`, version 2.1.0. Written by vpp-api-generator: change that, not this.

use crate::definition::{default_is_zero, message, verdict, wire_struct};
use crate::wire::FixedString;
use crate::wire::{DecodeError, EncodeError, Reader, Wire, Writer};

wire_struct! {
    /// `module_version`.
    pub struct ModuleVersion {
        pub major: u32,
        pub minor: u32,
        pub patch: u32,
        pub name: FixedString<64>,
    }
}

wire_struct! {
    /// `message_table_entry`.
    pub struct MessageTableEntry {
        pub index: u16,
        pub name: FixedString<64>,
    }
}

wire_struct! {
    /// `api_versions`, CRC 0x51077d14.
    pub struct ApiVersions {}
}

message!(ApiVersions, "api_versions", 0x51077d14, "api_versions_51077d14", ClientAndContext);

impl crate::Request for ApiVersions {
    type Reply = ApiVersionsReply;
}

/// `api_versions_reply`, CRC 0x5f0d99d6.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiVersionsReply {
    pub retval: i32,
    pub api_versions: Vec<ModuleVersion>,
}

impl Wire for ApiVersionsReply {
    fn zero() -> Self {
        Self { retval: Wire::zero(), api_versions: Vec::new() }
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.retval.encode(to)?;
        to.count::<u32>("api_versions", self.api_versions.len())?;
        to.list(&self.api_versions)?;
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let retval = Wire::decode(from)?;
        let count = u32::decode(from)?;
        let api_versions = from.list(count as usize)?;
        Ok(Self { retval, api_versions })
    }
}

default_is_zero!(ApiVersionsReply);

message!(
    ApiVersionsReply,
    "api_versions_reply",
    0x5f0d99d6,
    "api_versions_reply_5f0d99d6",
    Context
);

impl crate::Reply for ApiVersionsReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `sockclnt_create`, CRC 0x455fb9c4.
    pub struct SockclntCreate {
        pub name: FixedString<64>,
    }
}

message!(SockclntCreate, "sockclnt_create", 0x455fb9c4, "sockclnt_create_455fb9c4", Context);

impl crate::Request for SockclntCreate {
    type Reply = SockclntCreateReply;
}

/// `sockclnt_create_reply`, CRC 0x35166268.
#[derive(Debug, Clone, PartialEq)]
pub struct SockclntCreateReply {
    pub response: i32,
    pub index: u32,
    pub message_table: Vec<MessageTableEntry>,
}

impl Wire for SockclntCreateReply {
    fn zero() -> Self {
        Self { response: Wire::zero(), index: Wire::zero(), message_table: Vec::new() }
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.response.encode(to)?;
        self.index.encode(to)?;
        to.count::<u16>("message_table", self.message_table.len())?;
        to.list(&self.message_table)?;
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let response = Wire::decode(from)?;
        let index = Wire::decode(from)?;
        let count = u16::decode(from)?;
        let message_table = from.list(count as usize)?;
        Ok(Self { response, index, message_table })
    }
}

default_is_zero!(SockclntCreateReply);

message!(
    SockclntCreateReply,
    "sockclnt_create_reply",
    0x35166268,
    "sockclnt_create_reply_35166268",
    ClientAndContext
);

impl crate::Reply for SockclntCreateReply {}

wire_struct! {
    /// `sockclnt_delete`, CRC 0x8ac76db6.
    pub struct SockclntDelete {
        pub index: u32,
    }
}

message!(
    SockclntDelete,
    "sockclnt_delete",
    0x8ac76db6,
    "sockclnt_delete_8ac76db6",
    ClientAndContext
);

impl crate::Request for SockclntDelete {
    type Reply = SockclntDeleteReply;
}

wire_struct! {
    /// `sockclnt_delete_reply`, CRC 0x8f38b1ee.
    pub struct SockclntDeleteReply {
        pub response: i32,
    }
}

message!(
    SockclntDeleteReply,
    "sockclnt_delete_reply",
    0x8f38b1ee,
    "sockclnt_delete_reply_8f38b1ee",
    Context
);

impl crate::Reply for SockclntDeleteReply {}

wire_struct! {
    /// `memclnt_keepalive`, CRC 0x51077d14.
    pub struct MemclntKeepalive {}
}

message!(
    MemclntKeepalive,
    "memclnt_keepalive",
    0x51077d14,
    "memclnt_keepalive_51077d14",
    ClientAndContext
);

impl crate::Request for MemclntKeepalive {
    type Reply = MemclntKeepaliveReply;
}

verdict! {
    /// `memclnt_keepalive_reply`, CRC 0xe8d4e804.
    MemclntKeepaliveReply, "memclnt_keepalive_reply", 0xe8d4e804, "memclnt_keepalive_reply_e8d4e804"
}

wire_struct! {
    /// `control_ping`, CRC 0x51077d14.
    pub struct ControlPing {}
}

message!(ControlPing, "control_ping", 0x51077d14, "control_ping_51077d14", ClientAndContext);

impl crate::Request for ControlPing {
    type Reply = ControlPingReply;
}

wire_struct! {
    /// `control_ping_reply`, CRC 0xf6b0b8ca.
    pub struct ControlPingReply {
        pub retval: i32,
        pub client_index: u32,
        pub vpe_pid: u32,
    }
}

message!(
    ControlPingReply,
    "control_ping_reply",
    0xf6b0b8ca,
    "control_ping_reply_f6b0b8ca",
    Context
);

impl crate::Reply for ControlPingReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `get_api_json`, CRC 0x51077d14.
    pub struct GetApiJson {}
}

message!(GetApiJson, "get_api_json", 0x51077d14, "get_api_json_51077d14", ClientAndContext);

impl crate::Request for GetApiJson {
    type Reply = GetApiJsonReply;
}

wire_struct! {
    /// `get_api_json_reply`, CRC 0xea715b59.
    pub struct GetApiJsonReply {
        pub retval: i32,
        pub json: String,
    }
}

message!(GetApiJsonReply, "get_api_json_reply", 0xea715b59, "get_api_json_reply_ea715b59", Context);

impl crate::Reply for GetApiJsonReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}
