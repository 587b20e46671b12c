//! Offloads of a link, by `SIOCETHTOOL` (Linux `include/uapi/linux/ethtool.h`, `net/ethtool/ioctl.c`).

#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Takes from a link, named in the network namespace of the calling thread, the offloads that a virtio-net header
/// cannot name: its kernel then does that work before it sends. What is left is segmentation of TCP, and of UDP
/// where the kernel can say so, and checksums of both.
///
/// # Errors
/// The kernel's.
pub fn limit_offloads(link: &str) -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let names = feature_names(&socket, link)?;
    let udp = names_udp(&fs::read_to_string("/proc/sys/kernel/osrelease")?);
    let mut request = vec![ETHTOOL_SFEATURES, 0];
    for block in names.chunks(32) {
        let unwanted = block.iter().zip(0..).filter(|(name, _)| !is_named(name, udp));
        let mask = unwanted.fold(0, |mask, (_, bit)| mask | 1 << bit);
        // Which bits are meant, and their value.
        request.extend([mask, 0u32]);
    }
    request[1] = u32::try_from(request.len() / 2 - 1).unwrap_or(u32::MAX);
    // Positive answers are about features that this link does not have anyway.
    let answer = ethtool(&socket, link, &mut request)?;
    if answer & ETHTOOL_F_WISH == 0 {
        return Ok(());
    }
    Err(io::Error::other("the kernel keeps offloads that were to be switched off"))
}

/// Whether frames with this offload can be told what they need; so for all that are none of a sender's.
fn is_named(feature: &str, udp: bool) -> bool {
    match feature {
        "tx-generic-segmentation"
        | "tx-tcp-segmentation"
        | "tx-tcp6-segmentation"
        | "tx-tcp-ecn-segmentation"
        | "tx-tcp-mangleid-segmentation" => true,
        "tx-udp-segmentation" => udp,
        // Segments that are packets already; a checksum that is none of the Internet's.
        "tx-gso-list" | "tx-checksum-sctp" => false,
        feature => !(feature.starts_with("tx-") && feature.ends_with("-segmentation")),
    }
}

/// Whether a kernel of this release can say that a datagram is to be segmented (`VIRTIO_NET_HDR_GSO_UDP_L4`,
/// `virtio_net_hdr_from_skb` of Linux 6.2).
fn names_udp(release: &str) -> bool {
    let mut numbers = release.split(|it: char| !it.is_ascii_digit()).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (6, 2))
}

/// The names of all features, by their bit.
fn feature_names(socket: &OwnedFd, link: &str) -> io::Result<Vec<String>> {
    // `struct ethtool_sset_info`: the set as a bit of 64, then the number of strings in it.
    let mut counting = [ETHTOOL_GSSET_INFO, 0, 0, 0, 0];
    let set = (1u64 << ETH_SS_FEATURES).to_ne_bytes();
    counting[2] = u32::from_ne_bytes([set[0], set[1], set[2], set[3]]);
    counting[3] = u32::from_ne_bytes([set[4], set[5], set[6], set[7]]);
    ethtool(socket, link, &mut counting)?;
    let count = counting[4] as usize;
    if count == 0 || count > MOST_FEATURES {
        return Err(Errno::OPNOTSUPP.into());
    }
    let mut strings = vec![0u32; 3 + count * NAME / 4];
    (strings[0], strings[1], strings[2]) = (ETHTOOL_GSTRINGS, ETH_SS_FEATURES, counting[4]);
    ethtool(socket, link, &mut strings)?;
    let bytes: Vec<u8> = strings[3..].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let name = |bytes: &[u8]| {
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    Ok(bytes.chunks_exact(NAME).map(name).collect())
}

/// Asks the kernel one thing about a link. `command` must be as long as the answer.
fn ethtool(socket: &OwnedFd, link: &str, command: &mut [u32]) -> io::Result<libc::c_int> {
    // SAFETY: all bytes zero are a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if link.len() >= request.ifr_name.len() {
        return Err(Errno::NODEV.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(link.bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_data = command.as_mut_ptr().cast();
    // SAFETY: the name ends in zero. `command` is borrowed mutably; each caller made it as long as what the
    // kernel reads and writes for its command, in which the number of features, which never changes, is the only
    // variable.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

const SIOCETHTOOL: u32 = 0x8946;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETHTOOL_F_WISH: libc::c_int = 2;
const ETH_SS_FEATURES: u32 = 4;
/// `ETH_GSTRING_LEN`.
const NAME: usize = 32;
/// Linux 6.18 has 64.
const MOST_FEATURES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_can_say_stays() {
        for feature in [
            "tx-checksum-ip-generic",
            "tx-scatter-gather",
            "tx-generic-segmentation",
            "tx-tcp-segmentation",
            "tx-tcp6-segmentation",
            "tx-udp-segmentation",
            "tx-vlan-hw-insert",
            "rx-gro",
            "rx-udp_tunnel-port-offload",
        ] {
            assert!(is_named(feature, true), "{feature}");
        }
        for feature in [
            "tx-gre-segmentation",
            "tx-ipxip6-segmentation",
            "tx-udp_tnl-segmentation",
            "tx-udp_tnl-csum-segmentation",
            "tx-sctp-segmentation",
            "tx-esp-segmentation",
            "tx-tcp-accecn-segmentation",
            "tx-gso-list",
            "tx-checksum-sctp",
        ] {
            assert!(!is_named(feature, true), "{feature}");
        }
        assert!(!is_named("tx-udp-segmentation", false));
    }

    #[test]
    fn kernels_say_udp_since_six_two() {
        for (release, udp) in [
            ("6.18.44-fc-v857", true),
            ("6.2.0", true),
            ("6.2-rc1", true),
            ("10.0", true),
            ("6.1.0-13-amd64", false),
            ("5.15.0-91-generic", false),
            ("", false),
            ("six", false),
        ] {
            assert_eq!(names_udp(release), udp, "{release}");
        }
    }
}
