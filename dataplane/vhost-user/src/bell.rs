//! The eventfds by which both sides wake each other.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

/// An eventfd of the front end.
#[derive(Debug)]
pub(crate) struct Bell {
    fd: OwnedFd,
    rings: u64,
}

/// A descriptor that is no eventfd: looking at it, or writing to it, might wait for whoever made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a descriptor for wake-ups is no eventfd")]
pub(crate) struct NotEventfd;

/// Takes a descriptor of the front end if it is an eventfd.
pub(crate) fn eventfd(fd: OwnedFd) -> Result<OwnedFd, NotEventfd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let target = rustix::fs::readlink(path, Vec::new());
    let is_one = target.is_ok_and(|target| target.as_bytes() == b"anon_inode:[eventfd]");
    if is_one { Ok(fd) } else { Err(NotEventfd) }
}

impl Bell {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, rings: 0 }
    }

    /// Writes the eventfd. The front end shares the open file and could make a write wait by filling the
    /// counter and clearing `O_NONBLOCK`, so it is written only when the kernel says that it takes it; a
    /// counter that is full wakes the front end anyway.
    #[cold]
    pub(crate) fn ring(&mut self) {
        self.rings += 1;
        let now = Timespec::try_from(Duration::ZERO).ok();
        let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
        let writable = rustix::event::poll(&mut fds, now.as_ref()).is_ok_and(|ready| ready > 0);
        if writable {
            let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        }
    }

    /// How often it was rung.
    pub(crate) fn rings(&self) -> u64 {
        self.rings
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::EventfdFlags;

    use super::*;

    #[test]
    fn only_an_eventfd_is_taken() {
        let good = rustix::event::eventfd(0, EventfdFlags::CLOEXEC).expect("eventfd");
        assert!(eventfd(good).is_ok());
        let file = std::fs::File::open("/dev/null").expect("opens");
        assert_eq!(eventfd(file.into()).err(), Some(NotEventfd));
    }
}
