//! The calls of the C library, as a program in C would make them, with results as values.
//!
//! They go through the C library's exported functions, so that a preloaded library takes part. Each
//! answers what the call returned, or the number in `errno`.

#![allow(unsafe_code)]

mod message;
mod options;
mod process;
mod ready;

use std::net::{IpAddr, SocketAddr};
use std::ptr;

pub use libc;
use libc::{c_int, c_void, iovec, sockaddr_storage, socklen_t};
pub use message::{
    Batch, Message, pass, receive_many, receive_message, receive_passed, send_many, send_message,
};
pub use options::{
    SIOCATMARK, fcntl, get_option, get_short, ioctl_int, set_linger, set_option, set_short,
    set_timeout,
};
pub use process::{
    Child, alarm_after, block, catch, catch_once, caught, default_action, execute, fork, ignore,
    is_asleep, is_pending, is_stopped, kill, kill_group, lead_a_group, quit, signal_own,
    signal_thread, sleep_ms, spawn_on, thread_id, wait_for, wait_within,
};
pub use ready::{Epoll, Event, poll, ppoll, ppoll_blocking, pselect, pselect_blocking, select};

/// A descriptor.
pub type Fd = c_int;

/// What a call returned, or `errno`.
pub type Answer = Result<i64, i32>;

fn answer(value: impl Into<i64>) -> Answer {
    let value = value.into();
    if value >= 0 {
        return Ok(value);
    }
    Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

fn int(value: usize) -> c_int {
    c_int::try_from(value).expect("sizes of these tests fit an int")
}

#[allow(clippy::cast_possible_truncation)]
fn len_of<T>() -> socklen_t {
    size_of::<T>() as socklen_t
}

/// `socket`.
pub fn socket(domain: c_int, kind: c_int, protocol: c_int) -> Answer {
    // SAFETY: numbers only.
    answer(unsafe { libc::socket(domain, kind, protocol) })
}

/// The address as the kernel wants it.
fn raw_address(address: SocketAddr) -> (sockaddr_storage, socklen_t) {
    // SAFETY: all zero bytes are a valid `sockaddr_storage`.
    let mut storage: sockaddr_storage = unsafe { std::mem::zeroed() };
    let target = &raw mut storage;
    let len = match address {
        SocketAddr::V4(v4) => {
            // SAFETY: a `sockaddr_storage` is larger than and aligned for every kind of address.
            let to = unsafe { &mut *target.cast::<libc::sockaddr_in>() };
            to.sin_family = libc::AF_INET.try_into().expect("families are small");
            to.sin_port = v4.port().to_be();
            to.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            len_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above.
            let to = unsafe { &mut *target.cast::<libc::sockaddr_in6>() };
            to.sin6_family = libc::AF_INET6.try_into().expect("families are small");
            to.sin6_port = v6.port().to_be();
            to.sin6_addr.s6_addr = v6.ip().octets();
            len_of::<libc::sockaddr_in6>()
        }
    };
    (storage, len)
}

fn address(storage: &sockaddr_storage) -> Option<SocketAddr> {
    let from: *const sockaddr_storage = storage;
    match c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what it is, and the storage is large enough.
            let v4 = unsafe { &*from.cast::<libc::sockaddr_in>() };
            let ip = u32::from_be(v4.sin_addr.s_addr);
            Some(SocketAddr::new(IpAddr::V4(ip.into()), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*from.cast::<libc::sockaddr_in6>() };
            let ip = v6.sin6_addr.s6_addr;
            Some(SocketAddr::new(IpAddr::V6(ip.into()), u16::from_be(v6.sin6_port)))
        }
        _ => None,
    }
}

/// `bind`.
pub fn bind(fd: Fd, to: SocketAddr) -> Answer {
    let (storage, len) = raw_address(to);
    // SAFETY: `storage` holds `len` bytes of an address.
    answer(unsafe { libc::bind(fd, (&raw const storage).cast(), len) })
}

