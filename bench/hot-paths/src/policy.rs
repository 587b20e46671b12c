//! What a port's policy costs each frame.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};

use dataplane::bridge::Tick;
use dataplane::policy::{Limits, needs_more};
use dataplane::{Antispoof, MacAddr, PortPolicy, Rate};

/// Frames of one iteration.
pub(crate) const FRAMES: u32 = 256;

const MAC: MacAddr = MacAddr([2, 0x42, 10, 0, 0, 1]);
const IPV4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

/// Frames of an endpoint whose addresses are checked, as the worker checks them.
fn check(iterations: u32, header: [u8; 64]) -> Result<(), String> {
    let policy = PortPolicy {
        antispoof: Antispoof::Full,
        ipv4: Some(IPV4),
        ipv6: Some(IPV6),
        ..PortPolicy::default()
    };
    let guard = policy.guard(Some(MAC)).map_err(|error| error.to_string())?;
    for _ in 0..iterations {
        for _ in 0..FRAMES {
            let header = black_box(&header[..]);
            if needs_more(header) || guard.check(header).is_err() {
                return Err("an honest frame is suspected".to_owned());
            }
        }
    }
    Ok(())
}

/// Datagrams over IPv4.
pub(crate) fn check_ipv4(iterations: u32) -> Result<(), String> {
    let mut header = [0; 64];
    header[6..12].copy_from_slice(&MAC.0);
    header[12..15].copy_from_slice(&[8, 0, 0x45]);
    header[23] = 17;
    header[26..30].copy_from_slice(&IPV4.octets());
    check(iterations, header)
}

/// Datagrams over IPv6.
pub(crate) fn check_ipv6(iterations: u32) -> Result<(), String> {
    let mut header = [0; 64];
    header[6..12].copy_from_slice(&MAC.0);
    header[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
    header[20] = 17;
    header[22..38].copy_from_slice(&IPV6.octets());
    check(iterations, header)
}

/// Frames of an endpoint that may send so many frames and bits.
pub(crate) fn limits(iterations: u32) -> Result<(), String> {
    let rate = Some(Rate { per_second: 1_000_000_000, burst: 1_000_000_000 });
    let policy = PortPolicy { packets: rate, bits: rate, ..PortPolicy::default() };
    let mut limits = Limits::of(&policy).ok_or("a policy with rates has limits")?;
    for iteration in 0..iterations {
        for _ in 0..FRAMES {
            if limits.admit(Tick(iteration.into()), black_box(64), 0).is_err() {
                return Err("a frame is beyond a limit that it does not reach".to_owned());
            }
        }
    }
    Ok(())
}
