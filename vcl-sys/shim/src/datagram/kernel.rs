//! What flows cannot do.

use core::ffi::c_int;

use crate::options::Name;

/// Options that ask for what the kernel alone can do: control messages with each datagram, filters,
/// segmentation, timestamps.
pub(super) fn wants_the_kernel(name: Name) -> bool {
    const SOL_UDP: c_int = libc::IPPROTO_UDP;
    const UDP_CORK: c_int = 1;
    const UDP_ENCAP: c_int = 100;
    const UDP_SEGMENT: c_int = 103;
    const UDP_GRO: c_int = 104;
    matches!(
        name,
        (
            libc::IPPROTO_IP,
            libc::IP_PKTINFO
                | libc::IP_RECVTTL
                | libc::IP_RECVTOS
                | libc::IP_RECVORIGDSTADDR
                | libc::IP_TRANSPARENT,
        ) | (
            libc::IPPROTO_IPV6,
            libc::IPV6_RECVPKTINFO | libc::IPV6_RECVTCLASS | libc::IPV6_RECVHOPLIMIT,
        ) | (
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMP
                | libc::SO_TIMESTAMPNS
                | libc::SO_TIMESTAMPING
                | libc::SO_RXQ_OVFL
                | libc::SO_ATTACH_FILTER
                | libc::SO_ATTACH_BPF
                | libc::SO_ZEROCOPY
                | libc::SO_PEEK_OFF
                | libc::SO_BINDTODEVICE,
        ) | (SOL_UDP, UDP_CORK | UDP_ENCAP | UDP_SEGMENT | UDP_GRO)
    )
}
