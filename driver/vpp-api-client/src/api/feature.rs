//! `feature.api`, version 1.0.2. Written by vpp-api-generator: change that, not this.

use super::interface_types::InterfaceIndex;
use crate::definition::{message, verdict, wire_struct};
use crate::wire::FixedString;

wire_struct! {
    /// `feature_enable_disable`, CRC 0x7531c862.
    pub struct FeatureEnableDisable {
        pub sw_if_index: InterfaceIndex,
        pub enable: bool,
        pub arc_name: FixedString<64>,
        pub feature_name: FixedString<64>,
    }
}

message!(
    FeatureEnableDisable,
    "feature_enable_disable",
    0x7531c862,
    "feature_enable_disable_7531c862",
    ClientAndContext
);

impl crate::Request for FeatureEnableDisable {
    type Reply = FeatureEnableDisableReply;
}

verdict! {
    /// `feature_enable_disable_reply`, CRC 0xe8d4e804.
    FeatureEnableDisableReply, "feature_enable_disable_reply", 0xe8d4e804, "feature_enable_disable_reply_e8d4e804"
}

wire_struct! {
    /// `feature_is_enabled`, CRC 0x55db09e2.
    pub struct FeatureIsEnabled {
        pub arc_name: FixedString<64>,
        pub feature_name: FixedString<64>,
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    FeatureIsEnabled,
    "feature_is_enabled",
    0x55db09e2,
    "feature_is_enabled_55db09e2",
    ClientAndContext
);

impl crate::Request for FeatureIsEnabled {
    type Reply = FeatureIsEnabledReply;
}

wire_struct! {
    /// `feature_is_enabled_reply`, CRC 0x03f284b5.
    pub struct FeatureIsEnabledReply {
        pub retval: i32,
        pub is_enabled: bool,
    }
}

message!(
    FeatureIsEnabledReply,
    "feature_is_enabled_reply",
    0x03f284b5,
    "feature_is_enabled_reply_03f284b5",
    ClientAndContext
);

impl crate::Reply for FeatureIsEnabledReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}
