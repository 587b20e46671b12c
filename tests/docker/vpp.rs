//! What only an agent with VPP can show; the other files run on both engines.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::RunOptions;
use kit::lab::docker_test;
use kit::{Container, Engine, Image, Lab, wait};

const SOON: Duration = Duration::from_secs(15);

/// A test that runs if the suites run on VPP.
fn vpp_test(test: impl FnOnce(&mut Lab) -> Result<()>) {
    if Engine::under_test() == Engine::Vpp {
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

#[test]
fn devices_are_refused_in_words() {
    vpp_test(|lab| {
        let refusal = lab.network(&["-o", "attach=vhost-user"]).err().context("it was taken")?;
        ensure!(format!("{refusal:#}").contains("--engine embedded"), "{refusal:#}");
        let network = lab.network(&[])?;
        let place = format!("name={},driver-opt=attach=vhost-user", network.name());
        let options = RunOptions::default().flags(&["--network", &place]);
        let refusal = Container::run(&lab.busybox()?, &options).err().context("it started")?;
        ensure!(format!("{refusal:#}").contains("--engine embedded"), "{refusal:#}");
        Ok(())
    });
}
