//! What the facts mean. Pure.

mod agreement;
mod engine;
mod outside;

use std::io;

use serde::Serialize;

use super::probe::{
    Agent, Directory, DockerTrouble, DockerVersion, Facts, HugePages, Limits, Standing, Trouble,
};

/// The oldest Docker Engine that the driver is tested with.
const OLDEST_DOCKER: (u32, u32) = (20, 10);

/// An endpoint holds about ten descriptors: this is enough for a hundred.
const OPEN_FILES: u64 = 1024;

const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const CAP_SYS_ADMIN: u32 = 21;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Info,
    /// Something works less well.
    Warning,
    /// The agent cannot do its work.
    Problem,
}

impl Verdict {
    /// Its name in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at; stable, for scripts.
    pub check: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What that means for the user.
    pub means: Option<String>,
    /// The command that helps.
    pub fix: Option<String>,
}

impl Finding {
    /// A finding that says only what was seen.
    pub fn new(verdict: Verdict, check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, verdict, seen: seen.into(), means: None, fix: None }
    }

    /// All is well.
    pub fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, check, seen)
    }

    fn info(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Verdict::Info, check, seen)
    }

    fn warning(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Verdict::Warning, check, seen)
    }

    fn problem(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(Verdict::Problem, check, seen)
    }

    /// Adds what it means.
    #[must_use]
    pub fn means(self, means: impl Into<String>) -> Self {
        Self { means: Some(means.into()), ..self }
    }

    /// Adds the command that helps.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

/// Judges everything, in the order in which a user would repair it.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![
        privileges(facts),
        tun(&facts.tun),
        dummy(&facts.dummy),
        veth(&facts.veth, facts.capabilities),
        io_uring(facts.io_uring_disabled),
        sealing(&facts.sealing),
        docker(&facts.docker),
        writable("plugin-directory", &facts.plugin_directory, facts.root),
        writable("state-directory", &facts.state_directory, facts.root),
        agent(&facts.agent),
        open_files(&facts.limits),
        locked_memory(&facts.limits),
        huge_pages(facts.huge_pages),
    ];
    findings.extend(outside::judge(&facts.outside));
    findings.extend(facts.engine.iter().flat_map(engine::judge));
    findings.extend(facts.agreement.as_ref().map(agreement::judge));
    findings.extend(facts.confinement.iter().map(|module| confinement(module)));
    findings
}

fn privileges(facts: &Facts) -> Finding {
    let has = |capability: u32| facts.capabilities & (1 << capability) != 0;
    let needed = [(CAP_NET_ADMIN, "CAP_NET_ADMIN"), (CAP_SYS_ADMIN, "CAP_SYS_ADMIN")];
    let missing: Vec<_> =
        needed.iter().filter(|(bit, _)| !has(*bit)).map(|(_, name)| *name).collect();
    let who = if facts.root { "root" } else { "an ordinary user" };
    if missing.is_empty() {
        return Finding::ok("privileges", format!("{who} with CAP_NET_ADMIN and CAP_SYS_ADMIN"));
    }
    let fix = if facts.root {
        "give the container or service that runs this CAP_NET_ADMIN and CAP_SYS_ADMIN (`docker run \
         --privileged`)"
    } else {
        "sudo dockervpp doctor"
    };
    Finding::problem("privileges", format!("{who} without {}", missing.join(" and ")))
        .means("the agent cannot make links or enter containers, and some checks below see less")
        .fix(fix)
}

fn tun(tun: &Result<(), Trouble>) -> Finding {
    match tun {
        Ok(()) => Finding::ok("tun", "/dev/net/tun opens"),
        Err(trouble) if trouble.kind == io::ErrorKind::PermissionDenied => {
            Finding::problem("tun", "/dev/net/tun is not ours to open")
                .means(NO_TAPS)
                .fix("run as root; in a container: `--device /dev/net/tun`")
        }
        Err(trouble) => Finding::problem("tun", format!("/dev/net/tun: {}", trouble.words))
            .means(NO_TAPS)
            .fix("modprobe tun"),
    }
}

const NO_TAPS: &str = "endpoints of kind `auto` cannot be attached; those of kind `userspace` need `dummy` links, and \
                       their programs then know no names of the outside";

