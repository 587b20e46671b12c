//! Creating TAP devices (Linux `include/uapi/linux/if_tun.h`, `Documentation/networking/tuntap.rst`).

#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, Opcode, Setter, Updater, ioctl, opcode};

use super::HEADER_LEN;
#[cfg(doc)]
use crate::offload::VirtioNetHeader;

/// How a TAP is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapOptions {
    /// Queues, each with a descriptor of its own. 1..=256.
    pub queues: u16,
    /// The device stays when its last descriptor is closed.
    pub persist: bool,
}

impl Default for TapOptions {
    fn default() -> Self {
        Self { queues: 1, persist: false }
    }
}

/// What the kernel may leave to us, beyond checksums and TCP segmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TapOffloads {
    /// TCP only (kernels before 6.2).
    Tcp,
    /// TCP and UDP segmentation.
    TcpAndUdp,
}

/// Why there is no TAP.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TapError {
    /// The name cannot be that of an interface.
    #[error("`{0}` cannot name an interface: 1 to 15 bytes without `/`, `%`, `:` or white space")]
    BadName(String),
    /// The number of queues is out of range.
    #[error("a TAP has 1 to 256 queues, not {0}")]
    BadQueues(u16),
    /// The kernel has no TUN driver, or the container was not given its device.
    #[error(
        "/dev/net/tun cannot be opened: load the driver with `modprobe tun`, or start the container \
         with `--device /dev/net/tun`"
    )]
    NoDriver(#[source] std::io::Error),
    /// Missing privilege.
    #[error("not permitted to {action}: run as root or grant the capability CAP_NET_ADMIN")]
    NotPermitted {
        /// What was refused.
        action: &'static str,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// The name belongs to another interface, or to a TAP that another process serves.
    #[error(
        "interface `{name}` already exists and is not a TAP that could be shared: choose another \
         name, or remove it with `ip link delete {name}`"
    )]
    NameInUse {
        /// The name.
        name: String,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// Another system call failed.
    #[error("cannot {action} of TAP `{name}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The name.
        name: String,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
}

/// A TAP with all its queues: Ethernet frames, each behind a 10-byte [`VirtioNetHeader`], little
/// endian, non-blocking, closed on exec.
#[derive(Debug)]
pub struct TapDevice {
    name: String,
    queues: Vec<OwnedFd>,
    offloads: TapOffloads,
}

impl TapDevice {
    /// Creates the device `name` in the network namespace of the calling thread, or attaches to the
    /// persistent TAP of that name.
    ///
    /// # Errors
    /// [`TapError`]; nothing is left behind, except that an existing persistent device stays.
    pub fn create(name: &str, options: &TapOptions) -> Result<Self, TapError> {
        let name_bytes = interface_name(name)?;
        if !(1..=MAX_QUEUES).contains(&options.queues) {
            return Err(TapError::BadQueues(options.queues));
        }
        let mut queues = Vec::with_capacity(usize::from(options.queues));
        let mut offloads = TapOffloads::TcpAndUdp;
        for _ in 0..options.queues {
            let queue = open_driver()?;
            attach_queue(queue.as_fd(), name, name_bytes)?;
            offloads = set_up_queue(queue.as_fd(), name)?;
            queues.push(queue);
        }
        let device = Self { name: name.to_owned(), queues, offloads };
        // Unconditional: an existing device may have the other setting.
        device.set_persist(options.persist)?;
        Ok(device)
    }

    /// The interface's name at creation; moving it to another namespace may change it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One descriptor per queue.
    pub fn queues(&self) -> &[OwnedFd] {
        &self.queues
    }

    /// Gives the descriptors away; the device goes with the last of them unless it is persistent.
    pub fn into_queues(self) -> Vec<OwnedFd> {
        self.queues
    }

    /// What the kernel may leave to us.
    pub fn offloads(&self) -> TapOffloads {
        self.offloads
    }

    /// Whether the device stays when its last descriptor is closed.
    pub fn set_persist(&self, persist: bool) -> Result<(), TapError> {
        let Some(queue) = self.queues.first() else { return Ok(()) };
        // SAFETY: TUNSETPERSIST takes an integer by value.
        let request = unsafe { IntegerSetter::<TUNSETPERSIST>::new_usize(usize::from(persist)) };
        run(queue.as_fd(), request, "set the persistence", &self.name)
    }
}

const MAX_QUEUES: u16 = 256;
const NAME_LEN: usize = 16;

