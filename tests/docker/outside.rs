//! The outside: containers reach a host behind the host, and it reaches them by published ports.

mod flows;
mod kind;
mod splice;
mod stopped;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kit::docker::RunOptions;
use kit::lab::docker_test;
use kit::process::{Process, run};
use kit::{Container, Engine, Image, Lab, Network, World, programs, wait};
use serde_json::Value;

pub(crate) use self::kind::Kind;

const SOON: Duration = Duration::from_secs(20);

/// How long a large transfer may take.
const PATIENCE: Duration = Duration::from_mins(2);

const MIB: &str = "1048576";

/// Why tests are of the embedded engine only.
const WAY_OUT: &str = "VPP has a way out of its own, by --vpp-outside";

/// Tests of what the embedded engine does.
fn outside_test(test: impl FnOnce(&mut Lab) -> Result<()>) {
    if Engine::Embedded.needed(WAY_OUT) {
        docker_test(&[], test);
    }
}

/// A network with both IP versions.
pub(crate) fn network(lab: &Lab, subnet: u8, options: &[&str]) -> Result<Network> {
    let (v4, v6) = (format!("10.203.{subnet}.0/24"), format!("fd00:203:{subnet}::/64"));
    // Older engines tell of gateways that they were told of.
    let (gateway4, gateway6) = (format!("10.203.{subnet}.1"), format!("fd00:203:{subnet}::1"));
    let pools = ["--subnet", &v4, "--gateway", &gateway4, "--subnet", &v6, "--gateway", &gateway6];
    lab.network(&[&["--ipv6"][..], &pools, options].concat())
}

pub(crate) fn container(kind: Kind, network: &Network, flags: &[&str]) -> Result<Container> {
    let options = RunOptions::default().on(network).flags(flags);
    let options = if kind == Kind::Session { options.shimmed()? } else { options };
    Container::run(&Image::examples()?, &options)
}

/// `memif-station` with the container's addresses and gateways.
pub(crate) fn station(
    container: &Container,
    network: &Network,
    job: &[&str],
) -> Result<Vec<String>> {
    let place =
        |address: IpAddr, prefix: u8, gateway: String| format!("{address}/{prefix}@{gateway}");
    let v4 = place(container.address(network)?, 24, network.gateway(0)?);
    let v6 = place(container.address6(network)?, 64, network.gateway(1)?);
    let mac = container.attached(network, "MacAddress")?;
    let line = [&["memif-station", "@dockervpp/memif", &mac, &v4, &v6][..], job].concat();
    Ok(line.into_iter().map(str::to_owned).collect())
}

/// Has a container ask an echo server, by a stream and by datagrams.
fn asks(kind: Kind, container: &Container, network: &Network, to: SocketAddr) -> Result<()> {
    let to = to.to_string();
    if kind == Kind::Memif {
        let line = station(container, network, &["ask", &to, MIB])?;
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        return container.exec_ok(&line).map(drop);
    }
    for (what, bytes) in [("stream", MIB), ("datagrams", "10000")] {
        wait::until_ok(SOON, &format!("{what} to {to}"), || {
            container.exec_ok(&["netprobe", "ask", what, &to, bytes])
        })?;
    }
    Ok(())
}

/// Starts an echo server in a container and waits until it listens.
pub(crate) fn echoes(
    kind: Kind,
    container: &Container,
    network: &Network,
    port: &str,
) -> Result<Process> {
    let line = match kind {
        Kind::Memif => station(container, network, &["serve", port])?,
        Kind::Tap | Kind::Veth | Kind::Session => {
            ["netprobe", "echo", port].map(str::to_owned).to_vec()
        }
    };
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let server = container.exec_start(&line)?;
    let ready = |line: &str| matches!(line, "listening" | "serving").then_some(());
    server.line_after(0, SOON, "the server listens", ready)?;
    Ok(server)
}

pub(crate) fn netprobe() -> Result<PathBuf> {
    programs::netprobe()
}

/// Asks an echo server from outside.
fn asked_from(world: &World, what: &str, to: SocketAddr, bytes: &str) -> Result<String> {
    let to = to.to_string();
    run(&mut world.command(netprobe()?.display(), &["ask", what, &to, bytes]))
}

/// Asks an echo server from the host itself.
fn asked_from_host(what: &str, to: &str, bytes: &str) -> Result<String> {
    run(Command::new(netprobe()?).args(["ask", what, to, bytes]))
}

