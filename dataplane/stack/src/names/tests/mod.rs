//! Frames of a kernel and of the network, made by hand.

mod passing;
mod sorting;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dataplane::MacAddr;
use dataplane::offload::VirtioNetHeader;
use dataplane::packet::{EtherType, EthernetHeader, Protocol};

use crate::config::{Addressing, Ipv4Config, Ipv6Config};
use crate::headers::{IpInfo, headers_len, low16, write_ethernet};

const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 5]);
const OWN4: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 5);
const OWN6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 5);
const GATEWAY: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const GATEWAY4: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 1);
const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1);
const SERVER4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

const PLAIN: VirtioNetHeader = VirtioNetHeader::PLAIN;

fn addressing() -> Addressing {
    Addressing {
        mac: OWN,
        ipv4: Some(Ipv4Config { address: OWN4, prefix: 24, gateway: Some(GATEWAY4) }),
        ipv6: Some(Ipv6Config { address: OWN6, prefix: 64, gateway: Some(GATEWAY6) }),
        mtu: 1500,
    }
}

/// The own address of the version of `other`.
fn own(other: IpAddr) -> IpAddr {
    if other.is_ipv4() { OWN4.into() } else { OWN6.into() }
}

/// A whole frame around `payload`, all but the payload's checksum made.
fn frame(dst: MacAddr, src: MacAddr, info: IpInfo, payload: &[u8]) -> Vec<u8> {
    let start = headers_len(info.dst);
    let mut frame = vec![0; start + payload.len()];
    let ether_type = if info.dst.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
    write_ethernet(&mut frame, dst, src, ether_type);
    info.write(&mut frame[EthernetHeader::LEN..], None);
    frame[start..].copy_from_slice(payload);
    frame
}

/// A datagram, complete.
fn datagram(
    (dst, src): (MacAddr, MacAddr),
    from: SocketAddr,
    to: SocketAddr,
    data: &[u8],
) -> Vec<u8> {
    let info = IpInfo { src: from.ip(), dst: to.ip(), protocol: Protocol::UDP };
    let mut payload = from.port().to_be_bytes().to_vec();
    payload.extend(to.port().to_be_bytes());
    payload.extend(low16(8 + data.len()).to_be_bytes());
    payload.extend([0, 0]);
    payload.extend(data);
    let sum = info.pseudo_header(payload.len()).plus(&payload).finish();
    payload[6..8].copy_from_slice(&sum.to_be_bytes());
    frame(dst, src, info, &payload)
}

/// A TCP header without options or data, complete.
fn segment((dst, src): (MacAddr, MacAddr), from: SocketAddr, to: SocketAddr, flags: u8) -> Vec<u8> {
    let info = IpInfo { src: from.ip(), dst: to.ip(), protocol: Protocol::TCP };
    let mut payload = [0; 20];
    payload[..2].copy_from_slice(&from.port().to_be_bytes());
    payload[2..4].copy_from_slice(&to.port().to_be_bytes());
    payload[12..14].copy_from_slice(&[0x50, flags]);
    let sum = info.pseudo_header(payload.len()).plus(&payload).finish();
    payload[16..18].copy_from_slice(&sum.to_be_bytes());
    frame(dst, src, info, &payload)
}
