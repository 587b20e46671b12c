//! Addresses of sockets.

use core::ffi::c_int;
use core::net::SocketAddr;

use libc::{c_long, sockaddr, socklen_t};
use rustix::io::Errno;

use crate::connect::as_shown;
use crate::datagram::Datagram;
use crate::socket::{Role, Socket};
use crate::{address, raw, table, wait};

fn local(_fd: c_int, socket: &Socket) -> Option<SocketAddr> {
    Some(socket.link()?.session()?.info.local)
}

/// The peer of a session that is established.
pub(super) fn remote(fd: c_int, socket: &Socket) -> Option<SocketAddr> {
    let link = socket.link().filter(|link| !wait::is_over(fd, link))?;
    link.session().map(|session| session.info.remote)
}

/// A name that the kernel does not know, because it knows no way to the peer.
fn of_datagram(fd: c_int, number: c_long, socket: &Datagram) -> Option<Result<SocketAddr, Errno>> {
    if number == libc::SYS_getsockname {
        socket.announce(fd);
        return socket.local().map(Ok);
    }
    socket.local()?;
    socket.peer().map(Ok)
}

unsafe fn name(
    number: c_long,
    fd: c_int,
    target: *mut sockaddr,
    len: *mut socklen_t,
    of: fn(c_int, &Socket) -> Option<SocketAddr>,
) -> c_int {
    if let Some(socket) = table::datagram(fd)
        && let Some(answer) = of_datagram(fd, number, &socket)
    {
        let shown = answer.map(|address| as_shown(address, socket.family));
        // SAFETY: the caller's promise.
        let written = shown.and_then(|shown| unsafe { address::write(shown, target, len) });
        return raw::answer_int(written.map(|()| 0));
    }
    let socket = table::socket(fd);
    let kernel = match socket.as_deref().map(|socket| (&socket.role, socket)) {
        None => fd,
        Some((Role::Listener(listener), _)) => listener.kernel_fd(),
        Some((Role::Session(_), socket)) => {
            let Some(address) = of(fd, socket) else { return raw::fail_int(Errno::NOTCONN) };
            let shown = as_shown(address, socket.family);
            // SAFETY: the caller's promise.
            let written = unsafe { address::write(shown, target, len) };
            return raw::answer_int(written.map(|()| 0));
        }
    };
    // SAFETY: the caller's promise.
    (unsafe { raw::call(number, [kernel as usize, target as usize, len as usize, 0, 0, 0]) })
        as c_int
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn getsockname(
    fd: c_int,
    target: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { name(libc::SYS_getsockname, fd, target, len, local) }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn getpeername(
    fd: c_int,
    target: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { name(libc::SYS_getpeername, fd, target, len, remote) }
}