/// Waits until a server says that somebody with this address came, since `mark`.
pub(crate) fn saw(server: &Process, mark: usize, what: &str, from: IpAddr) -> Result<()> {
    let found = |line: &str| {
        let address: SocketAddr = line.strip_prefix(what)?.trim().parse().ok()?;
        (address.ip() == from).then_some(())
    };
    server.line_after(mark, SOON, &format!("{what} from {from}"), found)
}

/// The ports of the host that lead to a container, as the agent shows them.
pub(crate) fn shown_ports(lab: &Lab, container: &Container, network: &Network) -> Result<Vec<u16>> {
    let id = container.attached(network, "EndpointID")?;
    let list = lab.agent.list("ports")?;
    let own = list.iter().filter(|it| it["endpoint"] == id.as_str() && it["served"] == true);
    let port = |it: &Value| {
        let number = it["mapping"]["host_port"].as_u64().and_then(|it| u16::try_from(it).ok());
        Some((it["mapping"]["protocol"].to_string(), number?))
    };
    let ports: Option<Vec<(String, u16)>> = own.map(port).collect();
    let mut ports = ports.with_context(|| format!("{list:?}"))?;
    // Docker has no order of them: TCP first, then UDP.
    ports.sort_unstable();
    Ok(ports.into_iter().map(|(_, number)| number).collect())
}

#[test]
fn containers_of_every_kind_reach_the_outside_in_both_ip_versions() {
    outside_test(|lab| {
        let world = World::create(1)?;
        let server = world.start(netprobe()?.display(), &["echo", "7000"])?;
        server.line_after(0, SOON, "it listens", |it| (it == "listening").then_some(()))?;
        for (subnet, kind) in (1..).zip(Kind::ALL) {
            let network = network(lab, subnet, &["-o", kind.attach()])?;
            let one = container(kind, &network, &[])?;
            for (to, own) in world.addresses().into_iter().zip(world.host()) {
                let mark = server.mark();
                asks(kind, &one, &network, (to, 7000).into())
                    .with_context(|| format!("{kind:?} to {to}"))?;
                saw(&server, mark, "stream", own)?;
                saw(&server, mark, "datagram", own)?;
            }
        }
        Ok(())
    });
}

#[test]
fn published_ports_of_every_kind_are_reached_and_see_who_comes() {
    outside_test(|lab| {
        let world = World::create(2)?;
        for (subnet, kind) in (4..).zip(Kind::ALL) {
            let network = network(lab, subnet, &["-o", kind.attach()])?;
            let flags = ["-p", "17000:7000", "-p", "17000:7000/udp"];
            let one = container(kind, &network, &flags)?;
            let server = echoes(kind, &one, &network, "7000")?;
            for (to, from) in world.host().into_iter().zip(world.addresses()) {
                for (what, said) in [("stream", "stream"), ("datagrams", "datagram")] {
                    let mark = server.mark();
                    asked_from(&world, what, (to, 17000).into(), MIB)
                        .with_context(|| format!("{what} to {kind:?} by {to}"))?;
                    saw(&server, mark, said, from)?;
                }
            }
            ensure!(shown_ports(lab, &one, &network)? == [17000, 17000]);
        }
        Ok(())
    });
}

