//! Every way in which a container and a network come and go.

use std::time::Duration;

use anyhow::{Result, ensure};
use kit::docker::{LIMIT, RunOptions, docker};
use kit::lab::docker_test;
use kit::process::run;
use kit::{Container, Lab, Network, wait};

use crate::kinds::{Kind, each_kind};

const SOON: Duration = Duration::from_secs(15);

each_kind!(
    container_runs_stops_and_starts_again,
    short_container_passes_through,
    killed_container_is_forgotten,
    restart_policy_brings_the_network_back,
    running_container_is_connected_and_disconnected,
    container_starts_on_two_networks,
    address_is_used_again,
    shared_namespace_needs_no_endpoint,
);

/// Waits until the agent has exactly `count` endpoints.
fn endpoints(lab: &Lab, count: usize) -> Result<()> {
    wait::until(LIMIT, &format!("the agent has {count} endpoints"), || {
        Ok((lab.agent.list("endpoints")?.len() == count).then_some(()))
    })
}

#[test]
fn network_is_created_shown_and_removed() {
    docker_test(&[], |lab| {
        let network = lab.network(&["--subnet", "10.201.3.0/24"])?;
        ensure!(network.inspect()?["Driver"] == lab.agent.driver());
        let shown = lab.agent.list("networks")?;
        ensure!(shown.len() == 1, "{shown:?}");
        ensure!(shown[0].to_string().contains("10.201.3.0/24"), "{shown:?}");
        network.remove()?;
        ensure!(lab.agent.list("networks")?.is_empty());
        Ok(())
    });
}

fn container_runs_stops_and_starts_again(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&[])?;
        let one = Container::idle(&lab.busybox()?, &network)?;
        let gateway = network.gateway(0)?.parse()?;
        one.pings(gateway, SOON)?;
        endpoints(lab, 1)?;
        docker(&["stop", "-t", "0", one.name()])?;
        endpoints(lab, 0)?;
        docker(&["start", one.name()])?;
        endpoints(lab, 1)?;
        one.pings(gateway, SOON)?;
        docker(&["restart", "-t", "0", one.name()])?;
        one.pings(gateway, SOON)?;
        endpoints(lab, 1)?;
        one.remove()?;
        endpoints(lab, 0)
    });
}

fn short_container_passes_through(kind: Kind) {
    kind.test(|lab| {
        let (network, image) = (lab.network(&[])?, lab.busybox()?);
        for _ in 0..5 {
            docker(&["run", "--rm", "--network", network.name(), image.name(), "true"])?;
        }
        endpoints(lab, 0)
    });
}

fn killed_container_is_forgotten(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&[])?;
        let one = Container::idle(&lab.busybox()?, &network)?;
        one.pings(network.gateway(0)?.parse()?, SOON)?;
        run(std::process::Command::new("kill").args(["-9", &one.pid()?.to_string()]))?;
        wait::until(LIMIT, "Docker sees the end", || Ok((!one.is_running()?).then_some(())))?;
        endpoints(lab, 0)
    });
}

fn restart_policy_brings_the_network_back(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&[])?;
        let options = RunOptions::default().on(&network).flags(&["--restart", "always"]);
        let one = Container::run(&lab.busybox()?, &options)?;
        let gateway = network.gateway(0)?.parse()?;
        for restarts in 1..=3 {
            one.pings(gateway, SOON)?;
            run(std::process::Command::new("kill").args(["-9", &one.pid()?.to_string()]))?;
            wait::until(LIMIT, "Docker restarts the container", || {
                let all = one.inspect()?;
                let again = all["RestartCount"].as_u64() >= Some(restarts);
                Ok((again && all["State"]["Running"] == true).then_some(()))
            })?;
        }
        one.pings(gateway, SOON)?;
        endpoints(lab, 1)
    });
}

