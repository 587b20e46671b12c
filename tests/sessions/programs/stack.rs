//! A container of kind `userspace` and peers that have no sessions: containers with a kernel interface,
//! programs that speak packets, the gateway. Nothing of it passes the kernel's network stack in the
//! userspace container.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::RunOptions;
use kit::lab::docker_test;
use kit::need::{Need, PYTHON};
use kit::process::{Process, run};
use kit::{Container, Image, Lab, Network, wait};

pub(super) const SOON: Duration = Duration::from_secs(20);

pub(super) const PEERS: &str = "/programs/peers.py";

/// A network with both IP versions, a userspace container with the preload library, and one with a
/// kernel interface.
pub(super) struct Site {
    pub(super) userspace: Container,
    pub(super) tap: Container,
    /// Dropped last: a network with containers cannot be removed.
    pub(super) network: Network,
}

fn site(lab: &Lab, subnet: u8) -> Result<Site> {
    site_with(lab, subnet, &[])
}

/// As [`site`], with more options of the network.
pub(super) fn site_with(lab: &Lab, subnet: u8, more: &[&str]) -> Result<Site> {
    let v4 = format!("10.202.{subnet}.0/24");
    let v6 = format!("fd00:202:{subnet}::/64");
    // Older engines tell of gateways that they were told of.
    let (gateway4, gateway6) = (format!("10.202.{subnet}.1"), format!("fd00:202:{subnet}::1"));
    let pools = ["--subnet", &v4, "--gateway", &gateway4, "--subnet", &v6, "--gateway", &gateway6];
    let options = [&["--ipv6", "-o", "attach=userspace"][..], &pools, more].concat();
    let network = lab.network(&options)?;
    let image = Image::session_programs()?;
    let userspace = Container::run(&image, &RunOptions::default().on(&network).shimmed()?)?;
    let auto = format!("name={},driver-opt=attach=auto", network.name());
    let options = RunOptions::default().flags(&["--network", &auto]);
    let tap = Container::run(&image, &options)?;
    Ok(Site { userspace, tap, network })
}

impl Site {
    pub(super) fn addresses(&self, container: &Container) -> Result<[IpAddr; 2]> {
        Ok([container.address(&self.network)?, container.address6(&self.network)?])
    }

    pub(super) fn gateways(&self) -> Result<[IpAddr; 2]> {
        let gateway = |index| Ok::<_, anyhow::Error>(self.network.gateway(index)?.parse()?);
        Ok([gateway(0)?, gateway(1)?])
    }
}

/// What the kernel of the container counted: packets of the loopback both ways, packets that `eth0` received
/// (it sends some of its own accord: neighbours, groups), TCP segments and UDP datagrams of both IP versions.
fn kernel_counts(container: &Container) -> Result<Vec<String>> {
    let text = container.exec_ok(&["cat", "/proc/net/dev", "/proc/net/snmp", "/proc/net/snmp6"])?;
    let mut counts = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["lo:", _, received, ..] => counts.push(format!("lo {received} {}", words[9])),
            ["eth0:", _, received, ..] => counts.push(format!("eth0 {received}")),
            // After the names of the counters.
            ["Tcp:", first, ..] if first.parse::<u64>().is_ok() => {
                counts.push(format!("TCP {} {}", words[10], words[11]));
            }
            ["Udp:", first, ..] if first.parse::<u64>().is_ok() => counts.push(line.to_owned()),
            [name, _] if name.starts_with("Udp6") => counts.push(line.to_owned()),
            _ => {}
        }
    }
    ensure!(counts.len() > 5, "counters are missing: {text}");
    Ok(counts)
}

/// Does `work`, during which the kernel's network stack in the container has nothing to do.
pub(super) fn past_the_kernel(
    container: &Container,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let before = kernel_counts(container)?;
    work()?;
    let after = kernel_counts(container)?;
    ensure!(before == after, "the kernel counted packets: {before:?}, then {after:?}");
    Ok(())
}

/// Starts the echo server and waits until it serves, by the broker too where that is asked.
pub(super) fn serve(lab: &Lab, container: &Container, by_broker: bool) -> Result<Process> {
    let serving = container.exec_start(&[PYTHON, PEERS, "serve", "7"])?;
    serving.line_after(0, SOON, "it serves", |line| (line == "serving").then_some(()))?;
    if by_broker {
        wait::until(SOON, "streams and datagrams are listened for", || {
            Ok((lab.agent.list("listeners")?.len() >= 2).then_some(()))
        })?;
    }
    Ok(serving)
}

