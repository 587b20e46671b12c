//! Two containers whose programs check every byte that they send each other, and what is looked at
//! afterwards.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::RunOptions;
use kit::lab::Lab;
use kit::need::PYTHON;
use kit::process::Process;
use kit::{Agent, Container, Image, Network, wait};

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Longest time for the largest piece of work.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

const PROGRAM: &str = "/programs/endure.py";

/// Two containers on one network, both with the preload library.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) server: Container,
    pub(crate) client: Container,
    pub(crate) address: String,
    pub(crate) network: Network,
}

impl Pair {
    pub(crate) fn start(lab: &Lab, attach: &str) -> Result<Self> {
        let network = lab.network(&["-o", &format!("attach={attach}")])?;
        let image = Image::session_programs()?;
        let options = RunOptions::default().on(&network).flags(&["--ulimit", "nofile=8192"]);
        let options = options.shimmed()?;
        let server = Container::run(&image, &options)?;
        let client = Container::run(&image, &options)?;
        let address = server.address(&network)?.to_string();
        Ok(Self { server, client, address, network })
    }

    pub(crate) fn serve(&self, agent: &Agent, kind: &str, port: &str) -> Result<Process> {
        let process = self.server.exec_start(&[PYTHON, PROGRAM, kind, port])?;
        let end = format!(":{port}");
        wait::until(SOON, "the server listens", || {
            let listeners = agent.list("listeners")?;
            let there = |text: &str| text.ends_with(&end);
            Ok(listeners.iter().any(|it| it["address"].as_str().is_some_and(there)).then_some(()))
        })?;
        Ok(process)
    }

    pub(crate) fn start_client(&self, kind: &str, port: &str, amount: usize) -> Result<Process> {
        let amount = amount.to_string();
        self.client.exec_start(&[PYTHON, PROGRAM, kind, &self.address, port, &amount])
    }
}

pub(crate) fn finish(mut process: Process) -> Result<Vec<String>> {
    let status = process.wait(PATIENCE)?;
    ensure!(status.success(), "{status}: {}", process.output().join("\n"));
    Ok(process.output())
}

/// Descriptors that the newest process of that name in a container has open.
pub(crate) fn descriptors(container: &Container) -> Result<usize> {
    let line = "ls /proc/$(pidof python3 | cut -d' ' -f1)/fd | wc -l";
    Ok(container.exec_ok(&["sh", "-c", line])?.trim().parse()?)
}

/// Resident memory of a process of the host, in KiB.
pub(crate) fn resident(pid: u32) -> Result<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("the kernel shows VmRSS")?.parse()?)
}

pub(crate) fn no_sessions(agent: &Agent) -> Result<()> {
    no_sessions_within(agent, SOON)
}

pub(crate) fn no_sessions_within(agent: &Agent, limit: Duration) -> Result<()> {
    wait::until_ok(limit, "sessions end", || {
        let left = agent.list("sessions")?.len();
        ensure!(left == 0, "{left} sessions are left");
        Ok(())
    })
}