/// `listen`.
pub fn listen(fd: Fd, backlog: c_int) -> Answer {
    // SAFETY: numbers only.
    answer(unsafe { libc::listen(fd, backlog) })
}

/// `connect`.
pub fn connect(fd: Fd, to: SocketAddr) -> Answer {
    let (storage, len) = raw_address(to);
    // SAFETY: `storage` holds `len` bytes of an address.
    answer(unsafe { libc::connect(fd, (&raw const storage).cast(), len) })
}

/// `connect` with the first `len` bytes of an address.
pub fn connect_short(fd: Fd, to: SocketAddr, len: socklen_t) -> Answer {
    let (storage, full) = raw_address(to);
    assert!(len <= full, "only shorter");
    // SAFETY: `storage` holds more than `len` bytes of an address.
    answer(unsafe { libc::connect(fd, (&raw const storage).cast(), len) })
}

/// `connect` to no address (`AF_UNSPEC`), which takes a connection back.
pub fn disconnect(fd: Fd) -> Answer {
    // SAFETY: all zero bytes are a valid `sockaddr`, of the family `AF_UNSPEC`.
    let none: libc::sockaddr = unsafe { std::mem::zeroed() };
    // SAFETY: an address of that length.
    answer(unsafe { libc::connect(fd, &raw const none, len_of::<libc::sockaddr>()) })
}

/// Calls that fill in an address.
type Name = unsafe extern "C" fn(c_int, *mut libc::sockaddr, *mut socklen_t) -> c_int;

fn name(fd: Fd, call: Name) -> (Answer, Option<SocketAddr>, u32) {
    // SAFETY: all zero bytes are a valid `sockaddr_storage`.
    let mut storage: sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut len = len_of::<sockaddr_storage>();
    // SAFETY: `storage` has `len` bytes.
    let result = answer(unsafe { call(fd, (&raw mut storage).cast(), &raw mut len) });
    (result, result.ok().and_then(|_| address(&storage)), len)
}

/// `getsockname`, with the length that came back.
pub fn own_name(fd: Fd) -> (Answer, Option<SocketAddr>, u32) {
    name(fd, libc::getsockname)
}

/// `getpeername`, with the length that came back.
pub fn peer_name(fd: Fd) -> (Answer, Option<SocketAddr>, u32) {
    name(fd, libc::getpeername)
}

/// `accept` that wants the address.
pub fn accept(fd: Fd) -> (Answer, Option<SocketAddr>, u32) {
    name(fd, libc::accept)
}

/// `accept4` that wants no address.
pub fn accept4(fd: Fd, flags: c_int) -> Answer {
    // SAFETY: no address is asked for.
    answer(unsafe { libc::accept4(fd, ptr::null_mut(), ptr::null_mut(), flags) })
}

/// `shutdown`.
pub fn shutdown(fd: Fd, how: c_int) -> Answer {
    // SAFETY: numbers only.
    answer(unsafe { libc::shutdown(fd, how) })
}

/// `close`.
pub fn close(fd: Fd) -> Answer {
    // SAFETY: numbers only; the descriptor is no Rust object's.
    answer(unsafe { libc::close(fd) })
}

/// `close_range`, without flags.
pub fn close_range(first: u32, last: u32) -> Answer {
    // SAFETY: numbers only; the descriptors are no Rust object's.
    answer(unsafe { libc::close_range(first, last, 0) })
}

/// `dup`.
pub fn dup(fd: Fd) -> Answer {
    // SAFETY: numbers only.
    answer(unsafe { libc::dup(fd) })
}

/// `dup2`.
pub fn dup2(fd: Fd, to: Fd) -> Answer {
    // SAFETY: numbers only; the target is no Rust object's.
    answer(unsafe { libc::dup2(fd, to) })
}

/// `dup3`.
pub fn dup3(fd: Fd, to: Fd, flags: c_int) -> Answer {
    // SAFETY: as for `dup2`.
    answer(unsafe { libc::dup3(fd, to, flags) })
}

