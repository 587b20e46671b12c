//! Applications and their workers.

use std::os::fd::{AsFd, BorrowedFd};
use std::process;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::calls::{Calls, Last};
use crate::error::{AttachError, CallError, ErrorKind};
use crate::{CertKey, Config, Epoll, Library, Protocol, Release, Session};

/// Whether the process had its application. libvppcom has one at most, and does not look before it makes
/// another in place of the first (v26.06 `vppcom_app_create_with_config`); one that is made after the first was
/// destroyed waits in vain for answers once a second worker comes and goes (seen with v26.06).
static ATTACHED: Mutex<bool> = Mutex::new(false);

/// An application that is attached to VPP. Clones are the same application; it is detached when its last
/// worker goes.
#[derive(Debug, Clone)]
pub struct App(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    library: Library,
    /// Workers that there are. The library counts for itself whether there may be more.
    workers: Mutex<usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl App {
    /// Attaches the process to the VPP behind the app socket; the calling thread gets the first worker. A process
    /// can do this once: to attach again, also to another VPP, takes another process.
    ///
    /// Whether `library` goes with that VPP is not checked by anybody here: see [`Library::check`].
    ///
    /// # Errors
    /// [`AttachError`]; releases before v26.02 are configured by a file only
    /// ([`attach_from_environment`](Self::attach_from_environment)).
    pub fn attach(library: &Library, config: &Config) -> Result<Worker, AttachError> {
        Self::begin(library, || Calls::attach(library, config))
    }

    /// Attaches as the environment (`VCL_*`) and the configuration file say.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach_from_environment(library: &Library, name: &str) -> Result<Worker, AttachError> {
        Self::begin(library, || Calls::attach_from_environment(library, name))
    }

    fn begin(
        library: &Library,
        attach: impl FnOnce() -> Result<Calls, AttachError>,
    ) -> Result<Worker, AttachError> {
        let mut attached = lock(&ATTACHED);
        if *attached {
            return Err(AttachError::Already);
        }
        let calls = attach()?;
        *attached = true;
        drop(attached);
        let inner = Inner { library: library.clone(), workers: Mutex::new(1) };
        Worker::new(Self(Arc::new(inner)), calls)
    }

    /// Makes the calling thread a further worker. A thread has one worker at most.
    ///
    /// # Errors
    /// [`AttachError::Worker`]: there are as many as there may be, the thread has one, or the application was
    /// detached.
    pub fn register(&self) -> Result<Worker, AttachError> {
        let mut workers = lock(&self.0.workers);
        if *workers == 0 {
            let error = CallError::new("vppcom_worker_register", -libc::ENOTCONN);
            return Err(AttachError::Worker(error));
        }
        let calls = Calls::register(&self.0.library)?;
        *workers += 1;
        drop(workers);
        Worker::new(self.clone(), calls)
    }

    /// The library.
    pub fn library(&self) -> &Library {
        &self.0.library
    }
}

/// A thread's door to VPP. It stays on its thread, and so do its sessions.
///
/// Nothing here waits, except [`Session::listen`] and two attributes, for VPP's answer. To wait for sessions:
/// [`Epoll::poll`] until it has nothing more, then sleep until [`as_fd`](AsFd::as_fd) is readable, alone or
/// beside other descriptors in an epoll or poll of the kernel. [`Epoll::wait`] does this.
///
/// # Fork
/// A child process must not use the workers, sessions and sets of its parent: shared memory knows one
/// process. Fork before attaching, or attach in the child only; what the child inherits does nothing when it is
/// dropped. `exec` is free of this.
#[derive(Debug)]
pub struct Worker(pub(crate) Rc<Thread>);

/// What a worker's handles share.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) calls: Calls,
    event_fd: i32,
    process: u32,
    app: App,
}

impl Worker {
    fn new(app: App, calls: Calls) -> Result<Self, AttachError> {
        let event_fd = calls.event_fd();
        let process = process::id();
        // Made first, so that the worker leaves if there is no descriptor.
        let mut thread = Thread { calls, event_fd: -1, process, app };
        thread.event_fd = event_fd.ok_or(AttachError::NoEventFd)?;
        Ok(Self(Rc::new(thread)))
    }

    /// The application, for the workers of other threads.
    pub fn app(&self) -> App {
        self.0.app.clone()
    }

    /// The library's release.
    pub fn release(&self) -> Release {
        self.0.calls.release()
    }

    /// Its number.
    pub fn index(&self) -> i32 {
        self.0.calls.worker_index()
    }

    /// A new session, which does not block.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] for a protocol that the release does not have.
    pub fn session(&self, protocol: Protocol) -> Result<Session, CallError> {
        if !self.0.calls.library().has_protocol(protocol) {
            return Err(CallError::missing("vppcom_session_create"));
        }
        Ok(Session::new(&self.0, self.0.calls.create(protocol.number())?))
    }

    /// A set of sessions to wait for. A session can be in one set.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn epoll(&self) -> Result<Epoll, CallError> {
        Epoll::new(&self.0)
    }

    /// Gives VPP a certificate and its key, both PEM, for TLS sessions.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn add_cert_key(&self, cert: &[u8], key: &[u8]) -> Result<CertKey, CallError> {
        CertKey::new(&self.0, cert, key)
    }

    /// Whether VPP is gone, as far as the last [`Epoll::poll`] saw. The sessions are lost then. With the poll
    /// after it, libvppcom attaches again, to whatever VPP is there: that one may be of another release, so a
    /// process had better end here.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] before v23.02.
    pub fn is_detached(&self) -> Result<bool, CallError> {
        self.0.calls.is_detached().ok_or(CallError::missing("vppcom_worker_is_detached"))
    }
}

/// Readable when VPP has news for this worker; what was polled already is no news.
impl AsFd for Worker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Thread {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.calls.borrow_fd(self.event_fd)
    }
}

impl Thread {
    /// Whether this is the process that attached.
    pub(crate) fn is_here(&self) -> bool {
        self.process == process::id()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if !self.is_here() {
            return;
        }
        let mut workers = lock(&self.app.0.workers);
        *workers -= 1;
        let last = if *workers == 0 { Last::Yes } else { Last::No };
        // With the lock: nobody registers meanwhile.
        self.calls.leave(last);
    }
}

/// Whether an error only says that nothing can be done now.
pub(crate) fn would_block(error: &CallError) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock)
}