pub(super) fn ask(container: &Container, to: IpAddr, kind: &str, more: &[&str]) -> Result<String> {
    let to = to.to_string();
    let command = [&[PYTHON, PEERS, kind, &to][..], more].concat();
    container.exec_ok(&command).with_context(|| format!("{kind} to {to}"))
}

/// Streams and datagrams of all lengths, each compared with what came back.
fn exchange(from: &Container, to: IpAddr) -> Result<()> {
    ask(from, to, "stream", &["7", "1"])?;
    ask(from, to, "stream", &["7", "20000000"])?;
    ask(from, to, "datagrams", &["7", "200"])?;
    Ok(())
}

#[test]
fn userspace_and_tap_containers_exchange_streams_and_datagrams() {
    docker_test(&[Need::SessionPrograms], |lab| {
        let site = site(lab, 1)?;
        past_the_kernel(&site.userspace, || {
            let _there = serve(lab, &site.tap, false)?;
            for to in site.addresses(&site.tap)? {
                exchange(&site.userspace, to)?;
            }
            let _here = serve(lab, &site.userspace, true)?;
            for to in site.addresses(&site.userspace)? {
                exchange(&site.tap, to)?;
            }
            Ok(())
        })
    });
}

#[test]
fn closed_ports_are_refused_at_once_by_containers_and_the_gateway() {
    docker_test(&[Need::SessionPrograms], |lab| {
        let site = site(lab, 2)?;
        past_the_kernel(&site.userspace, || {
            for to in site.addresses(&site.tap)?.into_iter().chain(site.gateways()?) {
                ask(&site.userspace, to, "closed", &["9"])?;
            }
            for to in site.addresses(&site.userspace)?.into_iter().chain(site.gateways()?) {
                ask(&site.tap, to, "closed", &["9"])?;
            }
            for to in site.addresses(&site.userspace)? {
                site.tap.pings(to, SOON)?;
            }
            Ok(())
        })
    });
}

/// Starts `memif-station` in a container, as the owner of its address.
fn station(site: &Site, container: &Container, job: &[&str]) -> Result<Process> {
    let [v4, v6] = site.addresses(container)?;
    let mac = container.attached(&site.network, "MacAddress")?;
    let (v4, v6) = (format!("{v4}/24"), format!("{v6}/64"));
    let command = [&["memif-station", "@dockervpp/memif", &mac, &v4, &v6][..], job].concat();
    container.exec_start(&command)
}

fn serving(station: &Process) -> Result<()> {
    station.line_after(0, SOON, "the station serves", |line| (line == "serving").then_some(()))
}

/// Waits until the agent says that `owner` has the container's address.
pub(super) fn owned_by(lab: &Lab, site: &Site, container: &Container, owner: &str) -> Result<()> {
    let id = container.attached(&site.network, "EndpointID")?;
    wait::until(SOON, &format!("{owner} owns the address"), || {
        let all = lab.agent.list("endpoints")?;
        let line = all.iter().find(|line| line["id"] == id.as_str());
        let line = line.with_context(|| format!("no endpoint {id}"))?;
        Ok((line["owner"] == owner).then_some(()))
    })
}

/// Opens a connection that stays; it says how it ends.
pub(super) fn hold(from: &Container, to: IpAddr) -> Result<Process> {
    let held = from.exec_start(&[PYTHON, PEERS, "hold", &to.to_string(), "7"])?;
    held.line_after(0, SOON, "connected", |line| (line == "connected").then_some(()))?;
    Ok(held)
}

pub(super) fn is_reset(held: &Process) -> Result<()> {
    held.line_after(0, SOON, "a reset", |line| (line == "reset").then_some(()))
}

/// Both ways with a packet program in the other container, over both IP versions: it serves, then it asks.
/// `exchange` is what the transport of the site can, and `job` what of that the packet program does.
pub(super) fn exchanges_with_a_station(
    lab: &Lab,
    site: &Site,
    job: &str,
    exchange: impl Fn(&Container, IpAddr) -> Result<()>,
) -> Result<()> {
    let there = station(site, &site.tap, &["serve", "7"])?;
    serving(&there)?;
    for to in site.addresses(&site.tap)? {
        exchange(&site.userspace, to)?;
    }
    site.tap.exec_ok(&["killall", "-9", "memif-station"])?;
    let _here = serve(lab, &site.userspace, true)?;
    for to in site.addresses(&site.userspace)? {
        let to = SocketAddr::new(to, 7).to_string();
        let mut asking = station(site, &site.tap, &[job, &to, "20000000"])?;
        let status = asking.wait(Duration::from_mins(2))?;
        ensure!(status.success(), "{to}: {:?}", asking.output());
    }
    Ok(())
}

