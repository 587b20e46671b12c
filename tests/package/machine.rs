//! A machine with systemd as its first process: a container whose programs are those of this host, so that nothing has
//! to be brought. It has its own network, processes, settings and packages.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kit::docker::RunOptions;
use kit::process::Process;
use kit::{Container, Image, wait};
use serde_json::Value;

const SOON: Duration = Duration::from_mins(1);

/// What systemd, the agent and a test need; the agent has what its unit leaves it.
const CAPABILITIES: [&str; 4] = ["SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE"];

/// Where Docker would speak to the agent.
const PLUGIN: &str = "/run/docker/plugins/dockervpp.sock";

/// A running machine; dropping it ends it.
pub(crate) struct Machine(Container);

impl Machine {
    /// Starts one that has a folder of the host as `/share`, and waits until all is started there.
    pub(crate) fn boot(share: &Path) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/package/inside/boot.sh");
        let mounts = [
            format!("{}:/host/share:ro", share.display()),
            format!("{script}:/boot.sh:ro"),
            "/usr:/host/usr:ro".to_owned(),
            "/etc:/host/etc:ro".to_owned(),
            "/var/lib/dpkg:/host/dpkg:ro".to_owned(),
        ];
        let mut flags =
            vec!["--network", "none", "--cgroupns", "private", "--device", "/dev/net/tun"];
        // How systemd is told that it is in a container.
        flags.extend(["-e", "container=docker"]);
        flags.extend(["--security-opt", "seccomp=unconfined"]);
        flags.extend(["--security-opt", "apparmor=unconfined"]);
        flags.extend(CAPABILITIES.iter().flat_map(|it| ["--cap-add", it]));
        flags.extend(mounts.iter().flat_map(|it| ["-v", it]));
        let command = ["/bin/busybox", "sh", "/boot.sh"];
        let options = RunOptions::default().flags(&flags).command(&command);
        let machine = Self(Container::run(&Image::busybox()?, &options)?);
        let running = wait::until(SOON, "all is started", || {
            let state = machine.0.exec(&["systemctl", "is-system-running"])?;
            match state.output.as_str() {
                "running" => Ok(Some(())),
                "degraded" => bail!("{}", machine.0.exec(&["systemctl", "--failed"])?.output),
                _ => Ok(None),
            }
        });
        running.with_context(|| machine.0.logs().unwrap_or_default())?;
        machine.run(&["ip", "link", "set", "lo", "up"])?;
        Ok(machine)
    }

    /// Runs a command that must succeed.
    pub(crate) fn run(&self, command: &[&str]) -> Result<String> {
        self.0.exec_ok(command)
    }

    /// Runs a command, and says whether it succeeded.
    pub(crate) fn tries(&self, command: &[&str]) -> Result<bool> {
        Ok(self.0.exec(command)?.success)
    }

    /// Starts a command.
    pub(crate) fn start(&self, command: &[&str]) -> Result<Process> {
        self.0.exec_start(command)
    }

    /// A property of the agent's service, as systemd says it.
    pub(crate) fn service(&self, property: &str) -> Result<String> {
        let name = format!("--property={property}");
        self.run(&["systemctl", "show", "--value", &name, "dockervpp.service"])
    }

    /// Waits until the agent's service is what it is to be.
    pub(crate) fn awaits(&self, state: &str) -> Result<()> {
        let seen = wait::until(SOON, &format!("the service is {state}"), || {
            Ok((self.service("ActiveState")? == state).then_some(()))
        });
        seen.with_context(|| self.log().unwrap_or_default())
    }

    /// What the journal has of the service.
    pub(crate) fn log(&self) -> Result<String> {
        self.run(&["journalctl", "--no-pager", "-u", "dockervpp.service"])
    }

    /// One call of Docker's protocol for drivers.
    pub(crate) fn call(&self, method: &str, body: &Value) -> Result<Value> {
        let (url, body) = (format!("http://plugin/NetworkDriver.{method}"), body.to_string());
        let line = ["curl", "--silent", "--unix-socket", PLUGIN, "--data", &body, &url];
        let answer = self.run(&line)?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        ensure!(answer.get("Err").is_none(), "{method} {body}: {answer}");
        Ok(answer)
    }
}
