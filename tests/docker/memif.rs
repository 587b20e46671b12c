//! Containers whose programs speak packets: over memif, beside ordinary neighbours.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::{LIMIT, RunOptions, docker};
use kit::lab::docker_test;
use kit::need::Need;
use kit::process::{Process, run};
use kit::{Container, Engine, Image, Lab, Network, wait};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(15);

/// Starts `ping_responder` in `container`, with the container's own address.
fn responder(container: &Container, network: &Network, endpoint: &str) -> Result<Process> {
    let address = container.address(network)?.to_string();
    let mac = container.attached(network, "MacAddress")?;
    let endpoint = format!("connect:@dockervpp/memif{endpoint}");
    container.exec_start(&["ping_responder", &endpoint, &address, "--mac", &mac])
}

/// The line of `show WHAT` about the endpoint of `container`, found by `key`.
fn line_of(
    lab: &Lab,
    container: &Container,
    network: &Network,
    what: &str,
    key: &str,
) -> Result<Value> {
    let id = container.attached(network, "EndpointID")?;
    let lines = lab.agent.list(what)?;
    let found = lines.iter().find(|line| line[key] == id.as_str());
    Ok(found.with_context(|| format!("no {id} in {lines:?}"))?.clone())
}

/// Waits until the agent says that `owner` has the container's address.
fn owned_by(lab: &Lab, container: &Container, network: &Network, owner: &str) -> Result<()> {
    wait::until_ok(SOON, &format!("{owner} owns the address"), || {
        let line = line_of(lab, container, network, "endpoints", "id")?;
        ensure!(line["owner"] == owner, "{line}");
        Ok(())
    })
}

#[test]
fn info_socket_tells_what_docker_tells() {
    docker_test(&[], |lab| {
        let subnets = ["--ipv6", "--subnet", "10.201.6.0/24", "--subnet", "fd00:201:6::/64"];
        let network = lab.network(&[&subnets[..], &["-o", "mtu=2000"]].concat())?;
        let one = Container::idle(&Image::examples()?, &network)?;
        let text =
            wait::until_ok(SOON, "the info socket answers", || one.exec_ok(&["netprobe", "info"]))?;
        let info: Value = serde_json::from_str(&text)?;
        ensure!(info["ipv4"]["address"] == one.address(&network)?.to_string(), "{info}");
        ensure!(info["ipv4"]["prefix_length"] == 24 && info["mtu"] == 2000, "{info}");
        ensure!(info["ipv4"]["gateway"] == "10.201.6.1", "{info}");
        ensure!(info["ipv6"]["address"] == one.address6(&network)?.to_string(), "{info}");
        ensure!(info["ipv6"]["gateway"] == "fd00:201:6::1", "{info}");
        ensure!(info["mac"] == one.attached(&network, "MacAddress")?, "{info}");
        ensure!(info["network"] == network.id() && info["interface"] == "eth0", "{info}");
        let named = info["sockets"]["info"].as_str().context("no name of the info socket")?;
        ensure!(one.exec_ok(&["netprobe", "info", named])? == text);
        Ok(())
    });
}

#[test]
fn userspace_kind_shows_the_address_and_carries_nothing() {
    docker_test(&[], |lab| {
        let network = lab.network(&["-o", "attach=userspace"])?;
        let image = Image::examples()?;
        let one = Container::idle(&image, &network)?;
        let address = one.address(&network)?;
        let listed = one.exec_ok(&["ip", "-4", "addr", "show", "eth0"])?;
        ensure!(listed.contains(&format!("inet {address}/")), "{listed}");
        let gateway = network.gateway(0)?;
        let answer = one.exec(&["ping", "-c", "2", "-W", "1", &gateway])?;
        ensure!(!answer.success, "the kernel reached the network: {}", answer.output);
        owned_by(lab, &one, &network, "stack")?;
        // The same container over memif is a full member of the network.
        let two = Container::run(
            &image,
            &RunOptions::default()
                .flags(&["--network", &format!("name={},driver-opt=attach=auto", network.name())]),
        )?;
        let _responder = responder(&one, &network, "")?;
        two.pings(address, SOON)?;
        owned_by(lab, &one, &network, "memif")
    });
}

