//! The Debian package: installed into a folder of its own by dpkg, upgraded in place, removed without trace.
//! The folder stands for a whole system; the maintainer scripts are told so (`DPKG_ROOT`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kit::need::{self, Need};
use tempfile::TempDir;

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
struct System(TempDir);

impl System {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let database = folder.path().join("var/lib/dpkg");
        fs::create_dir_all(database.join("info"))?;
        fs::create_dir_all(database.join("updates"))?;
        fs::write(database.join("status"), "")?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn dpkg(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("dpkg");
        command.arg(format!("--root={}", self.0.path().display()));
        // Neither libraries nor a shell are in the folder.
        command.args(["--force-script-chrootless", "--force-depends", "--force-confold"]);
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        said(&mut command)
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

/// Runs a command that must succeed.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}

fn package(version: &str, output: &Path) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let binaries = std::env::var("DOCKERVPP_TEST_BINARIES")
        .context("DOCKERVPP_TEST_BINARIES is not set: run this by scripts/test.sh")?;
    let mut command = Command::new(root.join("scripts/deb.sh"));
    command.args(["--from", &binaries, "--version", version, "--output"]).arg(output);
    said(&mut command)?;
    let found = fs::read_dir(output)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found = found.filter(|path| path.to_string_lossy().contains(version));
    found.next().context("the package was not made")
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
    system.dpkg(&["--install", &first.display().to_string()])?;
    let files = system.files()?;
    for file in FILES {
        ensure!(files.contains(*file), "{file} is missing: {files:#?}");
    }
    ensure!(files.contains(WANTED), "the agent is not started with the system: {files:#?}");
    said(
        Command::new(system.path("usr/bin/dockervpp"))
            .args(["config", "check"])
            .arg(system.path("etc/dockervpp/config.toml")),
    )?;

    // An upgrade keeps what the operator wrote and decided, and the state.
    let config = system.path("etc/dockervpp/config.toml");
    fs::write(&config, "workers = 2\n")?;
    fs::create_dir_all(system.path("var/lib/dockervpp"))?;
    fs::write(system.path("var/lib/dockervpp/state.redb"), "precious")?;
    system.dpkg(&["--install", &second.display().to_string()])?;
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
