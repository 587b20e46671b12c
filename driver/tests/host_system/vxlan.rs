//! One network on several hosts. Hosts are network namespaces that are joined by a link; some have an engine, some
//! the kernel's own `vxlan` device, which knows nothing of this project.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dataplane::DropReason;
use dataplane::control::VxlanStatus;
use dataplane::vxlan::Vni;
use dockervpp::engine::embedded::{EmbeddedEngine, EmbeddedOptions, WayOut};
use dockervpp::engine::{AttachmentOptions, CaptureScope, Engine};
use dockervpp::model::vxlan::{MtuSource, PeerList};
use dockervpp::model::{AttachKind, EndpointSpec, NetworkSpec, SandboxKey, VxlanSpec};

use crate::engine::{endpoint, network};
use crate::fixture::{Sandbox, eventually, root_or_skip};

const VNI: u32 = 77;
/// Bytes of a bulk transfer.
const BULK: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_mins(1);

/// A host of the underlay `192.0.2.0/24` and `2001:db8::/64`.
struct Host {
    number: u8,
    sandbox: Sandbox,
}

impl Host {
    /// Hosts with the numbers 1 to `count` on one Ethernet, a bridge in a namespace of its own.
    fn several(count: u8, mtu: u32) -> (Sandbox, Vec<Self>) {
        let middle = Sandbox::mounted();
        middle.command(&["ip", "link", "add", "br0", "type", "bridge"]);
        middle.command(&["ip", "link", "set", "br0", "mtu", &mtu.to_string(), "up"]);
        let hosts = (1..=count).map(|number| Self::on(&middle, number, mtu));
        let hosts = hosts.collect();
        (middle, hosts)
    }

    fn on(middle: &Sandbox, number: u8, mtu: u32) -> Self {
        let sandbox = Sandbox::mounted();
        let (path, near, mtu) =
            (sandbox.path().display().to_string(), format!("h{number}"), mtu.to_string());
        let peer = ["peer", "name", "lan0", "netns", &path];
        middle.command(&[&["ip", "link", "add", &near, "type", "veth"], &peer[..]].concat());
        middle.command(&["ip", "link", "set", &near, "mtu", &mtu, "master", "br0", "up"]);
        let (four, six) = (format!("192.0.2.{number}/24"), format!("2001:db8::{number}/64"));
        for line in [
            &["ip", "link", "set", "lo", "up"][..],
            &["ip", "link", "set", "lan0", "mtu", &mtu, "up"],
            &["ip", "address", "add", &four, "dev", "lan0"],
            &["ip", "address", "add", &six, "dev", "lan0", "nodad"],
        ] {
            sandbox.command(line);
        }
        Self { number, sandbox }
    }

    fn run<T: Send>(&self, job: impl FnOnce() -> T + Send) -> T {
        self.sandbox.open().run(job).unwrap()
    }
}

/// A host with an engine and one container, whose address ends with ten times the host's number.
struct Agent {
    host: Host,
    engine: EmbeddedEngine,
    network: NetworkSpec,
    endpoint: EndpointSpec,
    container: Sandbox,
}

fn start() -> EmbeddedEngine {
    let attachment =
        AttachmentOptions { owner: "dvtest".to_owned(), ..AttachmentOptions::default() };
    EmbeddedEngine::start(EmbeddedOptions {
        attachment,
        way_out: WayOut::None,
        ..EmbeddedOptions::default()
    })
    .unwrap()
}

fn spec(peers: &[&str]) -> NetworkSpec {
    let vxlan = VxlanSpec {
        vni: Vni::new(VNI).unwrap(),
        peers: PeerList::new(peers.iter().map(|peer| peer.parse().unwrap())).unwrap(),
        peers_file: None,
        local: None,
        port: 4789,
        mtu: MtuSource::Underlay,
    };
    NetworkSpec { vxlan: Some(vxlan), ..network() }
}

