//! What an agent that ends leaves on the host, and what goes with the last network.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use kit::process::run;
use kit::{World, wait};

use super::{Kind, SOON, asked_from, container, echoes, network, outside_test, saw, table};

/// A table of nftables as it is, without what it counted.
fn rules(table: &str) -> Result<String> {
    run(Command::new("nft").args(["--stateless", "list", "table", "inet", table]))
}

#[test]
fn rules_stay_without_an_agent_and_go_with_the_last_network() {
    outside_test(|lab| {
        let world = World::create(16)?;
        let network = network(lab, 26, &[])?;
        let one = container(Kind::Tap, &network, &["-p", "17070:7000"])?;
        let server = echoes(Kind::Tap, &one, &network, "7000")?;
        let to = SocketAddr::new(world.host()[0], 17070);
        asked_from(&world, "stream", to, "1000")?;
        let table = table(lab)?;
        let told = rules(&table)?;
        for orderly in [true, false] {
            if orderly {
                lab.agent.stop()?;
            } else {
                lab.agent.kill();
            }
            let left = rules(&table).context("the table went with the agent")?;
            ensure!(left == told, "{left}");
            lab.agent.launch()?;
            let mark = server.mark();
            wait::until_ok(SOON, "it is reached again", || {
                asked_from(&world, "stream", to, "1000")
            })?;
            saw(&server, mark, "stream", world.addresses()[0])?;
        }
        one.remove()?;
        network.remove()?;
        ensure!(rules(&table).is_err(), "rules without a network");
        // An agent without networks begins and ends without any.
        lab.agent.stop()?;
        ensure!(rules(&table).is_err(), "rules of an agent that ended");
        lab.agent.launch()?;
        ensure!(rules(&table).is_err(), "rules without a network");
        Ok(())
    });
}
