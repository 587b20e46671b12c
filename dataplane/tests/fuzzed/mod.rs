//! The bodies of the fuzz targets of this crate: what holds for all bytes.

use dataplane::vxlan::header::{self, BadHeader};
use dataplane::vxlan::{Peer, Vni};

/// A datagram is refused, or carries a segment's number that writes the same bytes where they mean something;
/// and read as text, it names a host that is shown as it is read, or none.
pub(crate) fn vxlan_header(data: &[u8]) {
    match header::parse(data) {
        Ok(vni) => {
            assert!((1..=Vni::MAX).contains(&vni.get()));
            let written = header::encode(vni);
            assert_eq!(data[4..7], written[4..7]);
            assert_eq!(data[0] & written[0], written[0]);
            assert_eq!(header::parse(&written), Ok(vni));
        }
        Err(BadHeader::Short) => assert!(data.len() < header::LEN),
        Err(BadHeader::NoVni) => assert_eq!(data[0] & 0x08, 0),
        Err(BadHeader::Zero) => assert_eq!(data[4..7], [0, 0, 0]),
    }
    if let Ok(peer) = String::from_utf8_lossy(data).parse::<Peer>() {
        assert_eq!(peer.to_string().parse(), Ok(peer));
    }
}
