//! What the station behind a port may say about itself, and how much it may send.
//!
//! * `guard`: whether a frame claims only what belongs to the endpoint: addresses in Ethernet, IP and ARP.
//! * `neighbour`: the same in IPv6 neighbour discovery.
//! * `limits`: frames and bits per second.
//!
//! Pure: a frame's bytes and the time go in, and come out is a reason to drop it. What a frame is compared
//! with is made when the port is; an ordinary frame costs a few comparisons.

#![forbid(unsafe_code)]

mod guard;
mod limits;
mod neighbour;

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

pub use guard::{Guard, needs_more};
pub use limits::Limits;

use crate::{DataplaneError, MacAddr};

/// How much of what an endpoint says about itself must be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Antispoof {
    /// Nothing is checked, but what is pinned to another port stays there.
    #[default]
    None,
    /// Its Ethernet address: in each frame, and in what ARP and neighbour discovery say of its sender. The
    /// station may forward packets of others.
    Mac,
    /// Its IP addresses too: the station is an end, not a router.
    Full,
}

/// What may pass in a second, and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// On average. At least 1; more than 10^12 counts as 10^12.
    pub per_second: u64,
    /// At once, after a pause; at least what `per_second` gives in two milliseconds.
    pub burst: u64,
}

/// The rules of one port, for what its devices send. The default has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortPolicy {
    /// What is checked. Anything but [`Antispoof::None`] needs the port to have an address.
    pub antispoof: Antispoof,
    /// The endpoint's IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address; the link-local one that follows from the Ethernet address is its own as well.
    pub ipv6: Option<Ipv6Addr>,
    /// Frames; one that is to be cut counts as its packets. `None`: as many as the worker takes.
    pub packets: Option<Rate>,
    /// Bits of frames, from the Ethernet header on and without a checksum. `None`: no limit.
    pub bits: Option<Rate>,
}

impl PortPolicy {
    /// What the frames of a port with this address are compared with.
    ///
    /// # Errors
    /// [`DataplaneError::BadConfig`] when there is no address to compare with.
    pub fn guard(&self, mac: Option<MacAddr>) -> Result<Guard, DataplaneError> {
        match (self.antispoof, mac) {
            (Antispoof::None, _) => Ok(Guard::default()),
            (antispoof, Some(mac)) => Ok(Guard::new(antispoof, mac, self.ipv4, self.ipv6)),
            (antispoof, None) => Err(DataplaneError::BadConfig {
                what: "the policy of a port without an address of its own",
                expected: "one that checks no addresses",
                found: format!("{antispoof:?}"),
            }),
        }
    }
}
