//! `session.api`, version 4.0.3. Written by vpp-api-generator: change that, not this.

use super::interface_types::InterfaceIndex;
use super::ip_types::Prefix;
use crate::definition::{default_is_zero, enumeration, message, verdict, wire_struct};
use crate::wire::FixedString;
use crate::wire::{DecodeError, EncodeError, Reader, Wire, Writer};

enumeration! {
    /// `transport_proto`.
    pub struct TransportProto(u8) {
        TCP = 0,
        UDP = 1,
        NONE = 2,
        TLS = 3,
        QUIC = 4,
    }
}

enumeration! {
    /// `rt_backend_engine`.
    pub struct RtBackendEngine(u8) {
        DISABLE = 0,
        RULE_TABLE = 1,
        NONE = 2,
        SDL = 3,
    }
}

enumeration! {
    /// `session_rule_scope`.
    pub struct SessionRuleScope(u32) {
        GLOBAL = 0,
        LOCAL = 1,
        BOTH = 2,
    }
}

wire_struct! {
    /// `session_enable_disable`, CRC 0xc264d7bf.
    /// VPP calls it deprecated.
    pub struct SessionEnableDisable {
        pub is_enable: bool = true,
    }
}

message!(
    SessionEnableDisable,
    "session_enable_disable",
    0xc264d7bf,
    "session_enable_disable_c264d7bf",
    ClientAndContext
);

impl crate::Request for SessionEnableDisable {
    type Reply = SessionEnableDisableReply;
}

verdict! {
    /// `session_enable_disable_reply`, CRC 0xe8d4e804.
    /// VPP calls it deprecated.
    SessionEnableDisableReply, "session_enable_disable_reply", 0xe8d4e804, "session_enable_disable_reply_e8d4e804"
}

wire_struct! {
    /// `session_enable_disable_v2`, CRC 0xf09fbf32.
    pub struct SessionEnableDisableV2 {
        pub rt_engine_type: RtBackendEngine,
    }
}

message!(
    SessionEnableDisableV2,
    "session_enable_disable_v2",
    0xf09fbf32,
    "session_enable_disable_v2_f09fbf32",
    ClientAndContext
);

impl crate::Request for SessionEnableDisableV2 {
    type Reply = SessionEnableDisableV2Reply;
}

verdict! {
    /// `session_enable_disable_v2_reply`, CRC 0xe8d4e804.
    SessionEnableDisableV2Reply, "session_enable_disable_v2_reply", 0xe8d4e804, "session_enable_disable_v2_reply_e8d4e804"
}

wire_struct! {
    /// `session_sapi_enable_disable`, CRC 0xc264d7bf.
    pub struct SessionSapiEnableDisable {
        pub is_enable: bool = true,
    }
}

message!(
    SessionSapiEnableDisable,
    "session_sapi_enable_disable",
    0xc264d7bf,
    "session_sapi_enable_disable_c264d7bf",
    ClientAndContext
);

impl crate::Request for SessionSapiEnableDisable {
    type Reply = SessionSapiEnableDisableReply;
}

verdict! {
    /// `session_sapi_enable_disable_reply`, CRC 0xe8d4e804.
    SessionSapiEnableDisableReply, "session_sapi_enable_disable_reply", 0xe8d4e804, "session_sapi_enable_disable_reply_e8d4e804"
}

wire_struct! {
    /// `app_namespace_add_del_v4`, CRC 0x42c1d824.
    /// VPP calls it deprecated.
    pub struct AppNamespaceAddDelV4 {
        pub secret: u64,
        pub is_add: bool = true,
        pub sw_if_index: InterfaceIndex = InterfaceIndex(4294967295),
        pub ip4_fib_id: u32,
        pub ip6_fib_id: u32,
        pub namespace_id: FixedString<64>,
        pub sock_name: String,
    }
}

message!(
    AppNamespaceAddDelV4,
    "app_namespace_add_del_v4",
    0x42c1d824,
    "app_namespace_add_del_v4_42c1d824",
    ClientAndContext
);

impl crate::Request for AppNamespaceAddDelV4 {
    type Reply = AppNamespaceAddDelV4Reply;
}

wire_struct! {
    /// `app_namespace_add_del_v4_reply`, CRC 0x85137120.
    pub struct AppNamespaceAddDelV4Reply {
        pub retval: i32,
        pub appns_index: u32,
    }
}

message!(
    AppNamespaceAddDelV4Reply,
    "app_namespace_add_del_v4_reply",
    0x85137120,
    "app_namespace_add_del_v4_reply_85137120",
    Context
);

impl crate::Reply for AppNamespaceAddDelV4Reply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `app_namespace_add_del_v3`, CRC 0x8a7e40a1.
    /// VPP calls it deprecated.
    pub struct AppNamespaceAddDelV3 {
        pub secret: u64,
        pub is_add: bool = true,
        pub sw_if_index: InterfaceIndex = InterfaceIndex(4294967295),
        pub ip4_fib_id: u32,
        pub ip6_fib_id: u32,
        pub namespace_id: FixedString<64>,
        pub netns: FixedString<64>,
        pub sock_name: String,
    }
}

