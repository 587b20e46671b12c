//! Socket addresses in the program's memory.

#![allow(unsafe_code)]
// Families are small numbers that the C headers give another type.
#![allow(clippy::cast_possible_truncation)]

use core::ffi::c_void;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::ptr;

use rustix::io::Errno;

/// Reads an internet address; `None` when it is of another family or too short, which is for the
/// kernel to judge.
///
/// # Safety
/// `address` is readable for `len` bytes, or null.
pub(crate) unsafe fn read(
    address: *const libc::sockaddr,
    len: libc::socklen_t,
) -> Option<SocketAddr> {
    let len = len as usize;
    if address.is_null() || len < size_of::<libc::sa_family_t>() {
        return None;
    }
    // SAFETY: at least the family is there; addresses may be unaligned.
    let family = unsafe { ptr::read_unaligned(address.cast::<libc::sa_family_t>()) };
    match i32::from(family) {
        libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: long enough, and any bytes are a valid `sockaddr_in`.
            let v4 = unsafe { ptr::read_unaligned(address.cast::<libc::sockaddr_in>()) };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: long enough, and any bytes are a valid `sockaddr_in6`.
            let v6 = unsafe { ptr::read_unaligned(address.cast::<libc::sockaddr_in6>()) };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Writes an address as `accept`, `getsockname` and `recvfrom` do: cut to the room there is, with the
/// full length in `len`.
///
/// # Safety
/// `len` is null, or readable and writable and `target` writable for that many bytes.
pub(crate) unsafe fn write(
    address: SocketAddr,
    target: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
) -> Result<(), Errno> {
    if target.is_null() || len.is_null() {
        return Ok(());
    }
    let mut bytes = [0; LONGEST];
    let encoded = encode(address, &mut bytes);
    // SAFETY: the caller's promise.
    let room = unsafe { ptr::read(len) };
    if i32::try_from(room).is_err() {
        return Err(Errno::INVAL);
    }
    // SAFETY: `target` has `room` bytes.
    unsafe {
        let given = encoded.len().min(room as usize);
        ptr::copy_nonoverlapping(encoded.as_ptr(), target.cast::<u8>(), given);
        ptr::write(len, libc::socklen_t::try_from(encoded.len()).unwrap_or(0));
    }
    Ok(())
}

/// Bytes of the longest address.
pub(crate) const LONGEST: usize = size_of::<libc::sockaddr_in6>();

/// The address as the kernel hands it out, in the space of `bytes`.
pub(crate) fn encode(address: SocketAddr, bytes: &mut [u8; LONGEST]) -> &[u8] {
    let target: *mut c_void = bytes.as_mut_ptr().cast();
    let len = match address {
        SocketAddr::V4(v4) => {
            let value = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: `bytes` is longer than a `sockaddr_in`.
            unsafe { ptr::write_unaligned(target.cast(), value) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let value = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: `bytes` is as long as a `sockaddr_in6`.
            unsafe { ptr::write_unaligned(target.cast(), value) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    &bytes[..len]
}
