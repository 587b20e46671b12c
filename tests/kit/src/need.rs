//! What a test needs from the machine.
//!
//! On a developer's machine a test whose needs are not met says so and passes. Under `CI=true` it
//! fails: a pipeline cannot go green by skipping.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;

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
    /// `tcpdump`, to read captures.
    Tcpdump,
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
            Self::Tcpdump => find("tcpdump").is_some(),
        };
        let remedy = match self {
            Self::Root => "needs root (`make test` uses sudo)",
            Self::Docker => "needs a Docker daemon (`scripts/setup.sh test`)",
            Self::Tun => "needs /dev/net/tun (`modprobe tun`)",
            Self::Busybox => "needs busybox-static (`scripts/setup.sh test`)",
            Self::Testpmd => "needs dpdk-testpmd and the memif driver (`scripts/setup.sh test`)",
            Self::Tcpdump => "needs tcpdump (`scripts/setup.sh test`)",
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
    // Past the capture of the test harness, so that a skipped test is seen to be one. A closed
    // standard error is no reason to fail.
    let _ = writeln!(stderr(), "skipped: {reason}");
    false
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
    let lib = Path::new("/usr/lib").join(format!("{}-linux-gnu", env::consts::ARCH)).join("dpdk");
    let folders = fs::read_dir(lib).ok()?.filter_map(Result::ok).map(|it| it.path());
    folders.into_iter().find(|it| it.join("librte_net_memif.so").exists())
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|it| it.status.success())
}
