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
use crate::{docker, need, programs, vpp};

/// Programs of the image [`Image::examples`], by the names of the examples that they are.
pub const EXAMPLES: [&str; 4] = ["traffic", "ping_responder", "bridge_two", "probe"];

/// Where the preload library is in images that have it.
pub const SHIM: &str = "/lib/libvcl_shim.so";

/// An image that is ready to run, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image(String);

impl Image {
    /// Nothing but busybox: the most ordinary container there is.
    pub fn busybox() -> Result<Self> {
        Recipe::new("busybox")?.build()
    }

    /// Busybox, `netprobe`, `memif-station`, and the examples of `memif-rs` and `session`.
    pub fn examples() -> Result<Self> {
        let mut recipe = Recipe::new("examples")?;
        recipe.program(&programs::netprobe()?, "/bin/netprobe")?;
        recipe.program(&programs::memif_station()?, "/bin/memif-station")?;
        for example in EXAMPLES {
            recipe.program(&programs::example(example)?, &format!("/bin/{example}"))?;
        }
        recipe.build()
    }

    /// Busybox, the program of the conformance suite, and the preload library as [`SHIM`].
    pub fn conformance() -> Result<Self> {
        let mut recipe = Recipe::new("conformance")?;
        recipe.program(&programs::conformance()?, "/bin/conformance")?;
        recipe.file(&programs::shim()?, SHIM);
        recipe.build()
    }

    /// Busybox, `netprobe`, and DPDK's testpmd with the memif driver.
    pub fn testpmd() -> Result<Self> {
        Self::testpmd_with("memif", &[])
    }

    /// The same with the driver of vhost-user front ends.
    pub fn virtio_user() -> Result<Self> {
        // It serves devices on PCI too, so it is linked to that bus.
        Self::testpmd_with("virtio", &["librte_bus_pci.so"])
    }

    fn testpmd_with(driver: &str, more: &[&str]) -> Result<Self> {
        let mut recipe = Recipe::new(&format!("testpmd-{driver}"))?;
        recipe.program(&programs::netprobe()?, "/bin/netprobe")?;
        let testpmd = need::find("dpdk-testpmd").context("dpdk-testpmd is missing")?;
        recipe.program(&testpmd, "/bin/dpdk-testpmd")?;
        let folder = need::driver(driver)
            .with_context(|| format!("the {driver} driver of DPDK is missing"))?;
        // Of the drivers only those that such a port needs: the bus, the pool, the port.
        let port = format!("librte_net_{driver}.so");
        let stems = ["librte_bus_vdev.so", "librte_mempool_ring.so", &port];
        for stem in stems.iter().chain(more) {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.file_name().is_some_and(|it| it.to_string_lossy().starts_with(*stem)) {
                    recipe.program(&path, &path.to_string_lossy())?;
                }
            }
        }
        // Makes testpmd write line by line into a pipe.
        recipe.file(Path::new("/usr/libexec/coreutils/libstdbuf.so"), "/lib/libstdbuf.so");
        recipe.build()
    }

    /// Busybox, `memif-station`, `name-server`, the programs of [`need::SESSION_PROGRAMS`], Debian's Python, and what the suites run in
    /// it: `/programs`.
    pub fn session_programs() -> Result<Self> {
        let mut recipe = Recipe::new("session-programs")?;
        recipe.program(&programs::memif_station()?, "/bin/memif-station")?;
        recipe.program(&programs::name_server()?, "/bin/name-server")?;
        for program in need::SESSION_PROGRAMS {
            let path = need::find(program).with_context(|| format!("{program} is missing"))?;
            recipe.program(&path, &format!("/bin/{program}"))?;
        }
        recipe.program(Path::new(need::PYTHON), need::PYTHON)?;
        recipe.python_library()?;
        // Programs that drop their privileges look for users here.
        for file in ["/etc/passwd", "/etc/group"] {
            recipe.file(Path::new(file), file);
        }
        let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/../sessions/programs/inside");
        recipe.folder(Path::new(scripts), "/programs", &|_| true)?;
        recipe.build()
    }

    /// Busybox, and a VPP that can be a memif client, at its places on the host: that is where it looks for its
    /// plugins.
    ///
    /// # Errors
    /// When a file is missing, or Docker does not take the image.
    pub fn vpp(files: &vpp::Files) -> Result<Self> {
        let mut recipe = Recipe::new("vpp")?;
        let folder = files.library.with_file_name("vpp_plugins");
        let plugins = ["memif_plugin.so", "ping_plugin.so"].map(|it| folder.join(it));
        for path in [&files.daemon, &files.client].into_iter().chain(&plugins) {
            recipe.program(path, &path.to_string_lossy())?;
        }
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

    /// Adds the files below a folder that `wanted` says yes to.
    fn folder(&mut self, host: &Path, inside: &str, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
        for entry in fs::read_dir(host).with_context(|| host.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !wanted(&name) {
                continue;
            }
            let inside = format!("{inside}/{name}");
            if path.is_dir() {
                self.folder(&path, &inside, wanted)?;
            } else {
                self.file(&path, &inside);
            }
        }
        Ok(())
    }

    /// Adds Python's own library, without what no server needs.
    fn python_library(&mut self) -> Result<()> {
        let print = "import sysconfig; print(sysconfig.get_path('stdlib'))";
        let folder = run(Command::new(need::PYTHON).args(["-I", "-c", print]))?;
        let wanted = |name: &str| {
            let left_out = ["__pycache__", "test", "idlelib", "lib2to3", "pydoc_data", "ensurepip"];
            !left_out.contains(&name) && !name.starts_with("config-")
        };
        self.folder(Path::new(&folder), &folder, &wanted)
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
