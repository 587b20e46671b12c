//! Datagrams that the program wants to go whole or not at all (`IP_MTU_DISCOVER`, `IPV6_MTU_DISCOVER`,
//! `IPV6_DONTFRAG`).

use core::ffi::c_int;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU8, Ordering};

use rustix::fd::AsRawFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use session::datagram::Mtu;

use crate::options::Name;
use crate::sync::SpinLock;
use crate::{clock, oracle};

/// Headers of IP and UDP in front of a datagram.
const HEADERS: [usize; 2] = [20 + 8, 40 + 8];

/// What Ethernet carries, and a network of containers unless it was told another size.
pub(super) const USUAL: u16 = 1500;

const DISCOVER_V4: Name = (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
const DISCOVER_V6: Name = (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER);
/// `linux/in6.h`
const DONTFRAG: Name = (libc::IPPROTO_IPV6, 62);

/// `IP_PMTUDISC_INTERFACE`, `linux/in.h`; IPv6 has the same numbers.
const INTERFACE: c_int = 4;

/// Longest packet that a socket sends in one piece, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    /// Any: what is too long goes in fragments.
    No = 0,
    /// What the way takes, as far as is known.
    Path = 1,
    /// What the own network takes, whatever is known of the way: a program that finds that out itself.
    Own = 2,
}

impl Whole {
    /// Of a value of `IP_MTU_DISCOVER` (`ip_sk_ignore_df`, `ip_sk_use_pmtu`, Linux 6.18).
    const fn of(discover: c_int) -> Self {
        match discover {
            libc::IP_PMTUDISC_DO => Self::Path,
            libc::IP_PMTUDISC_PROBE | INTERFACE => Self::Own,
            _ => Self::No,
        }
    }
}

/// What becomes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may go.
    Fits,
    /// It is too long (`EMSGSIZE`).
    TooLong,
    /// Nobody said how long it may be, and it is longer than usual.
    Unknown,
}

/// What a socket wants, by the IP version of the peer.
pub(super) struct Wanted([AtomicU8; 2]);

impl Wanted {
    pub(super) const fn new() -> Self {
        Self([const { AtomicU8::new(Whole::No as u8) }; 2])
    }

    /// An option of the socket `fd` was set.
    pub(super) fn touched(&self, fd: c_int, name: Name) {
        let value = |name| {
            let mut value = [0; 4];
            let read = oracle::get(fd, name, &mut value);
            read.map_or(0, |_| c_int::from_ne_bytes(value))
        };
        let (version, whole) = match name {
            DISCOVER_V4 => (0, Whole::of(value(DISCOVER_V4))),
            DISCOVER_V6 | DONTFRAG => match Whole::of(value(DISCOVER_V6)) {
                Whole::No if value(DONTFRAG) != 0 => (1, Whole::Path),
                whole => (1, whole),
            },
            _ => return,
        };
        self.0[version].store(whole as u8, Ordering::Relaxed);
    }

    /// Judges a datagram of `len` bytes to a peer, with what was told of the way.
    pub(super) fn judge(&self, is_v4: bool, len: usize, told: Option<Mtu>) -> Verdict {
        let version = usize::from(!is_v4);
        let wanted = self.0[version].load(Ordering::Relaxed);
        if wanted == Whole::No as u8 {
            return Verdict::Fits;
        }
        let packet = len + HEADERS[version];
        let own = wanted == Whole::Own as u8;
        match told.map(|mtu| if own { mtu.own } else { mtu.path }) {
            Some(most) if packet > usize::from(most) => Verdict::TooLong,
            None if packet > usize::from(USUAL) => Verdict::Unknown,
            _ => Verdict::Fits,
        }
    }
}

/// Longest packet that the kernel would send to a peer, which is asked for once a second at most.
pub(super) struct Kernels(SpinLock<Option<(u64, Option<u16>)>>);

/// How long an answer is good for, in nanoseconds.
const GOOD_FOR: u64 = 1_000_000_000;

impl Kernels {
    pub(super) const fn new() -> Self {
        Self(SpinLock::new(None))
    }

    /// `None` when the kernel knows no way there; an error when it cannot be asked.
    pub(super) fn mtu(&self, peer: SocketAddr) -> Result<Option<u16>, Errno> {
        self.mtu_at(clock::now(), || ask_kernel(peer))
    }

    fn mtu_at(
        &self,
        now: u64,
        ask: impl FnOnce() -> Result<Option<u16>, Errno>,
    ) -> Result<Option<u16>, Errno> {
        let known = *self.0.lock();
        if let Some((_, mtu)) = known.filter(|(at, _)| now.saturating_sub(*at) < GOOD_FOR) {
            return Ok(mtu);
        }
        let mtu = ask()?;
        *self.0.lock() = Some((now, mtu));
        Ok(mtu)
    }
}