message!(
    AppNamespaceAddDelV3,
    "app_namespace_add_del_v3",
    0x8a7e40a1,
    "app_namespace_add_del_v3_8a7e40a1",
    ClientAndContext
);

impl crate::Request for AppNamespaceAddDelV3 {
    type Reply = AppNamespaceAddDelV3Reply;
}

wire_struct! {
    /// `app_namespace_add_del_v3_reply`, CRC 0x85137120.
    /// VPP calls it deprecated.
    pub struct AppNamespaceAddDelV3Reply {
        pub retval: i32,
        pub appns_index: u32,
    }
}

message!(
    AppNamespaceAddDelV3Reply,
    "app_namespace_add_del_v3_reply",
    0x85137120,
    "app_namespace_add_del_v3_reply_85137120",
    Context
);

impl crate::Reply for AppNamespaceAddDelV3Reply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `session_rule_add_del`, CRC 0x82a90af5.
    pub struct SessionRuleAddDel {
        pub transport_proto: TransportProto,
        pub lcl: Prefix,
        pub rmt: Prefix,
        pub lcl_port: u16,
        pub rmt_port: u16,
        pub action_index: u32,
        pub is_add: bool = true,
        pub appns_index: u32,
        pub scope: SessionRuleScope,
        pub tag: FixedString<64>,
    }
}

message!(
    SessionRuleAddDel,
    "session_rule_add_del",
    0x82a90af5,
    "session_rule_add_del_82a90af5",
    ClientAndContext
);

impl crate::Request for SessionRuleAddDel {
    type Reply = SessionRuleAddDelReply;
}

verdict! {
    /// `session_rule_add_del_reply`, CRC 0xe8d4e804.
    SessionRuleAddDelReply, "session_rule_add_del_reply", 0xe8d4e804, "session_rule_add_del_reply_e8d4e804"
}

wire_struct! {
    /// `session_rules_dump`, CRC 0x51077d14.
    /// VPP calls it deprecated.
    pub struct SessionRulesDump {}
}

message!(
    SessionRulesDump,
    "session_rules_dump",
    0x51077d14,
    "session_rules_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for SessionRulesDump {
    type Details = SessionRulesDetails;
}

wire_struct! {
    /// `session_rules_details`, CRC 0x4ef746e7.
    /// VPP calls it deprecated.
    pub struct SessionRulesDetails {
        pub transport_proto: TransportProto,
        pub lcl: Prefix,
        pub rmt: Prefix,
        pub lcl_port: u16,
        pub rmt_port: u16,
        pub action_index: u32,
        pub appns_index: u32,
        pub scope: SessionRuleScope,
        pub tag: FixedString<64>,
    }
}

message!(
    SessionRulesDetails,
    "session_rules_details",
    0x4ef746e7,
    "session_rules_details_4ef746e7",
    Context
);

wire_struct! {
    /// `session_rules_v2_dump`, CRC 0x51077d14.
    pub struct SessionRulesV2Dump {}
}

message!(
    SessionRulesV2Dump,
    "session_rules_v2_dump",
    0x51077d14,
    "session_rules_v2_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for SessionRulesV2Dump {
    type Details = SessionRulesV2Details;
}

/// `session_rules_v2_details`, CRC 0xf91993dc.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRulesV2Details {
    pub transport_proto: TransportProto,
    pub lcl: Prefix,
    pub rmt: Prefix,
    pub lcl_port: u16,
    pub rmt_port: u16,
    pub action_index: u32,
    pub scope: SessionRuleScope,
    pub tag: FixedString<64>,
    pub appns_index: Vec<u32>,
}

impl Wire for SessionRulesV2Details {
    fn zero() -> Self {
        Self {
            transport_proto: Wire::zero(),
            lcl: Wire::zero(),
            rmt: Wire::zero(),
            lcl_port: Wire::zero(),
            rmt_port: Wire::zero(),
            action_index: Wire::zero(),
            scope: Wire::zero(),
            tag: Wire::zero(),
            appns_index: Vec::new(),
        }
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.transport_proto.encode(to)?;
        self.lcl.encode(to)?;
        self.rmt.encode(to)?;
        self.lcl_port.encode(to)?;
        self.rmt_port.encode(to)?;
        self.action_index.encode(to)?;
        self.scope.encode(to)?;
        self.tag.encode(to)?;
        to.count::<u32>("appns_index", self.appns_index.len())?;
        to.list(&self.appns_index)?;
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let transport_proto = Wire::decode(from)?;
        let lcl = Wire::decode(from)?;
        let rmt = Wire::decode(from)?;
        let lcl_port = Wire::decode(from)?;
        let rmt_port = Wire::decode(from)?;
        let action_index = Wire::decode(from)?;
        let scope = Wire::decode(from)?;
        let tag = Wire::decode(from)?;
        let count = u32::decode(from)?;
        let appns_index = from.list(count as usize)?;
        Ok(Self {
            transport_proto,
            lcl,
            rmt,
            lcl_port,
            rmt_port,
            action_index,
            scope,
            tag,
            appns_index,
        })
    }
}

default_is_zero!(SessionRulesV2Details);

message!(
    SessionRulesV2Details,
    "session_rules_v2_details",
    0xf91993dc,
    "session_rules_v2_details_f91993dc",
    Context
);
