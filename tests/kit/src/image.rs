//! Container images made of the host's own files with `docker import`.
//!
//! An image is named after a fingerprint of its files, so it is made once per change and kept for
//! the next run; making a new one removes its predecessors.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::process::run;
use crate::{docker, need, programs};

/// An image that is ready to run, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image(String);

impl Image {
    /// Nothing but busybox: the most ordinary container there is.
    pub fn busybox() -> Result<Self> {
        Recipe::new("busybox")?.build()
    }

    /// Busybox, `netprobe`, and the examples of `memif-rs`.
    pub fn examples() -> Result<Self> {
        let mut recipe = Recipe::new("examples")?;
        recipe.program(&programs::netprobe()?, "/bin/netprobe")?;
        for example in ["traffic", "ping_responder", "bridge_two"] {
            recipe.program(&programs::example(example)?, &format!("/bin/{example}"))?;
        }
        recipe.build()
    }

    /// Busybox, `netprobe`, and DPDK's testpmd with the memif driver.
    pub fn testpmd() -> Result<Self> {
        let mut recipe = Recipe::new("testpmd")?;
        recipe.program(&programs::netprobe()?, "/bin/netprobe")?;
        let testpmd = need::find("dpdk-testpmd").context("dpdk-testpmd is missing")?;
        recipe.program(&testpmd, "/bin/dpdk-testpmd")?;
        let folder = need::memif_driver().context("the memif driver of DPDK is missing")?;
        // Of the drivers only those that a memif port needs: the bus, the pool, the port.
        for stem in ["librte_bus_vdev.so", "librte_mempool_ring.so", "librte_net_memif.so"] {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.file_name().is_some_and(|it| it.to_string_lossy().starts_with(stem)) {
                    recipe.program(&path, &path.to_string_lossy())?;
                }
            }
        }
        // Makes testpmd write line by line into a pipe.
        recipe.file(Path::new("/usr/libexec/coreutils/libstdbuf.so"), "/lib/libstdbuf.so");
        recipe.build()
    }

    /// Its name, as Docker knows it.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// What goes into an image: its path inside, and the host's file.
#[derive(Debug)]
struct Recipe {
    repository: String,
    files: BTreeMap<String, PathBuf>,
}

impl Recipe {
    /// Starts with busybox.
    fn new(name: &str) -> Result<Self> {
        let busybox = need::static_busybox().context("there is no static busybox")?;
        let files = BTreeMap::from([("/bin/busybox".to_owned(), busybox)]);
        Ok(Self { repository: format!("dockervpp-test/{name}"), files })
    }

    fn file(&mut self, host: &Path, inside: &str) {
        self.files.insert(inside.to_owned(), host.to_owned());
    }

    /// Adds a program or shared library and all libraries that it is linked to.
    fn program(&mut self, host: &Path, inside: &str) -> Result<()> {
        self.file(host, inside);
        let listed = run(Command::new("ldd").arg(host))?;
        for line in listed.lines() {
            // `libc.so.6 => /lib/libc.so.6 (0x…)`, or `/lib64/ld-linux.so (0x…)`.
            let target = line.split("=>").last().unwrap_or_default().trim();
            ensure!(!target.starts_with("not found"), "{}: {line}", host.display());
            if let Some(path) = target.split(" (").next().filter(|it| it.starts_with('/')) {
                self.file(Path::new(path), path);
            }
        }
        Ok(())
    }

    fn fingerprint(&self) -> Result<u64> {
        let mut hasher = DefaultHasher::new();
        for (inside, host) in &self.files {
            let metadata = fs::metadata(host).with_context(|| host.display().to_string())?;
            (inside, metadata.len(), metadata.modified()?).hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    fn build(&self) -> Result<Image> {
        let name = format!("{}:{:016x}", self.repository, self.fingerprint()?);
        if docker::docker(&["image", "inspect", &name]).is_err() {
            self.remove_predecessors()?;
            self.import(&name).with_context(|| format!("cannot make the image {name}"))?;
        }
        Ok(Image(name))
    }

    fn remove_predecessors(&self) -> Result<()> {
        let old = docker::docker(&["images", "-q", &self.repository])?;
        for id in old.lines() {
            // One that a container still uses stays until the next change.
            let _ = docker::docker(&["rmi", id]);
        }
        Ok(())
    }

    fn import(&self, name: &str) -> Result<()> {
        let root = tempfile::tempdir()?;
        self.fill(root.path())?;
        let mut tar = Command::new("tar")
            .args(["--numeric-owner", "--owner=0", "--group=0", "-c", "."])
            .current_dir(root.path())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = Command::new("docker")
            .args(["import", "--change", "ENV PATH=/bin:/sbin", "--change"])
            .args(["CMD [\"/bin/sh\"]", "-", name])
            .stdin(tar.stdout.take().context("the output of tar is piped")?)
            .output()?;
        ensure!(tar.wait()?.success(), "tar failed");
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn fill(&self, root: &Path) -> Result<()> {
        for folder in ["bin", "dev", "etc", "lib", "proc", "run", "sys", "tmp", "var"] {
            fs::create_dir_all(root.join(folder))?;
        }
        symlink("../run", root.join("var/run"))?;
        // One file of the host under several names stays one file: a second copy of a driver
        // would register it twice.
        let mut placed = BTreeMap::new();
        for (inside, host) in &self.files {
            let path = root.join(inside.trim_start_matches('/'));
            fs::create_dir_all(path.parent().context("files are in folders")?)?;
            let host = fs::canonicalize(host).with_context(|| host.display().to_string())?;
            match placed.get(&host) {
                Some(first) => fs::hard_link(first, &path)?,
                None => drop(fs::copy(&host, &path)?),
            }
            placed.insert(host, path);
        }
        let busybox = &self.files["/bin/busybox"];
        for applet in run(Command::new(busybox).arg("--list"))?.lines() {
            let link = root.join("bin").join(applet);
            if !link.exists() {
                symlink("busybox", link)?;
            }
        }
        Ok(())
    }
}
