//! Options of a session: what the program set, and what TCP of the kernel makes of it.
//!
//! This is bookkeeping without I/O. What the table below does not know for certain is left to a socket
//! of the kernel (see `oracle`), so that every answer is the kernel's.

use alloc::vec::Vec;
use core::ffi::c_int;

use libc::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET};

/// Longest value that is kept: the name of an interface or of a congestion control has 16 bytes.
pub(crate) const LONGEST: usize = 64;

/// An option: level and name.
pub(crate) type Name = (c_int, c_int);

/// What an integer may be, and what it becomes.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Zero, or one for everything else.
    Flag,
    /// Within bounds, kept as it is.
    Range(c_int, c_int),
    /// The two bits of ECN belong to TCP.
    Tos,
}

/// Linux 6.18 `net/core/sock.c`, `net/ipv4/tcp.c`, `net/ipv4/ip_sockglue.c`; the test asks the kernel.
const INTEGERS: &[(Name, Rule)] = &[
    ((SOL_SOCKET, libc::SO_REUSEADDR), Rule::Flag),
    ((SOL_SOCKET, libc::SO_REUSEPORT), Rule::Flag),
    ((SOL_SOCKET, libc::SO_KEEPALIVE), Rule::Flag),
    ((SOL_SOCKET, libc::SO_OOBINLINE), Rule::Flag),
    ((SOL_SOCKET, libc::SO_BROADCAST), Rule::Flag),
    ((SOL_SOCKET, libc::SO_DONTROUTE), Rule::Flag),
    ((SOL_SOCKET, libc::SO_TIMESTAMP), Rule::Flag),
    ((SOL_SOCKET, libc::SO_PRIORITY), Rule::Range(0, 6)),
    ((SOL_SOCKET, libc::SO_RCVLOWAT), Rule::Range(1, 65_536)),
    ((IPPROTO_TCP, libc::TCP_NODELAY), Rule::Flag),
    ((IPPROTO_TCP, libc::TCP_CORK), Rule::Flag),
    ((IPPROTO_TCP, libc::TCP_QUICKACK), Rule::Flag),
    ((IPPROTO_TCP, libc::TCP_KEEPIDLE), Rule::Range(1, 32_767)),
    ((IPPROTO_TCP, libc::TCP_KEEPINTVL), Rule::Range(1, 32_767)),
    ((IPPROTO_TCP, libc::TCP_KEEPCNT), Rule::Range(1, 127)),
    ((IPPROTO_TCP, libc::TCP_SYNCNT), Rule::Range(1, 127)),
    ((IPPROTO_TCP, libc::TCP_USER_TIMEOUT), Rule::Range(0, c_int::MAX)),
    ((IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT), Rule::Range(0, c_int::MAX)),
    ((IPPROTO_IP, libc::IP_TOS), Rule::Tos),
    ((IPPROTO_IP, libc::IP_TTL), Rule::Range(1, 255)),
    ((IPPROTO_IP, libc::IP_MTU_DISCOVER), Rule::Range(0, 5)),
    ((IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS), Rule::Range(0, 255)),
];

/// Other options that are carried from a socket of the kernel to the session that takes its place.
const CARRIED: &[Name] = &[
    (SOL_SOCKET, libc::SO_RCVTIMEO),
    (SOL_SOCKET, libc::SO_SNDTIMEO),
    (SOL_SOCKET, SO_RCVTIMEO_NEW),
    (SOL_SOCKET, SO_SNDTIMEO_NEW),
    (SOL_SOCKET, libc::SO_LINGER),
    (SOL_SOCKET, libc::SO_SNDBUF),
    (SOL_SOCKET, libc::SO_RCVBUF),
    (SOL_SOCKET, libc::SO_MARK),
    (SOL_SOCKET, libc::SO_BINDTODEVICE),
    (IPPROTO_TCP, libc::TCP_CONGESTION),
    (IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (IPPROTO_TCP, libc::TCP_FASTOPEN),
    (IPPROTO_TCP, libc::TCP_LINGER2),
    (IPPROTO_TCP, libc::TCP_MAXSEG),
    (IPPROTO_IPV6, libc::IPV6_TCLASS),
    (IPPROTO_IPV6, libc::IPV6_V6ONLY),
];

/// `SO_RCVTIMEO` and `SO_SNDTIMEO` with times of 64 bits (asm-generic/socket.h).
const SO_RCVTIMEO_NEW: c_int = 66;
const SO_SNDTIMEO_NEW: c_int = 67;
const SO_NETNS_COOKIE: c_int = 71;

/// The network namespace of a socket, by its cookie.
pub(crate) const NAMESPACE_COOKIE: Name = (SOL_SOCKET, SO_NETNS_COOKIE);

/// Whose business an option of a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Business {
    /// The session's own socket: it does what the option says.
    Native,
    /// Kept here, and answered as the kernel would.
    Kept,
    /// Sessions cannot do it.
    Refused(c_int),
}

