//! Who has the address of an endpoint that a memif client and a vhost-user front end both want: whoever came first, until
//! it leaves; and who has it after the agent or VPP was killed.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::{Container, RunOptions};
use kit::lab::docker_test;
use kit::need::Need;
use kit::process::Process;
use kit::testpmd::Testpmd;
use kit::{Engine, Image, Lab, Network, wait};

use crate::published::front_end;
use crate::vhost_user::{ONE, network_with, shown};

const LIMIT: Duration = Duration::from_secs(30);

/// An endpoint with a vhost-user device, its container, and a container beside it that has its kernel.
struct Site {
    container: Container,
    neighbour: Container,
    endpoint: String,
    address: IpAddr,
    mac: String,
    /// Dropped after the containers.
    _network: Network,
}

impl Site {
    fn start(lab: &Lab, options: &[&str]) -> Result<Self> {
        let network = network_with(lab, options)?;
        let place = format!("name={},ip={},driver-opt=vhost-user.socket=vm", network.name(), ONE.0);
        let run = RunOptions::default().flags(&["--network", &place]);
        let container = Container::run(&Image::examples()?, &run)?;
        let place = format!("name={},driver-opt=attach=auto", network.name());
        let run = RunOptions::default().flags(&["--network", &place]);
        let neighbour = Container::run(&lab.busybox()?, &run)?;
        Ok(Self {
            endpoint: container.attached(&network, "EndpointID")?,
            address: container.address(&network)?,
            mac: container.attached(&network, "MacAddress")?,
            container,
            neighbour,
            _network: network,
        })
    }

    fn owned_by(&self, lab: &Lab, owner: &str) -> Result<()> {
        wait::until_ok(LIMIT, &format!("{owner} owns the address"), || {
            let line = shown(lab, &self.endpoint)?;
            ensure!(line["owner"] == owner, "{line}");
            Ok(())
        })
    }

    /// A memif client that connects as soon as it is let.
    fn client(&self) -> Result<Process> {
        let address = self.address.to_string();
        let place = "connect:@dockervpp/memif";
        self.container.exec_start(&["ping_responder", place, &address, "--mac", &self.mac])
    }

    fn end_client(&self, mut client: Process) -> Result<()> {
        self.container.exec_ok(&["killall", "-9", "ping_responder"])?;
        client.wait(LIMIT).map(drop)
    }

    /// The neighbour reaches the front end, and nobody else.
    fn reaches(&self, lab: &Lab, front_end: &mut Testpmd) -> Result<()> {
        self.owned_by(lab, "vhost-user").with_context(|| front_end.output())?;
        let before = front_end.stats()?.rx_packets;
        self.neighbour.pings(self.address, LIMIT)?;
        front_end.wait_stats("the front end has answered", |it| it.rx_packets > before)?;
        self.owned_by(lab, "vhost-user")
    }

    /// One that comes while a memif client has the address is hung up on.
    fn refuses_front_end(&self, lab: &Lab) -> Result<()> {
        let said = |lab: &Lab| {
            let log = lab.agent.log();
            log.iter().filter(|line| line.contains("vhost-user front end refused")).count()
        };
        let before = said(lab);
        // It may end by itself when it is hung up on.
        let late = front_end(lab, &self.mac);
        wait::until(LIMIT, "the agent refuses it", || Ok((said(lab) > before).then_some(())))?;
        self.owned_by(lab, "memif")?;
        self.neighbour.pings(self.address, LIMIT)?;
        if let Ok(late) = late {
            late.kill()?;
        }
        Ok(())
    }
}

fn first_come(lab: &mut Lab, site: &Site, rest: &str) -> Result<()> {
    site.owned_by(lab, rest)?;
    let client = site.client()?;
    site.owned_by(lab, "memif")?;
    site.neighbour.pings(site.address, LIMIT)?;
    site.refuses_front_end(lab).context("beside a memif client")?;
    // The agent is killed, and the client is there before any front end.
    lab.crash()?;
    site.owned_by(lab, "memif")?;
    site.refuses_front_end(lab).context("after the agent was killed")?;
    site.end_client(client)?;
    site.owned_by(lab, rest)?;

    let mut device = front_end(lab, &site.mac)?;
    site.reaches(lab, &mut device)?;
    let client = site.client()?;
    site.reaches(lab, &mut device).context("beside a memif client that would like to come")?;
    if let Some(vpp) = lab.agent.vpp() {
        vpp.kill();
        vpp.start_again()?;
        site.reaches(lab, &mut device).context("after VPP was killed")?;
    }
    device.kill()?;
    site.owned_by(lab, "memif").context("when the front end has left")?;
    site.neighbour.pings(site.address, LIMIT)?;
    site.end_client(client)?;
    site.owned_by(lab, rest)?;

    // With a front end the agent is killed: the address is nobody's then, and the next one has it.
    let device = front_end(lab, &site.mac)?;
    site.owned_by(lab, "vhost-user")?;
    lab.crash()?;
    site.owned_by(lab, rest)?;
    device.kill()?;
    let mut device = front_end(lab, &site.mac)?;
    site.reaches(lab, &mut device).context("after the agent was killed")
}

#[test]
fn an_address_has_one_packet_client_and_that_is_who_came_first() {
    docker_test(&[Need::VirtioUser], |lab| {
        let site = Site::start(lab, &[])?;
        first_come(lab, &site, "stack")
    });
}

/// At rest the address is that of VPP's own host stack.
#[test]
fn the_same_where_the_endpoint_is_in_vpps_host_stack() {
    if !Engine::Vpp.needed("tcp=vcl is VPP's own TCP") {
        return;
    }
    docker_test(&[Need::VirtioUser], |lab| {
        let site = Site::start(lab, &["-o", "tcp=vcl"])?;
        first_come(lab, &site, "vcl")
    });
}
