//! What goes wrong: loading a library, attaching to VPP, calling a function.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::Release;

/// Why there is no library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// None was found.
    #[error(
        "no libvppcom.so.YY.MM in {}: install VPP's libraries (Debian: vpp, libvppinfra) or name the file",
        list(.0)
    )]
    NotFound(Vec<PathBuf>),
    /// The dynamic linker refused it.
    #[error("{}: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the dynamic linker says.
        reason: String,
    },
    /// Neither its name nor its contents tell its release.
    #[error("{}: not a libvppcom: neither its name nor its SONAME tells a release", .0.display())]
    NoRelease(PathBuf),
    /// Its functions are not those that this crate calls.
    #[error("{}: release {release} of VPP is too old; this program calls {} and newer", path.display(), Release::OLDEST)]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its release.
        release: Release,
    },
    /// It lacks what every release since v21.10 has.
    #[error("{}: release {release} of VPP has no function {symbol}", path.display())]
    NoSymbol {
        /// The file.
        path: PathBuf,
        /// Its release.
        release: Release,
        /// The function.
        symbol: &'static str,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// A library and a VPP of different releases. They share memory whose format changes with nearly every
/// release, and nothing in it tells one from the other: attaching would succeed, then corrupt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is of release {library}, VPP is {vpp}: they share memory and must be of one release; \
     take the libvppcom that came with that VPP",
    path.display()
)]
pub struct Mismatch {
    /// The library's file.
    pub path: PathBuf,
    /// The library's release.
    pub library: Release,
    /// VPP's.
    pub vpp: Release,
}

/// What kind of trouble a call had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing can be read, written or accepted now.
    WouldBlock,
    /// The connection is being made.
    InProgress,
    /// The session is not open.
    NotConnected,
    /// The peer reset the connection.
    Reset,
    /// Nobody listens there.
    Refused,
    /// A connection went before it was accepted.
    Aborted,
    /// VPP did not answer in time.
    TimedOut,
    /// The address is in use.
    AddressInUse,
    /// The writing direction was shut down.
    Ended,
    /// It is there already, or there are as many workers as there may be.
    Exists,
    /// The session is none of this worker, or of another kind.
    BadSession,
    /// An argument, or an attribute's size, is wrong.
    Invalid,
    /// The address is of a family that cannot be used here, or flags are not supported.
    NotSupported,
    /// The release of the library has no such function.
    Missing,
    /// VPP refused for a reason that it tells only to its own log: no route, no memory, filtered.
    Failed,
}

/// A call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallError {
    call: &'static str,
    kind: ErrorKind,
    errno: i32,
}

impl CallError {
    /// The failure of `call`, by the negative number that it returned.
    pub(crate) fn new(call: &'static str, returned: i32) -> Self {
        let errno = returned.checked_neg().unwrap_or(libc::EFAULT);
        Self { call, kind: kind(errno), errno }
    }

    /// A function that the library does not have.
    pub(crate) const fn missing(call: &'static str) -> Self {
        Self { call, kind: ErrorKind::Missing, errno: libc::ENOSYS }
    }

    /// What kind of trouble it was.
    pub const fn kind(self) -> ErrorKind {
        self.kind
    }

    /// The function of libvppcom.
    pub const fn call(self) -> &'static str {
        self.call
    }

    /// Its `errno`.
    pub const fn errno(self) -> i32 {
        self.errno
    }
}

fn kind(errno: i32) -> ErrorKind {
    match errno {
        libc::EAGAIN => ErrorKind::WouldBlock,
        libc::EINPROGRESS => ErrorKind::InProgress,
        libc::ENOTCONN => ErrorKind::NotConnected,
        libc::ECONNRESET => ErrorKind::Reset,
        libc::ECONNREFUSED => ErrorKind::Refused,
        libc::ECONNABORTED => ErrorKind::Aborted,
        libc::ETIMEDOUT => ErrorKind::TimedOut,
        libc::EADDRINUSE => ErrorKind::AddressInUse,
        libc::EPIPE => ErrorKind::Ended,
        libc::EEXIST => ErrorKind::Exists,
        libc::EBADFD => ErrorKind::BadSession,
        libc::EINVAL | libc::ENOPROTOOPT | libc::ENOENT => ErrorKind::Invalid,
        libc::EAFNOSUPPORT | libc::ENOTSUP => ErrorKind::NotSupported,
        _ => ErrorKind::Failed,
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, kind, errno } = self;
        match kind {
            ErrorKind::Missing => {
                write!(f, "{call}: this release of libvppcom has no such function")
            }
            ErrorKind::Failed => {
                write!(
                    f,
                    "{call}: VPP refused (errno {errno}); its log and `show errors` tell more"
                )
            }
            _ => write!(f, "{call}: {}", io::Error::from_raw_os_error(*errno)),
        }
    }
}

impl std::error::Error for CallError {}

impl From<CallError> for io::Error {
    fn from(error: CallError) -> Self {
        let kind = Self::from_raw_os_error(error.errno).kind();
        Self::new(kind, error)
    }
}

/// Why an application is not attached to VPP.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The library takes its configuration from a file only.
    #[error(
        "libvppcom {0} takes its configuration from the file that VCL_CONFIG names: \
         write Config::file there before the process starts, and attach from the environment"
    )]
    FileOnly(Release),
    /// The process is attached, or was.
    #[error(
        "the process was attached to VPP already, which it can be once: other threads register with that \
         application, and to attach anew takes another process"
    )]
    Already,
    /// A name or path has a zero byte in it.
    #[error("{0} cannot be given to libvppcom: it has a zero byte in it")]
    Text(&'static str),
    /// The library, as it was configured, has no eventfds, without which waiting means spinning.
    #[error(
        "libvppcom was configured without use-mq-eventfd: add it to the file that VCL_CONFIG names"
    )]
    NoEventFd,
    /// VPP did not take it.
    #[error(
        "VPP does not take the application on its app socket: is it running, with `session {{ enable \
         use-app-socket-api }}`, and does the socket belong to an app namespace?"
    )]
    Attach(#[source] CallError),
    /// There is no worker for the thread.
    #[error("no further worker: raise max_workers")]
    Worker(#[source] CallError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returned_numbers_have_kinds() {
        let of = |returned| CallError::new("call", returned).kind();
        assert_eq!(of(-libc::EWOULDBLOCK), ErrorKind::WouldBlock);
        assert_eq!(of(-libc::EBADFD), ErrorKind::BadSession);
        assert_eq!(of(-1_000_000), ErrorKind::Failed);
        assert_eq!(of(i32::MIN), ErrorKind::Failed);
        let error: io::Error = CallError::new("call", -libc::ECONNRESET).into();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(error.to_string().contains("call"), "{error}");
    }

    #[test]
    fn a_mismatch_names_both_releases_and_the_file() {
        let (library, vpp) = (Release::new(24, 10), Release::new(26, 6));
        let text = Mismatch { path: "/lib/libvppcom.so.24.10".into(), library, vpp }.to_string();
        for part in ["24.10", "26.06", "/lib/libvppcom.so.24.10"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
