//! The unix sockets of the agent: taken over from a dead agent, never from a live one, and removed
//! at the end.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use miette::Diagnostic;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::sync::watch;
use tracing::warn;

/// How long a call that runs when the agent is told to stop may still take.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// Connections that the kernel holds while the agent is busy.
const BACKLOG: i32 = 512;

/// Why a socket cannot be served.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ServerError {
    /// A live agent serves it.
    #[error("{path} is already served by a running agent{}", pid_text(*.pid))]
    #[diagnostic(
        code(dockervpp::socket::in_use),
        help(
            "stop that agent first, or choose other sockets with --plugin-socket and --control-socket"
        )
    )]
    Live {
        /// The socket.
        path: PathBuf,
        /// The agent behind it.
        pid: Option<i32>,
    },
    /// Something else is in the place of the socket.
    #[error("{path} exists and is not a socket")]
    #[diagnostic(
        code(dockervpp::socket::occupied),
        help("move it away, or choose another place for the socket")
    )]
    Occupied {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("cannot listen on {path}")]
    #[diagnostic(
        code(dockervpp::socket::listen),
        help(
            "run the agent as root, or choose a place that it may write to with --plugin-socket and --control-socket"
        )
    )]
    Listen {
        /// The socket.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

fn pid_text(pid: Option<i32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// A socket that only root can connect to; its file goes when this does.
#[derive(Debug)]
pub struct BoundSocket {
    path: PathBuf,
    identity: (u64, u64),
    listener: Option<UnixListener>,
}

impl BoundSocket {
    /// Binds `path`, whose directory is made if it does not exist. A file left behind by an agent
    /// that is gone is replaced.
    pub fn bind(path: &Path) -> Result<Self, ServerError> {
        let refused = |source| ServerError::Listen { path: path.to_owned(), source };
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(refused)?;
        }
        clear(path)?;
        let listener = listen(path).map_err(refused)?;
        let metadata = fs::symlink_metadata(path).map_err(refused)?;
        Ok(Self {
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
            listener: Some(listener),
        })
    }

    /// Where it is bound.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves `router` until `stop` becomes true; calls that run then are answered first.
    pub async fn serve(
        mut self,
        router: Router,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), ServerError> {
        let refused = |source| ServerError::Listen { path: self.path.clone(), source };
        let Some(listener) = self.listener.take() else { return Ok(()) };
        let listener = tokio::net::UnixListener::from_std(listener).map_err(refused)?;
        let mut stopped = stop.clone();
        let stopping = async move { drop(stopped.wait_for(|stop| *stop).await) };
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopping);
        let deadline = async {
            drop(stop.wait_for(|stop| *stop).await);
            tokio::time::sleep(FINISH_WITHIN).await;
        };
        tokio::select! {
            result = serving => result.map_err(refused),
            () = deadline => {
                warn!(path = %self.path.display(), "calls did not end in time and are cut off");
                Ok(())
            }
        }
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        let own = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if own && let Err(error) = fs::remove_file(&self.path) {
            warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

/// Makes sure that nothing is at `path`: removes what a dead agent left, refuses a live one.
pub fn clear(path: &Path) -> Result<(), ServerError> {
    let refused = |source| ServerError::Listen { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(ServerError::Occupied { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = rustix::net::socket_with(family, kind, flags, None);
    let probe = probe.map_err(|errno| refused(errno.into()))?;
    let address = SocketAddrUnix::new(path).map_err(|errno| refused(errno.into()))?;
    match rustix::net::connect(&probe, &address) {
        Ok(()) => {
            let peer = rustix::net::sockopt::socket_peercred(&probe).ok();
            let pid = peer.map(|peer| peer.pid.as_raw_nonzero().get());
            Err(ServerError::Live { path: path.to_owned(), pid })
        }
        // Alive, but so busy that its queue of connections is full.
        Err(Errno::AGAIN) => Err(ServerError::Live { path: path.to_owned(), pid: None }),
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(refused),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(refused(errno.into())),
    }
}

/// Binds, restricts, then listens, so that nobody connects before the permissions are set.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}
