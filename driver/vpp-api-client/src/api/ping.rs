//! `ping.api`, version 0.1.0. Written by vpp-api-generator: change that, not this.

use crate::definition::{message, verdict, wire_struct};
use std::net::IpAddr;

wire_struct! {
    /// `want_ping_finished_events`, CRC 0xe79ee58b.
    pub struct WantPingFinishedEvents {
        pub address: IpAddr,
        pub repeat: u32 = 1,
        pub interval: f64 = 1.0,
    }
}

message!(
    WantPingFinishedEvents,
    "want_ping_finished_events",
    0xe79ee58b,
    "want_ping_finished_events_e79ee58b",
    ClientAndContext
);

impl crate::Request for WantPingFinishedEvents {
    type Reply = WantPingFinishedEventsReply;
}

verdict! {
    /// `want_ping_finished_events_reply`, CRC 0xe8d4e804.
    WantPingFinishedEventsReply, "want_ping_finished_events_reply", 0xe8d4e804, "want_ping_finished_events_reply_e8d4e804"
}

wire_struct! {
    /// `ping_finished_event`, CRC 0x397ccf72.
    pub struct PingFinishedEvent {
        pub request_count: u32,
        pub reply_count: u32,
    }
}

message!(
    PingFinishedEvent,
    "ping_finished_event",
    0x397ccf72,
    "ping_finished_event_397ccf72",
    Client
);

impl crate::Event for PingFinishedEvent {}
