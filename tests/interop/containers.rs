//! testpmd in containers that the agent attached: two of them, and the bridge between. No bind mount,
//! no path: the socket is abstract and lies in the container's own namespace.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::RunOptions;
use kit::lab::docker_test;
use kit::need::Need;
use kit::testpmd::{Testpmd, TestpmdOptions};
use kit::{Engine, Lab, Network, wait};

/// Frames that make a case count.
const ENOUGH: u64 = 100_000;

const LIMIT: Duration = Duration::from_secs(30);

/// A testpmd in a container of its own.
struct Station {
    testpmd: Testpmd,
    endpoint: String,
}

impl Station {
    /// Starts it at `address`, whose MAC address follows from it; frames go to `peer`.
    fn start(
        network: &Network,
        (address, mac): (&str, &str),
        peer: &str,
        shape: impl Fn(&mut TestpmdOptions),
    ) -> Result<Self> {
        let mut options = TestpmdOptions::client("dockervpp/memif");
        options.device.push(format!("mac={mac}"));
        options.arguments.push(format!("--eth-peer=0,{peer}"));
        shape(&mut options);
        let run = RunOptions::default().on(network).flags(&["--ip", address]);
        let testpmd = Testpmd::in_container(&options, run)?;
        let container = testpmd.container().context("it is in a container")?;
        let shown = container.attached(network, "MacAddress")?;
        ensure!(shown == mac, "the agent chose {shown} for {address}");
        let endpoint = container.attached(network, "EndpointID")?;
        let mut station = Self { testpmd, endpoint };
        station.connect()?;
        Ok(station)
    }

    /// Waits for the link. A client of DPDK that comes before its server has to be told to retry.
    fn connect(&mut self) -> Result<()> {
        wait::until(LIMIT, "testpmd is connected to the agent", || {
            if !self.testpmd.link_is_up()? {
                self.testpmd.restart_port()?;
            }
            Ok(self.testpmd.link_is_up()?.then_some(()))
        })
        .with_context(|| self.testpmd.output())
    }
}

const ONE: (&str, &str) = ("10.201.8.11", "02:42:0a:c9:08:0b");
const TWO: (&str, &str) = ("10.201.8.12", "02:42:0a:c9:08:0c");

fn network(lab: &Lab) -> Result<Network> {
    let shape = ["--subnet", "10.201.8.0/24", "-o", "mtu=9000", "-o", "attach=userspace"];
    // testpmd writes IP addresses of its own into its frames.
    lab.network(&[&shape[..], &["-o", "antispoof=none"]].concat())
}

/// Sends from one to the other until enough passed; all four counts must agree.
fn exchange(lab: &Lab, one: &mut Station, two: &mut Station, segments: &[u16]) -> Result<()> {
    let ends = [(&mut one.testpmd, &*one.endpoint), (&mut two.testpmd, &*two.endpoint)];
    crate::exchange::exchange(lab, ends, segments, ENOUGH)
}

#[test]
fn dpdk_to_dpdk_through_the_agent() {
    docker_test(&[Need::Testpmd], |lab| {
        let network = network(lab)?;
        let mut one = Station::start(&network, ONE, TWO.1, |_| {})?;
        let mut two = Station::start(&network, TWO, ONE.1, |it| it.cpu = 0)?;
        for segments in [&[64][..], &[1518]] {
            exchange(lab, &mut one, &mut two, segments)
                .with_context(|| format!("segments {segments:?}"))?;
        }
        exchange(lab, &mut two, &mut one, &[64]).context("the other way")
    });
}

#[test]
fn two_queues_through_the_agent() {
    docker_test(&[Need::Testpmd], |lab| {
        let network = network(lab)?;
        let mut one = Station::start(&network, ONE, TWO.1, |it| it.queues = 2)?;
        let mut two = Station::start(&network, TWO, ONE.1, |it| {
            (it.queues, it.cpu) = (2, 0);
        })?;
        exchange(lab, &mut one, &mut two, &[64])
    });
}

#[test]
fn jumbo_frames_through_the_agent() {
    docker_test(&[Need::Testpmd], |lab| {
        let network = network(lab)?;
        // One buffer per frame at the sender, chains of 2048 bytes at the receiver.
        let mut one = Station::start(&network, ONE, TWO.1, |it| {
            (it.buffer, it.mbuf) = (9216, 9216);
        })?;
        let mut two = Station::start(&network, TWO, ONE.1, |it| it.cpu = 0)?;
        exchange(lab, &mut one, &mut two, &[9000])?;
        exchange(lab, &mut one, &mut two, &[64])
    });
}

#[test]
fn killed_container_costs_its_own_link_only() {
    docker_test(&[Need::Testpmd], |lab| {
        let network = network(lab)?;
        let mut one = Station::start(&network, ONE, TWO.1, |_| {})?;
        for _ in 0..3 {
            let mut two = Station::start(&network, TWO, ONE.1, |it| it.cpu = 0)?;
            two.testpmd.forward("rxonly")?;
            two.testpmd.start()?;
            one.testpmd.forward("txonly")?;
            one.testpmd.start()?;
            two.testpmd.wait_stats("frames come", |it| it.rx_packets > 10_000)?;
            // In the middle of traffic, without a word.
            two.testpmd.kill()?;
            one.testpmd.stop()?;
            ensure!(one.testpmd.link_is_up()?, "the neighbour lost its link");
        }
        let mut two = Station::start(&network, TWO, ONE.1, |it| it.cpu = 0)?;
        exchange(lab, &mut one, &mut two, &[64])
    });
}

#[test]
fn dpdk_connects_again_after_a_crash_of_the_agent() {
    docker_test(&[Need::Testpmd], |lab| {
        let network = network(lab)?;
        let mut one = Station::start(&network, ONE, TWO.1, |_| {})?;
        let mut two = Station::start(&network, TWO, ONE.1, |it| it.cpu = 0)?;
        lab.crash()?;
        // VPP serves the clients itself: to them nothing has happened.
        if Engine::under_test() == Engine::Embedded {
            one.connect()?;
            two.connect()?;
        }
        exchange(lab, &mut one, &mut two, &[64])
    });
}
