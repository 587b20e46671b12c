//! Bytes that go between a session and a file or a pipe without passing through the program.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use rustix::event::PollFlags;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use session::Broken;

use crate::socket::{Link, Session, Socket};
use crate::sync::Turn;
use crate::{transfer, wait};

/// Most that one call moves (`MAX_RW_COUNT`, include/linux/fs.h).
pub(crate) const MOST: usize = 0x7fff_f000;

/// Bytes after which the peer is told, so that it works while the rest is read.
const PIECE: usize = 64 << 10;

/// A file, and where in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) file: BorrowedFd<'a>,
    pub(crate) position: u64,
}

/// Whether `sendfile` may read from it: everything that can be read at a position.
pub(crate) fn judge_source(file: BorrowedFd<'_>) -> Result<(), Errno> {
    if rustix::fs::fcntl_getfl(file)? & OFlags::RWMODE == OFlags::WRONLY {
        return Err(Errno::BADF);
    }
    match FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode) {
        FileType::Fifo | FileType::Socket | FileType::Directory => Err(Errno::INVAL),
        _ => Ok(()),
    }
}

/// Sends up to `count` bytes of a file; fewer when it ends or, on a non-blocking socket, when the ring
/// is full. The kernel reads the file straight into the ring.
pub(crate) fn send_file(
    fd: c_int,
    socket: &Socket,
    from: Place<'_>,
    count: usize,
) -> Result<usize, Errno> {
    let link = socket.link().ok_or(Errno::NOTCONN)?;
    let session = transfer::established(fd, socket, link, false)?;
    let dont_wait = socket.nonblocking.load(Ordering::Relaxed);
    let count = count.min(MOST);
    let mut total = 0;
    while total < count {
        if let Some(error) = transfer::unwritable(link) {
            return if total > 0 { Ok(total) } else { Err(error) };
        }
        transfer::notice_leaving(fd, link, session);
        if link.peer_gone.load(Ordering::Acquire) {
            // As in `transfer::send`: TCP takes what the file has.
            link.write_in_vain();
            let size = rustix::fs::fstat(from.file)?.st_size;
            let rest = u64::try_from(size).unwrap_or(0).saturating_sub(from.position);
            return Ok(usize::try_from(rest).unwrap_or(usize::MAX).min(count));
        }
        let place = Place { position: from.position + total as u64, ..from };
        match fill(fd, link, session, place, (count - total).min(PIECE)) {
            Ok(Filled::Some(bytes)) => total += bytes,
            Ok(Filled::NoRoom) => {
                if !link.peer_gone.load(Ordering::Acquire)
                    && let Err(error) = wait::writable(fd, link, session, dont_wait)
                {
                    return if total > 0 { Ok(total) } else { Err(error) };
                }
            }
            Err(Failed::Memory) => transfer::note_broken(link),
            Err(Failed::File(error)) if total == 0 => return Err(error),
            Ok(Filled::End) | Err(Failed::File(_)) => break,
        }
    }
    Ok(total)
}

enum Filled {
    Some(usize),
    End,
    NoRoom,
}

enum Failed {
    Memory,
    File(Errno),
}

impl From<Broken> for Failed {
    fn from(_: Broken) -> Self {
        Self::Memory
    }
}

fn fill(
    fd: c_int,
    link: &Link,
    session: &Session,
    from: Place<'_>,
    limit: usize,
) -> Result<Filled, Failed> {
    let turn = Turn::take(&session.local().writing);
    session.stream().follow_writer();
    let mut position = from.position;
    let mut ended = false;
    let moved = session.stream().write_with(limit, |memory, offset, len| {
        let filled = memory.fill_from(offset, len, from.file, position)?;
        position += filled as u64;
        ended = filled == 0;
        Ok::<_, Errno>(filled)
    })?;
    drop(turn);
    let moved = moved.map_err(Failed::File)?;
    if moved.wake {
        wait::send_token(fd, link, session);
    }
    Ok(match moved.bytes {
        0 if ended => Filled::End,
        0 => Filled::NoRoom,
        bytes => Filled::Some(bytes),
    })
}

/// A pipe, and whether to wait for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pipe<'a> {
    end: BorrowedFd<'a>,
    dont_wait: bool,
}

impl<'a> Pipe<'a> {
    /// `None` when it is no pipe.
    pub(crate) fn new(end: BorrowedFd<'a>, dont_wait: bool) -> Result<Option<Self>, Errno> {
        if FileType::from_raw_mode(rustix::fs::fstat(end)?.st_mode) != FileType::Fifo {
            return Ok(None);
        }
        let status = rustix::fs::fcntl_getfl(end)?;
        Ok(Some(Self { end, dont_wait: dont_wait || status.contains(OFlags::NONBLOCK) }))
    }