/// `read`.
pub fn read(fd: Fd, into: &mut [u8]) -> Answer {
    // SAFETY: `into` is writable for its length.
    answer(unsafe { libc::read(fd, into.as_mut_ptr().cast(), into.len()) } as i64)
}

/// `write`.
pub fn write(fd: Fd, from: &[u8]) -> Answer {
    // SAFETY: `from` is readable for its length.
    answer(unsafe { libc::write(fd, from.as_ptr().cast(), from.len()) } as i64)
}

/// `recv`.
pub fn recv(fd: Fd, into: &mut [u8], flags: c_int) -> Answer {
    // SAFETY: `into` is writable for its length.
    answer(unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), flags) } as i64)
}

/// `send`.
pub fn send(fd: Fd, from: &[u8], flags: c_int) -> Answer {
    // SAFETY: `from` is readable for its length.
    answer(unsafe { libc::send(fd, from.as_ptr().cast(), from.len(), flags) } as i64)
}

/// `recvfrom`, with the sender's address and the length of it.
pub fn recv_from(fd: Fd, into: &mut [u8], flags: c_int) -> (Answer, Option<SocketAddr>, u32) {
    // SAFETY: all zero bytes are a valid `sockaddr_storage`.
    let mut storage: sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut len = len_of::<sockaddr_storage>();
    let (to, from) = (into.as_mut_ptr().cast(), (&raw mut storage).cast());
    // SAFETY: `into` is writable for its length, `storage` for `len`.
    let got = unsafe { libc::recvfrom(fd, to, into.len(), flags, from, &raw mut len) };
    (answer(got as i64), address(&storage), len)
}

/// `sendto`.
pub fn send_to(fd: Fd, from: &[u8], flags: c_int, to: SocketAddr) -> Answer {
    let (storage, len) = raw_address(to);
    let (data, address) = (from.as_ptr().cast(), (&raw const storage).cast());
    // SAFETY: `from` is readable for its length, `storage` for `len`.
    answer(unsafe { libc::sendto(fd, data, from.len(), flags, address, len) } as i64)
}

fn parts_out(parts: &[&[u8]]) -> Vec<iovec> {
    let part = |it: &&[u8]| iovec { iov_base: it.as_ptr().cast_mut().cast(), iov_len: it.len() };
    parts.iter().map(part).collect()
}

fn parts_in(parts: &mut [Vec<u8>]) -> Vec<iovec> {
    let part = |it: &mut Vec<u8>| iovec { iov_base: it.as_mut_ptr().cast(), iov_len: it.len() };
    parts.iter_mut().map(part).collect()
}

/// `writev`.
pub fn write_parts(fd: Fd, parts: &[&[u8]]) -> Answer {
    let parts = parts_out(parts);
    // SAFETY: each part is readable memory.
    answer(unsafe { libc::writev(fd, parts.as_ptr(), int(parts.len())) } as i64)
}

/// `readv` into buffers that are filled in order.
pub fn read_parts(fd: Fd, parts: &mut [Vec<u8>]) -> Answer {
    let parts = parts_in(parts);
    // SAFETY: each part is writable memory.
    answer(unsafe { libc::readv(fd, parts.as_ptr(), int(parts.len())) } as i64)
}

/// `sendfile` from the start of a file, without moving its position.
pub fn send_file(to: Fd, from: Fd, len: usize) -> Answer {
    let mut offset: libc::off_t = 0;
    // SAFETY: `offset` is writable.
    answer(unsafe { libc::sendfile(to, from, &raw mut offset, len) } as i64)
}

/// `sendfile` from the file's position on.
pub fn send_file_on(to: Fd, from: Fd, len: usize) -> Answer {
    // SAFETY: numbers only.
    answer(unsafe { libc::sendfile(to, from, ptr::null_mut(), len) } as i64)
}

