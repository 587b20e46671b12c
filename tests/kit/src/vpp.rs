//! A VPP of the test's own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::namespace::in_namespace;
use crate::process::Process;
use crate::wait;

/// Names a libvppcom, and by its place a VPP.
const LIBRARY: &str = "DOCKERVPP_TEST_VCL";

/// Says how many worker threads each VPP has beside its main thread: none unless it is set.
const WORKERS: &str = "DOCKERVPP_TEST_VPP_WORKERS";

/// Names a folder with VPP's API definitions.
const DEFINITIONS: &str = "DOCKERVPP_VPP_API_DIR";

/// The worker threads that each VPP has.
///
/// # Panics
/// When the environment says what is no number.
pub fn workers() -> u32 {
    env::var(WORKERS).map_or(0, |it| it.parse().expect("a number of worker threads"))
}

/// The folder with VPP's API definitions (`*.api.json`, also in folders in it) that the environment names.
pub fn definitions() -> Option<PathBuf> {
    env::var_os(DEFINITIONS).map(PathBuf::from).filter(|it| it.is_dir())
}

/// How long VPP may take to start.
const START: Duration = Duration::from_secs(30);

/// How long VPP may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a VPP is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The daemon.
    pub daemon: PathBuf,
    /// The command line's client.
    pub client: PathBuf,
    /// Its libvppcom.
    pub library: PathBuf,
}

impl Files {
    /// Those that the environment names, or those of the usual places.
    pub fn find() -> Option<Self> {
        if let Some(library) = env::var_os(LIBRARY) {
            return Self::of(library.into());
        }
        let triple = format!("{}-linux-gnu", env::consts::ARCH);
        let roots = ["/opt/vpp/lib", "/usr/lib", "/usr/local/lib"].map(PathBuf::from);
        let folders = roots.iter().flat_map(|root| [root.join(&triple), root.clone()]);
        folders.map(|folder| folder.join("libvppcom.so")).find_map(Self::of)
    }

    /// Whether all of it can be loaded: what is left of a VPP whose libraries are gone cannot.
    pub fn load(&self) -> bool {
        let files = [&self.daemon, &self.client, &self.library];
        Command::new("ldd").args(files).output().is_ok_and(|it| {
            it.status.success() && !String::from_utf8_lossy(&it.stdout).contains("not found")
        })
    }

    /// The VPP that a library belongs to: in `bin` beside the `lib` that it is in.
    fn of(library: PathBuf) -> Option<Self> {
        let root = library.ancestors().find(|it| it.join("bin/vpp").is_file())?;
        let (daemon, client) = (root.join("bin/vpp"), root.join("bin/vppctl"));
        (library.is_file() && client.is_file()).then_some(Self { daemon, client, library })
    }
}

/// How a VPP behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VppOptions {
    /// It sleeps after each of its rounds, however much there is to do (`poll-sleep-usec`). Without, v26.06 sleeps when there
    /// is nothing to do, unless a node of it polls.
    pub sleeps: bool,
    /// The CPU of its main thread; `None` for the kernel to choose.
    pub main_cpu: Option<usize>,
    /// Its network namespace, one that `ip netns` has made; `None` is that of this process.
    pub namespace: Option<String>,
}

impl Default for VppOptions {
    fn default() -> Self {
        Self { sleeps: true, main_cpu: None, namespace: None }
    }
}

/// A VPP that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Vpp {
    process: Process,
    files: Files,
    folder: TempDir,
    options: VppOptions,
}

impl Vpp {
    /// Starts one that sleeps between its rounds, with the host stack and app sockets, and has it do
    /// `commands`.
    ///
    /// # Errors
    /// When it is not found, does not start, or does not take a command.
    pub fn start(commands: &[&str]) -> Result<Self> {
        Self::start_with(VppOptions::default(), commands)
    }

