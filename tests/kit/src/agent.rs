//! A private `dockervpp serve` for one test: own driver name, state and control socket, so that a
//! real agent on the same machine is never touched.

use std::fs;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::namespace::in_namespace;
use crate::process::{Process, run};
use crate::vpp::{Vpp, VppOptions};
use crate::{Engine, programs, unique, wait};

/// Where Docker looks for drivers.
pub const PLUGIN_FOLDER: &str = "/run/docker/plugins";

/// Longest time from start to the first answer, and from a signal to the end.
const LIMIT: Duration = Duration::from_secs(20);

/// How the agent is started.
#[derive(Debug, Clone, Default)]
pub struct AgentOptions {
    /// Serve Docker here instead of `/run/docker/plugins/<driver>.sock`.
    pub plugin_socket: Option<PathBuf>,
    /// The program, if it is not the one that was built.
    pub program: Option<PathBuf>,
    /// More arguments of `dockervpp serve`.
    pub arguments: Vec<String>,
    /// A process group of its own: what the terminal sends on Ctrl-C goes to its parent alone, which
    /// then ends it in its own time.
    pub own_group: bool,
    /// The network namespace that it runs in, if not that of its parent: one that `ip netns` has made.
    pub namespace: Option<String>,
    /// The engine, if not that under test.
    pub engine: Option<Engine>,
    /// How its VPP behaves, if the engine is VPP.
    pub vpp: VppOptions,
}

impl AgentOptions {
    fn engine(&self) -> Engine {
        self.engine.unwrap_or_else(Engine::under_test)
    }
}

/// An agent; dropping it kills it and removes its sockets and state.
#[derive(Debug)]
pub struct Agent {
    driver: String,
    plugin_socket: PathBuf,
    folder: tempfile::TempDir,
    options: AgentOptions,
    process: Option<Process>,
    /// What it drives, if its engine is VPP.
    pub(crate) vpp: Option<Vpp>,
    /// Output of earlier runs of this agent.
    history: Vec<String>,
}

impl Agent {
    /// Starts an agent under a driver name of its own and waits until it serves.
    pub fn start(options: AgentOptions) -> Result<Self> {
        let driver = unique("driver");
        Self::start_as(&driver, options)
    }

    /// Starts an agent under this driver name.
    pub fn start_as(driver: &str, options: AgentOptions) -> Result<Self> {
        fs::create_dir_all(PLUGIN_FOLDER)?;
        let default = Path::new(PLUGIN_FOLDER).join(format!("{driver}.sock"));
        let vpp = match options.engine() {
            Engine::Vpp => Some(Vpp::start_with(options.vpp.clone(), &[])?),
            Engine::Embedded => None,
        };
        let mut agent = Self {
            driver: driver.to_owned(),
            plugin_socket: options.plugin_socket.clone().unwrap_or(default),
            folder: tempfile::Builder::new().prefix("dvt-").tempdir()?,
            options,
            process: None,
            vpp,
            history: Vec::new(),
        };
        agent.launch()?;
        Ok(agent)
    }

    /// The name to create networks with: `docker network create -d NAME`.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// The socket on which it serves Docker.
    pub fn plugin_socket(&self) -> &Path {
        &self.plugin_socket
    }

    /// The socket of its command line.
    pub fn control_socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// The folder of its state.
    pub fn state_folder(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The folder of its vhost-user sockets.
    pub fn vhost_folder(&self) -> PathBuf {
        self.folder.path().join("vhost-user")
    }

    /// Starts it (again) on the state that it has, and waits until it serves.
    pub fn launch(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the agent runs");
        let program = self.options.program.clone().map_or_else(programs::agent, Ok)?;
        let mut command = in_namespace(self.options.namespace.as_deref(), &program);
        command
            .args(["serve", "--config", "/dev/null", "--engine", self.options.engine().name()])
            .arg("--plugin-socket")
            .arg(&self.plugin_socket)
            .arg("--control-socket")
            .arg(self.control_socket())
            .arg("--state-dir")
            .arg(self.state_folder())
            .arg("--vhost-user-dir")
            .arg(self.vhost_folder())
            .args(["--collect-every", "1", "--log", "debug,hyper=info,netlink=info"])
            .args(&self.options.arguments);
        if let Some(vpp) = &self.vpp {
            command.arg("--vpp-api-socket").arg(vpp.api_socket());
            command.arg("--vpp-stats-socket").arg(vpp.stats_socket());
            command.arg("--vpp-vcl-library").arg(&vpp.files().library);
        }
        if self.options.own_group {
            command.process_group(0);
        }
        let mut process = Process::start(&self.driver, &mut command)?;
        let (plugin, control) = (self.plugin_socket.clone(), self.control_socket());
        let serving = wait::until(LIMIT, "the agent serves", || {
            if let Some(status) = process.exited()? {
                bail!("the agent ended: {status}");
            }
            let connects = |path: &Path| UnixStream::connect(path).is_ok();
            Ok((connects(&plugin) && connects(&control)).then_some(()))
        });
        serving.with_context(|| format!("it wrote:\n{}", process.output().join("\n")))?;
        self.process = Some(process);
        Ok(())
    }

    /// The VPP that it drives, if its engine is VPP.
    pub fn vpp(&mut self) -> Option<&mut Vpp> {
        self.vpp.as_mut()
    }

    /// The same, to be asked only.
    ///
    /// # Errors
    /// When its engine is another.
    pub fn driven(&self) -> Result<&Vpp> {
        self.vpp.as_ref().context("the agent drives no VPP")
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.running()?.pid())
    }

    fn running(&self) -> Result<&Process> {
        self.process.as_ref().context("the agent does not run")
    }

    /// Kills it with SIGKILL: no chance to clean up.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
            self.history.extend(process.output());
        }
    }

    /// Kills it and starts it again.
    pub fn crash(&mut self) -> Result<()> {
        self.kill();
        self.launch()
    }

    /// Asks it to end (SIGTERM) and waits for a clean end.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the agent does not run")?;
        process.signal(Signal::TERM)?;
        let status = process.wait(LIMIT);
        self.history.extend(process.output());
        let status = status?;
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }

    /// All that it wrote, earlier runs included.
    pub fn log(&self) -> Vec<String> {
        let mut all = self.history.clone();
        all.extend(self.process.iter().flat_map(Process::output));
        all
    }

    /// The command line of the agent, pointed at it.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(programs::agent()?);
        command.args(arguments).arg("--control-socket").arg(self.control_socket());
        Ok(command)
    }

    /// `dockervpp show WHAT --json`.
    pub fn show(&self, what: &str) -> Result<Value> {
        let text = run(&mut self.command(&["show", what, "--json"])?)?;
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
    }

    /// The list in `dockervpp show WHAT --json`, be it bare or under a key named `what`.
    pub fn list(&self, what: &str) -> Result<Vec<Value>> {
        let shown = self.show(what)?;
        let list = shown.as_array().or_else(|| shown[what].as_array());
        Ok(list.with_context(|| format!("no list of {what}: {shown}"))?.clone())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
        // SIGKILL leaves the socket file behind; Docker must not find it.
        let _ = fs::remove_file(&self.plugin_socket);
    }
}
