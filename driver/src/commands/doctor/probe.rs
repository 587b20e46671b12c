//! What there is on this host. Nothing is changed: what is opened is closed, what could be created
//! is only asked for.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, MemfdFlags, SealFlags};
use rustix::process::Resource;
use serde::Deserialize;

use super::DoctorArgs;
use crate::control::Info;
use crate::control::client::{Client, ClientError};
use crate::host::command::{self, CommandError};
use crate::host::link::{LinkError, Links};
use crate::host::nft;
use crate::reconcile::DockerView;

/// How long the agent may take to say what it is.
const AGENT_PATIENCE: Duration = Duration::from_secs(5);

/// How long Docker may take to say its version.
const DOCKER_PATIENCE: Duration = Duration::from_secs(5);

/// What an agent says of its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    /// Its name.
    pub name: String,
    /// What is amiss.
    pub warnings: Vec<String>,
}

/// What networks need for their way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideFacts {
    /// Whether the kernel has `nf_tables`; an error when that cannot be asked.
    pub nf_tables: Result<bool, Trouble>,
    /// The command that changes its rules is there.
    pub nft: bool,
    /// The host forwards IPv4 packets; `None` if it does not know IPv4.
    pub forwards_ipv4: Option<bool>,
    /// The host forwards IPv6 packets.
    pub forwards_ipv6: Option<bool>,
    /// What firewalld has to do with the gateways of networks, or why that is not known.
    pub firewalld: Result<Firewalld, Trouble>,
}

/// A firewall that rejects forwarded packets of links that nobody told it of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firewalld {
    /// It has no rules.
    Absent,
    /// None of its rules names a gateway.
    Stranger,
    /// Some rule names gateways.
    Told,
}

impl Firewalld {
    /// From what `nft` lists of its table.
    pub fn of(table: &str) -> Self {
        if table.contains("\"dvg") { Self::Told } else { Self::Stranger }
    }
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Runs as root.
    pub root: bool,
    /// Effective capabilities, as the bits of `CapEff` in `/proc/self/status`.
    pub capabilities: u64,
    /// Whether `/dev/net/tun` opens, or why not.
    pub tun: Result<(), Trouble>,
    /// Whether the kernel makes `dummy` links.
    pub dummy: Result<bool, Trouble>,
    /// Whether the kernel makes veth pairs.
    pub veth: Result<bool, Trouble>,
    /// `kernel.io_uring_disabled`; `None` where the setting does not exist.
    pub io_uring_disabled: Option<u32>,
    /// Whether memory can be sealed against shrinking.
    pub sealing: Result<(), Trouble>,
    /// The directory in which Docker looks for drivers.
    pub plugin_directory: Directory,
    /// The directory of the agent's state.
    pub state_directory: Directory,
    /// Docker's version.
    pub docker: Result<DockerVersion, DockerTrouble>,
    /// The agent.
    pub agent: Agent,
    /// What the agent sees of Docker, if it runs and answers.
    pub agreement: Option<DockerView>,
    /// What the running agent says of its engine.
    pub engine: Option<EngineFacts>,
    /// What networks need for their way out.
    pub outside: OutsideFacts,
    /// The huge pages.
    pub huge_pages: HugePages,
    /// The limits of the agent if it runs, of this process otherwise.
    pub limits: Limits,
    /// The security modules that may restrict containers' sockets.
    pub confinement: Vec<&'static str>,
}

/// The kernel's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Its kind.
    pub kind: io::ErrorKind,
    /// Its words.
    pub words: String,
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self { kind: error.kind(), words: error.to_string() }
    }
}

/// A directory that the agent writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub standing: Standing,
}

/// Whether a directory can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is there and can be written to.
    Writable,
    /// It is there and cannot be written to.
    ReadOnly,
    /// It is not there, and can be created.
    Creatable,
    /// It is not there and cannot be created.
    OutOfReach,
    /// Something else has its name.
    NoDirectory,
}

/// What Docker says of itself (`GET /version`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerVersion {
    /// The engine's version, such as `20.10.24+dfsg1`.
    pub version: String,
    /// The version of its API.
    #[serde(default)]
    pub api_version: String,
}

/// Why Docker did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerTrouble {
    /// Nobody listens.
    NotRunning(PathBuf),
    /// The socket is not ours to open.
    NotPermitted(PathBuf),
    /// It did not answer in time, or not as expected.
    BadAnswer(String),
}

