//! What the agent cannot be told, because it was dead when Docker said so, it finds out by itself: no
//! operator is needed.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::{LIMIT, RunOptions, docker};
use kit::lab::{Turn, docker_test};
use kit::leaks::Holdings;
use kit::need::{Need, met};
use kit::proxy::Moment;
use kit::{Container, Image, Network, wait};

use crate::crash::Rig;

const SOON: Duration = Duration::from_secs(15);

/// Covers the agent's half minute of grace and a few looks.
const PATIENCE: Duration = Duration::from_mins(2);

/// Creates a network on `subnet`, repeating the command as its refusal says.
fn create_again(driver: &str, subnet: &str) -> Result<Network> {
    let what = format!("{subnet} can be used again");
    wait::until_ok(PATIENCE, &what, || Network::create(driver, &["--subnet", subnet]))
}

#[test]
fn a_network_whose_answer_was_lost_frees_its_subnet() {
    if !met(&[Need::Root, Need::Docker, Need::Tun, Need::Busybox]) {
        return;
    }
    let _turn = Turn::take().expect("the lock file can be made");
    let rig = Rig::start().unwrap_or_else(|error| panic!("{error:?}"));
    let outcome = (|| {
        let before = Holdings::settled(&rig.agent())?;
        let options = ["--subnet", "10.201.7.0/24"];
        rig.crash_at("NetworkDriver.CreateNetwork", Moment::ReplyLost);
        let lost = Network::create(&rig.driver, &options);
        ensure!(lost.is_err(), "Docker did not mind the lost answer: {lost:?}");
        ensure!(rig.agent().list("networks")?.len() == 1, "the agent has stored nothing");
        let refusal = Network::create(&rig.driver, &options).err().context("no refusal")?;
        let words = format!("{refusal:#}");
        ensure!(words.contains("run the command again"), "{words}");
        let network = create_again(&rig.driver, options[1])?;
        let known = rig.agent().list("networks")?;
        ensure!(known.len() == 1 && known[0]["id"] == network.id(), "{known:?}");
        let one = Container::idle(&Image::busybox()?, &network)?;
        one.pings("10.201.7.1".parse()?, SOON)?;
        one.remove()?;
        network.remove()?;
        before.nothing_left(&rig.agent())
    })();
    if let Err(error) = outcome {
        eprintln!("---- the agent wrote ----\n{}\n----", rig.agent().log().join("\n"));
        panic!("{error:?}");
    }
}

#[test]
fn a_network_removed_without_the_agent_is_forgotten() {
    docker_test(&[], |lab| {
        let (stays, goes) = (lab.network(&[])?, lab.network(&["--subnet", "10.201.8.0/24"])?);
        let one = Container::idle(&lab.busybox()?, &stays)?;
        one.pings(stays.gateway(0)?.parse()?, SOON)?;
        lab.agent.kill();
        // Docker asks the dead driver for about 15 s, then removes the network without it.
        goes.remove()?;
        lab.agent.launch()?;
        ensure!(lab.agent.list("networks")?.len() == 2);
        wait::until(PATIENCE, "the agent forgets the removed network", || {
            let known = lab.agent.list("networks")?;
            Ok((known.len() == 1 && known[0]["id"] == stays.id()).then_some(()))
        })?;
        create_again(lab.agent.driver(), "10.201.8.0/24")?.remove()?;
        // The container that ran all the time has lost nothing.
        one.pings(stays.gateway(0)?.parse()?, SOON)?;
        ensure!(lab.agent.list("endpoints")?.len() == 1);
        Ok(())
    });
}

#[test]
fn a_container_disconnected_without_the_agent_gives_its_address_back() {
    docker_test(&[], |lab| {
        let network = lab.network(&["--subnet", "10.201.9.0/24"])?;
        let image = lab.busybox()?;
        let options = RunOptions::default().on(&network).flags(&["--ip", "10.201.9.9"]);
        let one = Container::run(&image, &options)?;
        let two = Container::idle(&image, &network)?;
        one.pings("10.201.9.1".parse()?, SOON)?;
        lab.agent.kill();
        docker(&["network", "disconnect", "-f", network.name(), one.name()])?;
        lab.agent.launch()?;
        ensure!(one.is_running()?);
        let next = wait::until_ok(PATIENCE, "the address can be used again", || {
            Container::run(&image, &options)
        })?;
        next.pings(two.address(&network)?, LIMIT)?;
        let held = lab.agent.list("endpoints")?.len();
        ensure!(held == 2, "{held} endpoints");
        Ok(())
    });
}