fn ask_kernel(peer: SocketAddr) -> Result<Option<u16>, Errno> {
    let (family, name) = if peer.is_ipv4() {
        (AddressFamily::INET, (libc::IPPROTO_IP, libc::IP_MTU))
    } else {
        (AddressFamily::INET6, (libc::IPPROTO_IPV6, libc::IPV6_MTU))
    };
    let flags = SocketFlags::CLOEXEC;
    let socket = match rustix::net::socket_with(family, SocketType::DGRAM, flags, None) {
        Ok(socket) => socket,
        // Who has no IPv6 has no way.
        Err(Errno::AFNOSUPPORT) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut value = [0; 4];
    let told = rustix::net::connect(&socket, &peer)
        .and_then(|()| oracle::get(socket.as_raw_fd(), name, &mut value));
    let mtu = c_int::from_ne_bytes(value).min(u16::MAX.into());
    Ok(told.ok().and_then(|_| u16::try_from(mtu).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: Option<Mtu> = Some(Mtu { path: 1400, own: 1500 });

    fn wanted(whole: Whole) -> Wanted {
        Wanted([AtomicU8::new(whole as u8), AtomicU8::new(whole as u8)])
    }

    #[test]
    fn what_may_be_cut_may_have_any_length() {
        assert_eq!(Wanted::new().judge(true, 60_000, TOLD), Verdict::Fits);
        assert_eq!(Whole::of(libc::IP_PMTUDISC_WANT), Whole::No);
        assert_eq!(Whole::of(libc::IP_PMTUDISC_DONT), Whole::No);
    }

    #[test]
    fn what_may_not_be_cut_ends_with_the_way_or_the_own_network() {
        for (is_v4, headers) in [(true, 28), (false, 48)] {
            let path = wanted(Whole::of(libc::IP_PMTUDISC_DO));
            assert_eq!(path.judge(is_v4, 1400 - headers, TOLD), Verdict::Fits);
            assert_eq!(path.judge(is_v4, 1401 - headers, TOLD), Verdict::TooLong);
            for discover in [libc::IP_PMTUDISC_PROBE, INTERFACE] {
                let own = wanted(Whole::of(discover));
                assert_eq!(own.judge(is_v4, 1500 - headers, TOLD), Verdict::Fits);
                assert_eq!(own.judge(is_v4, 1501 - headers, TOLD), Verdict::TooLong);
            }
            assert_eq!(path.judge(is_v4, 1500 - headers, None), Verdict::Fits);
            assert_eq!(path.judge(is_v4, 1501 - headers, None), Verdict::Unknown);
        }
    }

    #[test]
    fn the_kernel_is_asked_once_a_second_until_it_answers() {
        let kernels = Kernels::new();
        let unasked = || panic!("the answer is known");
        let no_descriptor_left = || Err(Errno::MFILE);
        assert_eq!(kernels.mtu_at(1, no_descriptor_left), Err(Errno::MFILE));
        assert_eq!(kernels.mtu_at(1, || Ok(Some(1500))), Ok(Some(1500)));
        assert_eq!(kernels.mtu_at(GOOD_FOR, unasked), Ok(Some(1500)));
        assert_eq!(kernels.mtu_at(GOOD_FOR + 1, || Ok(None)), Ok(None));
        assert_eq!(kernels.mtu_at(GOOD_FOR + 2, unasked), Ok(None));
        let loopback = Kernels::new().mtu("127.0.0.1:9".parse().expect("an address"));
        assert!(loopback.is_ok_and(|mtu| mtu.is_some()));
    }

    #[test]
    fn the_sockets_options_are_read() {
        let socket = rustix::net::socket(AddressFamily::INET6, SocketType::DGRAM, None);
        let socket = socket.expect("a socket");
        let fd = socket.as_raw_fd();
        let wanted = Wanted::new();
        let set = |name: Name, value: c_int| {
            oracle::set(fd, name, &value.to_ne_bytes()).expect("an option");
            wanted.touched(fd, name);
            wanted.judge(name.0 == libc::IPPROTO_IP, 1472, TOLD)
        };
        assert_eq!(set(DISCOVER_V6, libc::IP_PMTUDISC_DO), Verdict::TooLong);
        assert_eq!(set(DISCOVER_V6, libc::IP_PMTUDISC_WANT), Verdict::Fits);
        assert_eq!(set(DONTFRAG, 1), Verdict::TooLong);
        assert_eq!(set(DONTFRAG, 0), Verdict::Fits);
        assert_eq!(set(DISCOVER_V4, libc::IP_PMTUDISC_DO), Verdict::TooLong);
    }
}
