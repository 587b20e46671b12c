//! Doing something in another network namespace.

use std::io;
use std::os::fd::BorrowedFd;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `work` on a thread of its own inside `namespace` (an open `/proc/PID/ns/net` or a file
/// where one is mounted). The thread ends with it, so no other thread ever changes namespace.
///
/// # Errors
///
/// `EPERM` without `CAP_SYS_ADMIN`, `EINVAL` if the descriptor is no network namespace, and
/// whatever `work` returns.
pub fn within<T: Send>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let entered = move || {
            move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
            work()
        };
        let thread =
            thread::Builder::new().name("memif-netns".into()).spawn_scoped(scope, entered)?;
        match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn outcome_of_the_work_comes_back() {
        let here = File::open("/proc/self/ns/net").unwrap();
        match within(here.as_fd(), || Ok(42)) {
            Ok(answer) => assert_eq!(answer, 42),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
    }

    #[test]
    fn no_namespace_is_an_error() {
        let file = File::open("/dev/null").unwrap();
        assert!(within(file.as_fd(), || Ok(())).is_err());
    }
}
