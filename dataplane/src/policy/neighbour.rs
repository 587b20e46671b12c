//! IPv6 neighbour discovery (RFC 4861): what its sender says about itself, and about others.

use std::net::Ipv6Addr;

use super::guard::Keys;
use crate::DropReason;

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;

/// Whether an ICMPv6 message of this type belongs to neighbour discovery.
pub(super) fn is_discovery(kind: u8) -> bool {
    (ROUTER_SOLICITATION..=REDIRECT).contains(&kind)
}

/// Checks an ICMPv6 message that was sent from `source`.
pub(super) fn check(keys: &Keys, source: Ipv6Addr, message: &[u8]) -> Result<(), DropReason> {
    let kind = *message.first().ok_or(DropReason::Malformed)?;
    let options = match kind {
        ROUTER_SOLICITATION => 8,
        ROUTER_ADVERTISEMENT if keys.forwards => 16,
        // Only routers say these.
        ROUTER_ADVERTISEMENT | REDIRECT if !keys.forwards => return Err(DropReason::SpoofedNd),
        NEIGHBOUR_SOLICITATION => {
            // Whoever looks for an address has one; without, it asks whether its own is free (RFC 4862).
            let own = source.is_unspecified();
            check_target(keys, message, own)?
        }
        NEIGHBOUR_ADVERTISEMENT => check_target(keys, message, true)?,
        // A redirect names another's address by purpose; the rest is no neighbour discovery.
        _ => return Ok(()),
    };
    check_options(keys, message.get(options..).ok_or(DropReason::Malformed)?)
}

/// Checks that the target is the endpoint's where it must be its `own`; returns where options start.
fn check_target(keys: &Keys, message: &[u8], own: bool) -> Result<usize, DropReason> {
    let target = message.get(8..).and_then(|rest| rest.first_chunk::<16>());
    let target = Ipv6Addr::from(*target.ok_or(DropReason::Malformed)?);
    if own && !keys.forwards && !keys.has_ipv6(target) {
        return Err(DropReason::SpoofedNd);
    }
    Ok(24)
}

/// Checks that link-layer addresses are the endpoint's.
fn check_options(keys: &Keys, mut options: &[u8]) -> Result<(), DropReason> {
    while let [kind, units, ..] = *options {
        // Counted in eight octets; none would be an endless walk (RFC 4861, section 4.6).
        let length = usize::from(units) * 8;
        let option = options.get(..length).filter(|_| units > 0).ok_or(DropReason::Malformed)?;
        if matches!(kind, SOURCE_LINK_LAYER | TARGET_LINK_LAYER) && option[2..8] != keys.mac.0 {
            return Err(DropReason::SpoofedNd);
        }
        options = &options[length..];
    }
    if options.is_empty() { Ok(()) } else { Err(DropReason::Malformed) }
}
