//! vhost-user devices against DPDK's front end, `net_virtio_user`: on the host beside an engine of this
//! process, whose other port is a memif peer that checks every byte; and in containers of the agent.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dataplane::control::{PortOwner, PortStatus};
use dataplane::{
    Dataplane, DomainConfig, DomainId, MacAddr, MemifConfig, PortConfig, PortId, VhostConfig,
    WorkerConfig,
};
use kit::docker::{Container, RunOptions};
use kit::lab::{Turn, docker_test};
use kit::need::{Need, met};
use kit::peer::{End, Job, Peer, Waiting};
use kit::testpmd::{Testpmd, TestpmdOptions};
use kit::{Lab, Network, wait};
use serde_json::Value;

/// Frames that make a case count.
pub(crate) const ENOUGH: u64 = 100_000;

const LIMIT: Duration = Duration::from_secs(30);

/// As `kit::frame` addresses its frames: the peer's, and whom they are for.
const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const FRONT_END: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn on_host(test: impl FnOnce() -> Result<()>) -> Result<()> {
    if !met(&[Need::Root, Need::VirtioUser]) {
        return Ok(());
    }
    let _turn = Turn::take()?;
    test()
}

/// An engine with a vhost-user device and a port for a memif peer.
struct Site {
    engine: Dataplane,
    device: PortId,
    memif: PortId,
    socket: String,
    path: PathBuf,
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Result<Self> {
        let engine = Dataplane::start(WorkerConfig::default())?;
        let config = DomainConfig { mtu: 9000, bum_limit: 0, ..DomainConfig::new("site") };
        let domain = engine.create_domain(config)?;
        let device = port(&engine, domain, "device", FRONT_END)?;
        let memif = port(&engine, domain, "peer", PEER)?;
        let socket = kit::unique("site");
        engine.listen_memif(memif, vec![listen_memif(&socket)?], &MemifConfig::default())?;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let site = Self { engine, device, memif, socket, path, folder };
        site.listen()?;
        Ok(site)
    }

    fn listen(&self) -> Result<()> {
        // Not there at first.
        let _ = std::fs::remove_file(&self.path);
        let listener = UnixListener::bind(&self.path)?;
        self.engine.listen_vhost(self.device, listener.into(), &VhostConfig::default(), None)?;
        Ok(())
    }

    fn options(&self) -> TestpmdOptions {
        let mut options = TestpmdOptions::front_end(&self.path.to_string_lossy());
        options.device.push(format!("mac={FRONT_END}"));
        options.arguments.push(format!("--eth-peer=0,{PEER}"));
        options
    }

    fn status(&self, port: PortId) -> Result<PortStatus> {
        Ok(self.engine.port(port)?)
    }

    /// Starts testpmd and waits until its queues are served.
    fn front_end(&self, options: &TestpmdOptions) -> Result<Testpmd> {
        let testpmd = Testpmd::on_host(options)?;
        let queues = (options.queues, options.queues);
        wait::until(LIMIT, "the front end's queues are served", || {
            let vhost = self.status(self.device)?.vhost;
            Ok(vhost.is_some_and(|it| it.queues == queues).then_some(()))
        })
        .with_context(|| testpmd.output())?;
        Ok(testpmd)
    }

    fn peer(&self, job: Job) -> Result<Peer> {
        let peer = Peer::start(&self.socket, End::client(), job, Waiting::Polling)?;
        peer.wait_links(1)?;
        Ok(peer)
    }

    fn wait_for_none(&self) -> Result<()> {
        wait::until(LIMIT, "the front end is gone", || {
            Ok((self.status(self.device)?.owner == PortOwner::None).then_some(()))
        })
    }
}

fn port(engine: &Dataplane, domain: DomainId, name: &str, mac: MacAddr) -> Result<PortId> {
    let config = PortConfig::new(name, Some(mac));
    Ok(engine.create_port(domain, config)?)
}

fn listen_memif(name: &str) -> Result<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
    listen(&socket, 4)?;
    Ok(socket)
}

