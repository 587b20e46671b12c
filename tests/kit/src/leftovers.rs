//! What a run that was killed left behind in Docker, whose networks would overlap with those of the next.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result, ensure};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Signal, kill_process};

use crate::agent::{AgentOptions, PLUGIN_FOLDER};
use crate::docker::{docker, inspect};
use crate::{Agent, OWN};

/// What Docker says of a network of which it counts endpoints. Seen with 20.10 after fifty containers had been removed at once:
/// the network's driver had been told of each, and Docker still counted one.
const COUNTED: &str = "has active endpoints";

/// Ends the agents of earlier runs and removes their containers and networks. Only who has the
/// [turn](crate::lab::Turn) may call it, before it makes anything: all there is then belongs to nobody.
///
/// # Errors
/// When there is no Docker, or it refuses; what was asked for until then is done.
pub fn clear() -> Result<()> {
    end_agents()?;
    let networks = named(&["network", "ls", "--format", "{{.Name}}"])?;
    let containers = named(&["ps", "--all", "--format", "{{.Names}}"])?;
    if networks.is_empty() && containers.is_empty() {
        return Ok(());
    }
    eprintln!("of a run that was killed: {networks:?}, {containers:?}");
    // Docker asks a network's driver before it removes anything, and waits long for one that is gone.
    let mut drivers = BTreeSet::new();
    for network in &networks {
        let driver = inspect("network", network)?["Driver"].as_str().unwrap_or_default().to_owned();
        if driver.starts_with(OWN) {
            drivers.insert(driver);
        }
    }
    let start = |driver: &String| Agent::start_as(driver, AgentOptions::default());
    let _agents = drivers.iter().map(start).collect::<Result<Vec<_>>>()?;
    for container in &containers {
        docker(&["rm", "--force", "--volumes", container])?;
    }
    for network in &networks {
        if let Err(error) = docker(&["network", "rm", network]) {
            let said = format!("{error:#}");
            ensure!(said.contains(COUNTED), "{said}");
            // It has no container any more: those are gone by now.
            eprintln!(
                "{network} stays until Docker is started again, which counts its endpoints anew: {said}"
            );
        }
    }
    Ok(())
}

/// Kills whoever serves Docker under a driver name of the suites.
fn end_agents() -> Result<()> {
    let Ok(folder) = fs::read_dir(PLUGIN_FOLDER) else { return Ok(()) };
    for entry in folder {
        let path = entry.context(PLUGIN_FOLDER)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with(OWN) {
            continue;
        }
        if let Ok(stream) = UnixStream::connect(&path) {
            let pid = socket_peercred(&stream)?.pid;
            if pid != rustix::process::getpid() {
                eprintln!("of a run that was killed: agent {name}, process {pid:?}");
                kill_process(pid, Signal::KILL)?;
            }
        }
        let _ = fs::remove_file(&path);
    }
    Ok(())
}

/// Those of the listed names that are of the suites.
fn named(list: &[&str]) -> Result<Vec<String>> {
    let all = docker(list)?;
    Ok(all.lines().filter(|it| it.starts_with(OWN)).map(str::to_owned).collect())
}
