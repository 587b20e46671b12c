//! What a test must not leave behind: on the host, and inside the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::docker::{docker, inspect};
use crate::{Agent, wait};

/// How long things may take to go away.
const LIMIT: Duration = Duration::from_secs(20);

/// Where Docker mounts the network namespaces of containers, below `/run` or `/var/run`.
const NAMESPACES: &str = "/docker/netns/";

/// What of the host and the agent could be left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Network devices of the host.
    links: BTreeSet<String>,
    /// Namespaces that Docker keeps mounted.
    namespaces: BTreeSet<String>,
    /// Tables and chains of the host's packet filter that an agent made.
    filters: BTreeSet<String>,
    /// Abstract sockets of the host's own namespace that the agent could have bound.
    abstract_sockets: BTreeSet<String>,
    /// Folders of vhost-user sockets.
    vhost_folders: BTreeSet<String>,
    /// The agent's open descriptors, by kind.
    descriptors: BTreeMap<String, usize>,
    /// The agent's threads, by name.
    threads: BTreeMap<String, usize>,
    /// Networks that the agent knows.
    networks: usize,
    /// Endpoints that the agent knows.
    endpoints: usize,
}

impl Holdings {
    /// What there is now.
    pub fn now(agent: &Agent) -> Result<Self> {
        let pid = agent.pid()?;
        Ok(Self {
            links: names_in("/sys/class/net")?,
            namespaces: namespaces()?,
            filters: filters(),
            abstract_sockets: abstract_sockets()?,
            vhost_folders: names_in_if_there(&agent.vhost_folder())?,
            descriptors: descriptors(pid, &agent.plugin_socket().to_string_lossy())?,
            threads: threads(pid)?,
            networks: agent.list("networks")?.len(),
            endpoints: agent.list("endpoints")?.len(),
        })
    }

    /// What there is once it no longer changes: threads that just started have no name yet.
    pub fn settled(agent: &Agent) -> Result<Self> {
        let (mut last, mut same) = (Self::now(agent)?, 0);
        wait::until(LIMIT, "the agent settles", || {
            let now = Self::now(agent)?;
            same = if now == last { same + 1 } else { 0 };
            last = now;
            Ok((same >= 3).then(|| last.clone()))
        })
    }

    /// Waits until nothing more is there than was in `self`. Links and namespaces of the host count
    /// only if they stay the whole time: others may use this machine too.
    ///
    /// # Errors
    /// When something is left, saying what.
    pub fn nothing_left(&self, agent: &Agent) -> Result<()> {
        let mut stayed: Option<BTreeSet<String>> = None;
        wait::until_ok(LIMIT, "nothing is left behind", || {
            let now = Self::now(agent)?;
            let on_host = now.on_host_beyond(self);
            let staying = match stayed.take() {
                None => on_host,
                Some(before) => before.intersection(&on_host).cloned().collect(),
            };
            let mut left = now.in_agent_beyond(self);
            left.extend(staying.iter().cloned());
            stayed = Some(staying);
            if left.is_empty() { Ok(()) } else { bail!("left behind: {}", left.join("; ")) }
        })
    }

    /// What the host has beyond `before`.
    fn on_host_beyond(&self, before: &Self) -> BTreeSet<String> {
        let sets = [
            ("link", &self.links, &before.links),
            ("namespace", &self.namespaces, &before.namespaces),
            ("packet filter", &self.filters, &before.filters),
            ("socket", &self.abstract_sockets, &before.abstract_sockets),
            ("vhost-user folder", &self.vhost_folders, &before.vhost_folders),
        ];
        let more = sets.into_iter().flat_map(|(what, now, before)| {
            now.difference(before).map(move |it| format!("{what} {it}"))
        });
        more.collect()
    }

    /// What the agent has beyond `before`.
    fn in_agent_beyond(&self, before: &Self) -> Vec<String> {
        let mut left = Vec::new();
        let counts = [
            ("descriptors of kind", &self.descriptors, &before.descriptors),
            ("threads named", &self.threads, &before.threads),
        ];
        for (what, now, before) in counts {
            let more = now.iter().filter(|(name, count)| before.get(*name) < Some(count));
            left.extend(more.map(|(name, count)| {
                let before = before.get(name).unwrap_or(&0);
                format!("{count} {what} {name}, before {before}")
            }));
        }
        for (what, now, before) in [
            ("networks", self.networks, before.networks),
            ("endpoints", self.endpoints, before.endpoints),
        ] {
            if now > before {
                left.push(format!("{now} {what} in the agent, before {before}"));
            }
        }
        left
    }
}

fn names_in_if_there(folder: &Path) -> Result<BTreeSet<String>> {
    if folder.exists() { names_in(&folder.to_string_lossy()) } else { Ok(BTreeSet::new()) }
}