    /// Starts one that behaves otherwise, and has it do `commands`.
    ///
    /// # Errors
    /// As [`Vpp::start`].
    pub fn start_with(options: VppOptions, commands: &[&str]) -> Result<Self> {
        let files = Files::find().context("there is no VPP")?;
        // Paths of sockets are short.
        let folder = tempfile::Builder::new().prefix("vpp").tempdir_in("/tmp")?;
        let process = launch(&files, folder.path(), &options)?;
        let vpp = Self { process, files, folder, options };
        vpp.until_it_answers()?;
        for command in commands {
            vpp.cli(command)?;
        }
        Ok(vpp)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its files.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The app socket of the default namespace.
    pub fn app_socket(&self) -> String {
        self.folder.path().join("app_ns_sockets/default").display().to_string()
    }

    /// The socket of the binary API.
    pub fn api_socket(&self) -> PathBuf {
        self.folder.path().join("api.sock")
    }

    /// The socket that gives the counters' memory away.
    pub fn stats_socket(&self) -> PathBuf {
        self.folder.path().join("stats.sock")
    }

    /// Does a command of the command line and returns what it printed.
    ///
    /// # Errors
    /// When VPP does not answer.
    pub fn cli(&self, command: &str) -> Result<String> {
        let socket = self.folder.path().join("cli.sock");
        let mut client = Command::new("timeout");
        client.arg(PATIENCE.as_secs().to_string()).arg(&self.files.client);
        let output = client.arg("-s").arg(socket).arg(command).output()?;
        ensure!(
            output.status.success(),
            "vppctl {command}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Stops it where it is until [`Vpp::resume`]: it takes no CPU time and answers nobody.
    ///
    /// # Errors
    /// When it is gone.
    pub fn pause(&self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Has it go on.
    ///
    /// # Errors
    /// As [`Vpp::pause`].
    pub fn resume(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Vpp::kill`]: it has forgotten all that it was told.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        self.process = launch(&self.files, self.folder.path(), &self.options)?;
        self.until_it_answers()
    }

    /// Waits until it has nothing but what it was born with.
    ///
    /// # Errors
    /// When something is left, saying what.
    pub fn bare(&self) -> Result<()> {
        wait::until_ok(START, "nothing is left in VPP", || {
            let interfaces = self.cli("show interface")?;
            // A heading, and `local0`, which has every VPP; counters are below their interfaces.
            let names = interfaces.lines().skip(1).filter(|line| !line.starts_with(' '));
            ensure!(names.count() == 1, "{interfaces}");
            let domains = self.cli("show bridge-domain")?;
            ensure!(domains.contains("no bridge-domains"), "{domains}");
            for command in ["show ip table", "show ip6 table"] {
                let tables = self.cli(command)?;
                ensure!(tables.lines().count() == 1, "{tables}");
            }
            let sockets = self.cli("show memif")?;
            ensure!(!sockets.contains("dockervpp"), "{sockets}");
            let namespaces = self.cli("show app ns")?;
            ensure!(namespaces.lines().count() == 2, "{namespaces}");
            Ok(())
        })
    }

    fn until_it_answers(&self) -> Result<()> {
        let answers = wait::until_ok(START, "VPP answers", || self.cli("show version"));
        answers.map(drop).with_context(|| self.process.output().join("\n"))
    }

    /// What is to be known of it after a failure: what it wrote, and its own log while it runs.
    pub fn account(&self) -> String {
        let log = self.cli("show log").unwrap_or_else(|error| format!("no log: {error:#}"));
        format!("{}\n{log}", self.log().join("\n"))
    }

    /// What it wrote since it was started.
    pub fn log(&self) -> Vec<String> {
        self.process.output()
    }
}

fn launch(files: &Files, folder: &Path, options: &VppOptions) -> Result<Process> {
    let configuration = folder.join("startup.conf");
    fs::write(&configuration, startup(folder, options))?;
    let mut command = in_namespace(options.namespace.as_deref(), &files.daemon);
    command.arg("-c").arg(&configuration);
    Process::start("vpp", &mut command)
}

fn startup(folder: &Path, options: &VppOptions) -> String {
    let folder = folder.display();
    let sleep = if options.sleeps { " poll-sleep-usec 100" } else { "" };
    let core = options.main_cpu.map_or_else(String::new, |it| format!(" main-core {it}"));
    let workers = match workers() {
        0 => String::new(),
        count => format!(" workers {count}"),
    };
    let cpu = format!("cpu {{{core}{workers} }}\n");
    format!(
        "unix {{ nodaemon nosyslog runtime-dir {folder} cli-listen {folder}/cli.sock{sleep} }}\n\
         {cpu}\
         api-segment {{ prefix {} }}\n\
         socksvr {{ socket-name {folder}/api.sock }}\n\
         statseg {{ socket-name {folder}/stats.sock size 16M }}\n\
         session {{ enable use-app-socket-api use-private-rx-mqs }}\n\
         tcp {{ closewait-time 600 finwait1-time 5 finwait2-time 5 }}\n\
         buffers {{ buffers-per-numa 16384 }}\n\
         plugins {{ plugin dpdk_plugin.so {{ disable }} }}\n",
        folder.to_string().trim_start_matches('/').replace('/', "-"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_is_found_beside_the_library() {
        let root = tempfile::tempdir().unwrap();
        let library = root.path().join("lib/x/libvppcom.so");
        for file in ["bin/vpp", "bin/vppctl", "lib/x/libvppcom.so"] {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let files = Files::of(library.clone()).unwrap();
        assert_eq!((files.library, files.daemon), (library, root.path().join("bin/vpp")));
        assert_eq!(Files::of(root.path().join("lib/x/libvppcom.so.2")), None);
        assert!(!Files::of(root.path().join("lib/x/libvppcom.so")).unwrap().load(), "empty files");
    }

    #[test]
    fn what_the_linker_finds_all_of_can_be_loaded() {
        let shell = PathBuf::from("/bin/sh");
        let files = Files { daemon: shell.clone(), client: shell.clone(), library: shell };
        assert!(files.load());
    }
}
