//! The Debian package: installed into a folder of its own by dpkg, upgraded in place, removed without trace.
//! The folder stands for a whole system; the maintainer scripts are told so (`DPKG_ROOT`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use kit::need::{self, Need};
use kit::process::run;
use tempfile::TempDir;

use crate::made::package;

/// Files that every installation has.
const FILES: &[&str] = &[
    "etc/dockervpp/config.toml",
    "usr/bin/dockervpp",
    "usr/lib/dockervpp/libvcl_shim.so",
    "usr/lib/systemd/system/dockervpp.service",
    "usr/share/bash-completion/completions/dockervpp",
    "usr/share/doc/dockervpp/LICENSE-MIT",
    "usr/share/doc/dockervpp/changelog.gz",
    "usr/share/doc/dockervpp/copyright",
    "usr/share/fish/vendor_completions.d/dockervpp.fish",
    "usr/share/man/man1/dockervpp-serve.1.gz",
    "usr/share/man/man1/dockervpp.1.gz",
    "usr/share/zsh/vendor-completions/_dockervpp",
];

const WANTED: &str = "etc/systemd/system/multi-user.target.wants/dockervpp.service";

/// A folder that dpkg takes for a system.
pub(crate) struct System(TempDir);

impl System {
    /// One without any package.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let database = folder.path().join("var/lib/dpkg");
        fs::create_dir_all(database.join("info"))?;
        fs::create_dir_all(database.join("updates"))?;
        fs::write(database.join("status"), "")?;
        Ok(Self(folder))
    }

    /// A file of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Installs a package, or upgrades it.
    pub(crate) fn install(&self, package: &Path) -> Result<()> {
        self.dpkg(&["--install", &package.display().to_string()]).map(drop)
    }

    fn dpkg(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("dpkg");
        command.arg(format!("--root={}", self.0.path().display()));
        // Neither libraries nor a shell are in the folder.
        command.args(["--force-script-chrootless", "--force-depends", "--force-confold"]);
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut command)
    }

    /// What is there, but for dpkg's own database.
    fn files(&self) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        self.collect(self.0.path(), &mut found)?;
        Ok(found)
    }

    fn collect(&self, folder: &Path, found: &mut BTreeSet<String>) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.strip_prefix(self.0.path())?.display().to_string();
            if name.starts_with("var/lib/dpkg") {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                self.collect(&path, found)?;
            } else {
                found.insert(name);
            }
        }
        Ok(())
    }
}

#[test]
fn it_installs_upgrades_and_leaves_no_trace() -> Result<()> {
    if !need::met(&[Need::Root, Need::Dpkg]) {
        return Ok(());
    }
    let output = tempfile::tempdir()?;
    let first = package("0.0.1-1", output.path())?;
    let second = package("0.0.2-1", output.path())?;
    let system = System::new()?;
    system.install(&first)?;
    let files = system.files()?;
    for file in FILES {
        ensure!(files.contains(*file), "{file} is missing: {files:#?}");
    }
    ensure!(files.contains(WANTED), "the agent is not started with the system: {files:#?}");
    run(Command::new(system.path("usr/bin/dockervpp"))
        .args(["config", "check"])
        .arg(system.path("etc/dockervpp/config.toml")))?;

    // An upgrade keeps what the operator wrote and decided, and the state.
    let config = system.path("etc/dockervpp/config.toml");
    fs::write(&config, "workers = 2\n")?;
    fs::create_dir_all(system.path("var/lib/dockervpp"))?;
    fs::write(system.path("var/lib/dockervpp/state.redb"), "precious")?;
    system.install(&second)?;
    ensure!(fs::read_to_string(&config)? == "workers = 2\n", "the settings are gone");
    ensure!(system.path("var/lib/dockervpp/state.redb").exists(), "the state is gone");
    ensure!(system.path(WANTED).is_symlink(), "the agent is not started any more");
    let query = Command::new("dpkg-query")
        .arg(format!("--admindir={}", system.path("var/lib/dpkg").display()))
        .args(["--show", "--showformat=${Version} ${Conffiles}", "dockervpp"])
        .output()?;
    let query = String::from_utf8_lossy(&query.stdout).into_owned();
    ensure!(
        query.starts_with("0.0.2-1") && query.contains("/etc/dockervpp/config.toml"),
        "{query}"
    );

    // Removal keeps settings and state, purging keeps nothing.
    system.dpkg(&["--remove", "dockervpp"])?;
    ensure!(!system.path("usr/bin/dockervpp").exists(), "the program is still there");
    ensure!(
        config.exists() && system.path("var/lib/dockervpp/state.redb").exists(),
        "too much went"
    );
    system.dpkg(&["--purge", "dockervpp"])?;
    let left: Vec<_> =
        system.files()?.into_iter().filter(|file| file.contains("dockervpp")).collect();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}
