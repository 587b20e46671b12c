//! What the figures depend on: the machine, its kernel, the versions of all programs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cores::Cores;
use crate::counters;

/// A description. What the machine does not tell is `None`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    pub(crate) cpu: Option<String>,
    /// CPUs that are online.
    pub(crate) cpus: usize,
    /// The CPUs that were used.
    pub(crate) cores: Cores,
    /// Whether those two are hardware threads of one core.
    pub(crate) siblings: bool,
    /// Whether it is a virtual machine.
    #[serde(rename = "virtual_machine")]
    pub(crate) is_virtual: bool,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) kernel: String,
    /// Mitigations in force, `spectre_v2: Retpolines; …`.
    pub(crate) mitigations: Vec<String>,
    /// The frequency governor.
    pub(crate) governor: Option<String>,
    /// What the kernel reads its clock from.
    #[serde(default)]
    pub(crate) clock: Option<String>,
    /// Huge pages that are set aside, and whether the kernel makes them by itself.
    #[serde(default)]
    pub(crate) huge_pages: Option<String>,
    /// Whether the kernel counts cycles and instructions here, and if not why.
    #[serde(default)]
    pub(crate) cycles: Option<String>,
    /// Load averages over 1, 5 and 15 minutes at the start.
    pub(crate) load_before: Option<String>,
    /// The same at the end.
    pub(crate) load_after: Option<String>,
    /// Versions by program.
    pub(crate) versions: Vec<(String, String)>,
    /// What makes the figures doubtful.
    pub(crate) warnings: Vec<String>,
}

impl Machine {
    /// This machine.
    pub(crate) fn describe(cores: Cores) -> Self {
        let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let mut machine = Self {
            cpu: field(&cpu_info, "model name").map(str::to_owned),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            cores,
            siblings: cores.are_siblings(),
            is_virtual: field(&cpu_info, "flags")
                .is_some_and(|it| it.split(' ').any(|flag| flag == "hypervisor")),
            memory_mib: memory(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            mitigations: mitigations(),
            governor: read(&format!(
                "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor",
                cores.first
            )),
            clock: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            huge_pages: huge_pages(),
            cycles: Some(counters::offered()),
            load_before: load(),
            load_after: None,
            versions: versions(),
            warnings: Vec::new(),
        };
        machine.warnings = machine.doubts();
        machine
    }

    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if cfg!(debug_assertions) {
            doubts.push("this is a debug build: use `cargo run --release`".to_owned());
        }
        let load = self.load_before.as_ref().and_then(|it| it.split(' ').next()?.parse().ok());
        if load.is_some_and(|load: f64| load > 0.5) {
            doubts.push("other programs are running: the load average is above 0.5".to_owned());
        }
        if self.siblings {
            doubts.push("both CPUs are hardware threads of one core: see `--cores`".to_owned());
        }
        if self.governor.as_ref().is_some_and(|it| it != "performance") {
            doubts.push("the frequency governor is not `performance`".to_owned());
        }
        doubts
    }
}

/// The load averages now.
pub(crate) fn load() -> Option<String> {
    let text = read("/proc/loadavg")?;
    Some(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|it| it.trim().to_owned())
}

/// The first `name : value` line of /proc/cpuinfo or /proc/meminfo.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn memory() -> Option<u64> {
    let text = read("/proc/meminfo")?;
    let kibibytes: u64 = field(&text, "MemTotal")?.strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes / 1024)
}

fn huge_pages() -> Option<String> {
    let own = read("/sys/kernel/mm/transparent_hugepage/enabled");
    let own = own.and_then(|it| Some(it.split_once('[')?.1.split_once(']')?.0.to_owned()));
    let set_aside = field(&read("/proc/meminfo")?, "HugePages_Total")?.to_owned();
    Some(format!("{set_aside} set aside; by itself: {}", own.as_deref().unwrap_or("not told")))
}

fn mitigations() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return Vec::new();
    };
    let one = |path: &Path| {
        let name = path.file_name()?.to_str()?.to_owned();
        let state = read(path.to_str()?)?;
        (state != "Not affected").then(|| format!("{name}: {state}"))
    };
    let mut found: Vec<_> =
        entries.filter_map(Result::ok).filter_map(|entry| one(&entry.path())).collect();
    found.sort();
    found
}

fn versions() -> Vec<(String, String)> {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let found = [
        ("dockervpp", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("commit", first_line("git", &["-C", repository, "describe", "--always", "--dirty"])),
        ("Docker Engine", first_line("docker", &["version", "--format", "{{.Server.Version}}"])),
        (
            "testpmd",
            first_line("dpkg-query", &["--show", "--showformat", "${Version}", "dpdk-dev"]),
        ),
        ("VPP", kit::vpp::Files::find().map(|it| it.daemon.display().to_string())),
    ];
    found.into_iter().filter_map(|(name, version)| Some((name.to_owned(), version?))).collect()
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc() {
        let text = "processor\t: 0\nmodel name\t: A CPU: fast\nflags\t\t: fpu vme\n";
        assert_eq!(field(text, "model name"), Some("A CPU: fast"));
        assert_eq!(field(text, "flags"), Some("fpu vme"));
        assert_eq!(field(text, "model"), None);
    }

    #[test]
    fn this_machine_has_cpus_and_memory() {
        let machine = Machine::describe(Cores { first: 0, second: 0 });
        assert!(machine.cpus >= 1);
        assert!(machine.memory_mib.is_some_and(|it| it > 0));
    }
}
