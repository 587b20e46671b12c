//! Checked header views: values read from the first bytes of a frame, and a flow hash.
//!
//! Each `parse` looks at its own header only, never panics, and answers `None` when the bytes cannot
//! be that header. Lengths found in headers are checked against the bytes at hand.

#![forbid(unsafe_code)]

mod ethernet;
mod flow;
mod ipv4;
mod ipv6;

pub use ethernet::{EtherType, EthernetHeader};
pub use flow::flow_hash;
pub use ipv4::Ipv4Header;
pub use ipv6::{Ipv6Header, Ipv6Payload};

/// Protocol numbers of IP (IANA, "Assigned Internet Protocol Numbers").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP (RFC 792).
    pub const ICMP: Self = Self(1);
    /// TCP (RFC 9293).
    pub const TCP: Self = Self(6);
    /// UDP (RFC 768).
    pub const UDP: Self = Self(17);
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: Self = Self(58);

    /// Whether its header starts with two 16-bit ports (TCP, UDP, DCCP, SCTP, UDP-Lite).
    pub fn has_ports(self) -> bool {
        matches!(self.0, 6 | 17 | 33 | 132 | 136)
    }
}

/// Two bytes at `at`, network order.
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|octets| u16::from_be_bytes(*octets))
}
