//! A network namespace on a file, as Docker makes them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dockervpp::host::netns::NetNs;
use dockervpp::host::root::HostRoot;
use tempfile::TempDir;

/// How long the kernel may take for what it does in the background.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the caller is root; prints why a test is skipped otherwise.
pub(crate) fn root_or_skip(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped {test}: it makes network namespaces and links, which needs root");
    }
    root
}

/// Runs a command that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect(program);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {complaint}");
}

/// Waits until `condition` holds, and fails when it never does.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A namespace file in a directory of its own.
pub(crate) struct Sandbox {
    path: PathBuf,
    mounted: bool,
    directory: TempDir,
}

impl Sandbox {
    /// The directory without the file.
    pub(crate) fn absent() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { path: directory.path().join("sandbox"), mounted: false, directory }
    }

    /// A mounted namespace.
    pub(crate) fn mounted() -> Self {
        let mut sandbox = Self::absent();
        sandbox.create_file();
        sandbox.mount();
        sandbox
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The empty file over which the namespace is mounted later.
    pub(crate) fn create_file(&self) {
        File::create(&self.path).unwrap();
    }

    pub(crate) fn mount(&mut self) {
        run("unshare", &[&format!("--net={}", self.path.display()), "true"]);
        self.mounted = true;
    }

    /// What Docker does when the container is gone.
    pub(crate) fn remove(&mut self) {
        if self.mounted {
            run("umount", &[&self.path.display().to_string()]);
            self.mounted = false;
        }
        let _ = fs::remove_file(&self.path);
    }

    pub(crate) fn open(&self) -> NetNs {
        NetNs::open(&HostRoot::own(), &self.path).unwrap().expect("a mounted namespace")
    }

    /// Moves a link of the host into the namespace and gives it a name, as Docker does.
    pub(crate) fn adopt(&self, link: &str, name: &str) {
        let path = self.path.display().to_string();
        run("ip", &["link", "set", "dev", link, "netns", &path, "name", name]);
    }

    /// Moves a link back to the host.
    pub(crate) fn release(&self, link: &str, name: &str) {
        let target = format!("/proc/{}/ns/net", std::process::id());
        self.command(&["ip", "link", "set", "dev", link, "down"]);
        self.command(&["ip", "link", "set", "dev", link, "netns", &target, "name", name]);
    }

    /// Runs a command inside that must succeed.
    pub(crate) fn command(&self, command: &[&str]) {
        let namespace = format!("--net={}", self.path.display());
        run("nsenter", &[&[namespace.as_str()], command].concat());
    }

    /// A link on the host that lives as long as the namespace: a veth whose peer is inside.
    pub(crate) fn witness(&self, label: &str) -> String {
        let outer = format!("dvw{label}{}", std::process::id() % 1_000_000);
        let path = self.path.display().to_string();
        let peer = ["peer", "name", "in0", "netns", &path];
        run("ip", &[&["link", "add", &outer, "type", "veth"], &peer[..]].concat());
        outer
    }

    /// The abstract unix sockets that listen inside.
    pub(crate) fn sockets(&self) -> Vec<String> {
        self.open().run(listening).unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        }
    }
}

/// The abstract unix sockets that listen in the namespace of the calling thread.
pub(crate) fn listening() -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/net/unix").unwrap();
    let mut names: Vec<_> = table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(7))
        .filter(|name| name.starts_with('@'))
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}