/// Frames go to testpmd and come back; every byte is checked and none may be missing.
fn echo(lengths: &[usize], shape: impl Fn(&mut TestpmdOptions)) -> Result<()> {
    let site = Site::new()?;
    let mut options = site.options();
    shape(&mut options);
    let mut testpmd = site.front_end(&options)?;
    testpmd.forward("macswap")?;
    testpmd.start()?;
    // Below the ring's size also when each frame takes several buffers.
    let (count, window) = (ENOUGH, 32);
    let peer = site.peer(Job::Probe { lengths: lengths.to_vec(), count, window })?;
    let counts = peer
        .wait("all frames are back", |it| it.received == count)
        .with_context(|| format!("{:?} {:?}", testpmd.forward_stats(), site.status(site.device)))?;
    ensure!(counts.corrupt == 0 && counts.reordered == 0 && counts.faults == 0, "{counts:?}");
    let status = site.status(site.device)?;
    ensure!(status.counters.tx_frames == count, "{status:?}");
    ensure!(status.counters.rx_frames == count, "{status:?}");
    peer.stop()?;
    drop(site.folder);
    Ok(())
}

const MULTI_SEGMENT: &str = "--tx-offloads=0x8000";

#[test]
fn frames_of_every_length_come_back_unchanged() -> Result<()> {
    on_host(|| {
        let lengths: Vec<usize> = (46..=1514).step_by(7).chain([64, 1514]).collect();
        echo(&lengths, |_| {})
    })
}

/// Packed rings are not offered: a front end that would rather have them takes split ones.
#[test]
fn a_front_end_that_asks_for_packed_rings_gets_split_ones() -> Result<()> {
    on_host(|| echo(&[64, 1514], |it| it.device.push("packed_vq=1".to_owned())))
}

/// Buffers of 2048 bytes: longer frames are merged from several, and come back in chains.
#[test]
fn large_frames_in_merged_buffers_come_back_unchanged() -> Result<()> {
    on_host(|| {
        echo(&[9000, 64, 64, 2049, 4500, 1514], |it| {
            it.arguments.push(MULTI_SEGMENT.to_owned());
        })
    })
}

#[test]
fn two_queues_come_back_unchanged() -> Result<()> {
    on_host(|| echo(&[64, 300], |it| it.queues = 2))
}

#[test]
fn front_ends_that_do_not_merge_buffers_get_frames_that_fit() -> Result<()> {
    on_host(|| echo(&[64, 1514], |it| it.device.push("mrg_rxbuf=0".to_owned())))
}

/// testpmd generates, we count: what it sent is what the device took and the peer received, or a drop.
#[test]
fn what_dpdk_sends_is_counted_on_both_sides() -> Result<()> {
    on_host(|| {
        for (queues, segments) in [(1, &[64][..]), (2, &[64]), (1, &[1514]), (2, &[1500, 1500])] {
            receive(queues, segments).with_context(|| format!("{queues} queues, {segments:?}"))?;
        }
        Ok(())
    })
}

fn receive(queues: u16, segments: &[u16]) -> Result<()> {
    let site = Site::new()?;
    let peer = site.peer(Job::Sink)?;
    let mut options = site.options();
    options.queues = queues;
    options.arguments.push(MULTI_SEGMENT.to_owned());
    let mut testpmd = site.front_end(&options)?;
    testpmd.packet_segments(segments)?;
    testpmd.forward("txonly")?;
    testpmd.start()?;
    testpmd.wait_stats("testpmd sends", |it| it.tx_packets > ENOUGH)?;
    testpmd.stop()?;
    let sent = testpmd.settled_stats()?;
    let received = peer.settled()?;
    let (device, memif) = (site.status(site.device)?.counters, site.status(site.memif)?.counters);
    let length: u64 = segments.iter().map(|&it| u64::from(it)).sum();
    ensure!(device.rx_frames == sent.tx_packets, "sent {sent:?}, taken {device:?}");
    ensure!(device.rx_bytes == device.rx_frames * length, "{device:?}");
    ensure!(memif.tx_frames == received.received, "delivered {memif:?}, received {received:?}");
    let drops = device.dropped_total() + memif.dropped_total();
    ensure!(device.rx_frames == memif.tx_frames + drops, "{device:?} {memif:?}");
    ensure!(received.received > 0 && received.received_bytes == received.received * length);
    Ok(())
}

#[test]
fn what_dpdk_receives_is_counted_on_both_sides() -> Result<()> {
    on_host(|| {
        for length in [64, 1514, 9000] {
            send(length).with_context(|| format!("{length} bytes"))?;
        }
        Ok(())
    })
}

