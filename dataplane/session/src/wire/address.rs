//! Socket addresses in messages: family (4 or 6, 0 for none), zero, port, address: 20 bytes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Malformed;

pub(super) const ADDRESS_BYTES: usize = 20;

pub(super) fn put(out: &mut [u8; ADDRESS_BYTES], address: Option<SocketAddr>) {
    let Some(address) = address else { return };
    out[2..4].copy_from_slice(&address.port().to_le_bytes());
    match address.ip() {
        IpAddr::V4(ip) => {
            out[0] = 4;
            out[4..8].copy_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out[0] = 6;
            out[4..].copy_from_slice(&ip.octets());
        }
    }
}

pub(super) fn get(bytes: &[u8; ADDRESS_BYTES]) -> Result<Option<SocketAddr>, Malformed> {
    let port = u16::from_le_bytes([bytes[2], bytes[3]]);
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[4..]);
    let ip: IpAddr = match bytes[0] {
        0 => return Ok(None),
        4 => Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]).into(),
        6 => Ipv6Addr::from(octets).into(),
        _ => return Err(Malformed::Field("address family")),
    };
    Ok(Some(SocketAddr::new(ip, port)))
}

/// As [`get`], for an address that must be there.
pub(super) fn need(
    bytes: &[u8; ADDRESS_BYTES],
    field: &'static str,
) -> Result<SocketAddr, Malformed> {
    get(bytes)?.ok_or(Malformed::Field(field))
}
