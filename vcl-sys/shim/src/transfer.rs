//! Moving bytes between the program and a session.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use rustix::io::Errno;
use session::Broken;

use crate::buffers::Buffers;
use crate::socket::{Link, Session, Socket};
use crate::sync::Turn;
use crate::{connect, wait};

/// How to receive.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "one for each flag of the call")]
pub(crate) struct Receive {
    /// `MSG_PEEK`.
    pub(crate) peek: bool,
    /// `MSG_WAITALL`.
    pub(crate) all: bool,
    /// `MSG_DONTWAIT`.
    pub(crate) dont_wait: bool,
    /// `MSG_TRUNC`: the bytes are dropped, not copied.
    pub(crate) discard: bool,
}

/// The session of a link; an answer that is on its way is waited for on a blocking socket. `EPIPE` where the connect failed
/// and the program knows.
pub(crate) fn established<'a>(
    fd: c_int,
    socket: &Socket,
    link: &'a Link,
    dont_wait: bool,
) -> Result<&'a Session, Errno> {
    if let Some(session) = link.session() {
        return Ok(session);
    }
    connect::progress(fd, link);
    if link.session().is_none() && !dont_wait && !socket.nonblocking.load(Ordering::Relaxed) {
        connect::wait(fd, link)?;
    }
    match link.session() {
        Some(session) => Ok(session),
        None => Err(link.take_error().unwrap_or_else(|| {
            let failed = link.peer_gone.load(Ordering::Acquire);
            if failed { Errno::PIPE } else { Errno::AGAIN }
        })),
    }
}

/// Receives into `buffers`; zero is the end of the stream.
pub(crate) fn receive(
    fd: c_int,
    socket: &Socket,
    buffers: &Buffers<'_>,
    how: Receive,
) -> Result<usize, Errno> {
    let link = socket.link().ok_or(Errno::NOTCONN)?;
    let dont_wait = how.dont_wait || socket.nonblocking.load(Ordering::Relaxed);
    let session = match established(fd, socket, link, how.dont_wait) {
        // Nothing will ever come.
        Err(Errno::PIPE) => return Ok(0),
        other => other?,
    };
    if buffers.len() == 0 {
        // As TCP: to receive nothing is to wait for something.
        while !ended(link, session) && session.stream().readable() == Ok(0) {
            wait::readable(fd, link, session, 0, dont_wait)?;
        }
        return Ok(0);
    }
    let enough = if how.all { buffers.len() } else { link.low_water().min(buffers.len()) };
    let mut total = 0;
    loop {
        match copy_out(fd, link, session, buffers, total, how) {
            Ok(got) => total += got,
            Err(Broken) => note_broken(link),
        }
        if total >= enough || (total > 0 && how.peek && dont_wait) {
            return Ok(total);
        }
        if ended(link, session) {
            // Bytes may have come between the look at the ring and the one at its end.
            let seen = if how.peek { total } else { 0 };
            if session.stream().readable().is_ok_and(|waiting| waiting > seen) {
                total = if how.peek { 0 } else { total };
                continue;
            }
            return match link.take_read_error() {
                Some(error) if total == 0 => Err(error),
                _ => Ok(total),
            };
        }
        let beyond = if how.peek { total } else { 0 };
        if let Err(error) = wait::readable(fd, link, session, beyond, dont_wait) {
            return if total > 0 { Ok(total) } else { Err(error) };
        }
        if how.peek {
            total = 0;
        }
    }
}

/// Whether no more bytes will come than wait now.
pub(crate) fn ended(link: &Link, session: &Session) -> bool {
    link.read_ended.load(Ordering::Acquire)
        || link.peer_ended.load(Ordering::Acquire)
        || link.has_error()
        || session.stream().peer_ended()
}

