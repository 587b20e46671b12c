//! What the gateway of a domain answers: ARP, IPv6 neighbour discovery and ping, and whoever tries its
//! ports, that they are closed.
//!
//! Pure: bytes of a frame in, bytes of the reply out. A reply goes back to the port that the request
//! came from. The gateway routes nothing and never starts a conversation, and it answers single
//! stations only: nothing is sent to a group or to an address that no station can have, except the
//! answer to a duplicate address probe, which has to be.

#![forbid(unsafe_code)]

mod arp;
mod closed;
mod icmp4;
mod icmp6;

#[cfg(test)]
mod closed_tests;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::packet::{EtherType, EthernetHeader};
use crate::{GatewayConfig, MacAddr};

/// The gateway of one domain.
#[derive(Debug, Clone)]
pub struct Gateway {
    mac: MacAddr,
    ipv4: Vec<Ipv4Addr>,
    /// With the link-local address.
    ipv6: Vec<Ipv6Addr>,
    /// What neighbour advertisements say of it.
    role: Role,
}

/// What a station tells its neighbours that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Router,
    Host,
}

/// What to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Send the reply.
    Send,
    /// Nothing.
    Ignored(Ignored),
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// Meant for another station or address.
    NotForUs,
    /// A protocol or message that the gateway does not answer.
    Unsupported,
    /// With a VLAN tag.
    Tagged,
    /// One fragment of several.
    Fragment,
    /// It breaks the rules of its protocol.
    Malformed,
    /// Its IP or ICMP checksum is wrong.
    BadChecksum,
    /// It comes from a station that claims one of the gateway's IP addresses.
    Conflict,
}

impl Gateway {
    /// A gateway with the configured addresses and the link-local address of its station.
    pub fn new(config: &GatewayConfig) -> Self {
        let mut ipv6 = config.ipv6.clone();
        let link_local = config.mac.link_local();
        if !ipv6.contains(&link_local) {
            ipv6.push(link_local);
        }
        Self { mac: config.mac, ipv4: config.ipv4.clone(), ipv6, role: Role::Router }
    }

    /// What answers in the same way for a station that is no gateway.
    pub fn host(mac: MacAddr, ipv4: Vec<Ipv4Addr>, ipv6: Vec<Ipv6Addr>) -> Self {
        let gateway = Self::new(&GatewayConfig { mac, ipv4, ipv6 });
        Self { role: Role::Host, ..gateway }
    }

    /// Answers a frame that the bridge gave to the gateway. The reply replaces what `out` held and is
    /// no longer than the request (than 86 bytes, for a neighbour advertisement; than 48 bytes more, for
    /// "port unreachable"; than 74 bytes, for a reset).
    ///
    /// Checksums must be there: complete partial ones first.
    pub fn respond(&self, frame: &[u8], out: &mut Vec<u8>) -> Reply {
        out.clear();
        match self.answer(frame, out) {
            Ok(()) => Reply::Send,
            Err(why) => {
                out.clear();
                Reply::Ignored(why)
            }
        }
    }

    fn answer(&self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), Ignored> {
        let ethernet = EthernetHeader::parse(frame).ok_or(Ignored::Malformed)?;
        if !ethernet.src.is_unicast() {
            return Err(Ignored::Malformed);
        }
        if ethernet.dst != self.mac && !ethernet.dst.is_multicast() {
            return Err(Ignored::NotForUs);
        }
        if ethernet.tag.is_some() {
            return Err(Ignored::Tagged);
        }
        let packet = &frame[ethernet.len()..];
        match ethernet.ether_type {
            EtherType::ARP => arp::answer(self, packet, out),
            EtherType::IPV4 => icmp4::answer(self, &ethernet, packet, out),
            EtherType::IPV6 => icmp6::answer(self, &ethernet, packet, out),
            _ => Err(Ignored::Unsupported),
        }
    }

    /// Starts a reply.
    fn write_ethernet(&self, dst: MacAddr, ether_type: EtherType, out: &mut Vec<u8>) {
        out.extend_from_slice(&dst.0);
        out.extend_from_slice(&self.mac.0);
        out.extend_from_slice(&ether_type.0.to_be_bytes());
    }
}

/// Hops of replies that are not for the link alone.
const HOP_LIMIT: u8 = 64;
