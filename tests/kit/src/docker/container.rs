//! A container that removes itself.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{docker, inspect};
use crate::process::Process;
use crate::{Image, Network, unique, wait};

/// Where the preload library is in containers.
pub(super) const SHIM: &str = "/usr/lib/dockervpp/libvcl_shim.so";

/// What `docker run` is told.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    flags: Vec<String>,
    command: Vec<String>,
}

impl RunOptions {
    /// Runs `command` instead of idling.
    #[must_use]
    pub fn command(mut self, command: &[&str]) -> Self {
        self.command = command.iter().map(|&it| it.to_owned()).collect();
        self
    }

    /// Adds flags of `docker run`.
    #[must_use]
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&it| it.to_owned()));
        self
    }

    /// Preloads the library that puts sockets onto sessions.
    pub fn shimmed(self) -> Result<Self> {
        let library = crate::programs::shim()?;
        let mount = format!("{}:{SHIM}:ro", library.display());
        Ok(self.flags(&["-v", &mount, "-e", &format!("LD_PRELOAD={SHIM}")]))
    }

    /// Attaches it to `network`.
    #[must_use]
    pub fn on(self, network: &Network) -> Self {
        self.flags(&["--network", network.name()])
    }
}

/// What a command inside a container did.
#[derive(Debug, Clone)]
pub struct Exec {
    /// Whether it succeeded.
    pub success: bool,
    /// What it printed.
    pub output: String,
    /// What it printed to standard error.
    pub errors: String,
}

/// A container.
#[derive(Debug)]
pub struct Container {
    name: String,
    removed: bool,
}

impl Container {
    /// An idle container on `network`.
    pub fn idle(image: &Image, network: &Network) -> Result<Self> {
        Self::run(image, &RunOptions::default().on(network))
    }

    /// `docker run -d`.
    pub fn run(image: &Image, options: &RunOptions) -> Result<Self> {
        let container = Self { name: unique("c"), removed: false };
        container.start_detached(image, options)?;
        Ok(container)
    }

    /// A container that does not exist yet: for tests of a start that is interrupted.
    pub fn named_only() -> Self {
        Self { name: unique("c"), removed: false }
    }

    /// `docker run -d` under this container's name.
    pub fn start_detached(&self, image: &Image, options: &RunOptions) -> Result<String> {
        let arguments = self.arguments(&["run", "-d"], image, options);
        docker(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// `docker run -i` in the foreground: the container's own streams are the process's.
    pub fn foreground(image: &Image, options: &RunOptions) -> Result<(Self, Process)> {
        let container = Self { name: unique("c"), removed: false };
        let arguments = container.arguments(&["run", "-i"], image, options);
        let process = Process::start(&container.name, Command::new("docker").args(arguments))?;
        Ok((container, process))
    }

    fn arguments(&self, verb: &[&str], image: &Image, options: &RunOptions) -> Vec<String> {
        let idle = ["sleep", "1000000"].map(str::to_owned).to_vec();
        let command = if options.command.is_empty() { &idle } else { &options.command };
        let mut arguments: Vec<String> = verb.iter().map(|&it| it.to_owned()).collect();
        arguments.extend(["--name".to_owned(), self.name.clone()]);
        arguments.extend(options.flags.iter().cloned());
        arguments.push(image.name().to_owned());
        arguments.extend(command.iter().cloned());
        arguments
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `docker inspect`.
    pub fn inspect(&self) -> Result<Value> {
        inspect("container", &self.name)
    }

    /// Whether it runs.
    pub fn is_running(&self) -> Result<bool> {
        Ok(self.inspect()?["State"]["Running"] == true)
    }

    /// The host's process id of its first process.
    pub fn pid(&self) -> Result<u32> {
        let all = self.inspect()?;
        let pid = all["State"]["Pid"].as_u64().filter(|&it| it != 0);
        Ok(u32::try_from(pid.context("the container does not run")?)?)
    }

    /// Its IPv4 address on `network`, from Docker.
    pub fn address(&self, network: &Network) -> Result<IpAddr> {
        self.attached(network, "IPAddress")?.parse().context("Docker prints addresses")
    }

    /// Its IPv6 address on `network`, from Docker.
    pub fn address6(&self, network: &Network) -> Result<IpAddr> {
        self.attached(network, "GlobalIPv6Address")?.parse().context("Docker prints addresses")
    }

    /// One text of its attachment to `network`, by Docker's name of it.
    pub fn attached(&self, network: &Network, key: &str) -> Result<String> {
        let all = self.inspect()?;
        let value = all["NetworkSettings"]["Networks"][network.name()][key].as_str();
        let value = value.with_context(|| format!("{}: no {key}", self.name))?;
        Ok(value.to_owned())
    }

    /// `docker exec`, whatever comes of it.
    pub fn exec(&self, command: &[&str]) -> Result<Exec> {
        let output = Command::new("docker").args(["exec", &self.name]).args(command).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Ok(Exec {
            success: output.status.success(),
            output: text(&output.stdout),
            errors: text(&output.stderr),
        })
    }

    /// `docker exec` that must succeed.
    pub fn exec_ok(&self, command: &[&str]) -> Result<String> {
        let done = self.exec(command)?;
        ensure!(done.success, "{}: {command:?}: {} {}", self.name, done.output, done.errors);
        Ok(done.output)
    }

    /// `docker exec -i` in the background.
    pub fn exec_start(&self, command: &[&str]) -> Result<Process> {
        let name = format!("{} in {}", command.join(" "), self.name);
        Process::start(name, Command::new("docker").args(["exec", "-i", &self.name]).args(command))
    }

    /// Pings `to` until one answer comes, at most for `limit`.
    pub fn pings(&self, to: IpAddr, limit: Duration) -> Result<()> {
        let to = to.to_string();
        let what = format!("{} reaches {to}", self.name);
        wait::until_ok(limit, &what, || self.exec_ok(&["ping", "-c", "1", "-W", "1", &to]))?;
        Ok(())
    }

    /// What it wrote, both streams.
    pub fn logs(&self) -> Result<String> {
        let output = Command::new("docker").args(["logs", &self.name]).output()?;
        let both = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&both).into_owned())
    }

    /// `docker rm -f`.
    pub fn remove(mut self) -> Result<()> {
        docker(&["rm", "-f", &self.name])?;
        self.removed = true;
        Ok(())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // One that was never made, or is gone already, needs no removal.
        if !self.removed && docker(&["rm", "-f", &self.name]).is_err() && self.inspect().is_ok() {
            eprintln!("left behind: container {}", self.name);
        }
    }
}