const TUNSETIFF: Opcode = opcode::write::<libc::c_int>(b'T', 202);
const TUNSETPERSIST: Opcode = opcode::write::<libc::c_int>(b'T', 203);
const TUNSETOFFLOAD: Opcode = opcode::write::<libc::c_uint>(b'T', 208);
const TUNSETVNETHDRSZ: Opcode = opcode::write::<libc::c_int>(b'T', 216);
const TUNSETVNETLE: Opcode = opcode::write::<libc::c_int>(b'T', 220);

/// `struct ifreq` as `TUNSETIFF` uses it: name and flags, the rest unused.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_LEN],
    flags: u16,
    unused: [u8; 22],
}

const _: () = assert!(size_of::<InterfaceRequest>() == size_of::<libc::ifreq>());

/// The name with its terminator. `%` is refused since the kernel would take it for a template.
fn interface_name(name: &str) -> Result<[u8; NAME_LEN], TapError> {
    let forbidden = |c: char| c.is_whitespace() || matches!(c, '/' | '%' | ':' | '\0');
    let bad = name.is_empty() || name.len() >= NAME_LEN || name.contains(forbidden);
    if bad || matches!(name, "." | "..") {
        return Err(TapError::BadName(name.to_owned()));
    }
    let mut bytes = [0; NAME_LEN];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Ok(bytes)
}

fn open_driver() -> Result<OwnedFd, TapError> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open("/dev/net/tun", flags, Mode::empty()).map_err(|error| match error {
        Errno::ACCESS | Errno::PERM => {
            TapError::NotPermitted { action: "open /dev/net/tun", source: error.into() }
        }
        _ => TapError::NoDriver(error.into()),
    })
}

fn attach_queue(
    queue: BorrowedFd<'_>,
    name: &str,
    name_bytes: [u8; NAME_LEN],
) -> Result<(), TapError> {
    #[expect(clippy::cast_possible_truncation, reason = "the four flags are below 0x8000")]
    let flags =
        (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE) as u16;
    let mut request = InterfaceRequest { name: name_bytes, flags, unused: [0; 22] };
    // SAFETY: TUNSETIFF reads and writes a `struct ifreq`, whose size the assertion above compares.
    let outcome = unsafe { ioctl(queue, Updater::<TUNSETIFF, _>::new(&mut request)) };
    outcome.map_err(|error| match error {
        Errno::PERM => TapError::NotPermitted { action: "create a TAP", source: error.into() },
        Errno::BUSY | Errno::INVAL | Errno::EXIST => {
            TapError::NameInUse { name: name.to_owned(), source: error.into() }
        }
        _ => TapError::Io { action: "attach a queue", name: name.to_owned(), source: error.into() },
    })
}

fn set_up_queue(queue: BorrowedFd<'_>, name: &str) -> Result<TapOffloads, TapError> {
    let header_len = libc::c_int::try_from(HEADER_LEN).unwrap_or(libc::c_int::MAX);
    // SAFETY: TUNSETVNETHDRSZ reads an `int`.
    let request = unsafe { Setter::<TUNSETVNETHDRSZ, libc::c_int>::new(header_len) };
    run(queue, request, "set the header length", name)?;
    // SAFETY: TUNSETVNETLE reads an `int`.
    let request = unsafe { Setter::<TUNSETVNETLE, libc::c_int>::new(1) };
    run(queue, request, "set the byte order", name)?;
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    let udp = libc::TUN_F_USO4 | libc::TUN_F_USO6;
    if ioctl_offloads(queue, tcp | udp, name).is_ok() {
        return Ok(TapOffloads::TcpAndUdp);
    }
    ioctl_offloads(queue, tcp, name).map(|()| TapOffloads::Tcp)
}

fn ioctl_offloads(queue: BorrowedFd<'_>, flags: libc::c_uint, name: &str) -> Result<(), TapError> {
    // SAFETY: TUNSETOFFLOAD takes an integer by value.
    let request = unsafe { IntegerSetter::<TUNSETOFFLOAD>::new_usize(flags as usize) };
    run(queue, request, "set the offloads", name)
}

fn run(
    queue: BorrowedFd<'_>,
    request: impl rustix::ioctl::Ioctl<Output = ()>,
    action: &'static str,
    name: &str,
) -> Result<(), TapError> {
    // SAFETY: the constructor of each request, above, vouches for opcode and argument.
    let outcome = unsafe { ioctl(queue, request) };
    outcome.map_err(|error| match error {
        Errno::PERM => TapError::NotPermitted { action, source: error.into() },
        _ => TapError::Io { action, name: name.to_owned(), source: error.into() },
    })
}
