//! Beginnings of frames of TCP between two stations, for tests.

use crate::offload::Sum;
use crate::packet::Protocol;

const ADDRESSES: [[u8; 4]; 2] = [[10, 0, 0, 1], [10, 0, 0, 2]];

/// The Ethernet and IP headers in front of so many bytes of TCP, IPv4 without its checksum.
pub(super) fn headers(six: bool, identification: u16, tcp: u16) -> Vec<u8> {
    let mut frame = vec![2; 12];
    if six {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(tcp.to_be_bytes());
        frame.extend([6, 64]);
        frame.extend([0xfd; 32]);
    } else {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((20 + tcp).to_be_bytes());
        frame.extend(identification.to_be_bytes());
        frame.extend([0x40, 0, 64, 6, 0, 0]);
        frame.extend(ADDRESSES.concat());
    }
    frame
}

/// The sum of the stations' pseudo-header for so many bytes of TCP.
pub(super) fn pseudo_header(six: bool, tcp: u32) -> Sum {
    if six {
        let station = [0xfd; 16].into();
        return Sum::pseudo_header6(station, station, Protocol::TCP, tcp);
    }
    let [from, to] = ADDRESSES.map(Into::into);
    Sum::pseudo_header4(from, to, Protocol::TCP, tcp)
}
