//! Two hosts: a VPP and an agent each, of which the VPPs are in network namespaces of their own and a link between
//! these joins them. Containers of one reach those of the other by published ports, or by routes of the operator's.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use kit::agent::AgentOptions;
use kit::docker::RunOptions;
use kit::lab::Turn;
use kit::need::{self, Need, PYTHON};
use kit::process::run;
use kit::vpp::VppOptions;
use kit::{Agent, Container, Engine, Image, Network, Vpp, unique, wait};

use super::stack::{PEERS, SOON};

/// A network namespace with one end of the link. Dropping it removes both.
struct Site {
    namespace: String,
    interface: String,
}

impl Drop for Site {
    fn drop(&mut self) {
        // It may not have come to be.
        let _ = ip(&["netns", "delete", &self.namespace]);
    }
}

fn ip(arguments: &[&str]) -> Result<String> {
    run(Command::new("ip").args(arguments))
}

/// Two namespaces, and a link between them.
fn sites() -> Result<[Site; 2]> {
    let number = std::process::id() % 1_000_000;
    let site = |end: char| Site {
        namespace: unique(&format!("host{end}")),
        interface: format!("dvt{number}{end}"),
    };
    let sites = ['a', 'b'].map(site);
    for site in &sites {
        ip(&["netns", "add", &site.namespace])?;
    }
    let [a, b] = &sites;
    ip(&["link", "add", &a.interface, "type", "veth", "peer", "name", &b.interface])?;
    for site in &sites {
        ip(&["link", "set", &site.interface, "netns", &site.namespace])?;
        ip(&["-n", &site.namespace, "link", "set", &site.interface, "up"])?;
    }
    Ok(sites)
}

/// What VPP calls its end of the link.
fn outside(site: &Site) -> String {
    format!("host-{}", site.interface)
}

/// An agent with these arguments and its VPP, which has the link's end.
fn host(site: &Site, address: &str, arguments: Vec<String>) -> Result<Agent> {
    let outside = outside(site);
    let mut agent = Agent::start(AgentOptions {
        arguments,
        vpp: VppOptions { namespace: Some(site.namespace.clone()), ..VppOptions::default() },
        ..AgentOptions::default()
    })?;
    let vpp = agent.vpp().context("the agent drives VPP")?;
    for command in [
        format!("create host-interface name {}", site.interface),
        format!("set interface state {outside} up"),
        format!("set interface ip address {outside} {address}/30"),
    ] {
        vpp.cli(&command)?;
    }
    Ok(agent)
}

/// The site's interface is all that VPP has.
fn is_bare(agent: &mut Agent, site: &Site) -> Result<()> {
    let vpp = agent.vpp().context("the agent drives VPP")?;
    vpp.cli(&format!("delete host-interface name {}", site.interface))?;
    Vpp::bare(vpp)
}

fn asks(container: &Container, address: &str, port: &str, count: &str) -> Result<()> {
    let command = [PYTHON, PEERS, "stream", address, port, count];
    wait::until_ok(SOON, "the other host answers", || {
        let outcome = container.exec(&command)?;
        ensure!(outcome.success, "{outcome:?}");
        Ok(())
    })
}

#[test]
fn containers_of_two_hosts_reach_each_other_by_published_ports() {
    on_two_hosts(by_published_ports);
}

#[test]
fn containers_of_two_hosts_reach_each_other_by_routes() {
    on_two_hosts(by_routes);
}

fn on_two_hosts(test: fn() -> Result<()>) {
    let needs = [Need::Root, Need::Docker, Need::Tun, Need::SessionPrograms, Need::Vpp];
    if !Engine::Vpp.needed("its hosts have a VPP each") || !need::met(&needs) {
        return;
    }
    let _turn = Turn::take().expect("the lock file can be made");
    test().unwrap_or_else(|error| panic!("{error:?}"));
}