impl Agent {
    fn new(host: Host, asked: &NetworkSpec) -> Self {
        let engine = host.run(start);
        let network = host.run(|| {
            let network = engine.prepare_network(asked).unwrap();
            engine.create_network(&network).unwrap();
            network
        });
        let endpoint = endpoint(&network, host.number * 10, AttachKind::Auto);
        let container = Sandbox::mounted();
        host.run(|| engine.create_endpoint(&endpoint)).unwrap();
        let key = SandboxKey(container.path().to_owned());
        let link = host.run(|| engine.join(&endpoint.id, &key)).unwrap().link;
        let path = container.path().display().to_string();
        host.sandbox.command(&["ip", "link", "set", link.as_str(), "netns", &path, "name", "eth0"]);
        let address = endpoint.ipv4.unwrap().to_string();
        container.command(&["ip", "link", "set", "eth0", "address", &endpoint.mac.to_string()]);
        container.command(&["ip", "address", "add", &address, "dev", "eth0"]);
        container.command(&["ip", "link", "set", "eth0", "up"]);
        container.command(&["ip", "link", "set", "lo", "up"]);
        Self { host, engine, network, endpoint, container }
    }

    fn address(&self) -> IpAddr {
        self.endpoint.ipv4.unwrap().addr().into()
    }

    fn status(&self) -> VxlanStatus {
        self.engine.vxlan(&self.network.id).unwrap().unwrap()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.status().unclaimed.dropped(reason)
    }

    fn peers(&self) -> Vec<String> {
        self.status().peers.iter().map(|it| it.peer.to_string()).collect()
    }
}

fn ping(from: &Sandbox, to: IpAddr, options: &[&str]) -> bool {
    let namespace = format!("--net={}", from.path().display());
    let to = to.to_string();
    let line = [&["ping", "-c", "1", "-W", "2"][..], options, &[&to]].concat();
    Command::new("nsenter").arg(namespace).args(line).output().unwrap().status.success()
}

/// Moves bytes from one place to another and checks each of them.
fn bulk(from: &Sandbox, to: &Sandbox, address: IpAddr) -> Duration {
    let listener =
        to.open().run(|| TcpListener::bind(SocketAddr::new(address, 0)).unwrap()).unwrap();
    let target = listener.local_addr().unwrap();
    let block: Vec<u8> = (0..=250).cycle().take(251 << 9).collect();
    thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let (mut read, mut buffer) = (0, vec![0; 1 << 16]);
            while read < BULK {
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "it ends after {read} bytes");
                let begin = read % 251;
                assert!(buffer[..count] == block[begin..begin + count], "wrong bytes after {read}");
                read += count;
            }
            stream.write_all(b"x").unwrap();
        });
        let connect = || TcpStream::connect_timeout(&target, PATIENCE).unwrap();
        let mut stream = from.open().run(connect).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let begin = Instant::now();
        let mut left = BULK;
        while left > 0 {
            let count = left.min(block.len());
            stream.write_all(&block[..count]).unwrap();
            left -= count;
        }
        stream.read_exact(&mut [0]).unwrap();
        receiver.join().unwrap();
        begin.elapsed()
    })
}

fn megabits(time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    let bits = (BULK * 8) as f64;
    bits / time.as_secs_f64() / 1e6
}

