//! Sessions that a process was given by their descriptor alone: inherited over `exec`, or received from
//! another process. The broker is asked for their memory when the descriptor is used for the first time.

use alloc::sync::Arc;
use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicI32};

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};
use session::wire::{Reply, Request};

use crate::broker::{self, Descriptors};
use crate::hidden::Hidden;
use crate::raw::borrow;
use crate::socket::{Family, Link, Listener, Role, Session, Socket};
use crate::sync::SpinLock;
use crate::table::{self, Object};
use crate::{log, oracle, stdio};

/// An option that means nothing to unix sockets and that the kernel keeps for them: the mark by which
/// a session's socket is known wherever it turns up. `SO_MAX_PACING_RATE`, asm-generic/socket.h.
const MARK: crate::options::Name = (libc::SOL_SOCKET, 47);
const MARK_V4: u32 = 0x6476_7034;
const MARK_V6: u32 = 0x6476_7036;

/// Marks the socket of a session or a listener.
pub(crate) fn mark(socket: BorrowedFd<'_>, family: Family) -> Result<(), Errno> {
    let mark = if family == Family::V4 { MARK_V4 } else { MARK_V6 };
    oracle::set(socket.as_raw_fd(), MARK, &mark.to_ne_bytes())
}

/// The family of a session's socket; `None` for everything else.
fn marked(fd: c_int) -> Option<Family> {
    let mut value = [0; 4];
    oracle::get(fd, MARK, &mut value).ok()?;
    let family = match u32::from_ne_bytes(value) {
        MARK_V4 => Family::V4,
        MARK_V6 => Family::V6,
        _ => return None,
    };
    let unix = sockopt::socket_domain(borrow(fd)) == Ok(rustix::net::AddressFamily::UNIX);
    unix.then_some(family)
}

/// This process got a descriptor from another one.
pub(crate) fn note(fd: c_int) {
    drop(table::take(fd));
    if marked(fd).is_some() {
        table::inherit(fd);
    }
}

/// Looks for sessions among the descriptors that the process started with.
pub(crate) fn note_all() {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = rustix::fs::open(c"/proc/self/fd", flags, Mode::empty()) else { return };
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(&folder, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let number = entry.file_name().to_str().ok().and_then(|it| it.parse().ok());
        if let Some(fd) = number
            && fd != folder.as_raw_fd()
        {
            note(fd);
            if table::is_inherited(fd) {
                stdio::replace_standard(fd);
            }
        }
    }
}

/// One at a time: two descriptors may be the same session.
static RESUMING: SpinLock<()> = SpinLock::new(());

/// Gets the memory of what `fd` is. When the broker cannot give it, the connection counts as reset: what
/// goes through its socket is nothing that a program could use.
pub(crate) fn resume(fd: c_int) -> Option<Object> {
    let family = marked(fd)?;
    let reply = ask(fd);
    let turn = RESUMING.lock();
    if let Some(known) = table::known_object(fd) {
        return Some(known);
    }
    let nonblocking =
        rustix::fs::fcntl_getfl(borrow(fd)).is_ok_and(|it| it.contains(OFlags::NONBLOCK));
    let socket = match reply {
        Ok(Some((Reply::Connected(info), [Some(memory), _]))) => {
            match same_session(info.id, info.side) {
                Some(socket) => Ok(socket),
                None => Session::open(info, &memory, true).map(|session| {
                    let link = Link::established(session);
                    link.take_over();
                    Arc::new(Socket::new(family, Role::Session(link), nonblocking))
                }),
            }
        }
        Ok(Some((Reply::Listening, [kernel, _]))) => listener(fd, kernel)
            .map(|it| Arc::new(Socket::new(family, Role::Listener(it), nonblocking))),
        Ok(_) => Err(Errno::CONNRESET),
        Err(error) => Err(error),
    };
    let socket = match socket {
        Ok(socket) => {
            log::decision!("fd {fd}: a session of another process is resumed");
            socket
        }
        Err(error) => {
            log::decision!("fd {fd}: a session of another process is lost: {error}");
            Arc::new(Socket::new(family, Role::Session(Link::lost()), nonblocking))
        }
    };
    let object = Object::Socket(socket);
    table::put(fd, object.clone());
    drop(turn);
    Some(object)
}

fn ask(fd: c_int) -> Result<Option<(Reply, Descriptors)>, Errno> {
    let (near, far) = broker::pair(SocketType::STREAM)?;
    broker::ask(&Request::Resume, &[borrow(fd), far.as_fd()])?;
    drop(far);
    broker::await_reply(&near, broker::ANSWER_WITHIN)
}

/// The session when this process has it under another number.
fn same_session(id: u64, side: session::layout::Side) -> Option<Arc<Socket>> {
    table::known(0, c_int::MAX).find_map(|fd| match table::known_object(fd)? {
        Object::Socket(socket) => {
            let same = socket
                .link()
                .and_then(Link::session)
                .is_some_and(|it| it.info.id == id && it.info.side == side);
            same.then_some(socket)
        }
        Object::Fresh(_) | Object::Datagram(_) | Object::Epoll(_) => None,
    })
}

fn listener(fd: c_int, kernel: Option<OwnedFd>) -> Result<Listener, Errno> {
    let kernel = kernel.map(|it| Hidden::duplicate(it.as_fd())).transpose()?;
    Ok(Listener {
        kernel,
        cookie: sockopt::socket_cookie(borrow(fd))?,
        backlog: AtomicI32::new(libc::SOMAXCONN),
        ended: AtomicBool::new(false),
    })
}

/// An address for what has none.
pub(crate) const NOWHERE: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
