//! The file system that a guest boots into: busybox, modules, and a first program that ends in a shell.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::kernel::{Kernel, name};
use crate::need;
use crate::process::run;

/// What the first program says before it becomes the shell: from then on the console is read and does not echo.
pub(super) const READY: &str = "the guest is ready";

/// Loads the modules, gives `eth0` what the kernel's command line says, and becomes the shell. The shell has no
/// prompt and the console no echo, so that what is read is what commands print.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox --install -s /bin
export PATH=/bin PS1=
mount -t proc none /proc
mount -t sysfs none /sys
while read -r module; do
    insmod "/modules/$module" || echo "the module $module cannot be loaded"
done </modules/order
stty -echo
ip link set lo up
ip link set eth0 up
for address in $guest_addresses; do ip address add "$address" dev eth0; done
for gateway in $guest_gateways; do ip route add default via "$gateway"; done
echo "the guest is ready"
exec sh
"#;

/// Makes it in `folder` and returns the archive's path.
pub(super) fn make(kernel: &Kernel, modules: &[&str], folder: &Path) -> Result<PathBuf> {
    let root = folder.join("root");
    for inside in ["bin", "dev", "modules", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(inside))?;
    }
    let busybox = need::static_busybox().context("there is no static busybox")?;
    fs::copy(&busybox, root.join("bin/busybox"))?;
    let mut order = String::new();
    for module in kernel.modules(modules)? {
        let name = name(&module);
        fs::copy(&module, root.join("modules").join(&name))?;
        order.push_str(&name);
        order.push('\n');
    }
    fs::write(root.join("modules/order"), order)?;
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    let archive = folder.join("initramfs");
    pack(&busybox, &root, &archive)?;
    Ok(archive)
}

/// An archive of a folder in the only format that the kernel takes (Linux, `buffer-format.rst`).
fn pack(busybox: &Path, folder: &Path, archive: &Path) -> Result<()> {
    let script = r#"cd "$1" && "$0" find . | "$0" cpio -o -H newc >"$2""#;
    run(Command::new(busybox).args(["sh", "-c", script]).arg(busybox).arg(folder).arg(archive))?;
    Ok(())
}