#[test]
fn containers_of_two_agents_are_on_one_segment() {
    if !root_or_skip("containers_of_two_agents_are_on_one_segment") {
        return;
    }
    let (_middle, hosts) = Host::several(2, 1500);
    // One list for all hosts.
    let asked = spec(&["192.0.2.1", "192.0.2.2"]);
    let [near, far]: [Agent; 2] = hosts
        .into_iter()
        .map(|host| Agent::new(host, &asked))
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .unwrap();
    assert_eq!((near.network.mtu, far.network.mtu), (1450, 1450));
    assert_eq!(
        (near.peers(), far.peers()),
        (vec!["192.0.2.2".to_owned()], vec!["192.0.2.1".to_owned()])
    );
    let capture = CaptureScope::Network(near.network.id.clone());
    let mut capture = near.engine.capture(&capture, 128).unwrap();
    assert!(ping(&near.container, far.address(), &[]));
    assert!(ping(&far.container, near.address(), &["-M", "do", "-s", "1422"]), "the whole MTU");
    let mut labels = Vec::new();
    while let Some(frame) = capture.next(Duration::from_millis(200)).unwrap() {
        labels.push(capture.label_of(frame.port));
    }
    assert!(labels.contains(&"vxlan 192.0.2.2".to_owned()), "{labels:?}");
    for time in [
        bulk(&near.container, &far.container, far.address()),
        bulk(&far.container, &near.container, near.address()),
    ] {
        eprintln!("between two engines: {:.0} Mbit/s", megabits(time));
    }
    let line = near.engine.fdb(&near.network.id).unwrap();
    let line = line.iter().find(|line| line.mac == far.endpoint.mac).unwrap();
    assert_eq!(line.peer.unwrap().to_string(), "192.0.2.2");
    // Both have the gateway 10.99.0.1, and each container its own host's.
    let gateway = "10.99.0.1".parse().unwrap();
    assert!(ping(&near.container, gateway, &[]) && ping(&far.container, gateway, &[]));
    assert!(
        near.engine.fdb(&near.network.id).unwrap().iter().filter(|it| it.peer.is_some()).count()
            == 1
    );
    assert_eq!(near.engine.warnings().iter().filter(|it| it.contains("peer")).count(), 0);

    // The agent ends and another takes its place.
    let Agent { host, engine, network, endpoint, container } = near;
    drop(engine);
    let engine = host.run(start);
    host.run(|| engine.create_network(&network)).unwrap();
    host.run(|| engine.create_endpoint(&endpoint)).unwrap();
    let key = SandboxKey(container.path().to_owned());
    host.run(|| engine.rejoin(&endpoint.id, &key)).unwrap();
    eventually("the segment is whole again", || ping(&container, far.address(), &[]));
    host.run(|| engine.delete_endpoint(&endpoint.id)).unwrap();
    host.run(|| engine.delete_network(&network.id)).unwrap();
    let free = || UdpSocket::bind("[::]:4789").is_ok();
    assert!(host.run(free), "the socket went with the network");
}

/// A host on which the kernel has the segment.
fn kernel_host(host: &Host, local: &str, remote: &str, mtu: u32) {
    let (vni, mtu) = (VNI.to_string(), mtu.to_string());
    let device = ["ip", "link", "add", "vx0", "mtu", &mtu, "type", "vxlan", "id", &vni];
    let way = ["local", local, "remote", remote, "dstport", "4789"];
    host.sandbox.command(&[&device[..], &way].concat());
    let address = format!("10.99.0.{}/24", 200 + u16::from(host.number));
    host.sandbox.command(&["ip", "address", "add", &address, "dev", "vx0"]);
    host.sandbox.command(&["ip", "link", "set", "vx0", "up"]);
}

/// Whether this kernel has the driver; in pipelines it must.
fn has_vxlan(host: &Host) -> bool {
    let namespace = format!("--net={}", host.sandbox.path().display());
    let line = ["ip", "link", "add", "vxtry", "type", "vxlan", "id", "1", "dstport", "1"];
    let made = Command::new("nsenter").arg(namespace).args(line).status().unwrap().success();
    if made {
        host.sandbox.command(&["ip", "link", "delete", "vxtry"]);
    } else {
        assert!(std::env::var_os("CI").is_none(), "the kernel has no driver `vxlan`");
        eprintln!("skipped: the kernel has no driver `vxlan`");
    }
    made
}

fn with_the_kernel(underlay: u32, mtu: u32, six: bool) {
    let (_middle, hosts) = Host::several(2, underlay);
    let [near, kernel]: [Host; 2] = hosts.try_into().ok().unwrap();
    if !has_vxlan(&kernel) {
        return;
    }
    let (local, remote) =
        if six { ("2001:db8::2", "2001:db8::1") } else { ("192.0.2.2", "192.0.2.1") };
    kernel_host(&kernel, local, remote, mtu);
    let near = Agent::new(near, &spec(&[local]));
    assert_eq!(near.network.mtu, mtu);
    let there = IpAddr::from(Ipv4Addr::new(10, 99, 0, 202));
    assert!(ping(&near.container, there, &[]));
    let whole = (mtu - 28).to_string();
    assert!(ping(&near.container, there, &["-M", "do", "-s", &whole]));
    assert!(ping(&kernel.sandbox, near.address(), &["-M", "do", "-s", &whole]));
    let to_kernel = bulk(&near.container, &kernel.sandbox, there);
    let from_kernel = bulk(&kernel.sandbox, &near.container, near.address());
    eprintln!(
        "MTU {mtu}: to the kernel {:.0} Mbit/s, from it {:.0} Mbit/s",
        megabits(to_kernel),
        megabits(from_kernel)
    );
    let peer = near.status().peers[0];
    assert!(peer.counters.rx_frames > 0 && peer.counters.tx_frames > 0);
}