#[test]
fn packet_program_answers_an_ordinary_neighbour() {
    docker_test(&[], |lab| {
        let network = lab.network(&[])?;
        let one = Container::idle(&Image::examples()?, &network)?;
        let two = Container::idle(&lab.busybox()?, &network)?;
        let address = one.address(&network)?;
        two.pings(address, SOON)?;
        owned_by(lab, &one, &network, "tap")?;
        let mut running = responder(&one, &network, "")?;
        owned_by(lab, &one, &network, "memif")?;
        two.pings(address, SOON)?;
        let before = line_of(lab, &one, &network, "counters", "endpoint")?["rx_frames"].as_u64();
        two.exec_ok(&["ping", "-c", "3", "-W", "2", &address.to_string()])?;
        let after = line_of(lab, &one, &network, "counters", "endpoint")?["rx_frames"].as_u64();
        ensure!(after >= before.map(|it| it + 3), "the answers did not come over memif");
        // The client goes: the kernel has the address again.
        one.exec_ok(&["killall", "-9", "ping_responder"])?;
        running.wait(SOON)?;
        owned_by(lab, &one, &network, "tap")?;
        two.pings(address, SOON)
    });
}

#[test]
fn packet_program_connects_again_after_a_crash_of_the_agent() {
    docker_test(&[], |lab| {
        let network = lab.network(&["-o", "attach=userspace"])?;
        let one = Container::idle(&Image::examples()?, &network)?;
        let opt = format!("name={},driver-opt=attach=auto", network.name());
        let two =
            Container::run(&lab.busybox()?, &RunOptions::default().flags(&["--network", &opt]))?;
        let _responder = responder(&one, &network, "")?;
        let address = one.address(&network)?;
        for _ in 0..3 {
            two.pings(address, SOON)?;
            lab.crash()?;
        }
        two.pings(address, SOON)?;
        owned_by(lab, &one, &network, "memif")
    });
}

#[test]
fn only_one_client_has_an_endpoint() {
    docker_test(&[], |lab| {
        let network = lab.network(&[])?;
        let one = Container::idle(&Image::examples()?, &network)?;
        let _first = responder(&one, &network, "")?;
        owned_by(lab, &one, &network, "memif")?;
        let second = one.exec(&[
            "timeout",
            "3",
            "traffic",
            "connect:@dockervpp/memif",
            "send",
            "--count",
            "1",
        ])?;
        ensure!(!second.success, "a second client was taken");
        owned_by(lab, &one, &network, "memif")
    });
}

#[test]
fn secret_of_an_endpoint_is_asked_for() {
    docker_test(&[], |lab| {
        let (home, network) = (lab.network(&[])?, lab.network(&[])?);
        let one = Container::idle(&Image::examples()?, &home)?;
        let two = Container::idle(&lab.busybox()?, &network)?;
        let secret = ["network", "connect", "--driver-opt", "memif.secret=OpenSesame"];
        docker(&[&secret[..], &[network.name(), one.name()]].concat())?;
        let address = one.address(&network)?;
        two.pings(address, SOON)?;
        let endpoint = "connect:@dockervpp/eth1/memif";
        for wrong in ["", ",secret=opensesame"] {
            let place = format!("{endpoint}{wrong}");
            let refused = ["timeout", "2", "traffic", &place, "send", "--count", "1"];
            ensure!(!one.exec(&refused)?.success, "`{wrong}` was taken");
            owned_by(lab, &one, &network, "tap")?;
        }
        let place = format!("{endpoint},secret=OpenSesame");
        let mac = one.attached(&network, "MacAddress")?;
        let _right =
            one.exec_start(&["ping_responder", &place, &address.to_string(), "--mac", &mac])?;
        owned_by(lab, &one, &network, "memif")?;
        two.pings(address, SOON)
    });
}