fn dummy(dummy: &Result<bool, Trouble>) -> Finding {
    match dummy {
        Ok(true) => Finding::ok("dummy", "the kernel makes `dummy` links"),
        Ok(false) => Finding::info("dummy", "the kernel makes no `dummy` links")
            .means(
                "endpoints of kind `userspace` on networks with `tcp=vcl` get a TAP that nobody serves: it drops \
                 what is sent to it as well, but shows no carrier",
            )
            .fix("modprobe dummy"),
        Err(trouble) => Finding::info("dummy", format!("cannot be asked for: {}", trouble.words)),
    }
}

fn veth(veth: &Result<bool, Trouble>, capabilities: u64) -> Finding {
    let refused = "endpoints of kind `veth` cannot be attached; those of kind `auto` can";
    match veth {
        Ok(true) if capabilities & (1 << CAP_NET_RAW) == 0 => {
            Finding::info("veth", "packet sockets need CAP_NET_RAW")
                .means(refused)
                .fix("give the container or service that runs this CAP_NET_RAW")
        }
        Ok(true) => Finding::ok("veth", "the kernel makes veth pairs and packet sockets"),
        Ok(false) => Finding::info("veth", "the kernel makes no veth pairs")
            .means(refused)
            .fix("modprobe veth"),
        Err(trouble) => Finding::info("veth", format!("cannot be asked for: {}", trouble.words)),
    }
}

fn io_uring(disabled: Option<u32>) -> Finding {
    let slower = "a TAP costs a system call for each packet instead of one for each batch";
    match disabled {
        Some(0) => Finding::ok("io-uring", "allowed for all"),
        Some(1) => Finding::ok("io-uring", "allowed for privileged programs, as the agent is one"),
        Some(level) => Finding::warning("io-uring", format!("kernel.io_uring_disabled is {level}"))
            .means(slower)
            .fix("sysctl -w kernel.io_uring_disabled=1"),
        None => Finding::info("io-uring", "the kernel has no switch for it (older than 6.6)"),
    }
}

fn sealing(sealing: &Result<(), Trouble>) -> Finding {
    match sealing {
        Ok(()) => Finding::ok("sealing", "shared memory can be sealed"),
        Err(trouble) => {
            Finding::problem("sealing", format!("memfd_create or sealing: {}", trouble.words))
                .means("memif needs sealed memory, so that a container cannot crash the agent")
                .fix(
                    "use a kernel with CONFIG_MEMFD_CREATE, and no seccomp profile that forbids it",
                )
        }
    }
}

fn docker(docker: &Result<DockerVersion, DockerTrouble>) -> Finding {
    match docker {
        Ok(found) => docker_version(found),
        Err(DockerTrouble::NotRunning(path)) => {
            Finding::problem("docker", format!("nobody listens on {}", path.display()))
                .means("there is no Docker Engine to drive")
                .fix("systemctl start docker (or name its socket with --docker-socket)")
        }
        Err(DockerTrouble::NotPermitted(path)) => {
            Finding::warning("docker", format!("{} is not ours to open", path.display()))
                .means("its version cannot be checked")
                .fix("sudo dockervpp doctor")
        }
        Err(DockerTrouble::BadAnswer(words)) => Finding::warning("docker", words.clone())
            .means("its version cannot be checked")
            .fix("docker version"),
    }
}

fn docker_version(found: &DockerVersion) -> Finding {
    let seen = format!("Docker Engine {} (API {})", found.version, found.api_version);
    let (major, minor) = OLDEST_DOCKER;
    match parse_version(&found.version) {
        Some(version) if version >= OLDEST_DOCKER => Finding::ok("docker", seen),
        Some(_) => Finding::problem("docker", seen)
            .means(format!("the driver needs Docker Engine {major}.{minor} or newer"))
            .fix("apt-get install docker.io, or see https://docs.docker.com/engine/install"),
        None => Finding::warning("docker", seen).means("this version's number cannot be read"),
    }
}

