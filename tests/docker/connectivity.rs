//! Ordinary containers reach each other and the gateway; options do what they say.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::{docker, post};
use kit::lab::docker_test;
use kit::{Container, Lab, Network};
use serde_json::json;

use crate::kinds::{Kind, each_kind};

/// Generous: address resolution, and Docker's late mount of the namespace.
const SOON: Duration = Duration::from_secs(15);

each_kind!(
    containers_and_gateway_answer_ping,
    containers_find_each_other_by_name,
    both_address_families_work,
    chosen_addresses_are_kept,
    docker_shows_the_address_that_the_link_has,
    large_frames_pass_when_the_mtu_allows,
    internal_network_has_no_way_out,
    default_route_is_the_gateway_and_nothing_else_is_added,
    isolated_containers_reach_the_gateway_only,
    networks_do_not_see_each_other,
);

/// Two idle busybox containers on `network`.
fn pair(lab: &Lab, network: &Network) -> Result<(Container, Container)> {
    let image = lab.busybox()?;
    Ok((Container::idle(&image, network)?, Container::idle(&image, network)?))
}

fn containers_and_gateway_answer_ping(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&[])?;
        let (one, two) = pair(lab, &network)?;
        one.pings(two.address(&network)?, SOON)?;
        two.pings(one.address(&network)?, SOON)?;
        one.pings(network.gateway(0)?.parse()?, SOON)
    });
}

fn containers_find_each_other_by_name(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&[])?;
        let (one, two) = pair(lab, &network)?;
        one.exec_ok(&["ping", "-c", "1", "-W", "5", two.name()])?;
        Ok(())
    });
}

fn both_address_families_work(kind: Kind) {
    kind.test(|lab| {
        let subnets = ["--ipv6", "--subnet", "10.201.1.0/24", "--subnet", "fd00:201:1::/64"];
        let network = lab.network(&subnets)?;
        let (one, two) = pair(lab, &network)?;
        one.pings(two.address(&network)?, SOON)?;
        one.pings(two.address6(&network)?, SOON)?;
        one.pings("10.201.1.1".parse()?, SOON)?;
        one.pings("fd00:201:1::1".parse()?, SOON)
    });
}

fn chosen_addresses_are_kept(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&["--subnet", "10.201.2.0/24", "--gateway", "10.201.2.254"])?;
        let image = lab.busybox()?;
        let one = Container::named_only();
        // The command line refuses a MAC address towards an engine older than itself.
        let body = json!({
            "Image": image.name(),
            "Cmd": ["sleep", "1000000"],
            "MacAddress": "02:11:22:33:44:55",
            "HostConfig": { "NetworkMode": network.name() },
            "NetworkingConfig": { "EndpointsConfig": { network.name(): {
                "IPAMConfig": { "IPv4Address": "10.201.2.77" },
                "MacAddress": "02:11:22:33:44:55",
            } } },
        });
        post(&format!("/containers/create?name={}", one.name()), &body)?;
        docker(&["start", one.name()])?;
        let two = Container::idle(&image, &network)?;
        ensure!(one.address(&network)? == "10.201.2.77".parse::<IpAddr>()?);
        ensure!(one.attached(&network, "MacAddress")? == "02:11:22:33:44:55");
        let link = one.exec_ok(&["cat", "/sys/class/net/eth0/address"])?;
        ensure!(link == "02:11:22:33:44:55", "eth0 has {link}");
        two.pings("10.201.2.77".parse()?, SOON)?;
        one.pings("10.201.2.254".parse()?, SOON)
    });
}

fn docker_shows_the_address_that_the_link_has(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&[])?;
        let one = Container::idle(&lab.busybox()?, &network)?;
        let shown = one.attached(&network, "MacAddress")?;
        ensure!(one.exec_ok(&["cat", "/sys/class/net/eth0/address"])? == shown);
        let address = one.address(&network)?.to_string();
        let listed = one.exec_ok(&["ip", "-4", "addr", "show", "eth0"])?;
        ensure!(listed.contains(&format!("inet {address}/")), "{listed}");
        Ok(())
    });
}

