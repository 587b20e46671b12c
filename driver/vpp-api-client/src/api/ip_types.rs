//! `ip_types.api`, version 3.0.0. Written by vpp-api-generator: change that, not this.

use crate::definition::{enumeration, union, wire_struct};
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

/// `address_with_prefix`.
pub type AddressWithPrefix = Prefix;

/// `ip4_address_with_prefix`.
pub type Ip4AddressWithPrefix = Ip4Prefix;

/// `ip6_address_with_prefix`.
pub type Ip6AddressWithPrefix = Ip6Prefix;

enumeration! {
    /// `address_family`.
    pub struct AddressFamily(u8) {
        IP4 = 0,
        IP6 = 1,
    }
}

union! {
    /// `address_union`.
    pub struct AddressUnion(16) {
        ip4 / from_ip4: Ipv4Addr,
        ip6 / from_ip6: Ipv6Addr,
    }
}

wire_struct! {
    /// `prefix`.
    pub struct Prefix {
        pub address: IpAddr,
        pub len: u8,
    }
}

wire_struct! {
    /// `ip6_prefix`.
    pub struct Ip6Prefix {
        pub address: Ipv6Addr,
        pub len: u8,
    }
}

wire_struct! {
    /// `ip4_prefix`.
    pub struct Ip4Prefix {
        pub address: Ipv4Addr,
        pub len: u8,
    }
}
