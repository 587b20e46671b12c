//! Network namespaces named by files, and running code inside one.
//!
//! A thread that entered another namespace must never serve anything else afterwards, so each
//! visit gets a thread of its own that ends with it. An open [`NetNs`] keeps the namespace alive:
//! hold it no longer than needed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::root::HostRoot;

/// Magic number of the file system that namespace files belong to (`linux/magic.h`).
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Visits are short and shallow.
const STACK_BYTES: usize = 256 << 10;

/// An open network namespace.
#[derive(Debug)]
pub struct NetNs {
    file: File,
    path: PathBuf,
}

/// A network namespace could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetnsError {
    /// The file exists and cannot be opened.
    #[error("cannot open the network namespace {path}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The namespace cannot be entered, most often for want of `CAP_SYS_ADMIN`.
    #[error("cannot enter the network namespace {path}", path = path.display())]
    Enter {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// No thread could be started to enter it.
    #[error("cannot start a thread to enter the network namespace {path}", path = path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl NetNs {
    /// Opens the namespace mounted on `path` of the host.
    ///
    /// `None` when there is no such file, or when it is an ordinary file: Docker creates an empty
    /// file first and mounts the namespace over it later, and unmounts before it removes the file.
    pub fn open(host: &HostRoot, path: &Path) -> Result<Option<Self>, NetnsError> {
        let failed = |source| NetnsError::Open { path: path.to_owned(), source };
        let file = match host.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let statistics = rustix::fs::fstatfs(&file).map_err(|errno| failed(errno.into()))?;
        if u64::try_from(statistics.f_type) != Ok(NSFS_MAGIC) {
            return Ok(None);
        }
        Ok(Some(Self { file, path: path.to_owned() }))
    }

    /// The file it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `job` inside the namespace, on a thread made for it, and returns what it returned. When
    /// this returns the thread has left the namespace again. A panic of `job` goes on in the caller.
    pub fn run<T: Send>(&self, job: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        thread::scope(|scope| {
            thread::Builder::new()
                .name("netns".to_owned())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, || self.visit(job))
                .map_err(|source| NetnsError::Thread { path: self.path.clone(), source })?
                .join()
                .unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    fn visit<T>(&self, job: impl FnOnce() -> T) -> Result<T, NetnsError> {
        let entering = |source| NetnsError::Enter { path: self.path.clone(), source };
        let home = File::open("/proc/thread-self/ns/net").map_err(entering)?;
        enter(self.file.as_fd()).map_err(entering)?;
        let value = job();
        // A joined thread lets go of its namespaces only a little after the join: going home first
        // makes sure that no reference outlives the call. Should it fail, the thread still ends.
        if let Err(error) = enter(home.as_fd()) {
            tracing::debug!(%error, "a visitor could not go back to the namespace of the agent");
        }
        Ok(value)
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network)).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_and_an_ordinary_file_are_not_there_yet() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("namespace");
        assert!(NetNs::open(&HostRoot::own(), &path).unwrap().is_none());
        File::create(&path).unwrap();
        assert!(NetNs::open(&HostRoot::own(), &path).unwrap().is_none());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        File::create(&file).unwrap();
        let error = NetNs::open(&HostRoot::own(), &file.join("below")).unwrap_err();
        assert!(error.to_string().contains("below"), "{error}");
    }

    #[test]
    fn the_own_namespace_opens() {
        let own = NetNs::open(&HostRoot::own(), Path::new("/proc/self/ns/net")).unwrap();
        assert_eq!(own.unwrap().path(), Path::new("/proc/self/ns/net"));
    }
}
