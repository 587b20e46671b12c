//! Sessions between containers: the broker's sockets are there, bring programs together, and come
//! back with the agent.

use std::time::Duration;

use anyhow::{Result, ensure};
use kit::lab::docker_test;
use kit::{Container, Image, Lab, Network, wait};

const SOON: Duration = Duration::from_secs(15);

/// One session from `client` to a listener in `server`.
fn meet(lab: &Lab, server: &Container, client: &Container, network: &Network) -> Result<()> {
    let address = server.address(network)?;
    let serving = wait::until_ok(SOON, "the broker is there", || {
        let serving = server.exec_start(&["probe", "serve", "7000", "hello over shared memory"])?;
        serving
            .line_after(0, SOON, "it listens", |line| line.contains("listening").then_some(()))?;
        Ok(serving)
    })?;
    let listeners = lab.agent.list("listeners")?;
    ensure!(listeners.iter().any(|it| it["address"] == "*:7000"), "{listeners:?}");
    let text = client.exec_ok(&["probe", "fetch", &format!("{address}:7000")])?;
    ensure!(text == "hello over shared memory", "{text}");
    serving
        .line_after(0, SOON, "it has served", |line| line.contains("served 24").then_some(()))?;
    Ok(())
}

#[test]
fn containers_meet_over_the_broker_also_after_a_crash_of_the_agent() {
    docker_test(&[], |lab| {
        for kind in ["attach=auto", "attach=userspace"] {
            let network = lab.network(&["-o", kind, "-o", "session.ring=64KiB"])?;
            let image = Image::examples()?;
            let server = Container::idle(&image, &network)?;
            let client = Container::idle(&image, &network)?;
            meet(lab, &server, &client, &network)?;
            lab.agent.crash()?;
            meet(lab, &server, &client, &network)?;
        }
        Ok(())
    });
}