/// Whose business it is to set an option of a session.
pub(crate) fn setting(name: Name) -> Business {
    match name {
        (SOL_SOCKET, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO | SO_RCVTIMEO_NEW | SO_SNDTIMEO_NEW) => {
            Business::Native
        }
        // No sender of a session ever lends its pages: `send` copies, as it does where the kernel
        // cannot lend either. Filters see packets; a session has none.
        (
            SOL_SOCKET,
            libc::SO_ZEROCOPY
            | libc::SO_PEEK_OFF
            | libc::SO_ATTACH_FILTER
            | libc::SO_ATTACH_BPF
            | libc::SO_ATTACH_REUSEPORT_CBPF
            | libc::SO_ATTACH_REUSEPORT_EBPF,
        )
        | (IPPROTO_IPV6, libc::IPV6_ADDRFORM) => Business::Refused(libc::EOPNOTSUPP),
        // As a kernel without the module.
        (IPPROTO_TCP, libc::TCP_ULP) => Business::Refused(libc::ENOENT),
        (IPPROTO_TCP, libc::TCP_REPAIR) => Business::Refused(libc::EPERM),
        (IPPROTO_TCP, libc::TCP_MD5SIG | libc::TCP_MD5SIG_EXT) => {
            Business::Refused(libc::ENOPROTOOPT)
        }
        // As of every socket that is bound, or connected.
        (IPPROTO_IPV6, libc::IPV6_V6ONLY)
        | (IPPROTO_TCP, libc::TCP_FASTOPEN | libc::TCP_FASTOPEN_CONNECT) => {
            Business::Refused(libc::EINVAL)
        }
        _ => Business::Kept,
    }
}

/// Whose business it is to read an option of a session.
pub(crate) fn reading(name: Name) -> Business {
    match name {
        (
            SOL_SOCKET,
            libc::SO_RCVTIMEO
            | libc::SO_SNDTIMEO
            | SO_RCVTIMEO_NEW
            | SO_SNDTIMEO_NEW
            | libc::SO_COOKIE
            | SO_NETNS_COOKIE,
        ) => Business::Native,
        _ => Business::Kept,
    }
}

/// Whether a socket with this option must stay the kernel's: it asks for what sessions cannot do, and
/// the kernel has promised it.
pub(crate) fn keeps_the_kernel(name: Name) -> bool {
    matches!(
        name,
        (SOL_SOCKET, libc::SO_ZEROCOPY | libc::SO_ATTACH_FILTER | libc::SO_ATTACH_BPF)
            | (IPPROTO_TCP, libc::TCP_MD5SIG | libc::TCP_MD5SIG_EXT | libc::TCP_REPAIR)
    )
}

/// Whether the table of integers knows the option.
pub(crate) fn is_integer(name: Name) -> bool {
    INTEGERS.iter().any(|(it, _)| *it == name)
}

/// What the kernel makes of an integer; `None` when only the kernel can tell.
pub(crate) fn judge(name: Name, value: c_int) -> Option<c_int> {
    let (_, rule) = INTEGERS.iter().find(|(it, _)| *it == name)?;
    match *rule {
        Rule::Flag => Some(c_int::from(value != 0)),
        Rule::Range(least, most) => (least..=most).contains(&value).then_some(value),
        Rule::Tos => (0..=255).contains(&value).then_some(value & !3),
    }
}

/// Which options a program set on a socket of the kernel, as a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Touched(u64);

impl Touched {
    const KERNEL: u64 = 1 << 63;

    /// With `name`.
    pub(crate) fn with(self, name: Name) -> Self {
        if keeps_the_kernel(name) {
            return Self(self.0 | Self::KERNEL);
        }
        match carried().position(|it| it == name) {
            Some(at) => Self(self.0 | 1 << at),
            None => self,
        }
    }

