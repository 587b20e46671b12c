//! The host's files, for an agent whose root directory is another one, such as that of a managed plugin.
//!
//! Docker mounts the network namespaces of containers where its daemon lives, and a copy of that tree in another
//! mount namespace sees neither what is mounted later nor lets go of what was mounted before. So nothing is copied:
//! the root directory of a process on the host is held open, and paths are followed from there.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

/// Below it a managed plugin has folders of the host, as its `config.json` says.
const MOUNTS: &str = "/host";

/// Why the host's root directory cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostRootError {
    /// The parent is in a process namespace that the agent does not see.
    #[error("the process that started the agent is not to be seen from here")]
    NoParent,
    /// The kernel refused.
    #[error("cannot open the root directory of the process that started the agent, {path}", path = path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// A root directory from which paths of the host are followed.
#[derive(Debug, Clone, Default)]
pub struct HostRoot(Option<Arc<OwnedFd>>);

impl HostRoot {
    /// The agent's own.
    pub fn own() -> Self {
        Self(None)
    }

    /// That of the process that started the agent.
    pub fn of_parent() -> Result<Self, HostRootError> {
        let parent = rustix::process::getppid().ok_or(HostRootError::NoParent)?;
        let path = PathBuf::from(format!("/proc/{}/root", parent.as_raw_nonzero()));
        Self::at(&path).map_err(|source| HostRootError::Open { path, source })
    }

    fn at(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, directory, flags, Mode::empty())?;
        Ok(Self(Some(Arc::new(directory))))
    }

    /// Opens a file for reading.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        self.open_as(path, OFlags::RDONLY)
    }

    /// The text of a small file.
    pub fn read(&self, path: &Path) -> io::Result<String> {
        io::read_to_string(self.open(path)?)
    }

    /// Writes to a file that is there.
    pub fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        self.open_as(path, OFlags::WRONLY | OFlags::TRUNC)?.write_all(text.as_bytes())
    }

    /// The names in a folder.
    pub fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = self.open_as(folder, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let entries = rustix::fs::Dir::read_from(folder.as_fd())?.filter_map(Result::ok);
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.filter(|name| name != "." && name != "..").collect())
    }

    /// Where the links at the end of `path` lead. The folders in front of the name are as the kernel shows them from
    /// here.
    pub fn target(&self, path: &Path) -> io::Result<PathBuf> {
        let file = self.open_as(path, OFlags::PATH)?;
        std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
    }

    /// Whether it is the agent's own.
    pub fn is_own(&self) -> bool {
        self.0.is_none()
    }

    /// What others on the host call a path of the agent.
    pub fn on_host(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(MOUNTS) {
            Ok(inside) if !self.is_own() => Path::new("/").join(inside),
            _ => path.to_owned(),
        }
    }

    fn open_as(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC;
        let opened = match &self.0 {
            None => rustix::fs::openat(CWD, path, flags, Mode::empty()),
            // Links that begin with `/`, as `/var/run` may be, lead to the host's root too.
            Some(root) => {
                rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
            }
        };
        Ok(opened?.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_are_followed_from_the_other_root() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("run/docker")).unwrap();
        fs::create_dir(at("var")).unwrap();
        fs::write(at("run/docker/file"), "here\n").unwrap();
        symlink("/run", at("var/run")).unwrap();
        let root = HostRoot::at(folder.path()).unwrap();
        let path = Path::new("/var/run/docker/file");
        assert_eq!(root.read(path).unwrap(), "here\n");
        root.write(path, "new\n").unwrap();
        assert_eq!(fs::read_to_string(at("run/docker/file")).unwrap(), "new\n");
        assert_eq!(root.names(Path::new("/var/run")).unwrap(), ["docker"]);
        assert_eq!(root.target(path).unwrap(), at("run/docker/file").canonicalize().unwrap());
        // Nothing leads out.
        assert!(root.open(Path::new("/../../../etc/passwd")).is_err());
        assert!(HostRoot::own().open(Path::new("/etc/passwd")).is_ok());
    }

    #[test]
    fn paths_below_the_mounts_of_a_plugin_have_another_name_on_the_host() {
        let path = Path::new("/host/run/dockervpp/control.sock");
        let plugin = HostRoot::at(Path::new("/")).unwrap();
        assert_eq!(plugin.on_host(path), Path::new("/run/dockervpp/control.sock"));
        assert_eq!(plugin.on_host(Path::new("/var/lib")), Path::new("/var/lib"));
        assert_eq!(HostRoot::own().on_host(path), path);
    }
}