/// `splice` without offsets.
pub fn splice(from: Fd, to: Fd, len: usize, flags: u32) -> Answer {
    // SAFETY: numbers only.
    answer(unsafe { libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), len, flags) } as i64)
}

/// `bind` of a unix socket to a name of the kernel's choice (unix(7): autobind).
pub fn bind_unix(fd: Fd) -> Answer {
    let family = libc::sa_family_t::try_from(libc::AF_UNIX).expect("families are small");
    // SAFETY: the family alone, as long as it says.
    answer(unsafe { libc::bind(fd, (&raw const family).cast(), len_of::<libc::sa_family_t>()) })
}

/// `connect` of a unix socket to where `to` is bound.
pub fn connect_unix(fd: Fd, to: Fd) -> Answer {
    // SAFETY: all zero bytes are a valid `sockaddr_storage`.
    let mut storage: sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut len = len_of::<sockaddr_storage>();
    // SAFETY: `storage` has `len` bytes.
    answer(unsafe { libc::getsockname(to, (&raw mut storage).cast(), &raw mut len) })?;
    // SAFETY: the kernel filled in `len` bytes of an address.
    answer(unsafe { libc::connect(fd, (&raw const storage).cast(), len) })
}

/// `pipe`: the end to read and the end to write.
pub fn pipe() -> (Fd, Fd) {
    let mut ends = [0; 2];
    // SAFETY: room for two numbers.
    answer(unsafe { libc::pipe(ends.as_mut_ptr()) }).expect("pipes can be made");
    (ends[0], ends[1])
}

/// `socketpair` of unix sockets.
pub fn unix_pair(kind: c_int) -> (Fd, Fd) {
    let mut ends = [0; 2];
    // SAFETY: room for two numbers.
    answer(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })
        .expect("pairs can be made");
    (ends[0], ends[1])
}

/// A file in memory with `bytes`, at its start.
pub fn memory_file(bytes: &[u8]) -> Fd {
    // SAFETY: a name with its zero byte.
    let fd = unsafe { libc::memfd_create(c"test".as_ptr(), 0) };
    answer(fd).expect("files in memory can be made");
    let mut written = 0;
    while written < bytes.len() {
        let more = write(fd, &bytes[written..]).expect("a file in memory takes all");
        written += usize::try_from(more).expect("answers are positive");
    }
    // SAFETY: numbers only.
    answer(unsafe { libc::lseek(fd, 0, libc::SEEK_SET) }).expect("a file in memory seeks");
    fd
}

/// `lseek` to nowhere: the position.
pub fn position(fd: Fd) -> Answer {
    // SAFETY: numbers only.
    answer(unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) })
}

/// `pread`.
pub fn read_at(fd: Fd, into: &mut [u8], offset: libc::off_t) -> Answer {
    // SAFETY: `into` is writable for its length.
    answer(unsafe { libc::pread(fd, into.as_mut_ptr().cast(), into.len(), offset) } as i64)
}

/// `pwrite`.
pub fn write_at(fd: Fd, from: &[u8], offset: libc::off_t) -> Answer {
    // SAFETY: `from` is readable for its length.
    answer(unsafe { libc::pwrite(fd, from.as_ptr().cast(), from.len(), offset) } as i64)
}

/// `fsync`.
pub fn sync(fd: Fd) -> Answer {
    // SAFETY: numbers only.
    answer(unsafe { libc::fsync(fd) })
}

/// `fstat`: the kind of file, as its `S_IFMT` bits.
pub fn kind_of_file(fd: Fd) -> Answer {
    // SAFETY: all zero bytes are a valid `stat`.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is writable.
    answer(unsafe { libc::fstat(fd, &raw mut stat) })
        .map(|_| i64::from(stat.st_mode & libc::S_IFMT))
}

/// `as *mut c_void` for the modules below.
fn void<T>(value: &mut T) -> *mut c_void {
    (&raw mut *value).cast()
}
