//! The kernel that guests boot, and its modules: Debian's for clouds, as `scripts/setup.sh` unpacks it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Where `scripts/setup.sh` puts `vmlinuz` and the modules that a guest may need.
const FOLDER: &str = "/var/cache/dockervpp-test/kernel";

/// A kernel on this machine that is not the one it runs.
#[derive(Debug)]
pub(super) struct Kernel {
    folder: PathBuf,
}

impl Kernel {
    /// The one that `scripts/setup.sh` brought.
    pub(super) fn find() -> Option<Self> {
        let kernel = Self { folder: PathBuf::from(FOLDER) };
        kernel.image().is_file().then_some(kernel)
    }

    /// What a boot loader starts.
    pub(super) fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// The files of these modules and of those that they need, in an order in which they can be loaded.
    ///
    /// # Errors
    /// If one is missing.
    pub(super) fn modules(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let mut ordered = Vec::new();
        for name in names {
            self.add(name, &mut ordered)?;
        }
        Ok(ordered)
    }

    fn add(&self, name: &str, ordered: &mut Vec<PathBuf>) -> Result<()> {
        let path = self.folder.join(format!("{name}.ko"));
        if ordered.contains(&path) {
            return Ok(());
        }
        let bytes = fs::read(&path).with_context(|| {
            format!("no {}: remove the folder and run `scripts/setup.sh test`", path.display())
        })?;
        for needed in needs(&bytes) {
            self.add(&needed, ordered)?;
        }
        ordered.push(path);
        Ok(())
    }
}

/// Whether a guest can be booted: its machine and its kernel.
pub(crate) fn can_boot() -> bool {
    cfg!(target_arch = "x86_64")
        && crate::need::find(super::MACHINE).is_some()
        && Kernel::find().is_some_and(|it| it.modules(super::MODULES).is_ok())
}

/// The modules that a module names in its section `.modinfo`: `depends=one,two` between zero bytes.
fn needs(module: &[u8]) -> Vec<String> {
    let mut texts = module.split(|&byte| byte == 0);
    let names = texts.find_map(|text| text.strip_prefix(b"depends=")).unwrap_or_default();
    let names = String::from_utf8_lossy(names);
    names.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// The name of a file in its folder.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_is_read_from_it() {
        assert_eq!(
            needs(b"\x7fELF\0license=GPL\0depends=virtio,virtio_ring\0\0"),
            ["virtio", "virtio_ring"]
        );
        assert!(needs(b"license=GPL\0depends=\0name=x\0").is_empty());
        assert!(needs(b"").is_empty());
    }

    #[test]
    fn modules_come_after_those_that_they_need_and_once() {
        let folder = tempfile::tempdir().unwrap();
        for (name, needed) in [("a", "b,c"), ("b", "c"), ("c", ""), ("d", "a")] {
            let text = format!("depends={needed}\0");
            fs::write(folder.path().join(format!("{name}.ko")), text).unwrap();
        }
        let kernel = Kernel { folder: folder.path().to_owned() };
        let order = kernel.modules(&["a", "d", "c"]).unwrap();
        let order: Vec<_> = order.iter().map(|it| name(it)).collect();
        assert_eq!(order, ["c.ko", "b.ko", "a.ko", "d.ko"]);
        let missing = format!("{:#}", kernel.modules(&["e"]).unwrap_err());
        assert!(missing.contains("e.ko"), "{missing}");
    }
}
