//! `gso.api`, version 1.0.0. Written by vpp-api-generator: change that, not this.

use super::interface_types::InterfaceIndex;
use crate::definition::{message, verdict, wire_struct};

wire_struct! {
    /// `feature_gso_enable_disable`, CRC 0x5501adee.
    pub struct FeatureGsoEnableDisable {
        pub sw_if_index: InterfaceIndex,
        pub enable_disable: bool,
    }
}

message!(
    FeatureGsoEnableDisable,
    "feature_gso_enable_disable",
    0x5501adee,
    "feature_gso_enable_disable_5501adee",
    ClientAndContext
);

impl crate::Request for FeatureGsoEnableDisable {
    type Reply = FeatureGsoEnableDisableReply;
}

verdict! {
    /// `feature_gso_enable_disable_reply`, CRC 0xe8d4e804.
    FeatureGsoEnableDisableReply, "feature_gso_enable_disable_reply", 0xe8d4e804, "feature_gso_enable_disable_reply_e8d4e804"
}
