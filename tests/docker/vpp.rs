//! What only an agent with VPP can show; the other files run on both engines.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kit::lab::docker_test;
use kit::{Container, Engine, Image, Lab, Vpp, wait};

const SOON: Duration = Duration::from_secs(15);

/// A test that runs if the suites run on VPP.
fn vpp_test(test: impl FnOnce(&mut Lab) -> Result<()>) {
    if Engine::Vpp.needed("it is about VPP") {
        docker_test(&[], test);
    }
}

#[test]
fn containers_meet_again_when_vpp_comes_back() {
    vpp_test(|lab| {
        let network = lab.network(&["--subnet", "10.201.20.0/24"])?;
        let image = Image::examples()?;
        let (one, two) = (Container::idle(&image, &network)?, Container::idle(&image, &network)?);
        let address = one.address(&network)?;
        two.pings(address, SOON)?;
        let mac = one.attached(&network, "MacAddress")?;
        let _responder = one.exec_start(&[
            "ping_responder",
            "connect:@dockervpp/memif",
            &address.to_string(),
            "--mac",
            &mac,
        ])?;
        for _ in 0..2 {
            let vpp = lab.agent.vpp().context("the agent drives VPP")?;
            vpp.kill();
            vpp.start_again()?;
            // The memif client of one container, the kernel of the other, and the gateway.
            two.pings(address, SOON)?;
            two.pings("10.201.20.1".parse()?, SOON)?;
            wait::until_ok(SOON, "the client owns the address", || {
                let id = one.attached(&network, "EndpointID")?;
                let lines = lab.agent.list("endpoints")?;
                let line = lines.iter().find(|line| line["id"] == id.as_str());
                ensure!(line.context("no such endpoint")?["owner"] == "memif", "{lines:?}");
                Ok(())
            })?;
        }
        Ok(())
    });
}

/// How many objects of each kind VPP has: numbers and names may differ after a restart.
pub(crate) fn objects(vpp: &Vpp) -> Result<BTreeMap<String, usize>> {
    let mut objects = BTreeMap::new();
    let mut count = |what: String| *objects.entry(what).or_default() += 1;
    for line in vpp.cli("show interface")?.lines().filter(|line| !line.starts_with(' ')) {
        let name = line.split_whitespace().next().unwrap_or_default();
        let state = if line.contains(" up ") { "up" } else { "down" };
        count(format!(
            "{} {state}",
            name.trim_end_matches(|it: char| it.is_numeric() || it == '/')
        ));
    }
    for command in ["show bridge-domain", "show ip table", "show ip6 table", "show app ns"] {
        vpp.cli(command)?.lines().for_each(|_| count(command.to_owned()));
    }
    let memif = vpp.cli("show memif")?;
    memif
        .lines()
        .filter(|line| line.contains("connected"))
        .for_each(|_| count("clients".to_owned()));
    Ok(objects)
}

/// What an operator has made.
fn make_own_interface(vpp: &Vpp) -> Result<()> {
    for command in [
        "create loopback interface instance 77",
        "set interface state loop77 up",
        "set interface ip address loop77 10.201.77.1/24",
    ] {
        vpp.cli(command)?;
    }
    Ok(())
}

/// The operator's interface as VPP describes it.
fn own_interface(vpp: &Vpp) -> Result<String> {
    vpp.cli("show interface address loop77")
}

#[test]
fn under_traffic_vpp_comes_back_with_all_that_it_had() {
    vpp_test(|lab| {
        make_own_interface(lab.agent.vpp().context("the agent drives VPP")?)?;
        let network = lab.network(&["--subnet", "10.201.21.0/24"])?;
        let hosted = ["--subnet", "10.201.22.0/24", "-o", "attach=userspace", "-o", "tcp=vcl"];
        let hosted = lab.network(&hosted)?;
        let image = Image::examples()?;
        let (one, two) = (Container::idle(&image, &network)?, Container::idle(&image, &network)?);
        let _three = Container::idle(&image, &hosted)?;
        let to = one.address(&network)?;
        two.pings(to, SOON)?;
        let _traffic = two.exec_start(&["ping", "-i", "0.02", "-q", &to.to_string()])?;
        let vpp = lab.agent.vpp().context("the agent drives VPP")?;
        let (before, own) = (objects(vpp)?, own_interface(vpp)?);
        vpp.kill();
        vpp.start_again()?;
        let back = Instant::now();
        make_own_interface(vpp)?;
        wait::until_ok(SOON, "all objects are back", || {
            let now = objects(vpp)?;
            ensure!(now == before, "{now:?}, and before {before:?}");
            Ok(())
        })?;
        // Not asserted: how busy the machine is decides. docs/vpp.md has what it was.
        eprintln!("all objects were back {:?} after VPP answered", back.elapsed());
        two.pings(to, SOON)?;
        let vpp = lab.agent.vpp().context("the agent drives VPP")?;
        ensure!(own_interface(vpp)? == own, "{own}, then {}", own_interface(vpp)?);
        drop((one, two));
        ensure!(own_interface(vpp)? == own, "the operator's own was touched");
        vpp.cli("delete loopback interface intfc loop77").map(drop)
    });
}

#[test]
fn containers_are_refused_while_vpp_is_away_and_removed_all_the_same() {
    vpp_test(|lab| {
        let (network, image) = (lab.network(&[])?, lab.busybox()?);
        let one = Container::idle(&image, &network)?;
        one.pings(network.gateway(0)?.parse()?, SOON)?;
        lab.agent.vpp().context("the agent drives VPP")?.kill();
        let refusal = Container::idle(&image, &network).err().context("a container started")?;
        let words = format!("{refusal:#}");
        ensure!(words.contains("VPP does not answer"), "{words}");
        one.remove()?;
        lab.agent.vpp().context("the agent drives VPP")?.start_again()?;
        let two = wait::until_ok(SOON, "VPP is used again", || Container::idle(&image, &network))?;
        two.pings(network.gateway(0)?.parse()?, SOON)
    });
}

#[test]
fn capture_of_a_network_is_vpps_own_affair() {
    vpp_test(|lab| {
        let network = lab.network(&[])?;
        let arguments = ["capture", "--network", network.id(), "--count", "1"];
        let output = lab.agent.command(&arguments)?.output()?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && words.contains("pcap trace"), "{words}");
        Ok(())
    });
}