fn send(length: usize) -> Result<()> {
    let site = Site::new()?;
    let mut testpmd = site.front_end(&site.options())?;
    testpmd.forward("rxonly")?;
    testpmd.start()?;
    let job = Job::Probe { lengths: vec![length], count: ENOUGH, window: u64::MAX };
    let peer = site.peer(job)?;
    peer.wait("we send all", |it| it.sent == ENOUGH)?;
    wait::until(LIMIT, "the engine took all", || {
        Ok((site.status(site.memif)?.counters.rx_frames == ENOUGH).then_some(()))
    })?;
    let received = testpmd.settled_stats()?;
    let counters = site.status(site.device)?.counters;
    ensure!(counters.tx_frames == received.rx_packets, "{counters:?} {received:?}");
    ensure!(received.rx_bytes == received.rx_packets * length as u64, "{received:?}");
    ensure!(counters.tx_frames + counters.dropped_total() == ENOUGH, "{counters:?}");
    ensure!(received.rx_packets > 0);
    Ok(())
}

#[test]
fn front_ends_die_in_traffic_and_others_come() -> Result<()> {
    on_host(|| {
        let site = Site::new()?;
        let peer = site.peer(Job::Sink)?;
        for _ in 0..4 {
            let mut testpmd = site.front_end(&site.options())?;
            testpmd.forward("txonly")?;
            testpmd.start()?;
            let before = peer.counts().received;
            peer.wait("frames come", |it| it.received > before + 10_000)?;
            testpmd.kill()?;
            site.wait_for_none()?;
        }
        // The port's socket is bound anew, as by another agent.
        site.listen()?;
        let mut testpmd = site.front_end(&site.options())?;
        let before = peer.counts().received;
        testpmd.forward("txonly")?;
        testpmd.start()?;
        peer.wait("frames come", |it| it.received > before + 10_000)?;
        Ok(())
    })
}

#[test]
fn a_port_that_is_stopped_and_started_goes_on() -> Result<()> {
    on_host(|| {
        let site = Site::new()?;
        let peer = site.peer(Job::Sink)?;
        let mut testpmd = site.front_end(&site.options())?;
        testpmd.forward("txonly")?;
        for _ in 0..3 {
            let before = peer.counts().received;
            testpmd.start()?;
            peer.wait("frames come", |it| it.received > before + 10_000)?;
            testpmd.stop()?;
            testpmd.restart_port()?;
        }
        Ok(())
    })
}

// In containers of the agent.

pub(crate) const ONE: (&str, &str) = ("10.201.9.11", "02:42:0a:c9:09:0b");
pub(crate) const TWO: (&str, &str) = ("10.201.9.12", "02:42:0a:c9:09:0c");

/// A testpmd in a container, which has the folder of its endpoint's socket.
pub(crate) struct Station {
    pub(crate) testpmd: Testpmd,
    pub(crate) endpoint: String,
}

impl Station {
    pub(crate) fn start(
        lab: &Lab,
        network: &Network,
        (address, mac): (&str, &str),
        peer: &str,
        shape: impl Fn(&mut TestpmdOptions),
    ) -> Result<Self> {
        let name = format!("vm-{}", address.rsplit('.').next().unwrap_or_default());
        let mut options = TestpmdOptions::front_end("/device/socket");
        options.device.push(format!("mac={mac}"));
        options.arguments.push(format!("--eth-peer=0,{peer}"));
        shape(&mut options);
        let folder = format!("{}:/device", lab.agent.vhost_folder().join(&name).display());
        let attach =
            format!("name={},ip={address},driver-opt=vhost-user.socket={name}", network.name());
        let run = RunOptions::default().flags(&["--network", &attach, "-v", &folder]);
        let testpmd = Testpmd::in_container(&options, run)?;
        let container = testpmd.container().context("it is in a container")?;
        let endpoint = container.attached(network, "EndpointID")?;
        let station = Self { testpmd, endpoint };
        wait::until(LIMIT, "the front end owns its address", || {
            Ok((station.shown(lab)?["owner"] == "vhost-user").then_some(()))
        })
        .with_context(|| station.testpmd.output())?;
        Ok(station)
    }

    fn shown(&self, lab: &Lab) -> Result<Value> {
        shown(lab, &self.endpoint)
    }
}

pub(crate) fn shown(lab: &Lab, endpoint: &str) -> Result<Value> {
    let lines = lab.agent.list("endpoints")?;
    lines.into_iter().find(|it| it["id"] == endpoint).context("no such endpoint")
}

fn network(lab: &Lab) -> Result<Network> {
    // What testpmd generates has addresses of its own choice.
    network_with(lab, &["-o", "antispoof=none"])
}