/// Major and minor number of a version such as `20.10.24+dfsg1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(['.', '+', '-', '~']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn writable(check: &'static str, directory: &Directory, root: bool) -> Finding {
    let path = directory.path.display();
    match directory.standing {
        Standing::ReadOnly | Standing::OutOfReach if !root => {
            Finding::info(check, format!("{path} is for root only, and so is the agent"))
        }
        Standing::Writable => Finding::ok(check, path.to_string()),
        Standing::Creatable => {
            Finding::ok(check, format!("{path} is not there yet; the agent creates it"))
        }
        Standing::ReadOnly => Finding::problem(check, format!("{path} cannot be written to"))
            .means("the agent cannot start")
            .fix(format!("run as root, or mount {path} writable")),
        Standing::OutOfReach => Finding::problem(check, format!("{path} cannot be created"))
            .means("the agent cannot start")
            .fix(format!("sudo mkdir -p {path}")),
        Standing::NoDirectory => Finding::problem(check, format!("{path} is not a directory"))
            .means("the agent cannot start")
            .fix(format!("sudo mv {path} {path}.old")),
    }
}

fn agent(agent: &Agent) -> Finding {
    match agent {
        Agent::Running(Some(process)) => Finding::ok("agent", format!("runs as process {process}")),
        Agent::Running(None) => Finding::ok("agent", "runs"),
        Agent::NotRunning(path) => {
            Finding::warning("agent", format!("nobody listens on {}", path.display()))
                .means("Docker cannot use networks of this driver")
                .fix("systemctl start dockervpp (or run `dockervpp serve`)")
        }
        Agent::NotPermitted(path) => {
            Finding::warning("agent", format!("{} is not ours to open", path.display()))
                .means("whether it runs cannot be checked")
                .fix("sudo dockervpp doctor")
        }
    }
}

fn open_files(limits: &Limits) -> Finding {
    let whose = limits.whose;
    match limits.open_files {
        None => Finding::ok("open-files", format!("unlimited for {whose}")),
        Some(limit) if limit > OPEN_FILES => {
            Finding::ok("open-files", format!("up to {limit} for {whose}"))
        }
        Some(limit) => Finding::warning("open-files", format!("up to {limit} for {whose}"))
            .means("enough for about a hundred endpoints")
            .fix("`LimitNOFILE=65536` in the agent's systemd unit, or `ulimit -n 65536` before it"),
    }
}

fn locked_memory(limits: &Limits) -> Finding {
    let whose = limits.whose;
    let seen = match limits.locked_memory {
        None => format!("unlimited for {whose}"),
        Some(bytes) => format!("up to {} KiB for {whose}", bytes / 1024),
    };
    Finding::info("locked-memory", seen)
}

fn huge_pages(pages: HugePages) -> Finding {
    let seen = match pages {
        HugePages { total: 0, .. } => "none reserved; the agent needs none, DPDK may".to_owned(),
        HugePages { total, free, size_kib } => {
            format!("{free} of {total} free, {size_kib} KiB each")
        }
    };
    Finding::info("huge-pages", seen)
}