fn names_in(folder: &str) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder).with_context(|| folder.to_owned())?;
    entries.map(|it| Ok(it?.file_name().to_string_lossy().into_owned())).collect()
}

/// Namespaces that are mounted there and belong to no running container. (The empty files stay for
/// a minute, until Docker tidies up.)
fn namespaces() -> Result<BTreeSet<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let names = places.filter_map(|place| place.split_once(NAMESPACES)).map(|(_, name)| name);
    // Docker makes one called `default` at its first use and keeps it.
    let mut names: BTreeSet<_> = names.filter(|&it| it != "default").map(str::to_owned).collect();
    if !names.is_empty() {
        for used in namespaces_in_use()? {
            names.remove(&used);
        }
    }
    Ok(names)
}

/// Those of running containers.
fn namespaces_in_use() -> Result<Vec<String>> {
    let ids = docker(&["ps", "-q"])?;
    let mut used = Vec::new();
    for id in ids.lines() {
        // A container may be gone between the listing and the look.
        let Ok(container) = inspect("container", id) else { continue };
        let key = container["NetworkSettings"]["SandboxKey"].as_str().unwrap_or_default();
        used.extend(key.rsplit('/').next().map(str::to_owned));
    }
    Ok(used)
}

/// What names an agent in nftables and iptables; nothing on a host without their commands.
fn filters() -> BTreeSet<String> {
    let lists: [&[&str]; 3] =
        [&["nft", "list", "tables"], &["iptables", "-S"], &["ip6tables", "-S"]];
    let outputs =
        lists.iter().filter_map(|line| Command::new(line[0]).args(&line[1..]).output().ok());
    let text: String =
        outputs.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).collect();
    let own = text.lines().filter(|line| line.contains("dockervpp"));
    own.map(str::to_owned).collect()
}

fn abstract_sockets() -> Result<BTreeSet<String>> {
    let table = fs::read_to_string("/proc/net/unix")?;
    let paths = table.lines().filter_map(|line| line.split_whitespace().nth(7));
    Ok(paths.filter(|path| path.starts_with("@dockervpp")).map(str::to_owned).collect())
}

/// Descriptors by kind, without the connections that Docker keeps open to the plugin socket.
fn descriptors(pid: u32, plugin_socket: &str) -> Result<BTreeMap<String, usize>> {
    let table = fs::read_to_string("/proc/net/unix")?;
    let docker: BTreeSet<&str> = table
        .lines()
        .filter(|line| line.ends_with(plugin_socket))
        .filter_map(|line| line.split_whitespace().nth(6))
        .collect();
    let mut kinds = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may be closed between the listing and the look.
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        if let Some(inode) = target.strip_prefix("socket:[").and_then(|it| it.strip_suffix(']'))
            && docker.contains(inode)
        {
            continue;
        }
        // What is of the agent's process itself has another name after each of its starts.
        let target = target.replace(&format!("/proc/{pid}/"), "/proc/self/");
        *kinds.entry(kind_of(&target)).or_default() += 1;
    }
    Ok(kinds)
}

/// `socket:[123]` and `net:[123]` without the number; the rest as it is.
fn kind_of(target: &str) -> String {
    let numbered = target.ends_with(']') && !target.starts_with("anon_inode");
    let kind = if numbered { target.split_once('[').map_or(target, |it| it.0) } else { target };
    kind.to_owned()
}

/// Threads by name, without the pool of the async runtime, which grows and shrinks by itself.
fn threads(pid: u32) -> Result<BTreeMap<String, usize>> {
    let mut names = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the look.
        let Ok(name) = fs::read_to_string(entry?.path().join("comm")) else { continue };
        let name = name.trim().to_owned();
        if !name.starts_with("tokio") {
            *names.entry(name).or_default() += 1;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_of_a_kind_is_seen() {
        let mut before = Holdings::default();
        before.descriptors.insert("socket:".to_owned(), 2);
        let mut now = before.clone();
        assert!(now.in_agent_beyond(&before).is_empty());
        now.descriptors.insert("socket:".to_owned(), 3);
        now.links.insert("dv0".to_owned());
        now.endpoints = 1;
        assert_eq!(now.on_host_beyond(&before).len(), 1);
        assert_eq!(now.in_agent_beyond(&before).len(), 2);
        assert!(before.on_host_beyond(&now).is_empty());
        assert!(before.in_agent_beyond(&now).is_empty());
    }

    #[test]
    fn kinds_have_no_numbers() {
        assert_eq!(kind_of("socket:[12]"), "socket:");
        assert_eq!(kind_of("anon_inode:[eventfd]"), "anon_inode:[eventfd]");
        assert_eq!(kind_of("/dev/net/tun"), "/dev/net/tun");
    }
}