#[test]
fn userspace_and_memif_containers_exchange_streams_and_datagrams() {
    docker_test(&[Need::SessionPrograms], |lab| {
        let site = site(lab, 3)?;
        past_the_kernel(&site.userspace, || exchanges_with_a_station(lab, &site, "ask", exchange))
    });
}

#[test]
fn packet_client_has_the_address_while_it_is_connected() {
    docker_test(&[Need::SessionPrograms], |lab| {
        let site = site(lab, 4)?;
        owned_by(lab, &site, &site.userspace, "stack")?;
        gives_way_to_a_packet_client(lab, &site, "stack", exchange)
    });
}

/// A packet client in the userspace container takes the address from its `owner`, who has it again when
/// the client goes. `exchange` is what the transport of the site can.
pub(super) fn gives_way_to_a_packet_client(
    lab: &Lab,
    site: &Site,
    owner: &str,
    exchange: impl Fn(&Container, IpAddr) -> Result<()>,
) -> Result<()> {
    let _there = serve(lab, &site.tap, false)?;
    let _here = serve(lab, &site.userspace, true)?;
    let (inside, outside) = (site.addresses(&site.userspace)?, site.addresses(&site.tap)?);
    let (out, back) = (hold(&site.userspace, outside[0])?, hold(&site.tap, inside[1])?);
    let mut client = station(site, &site.userspace, &["serve", "7"])?;
    serving(&client)?;
    owned_by(lab, site, &site.userspace, "memif")?;
    // What the owner had is over at both ends, and the client's own stack answers.
    is_reset(&out)?;
    is_reset(&back)?;
    for to in inside {
        exchange(&site.tap, to)?;
    }
    let refused =
        site.userspace.exec(&[PYTHON, PEERS, "stream", &outside[0].to_string(), "7", "1"])?;
    ensure!(!refused.success && refused.errors.contains("No route to host"), "{refused:?}");
    // It goes: listeners are where they were, and programs connect again.
    site.userspace.exec_ok(&["killall", "-9", "memif-station"])?;
    client.wait(SOON)?;
    owned_by(lab, site, &site.userspace, owner)?;
    for (inside, outside) in inside.into_iter().zip(outside) {
        exchange(&site.tap, inside)?;
        exchange(&site.userspace, outside)?;
    }
    Ok(())
}

#[test]
fn connections_are_reset_by_a_crash_of_the_agent_and_come_again() {
    docker_test(&[Need::SessionPrograms], |lab| {
        let site = site(lab, 5)?;
        let _there = serve(lab, &site.tap, false)?;
        let _here = serve(lab, &site.userspace, true)?;
        let (inside, outside) = (site.addresses(&site.userspace)?, site.addresses(&site.tap)?);
        for (inside, outside) in inside.into_iter().zip(outside) {
            let (out, back) = (hold(&site.userspace, outside)?, hold(&site.tap, inside)?);
            lab.crash()?;
            is_reset(&out)?;
            is_reset(&back)?;
            // The server is the one that ran before.
            wait::until(SOON, "the server is known again", || {
                Ok((lab.agent.list("listeners")?.len() >= 2).then_some(()))
            })?;
            exchange(&site.tap, inside)?;
            exchange(&site.userspace, outside)?;
        }
        Ok(())
    });
}

#[test]
fn capture_shows_what_the_stack_sends_and_receives() {
    docker_test(&[Need::SessionPrograms, Need::Tcpdump], |lab| {
        let site = site(lab, 6)?;
        let _there = serve(lab, &site.tap, false)?;
        let to = site.tap.address(&site.network)?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("capture.pcapng");
        let file = file.to_str().context("a path that is a text")?;
        let endpoint = site.userspace.attached(&site.network, "EndpointID")?;
        let arguments = ["capture", "--endpoint", &endpoint, "-w", file, "--count", "40"];
        let mut capturing = Process::start("capture", &mut lab.agent.command(&arguments)?)?;
        // Until the capture has its frames: no guess about when it began.
        wait::until(Duration::from_mins(1), "the capture is full", || {
            ask(&site.userspace, to, "stream", &["7", "1000"])?;
            ask(&site.userspace, to, "datagrams", &["7", "2"])?;
            capturing.exited()
        })?;
        let text = run(Command::new("tcpdump").args(["-nr", file]))?;
        let own = site.userspace.address(&site.network)?;
        for expected in
            [format!("{to}.7: Flags [S]"), format!("{to}.7 > {own}."), format!("{to}.7: UDP")]
        {
            ensure!(text.contains(&expected), "no {expected:?} in {text}");
        }
        Ok(())
    });
}
