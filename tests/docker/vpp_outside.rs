//! The way out with VPP: its interface to the outside, and a host behind that.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use kit::agent::AgentOptions;
use kit::lab::docker_test_with;
use kit::{Engine, Lab, Network, Vpp, World, wait};

use crate::outside::{
    Kind, SOON, asked_from, asks_by, container, echoes, netprobe, network, saw, shown_ports,
};

const BOTH: &[&str] = &["stream", "datagrams"];

/// What a container is attached as, with the options of its network, and what it can speak.
const CASES: [(Kind, &[&str], &[&str]); 4] = [
    (Kind::Tap, &[], BOTH),
    (Kind::Memif, &[], BOTH),
    (Kind::Session, &["-o", "tcp=stack"], BOTH),
    (Kind::Session, &["-o", "tcp=vcl"], &["stream"]),
];

/// Runs a test if the suites run on VPP, with an agent whose VPP is to have an interface to a world.
fn outside_test(subnet: u8, test: impl FnOnce(&mut Lab, &World) -> Result<()>) {
    if Engine::under_test() != Engine::Vpp {
        return;
    }
    let near = format!("host-dvout{subnet}");
    let options = AgentOptions {
        arguments: vec!["--vpp-outside".to_owned(), near.clone()],
        ..AgentOptions::default()
    };
    docker_test_with(options, &[], |lab| {
        let world = World::before_nobody(subnet)?;
        join(vpp(lab)?, &world)?;
        test(lab, &world)?;
        // The operator's own: all that is left.
        vpp(lab)?.cli(&format!("delete host-interface name {}", world.near())).map(drop)
    });
}

fn vpp(lab: &mut Lab) -> Result<&mut Vpp> {
    lab.agent.vpp().context("the agent drives VPP")
}

/// Gives VPP its interface to the world.
fn join(vpp: &Vpp, world: &World) -> Result<()> {
    let near = world.near();
    let interface = vpp.cli(&format!("create host-interface name {near}"))?;
    ensure!(interface == format!("host-{near}"), "{interface}");
    for command in [
        format!("set interface state {interface} up"),
        format!("set interface ip address {interface} {}/24", world.host()[0]),
    ] {
        let said = vpp.cli(&command)?;
        ensure!(said.is_empty(), "{said}");
    }
    Ok(())
}

fn world_address(world: &World) -> IpAddr {
    world.addresses()[0]
}

fn networks(lab: &Lab) -> Result<Vec<(Kind, Network, &'static [&'static str])>> {
    let all = (40..).zip(CASES).map(|(subnet, (kind, options, ways))| {
        let attach = ["-o", kind.attach()];
        Ok((kind, network(lab, subnet, &[&attach[..], options].concat())?, ways))
    });
    all.collect()
}

#[test]
fn containers_of_every_kind_reach_the_outside_of_vpp() {
    outside_test(31, |lab, world| {
        let server = world.start(netprobe()?.display(), &["echo", "7000"])?;
        server.line_after(0, SOON, "it listens", |it| (it == "listening").then_some(()))?;
        for (kind, network, ways) in networks(lab)? {
            let one = container(kind, &network, &[])?;
            let mark = server.mark();
            asks_by(ways, kind, &one, &network, (world_address(world), 7000).into())
                .with_context(|| format!("{kind:?}, {ways:?}"))?;
            // By the address of VPP's interface.
            saw(&server, mark, "stream", world.host()[0])?;
        }
        Ok(())
    });
}

#[test]
fn ports_published_by_vpp_are_reached_see_who_comes_and_come_back_with_it() {
    outside_test(32, |lab, world| {
        let door = |port| SocketAddr::from((world.host()[0], port));
        for (kind, network, ways) in networks(lab)? {
            let one = container(kind, &network, &["-p", "17040:7000", "-p", "17040:7000/udp"])?;
            let server = echoes(kind, &one, &network, "7000")?;
            for vpp_came_back in [false, true] {
                if vpp_came_back {
                    vpp(lab)?.kill();
                    vpp(lab)?.start_again()?;
                    join(vpp(lab)?, world)?;
                }
                for way in ways {
                    let mark = server.mark();
                    let what = format!("{way} to {kind:?}, VPP came back: {vpp_came_back}");
                    wait::until_ok(SOON, &what, || asked_from(world, way, door(17040), "100000"))?;
                    let said = if *way == "stream" { "stream" } else { "datagram" };
                    saw(&server, mark, said, world_address(world)).context(what)?;
                }
                if kind == Kind::Memif {
                    // The station does not connect again by itself.
                    break;
                }
            }
            ensure!(shown_ports(lab, &one, &network)? == [17040, 17040]);
        }
        Ok(())
    });
}

#[test]
fn a_port_that_vpp_has_given_is_refused_and_a_freed_one_is_not() {
    outside_test(33, |lab, _| {
        let network = network(lab, 45, &[])?;
        let one = container(Kind::Tap, &network, &["-p", "17041:80"])?;
        let refusal = container(Kind::Tap, &network, &["-p", "17041:81"]);
        let words = format!("{:#}", refusal.err().context("the container started")?);
        ensure!(words.contains("17041/tcp"), "{words}");
        one.remove()?;
        let two = container(Kind::Tap, &network, &["-p", "17041-17042:80"])?;
        ensure!(shown_ports(lab, &two, &network)? == [17041]);
        Ok(())
    });
}