fn running_container_is_connected_and_disconnected(kind: Kind) {
    kind.test(|lab| {
        let (first, second) = (lab.network(&[])?, lab.network(&[])?);
        let image = lab.busybox()?;
        let one = Container::idle(&image, &first)?;
        let two = Container::idle(&image, &second)?;
        for _ in 0..3 {
            docker(&["network", "connect", second.name(), one.name()])?;
            endpoints(lab, 3)?;
            one.pings(two.address(&second)?, SOON)?;
            one.pings(first.gateway(0)?.parse()?, SOON)?;
            docker(&["network", "disconnect", second.name(), one.name()])?;
            endpoints(lab, 2)?;
            ensure!(!one.exec_ok(&["ls", "/sys/class/net"])?.contains("eth1"));
            one.pings(first.gateway(0)?.parse()?, SOON)?;
        }
        Ok(())
    });
}

fn container_starts_on_two_networks(kind: Kind) {
    kind.test(|lab| {
        let (first, second) = (lab.network(&[])?, lab.network(&[])?);
        let image = lab.busybox()?;
        let (left, right) = (Container::idle(&image, &first)?, Container::idle(&image, &second)?);
        let both = Container::idle(&image, &first)?;
        docker(&["stop", "-t", "0", both.name()])?;
        docker(&["network", "connect", second.name(), both.name()])?;
        docker(&["start", both.name()])?;
        both.pings(left.address(&first)?, SOON)?;
        both.pings(right.address(&second)?, SOON)?;
        left.pings(both.address(&first)?, SOON)?;
        right.pings(both.address(&second)?, SOON)?;
        sockets_of(&both)
    });
}

/// A container on two networks has one pair of sockets for each, and the short names.
fn sockets_of(container: &Container) -> Result<()> {
    let names = ["@dockervpp/memif", "@dockervpp/eth0/memif", "@dockervpp/eth1/memif"];
    wait::until_ok(SOON, "all memif sockets are bound in the container", || {
        let table = container.exec_ok(&["cat", "/proc/net/unix"])?;
        let bound: Vec<&str> = table.split_whitespace().filter(|it| it.starts_with('@')).collect();
        let missing = names.iter().find(|name| !bound.contains(name));
        ensure!(missing.is_none(), "{missing:?} is not among {bound:?}");
        Ok(())
    })
}

fn address_is_used_again(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&["--subnet", "10.201.4.0/24"])?;
        let image = lab.busybox()?;
        let peer = Container::idle(&image, &network)?;
        let options = RunOptions::default().on(&network).flags(&["--ip", "10.201.4.99"]);
        for _ in 0..4 {
            let one = Container::run(&image, &options)?;
            peer.pings("10.201.4.99".parse()?, LIMIT)?;
            one.remove()?;
        }
        endpoints(lab, 1)
    });
}

fn shared_namespace_needs_no_endpoint(kind: Kind) {
    kind.test(|lab| {
        let (network, image) = (lab.network(&[])?, lab.busybox()?);
        let one = Container::idle(&image, &network)?;
        let place = format!("container:{}", one.name());
        let side = Container::run(&image, &RunOptions::default().flags(&["--network", &place]))?;
        side.pings(network.gateway(0)?.parse()?, SOON)?;
        endpoints(lab, 1)
    });
}

#[test]
fn networks_with_containers_cannot_be_removed() {
    docker_test(&[], |lab| {
        let network = lab.network(&[])?;
        let one = Container::idle(&lab.busybox()?, &network)?;
        ensure!(docker(&["network", "rm", network.name()]).is_err());
        one.pings(network.gateway(0)?.parse()?, SOON)
    });
}

#[test]
fn wrong_driver_options_of_a_container_stop_its_start_only() {
    docker_test(&[], |lab| {
        let network: Network = lab.network(&[])?;
        let image = lab.busybox()?;
        let wrong = format!("name={},driver-opt=memif.qeues=2", network.name());
        let options = RunOptions::default().flags(&["--network", &wrong]);
        let refusal = Container::run(&image, &options);
        let text = refusal.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(text.contains("memif.queues"), "no nearest name in: {text}");
        let one = Container::idle(&image, &network)?;
        one.pings(network.gateway(0)?.parse()?, SOON)
    });
}