fn large_frames_pass_when_the_mtu_allows(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&["-o", "mtu=9000"])?;
        let (one, two) = pair(lab, &network)?;
        ensure!(one.exec_ok(&["cat", "/sys/class/net/eth0/mtu"])? == "9000");
        let to = two.address(&network)?;
        one.pings(to, SOON)?;
        // 8972 bytes of payload, 8 of ICMP, 20 of IP: exactly one frame of the MTU.
        let to = to.to_string();
        one.exec_ok(&["ping", "-c", "3", "-W", "2", "-s", "8972", &to])?;
        let gateway = network.gateway(0)?;
        one.exec_ok(&["ping", "-c", "3", "-W", "2", "-s", "8972", &gateway])?;
        Ok(())
    });
}

fn internal_network_has_no_way_out(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&["--internal"])?;
        let (one, two) = pair(lab, &network)?;
        one.pings(two.address(&network)?, SOON)?;
        let routes = one.exec_ok(&["ip", "route"])?;
        ensure!(!routes.contains("default"), "{routes}");
        let links = one.exec_ok(&["ls", "/sys/class/net"])?;
        let mut links: Vec<_> = links.split_whitespace().collect();
        links.sort_unstable();
        ensure!(links == ["eth0", "lo"], "{links:?}");
        Ok(())
    });
}

fn default_route_is_the_gateway_and_nothing_else_is_added(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&[])?;
        let one = Container::idle(&lab.busybox()?, &network)?;
        let routes = one.exec_ok(&["ip", "route"])?;
        let expected = format!("default via {} dev eth0", network.gateway(0)?);
        ensure!(routes.contains(&expected), "{routes}");
        // Docker adds a second, kernel-bridged interface to containers without a gateway.
        let links = one.exec_ok(&["ls", "/sys/class/net"])?;
        ensure!(!links.contains("eth1"), "{links}");
        Ok(())
    });
}

fn isolated_containers_reach_the_gateway_only(kind: Kind) {
    kind.test(|lab| {
        let network = lab.network(&["-o", "isolation=true"])?;
        let (one, two) = pair(lab, &network)?;
        let gateway: IpAddr = network.gateway(0)?.parse()?;
        one.pings(gateway, SOON)?;
        two.pings(gateway, SOON)?;
        let to = two.address(&network)?.to_string();
        let answer = one.exec(&["ping", "-c", "3", "-W", "1", &to])?;
        ensure!(!answer.success, "an isolated neighbour answers: {}", answer.output);
        Ok(())
    });
}

fn networks_do_not_see_each_other(kind: Kind) {
    kind.test(|lab| {
        let (left, right) = (lab.network(&[])?, lab.network(&[])?);
        let image = lab.busybox()?;
        let (one, two) = (Container::idle(&image, &left)?, Container::idle(&image, &right)?);
        one.pings(left.gateway(0)?.parse()?, SOON)?;
        two.pings(right.gateway(0)?.parse()?, SOON)?;
        let to = two.address(&right)?.to_string();
        let answer = one.exec(&["ping", "-c", "2", "-W", "1", &to])?;
        ensure!(!answer.success, "another network answers: {}", answer.output);
        Ok(())
    });
}

#[test]
fn unknown_option_is_refused_with_the_nearest_name() {
    docker_test(&[], |lab| {
        let refusal = lab.network(&["-o", "dockervpp.isolatoin=true"]);
        let text = format!("{:#}", refusal.err().context("an unknown option was accepted")?);
        ensure!(text.contains("isolation"), "{text}");
        let refusal = lab.network(&["-o", "mtu=100"]);
        let text = format!("{:#}", refusal.err().context("a bad MTU was accepted")?);
        ensure!(text.contains("mtu"), "{text}");
        Ok(())
    });
}
