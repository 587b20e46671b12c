//! Endpoints of kind `veth`, beside those of other kinds: what they share, and what their host's end may not do.
//! (What a container can do at a TAP is asked of them too: see `kinds`.)

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::RunOptions;
use kit::lab::docker_test;
use kit::{Container, Image, Lab, Network, World, wait};
use serde_json::Value;

use crate::kinds::Kind;

const SOON: Duration = Duration::from_secs(15);

/// How long a transfer may take.
const PATIENCE: Duration = Duration::from_mins(2);

const PORT: &str = "5001";
const MEGABYTES: u64 = 64;

/// A container that is attached as it says itself.
fn container(image: &Image, network: &Network, kind: Kind, flags: &[&str]) -> Result<Container> {
    let place = format!("name={},driver-opt={}", network.name(), kind.option());
    let flags = [&["--network", &place][..], flags].concat();
    Container::run(image, &RunOptions::default().flags(&flags))
}

/// What the agent lists about a container's endpoint.
fn line(
    lab: &Lab,
    what: &str,
    key: &str,
    container: &Container,
    network: &Network,
) -> Result<Value> {
    let id = container.attached(network, "EndpointID")?;
    let lines = lab.agent.list(what)?;
    let found = lines.iter().find(|line| line[key] == id.as_str());
    Ok(found.with_context(|| format!("no {id} in {lines:?}"))?.clone())
}

/// Segments of TCP that a container has sent, and those of them that it has sent again.
fn segments(container: &Container) -> Result<(u64, u64)> {
    let text = container.exec_ok(&["cat", "/proc/net/snmp"])?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next(), lines.next());
    let (names, values) = names.zip(values).context("no TCP in /proc/net/snmp")?;
    let value = |name: &str| {
        let mut pairs = names.split(' ').zip(values.split(' '));
        let found = pairs.find(|(it, _)| *it == name);
        found.and_then(|(_, value)| value.parse().ok()).with_context(|| name.to_owned())
    };
    Ok((value("OutSegs")?, value("RetransSegs")?))
}

/// Segments that one kernel leaves uncut reach the other uncut, whatever brings them there.
#[test]
fn segments_stay_whole_between_a_veth_and_a_tap_container() {
    docker_test(&[], |lab| {
        let (network, image) = (lab.network(&[])?, Image::examples()?);
        let by_veth = container(&image, &network, Kind::Veth, &[])?;
        let by_tap = container(&image, &network, Kind::Tap, &[])?;
        for (one, owner) in [(&by_veth, "veth"), (&by_tap, "tap")] {
            ensure!(line(lab, "endpoints", "id", one, &network)?["owner"] == owner);
        }
        for (from, to) in [(&by_veth, &by_tap), (&by_tap, &by_veth)] {
            let address = from.address(&network)?;
            to.pings(address, SOON)?;
            let count = |key: &str| -> Result<u64> {
                let counters = line(lab, "counters", "endpoint", from, &network)?;
                counters[key].as_u64().context("a number")
            };
            let (frames, bytes) = (count("rx_frames")?, count("rx_bytes")?);
            let (sent, again) = segments(from)?;
            let _sending = from.exec_start(&["netprobe", "serve", PORT, &MEGABYTES.to_string()])?;
            let source = format!("{address}:{PORT}");
            let received = wait::until_ok(PATIENCE, "the transfer succeeds", || {
                to.exec_ok(&["netprobe", "fetch", &source])
            })?;
            let received: Value = serde_json::from_str(&received)?;
            ensure!(received["bytes"] == MEGABYTES << 20, "received {received}");
            let (frames, bytes) = (count("rx_frames")? - frames, count("rx_bytes")? - bytes);
            ensure!(bytes > MEGABYTES << 20, "{bytes} bytes were counted");
            ensure!(bytes / frames > 3 * 1514, "{bytes} bytes were {frames} frames");
            let now = segments(from)?;
            let (sent, again) = (now.0 - sent, now.1 - again);
            ensure!(again <= sent / 50, "{again} of {sent} segments were sent again");
        }
        Ok(())
    });
}

/// The host's end is a link of the host, and yet nothing that a container sends reaches the host by it.
#[test]
fn the_hosts_kernel_takes_no_part() {
    docker_test(&[], |lab| {
        let world = World::create(11)?;
        // Without the gateway of the host, which would answer as any router does.
        let network = lab.network(&["--internal", "-o", Kind::Veth.option()])?;
        let image = Image::examples()?;
        let flags = ["--cap-add", "NET_ADMIN"];
        let one = container(&image, &network, Kind::Veth, &flags)?;
        one.pings(network.gateway(0)?.parse()?, SOON)?;
        let id = one.attached(&network, "EndpointID")?;
        let end = format!("dvh{}", &id[..12]);
        ensure!(std::path::Path::new("/sys/class/net").join(&end).exists(), "there is no {end}");
        let host = world.host()[0].to_string();
        one.exec_ok(&["ip", "route", "add", &format!("{host}/32"), "dev", "eth0"])?;
        let answer = one.exec(&["ping", "-c", "2", "-W", "1", &host])?;
        ensure!(!answer.success, "the host answers: {}", answer.output);
        let known = one.exec_ok(&["ip", "neigh", "show", &host])?;
        ensure!(!known.contains("lladdr"), "the host said where it is: {known}");
        let addresses = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
        ensure!(!addresses.contains(&end), "{end} has an address: {addresses}");
        one.remove()?;
        ensure!(!std::path::Path::new("/sys/class/net").join(&end).exists(), "{end} is left");
        Ok(())
    });
}
