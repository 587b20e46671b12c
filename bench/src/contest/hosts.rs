//! Programs in two containers, each on a host of its own: hosts are network namespaces that a link joins, and
//! VXLAN goes over it.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use kit::namespace::Named;
use kit::process::{Process, run};
use kit::{programs, wait};

use super::driven::{Driven, Endpoint};
use super::reports::iperf3_gigabits;
use super::work::{client_command, server_command};
use super::{Contest, Placement, Plan, Sample, cpu_time};
use crate::benchmark::{Overlay, Work};
use crate::cores::Cores;

/// Longest time until a server answers.
const LIMIT: Duration = Duration::from_secs(20);

const VNI: &str = "42";
/// What VXLAN over IPv4 takes of each packet (RFC 7348, section 5).
const VXLAN_BYTES: u16 = 50;
const SUBNET: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const PREFIX: u8 = 16;
/// The hosts' addresses on the link between them (RFC 5737).
const HOSTS: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
/// The containers' addresses: the server's and the client's.
const CONTAINERS: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 18, 1, 1), Ipv4Addr::new(198, 18, 2, 1)];

/// The contestant.
#[derive(Debug)]
pub(super) struct Hosts {
    overlay: Overlay,
    cores: Cores,
    _server: Process,
    containers: [Named; 2],
    /// None where the kernel does it; to be dropped before the hosts that they are on.
    agents: Vec<Driven>,
    _underlay: [Named; 2],
}

impl Hosts {
    /// Makes the hosts with a container on each, and waits until the containers reach each other.
    pub(super) fn prepare(overlay: Overlay, link: u16, cores: Cores) -> Result<Self> {
        let mtu = (link - VXLAN_BYTES).to_string();
        let hosts = [Named::create("host")?, Named::create("host")?];
        join("under0", [&hosts[0], &hosts[1]], &link.to_string())?;
        for (host, address) in hosts.iter().zip(HOSTS) {
            raise(host, "under0", &format!("{address}/24"))?;
        }
        let containers = [Named::create("server")?, Named::create("client")?];
        let mut agents = Vec::new();
        for (at, (host, container)) in hosts.iter().zip(&containers).enumerate() {
            match overlay {
                Overlay::Ours { attach, .. } => {
                    agents.push(serve(attach, &mtu, host, container, at)?);
                }
                Overlay::Kernel => bridge(&mtu, host, container, at)?,
            }
            raise(container, "eth0", &format!("{}/{PREFIX}", CONTAINERS[at]))?;
        }
        let server = serve_streams(overlay, &containers[0], cores.first)?;
        let contestant =
            Self { overlay, cores, _server: server, containers, agents, _underlay: hosts };
        wait::until_ok(LIMIT, "the server answers", || contestant.drive(Duration::from_secs(1)))?;
        Ok(contestant)
    }

    /// Has the client work for about `length`; gigabits per second.
    fn drive(&self, length: Duration) -> Result<f64> {
        stream(self.overlay, &self.containers[1], self.cores.second, CONTAINERS[0], length)
    }

    /// CPU seconds that the agents have used so far.
    fn cpu_seconds(&self) -> Result<f64> {
        let mut seconds = 0.0;
        for driven in &self.agents {
            seconds += cpu_time::seconds(driven.agent().pid()?)?;
        }
        Ok(seconds)
    }
}

impl Contest for Hosts {
    fn placement(&self, plan: &Plan) -> Vec<Placement> {
        vec![
            Placement::on("server", plan.cores.first),
            Placement::on("client", plan.cores.second),
            Placement::anywhere(if self.agents.is_empty() { "the kernel" } else { "the agents" }),
        ]
    }

    fn run(&mut self, plan: &Plan) -> Result<Sample> {
        let before = self.cpu_seconds()?;
        let figure = self.drive(plan.warm_up + plan.length)?;
        let used = self.cpu_seconds()? - before;
        let sample = Sample::new(figure, [])?;
        Ok(if self.agents.is_empty() {
            sample
        } else {
            sample.with([("CPU seconds of both agents", used)])
        })
    }
}

/// A veth pair of this MTU, whose ends have one name in two namespaces.
fn join(name: &str, ends: [&Named; 2], mtu: &str) -> Result<()> {
    let peer = ["type", "veth", "peer", "name", name, "mtu", mtu, "netns", ends[1].name()];
    ends[0].ip(&[&["link", "add", name, "mtu", mtu], &peer[..]].concat())
}

/// Gives a link its address and lets it go to work.
pub(super) fn raise(namespace: &Named, link: &str, address: &str) -> Result<()> {
    namespace.ip(&["address", "add", address, "dev", link])?;
    namespace.ip(&["link", "set", link, "up"])
}

/// An agent on a host, whose endpoint is the container's `eth0`.
fn serve(attach: &str, mtu: &str, host: &Named, container: &Named, at: usize) -> Result<Driven> {
    let driven = Driven::start(Some(host))?;
    let (network, id) = (["neara", "farab"][at], ["nearc", "farcd"][at]);
    let peers = HOSTS.join(",");
    let options =
        [("attach", attach), ("mtu", mtu), ("vxlan.vni", VNI), ("vxlan.peers", peers.as_str())];
    driven.create_network(network, SUBNET, PREFIX, &options)?;
    let endpoint = Endpoint { network, id, address: CONTAINERS[at], prefix: PREFIX };
    driven.add(&endpoint, container)?.hand_over(Some(host), container)?;
    Ok(driven)
}

/// The kernel's own: a bridge with the `vxlan` device and the container's link.
fn bridge(mtu: &str, host: &Named, container: &Named, at: usize) -> Result<()> {
    let way = ["local", HOSTS[at], "remote", HOSTS[1 - at], "dstport", "4789"];
    let device = ["link", "add", "vx0", "mtu", mtu, "type", "vxlan", "id", VNI];
    host.ip(&["link", "add", "br0", "type", "bridge"])?;
    host.ip(&[&device[..], &way].concat())?;
    join("eth0", [host, container], mtu)?;
    for link in ["eth0", "vx0"] {
        host.ip(&["link", "set", link, "master", "br0", "up"])?;
    }
    host.ip(&["link", "set", "br0", "up"])
}

/// Starts iperf3's server in a container, on one CPU.
pub(super) fn serve_streams(overlay: Overlay, container: &Named, cpu: usize) -> Result<Process> {
    let mut server = program(overlay, container, cpu, server_command(Work::Stream))?;
    Process::start("the server", &mut server)
}

/// Has iperf3 in a container, on one CPU, send to a server for about `length`; gigabits per second.
pub(super) fn stream(
    overlay: Overlay,
    container: &Named,
    cpu: usize,
    server: Ipv4Addr,
    length: Duration,
) -> Result<f64> {
    let line = client_command(Work::Stream, &server.to_string(), length);
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    iperf3_gigabits(&run(&mut program(overlay, container, cpu, &line)?)?)
}

/// A program in a container, on one CPU, with the preload library if it is to have it.
fn program(overlay: Overlay, container: &Named, cpu: usize, line: &[&str]) -> Result<Command> {
    let cpu = cpu.to_string();
    let mut command = container.command("taskset", &[&["-c", &cpu], line].concat());
    if matches!(overlay, Overlay::Ours { shim: true, .. }) {
        command.env("LD_PRELOAD", programs::shim()?);
    }
    Ok(command)
}