/// The agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// It listens on its socket; with its process id if the kernel tells.
    Running(Option<u32>),
    /// Nobody listens.
    NotRunning(PathBuf),
    /// The socket is not ours to open.
    NotPermitted(PathBuf),
}

/// Huge pages of the default size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HugePages {
    /// Reserved pages.
    pub total: u64,
    /// Unused pages.
    pub free: u64,
    /// Their size in KiB.
    pub size_kib: u64,
}

/// Limits of a process; `None` is unlimited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Whose they are.
    pub whose: &'static str,
    /// Open files (soft limit).
    pub open_files: Option<u64>,
    /// Locked memory in bytes (soft limit).
    pub locked_memory: Option<u64>,
}

/// Looks at everything.
pub fn look(arguments: &DoctorArgs) -> Facts {
    let agent = agent(&arguments.control_socket);
    let plugins = arguments.plugin_socket.parent().unwrap_or(Path::new("/"));
    let info = info(&arguments.control_socket);
    Facts {
        root: rustix::process::geteuid().is_root(),
        capabilities: capabilities(),
        tun: File::options()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
            .map(drop)
            .map_err(Trouble::from),
        dummy: available(Links::dummy_available),
        veth: available(Links::veth_available),
        io_uring_disabled: number_in("/proc/sys/kernel/io_uring_disabled"),
        sealing: sealing().map_err(|errno| io::Error::from(errno).into()),
        plugin_directory: directory(plugins),
        state_directory: directory(&arguments.state_dir),
        docker: docker(&arguments.docker_socket),
        limits: limits(&agent),
        engine: info
            .as_ref()
            .map(|info| EngineFacts { name: info.engine.clone(), warnings: info.warnings.clone() }),
        agreement: info.map(|info| info.docker),
        agent,
        outside: outside(),
        huge_pages: fs::read_to_string("/proc/meminfo")
            .map_or_else(|_| HugePages::default(), |text| parse_huge_pages(&text)),
        confinement: confinement(),
    }
}

fn capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}

fn available(ask: fn(&mut Links) -> Result<bool, LinkError>) -> Result<bool, Trouble> {
    let answer = Links::open().and_then(|mut links| ask(&mut links));
    answer.map_err(|error| error.into_source().into())
}

fn outside() -> OutsideFacts {
    let on = |path: &str| number_in(path).map(|value| value != 0);
    let asked = command::run("nft", &["--version"], "");
    OutsideFacts {
        nf_tables: nft::generation().map(|found| found.is_some()).map_err(Trouble::from),
        nft: !matches!(asked, Err(CommandError::Missing(_))),
        forwards_ipv4: on("/proc/sys/net/ipv4/ip_forward"),
        forwards_ipv6: on("/proc/sys/net/ipv6/conf/all/forwarding"),
        firewalld: firewalld(),
    }
}

fn firewalld() -> Result<Firewalld, Trouble> {
    match nft::table("firewalld") {
        Ok(table) => Ok(table.map_or(Firewalld::Absent, |table| Firewalld::of(&table))),
        // Somebody else says that it is missing.
        Err(CommandError::Missing(_)) => Ok(Firewalld::Absent),
        Err(error) => Err(Trouble { kind: io::ErrorKind::Other, words: error.to_string() }),
    }
}

fn number_in(path: &str) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn sealing() -> rustix::io::Result<()> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create("dockervpp-doctor", flags)?;
    rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK)
}

fn directory(path: &Path) -> Directory {
    let writable =
        |path: &Path| rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    let standing = match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Standing::NoDirectory,
        Ok(_) if writable(path) => Standing::Writable,
        Ok(_) => Standing::ReadOnly,
        Err(_) => {
            let nearest = path.ancestors().skip(1).find(|ancestor| ancestor.exists());
            match nearest {
                Some(ancestor) if ancestor.is_dir() && writable(ancestor) => Standing::Creatable,
                _ => Standing::OutOfReach,
            }
        }
    };
    Directory { path: path.to_owned(), standing }
}

