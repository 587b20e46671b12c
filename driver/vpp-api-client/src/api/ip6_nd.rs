//! `ip6_nd.api`, version 1.1.0. Written by vpp-api-generator: change that, not this.

use super::interface_types::InterfaceIndex;
use super::ip_types::Prefix;
use crate::definition::{default_is_zero, message, verdict, wire_struct};
use crate::wire::{DecodeError, EncodeError, Reader, Wire, Writer};
use std::net::Ipv6Addr;

wire_struct! {
    /// `ip6nd_ra_prefix`.
    pub struct Ip6ndRaPrefix {
        pub prefix: Prefix,
        pub onlink_flag: bool,
        pub autonomous_flag: bool,
        pub val_lifetime: u32,
        pub pref_lifetime: u32,
        pub valid_lifetime_expires: f64,
        pub pref_lifetime_expires: f64,
        pub decrement_lifetime_flag: bool,
        pub no_advertise: bool,
    }
}

wire_struct! {
    /// `sw_interface_ip6nd_ra_config`, CRC 0x3eb00b1c.
    pub struct SwInterfaceIp6ndRaConfig {
        pub sw_if_index: InterfaceIndex,
        pub suppress: u8,
        pub managed: u8,
        pub other: u8,
        pub ll_option: u8,
        pub send_unicast: u8,
        pub cease: u8,
        pub is_no: bool,
        pub default_router: u8,
        pub max_interval: u32,
        pub min_interval: u32,
        pub lifetime: u32,
        pub initial_count: u32,
        pub initial_interval: u32,
    }
}

message!(
    SwInterfaceIp6ndRaConfig,
    "sw_interface_ip6nd_ra_config",
    0x3eb00b1c,
    "sw_interface_ip6nd_ra_config_3eb00b1c",
    ClientAndContext
);

impl crate::Request for SwInterfaceIp6ndRaConfig {
    type Reply = SwInterfaceIp6ndRaConfigReply;
}

verdict! {
    /// `sw_interface_ip6nd_ra_config_reply`, CRC 0xe8d4e804.
    SwInterfaceIp6ndRaConfigReply, "sw_interface_ip6nd_ra_config_reply", 0xe8d4e804, "sw_interface_ip6nd_ra_config_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_ip6nd_ra_prefix`, CRC 0x82cc1b28.
    pub struct SwInterfaceIp6ndRaPrefix {
        pub sw_if_index: InterfaceIndex,
        pub prefix: Prefix,
        pub use_default: bool,
        pub no_advertise: bool,
        pub off_link: bool,
        pub no_autoconfig: bool,
        pub no_onlink: bool,
        pub is_no: bool,
        pub val_lifetime: u32,
        pub pref_lifetime: u32,
    }
}

message!(
    SwInterfaceIp6ndRaPrefix,
    "sw_interface_ip6nd_ra_prefix",
    0x82cc1b28,
    "sw_interface_ip6nd_ra_prefix_82cc1b28",
    ClientAndContext
);

impl crate::Request for SwInterfaceIp6ndRaPrefix {
    type Reply = SwInterfaceIp6ndRaPrefixReply;
}

verdict! {
    /// `sw_interface_ip6nd_ra_prefix_reply`, CRC 0xe8d4e804.
    SwInterfaceIp6ndRaPrefixReply, "sw_interface_ip6nd_ra_prefix_reply", 0xe8d4e804, "sw_interface_ip6nd_ra_prefix_reply_e8d4e804"
}

wire_struct! {
    /// `sw_interface_ip6nd_ra_dump`, CRC 0xf9e6675e.
    pub struct SwInterfaceIp6ndRaDump {
        pub sw_if_index: InterfaceIndex,
    }
}

message!(
    SwInterfaceIp6ndRaDump,
    "sw_interface_ip6nd_ra_dump",
    0xf9e6675e,
    "sw_interface_ip6nd_ra_dump_f9e6675e",
    ClientAndContext
);

impl crate::Dump for SwInterfaceIp6ndRaDump {
    type Details = SwInterfaceIp6ndRaDetails;
}

