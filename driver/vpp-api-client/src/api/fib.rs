//! `fib.api`, version 1.0.0. Written by vpp-api-generator: change that, not this.

use crate::definition::{message, wire_struct};
use crate::wire::FixedString;

wire_struct! {
    /// `fib_source`.
    pub struct FibSource {
        pub priority: u8,
        pub id: u8,
        pub name: FixedString<64>,
    }
}

wire_struct! {
    /// `fib_source_add`, CRC 0xb3ac2aec.
    pub struct FibSourceAdd {
        pub src: FibSource,
    }
}

message!(FibSourceAdd, "fib_source_add", 0xb3ac2aec, "fib_source_add_b3ac2aec", ClientAndContext);

impl crate::Request for FibSourceAdd {
    type Reply = FibSourceAddReply;
}

wire_struct! {
    /// `fib_source_add_reply`, CRC 0x604fd6f1.
    pub struct FibSourceAddReply {
        pub retval: i32,
        pub id: u8,
    }
}

message!(
    FibSourceAddReply,
    "fib_source_add_reply",
    0x604fd6f1,
    "fib_source_add_reply_604fd6f1",
    Context
);

impl crate::Reply for FibSourceAddReply {
    fn retval(&self) -> i32 {
        self.retval
    }
}

wire_struct! {
    /// `fib_source_dump`, CRC 0x51077d14.
    pub struct FibSourceDump {}
}

message!(
    FibSourceDump,
    "fib_source_dump",
    0x51077d14,
    "fib_source_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for FibSourceDump {
    type Details = FibSourceDetails;
}

wire_struct! {
    /// `fib_source_details`, CRC 0x8668acdb.
    pub struct FibSourceDetails {
        pub src: FibSource,
    }
}

message!(
    FibSourceDetails,
    "fib_source_details",
    0x8668acdb,
    "fib_source_details_8668acdb",
    Context
);