#[test]
fn the_kernels_own_device_is_a_peer() {
    if root_or_skip("the_kernels_own_device_is_a_peer") {
        with_the_kernel(1500, 1450, false);
    }
}

#[test]
fn the_kernels_own_device_is_a_peer_with_long_packets() {
    if root_or_skip("the_kernels_own_device_is_a_peer_with_long_packets") {
        with_the_kernel(9050, 9000, false);
    }
}

#[test]
fn the_kernels_own_device_is_a_peer_over_ipv6() {
    if root_or_skip("the_kernels_own_device_is_a_peer_over_ipv6") {
        with_the_kernel(1500, 1430, true);
    }
}

#[test]
fn frames_of_strangers_are_dropped_and_counted() {
    if !root_or_skip("frames_of_strangers_are_dropped_and_counted") {
        return;
    }
    let (_middle, hosts) = Host::several(3, 1500);
    let [near, far, stranger]: [Host; 3] = hosts.try_into().ok().unwrap();
    if !has_vxlan(&stranger) {
        return;
    }
    kernel_host(&stranger, "192.0.2.3", "192.0.2.1", 1450);
    let near = Agent::new(near, &spec(&["192.0.2.2"]));
    assert!(!ping(&stranger.sandbox, near.address(), &[]));
    assert!(near.dropped(DropReason::Stranger) > 0);
    assert!(near.engine.fdb(&near.network.id).unwrap().iter().all(|it| it.peer.is_none()));
    let datagram = [8, 0, 0, 0, 0, 0, 78, 0, 1, 2, 3];
    let send =
        || UdpSocket::bind("0.0.0.0:0").unwrap().send_to(&datagram, "192.0.2.1:4789").unwrap();
    far.run(send);
    eventually("the unknown segment is counted", || {
        near.status().socket.dropped(DropReason::UnknownVni) == 1
    });
    drop(far);
}

#[test]
fn a_file_of_peers_is_taken_over_and_a_broken_one_is_not() {
    if !root_or_skip("a_file_of_peers_is_taken_over_and_a_broken_one_is_not") {
        return;
    }
    let (_middle, hosts) = Host::several(2, 1500);
    let [near, far]: [Host; 2] = hosts.try_into().ok().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peers");
    let mut asked = spec(&[]);
    asked.vxlan.as_mut().unwrap().peers_file = Some(path.clone());
    let engine = near.run(start);
    let missing = near.run(|| engine.prepare_network(&asked)).unwrap_err().to_string();
    assert!(missing.contains(&path.display().to_string()), "{missing}");
    std::fs::write(&path, "192.0.2.1 # this host\n").unwrap();
    let near = Agent::new(near, &asked);
    assert_eq!(near.peers(), Vec::<String>::new());
    let far = Agent::new(far, &spec(&["192.0.2.1"]));
    assert!(!ping(&near.container, far.address(), &[]));

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when something fails.
        let at_last = AtLast(&stop);
        let pings = scope.spawn(|| {
            let mut answered = 0;
            while !stop.load(Ordering::Relaxed) {
                answered += u32::from(ping(&near.container, far.address(), &["-W", "1"]));
            }
            answered
        });
        std::fs::write(&path, "# all\n192.0.2.1\n192.0.2.2\n").unwrap();
        eventually("the peer is there", || near.peers() == ["192.0.2.2"]);
        std::fs::write(&path, "192.0.2.2\nnobody\n").unwrap();
        let told = |engine: &EmbeddedEngine| {
            engine.warnings().into_iter().find(|it| it.contains("line 2"))
        };
        eventually("the mistake is told", || told(&near.engine).is_some());
        assert_eq!(near.peers(), ["192.0.2.2"], "what held before holds on");
        eventually("it works", || ping(&near.container, far.address(), &[]));
        replace(&path, "192.0.2.2\n192.0.2.9\n");
        eventually("the next one is there", || near.peers() == ["192.0.2.2", "192.0.2.9"]);
        assert_eq!(told(&near.engine), None);
        drop(at_last);
        assert!(pings.join().unwrap() > 0);
    });
    let many: Vec<_> = (1..=65).map(|n| format!("198.51.100.{n}")).collect();
    let many = many.join("\n");
    std::fs::write(&path, many).unwrap();
    eventually("the refusal is told", || {
        near.engine.warnings().iter().any(|it| it.contains("65 peers are more than the 64"))
    });
    assert_eq!(near.peers(), ["192.0.2.2", "192.0.2.9"]);
}