    /// Whether the socket must stay the kernel's.
    pub(crate) fn keeps_the_kernel(self) -> bool {
        self.0 & Self::KERNEL != 0
    }

    /// Whether the session's own socket must be given some of them.
    pub(crate) fn has_native(self) -> bool {
        self.names().any(|name| setting(name) == Business::Native)
    }

    /// The options in it.
    pub(crate) fn names(self) -> impl Iterator<Item = Name> {
        carried().enumerate().filter(move |(at, _)| self.0 & 1 << at != 0).map(|(_, name)| name)
    }
}

fn carried() -> impl Iterator<Item = Name> {
    INTEGERS.iter().map(|(name, _)| *name).chain(CARRIED.iter().copied())
}

/// One option as it was set.
#[derive(Debug, Clone, Copy)]
struct Setting {
    name: Name,
    len: usize,
    bytes: [u8; LONGEST],
}

/// What a program set. Few programs set more than five.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options(Vec<Setting>);

impl Options {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value as it is to be set on a socket of the kernel.
    pub(crate) fn get(&self, name: Name) -> Option<&[u8]> {
        let setting = self.0.iter().find(|it| it.name == name)?;
        Some(&setting.bytes[..setting.len])
    }

    /// The value of an integer that [`judge`] knows.
    pub(crate) fn integer(&self, name: Name) -> Option<c_int> {
        if !is_integer(name) {
            return None;
        }
        Some(c_int::from_ne_bytes(*self.get(name)?.first_chunk()?))
    }

    /// Keeps a value; of one that is too long only the start, which no option has.
    pub(crate) fn put(&mut self, name: Name, value: &[u8]) {
        let len = value.len().min(LONGEST);
        let mut bytes = [0; LONGEST];
        bytes[..len].copy_from_slice(&value[..len]);
        let setting = Setting { name, len, bytes };
        match self.0.iter_mut().find(|it| it.name == name) {
            Some(place) => *place = setting,
            None => self.0.push(setting),
        }
    }

    /// Keeps `SO_LINGER`: turned off, the time stays as it was (`sk_setsockopt`), and "on" is one.
    pub(crate) fn put_linger(&mut self, value: &[u8]) {
        let name = (SOL_SOCKET, libc::SO_LINGER);
        let (Some(on), Some(time)) = (value.first_chunk::<4>(), value.get(4..8)) else { return };
        let on = c_int::from(*on != [0; 4]);
        let mut linger = [0; 8];
        linger[..4].copy_from_slice(&on.to_ne_bytes());
        let before = self.get(name).and_then(|it| it.get(4..8));
        linger[4..].copy_from_slice(if on == 0 { before.unwrap_or(&[0; 4]) } else { time });
        self.put(name, &linger);
    }

    /// What a socket starts with that was accepted by one with these: all but the priority, which
    /// the kernel sets anew (`sk_clone_lock`).
    pub(crate) fn inherited(&self) -> Self {
        let kept = self.0.iter().filter(|it| it.name != (SOL_SOCKET, libc::SO_PRIORITY));
        Self(kept.copied().collect())
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Name, &[u8])> {
        self.0.iter().map(|it| (it.name, &it.bytes[..it.len]))
    }

    /// Whether closing shall reset: `SO_LINGER` with a time of zero.
    pub(crate) fn close_resets(&self) -> bool {
        let Some(value) = self.get((SOL_SOCKET, libc::SO_LINGER)) else { return false };
        let half = |at: usize| value.get(at..at + 4).map(|it| it.iter().any(|byte| *byte != 0));
        half(0) == Some(true) && half(4) == Some(false)
    }
}