#[test]
fn published_ports_are_reached_from_the_host_and_from_containers() {
    outside_test(|lab| {
        let (world, home) = (World::create(3)?, network(lab, 7, &[])?);
        let one = container(Kind::Tap, &home, &["-p", "17001:7000", "-p", "17001:7000/udp"])?;
        let _server = echoes(Kind::Tap, &one, &home, "7000")?;
        let [four, six] = world.host();
        // Its own loopback addresses, and those that others know it by.
        for to in
            ["127.0.0.1:17001", "[::1]:17001", &format!("{four}:17001"), &format!("[{six}]:17001")]
        {
            for what in ["stream", "datagrams"] {
                asked_from_host(what, to, MIB).with_context(|| format!("{what} to {to}"))?;
            }
        }
        // A neighbour, the container itself, and one of another network, all by the host's address.
        let away = network(lab, 8, &[])?;
        let neighbour = container(Kind::Tap, &home, &[])?;
        let stranger = container(Kind::Tap, &away, &[])?;
        for (who, network) in [(&neighbour, &home), (&one, &home), (&stranger, &away)] {
            for to in world.host() {
                asks(Kind::Tap, who, network, (to, 17001).into())
                    .with_context(|| to.to_string())?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_container_without_ipv6_is_reached_over_ipv6_too() {
    outside_test(|lab| {
        let world = World::create(4)?;
        let network = lab.network(&["--subnet", "10.203.9.0/24"])?;
        let one = container(Kind::Tap, &network, &["-p", "17002:7000"])?;
        let _server = echoes(Kind::Tap, &one, &network, "7000")?;
        for to in world.host() {
            asked_from(&world, "stream", (to, 17002).into(), MIB)?;
        }
        Ok(())
    });
}

#[test]
fn only_published_ports_lead_into_a_network() {
    outside_test(|lab| {
        let world = World::create(5)?;
        let (left, right) = (network(lab, 10, &[])?, network(lab, 11, &[])?);
        let one = container(Kind::Tap, &left, &["-p", "17003:7000"])?;
        let two = container(Kind::Tap, &right, &[])?;
        let _server = echoes(Kind::Tap, &one, &left, "7000")?;
        world.learn("10.203.10.0/24")?;
        world.learn("fd00:203:10::/64")?;
        // The way is there: the gateway of a network is an address of the host.
        asked_from(&world, "stream", (world.host()[0], 17003).into(), "1000")?;
        for to in [one.address(&left)?, one.address6(&left)?] {
            let to = to.to_string();
            let ping = if to.contains(':') { "-6" } else { "-4" };
            let mut pinging = world.command("ping", &[ping, "-c", "2", "-W", "1", &to]);
            ensure!(!pinging.output()?.status.success(), "the outside reaches {to}");
            let answer = two.exec(&["ping", "-c", "2", "-W", "1", &to])?;
            ensure!(!answer.success, "another network reaches {to}: {}", answer.output);
        }
        Ok(())
    });
}

#[test]
fn isolation_holds_at_the_gateway() {
    outside_test(|lab| {
        let network = network(lab, 12, &["-o", "isolation=true"])?;
        let flags = ["--cap-add", "NET_ADMIN"];
        let (one, two) =
            (container(Kind::Tap, &network, &flags)?, container(Kind::Tap, &network, &[])?);
        one.pings(network.gateway(0)?.parse()?, SOON)?;
        // Whoever sends a neighbour's packets to the gateway instead does not reach it either.
        let (to, gateway) = (two.address(&network)?.to_string(), network.gateway(0)?);
        one.exec_ok(&["ip", "route", "add", &format!("{to}/32"), "via", &gateway])?;
        let answer = one.exec(&["ping", "-c", "2", "-W", "1", &to])?;
        ensure!(!answer.success, "an isolated neighbour answers: {}", answer.output);
        Ok(())
    });
}

#[test]
fn an_internal_network_has_nothing_on_the_host() {
    outside_test(|lab| {
        let world = World::create(6)?;
        let network = network(lab, 13, &["--internal"])?;
        let one = container(Kind::Tap, &network, &["--cap-add", "NET_ADMIN"])?;
        one.pings(network.gateway(0)?.parse()?, SOON)?;
        let link = format!("/sys/class/net/dvg{}", &network.id()[..12]);
        ensure!(!std::path::Path::new(&link).exists(), "{link} is there");
        // Also whoever takes the gateway for a router stays inside.
        one.exec_ok(&["ip", "route", "add", "default", "via", &network.gateway(0)?])?;
        let to = world.addresses()[0].to_string();
        let answer = one.exec(&["ping", "-c", "2", "-W", "1", &to])?;
        ensure!(!answer.success, "the outside answers: {}", answer.output);
        Ok(())
    });
}

#[test]
fn a_port_that_is_in_use_is_refused_and_a_freed_one_is_not() {
    outside_test(|lab| {
        let network = network(lab, 14, &[])?;
        let refused = |flags: &[&str], words: &str| {
            let started = container(Kind::Tap, &network, flags);
            let text = format!("{:#}", started.err().context("the container started")?);
            ensure!(text.contains(words), "{text}");
            Ok(())
        };
        let one = container(Kind::Tap, &network, &["-p", "17004:80"])?;
        refused(&["-p", "17004:81"], "in use")?;
        refused(&["-p", "127.0.0.1:17004:81"], "in use")?;
        refused(&["-p", "17005:81/sctp"], "SCTP")?;
        refused(&["-p", "192.0.2.99:17005:81"], "no such address")?;
        let held = std::net::TcpListener::bind("0.0.0.0:17006")?;
        refused(&["-p", "17006:80"], "in use by another program")?;
        drop(held);
        // The other protocol is another port, and so is the same one after its container stopped.
        let two = container(Kind::Tap, &network, &["-p", "17004:80/udp", "-p", "17006:80"])?;
        one.remove()?;
        let three = container(Kind::Tap, &network, &["-p", "17004:80"])?;
        ensure!(shown_ports(lab, &two, &network)? == [17006, 17004]);
        ensure!(shown_ports(lab, &three, &network)? == [17004]);
        Ok(())
    });
}

#[test]
fn ports_of_a_range_and_any_port_are_chosen_and_shown() {
    outside_test(|lab| {
        let world = World::create(7)?;
        let network = network(lab, 15, &[])?;
        let door = world.host()[0];
        let range = ["-p", "17010-17012:7000"];
        let one = container(Kind::Tap, &network, &range)?;
        let two = container(Kind::Tap, &network, &range)?;
        let any = format!("{door}::7000");
        let three = container(Kind::Tap, &network, &["-p", &any])?;
        let mut ports = Vec::new();
        for it in [&one, &two, &three] {
            ports.extend(shown_ports(lab, it, &network)?);
        }
        let [first, second, third] = ports[..] else { bail!("not one port each: {ports:?}") };
        ensure!((first, second) == (17010, 17011) && third != 0, "{ports:?}");
        for (it, port) in [(&one, first), (&two, second), (&three, third)] {
            let server = echoes(Kind::Tap, it, &network, "7000")?;
            asked_from(&world, "stream", (door, port).into(), "1000")?;
            saw(&server, 0, "stream", world.addresses()[0])?;
        }
        // Published on one address is not reached by another.
        let elsewhere = asked_from_host("stream", &format!("127.0.0.1:{third}"), "1000");
        ensure!(elsewhere.is_err(), "a port of {door} is reached by the loopback");
        Ok(())
    });
}

#[test]
fn ports_and_the_way_out_survive_a_crash_of_the_agent() {
    outside_test(|lab| {
        let world = World::create(8)?;
        let outside = world.start(netprobe()?.display(), &["echo", "7000"])?;
        outside.line_after(0, SOON, "it listens", |it| (it == "listening").then_some(()))?;
        for (subnet, kind) in (16..).zip(Kind::ALL) {
            let network = network(lab, subnet, &["-o", kind.attach()])?;
            let one = container(kind, &network, &["-p", "7000", "-p", "7000/udp"])?;
            let ports = shown_ports(lab, &one, &network)?;
            let server = echoes(kind, &one, &network, "7000")?;
            for round in 0..2 {
                let mark = server.mark();
                for (what, port) in ["stream", "datagrams"].into_iter().zip(&ports) {
                    let to = (world.host()[0], *port).into();
                    let asked = || asked_from(&world, what, to, "1000");
                    wait::until_ok(SOON, &format!("{kind:?} is reached, round {round}"), asked)?;
                }
                saw(&server, mark, "stream", world.addresses()[0])?;
                if matches!(kind, Kind::Tap | Kind::Veth) {
                    asks(kind, &one, &network, (world.addresses()[0], 7000).into())?;
                }
                lab.crash()?;
                ensure!(shown_ports(lab, &one, &network)? == ports, "other ports");
                if kind == Kind::Memif {
                    // The station does not connect again by itself.
                    break;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn rules_that_somebody_flushed_are_put_back() {
    outside_test(|lab| {
        let world = World::create(9)?;
        let network = network(lab, 19, &[])?;
        let one = container(Kind::Tap, &network, &["-p", "17020:7000"])?;
        let server = echoes(Kind::Tap, &one, &network, "7000")?;
        let table = table(lab)?;
        run(Command::new("nft").args(["delete", "table", "inet", &table]))?;
        wait::until_ok(SOON, "the table is back", || {
            run(Command::new("nft").args(["list", "table", "inet", &table]))
        })?;
        asked_from(&world, "stream", (world.host()[0], 17020).into(), "1000")?;
        saw(&server, 0, "stream", world.addresses()[0])
    });
}

/// The agent's table, by the link of a network that it names.
fn table(lab: &Lab) -> Result<String> {
    let networks = lab.agent.list("networks")?;
    let id = networks[0]["id"].as_str().context("a network")?;
    let tables = run(Command::new("nft").args(["list", "tables", "inet"]))?;
    let names = tables.lines().filter_map(|line| line.strip_prefix("table inet "));
    for name in names {
        let text = run(Command::new("nft").args(["list", "table", "inet", name]))?;
        if text.contains(&format!("dvg{}", &id[..12])) {
            return Ok(name.to_owned());
        }
    }
    bail!("no table names the gateway: {tables}")
}

/// Sends `megabytes` from a server that started to who fetches them, and compares.
fn transferred(sending: &Process, fetched: &str, megabytes: u64) -> Result<()> {
    let result = |line: &str| serde_json::from_str::<Value>(line).ok();
    let received = result(fetched).with_context(|| fetched.to_owned())?;
    let sent = sending.line_after(0, PATIENCE, "the sender is done", result)?;
    ensure!(received["bytes"] == megabytes << 20, "received {received}");
    ensure!(sent["checksum"] == received["checksum"], "sent {sent}, received {received}");
    Ok(())
}

/// What a TCP hands down whole is cut by the last device, not at the gateway: forwarding one packet costs as much
/// as forwarding forty. The network stack of sessions makes no large segments of IPv6 towards the outside.
#[test]
fn large_segments_pass_the_gateway_whole() {
    outside_test(|lab| {
        let world = World::create(11)?;
        let outside = world.start(netprobe()?.display(), &["echo", "7000"])?;
        outside.line_after(0, SOON, "it listens", |line| (line == "listening").then_some(()))?;
        for (subnet, kind) in [(23, Kind::Tap), (24, Kind::Session), (25, Kind::Veth)] {
            let network = network(lab, subnet, &["-o", kind.attach()])?;
            let one = container(kind, &network, &[])?;
            let [four, six] = world.addresses().map(|it| SocketAddr::new(it, 7000).to_string());
            let through = if kind == Kind::Session { vec![four] } else { vec![four, six] };
            for to in through {
                let ask = |bytes| one.exec_ok(&["netprobe", "ask", "stream", &to, bytes]);
                wait::until_ok(PATIENCE, "the way is there", || ask("1000"))?;
                let before = world.sent()?;
                ask("33554432")?;
                let after = world.sent()?;
                let (packets, bytes) = (after.0 - before.0, after.1 - before.1);
                ensure!(bytes >= 32 << 20, "{kind:?}: {bytes} bytes to {to}");
                // Acknowledgements of what comes back are among them.
                ensure!(
                    bytes / packets > 4000,
                    "{kind:?}: {bytes} bytes in {packets} packets to {to}"
                );
            }
        }
        Ok(())
    });
}

/// Large segments pass the gateway as they are where both ends have a kernel; the outside has smaller
/// packets than the network.
#[test]
fn large_transfers_arrive_unchanged_both_ways_with_jumbo_frames_inside() {
    outside_test(|lab| {
        let world = World::create(10)?;
        world.narrow(1400)?;
        for (subnet, kind) in [(20, Kind::Tap), (21, Kind::Session), (22, Kind::Veth)] {
            let network = network(lab, subnet, &["-o", "mtu=9000", "-o", kind.attach()])?;
            let one = container(kind, &network, &["-p", "17030:7000"])?;
            for (index, to) in world.addresses().into_iter().enumerate() {
                let port = format!("700{index}");
                let sending = world.start(netprobe()?.display(), &["serve", &port, "64"])?;
                let from = format!("{}", SocketAddr::new(to, port.parse()?));
                let fetched =
                    wait::until_ok(PATIENCE, "out", || one.exec_ok(&["netprobe", "fetch", &from]))?;
                transferred(&sending, &fetched, 64)
                    .with_context(|| format!("{kind:?} from {to}"))?;
            }
            for to in world.host() {
                let sending = one.exec_start(&["netprobe", "serve", "7000", "64"])?;
                let from = SocketAddr::new(to, 17030).to_string();
                let fetched = wait::until_ok(PATIENCE, "in", || {
                    run(&mut world.command(netprobe()?.display(), &["fetch", &from]))
                })?;
                transferred(&sending, &fetched, 64).with_context(|| format!("{kind:?} by {to}"))?;
            }
        }
        Ok(())
    });
}