/// `sw_interface_ip6nd_ra_details`, CRC 0xd3198de5.
#[derive(Debug, Clone, PartialEq)]
pub struct SwInterfaceIp6ndRaDetails {
    pub sw_if_index: InterfaceIndex,
    pub cur_hop_limit: u8,
    pub adv_managed_flag: bool,
    pub adv_other_flag: bool,
    pub adv_router_lifetime: u16,
    pub adv_neighbor_reachable_time: u32,
    pub adv_retransmit_interval: u32,
    pub adv_link_mtu: u32,
    pub send_radv: bool,
    pub cease_radv: bool,
    pub send_unicast: bool,
    pub adv_link_layer_address: bool,
    pub max_radv_interval: f64,
    pub min_radv_interval: f64,
    pub last_radv_time: f64,
    pub last_multicast_time: f64,
    pub next_multicast_time: f64,
    pub initial_adverts_count: u32,
    pub initial_adverts_interval: f64,
    pub initial_adverts_sent: bool,
    pub n_advertisements_sent: u32,
    pub n_solicitations_rcvd: u32,
    pub n_solicitations_dropped: u32,
    pub prefixes: Vec<Ip6ndRaPrefix>,
}

impl Wire for SwInterfaceIp6ndRaDetails {
    fn zero() -> Self {
        Self {
            sw_if_index: Wire::zero(),
            cur_hop_limit: Wire::zero(),
            adv_managed_flag: Wire::zero(),
            adv_other_flag: Wire::zero(),
            adv_router_lifetime: Wire::zero(),
            adv_neighbor_reachable_time: Wire::zero(),
            adv_retransmit_interval: Wire::zero(),
            adv_link_mtu: Wire::zero(),
            send_radv: Wire::zero(),
            cease_radv: Wire::zero(),
            send_unicast: Wire::zero(),
            adv_link_layer_address: Wire::zero(),
            max_radv_interval: Wire::zero(),
            min_radv_interval: Wire::zero(),
            last_radv_time: Wire::zero(),
            last_multicast_time: Wire::zero(),
            next_multicast_time: Wire::zero(),
            initial_adverts_count: Wire::zero(),
            initial_adverts_interval: Wire::zero(),
            initial_adverts_sent: Wire::zero(),
            n_advertisements_sent: Wire::zero(),
            n_solicitations_rcvd: Wire::zero(),
            n_solicitations_dropped: Wire::zero(),
            prefixes: Vec::new(),
        }
    }

    fn encode(&self, to: &mut Writer) -> Result<(), EncodeError> {
        self.sw_if_index.encode(to)?;
        self.cur_hop_limit.encode(to)?;
        self.adv_managed_flag.encode(to)?;
        self.adv_other_flag.encode(to)?;
        self.adv_router_lifetime.encode(to)?;
        self.adv_neighbor_reachable_time.encode(to)?;
        self.adv_retransmit_interval.encode(to)?;
        self.adv_link_mtu.encode(to)?;
        self.send_radv.encode(to)?;
        self.cease_radv.encode(to)?;
        self.send_unicast.encode(to)?;
        self.adv_link_layer_address.encode(to)?;
        self.max_radv_interval.encode(to)?;
        self.min_radv_interval.encode(to)?;
        self.last_radv_time.encode(to)?;
        self.last_multicast_time.encode(to)?;
        self.next_multicast_time.encode(to)?;
        self.initial_adverts_count.encode(to)?;
        self.initial_adverts_interval.encode(to)?;
        self.initial_adverts_sent.encode(to)?;
        self.n_advertisements_sent.encode(to)?;
        self.n_solicitations_rcvd.encode(to)?;
        self.n_solicitations_dropped.encode(to)?;
        to.count::<u32>("prefixes", self.prefixes.len())?;
        to.list(&self.prefixes)?;
        Ok(())
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let sw_if_index = Wire::decode(from)?;
        let cur_hop_limit = Wire::decode(from)?;
        let adv_managed_flag = Wire::decode(from)?;
        let adv_other_flag = Wire::decode(from)?;
        let adv_router_lifetime = Wire::decode(from)?;
        let adv_neighbor_reachable_time = Wire::decode(from)?;
        let adv_retransmit_interval = Wire::decode(from)?;
        let adv_link_mtu = Wire::decode(from)?;
        let send_radv = Wire::decode(from)?;
        let cease_radv = Wire::decode(from)?;
        let send_unicast = Wire::decode(from)?;
        let adv_link_layer_address = Wire::decode(from)?;
        let max_radv_interval = Wire::decode(from)?;
        let min_radv_interval = Wire::decode(from)?;
        let last_radv_time = Wire::decode(from)?;
        let last_multicast_time = Wire::decode(from)?;
        let next_multicast_time = Wire::decode(from)?;
        let initial_adverts_count = Wire::decode(from)?;
        let initial_adverts_interval = Wire::decode(from)?;
        let initial_adverts_sent = Wire::decode(from)?;
        let n_advertisements_sent = Wire::decode(from)?;
        let n_solicitations_rcvd = Wire::decode(from)?;
        let n_solicitations_dropped = Wire::decode(from)?;
        let n_prefixes = u32::decode(from)?;
        let prefixes = from.list(n_prefixes as usize)?;
        Ok(Self {
            sw_if_index,
            cur_hop_limit,
            adv_managed_flag,
            adv_other_flag,
            adv_router_lifetime,
            adv_neighbor_reachable_time,
            adv_retransmit_interval,
            adv_link_mtu,
            send_radv,
            cease_radv,
            send_unicast,
            adv_link_layer_address,
            max_radv_interval,
            min_radv_interval,
            last_radv_time,
            last_multicast_time,
            next_multicast_time,
            initial_adverts_count,
            initial_adverts_interval,
            initial_adverts_sent,
            n_advertisements_sent,
            n_solicitations_rcvd,
            n_solicitations_dropped,
            prefixes,
        })
    }
}