fn docker(socket: &Path) -> Result<DockerVersion, DockerTrouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| DockerTrouble::BadAnswer(error.to_string()))?;
    let client = Client::new(socket);
    let answer = runtime
        .block_on(async { tokio::time::timeout(DOCKER_PATIENCE, client.get("/version")).await });
    match answer {
        Ok(Ok(version)) => Ok(version),
        Ok(Err(ClientError::NotRunning { path, .. })) => Err(DockerTrouble::NotRunning(path)),
        Ok(Err(ClientError::Connect { path, .. })) => Err(DockerTrouble::NotPermitted(path)),
        Ok(Err(ClientError::Refused(words))) => Err(DockerTrouble::BadAnswer(words)),
        Ok(Err(ClientError::Broken(error))) => Err(DockerTrouble::BadAnswer(error.to_string())),
        Ok(Err(ClientError::Answer(error))) => Err(DockerTrouble::BadAnswer(error.to_string())),
        Err(_) => {
            let words = format!("no answer within {} s", DOCKER_PATIENCE.as_secs());
            Err(DockerTrouble::BadAnswer(words))
        }
    }
}

fn info(control_socket: &Path) -> Option<Info> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let client = Client::new(control_socket);
    let asking = async { tokio::time::timeout(AGENT_PATIENCE, client.get("/v1/info")).await };
    runtime.block_on(asking).ok()?.ok()
}

fn agent(socket: &Path) -> Agent {
    match UnixStream::connect(socket) {
        Ok(stream) => {
            let credentials = rustix::net::sockopt::socket_peercred(&stream);
            let process = credentials.ok().map(|peer| peer.pid.as_raw_nonzero().get());
            Agent::Running(process.and_then(|process| u32::try_from(process).ok()))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Agent::NotPermitted(socket.to_owned())
        }
        Err(_) => Agent::NotRunning(socket.to_owned()),
    }
}

/// Reads the huge page lines of `/proc/meminfo`.
fn parse_huge_pages(text: &str) -> HugePages {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    HugePages {
        total: value("HugePages_Total"),
        free: value("HugePages_Free"),
        size_kib: value("Hugepagesize"),
    }
}

fn limits(agent: &Agent) -> Limits {
    let of_agent = match agent {
        Agent::Running(Some(process)) => fs::read_to_string(format!("/proc/{process}/limits")).ok(),
        _ => None,
    };
    if let Some((open_files, locked_memory)) = of_agent.as_deref().and_then(parse_limits) {
        return Limits { whose: "the agent", open_files, locked_memory };
    }
    Limits {
        whose: "this shell",
        open_files: rustix::process::getrlimit(Resource::Nofile).current,
        locked_memory: rustix::process::getrlimit(Resource::Memlock).current,
    }
}

/// The soft limits of open files and locked memory in `/proc/PID/limits`.
fn parse_limits(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let soft = |name: &str| {
        let value =
            text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
        if value == "unlimited" { Some(None) } else { value.parse().ok().map(Some) }
    };
    Some((soft("Max open files")?, soft("Max locked memory")?))
}

fn confinement() -> Vec<&'static str> {
    let says =
        |path: &str, word: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == word);
    let mut found = Vec::new();
    if says("/sys/module/apparmor/parameters/enabled", "Y") {
        found.push("AppArmor");
    }
    if says("/sys/fs/selinux/enforce", "1") {
        found.push("SELinux");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_read() {
        let text = "MemTotal: 1 kB\nHugePages_Total:    16\nHugePages_Free:      3\nHugepagesize:    2048 kB\n";
        assert_eq!(parse_huge_pages(text), HugePages { total: 16, free: 3, size_kib: 2048 });
        assert_eq!(parse_huge_pages("nonsense"), HugePages::default());
    }

    #[test]
    fn limits_are_read() {
        let text = "Limit  Soft Limit  Hard Limit  Units\n\
                    Max locked memory         unlimited            unlimited            bytes\n\
                    Max open files            1024                 524288               files\n";
        assert_eq!(parse_limits(text), Some((Some(1024), None)));
        assert_eq!(parse_limits("nonsense"), None);
    }

    #[test]
    fn directories_are_judged_by_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        let standing = |path: &Path| directory(path).standing;
        assert_eq!(standing(root.path()), Standing::Writable);
        assert_eq!(standing(&root.path().join("a/b")), Standing::Creatable);
        File::create(root.path().join("file")).unwrap();
        assert_eq!(standing(&root.path().join("file")), Standing::NoDirectory);
        assert_eq!(standing(&root.path().join("file/a")), Standing::OutOfReach);
    }

    #[test]
    fn a_socket_nobody_serves_is_not_running() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("absent.sock");
        assert_eq!(docker(&path), Err(DockerTrouble::NotRunning(path.clone())));
        assert_eq!(agent(&path), Agent::NotRunning(path));
    }
}