/// Says that it is over when it goes.
struct AtLast<'a>(&'a AtomicBool);

impl Drop for AtLast<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// As an editor does it.
fn replace(path: &PathBuf, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

#[test]
fn an_mtu_that_cannot_work_is_refused() {
    if !root_or_skip("an_mtu_that_cannot_work_is_refused") {
        return;
    }
    let (_middle, hosts) = Host::several(1, 1400);
    let engine = hosts[0].run(start);
    let mut asked = spec(&["192.0.2.2", "2001:db8::2"]);
    let mtu = |asked: &NetworkSpec| hosts[0].run(|| engine.prepare_network(asked)).map(|it| it.mtu);
    assert_eq!(mtu(&asked).unwrap(), 1330);
    asked.vxlan.as_mut().unwrap().mtu = MtuSource::Chosen;
    asked.mtu = 1331;
    let error = mtu(&asked).unwrap_err().to_string();
    assert!(
        error.contains("the peer 2001:db8::2 takes 1400") && error.contains("`mtu` 1330"),
        "{error}"
    );
    asked.mtu = 1330;
    assert_eq!(mtu(&asked).unwrap(), 1330);
    // One that was made when the way was wider is told of.
    asked.mtu = 1400;
    hosts[0].run(|| engine.create_network(&asked)).unwrap();
    assert_eq!(
        engine.warnings().iter().filter(|it| it.contains("longer ones are dropped")).count(),
        2
    );
    let again = spec(&["192.0.2.3"]);
    let refused = hosts[0].run(|| engine.create_network(&again)).unwrap_err().to_string();
    assert!(refused.contains("identifier 77 is in use"), "{refused}");
    hosts[0].run(|| engine.delete_network(&asked.id)).unwrap();
    hosts[0].run(|| engine.create_network(&again)).unwrap();
    hosts[0].run(|| engine.delete_network(&again.id)).unwrap();
}

/// Not a test: figures of two engines and of two kernels, one after the other, to compare.
#[test]
#[ignore = "prints figures"]
fn figures_beside_the_kernels_own_device() {
    for (underlay, mtu) in [(1500, 1450), (9050, 9000)] {
        let (_middle, hosts) = Host::several(4, underlay);
        let [one, two, three, four]: [Host; 4] = hosts.try_into().ok().unwrap();
        let asked = spec(&["192.0.2.1", "192.0.2.2"]);
        let [near, far] = [one, two].map(|host| Agent::new(host, &asked));
        kernel_host(&three, "192.0.2.3", "192.0.2.4", mtu);
        kernel_host(&four, "192.0.2.4", "192.0.2.3", mtu);
        let there = IpAddr::from(Ipv4Addr::new(10, 99, 0, 204));
        for _ in 0..5 {
            let engines = megabits(bulk(&near.container, &far.container, far.address()));
            let kernels = megabits(bulk(&three.sandbox, &four.sandbox, there));
            eprintln!("MTU {mtu}: engines {engines:.0} Mbit/s, kernels {kernels:.0} Mbit/s");
        }
    }
}
