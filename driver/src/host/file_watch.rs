//! One thread that is told by the kernel when files change (inotify(7)).
//!
//! What is watched is the folder of a file, so that a file that is replaced, as editors and configuration
//! management do, is seen as one that is written. Whoever is told looks at all files: what changed is not said.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub struct FileWatch {
    inotify: Arc<OwnedFd>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl FileWatch {
    /// Starts the thread; it calls `changed` after files in a watched folder may have changed, several changes at
    /// once.
    ///
    /// # Errors
    /// The kernel's, when it has no inotify or no thread left.
    pub fn start(changed: impl Fn() + Send + 'static) -> io::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = Arc::new(inotify::init(flags)?);
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (events, end) = (Arc::clone(&inotify), Arc::clone(&wake));
        let run = move || {
            while next(&events, &end) {
                changed();
            }
        };
        let thread = thread::Builder::new().name("file-watch".to_owned()).spawn(run)?;
        Ok(Self { inotify, wake, thread: Some(thread) })
    }

    /// Watches the folder of a file, once however often it is named.
    ///
    /// # Errors
    /// The kernel's: the folder does not exist, say.
    pub fn add(&self, file: &Path) -> io::Result<()> {
        // Not its creation: a new file is empty until it is written.
        let events = inotify::WatchFlags::CLOSE_WRITE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::ONLYDIR;
        let folder = file.parent().unwrap_or(Path::new("/"));
        inotify::add_watch(&*self.inotify, folder, events)?;
        Ok(())
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        // Fails only when the thread has been woken 2^64 times.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        let Some(thread) = self.thread.take() else { return };
        // Who is told may hold the last reference to the owner: the thread cannot join itself.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the thread that watches files panicked");
        }
    }
}

/// Waits for changes; `false` at the end.
fn next(events: &OwnedFd, end: &OwnedFd) -> bool {
    loop {
        let mut sources = [PollFd::new(events, PollFlags::IN), PollFd::new(end, PollFlags::IN)];
        match poll(&mut sources, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                tracing::error!(%error, "files are not watched any more");
                return false;
            }
        }
        if !sources[1].revents().is_empty() {
            return false;
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(events, &mut buffer);
        let mut seen = false;
        while reader.next().is_ok() {
            seen = true;
        }
        if seen {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_file_that_is_written_or_replaced_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers");
        fs::write(&path, "one").unwrap();
        let (told, news) = mpsc::channel();
        let seen = path.clone();
        let watch = FileWatch::start(move || {
            let _ = told.send(fs::read_to_string(&seen).unwrap());
        })
        .unwrap();
        watch.add(&path).unwrap();
        watch.add(&path).unwrap();
        fs::write(&path, "two").unwrap();
        assert_eq!(news.recv_timeout(LONG).unwrap(), "two");
        let other = folder.path().join("other");
        fs::write(&other, "three").unwrap();
        fs::rename(&other, &path).unwrap();
        let mut last = String::new();
        while last != "three" {
            last = news.recv_timeout(LONG).unwrap();
        }
        drop(watch);
        while news.recv_timeout(LONG).is_ok() {}
        assert_eq!(news.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