fn copy_out(
    fd: c_int,
    link: &Link,
    session: &Session,
    buffers: &Buffers<'_>,
    skip: usize,
    how: Receive,
) -> Result<usize, Broken> {
    let stream = session.stream();
    let turn = Turn::take(&session.local().reading);
    stream.follow_reader();
    stream.stay();
    let mut wake = false;
    let got = if how.discard && how.peek {
        (stream.readable()?.saturating_sub(skip)).min(buffers.len() - skip)
    } else if how.discard {
        let moved = stream.skip(buffers.len() - skip)?;
        wake = moved.wake;
        moved.bytes
    } else if how.peek {
        let mut at = skip;
        buffers.scatter(skip, |part| {
            let got = stream.peek(at, part)?;
            at += got;
            Ok::<_, Broken>(got)
        })?
    } else {
        buffers.scatter(skip, |part| {
            let moved = stream.read(part)?;
            wake |= moved.wake;
            Ok::<_, Broken>(moved.bytes)
        })?
    };
    drop(turn);
    if wake {
        wait::drain_tokens(fd, link, session);
        if link.watchers.load(Ordering::Acquire) > 0 {
            // Perhaps one of them was for somebody who sleeps.
            let _ = stream.arm_reader(stream.seen()?)?;
        }
    }
    Ok(got)
}

/// Why no byte can be written any more, if so: `EPIPE`, or what is pending.
pub(crate) fn unwritable(link: &Link) -> Option<Errno> {
    if link.write_ended.load(Ordering::Acquire) {
        return Some(Errno::PIPE);
    }
    if link.peer_gone.load(Ordering::Acquire) && link.answered.load(Ordering::Acquire) {
        return Some(link.take_error().unwrap_or(Errno::PIPE));
    }
    None
}

/// Looks whether a peer that left is gone.
pub(crate) fn notice_leaving(fd: c_int, link: &Link, session: &Session) {
    if session.stream().peer_left() && wait::is_hung_up(fd) {
        link.note_gone();
    }
}

/// Sends `buffers`. `EPIPE` is for the caller to turn into a signal.
pub(crate) fn send(
    fd: c_int,
    socket: &Socket,
    buffers: &Buffers<'_>,
    dont_wait: bool,
) -> Result<usize, Errno> {
    let link = socket.link().ok_or(Errno::PIPE)?;
    let session = established(fd, socket, link, dont_wait)?;
    let dont_wait = dont_wait || socket.nonblocking.load(Ordering::Relaxed);
    let mut total = 0;
    loop {
        if let Some(error) = unwritable(link) {
            return if total > 0 { Ok(total) } else { Err(error) };
        }
        notice_leaving(fd, link, session);
        if link.peer_gone.load(Ordering::Acquire) {
            link.write_in_vain();
            return Ok(buffers.len());
        }
        let Ok(sent) = copy_in(fd, link, session, buffers, total) else {
            note_broken(link);
            continue;
        };
        total += sent;
        if total == buffers.len() {
            return Ok(total);
        }
        if link.peer_gone.load(Ordering::Acquire) {
            continue;
        }
        if let Err(error) = wait::writable(fd, link, session, dont_wait) {
            return if total > 0 { Ok(total) } else { Err(error) };
        }
    }
}

/// The session cannot go on, which counts as a reset.
pub(crate) fn note_broken(link: &Link) {
    link.set_error(Errno::CONNRESET);
    link.note_gone();
    link.answered.store(true, Ordering::Release);
}

fn copy_in(
    fd: c_int,
    link: &Link,
    session: &Session,
    buffers: &Buffers<'_>,
    skip: usize,
) -> Result<usize, Broken> {
    let stream = session.stream();
    let turn = Turn::take(&session.local().writing);
    stream.follow_writer();
    let mut wake = false;
    let sent = buffers.gather(skip, |part| {
        let moved = stream.write(part)?;
        if moved.wake && moved.bytes < part.len() {
            wait::send_token(fd, link, session);
        } else {
            wake |= moved.wake;
        }
        Ok::<_, Broken>(moved.bytes)
    });
    drop(turn);
    if wake {
        wait::send_token(fd, link, session);
    }
    sent
}
