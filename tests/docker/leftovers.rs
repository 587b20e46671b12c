//! A run of the suites that is killed does not spoil the next.

use std::mem;

use anyhow::{Context as _, Result, ensure};
use kit::agent::AgentOptions;
use kit::docker::docker;
use kit::lab::Turn;
use kit::need::{Need, met};
use kit::{Agent, Container, Image, Network, leftovers};

const SUBNET: &[&str] = &["--ipv6", "--subnet", "10.204.1.0/24", "--subnet", "fd00:204:1::/64"];

/// A network of `agent` with a container, as a killed run leaves them.
fn abandon(agent: &Agent, image: &Image) -> Result<[String; 2]> {
    let network = Network::create(agent.driver(), SUBNET)?;
    let container = Container::idle(image, &network)?;
    let names = [network.name().to_owned(), container.name().to_owned()];
    mem::forget((network, container));
    Ok(names)
}

fn cleared(agent_is_gone: bool) -> Result<()> {
    let image = Image::busybox()?;
    let mut agent = Agent::start(AgentOptions::default())?;
    let [network, container] = abandon(&agent, &image)?;
    if agent_is_gone {
        agent.kill();
    }
    leftovers::clear()?;
    ensure!(docker(&["network", "inspect", &network]).is_err(), "network {network} is left");
    ensure!(docker(&["inspect", &container]).is_err(), "container {container} is left");
    let next = Agent::start(AgentOptions::default())?;
    Network::create(next.driver(), SUBNET)?.remove().context("the same subnets again")
}

#[test]
fn networks_of_a_killed_run_do_not_stand_in_the_way_of_the_next() {
    if !met(&[Need::Root, Need::Docker, Need::Tun, Need::Busybox]) {
        return;
    }
    let _turn = Turn::take().expect("the lock file can be made");
    for agent_is_gone in [false, true] {
        let outcome = cleared(agent_is_gone);
        outcome.unwrap_or_else(|error| panic!("agent gone: {agent_is_gone}: {error:?}"));
    }
}
