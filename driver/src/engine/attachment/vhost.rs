//! The folders of vhost-user sockets: `NAME/socket` below a directory of the agent.
//!
//! What is given to a container is the folder, by a mount: a socket that a restarted agent binds anew is then
//! seen there, which one that was mounted itself would not be. Whoever has the folder may put into it what they
//! like, so the agent follows nothing in it: it binds a name, with its permissions from the start, and removes
//! that name.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
#[cfg(feature = "vhost-user")]
use std::sync::Arc;

use dataplane::Dataplane;
#[cfg(feature = "vhost-user")]
use dataplane::control::AddressClaim;

use super::MemifService;
#[cfg(feature = "vhost-user")]
use super::MemifSockets;
use super::endpoint::Endpoint;
use crate::engine::EngineError;
use crate::host::root::HostRoot;
#[cfg(feature = "vhost-user")]
use crate::model::EndpointId;
use crate::model::VhostName;

/// Name of the socket in its folder.
const SOCKET: &str = "socket";

/// The directory, and what is in it.
#[derive(Debug)]
pub(in crate::engine) struct VhostFolders {
    directory: PathBuf,
    host: HostRoot,
}

impl VhostFolders {
    pub(in crate::engine) fn new(directory: PathBuf, host: HostRoot) -> Self {
        Self { directory, host }
    }

    /// The path by which others on the host find a socket.
    pub(in crate::engine) fn told(&self, name: &VhostName) -> PathBuf {
        self.host.on_host(&self.socket(name))
    }

    /// The path of a socket.
    fn socket(&self, name: &VhostName) -> PathBuf {
        self.folder(name).join(SOCKET)
    }

    fn folder(&self, name: &VhostName) -> PathBuf {
        self.directory.join(name.as_str())
    }

    /// Serves the endpoint's device, if it has one.
    #[cfg(feature = "vhost-user")]
    pub(in crate::engine) fn serve(
        &self,
        dataplane: &Dataplane,
        memif: &MemifService,
        endpoint: &Endpoint,
    ) -> Result<(), EngineError> {
        use dataplane::VhostConfig;

        let Some(name) = endpoint.spec.vhost_socket() else { return Ok(()) };
        let listener = self.bind(&name).map_err(|source| EngineError::Io {
            what: format!("cannot listen on {}", self.socket(&name).display()),
            source,
        })?;
        let (defaults, options) = (VhostConfig::default(), &endpoint.spec.vhost);
        let memory = options.memory.map(|mebibytes| u64::from(mebibytes) << 20);
        let config = VhostConfig {
            name: endpoint.spec.id.short().to_owned(),
            max_queues: options.queues.unwrap_or(defaults.max_queues),
            memory_limit: memory.unwrap_or(defaults.memory_limit),
        };
        let claim = claim(memif, endpoint);
        let served = dataplane.listen_vhost(endpoint.port, listener, &config, claim);
        served.inspect_err(|_| self.remove(&name)).map_err(EngineError::from)
    }

    /// Refuses an endpoint that was made by a build that can serve it.
    #[cfg(not(feature = "vhost-user"))]
    pub(in crate::engine) fn serve(
        &self,
        _dataplane: &Dataplane,
        _memif: &MemifService,
        endpoint: &Endpoint,
    ) -> Result<(), EngineError> {
        let Some(name) = endpoint.spec.vhost_socket() else { return Ok(()) };
        Err(EngineError::Host {
            what: format!("this build cannot serve {}", self.socket(&name).display()),
            remedy: "build it with the feature `vhost-user`".to_owned(),
        })
    }

    /// Ends the service and removes the socket. May be repeated.
    pub(in crate::engine) fn end(&self, dataplane: &Dataplane, endpoint: &Endpoint) {
        let Some(name) = endpoint.spec.vhost_socket() else { return };
        #[cfg(feature = "vhost-user")]
        dataplane.unlisten_vhost(endpoint.port);
        #[cfg(not(feature = "vhost-user"))]
        let _ = dataplane;
        self.remove(&name);
    }

