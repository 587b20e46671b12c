//! Settings of the kernel below `/proc/sys`.

use std::io;
use std::path::PathBuf;

use super::root::HostRoot;

/// A setting could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct SysctlError {
    action: String,
    path: PathBuf,
    source: io::Error,
}

impl SysctlError {
    /// The kernel's answer.
    pub fn into_source(self) -> io::Error {
        self.source
    }
}

/// The settings of a host.
#[derive(Debug, Clone, Default)]
pub struct Settings(HostRoot);

impl Settings {
    /// Those below `/proc/sys` of this root directory: in a container the agent's own may be read-only.
    pub fn of(host: HostRoot) -> Self {
        Self(host)
    }

    /// The value of a setting, such as `net/ipv4/ip_forward`; `None` where the kernel does not have it.
    pub fn get(&self, name: &str) -> Result<Option<String>, SysctlError> {
        let path = path(name);
        match self.0.read(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SysctlError { action: "read".to_owned(), path, source }),
        }
    }

    /// Sets it unless it has the value; says whether it was changed. An error where the kernel does not have
    /// the setting.
    pub fn set(&self, name: &str, value: &str) -> Result<bool, SysctlError> {
        if self.get(name)?.as_deref() == Some(value) {
            return Ok(false);
        }
        let path = path(name);
        let written = self.0.write(&path, value);
        let failed = |source| SysctlError { action: format!("write {value} to"), path, source };
        written.map(|()| true).map_err(failed)
    }

    /// The names below a folder of settings, such as `net/ipv6/conf`; none if it is not there.
    pub fn names(&self, folder: &str) -> Vec<String> {
        self.0.names(&path(folder)).unwrap_or_default()
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_absent_ones_are_none() {
        let settings = Settings::default();
        assert!(settings.get("kernel/ostype").unwrap().is_some());
        assert_eq!(settings.get("kernel/no_such_setting").unwrap(), None);
        assert!(settings.names("net/ipv4/conf").contains(&"lo".to_owned()));
        assert!(settings.names("no/such/folder").is_empty());
        assert!(settings.set("kernel/no_such_setting", "1").is_err());
    }
}
