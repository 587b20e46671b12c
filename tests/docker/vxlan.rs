//! A network that another host has too: here the kernel's own `vxlan` device, in a namespace behind the host.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::lab::docker_test;
use kit::process::run;
use kit::{Container, Engine, Lab, Network, World, wait};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);
const SUBNET: [&str; 6] =
    ["--subnet", "10.204.0.0/16", "--gateway", "10.204.0.1", "--ip-range", "10.204.1.0/24"];
/// The station of the other host.
const FAR: &str = "10.204.2.2";

/// Has the world be a host with the segment.
fn join(world: &World) -> Result<()> {
    let [near, ..] = world.host().map(|address| address.to_string());
    let [far, ..] = world.addresses().map(|address| address.to_string());
    let device = ["link", "add", "vx0", "mtu", "1450", "type", "vxlan", "id", "42"];
    let way = ["local", &far, "remote", &near, "dstport", "4799"];
    let address = format!("{FAR}/16");
    for line in [
        &[&device[..], &way].concat()[..],
        &["address", "add", &address, "dev", "vx0"],
        &["link", "set", "vx0", "up"],
    ] {
        run(&mut world.command("ip", line))?;
    }
    Ok(())
}

fn options(world: &World) -> Vec<String> {
    let peers = format!("vxlan.peers={},{}", world.host()[0], world.addresses()[0]);
    ["-o", "vxlan.vni=42", "-o", "vxlan.port=4799", "-o", &peers].map(str::to_owned).to_vec()
}

fn create(lab: &Lab, options: &[String]) -> Result<Network> {
    let options = options.iter().map(String::as_str);
    lab.network(&SUBNET.into_iter().chain(options).collect::<Vec<_>>())
}

fn refused(lab: &Lab, options: &[&str]) -> Result<String> {
    let made = lab.network(&[&SUBNET[..], options].concat());
    ensure!(made.is_err(), "{options:?} was not refused");
    Ok(format!("{:?}", made.err().context("checked")?))
}

fn shown(lab: &Lab) -> Result<Value> {
    lab.agent.list("vxlan")?.pop().context("a network with other hosts")
}

fn reaches(container: &Container, times: &str) -> Result<()> {
    container.exec_ok(&["ping", "-c", times, "-W", "2", FAR]).map(drop)
}

#[test]
fn the_kernels_vxlan_is_on_the_network() {
    if !Engine::Embedded.needed("VPP refuses vxlan.*") {
        return;
    }
    docker_test(&[], |lab| {
        let world = World::create(77)?;
        join(&world)?;
        let network = create(lab, &options(&world))?;
        let container = Container::idle(&lab.busybox()?, &network)?;
        reaches(&container, "3")?;
        let address = container.address(&network)?.to_string();
        run(
            &mut world.command("ping", &["-c", "1", "-W", "2", "-M", "do", "-s", "1422", &address])
        )?;
        let networks = lab.agent.list("networks")?;
        ensure!(networks[0]["mtu"] == 1450 && networks[0]["vni"] == 42, "{networks:?}");
        let far = world.addresses()[0].to_string();
        let host = shown(lab)?;
        let peer = format!("{far}:4799");
        ensure!(host["peers"][0]["peer"] == peer.as_str(), "{host}");
        ensure!(host["own"][0] == world.host()[0].to_string(), "{host}");
        ensure!(host["peers"][0]["rx_frames"].as_u64() > Some(3), "{host}");
        let fdb = lab.agent.list("fdb")?;
        ensure!(fdb.iter().any(|line| line["peer"] == peer.as_str()), "{fdb:?}");
        let table = run(&mut lab.agent.command(&["show", "vxlan"])?)?;
        ensure!(table.contains(&peer), "{table}");

        // The container cannot pass for this host, whatever it sends.
        let send = || container.exec(&["timeout", "2", "tftp", "-g", "-r", "x", &far, "4799"]);
        let dropped = || {
            let table = run(Command::new("nft").args(["list", "ruleset"]))?;
            let rule =
                table.lines().find(|line| line.contains("udp dport") && line.contains("4799"));
            let rule = rule.with_context(|| format!("no rule for the port: {table}"))?;
            Ok::<_, anyhow::Error>(!rule.contains("packets 0 "))
        };
        ensure!(!dropped()?, "packets were dropped before any was sent");
        send()?;
        ensure!(dropped()?, "the container's datagram left");

        lab.crash()?;
        let again =
            wait::until_ok(SOON, "the other host is reached again", || reaches(&container, "1"));
        again?;
        drop(container);
        drop(network);
        let left = lab.agent.list("vxlan")?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    });
}

#[test]
fn options_that_cannot_work_are_refused_with_what_to_do() {
    docker_test(&[], |lab| {
        if Engine::under_test() == Engine::Vpp {
            let said = refused(lab, &["-o", "vxlan.vni=1", "-o", "vxlan.peers=192.0.2.1"])?;
            ensure!(said.contains("--engine embedded"), "{said}");
            return Ok(());
        }
        for (options, words) in [
            (&["-o", "vxlan.vni=1"][..], "needs `vxlan.peers`"),
            (&["-o", "vxlan.peers=192.0.2.1"], "needs `vxlan.vni`"),
            (
                &["-o", "vxlan.vni=1", "-o", "vxlan.peers=192.0.2.1", "-o", "isolation=true"],
                "exclude each other",
            ),
            (
                &["-o", "vxlan.vni=1", "-o", "vxlan.peers-file=/nowhere/peers"],
                "/nowhere/peers cannot be used",
            ),
            (
                &[
                    "-o",
                    "vxlan.vni=1",
                    "-o",
                    "vxlan.peers=192.0.2.1",
                    "-o",
                    "vxlan.local=203.0.113.9",
                ],
                "must be an address of this host",
            ),
        ] {
            let said = refused(lab, options)?;
            ensure!(said.contains(words), "{options:?}: {said}");
        }
        Ok(())
    });
}
