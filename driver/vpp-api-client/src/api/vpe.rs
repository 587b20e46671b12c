//! `vpe.api`, version 1.7.0. Written by vpp-api-generator: change that, not this.

use super::vpe_types::LogLevel;
use super::vpe_types::Timestamp;
use crate::definition::{message, wire_struct};
use crate::wire::FixedString;

wire_struct! {
    /// `show_version`, CRC 0x51077d14.
    pub struct ShowVersion {}
}

message!(ShowVersion, "show_version", 0x51077d14, "show_version_51077d14", ClientAndContext);

impl crate::Request for ShowVersion {
    type Reply = ShowVersionReply;
}

wire_struct! {
    /// `show_version_reply`, CRC 0xc919bde1.
    pub struct ShowVersionReply {
        pub retval: i32,
        pub program: FixedString<32>,
        pub version: FixedString<32>,
        pub build_date: FixedString<32>,
        pub build_directory: FixedString<256>,
    }
}

message!(
    ShowVersionReply,
    "show_version_reply",
    0xc919bde1,
    "show_version_reply_c919bde1",
    Context
);

impl crate::Reply for ShowVersionReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `show_vpe_system_time`, CRC 0x51077d14.
    pub struct ShowVpeSystemTime {}
}

message!(
    ShowVpeSystemTime,
    "show_vpe_system_time",
    0x51077d14,
    "show_vpe_system_time_51077d14",
    ClientAndContext
);

impl crate::Request for ShowVpeSystemTime {
    type Reply = ShowVpeSystemTimeReply;
}

wire_struct! {
    /// `show_vpe_system_time_reply`, CRC 0x7ffd8193.
    pub struct ShowVpeSystemTimeReply {
        pub retval: i32,
        pub vpe_system_time: Timestamp,
    }
}

message!(
    ShowVpeSystemTimeReply,
    "show_vpe_system_time_reply",
    0x7ffd8193,
    "show_vpe_system_time_reply_7ffd8193",
    Context
);

impl crate::Reply for ShowVpeSystemTimeReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `log_dump`, CRC 0x6ab31753.
    pub struct LogDump {
        pub start_timestamp: Timestamp,
    }
}

message!(LogDump, "log_dump", 0x6ab31753, "log_dump_6ab31753", ClientAndContext);

impl crate::Dump for LogDump {
    type Details = LogDetails;
}

wire_struct! {
    /// `log_details`, CRC 0x03d61cc0.
    pub struct LogDetails {
        pub timestamp: Timestamp,
        pub level: LogLevel,
        pub msg_class: FixedString<32>,
        pub message: FixedString<256>,
    }
}

message!(LogDetails, "log_details", 0x03d61cc0, "log_details_03d61cc0", Context);