/// What `getsockopt` of a kernel's socket answered, as it must be set to get the same answer again.
pub(crate) fn as_set(name: Name, got: &mut [u8]) {
    // The kernel doubles what is set.
    if let (SOL_SOCKET, libc::SO_SNDBUF | libc::SO_RCVBUF) = name
        && let Some(value) = got.first_chunk_mut()
    {
        *value = (c_int::from_ne_bytes(*value) / 2).to_ne_bytes();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::fd::{AsRawFd, OwnedFd};

    use super::*;
    use crate::oracle;
    use crate::socket::Family;

    fn family(name: Name) -> Family {
        if name.0 == IPPROTO_IPV6 { Family::V6 } else { Family::V4 }
    }

    fn kernel(name: Name) -> OwnedFd {
        oracle::socket(family(name)).expect("the kernel has sockets")
    }

    proptest! {
        #[test]
        fn the_table_says_what_the_kernel_says(
            entry in 0..INTEGERS.len(),
            value in prop_oneof![any::<c_int>(), -2..300, Just(32_767), Just(32_768)],
        ) {
            let name = INTEGERS[entry].0;
            if let Some(expected) = judge(name, value) {
                let socket = kernel(name);
                oracle::set(socket.as_raw_fd(), name, &value.to_ne_bytes()).expect("valid");
                let mut got = [0; LONGEST];
                let len = oracle::get(socket.as_raw_fd(), name, &mut got).expect("readable");
                prop_assert_eq!(&got[..len], &expected.to_ne_bytes()[..]);
            }
        }

        #[test]
        fn the_last_value_of_each_option_is_kept(
            values in prop::collection::vec((0..8, prop::collection::vec(any::<u8>(), 0..80)), 0..40),
        ) {
            let mut options = Options::new();
            let mut model = std::collections::BTreeMap::new();
            for (name, value) in values {
                options.put((1, name), &value);
                model.insert(name, value[..value.len().min(LONGEST)].to_vec());
            }
            prop_assert_eq!(options.all().count(), model.len());
            for (name, value) in model {
                prop_assert_eq!(options.get((1, name)), Some(&value[..]));
            }
        }

        #[test]
        fn a_set_of_touched_options_has_what_was_put_in(picks in prop::collection::vec(0..30usize, 0..20)) {
            let names: Vec<Name> = carried().collect();
            let touched = picks.iter().fold(Touched::default(), |set, at| set.with(names[at % names.len()]));
            for (at, name) in names.iter().enumerate() {
                let expected = picks.iter().any(|it| it % names.len() == at);
                prop_assert_eq!(touched.names().any(|it| it == *name), expected);
            }
            prop_assert!(!touched.keeps_the_kernel());
        }
    }

    #[test]
    fn what_is_read_and_set_again_reads_the_same() {
        for name in carried() {
            let Ok(first) = oracle::socket(family(name)) else { continue };
            let mut value = [0; LONGEST];
            let Ok(len) = oracle::get(first.as_raw_fd(), name, &mut value) else { continue };
            let before = value;
            as_set(name, &mut value[..len]);
            if oracle::set(first.as_raw_fd(), name, &value[..len]).is_ok() {
                let mut after = [0; LONGEST];
                let again = oracle::get(first.as_raw_fd(), name, &mut after).expect("readable");
                assert_eq!(&before[..len], &after[..again], "{name:?}");
            }
        }
    }

    #[test]
    fn lingering_that_is_turned_off_keeps_its_time() {
        let name = (SOL_SOCKET, libc::SO_LINGER);
        let pair = |on: c_int, time: c_int| [on.to_ne_bytes(), time.to_ne_bytes()].concat();
        let mut options = Options::new();
        for (set, kept) in [((5, 7), (1, 7)), ((0, 3), (0, 7)), ((1, 0), (1, 0))] {
            options.put_linger(&pair(set.0, set.1));
            assert_eq!(options.get(name), Some(&pair(kept.0, kept.1)[..]));
        }
    }

    #[test]
    fn the_priority_is_not_inherited() {
        let mut options = Options::new();
        options.put((SOL_SOCKET, libc::SO_PRIORITY), &[1, 0, 0, 0]);
        options.put((IPPROTO_TCP, libc::TCP_NODELAY), &[1, 0, 0, 0]);
        assert_eq!(options.inherited().all().count(), 1);
    }

    #[test]
    fn only_a_lingering_time_of_zero_resets() {
        let name = (SOL_SOCKET, libc::SO_LINGER);
        for (on, time, resets) in [(0, 0, false), (1, 0, true), (1, 5, false), (0, 5, false)] {
            let mut options = Options::new();
            let value: Vec<u8> =
                [on, time].iter().flat_map(|it: &c_int| it.to_ne_bytes()).collect();
            options.put(name, &value);
            assert_eq!(options.close_resets(), resets);
        }
        assert!(!Options::new().close_resets());
    }
}