pub(crate) fn network_with(lab: &Lab, options: &[&str]) -> Result<Network> {
    let shape = ["--subnet", "10.201.9.0/24", "-o", "mtu=9000", "-o", "attach=vhost-user"];
    lab.network(&[&shape[..], options].concat())
}

/// Sends from one to the other; all four counts must agree.
fn exchange(lab: &Lab, one: &mut Station, two: &mut Station, segments: &[u16]) -> Result<()> {
    let ends = [(&mut one.testpmd, &*one.endpoint), (&mut two.testpmd, &*two.endpoint)];
    crate::exchange::exchange(lab, ends, segments, ENOUGH)
}

#[test]
fn front_ends_in_containers_reach_each_other_and_come_back_after_a_crash() {
    docker_test(&[Need::VirtioUser], |lab| {
        let network = network(lab)?;
        let mut one = Station::start(lab, &network, ONE, TWO.1, |_| {})?;
        let mut two = Station::start(lab, &network, TWO, ONE.1, |it| it.cpu = 0)?;
        let device = two.shown(lab)?["vhost"].clone();
        ensure!(device["rx_queues"] == 1 && device["tx_queues"] == 1, "{device}");
        let socket = lab.agent.vhost_folder().join("vm-12/socket");
        ensure!(device["socket"] == socket.to_string_lossy().as_ref(), "{device}");
        for segments in [&[64][..], &[1514], &[2000, 2000]] {
            exchange(lab, &mut one, &mut two, segments)
                .with_context(|| format!("segments {segments:?}"))?;
        }
        exchange(lab, &mut two, &mut one, &[64]).context("the other way")?;
        // The agent dies and comes back: its sockets are where they were, in the folders that the
        // containers have. DPDK's front end does not connect again by itself.
        lab.crash()?;
        ensure!(socket.exists());
        ensure!(one.shown(lab)?["owner"] == "stack");
        drop((one, two));
        let mut one = Station::start(lab, &network, ONE, TWO.1, |_| {})?;
        let mut two = Station::start(lab, &network, TWO, ONE.1, |it| it.cpu = 0)?;
        exchange(lab, &mut one, &mut two, &[64])?;
        drop(two);
        wait::until(LIMIT, "the socket is gone", || Ok((!socket.exists()).then_some(())))
    });
}

#[test]
fn flows_are_spread_over_two_queues_in_containers() {
    docker_test(&[Need::VirtioUser], |lab| {
        let network = network(lab)?;
        let shape = |it: &mut TestpmdOptions| {
            it.queues = 2;
            it.arguments.push("--txonly-multi-flow".to_owned());
        };
        let mut one = Station::start(lab, &network, ONE, TWO.1, shape)?;
        let mut two = Station::start(lab, &network, TWO, ONE.1, |it| {
            shape(it);
            it.cpu = 0;
        })?;
        exchange(lab, &mut one, &mut two, &[64])?;
        let queues = two.testpmd.received_by_queue(2)?;
        ensure!(queues.iter().all(|&count| count > 0), "{queues:?}");
        Ok(())
    });
}

/// An idle container: its kernel's interface shows the address, the socket waits, and what it is asked of
/// options that make no sense is refused.
#[test]
fn sockets_come_with_their_endpoints_and_go_with_them() {
    docker_test(&[], |lab| {
        let network = network(lab)?;
        let image = lab.busybox()?;
        let container = Container::idle(&image, &network)?;
        let endpoint = container.attached(&network, "EndpointID")?;
        let shown = shown(lab, &endpoint)?;
        let socket = lab.agent.vhost_folder().join(&endpoint[..12]).join("socket");
        ensure!(shown["vhost"]["socket"] == socket.to_string_lossy().as_ref(), "{shown}");
        ensure!(shown["owner"] == "stack" && socket.exists());
        let attach =
            format!("name={},driver-opt=vhost-user.socket={}", network.name(), &endpoint[..12]);
        let run = RunOptions::default().flags(&["--network", &attach]);
        let taken = Container::run(&image, &run).expect_err("the name is taken");
        ensure!(format!("{taken:?}").contains("vhost-user socket"), "{taken:?}");
        let attach = format!("name={},driver-opt=vhost-user.socket=../x", network.name());
        let run = RunOptions::default().flags(&["--network", &attach]);
        ensure!(Container::run(&image, &run).is_err(), "a name with a slash");
        drop(container);
        ensure!(!socket.exists(), "the socket is still there");
        Ok(())
    });
}