    /// Binds the socket, in place of what an agent that died may have left.
    #[cfg(feature = "vhost-user")]
    fn bind(&self, name: &VhostName) -> io::Result<std::os::fd::OwnedFd> {
        use std::os::unix::fs::DirBuilderExt;

        use rustix::fs::Mode;

        // The owner alone lists the directory; who knows a name may pass.
        fs::DirBuilder::new().recursive(true).mode(0o711).create(&self.directory)?;
        let folder = self.folder(name);
        // Docker makes it itself when the mount comes first.
        match fs::DirBuilder::new().mode(0o755).create(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !fs::symlink_metadata(&folder)?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        crate::host::socket::listen_path_with_mode(&self.socket(name), Mode::from_raw_mode(0o660))
    }

    /// Removes a socket and its folder; what others put there stays, and the folder with it.
    fn remove(&self, name: &VhostName) {
        let removed = none_if_absent(fs::remove_file(self.socket(name)))
            .and_then(|()| none_if_absent(fs::remove_dir(self.folder(name))));
        if let Err(error) = removed {
            tracing::warn!(folder = %self.folder(name).display(), %error, "a vhost-user folder was not removed");
        }
    }

    /// Removes the sockets of an agent that died, of endpoints that are not among the `known` ones.
    pub(in crate::engine) fn sweep(&self, known: &BTreeSet<String>) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.filter_map(Result::ok) {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Ok(name) = VhostName::try_from(name) else { continue };
            if !known.contains(name.as_str()) && is_deserted(&self.socket(&name)) {
                self.remove(&name);
            }
        }
    }
}

/// How front ends of the endpoint get its address, where somebody else than the data path gives it to memif clients.
#[cfg(feature = "vhost-user")]
fn claim(memif: &MemifService, endpoint: &Endpoint) -> Option<Box<dyn AddressClaim>> {
    match memif {
        MemifService::DataPath => None,
        MemifService::Engine(sockets) => Some(Box::new(EngineClaim {
            sockets: Arc::clone(sockets),
            endpoint: endpoint.spec.id.clone(),
        })),
    }
}

/// The address of an endpoint whose memif clients the engine serves.
#[cfg(feature = "vhost-user")]
struct EngineClaim {
    sockets: Arc<dyn MemifSockets>,
    endpoint: EndpointId,
}

#[cfg(feature = "vhost-user")]
impl AddressClaim for EngineClaim {
    fn claim(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.sockets.claim(&self.endpoint)?)
    }

    fn release(&mut self) {
        self.sockets.release(&self.endpoint);
    }
}

/// Whether this is a socket on which nobody listens, another agent included.
fn is_deserted(path: &Path) -> bool {
    let socket = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    socket
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn none_if_absent(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(feature = "vhost-user")]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folders() -> (tempfile::TempDir, VhostFolders) {
        let directory = tempfile::tempdir().unwrap();
        let folders = VhostFolders::new(directory.path().join("sockets"), HostRoot::own());
        (directory, folders)
    }

    fn name(text: &str) -> VhostName {
        VhostName::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_socket_has_its_permissions_and_goes_with_its_folder() {
        let (_directory, folders) = folders();
        let listener = folders.bind(&name("vm")).unwrap();
        let path = folders.socket(&name("vm"));
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o660, 0, "nobody else");
        UnixStream::connect(&path).unwrap();
        // Again, as after a restart.
        drop(listener);
        let _listener = folders.bind(&name("vm")).unwrap();
        UnixStream::connect(&path).unwrap();
        folders.remove(&name("vm"));
        assert!(!folders.folder(&name("vm")).exists());
        folders.remove(&name("vm"));
    }

    #[test]
    fn nothing_that_is_in_the_folder_is_followed() {
        let (directory, folders) = folders();
        let precious = directory.path().join("precious");
        fs::write(&precious, "here").unwrap();
        fs::create_dir_all(folders.folder(&name("vm"))).unwrap();
        symlink(&precious, folders.socket(&name("vm"))).unwrap();
        let _listener = folders.bind(&name("vm")).unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "here");
        fs::remove_file(folders.socket(&name("vm"))).unwrap();
        symlink(&precious, folders.socket(&name("vm"))).unwrap();
        fs::write(folders.folder(&name("vm")).join("more"), "").unwrap();
        folders.remove(&name("vm"));
        assert_eq!(fs::read_to_string(&precious).unwrap(), "here");
        assert!(folders.folder(&name("vm")).join("more").exists(), "not ours");
        // A folder that leads elsewhere is none.
        symlink(directory.path(), folders.folder(&name("away"))).unwrap();
        assert!(folders.bind(&name("away")).is_err());
    }

    #[test]
    fn a_sweep_takes_what_nobody_serves_and_nobody_knows() {
        let (_directory, folders) = folders();
        let served = folders.bind(&name("served")).unwrap();
        for left in ["known", "left"] {
            drop(folders.bind(&name(left)).unwrap());
        }
        folders.sweep(&BTreeSet::from(["known".to_owned()]));
        let there = |it: &str| folders.socket(&name(it)).exists();
        assert!(there("served") && there("known") && !there("left"));
        drop(served);
    }
}
