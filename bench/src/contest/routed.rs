//! Unmodified programs in two containers, one on each CPU, on two networks of an agent that drives VPP. What joins the
//! networks is the operator's: two routes in VPP.

use std::fs;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::{Agent, Container, Network, Vpp, wait};

use super::containers::{Files, Place};
use super::work::{client_command, figure, server_command};
use super::{Contest, Fixtures, Placement, Plan, Sample, control_group, count, cpu_time};
use super::{vpp_counters, work};
use crate::benchmark::Work;

/// Longest time until a server answers.
const LIMIT: Duration = Duration::from_secs(20);

/// A network as VPP has it.
#[derive(Debug)]
struct Segment {
    /// Its subnet.
    prefix: String,
    /// As the agent marks its table.
    tag: String,
    /// The number of that.
    table: String,
}

impl Segment {
    fn of(network: &Network, vpp: &Vpp) -> Result<Self> {
        let described = network.inspect()?;
        let prefix =
            described["IPAM"]["Config"][0]["Subnet"].as_str().context("a subnet")?.to_owned();
        let shown = vpp.cli("show ip table")?;
        let tag = format!(":net:{}", network.id().get(..24).context("Docker's ids are longer")?);
        let table = table_of(&shown, &tag).with_context(|| format!("no table {tag}: {shown}"))?;
        Ok(Self { prefix, tag, table })
    }

    /// What an operator says to have this network reach the other.
    fn route_to(&self, other: &Self) -> String {
        format!("{} table {} via ip4-lookup-in-table {}", other.prefix, self.table, other.table)
    }
}

/// The number of the table with this tag, as `show ip table` prints it.
fn table_of(shown: &str, tag: &str) -> Option<String> {
    let line = shown.lines().find(|line| line.contains(tag))?;
    line.split("table_id:").nth(1)?.split_whitespace().next().map(str::to_owned)
}

/// The interfaces that poll, of what `show interface rx-placement` prints.
fn polling(shown: &str) -> impl Iterator<Item = &str> {
    let lines = shown.lines().filter(|line| line.contains("(polling)"));
    lines.filter_map(|line| line.split_whitespace().next())
}

/// The contestant.
#[derive(Debug)]
pub(super) struct Routed {
    work: Work,
    tcp: &'static str,
    client: Container,
    server: Container,
    address: String,
    /// The client's network and the server's, which are joined.
    segments: [Segment; 2],
    /// Files that the containers read.
    _files: Files,
    /// Dropped after the containers and before the agent that serves them.
    _networks: [Network; 2],
    agent: Rc<Agent>,
}

impl Drop for Routed {
    fn drop(&mut self) {
        // The agent removes the networks' tables; VPP keeps one that has routes of others.
        for route in self.routes() {
            if let Err(error) = self.tell(&format!("ip route del {route}")) {
                eprintln!("left behind: {error:#}");
            }
        }
    }
}

impl Routed {
    /// Starts both containers and the server, and joins their networks.
    pub(super) fn prepare(work: Work, tcp: &'static str, fixtures: &mut Fixtures) -> Result<Self> {
        let agent = fixtures.agent_on_vpp()?;
        let (cores, option) = (fixtures.cores, format!("tcp={tcp}"));
        let options = ["-o", "attach=userspace", "-o", &option];
        let make = || Network::create(agent.driver(), &options);
        let networks = [make()?, make()?];
        let files = Files::make()?;
        let run = |network, cpu, command| {
            files.run(network, &Place { shim: true, cpu, flags: &[], command })
        };
        let client = run(&networks[0], cores.second, &[])?;
        let server = run(&networks[1], cores.first, server_command(work))?;
        let address = server.address(&networks[1])?.to_string();
        let vpp = agent.driven()?;
        let segments = [Segment::of(&networks[0], vpp)?, Segment::of(&networks[1], vpp)?];
        let contestant = Self {
            work,
            tcp,
            client,
            server,
            address,
            segments,
            _files: files,
            _networks: networks,
            agent: Rc::clone(&agent),
        };
        for route in contestant.routes() {
            contestant.tell(&format!("ip route add {route}"))?;
        }
        contestant.keep_from_polling()?;
        wait::until_ok(LIMIT, "the server answers", || contestant.drive(Duration::from_secs(1)))?;
        Ok(contestant)
    }

    fn routes(&self) -> [String; 2] {
        let [client, server] = &self.segments;
        [client.route_to(server), server.route_to(client)]
    }

    /// VPP's command line always succeeds, and has words only for what went wrong.
    fn tell(&self, command: &str) -> Result<()> {
        let said = self.agent.driven()?.cli(command)?;
        ensure!(said.is_empty(), "{command}: {said}");
        Ok(())
    }