    /// Waits until the pipe is ready; `EAGAIN` when it may not wait.
    fn await_ready(self, events: PollFlags) -> Result<PollFlags, Errno> {
        let limit = self.dont_wait.then_some(core::time::Duration::ZERO);
        let ready = wait::sleep(self.end.as_raw_fd(), events, limit)?;
        if ready.is_empty() { Err(Errno::AGAIN) } else { Ok(ready) }
    }

    /// Bytes that a write cannot wait for, once the pipe is writable: a page, or all when it is empty.
    fn room(self) -> usize {
        let empty = rustix::io::ioctl_fionread(self.end) == Ok(0);
        if empty { rustix::pipe::fcntl_getpipe_size(self.end).unwrap_or(PAGE) } else { PAGE }
    }
}

/// Bytes that a pipe takes whole (`PIPE_BUF`).
const PAGE: usize = 4096;
const BUFFER: usize = 16 << 10;

/// `splice` from a session to a pipe. Bytes leave the session when they are in the pipe, not before.
pub(crate) fn to_pipe(
    fd: c_int,
    socket: &Socket,
    pipe: Pipe<'_>,
    len: usize,
) -> Result<usize, Errno> {
    let link = socket.link().ok_or(Errno::NOTCONN)?;
    let session = transfer::established(fd, socket, link, false)?;
    let stream = session.stream();
    let mut buffer = [0; BUFFER];
    let mut total = 0;
    while total < len {
        match stream.readable() {
            Ok(0) if total > 0 => break,
            Ok(0) if transfer::ended(link, session) && stream.readable() == Ok(0) => {
                return link.take_error().map_or(Ok(0), Err);
            }
            Ok(0) => {
                let dont_wait = socket.nonblocking.load(Ordering::Relaxed);
                wait::readable(fd, link, session, 0, dont_wait)?;
                continue;
            }
            Ok(_) => {}
            Err(Broken) => transfer::note_broken(link),
        }
        match pipe.await_ready(PollFlags::OUT) {
            Err(_) if total > 0 => break,
            other => other?,
        };
        let turn = Turn::take(&session.local().reading);
        stream.follow_reader();
        let wanted = (len - total).min(BUFFER).min(pipe.room());
        let peeked = stream.peek(0, &mut buffer[..wanted]).map_err(|_| Errno::CONNRESET)?;
        let written = match rustix::io::write(pipe.end, &buffer[..peeked]) {
            Err(_) if total > 0 => break,
            other => other?,
        };
        let moved = stream.skip(written).map_err(|_| Errno::CONNRESET)?;
        drop(turn);
        if moved.wake {
            wait::drain_tokens(fd, link, session);
        }
        total += written;
    }
    Ok(total)
}

/// `splice` from a pipe to a session. Bytes leave the pipe when there is room for them.
pub(crate) fn from_pipe(
    fd: c_int,
    socket: &Socket,
    pipe: Pipe<'_>,
    len: usize,
) -> Result<usize, Errno> {
    let link = socket.link().ok_or(Errno::NOTCONN)?;
    let session = transfer::established(fd, socket, link, false)?;
    let stream = session.stream();
    let mut buffer = [0; BUFFER];
    let mut total = 0;
    while total < len {
        if let Some(error) = transfer::unwritable(link) {
            return if total > 0 { Ok(total) } else { Err(error) };
        }
        if total > 0 && rustix::io::ioctl_fionread(pipe.end) == Ok(0) {
            break;
        }
        pipe.await_ready(PollFlags::IN)?;
        let turn = Turn::take(&session.local().writing);
        stream.follow_writer();
        let room = stream.writable().map_err(|_| Errno::CONNRESET)?;
        if room == 0 {
            drop(turn);
            if link.peer_gone.load(Ordering::Acquire) {
                transfer::note_broken(link);
                continue;
            }
            let dont_wait = socket.nonblocking.load(Ordering::Relaxed);
            match wait::writable(fd, link, session, dont_wait) {
                Err(_) if total > 0 => break,
                other => other?,
            }
            continue;
        }
        let wanted = (len - total).min(BUFFER).min(room);
        let got = match rustix::io::read(pipe.end, &mut buffer[..wanted]) {
            Err(_) if total > 0 => break,
            other => other?,
        };
        if got == 0 {
            break;
        }
        let moved = stream.write(&buffer[..got]).map_err(|_| Errno::CONNRESET)?;
        drop(turn);
        if moved.wake {
            wait::send_token(fd, link, session);
        }
        total += got;
    }
    Ok(total)
}