/// One `traffic` in each container, at full speed: every frame is delivered or counted as a drop.
#[test]
fn every_frame_between_packet_programs_is_accounted_for() {
    docker_test(&[], |lab| {
        let network = lab.network(&["-o", "attach=userspace", "-o", "mtu=9000"])?;
        let image = Image::examples()?;
        let (one, two) = (Container::idle(&image, &network)?, Container::idle(&image, &network)?);
        let own = one.attached(&network, "MacAddress")?;
        let to = two.attached(&network, "MacAddress")?;
        for size in ["64", "64,1518,9000"] {
            exchange(lab, &network, (&one, &own), (&two, &to), size)
                .with_context(|| format!("frames of {size} bytes"))?;
        }
        Ok(())
    });
}

fn exchange(
    lab: &Lab,
    network: &Network,
    (one, own): (&Container, &str),
    (two, to): (&Container, &str),
    size: &str,
) -> Result<()> {
    let place = "connect:@dockervpp/memif";
    let count = |container: &Container| {
        let line = line_of(lab, container, network, "counters", "endpoint")?;
        let number = |key: &str| line[key].as_u64().with_context(|| line.to_string());
        let drops = line["drops"].as_object().context("drops by reason")?;
        let drops: u64 = drops.values().filter_map(Value::as_u64).sum();
        Ok::<_, anyhow::Error>((number("rx_frames")?, number("tx_frames")?, drops))
    };
    let (sender_before, receiver_before) = (count(one)?, count(two)?);
    let receiving = two.exec_start(&["traffic", place, "receive", "--json", "--seconds", "30"])?;
    owned_by(lab, two, network, "memif")?;
    let sent = one.exec_ok(&[
        "traffic", place, "send", "--json", "--count", "500000", "--size", size, "--dst", to,
        "--src", own, "--linger", "1",
    ])?;
    let sent: Value = serde_json::from_str(&sent).with_context(|| sent.clone())?;
    let sent = sent["sent"].as_u64().context("frames sent")?;
    // What the agent took from the sender it delivered or dropped.
    let delivered = wait::until_ok(SOON, "the agent handled all frames", || {
        let (sender, receiver) = (count(one)?, count(two)?);
        let taken = sender.0 - sender_before.0;
        let delivered = receiver.1 - receiver_before.1;
        let drops = (sender.2 - sender_before.2) + (receiver.2 - receiver_before.2);
        ensure!(taken == sent, "sent {sent}, the agent took {taken}");
        ensure!(taken == delivered + drops, "took {taken}, delivered {delivered}, drops {drops}");
        Ok(delivered)
    })?;
    // Status 2 says that frames were lost: those that the agent counted as drops.
    let report = |line: &str| serde_json::from_str::<Value>(line).ok();
    let received = receiving.line_after(0, LIMIT, "the receiver reports", report)?;
    ensure!(received["received"] == delivered, "delivered {delivered}, {received}");
    ensure!(received["damaged"] == 0 && received["disordered"] == 0, "{received}");
    Ok(())
}

#[test]
fn capture_is_read_by_tcpdump() {
    docker_test(&[Need::Tcpdump], |lab| {
        let network = lab.network(&[])?;
        let image = lab.busybox()?;
        let (one, two) = (Container::idle(&image, &network)?, Container::idle(&image, &network)?);
        let to = two.address(&network)?;
        one.pings(to, SOON)?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("trace.pcapng");
        let name = file.to_string_lossy().into_owned();
        // VPP shows the agent no whole networks.
        let endpoint = one.attached(&network, "EndpointID")?;
        let scope = match Engine::under_test() {
            Engine::Embedded => ["--network", network.id()],
            Engine::Vpp => ["--endpoint", &endpoint],
        };
        let arguments = ["capture", scope[0], scope[1], "-w", &name, "--count", "6"];
        let mut capturing = Process::start("capture", &mut lab.agent.command(&arguments)?)?;
        // Pings go on until the capture has its frames: no guess about when it began.
        let to = to.to_string();
        wait::until(LIMIT, "the capture is full", || {
            one.exec_ok(&["ping", "-c", "1", "-W", "1", &to])?;
            capturing.exited()
        })?;
        let text = run(Command::new("tcpdump").args(["-n", "-r", &name]))?;
        ensure!(text.lines().count() == 6, "{text}");
        ensure!(text.contains("ICMP echo request") && text.contains("ICMP echo reply"), "{text}");
        Ok(())
    });
}
