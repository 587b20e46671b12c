//! Settings of the kernel below `/proc/sys`.

use std::fs;
use std::io;
use std::path::PathBuf;

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

/// The value of a setting, such as `net/ipv4/ip_forward`; `None` where the kernel does not have it.
pub fn get(name: &str) -> Result<Option<String>, SysctlError> {
    let path = path(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SysctlError { action: "read".to_owned(), path, source }),
    }
}

/// Sets it unless it has the value; says whether it was changed. An error where the kernel does not have
/// the setting.
pub fn set(name: &str, value: &str) -> Result<bool, SysctlError> {
    if get(name)?.as_deref() == Some(value) {
        return Ok(false);
    }
    let path = path(name);
    let written = fs::write(&path, value);
    let failed = |source| SysctlError { action: format!("write {value} to"), path, source };
    written.map(|()| true).map_err(failed)
}

/// The names below a folder of settings, such as `net/ipv6/conf`; none if it is not there.
pub fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(path(folder)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_absent_ones_are_none() {
        assert!(get("kernel/ostype").unwrap().is_some());
        assert_eq!(get("kernel/no_such_setting").unwrap(), None);
        assert!(names("net/ipv4/conf").contains(&"lo".to_owned()));
        assert!(names("no/such/folder").is_empty());
        assert!(set("kernel/no_such_setting", "1").is_err());
    }
}