default_is_zero!(SwInterfaceIp6ndRaDetails);

message!(
    SwInterfaceIp6ndRaDetails,
    "sw_interface_ip6nd_ra_details",
    0xd3198de5,
    "sw_interface_ip6nd_ra_details_d3198de5",
    Context
);

wire_struct! {
    /// `ip6nd_proxy_enable_disable`, CRC 0x7daa1e3a.
    pub struct Ip6ndProxyEnableDisable {
        pub sw_if_index: InterfaceIndex,
        pub is_enable: bool,
    }
}

message!(
    Ip6ndProxyEnableDisable,
    "ip6nd_proxy_enable_disable",
    0x7daa1e3a,
    "ip6nd_proxy_enable_disable_7daa1e3a",
    ClientAndContext
);

impl crate::Request for Ip6ndProxyEnableDisable {
    type Reply = Ip6ndProxyEnableDisableReply;
}

verdict! {
    /// `ip6nd_proxy_enable_disable_reply`, CRC 0xe8d4e804.
    Ip6ndProxyEnableDisableReply, "ip6nd_proxy_enable_disable_reply", 0xe8d4e804, "ip6nd_proxy_enable_disable_reply_e8d4e804"
}

wire_struct! {
    /// `ip6nd_proxy_add_del`, CRC 0xc2e4a686.
    pub struct Ip6ndProxyAddDel {
        pub sw_if_index: InterfaceIndex,
        pub is_add: bool,
        pub ip: Ipv6Addr,
    }
}

message!(
    Ip6ndProxyAddDel,
    "ip6nd_proxy_add_del",
    0xc2e4a686,
    "ip6nd_proxy_add_del_c2e4a686",
    ClientAndContext
);

impl crate::Request for Ip6ndProxyAddDel {
    type Reply = Ip6ndProxyAddDelReply;
}

verdict! {
    /// `ip6nd_proxy_add_del_reply`, CRC 0xe8d4e804.
    Ip6ndProxyAddDelReply, "ip6nd_proxy_add_del_reply", 0xe8d4e804, "ip6nd_proxy_add_del_reply_e8d4e804"
}

wire_struct! {
    /// `ip6nd_proxy_details`, CRC 0x30b9ff4a.
    pub struct Ip6ndProxyDetails {
        pub sw_if_index: InterfaceIndex,
        pub ip: Ipv6Addr,
    }
}

message!(
    Ip6ndProxyDetails,
    "ip6nd_proxy_details",
    0x30b9ff4a,
    "ip6nd_proxy_details_30b9ff4a",
    Context
);

wire_struct! {
    /// `ip6nd_proxy_dump`, CRC 0x51077d14.
    pub struct Ip6ndProxyDump {}
}

message!(
    Ip6ndProxyDump,
    "ip6nd_proxy_dump",
    0x51077d14,
    "ip6nd_proxy_dump_51077d14",
    ClientAndContext
);

impl crate::Dump for Ip6ndProxyDump {
    type Details = Ip6ndProxyDetails;
}
