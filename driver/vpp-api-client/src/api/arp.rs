//! `arp.api`, version 1.0.0. Written by vpp-api-generator: change that, not this.

use super::interface_types::InterfaceIndex;
use crate::definition::{message, verdict, wire_struct};
use std::net::Ipv4Addr;

wire_struct! {
    /// `proxy_arp`.
    pub struct ProxyArp {
        pub table_id: u32,
        pub low: Ipv4Addr,
        pub hi: Ipv4Addr,
    }
}

wire_struct! {
    /// `proxy_arp_add_del`, CRC 0x1823c3e7.
    pub struct ProxyArpAddDel {
        pub is_add: bool,
        pub proxy: ProxyArp,
    }
}

message!(
    ProxyArpAddDel,
    "proxy_arp_add_del",
    0x1823c3e7,
    "proxy_arp_add_del_1823c3e7",
    ClientAndContext
);

impl crate::Request for ProxyArpAddDel {
    type Reply = ProxyArpAddDelReply;
}

verdict! {
    /// `proxy_arp_add_del_reply`, CRC 0xe8d4e804.
    ProxyArpAddDelReply, "proxy_arp_add_del_reply", 0xe8d4e804, "proxy_arp_add_del_reply_e8d4e804"
}

wire_struct! {
    /// `proxy_arp_dump`, CRC 0x51077d14.
    pub struct ProxyArpDump {}
}

message!(ProxyArpDump, "proxy_arp_dump", 0x51077d14, "proxy_arp_dump_51077d14", ClientAndContext);

impl crate::Dump for ProxyArpDump {
    type Details = ProxyArpDetails;
}

wire_struct! {
    /// `proxy_arp_details`, CRC 0x5b948673.
    pub struct ProxyArpDetails {
        pub proxy: ProxyArp,
    }
}

message!(ProxyArpDetails, "proxy_arp_details", 0x5b948673, "proxy_arp_details_5b948673", Context);

wire_struct! {
    /// `proxy_arp_intfc_enable_disable`, CRC 0xae6cfcfb.
    pub struct ProxyArpIntfcEnableDisable {
        pub sw_if_index: InterfaceIndex,
        pub enable: bool,
    }
}

message!(
    ProxyArpIntfcEnableDisable,
    "proxy_arp_intfc_enable_disable",
    0xae6cfcfb,
    "proxy_arp_intfc_enable_disable_ae6cfcfb",
    ClientAndContext
);

impl crate::Request for ProxyArpIntfcEnableDisable {
    type Reply = ProxyArpIntfcEnableDisableReply;
}

verdict! {
    /// `proxy_arp_intfc_enable_disable_reply`, CRC 0xe8d4e804.
    ProxyArpIntfcEnableDisableReply, "proxy_arp_intfc_enable_disable_reply", 0xe8d4e804, "proxy_arp_intfc_enable_disable_reply_e8d4e804"
}

wire_struct! {
    /// `proxy_arp_intfc_dump`, CRC 0x51077d14.
    pub struct ProxyArpIntfcDump {}
}

message!(
    ProxyArpIntfcDump,
    "proxy_arp_intfc_dump",
    0x51077d14,
    "proxy_arp_intfc_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for ProxyArpIntfcDump {
    type Details = ProxyArpIntfcDetails;
}

wire_struct! {
    /// `proxy_arp_intfc_details`, CRC 0xf6458e5f.
    pub struct ProxyArpIntfcDetails {
        pub sw_if_index: u32,
    }
}

message!(
    ProxyArpIntfcDetails,
    "proxy_arp_intfc_details",
    0xf6458e5f,
    "proxy_arp_intfc_details_f6458e5f",
    Context
);