fn by_published_ports() -> Result<()> {
    let sites = sites()?;
    let way_out = |site| vec!["--vpp-outside".to_owned(), outside(site)];
    let mut one = host(&sites[0], "192.0.2.1", way_out(&sites[0]))?;
    let mut two = host(&sites[1], "192.0.2.2", way_out(&sites[1]))?;
    {
        let options = ["-o", "attach=userspace", "-o", "tcp=vcl"];
        let vcl = [&["--subnet", "10.203.1.0/24"][..], &options].concat();
        let [here, there] = [
            Network::create(one.driver(), &vcl)?,
            Network::create(two.driver(), &["--subnet", "10.203.2.0/24"])?,
        ];
        let image = Image::session_programs()?;
        let published = ["-p", "8007:7"];
        // A server on each host; the one in VPP's host stack has no kernel interface at all.
        let session = RunOptions::default().on(&here).shimmed()?.flags(&published);
        let tap = RunOptions::default().on(&there).flags(&published);
        let [session, tap] = [Container::run(&image, &session)?, Container::run(&image, &tap)?];
        let _serving = [&session, &tap].map(|it| it.exec_start(&[PYTHON, PEERS, "serve", "7"]));
        for count in ["1", "2000000"] {
            asks(&session, "192.0.2.2", "8007", count)?;
            asks(&tap, "192.0.2.1", "8007", count)?;
        }
        // An ordinary container of the first host too.
        let auto = format!("name={},driver-opt=attach=auto", here.name());
        let auto = Container::run(&image, &RunOptions::default().flags(&["--network", &auto]))?;
        asks(&auto, "192.0.2.2", "8007", "2000000")?;
    }
    is_bare(&mut one, &sites[0])?;
    is_bare(&mut two, &sites[1])
}

/// What an operator tells a VPP: the other host's network is behind the link, its own is in a table of its own.
fn routes(vpp: &Vpp, site: &Site, near: &str, far: &str, hop: &str) -> Result<[String; 2]> {
    let tables = vpp.cli("show ip table")?;
    let line = tables.lines().find(|line| line.contains(":net:")).context("no network's table")?;
    let number = line.split("table_id:").nth(1).and_then(|it| it.split_whitespace().next());
    let number = number.with_context(|| tables.clone())?;
    let outside = outside(site);
    Ok([
        format!("{far} table {number} via {hop} {outside}"),
        format!("{near} via ip4-lookup-in-table {number}"),
    ])
}

fn by_routes() -> Result<()> {
    let sites = sites()?;
    let mut one = host(&sites[0], "192.0.2.1", Vec::new())?;
    let mut two = host(&sites[1], "192.0.2.2", Vec::new())?;
    {
        let subnets = ["10.203.3.0/24", "10.203.4.0/24"];
        let session = [&["--subnet", subnets[0]][..], &["-o", "attach=userspace"]].concat();
        let tcp = kit::engine::tcp_option().map(|option| ["-o", option]);
        let session = [&session[..], tcp.as_ref().map_or(&[], |it| &it[..])].concat();
        let here = Network::create(one.driver(), &session)?;
        let there = Network::create(two.driver(), &["--subnet", subnets[1]])?;
        let image = Image::session_programs()?;
        let session = Container::run(&image, &RunOptions::default().on(&here).shimmed()?)?;
        let tap = Container::run(&image, &RunOptions::default().on(&there))?;
        let _serving = [&session, &tap].map(|it| it.exec_start(&[PYTHON, PEERS, "serve", "7"]));
        let mut made = Vec::new();
        for (agent, site, near, far, hop) in [
            (&mut one, &sites[0], subnets[0], subnets[1], "192.0.2.2"),
            (&mut two, &sites[1], subnets[1], subnets[0], "192.0.2.1"),
        ] {
            let vpp = agent.vpp().context("the agent drives VPP")?;
            for route in routes(vpp, site, near, far, hop)? {
                let said = vpp.cli(&format!("ip route add {route}"))?;
                ensure!(said.is_empty(), "{route}: {said}");
                made.push((far, route));
            }
        }
        let (inside, outside) = (session.address(&here)?, tap.address(&there)?);
        for count in ["1", "2000000"] {
            asks(&session, &outside.to_string(), "7", count)?;
            asks(&tap, &inside.to_string(), "7", count)?;
        }
        for (far, route) in made {
            let agent = if far == subnets[1] { &mut one } else { &mut two };
            agent.vpp().context("the agent drives VPP")?.cli(&format!("ip route del {route}"))?;
        }
    }
    is_bare(&mut one, &sites[0])?;
    is_bare(&mut two, &sites[1])
}
