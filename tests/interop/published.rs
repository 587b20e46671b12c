//! A published port of a program with sessions, while a vhost-user front end takes the address over and gives it
//! back.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::{Container, RunOptions};
use kit::lab::docker_test;
use kit::need::Need;
use kit::process::{Process, run};
use kit::testpmd::{Testpmd, TestpmdOptions};
use kit::{Engine, Image, Lab, Network, World, programs, wait};

use crate::vhost_user::{ONE, network_with, shown};

const LIMIT: Duration = Duration::from_secs(30);

/// Where the port is published.
const PORT: u16 = 17061;

/// A program that echoes, with the library, on an endpoint that has a vhost-user device.
struct Server {
    container: Container,
    endpoint: String,
    process: Process,
    /// Dropped after the container.
    network: Network,
}

impl Server {
    fn start(lab: &Lab) -> Result<Self> {
        let network = network_with(lab, &[])?;
        let (address, _) = ONE;
        let attach =
            format!("name={},ip={address},driver-opt=vhost-user.socket=vm", network.name());
        let publish = format!("{PORT}:7000");
        let options =
            RunOptions::default().flags(&["--network", &attach, "-p", &publish]).shimmed()?;
        let container = Container::run(&Image::examples()?, &options)?;
        let endpoint = container.attached(&network, "EndpointID")?;
        let process = container.exec_start(&["netprobe", "echo", "7000"])?;
        process.line_after(0, LIMIT, "it listens", |it| (it == "listening").then_some(()))?;
        Ok(Self { container, endpoint, process, network })
    }

    fn leads_by(&self, lab: &Lab, wanted: &str) -> Result<()> {
        wait::until(LIMIT, &format!("the port leads by {wanted}"), || {
            let list = lab.agent.list("ports")?;
            let own = list.iter().find(|it| it["endpoint"] == self.endpoint.as_str());
            let own = own.with_context(|| format!("{list:?}"))?;
            Ok((own["transport"] == wanted).then_some(()))
        })
    }

    /// Somebody from outside is served, and the program sees who it is.
    fn serves(&self, world: &World) -> Result<()> {
        let mark = self.process.mark();
        let from = world.addresses()[0].to_string();
        ask(world)?;
        let came =
            |line: &str| line.strip_prefix("stream")?.trim().starts_with(&from).then_some(());
        self.process.line_after(mark, LIMIT, "it sees who came", came)
    }
}

fn door(world: &World) -> SocketAddr {
    SocketAddr::new(world.host()[0], PORT)
}

fn ask(world: &World) -> Result<String> {
    let (probe, to) = (programs::netprobe()?.display().to_string(), door(world).to_string());
    let line = ["5", &probe, "ask", "stream", &to, "1000"];
    run(&mut world.command("timeout", &line))
}

/// DPDK's front end beside the container. It answers ARP and pings, and has no TCP.
pub(crate) fn front_end(lab: &Lab, mac: &str) -> Result<Testpmd> {
    let mut options = TestpmdOptions::front_end("/device/socket");
    options.device.push(format!("mac={mac}"));
    let folder = format!("{}:/device", lab.agent.vhost_folder().join("vm").display());
    let run = RunOptions::default().flags(&["--network", "none", "-v", &folder]);
    let mut testpmd = Testpmd::in_container(&options, run)?;
    testpmd.forward("icmpecho")?;
    testpmd.start()?;
    Ok(testpmd)
}

#[test]
fn a_spliced_port_leads_to_the_front_end_while_it_has_the_address() {
    if !Engine::Embedded.needed("VPP publishes ports by --vpp-outside, and splices none") {
        return;
    }
    docker_test(&[Need::VirtioUser, Need::Tun], |lab| {
        let world = World::create(41)?;
        let server = Server::start(lab)?;
        let mac = server.container.attached(&server.network, "MacAddress")?;
        server.leads_by(lab, "splice")?;
        server.serves(&world)?;
        for _ in 0..2 {
            let mut open = TcpStream::connect(door(&world)).context("the host is served")?;
            open.set_read_timeout(Some(LIMIT))?;
            open.write_all(b"half")?;
            open.read_exact(&mut [0; 4])?;

            let mut testpmd = front_end(lab, &mac)?;
            server.leads_by(lab, "packets").with_context(|| testpmd.output())?;
            ensure!(shown(lab, &server.endpoint)?["owner"] == "vhost-user");
            // What was spliced ends as it does when the address changes hands: not as if all had been said.
            let end = open.read(&mut [0]).map_err(|error| error.kind());
            ensure!(end == Err(ErrorKind::ConnectionReset), "{end:?}");
            let before = testpmd.stats()?.rx_packets;
            let mark = server.process.mark();
            ensure!(ask(&world).is_err(), "somebody has answered in place of the front end");
            let seen = server.process.output().split_off(mark);
            ensure!(seen.is_empty(), "the program was reached: {seen:?}");
            testpmd.wait_stats("packets come to the front end", |it| it.rx_packets > before)?;

            testpmd.kill()?;
            server.leads_by(lab, "splice")?;
            server.serves(&world)?;
        }
        Ok(())
    });
}