    /// Has VPP wait for frames of the agent's: while an interface of it polls, its main thread takes all of a CPU that it
    /// can get, also while others have their turn.
    fn keep_from_polling(&self) -> Result<()> {
        let shown = self.agent.driven()?.cli("show interface rx-placement")?;
        for interface in polling(&shown) {
            self.tell(&format!("set interface rx-mode {interface} interrupt"))?;
        }
        Ok(())
    }

    /// Has the client work for about `length`.
    fn drive(&self, length: Duration) -> Result<f64> {
        let line = client_command(self.work, &self.address, length);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        figure(self.work, &self.client.exec_ok(&line)?)
    }

    fn reading(&self) -> Result<Reading> {
        let vpp = self.agent.driven()?;
        let [client, server] = &self.segments;
        let bytes = vpp_counters::routed(vpp, &client.tag, &server.prefix)?;
        let programs = control_group::cpu_seconds(self.server.pid()?)?
            + control_group::cpu_seconds(self.client.pid()?)?;
        Ok(Reading {
            packets: vpp_counters::received_by_tcp(vpp)?,
            bytes,
            programs,
            vpp: cpu_time::seconds(vpp.pid())?,
            agent: of_the_agent(self.agent.pid()?)?,
        })
    }
}

/// What was used and counted so far.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// Packets with data that VPP's TCP received, of all connections.
    packets: u64,
    /// Bytes that VPP routed from the client's network to the server's.
    bytes: u64,
    /// CPU seconds of both containers.
    programs: f64,
    vpp: f64,
    /// Of the agent, and of its processes that are attached to VPP.
    agent: f64,
}

/// CPU seconds of the agent and of the processes that it has started.
fn of_the_agent(pid: u32) -> Result<f64> {
    let mut seconds = cpu_time::seconds(pid)?;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let children = fs::read_to_string(thread?.path().join("children"))?;
        for child in children.split_whitespace() {
            seconds += cpu_time::seconds(child.parse()?)?;
        }
    }
    Ok(seconds)
}

impl Contest for Routed {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        let mut all = vec![
            Placement::on("the server's container", plan.cores.first),
            Placement::on("the client's container", plan.cores.second),
            Placement::anywhere("VPP, which sleeps when there is nothing to do"),
            Placement::anywhere("the agent"),
        ];
        if self.tcp == "vcl" {
            all.push(Placement::anywhere("a process for each container that is attached to VPP"));
        }
        all
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let length = plan.warm_up + plan.length;
        let before = self.reading()?;
        let value = self.drive(length)?;
        let after = self.reading()?;
        let (bytes, packets) = (after.bytes - before.bytes, after.packets - before.packets);
        let least = vpp_counters::least_bytes(self.work, value, length);
        ensure!(count(bytes) >= least, "{bytes} bytes were routed by VPP, not {least:.0}");
        let through = vpp_counters::went_through_tcp(packets, self.work, value, length);
        if self.tcp == "vcl" {
            through?;
        } else {
            ensure!(through.is_err(), "{packets} packets went through VPP's TCP, not the agent's");
        }
        let (programs, agent) = (after.programs - before.programs, after.agent - before.agent);
        let vpp = after.vpp - before.vpp;
        let sample = work::sample(self.work, value, length, programs + agent + vpp)?;
        Ok(sample.with([
            ("CPU seconds of programs", programs),
            ("CPU seconds of agent and attached processes", agent),
            ("CPU seconds of VPP", vpp),
            ("MiB routed to the server's network", count(bytes) / f64::from(1 << 20)),
            ("thousand packets with data through VPP's TCP", count(packets) / 1e3),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_the_tag_of_its_network() {
        let shown = "[0] table_id:0 ipv4-VRF:0\n[1] table_id:3167820124 dvt:net:0123456789abcdef01234567\n\
                     [2] table_id:4 dvt:net:f123456789abcdef01234567\n";
        assert_eq!(table_of(shown, ":net:0123456789abcdef01234567").as_deref(), Some("3167820124"));
        assert_eq!(table_of(shown, ":net:4123"), None);
        assert_eq!(table_of("", ":net:0123"), None);
    }

    #[test]
    fn interfaces_that_poll_are_found() {
        let shown = "Thread 0 (vpp_main):\n node memif-input:\n    memif1649599747/0 queue 0 (polling)\n    \
                     memif7/0 queue 0 (interrupt)\n    memif2748932008/0 queue 0 (polling)\n";
        assert_eq!(polling(shown).collect::<Vec<_>>(), ["memif1649599747/0", "memif2748932008/0"]);
    }

    #[test]
    fn what_this_process_has_started_is_counted() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let counted = of_the_agent(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(counted.unwrap() > 0.0);
    }
}
