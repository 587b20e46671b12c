//! A socket of the kernel that is asked what TCP would answer, and closed again.

#![allow(unsafe_code)]
// Numbers go to the kernel as registers.
#![allow(clippy::cast_sign_loss)]

use core::ffi::c_int;

use libc::socklen_t;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::options::{LONGEST, Name, Options, Touched, as_set};
use crate::raw;
use crate::socket::Family;

/// A fresh TCP socket.
pub(crate) fn socket(family: Family) -> Result<OwnedFd, Errno> {
    let family = match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
    };
    rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// A fresh TCP socket with one option as the program set it.
pub(crate) fn with(family: Family, name: Name, options: &Options) -> Result<OwnedFd, Errno> {
    let socket = socket(family)?;
    if let Some(value) = options.get(name) {
        set(socket.as_raw_fd(), name, value)?;
    }
    Ok(socket)
}

/// Reads an option into `value`; answers its length.
pub(crate) fn get(fd: c_int, name: Name, value: &mut [u8]) -> Result<usize, Errno> {
    let mut len = socklen_t::try_from(value.len()).unwrap_or(socklen_t::MAX);
    let arguments = [
        fd as usize,
        name.0 as usize,
        name.1 as usize,
        value.as_mut_ptr() as usize,
        (&raw mut len) as usize,
        0,
    ];
    // SAFETY: the value is writable for the length that `len` gives.
    unsafe { raw::kernel(libc::SYS_getsockopt, arguments) }?;
    Ok((len as usize).min(value.len()))
}

/// Sets an option.
pub(crate) fn set(fd: c_int, name: Name, value: &[u8]) -> Result<(), Errno> {
    let arguments =
        [fd as usize, name.0 as usize, name.1 as usize, value.as_ptr() as usize, value.len(), 0];
    // SAFETY: the value is readable for its length.
    unsafe { raw::kernel(libc::SYS_setsockopt, arguments) }.map(|_| ())
}

/// Reads the options that a program set on a socket of the kernel.
pub(crate) fn read(fd: c_int, touched: Touched) -> Options {
    let mut options = Options::new();
    for name in touched.names() {
        read_one(fd, name, &mut options);
    }
    options
}

/// Reads one option of a socket of the kernel; one that cannot be read was not set.
pub(crate) fn read_one(fd: c_int, name: Name, options: &mut Options) {
    let mut value = [0; LONGEST];
    if let Ok(len) = get(fd, name, &mut value) {
        as_set(name, &mut value[..len]);
        options.put(name, &value[..len]);
    }
}
