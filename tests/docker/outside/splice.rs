//! Published ports of programs with sessions: by sockets of the host, while these can have them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use kit::process::run;
use kit::{Container, Lab, Network, World, wait};

use super::{
    Kind, SOON, asked_from, asked_from_host, container, echoes, netprobe, network, outside_test,
    saw,
};

/// Much more than rings and the kernel's buffers hold.
const MUCH: &str = "20000000";

/// How the one published port of a container leads there.
fn transport(lab: &Lab, container: &Container, network: &Network) -> Result<String> {
    let id = container.attached(network, "EndpointID")?;
    let list = lab.agent.list("ports")?;
    let own = list.iter().find(|it| it["endpoint"] == id.as_str());
    let transport = own.and_then(|it| it["transport"].as_str());
    transport.map(str::to_owned).with_context(|| format!("{list:?}"))
}

fn becomes(lab: &Lab, one: &Container, network: &Network, wanted: &str) -> Result<()> {
    wait::until(SOON, &format!("the port leads by {wanted}"), || {
        Ok((transport(lab, one, network)? == wanted).then_some(()))
    })
}

fn refuses(to: SocketAddr) -> bool {
    TcpStream::connect(to).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_published_port_is_spliced_into_sessions_while_a_program_listens() {
    outside_test(|lab| {
        let world = World::create(13)?;
        let network = network(lab, 23, &["-o", Kind::Session.attach()])?;
        let one = container(Kind::Session, &network, &["-p", "17050:7000"])?;
        ensure!(transport(lab, &one, &network)? == "splice");
        let doors = world.host().map(|door| SocketAddr::new(door, 17050));
        ensure!(doors.into_iter().all(refuses), "nobody listens, and a port is open");
        let mut server = echoes(Kind::Session, &one, &network, "7000")?;
        for (to, from) in doors.into_iter().zip(world.addresses()) {
            let mark = server.mark();
            asked_from(&world, "stream", to, MUCH).with_context(|| to.to_string())?;
            saw(&server, mark, "stream", from)?;
        }
        // Nobody passes for the container itself.
        for (to, at) in [("127.0.0.1:17050", 0), ("[::1]:17050", 1)] {
            let mark = server.mark();
            asked_from_host("stream", to, "1000")?;
            saw(&server, mark, "stream", network.gateway(at)?.parse()?)?;
        }
        // By the host's address from a container beside it.
        let beside = container(Kind::Session, &network, &[])?;
        beside.exec_ok(&["netprobe", "ask", "stream", &doors[0].to_string(), "1000"])?;
        let mut cut = TcpStream::connect(doors[0]).context("the host is served")?;
        cut.set_read_timeout(Some(SOON))?;
        cut.write_all(b"half")?;
        cut.read_exact(&mut [0; 4])?;
        lab.crash()?;
        let end = cut.read(&mut [0]).map_err(|error| error.kind());
        ensure!(
            end == Err(ErrorKind::ConnectionReset),
            "an agent that died looks like an end: {end:?}"
        );
        let mark = server.mark();
        wait::until_ok(SOON, "it is reached again", || {
            asked_from(&world, "stream", doors[0], "1000")
        })?;
        saw(&server, mark, "stream", world.addresses()[0])?;
        ensure!(transport(lab, &one, &network)? == "splice");
        one.exec_ok(&["killall", "-9", "netprobe"])?;
        server.wait(SOON)?;
        wait::until(SOON, "the port refuses again", || Ok(refuses(doors[0]).then_some(())))?;
        one.remove()?;
        TcpListener::bind("0.0.0.0:17050").context("the port is not free")?;
        Ok(())
    });
}

/// A table of nftables that has a say in what comes to the host, until it is dropped.
struct Filter;

impl Filter {
    const NAME: &str = "dockervpp-test-input";

    fn make() -> Result<Self> {
        let chain = "{ type filter hook input priority 0; policy accept; }";
        run(Command::new("nft").args(["add", "table", "inet", Self::NAME]))?;
        let filter = Self;
        run(Command::new("nft").args(["add", "chain", "inet", Self::NAME, "input", chain]))?;
        Ok(filter)
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        let _ = run(Command::new("nft").args(["delete", "table", "inet", Self::NAME]));
    }
}

#[test]
fn a_port_leads_in_packets_where_input_is_filtered_and_while_a_packet_client_is_there() {
    outside_test(|lab| {
        let world = World::create(14)?;
        let network = network(lab, 24, &["-o", Kind::Session.attach()])?;
        let to = SocketAddr::new(world.host()[0], 17051);
        let filter = Filter::make()?;
        let one = container(Kind::Session, &network, &["-p", "17051:7000"])?;
        ensure!(transport(lab, &one, &network)? == "packets");
        let server = echoes(Kind::Session, &one, &network, "7000")?;
        asked_from(&world, "stream", to, "1000")?;
        drop(filter);
        becomes(lab, &one, &network, "splice")?;
        let mark = server.mark();
        asked_from(&world, "stream", to, "1000")?;
        saw(&server, mark, "stream", world.addresses()[0])?;
        let station = echoes(Kind::Memif, &one, &network, "7000")?;
        becomes(lab, &one, &network, "packets")?;
        asked_from(&world, "stream", to, "1000")?;
        saw(&station, 0, "stream", world.addresses()[0])?;
        one.exec_ok(&["killall", "-9", "memif-station"])?;
        becomes(lab, &one, &network, "splice")?;
        let mark = server.mark();
        asked_from(&world, "stream", to, "1000")?;
        saw(&server, mark, "stream", world.addresses()[0])?;
        Ok(())
    });
}

/// A rule by which the operator refuses what is forwarded from a link, until it is dropped.
struct Refusal(String);

impl Refusal {
    fn make(link: &str) -> Result<Self> {
        let refusal = Self(link.to_owned());
        refusal.change("-I")?;
        Ok(refusal)
    }

    fn change(&self, how: &str) -> Result<()> {
        let rule = ["-w", "5", how, "DOCKER-USER", "-i", &self.0, "-j", "DROP"];
        run(Command::new("iptables").args(rule)).map(drop)
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        let _ = self.change("-D");
    }
}

#[test]
fn whom_the_operator_refuses_comes_by_no_published_port() {
    outside_test(|lab| {
        let world = World::create(15)?;
        let network = network(lab, 25, &["-o", Kind::Session.attach()])?;
        let to = SocketAddr::new(world.host()[0], 17052);
        let one = container(Kind::Session, &network, &["-p", "17052:7000"])?;
        let server = echoes(Kind::Session, &one, &network, "7000")?;
        becomes(lab, &one, &network, "splice")?;
        let refusal = Refusal::make(world.near())?;
        becomes(lab, &one, &network, "packets")?;
        let (probe, at) = (netprobe()?.display().to_string(), to.to_string());
        let line = ["2", &probe, "ask", "stream", &at, "1000"];
        let passed = run(&mut world.command("timeout", &line));
        ensure!(passed.is_err(), "who is refused in DOCKER-USER was served");
        drop(refusal);
        becomes(lab, &one, &network, "splice")?;
        let mark = server.mark();
        asked_from(&world, "stream", to, "1000")?;
        saw(&server, mark, "stream", world.addresses()[0])
    });
}