fn confinement(module: &str) -> Finding {
    let seen = format!("{module} is active");
    let finding = Finding::info("confinement", seen);
    if module == "SELinux" {
        return finding
            .means("its policy may keep containers from connecting to the agent's sockets")
            .fix("ausearch -m avc -c dockervpp");
    }
    finding.means("Docker's own profile lets containers connect to the agent's sockets")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::probe::{Firewalld, OutsideFacts};
    use super::*;

    fn directory(standing: Standing) -> Directory {
        Directory { path: PathBuf::from("/d"), standing }
    }

    fn good() -> Facts {
        Facts {
            root: true,
            capabilities: u64::MAX,
            tun: Ok(()),
            dummy: Ok(true),
            veth: Ok(true),
            io_uring_disabled: Some(0),
            sealing: Ok(()),
            plugin_directory: directory(Standing::Writable),
            state_directory: directory(Standing::Creatable),
            docker: Ok(version("28.3.0")),
            agent: Agent::Running(Some(7)),
            agreement: None,
            engine: None,
            outside: OutsideFacts {
                nf_tables: Ok(true),
                nft: true,
                forwards_ipv4: Some(true),
                forwards_ipv6: Some(true),
                firewalld: Ok(Firewalld::Absent),
            },
            huge_pages: HugePages::default(),
            limits: Limits { whose: "the agent", open_files: Some(65_536), locked_memory: None },
            confinement: Vec::new(),
        }
    }

    fn version(text: &str) -> DockerVersion {
        DockerVersion { version: text.to_owned(), api_version: "1.41".to_owned() }
    }

    fn trouble(kind: io::ErrorKind) -> Trouble {
        io::Error::from(kind).into()
    }

    /// The findings that a change of a good host brings about.
    fn after(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
        let mut facts = good();
        change(&mut facts);
        let before = judge(&good());
        judge(&facts).into_iter().filter(|finding| !before.contains(finding)).collect()
    }

    fn verdicts(findings: &[Finding]) -> Vec<(&'static str, Verdict)> {
        findings.iter().map(|finding| (finding.check, finding.verdict)).collect()
    }

    #[test]
    fn a_good_host_has_nothing_to_repair() {
        assert!(judge(&good()).iter().all(|finding| finding.verdict <= Verdict::Info));
    }

    #[test]
    fn everything_that_is_not_well_says_what_helps() {
        let refused = || trouble(io::ErrorKind::PermissionDenied);
        let absent = || PathBuf::from("/absent");
        let worst = after(|facts| {
            facts.capabilities = 0;
            facts.tun = Err(trouble(io::ErrorKind::NotFound));
            facts.dummy = Ok(false);
            facts.veth = Ok(false);
            facts.io_uring_disabled = Some(2);
            facts.sealing = Err(refused());
            facts.plugin_directory = directory(Standing::ReadOnly);
            facts.state_directory = directory(Standing::NoDirectory);
            facts.docker = Err(DockerTrouble::NotRunning(absent()));
            facts.agent = Agent::NotRunning(absent());
            facts.limits.open_files = Some(256);
        });
        assert_eq!(
            verdicts(&worst),
            [
                ("privileges", Verdict::Problem),
                ("tun", Verdict::Problem),
                ("dummy", Verdict::Info),
                ("veth", Verdict::Info),
                ("io-uring", Verdict::Warning),
                ("sealing", Verdict::Problem),
                ("docker", Verdict::Problem),
                ("plugin-directory", Verdict::Problem),
                ("state-directory", Verdict::Problem),
                ("agent", Verdict::Warning),
                ("open-files", Verdict::Warning),
            ]
        );
        assert!(worst.iter().all(|finding| finding.means.is_some() && finding.fix.is_some()));
    }

    #[test]
    fn one_missing_capability_is_named() {
        let findings = after(|facts| facts.capabilities = 1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW);
        assert_eq!(verdicts(&findings), [("privileges", Verdict::Problem)]);
        assert!(findings[0].seen.ends_with("without CAP_SYS_ADMIN"), "{}", findings[0].seen);
    }

    #[test]
    fn io_uring_for_privileged_programs_is_enough() {
        let findings = after(|facts| facts.io_uring_disabled = Some(1));
        assert_eq!(verdicts(&findings), [("io-uring", Verdict::Ok)]);
    }

    #[test]
    fn docker_is_supported_from_20_10_on() {
        for (text, verdict) in [
            ("19.03.15", Verdict::Problem),
            ("20.10.24+dfsg1", Verdict::Ok),
            ("20.10.0-rc1", Verdict::Ok),
            ("29.0.0", Verdict::Ok),
            ("v9", Verdict::Warning),
        ] {
            assert_eq!(docker_version(&version(text)).verdict, verdict, "{text}");
        }
    }

    #[test]
    fn a_docker_that_cannot_be_asked_is_no_problem_of_the_host() {
        for trouble in [
            DockerTrouble::NotPermitted(PathBuf::from("/s")),
            DockerTrouble::BadAnswer("no answer".to_owned()),
        ] {
            assert_eq!(docker(&Err(trouble)).verdict, Verdict::Warning);
        }
    }

    #[test]
    fn what_only_root_can_see_is_not_held_against_the_host() {
        let findings = after(|facts| {
            facts.root = false;
            facts.plugin_directory = directory(Standing::OutOfReach);
        });
        assert!(findings.iter().all(|finding| finding.verdict <= Verdict::Info), "{findings:?}");
    }

    #[test]
    fn security_modules_are_mentioned() {
        let findings = after(|facts| facts.confinement = vec!["AppArmor", "SELinux"]);
        assert_eq!(verdicts(&findings), [("confinement", Verdict::Info); 2]);
    }
}
