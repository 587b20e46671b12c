//! What a test needs from the machine.
//!
//! On a developer's machine a test whose needs are not met says so and passes. Under `CI=true` it
//! fails: a pipeline cannot go green by skipping.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{guest, vpp};

/// Ordinary programs for both ends of a session.
pub const SESSION_PROGRAMS: &[&str] = &[
    "curl",
    "iperf3",
    "nc.openbsd",
    "nginx",
    "redis-benchmark",
    "redis-cli",
    "redis-server",
    "sockperf",
    "socat",
    "wrk",
];

/// Debian's own Python: others on the path are not made of files that an image can take.
pub const PYTHON: &str = "/usr/bin/python3";

/// One need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// User id 0.
    Root,
    /// A Docker daemon that answers.
    Docker,
    /// `/dev/net/tun`.
    Tun,
    /// A statically linked busybox, the stuff of the test images.
    Busybox,
    /// `dpdk-testpmd` with the memif driver.
    Testpmd,
    /// `dpdk-testpmd` with the driver of vhost-user front ends.
    VirtioUser,
    /// QEMU, and a kernel for its guests.
    Guest,
    /// `tcpdump`, to read captures.
    Tcpdump,
    /// The ordinary programs of [`SESSION_PROGRAMS`], and Python.
    SessionPrograms,
    /// `dpkg`, and what `scripts/deb.sh` makes packages with.
    Dpkg,
    /// systemd, on a host whose programs are all below `/usr`.
    Systemd,
    /// Compose, as a plugin of the `docker` command or as `docker-compose`.
    Compose,
    /// `docker-registry`, from which plugins are installed.
    Registry,
    /// `python3`, which has every socket call.
    Python,
    /// A compiler for musl.
    Musl,
    /// The command `openssl`.
    Openssl,
    /// VPP and its libvppcom.
    Vpp,
    /// VPP's API definitions, and its Python client.
    VppDefinitions,
}

impl Need {
    /// Why the machine does not meet it, with the remedy.
    pub fn missing(self) -> Option<&'static str> {
        let met = match self {
            Self::Root => rustix::process::geteuid().is_root(),
            Self::Docker => succeeds("docker", &["info"]),
            Self::Tun => OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_ok(),
            Self::Busybox => static_busybox().is_some(),
            Self::Testpmd => find("dpdk-testpmd").is_some() && memif_driver().is_some(),
            Self::VirtioUser => find("dpdk-testpmd").is_some() && driver("virtio").is_some(),
            Self::Guest => guest::can_boot(),
            Self::Tcpdump => find("tcpdump").is_some(),
            Self::Dpkg => {
                ["dpkg", "dpkg-deb", "dpkg-architecture", "objdump", "deb-systemd-helper"]
                    .iter()
                    .all(|it| find(it).is_some())
            }
            Self::Systemd => {
                Path::new("/usr/lib/systemd/systemd").is_file() && Path::new("/lib").is_symlink()
            }
            Self::Compose => {
                find("docker-compose").is_some() || succeeds("docker", &["compose", "version"])
            }
            Self::Registry => find("docker-registry").is_some(),
            Self::Python => succeeds("python3", &["--version"]),
            Self::SessionPrograms => {
                SESSION_PROGRAMS.iter().all(|it| find(it).is_some()) && Path::new(PYTHON).exists()
            }
            Self::Musl => find("musl-gcc").is_some(),
            Self::Openssl => find("openssl").is_some(),
            Self::Vpp => vpp::Files::find().is_some_and(|it| it.load()),
            Self::VppDefinitions => {
                vpp::definitions().is_some() && succeeds("python3", &["-c", "import vpp_papi"])
            }
        };
        let remedy = match self {
            Self::Root => "needs root (`make test` uses sudo)",
            Self::Docker => "needs a Docker daemon (`scripts/setup.sh test`)",
            Self::Tun => "needs /dev/net/tun (`modprobe tun`)",
            Self::Busybox => "needs busybox-static (`scripts/setup.sh test`)",
            Self::Testpmd => "needs dpdk-testpmd and the memif driver (`scripts/setup.sh test`)",
            Self::VirtioUser => {
                "needs dpdk-testpmd and the virtio driver (`scripts/setup.sh test`)"
            }
            Self::Guest => {
                "needs an x86-64 with QEMU and a kernel for its guests (`scripts/setup.sh test`)"
            }
            Self::Tcpdump => "needs tcpdump (`scripts/setup.sh test`)",
            Self::SessionPrograms => {
                "needs iperf3, redis, nginx, wrk, sockperf, … (`scripts/setup.sh test`)"
            }
            Self::Dpkg => "needs dpkg, dpkg-dev, binutils, init-system-helpers",
            Self::Systemd => "needs systemd on a merged /usr (`scripts/setup.sh test`)",
            Self::Compose => "needs docker-compose (`scripts/setup.sh test`)",
            Self::Registry => "needs docker-registry (`scripts/setup.sh test`)",
            Self::Python => "needs python3 (`scripts/setup.sh test`)",
            Self::Musl => "needs musl-gcc (`scripts/setup.sh test`)",
            Self::Openssl => "needs openssl (`scripts/setup.sh test`)",
            Self::VppDefinitions => {
                "needs DOCKERVPP_VPP_API_DIR=/folder/of/api.json/files, and python3 with vpp_papi"
            }
            Self::Vpp => {
                "needs a VPP that loads, with libvppcom, in /usr or /opt/vpp, or DOCKERVPP_TEST_VCL=/path/of/libvppcom.so"
            }
        };
        (!met).then_some(remedy)
    }
}

/// Whether all needs are met. If not, says `skipped: …` and returns `false`.
///
/// # Panics
/// If a need is not met and `CI=true` is set.
pub fn met(needs: &[Need]) -> bool {
    let Some(reason) = needs.iter().find_map(|need| need.missing()) else { return true };
    assert!(
        env::var_os("CI").is_none_or(|it| it != "true"),
        "under CI nothing is skipped: {reason}"
    );
    skip(reason);
    false
}

/// As [`met`], for what distributions do not bring and pipelines may lack: skipped under CI too.
pub fn offered(needs: &[Need]) -> bool {
    let missing = needs.iter().find_map(|need| need.missing());
    missing.inspect(|reason| skip(reason)).is_none()
}

pub(crate) fn skip(reason: &str) {
    // Past the capture of the test harness, so that a skipped test is seen to be one. A closed
    // standard error is no reason to fail.
    let _ = writeln!(stderr(), "skipped: {reason}");
}

/// The path of a program.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let extra = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(extra).map(|it| it.join(program)).find(|it| it.is_file())
}

/// A busybox that needs no library.
pub fn static_busybox() -> Option<PathBuf> {
    find("busybox").filter(|path| !succeeds("ldd", &[&path.to_string_lossy()]))
}

/// The folder from which DPDK loads its drivers, when the memif driver is there.
pub fn memif_driver() -> Option<PathBuf> {
    driver("memif")
}

/// The folder from which DPDK loads its drivers, when this driver of ports is there.
pub fn driver(name: &str) -> Option<PathBuf> {
    let file = format!("librte_net_{name}.so");
    let lib = Path::new("/usr/lib").join(format!("{}-linux-gnu", env::consts::ARCH)).join("dpdk");
    let folders = fs::read_dir(lib).ok()?.filter_map(Result::ok).map(|it| it.path());
    folders.into_iter().find(|it| it.join(&file).exists())
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|it| it.status.success())
}
