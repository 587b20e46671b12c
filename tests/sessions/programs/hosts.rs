//! Two hosts: a VPP and an agent each, of which the VPPs are in network namespaces of their own and a link between
//! these joins them. Containers of one reach those of the other by published ports.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use kit::agent::AgentOptions;
use kit::docker::RunOptions;
use kit::lab::Turn;
use kit::need::{self, Need, PYTHON};
use kit::process::run;
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

/// An agent and its VPP, which has the link's end as the way out.
fn host(site: &Site, address: &str) -> Result<Agent> {
    let outside = format!("host-{}", site.interface);
    let mut agent = Agent::start(AgentOptions {
        arguments: vec!["--vpp-outside".to_owned(), outside.clone()],
        vpp_namespace: Some(site.namespace.clone()),
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

fn asks(container: &Container, address: &str, count: &str) -> Result<()> {
    let command = [PYTHON, PEERS, "stream", address, "8007", count];
    wait::until_ok(SOON, "the other host answers", || {
        let outcome = container.exec(&command)?;
        ensure!(outcome.success, "{outcome:?}");
        Ok(())
    })
}

#[test]
fn containers_of_two_hosts_reach_each_other_by_published_ports() {
    let needs = [Need::Root, Need::Docker, Need::Tun, Need::SessionPrograms, Need::Vpp];
    if Engine::under_test() != Engine::Vpp || !need::met(&needs) {
        return;
    }
    let _turn = Turn::take().expect("the lock file can be made");
    two_hosts().unwrap_or_else(|error| panic!("{error:?}"));
}

fn two_hosts() -> Result<()> {
    let sites = sites()?;
    let mut one = host(&sites[0], "192.0.2.1")?;
    let mut two = host(&sites[1], "192.0.2.2")?;
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
            asks(&session, "192.0.2.2", count)?;
            asks(&tap, "192.0.2.1", count)?;
        }
        // An ordinary container of the first host too.
        let auto = format!("name={},driver-opt=attach=auto", here.name());
        let auto = Container::run(&image, &RunOptions::default().flags(&["--network", &auto]))?;
        asks(&auto, "192.0.2.2", "2000000")?;
    }
    is_bare(&mut one, &sites[0])?;
    is_bare(&mut two, &sites[1])
}
