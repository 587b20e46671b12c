//! A virtual machine as the front end of an endpoint's vhost-user device: QEMU beside the container that the
//! endpoint belongs to, a Linux guest that boots to a shell, and its drivers' own choice of offloads.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::{Container, RunOptions};
use kit::guest::GuestOptions;
use kit::lab::docker_test;
use kit::need::Need;
use kit::{Engine, Guest, Lab, Network, wait};
use serde_json::Value;

use crate::vhost_user::shown;

const LIMIT: Duration = Duration::from_secs(30);

const QUEUES: u16 = 2;

/// Feature bits of a virtio network device (VIRTIO 1.2, section 5.1.3) that this back end offers and Linux takes.
const NEGOTIATED: [(usize, &str); 9] = [
    (0, "CSUM"),
    (1, "GUEST_CSUM"),
    (7, "GUEST_TSO4"),
    (8, "GUEST_TSO6"),
    (11, "HOST_TSO4"),
    (12, "HOST_TSO6"),
    (15, "MRG_RXBUF"),
    (22, "MQ"),
    (32, "VERSION_1"),
];

/// An endpoint of kind `vhost-user`, the idle container that it belongs to, and the machine that has its address.
struct Machine {
    guest: Guest,
    addresses: [IpAddr; 2],
    endpoint: String,
    _container: Container,
}

impl Machine {
    fn boot(lab: &Lab, network: &Network) -> Result<Self> {
        let attach = format!(
            "name={},driver-opt=attach=vhost-user,driver-opt=vhost-user.socket=machine",
            network.name()
        );
        let run = RunOptions::default().flags(&["--network", &attach]);
        let container = Container::run(&lab.busybox()?, &run)?;
        let addresses = [container.address(network)?, container.address6(network)?];
        let options = GuestOptions {
            socket: lab.agent.vhost_folder().join("machine/socket"),
            mac: container.attached(network, "MacAddress")?,
            queues: QUEUES,
            addresses: addresses
                .iter()
                .zip([24, 64])
                .map(|(it, bits)| format!("{it}/{bits}"))
                .collect(),
            gateways: gateways(network)?,
        };
        let endpoint = container.attached(network, "EndpointID")?;
        let guest = Guest::boot(&options)?;
        let machine = Self { guest, addresses, endpoint, _container: container };
        machine.wait_served(lab)?;
        Ok(machine)
    }

    /// Waits until the guest has the address and all its queues are served.
    fn wait_served(&self, lab: &Lab) -> Result<()> {
        wait::until_ok(LIMIT, "the guest's queues are served", || {
            let shown = shown(lab, &self.endpoint)?;
            let device = &shown["vhost"];
            let served = device["rx_queues"] == QUEUES && device["tx_queues"] == QUEUES;
            ensure!(shown["owner"] == "vhost-user" && served, "{shown}");
            Ok(())
        })
        .with_context(|| self.guest.console())
    }

    fn pings(&mut self, to: &str) -> Result<()> {
        let command = format!("ping -c 1 -W 1 {to}");
        wait::until_ok(LIMIT, "the guest reaches it", || self.guest.run(&command))?;
        Ok(())
    }

    /// Answers to the pings that [`Self::keep_pinging`] started.
    fn answers(&mut self) -> Result<usize> {
        let printed = self.guest.run("grep -c 'bytes from' /tmp/pings || true")?;
        // QEMU says on the same console that its back end is gone.
        printed.lines().find_map(|line| line.trim().parse().ok()).context(printed)
    }

    fn keep_pinging(&mut self, to: IpAddr) -> Result<()> {
        self.guest.run(&format!("ping -i 0.2 {to} >/tmp/pings 2>&1 &"))?;
        self.wait_answers(3)
    }

    fn wait_answers(&mut self, count: usize) -> Result<()> {
        wait::until(LIMIT, "pings are answered", || Ok((self.answers()? >= count).then_some(())))
    }
}

fn gateways(network: &Network) -> Result<Vec<String>> {
    (0..2).map(|index| network.gateway(index)).collect()
}

fn network(lab: &Lab) -> Result<Network> {
    let subnets = ["--ipv6", "--subnet", "10.201.45.0/24", "--subnet", "fd00:201:45::/64"];
    let gateways = ["--gateway", "10.201.45.1", "--gateway", "fd00:201:45::1"];
    lab.network(&[&subnets[..], &gateways].concat())
}

/// What the agent counted for an endpoint.
fn counted(lab: &Lab, endpoint: &str) -> Result<Value> {
    let lines = lab.agent.list("counters")?;
    lines.into_iter().find(|it| it["endpoint"] == endpoint).context("no such endpoint")
}

/// The mean length of frames between two looks, one way.
fn mean(before: &Value, after: &Value, way: &str) -> Result<u64> {
    let grown = |key: &str| {
        let key = format!("{way}_{key}");
        let number = |line: &Value| line[&key].as_u64().with_context(|| line.to_string());
        anyhow::Ok(number(after)? - number(before)?)
    };
    Ok(grown("bytes")? / grown("frames")?.max(1))
}

/// Offers a file of 8 MiB to whoever connects, one after the other, and gives its digest.
const SERVE: &str = "head -c 8388608 /dev/urandom >/tmp/file && \
                     { while :; do nc -l -p 8080 </tmp/file; sleep 0.1; done >/dev/null 2>&1 & \
                     sha256sum </tmp/file; }";

/// Fetches it, and gives the digest of what came. The client must have an input that does not end, or it would be
/// taken for one that hangs up.
fn fetch(address: IpAddr) -> String {
    format!("mkfifo /tmp/idle 2>/dev/null; nc {address} 8080 <>/tmp/idle | sha256sum")
}

/// The digest of no bytes.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The file that was `sent` arrives. Nothing at all comes only from a server that is not there yet.
fn arrives(sent: &str, mut fetched: impl FnMut() -> Result<String>) -> Result<()> {
    let got = wait::until(LIMIT, "the server is there", || {
        Ok(Some(fetched()?).filter(|it| !it.starts_with(NOTHING)))
    })?;
    ensure!(got == sent, "{got}, not {sent}");
    Ok(())
}

#[test]
fn a_virtual_machine_is_a_neighbour_of_containers() {
    docker_test(&[Need::Guest], |lab| {
        let network = network(lab)?;
        let neighbour = Container::idle(&lab.busybox()?, &network)?;
        let neighbours = [neighbour.address(&network)?, neighbour.address6(&network)?];
        let mut machine = Machine::boot(lab, &network)?;
        let features = machine.guest.run("cat /sys/bus/virtio/devices/virtio0/features")?;
        for (bit, name) in NEGOTIATED {
            ensure!(features.trim().as_bytes().get(bit) == Some(&b'1'), "{name}: {features}");
        }
        for address in neighbours.map(|it| it.to_string()).into_iter().chain(gateways(&network)?) {
            machine.pings(&address)?;
        }
        for address in machine.addresses {
            neighbour.pings(address, LIMIT)?;
        }
        // Every byte both ways, in segments as large as both kernels make them.
        let (here, there) = (machine.guest.run(SERVE)?, neighbour.exec_ok(&["sh", "-c", SERVE])?);
        for (own, other) in machine.addresses.into_iter().zip(neighbours) {
            let before = counted(lab, &machine.endpoint)?;
            arrives(&here, || neighbour.exec_ok(&["sh", "-c", &fetch(own)]))?;
            let between = counted(lab, &machine.endpoint)?;
            arrives(&there, || machine.guest.run(&fetch(other)))?;
            let after = counted(lab, &machine.endpoint)?;
            let (sent, received) = (mean(&before, &between, "rx")?, mean(&between, &after, "tx")?);
            // VPP is given frames that are cut, and has no others for the guest.
            let whole = Engine::under_test() == Engine::Vpp || received > 1514;
            ensure!(sent > 1514 && whole, "{own}: {sent} and {received} bytes a frame");
        }
        // The agent dies and comes back: QEMU connects again, and the guest has noticed nothing.
        machine.keep_pinging(neighbours[0])?;
        lab.crash()?;
        machine.wait_served(lab)?;
        let so_far = machine.answers()?;
        machine.wait_answers(so_far + 3)?;
        neighbour.pings(machine.addresses[0], LIMIT)?;
        arrives(&there, || machine.guest.run(&fetch(neighbours[0])))?;
        machine.guest.power_off()?;
        wait::until(LIMIT, "the address is nobody's in particular", || {
            Ok((shown(lab, &machine.endpoint)?["owner"] == "stack").then_some(()))
        })
    });
}

/// A guest's kernel is held to its endpoint's addresses, also where it leaves checksums undone.
#[test]
fn a_guest_with_addresses_of_its_own_choice_reaches_nobody_with_them() {
    if !Engine::Embedded.needed("VPP refuses antispoof=full") {
        return;
    }
    docker_test(&[Need::Guest], |lab| {
        let network = network(lab)?;
        let neighbour = Container::idle(&lab.busybox()?, &network)?;
        let (to, to6) = (neighbour.address(&network)?, neighbour.address6(&network)?);
        let mut machine = Machine::boot(lab, &network)?;
        let own_mac = machine.guest.run("cat /sys/class/net/eth0/address")?;
        for address in [to, to6] {
            machine.pings(&address.to_string())?;
        }
        machine.guest.run("ip address add 10.201.45.99/24 dev eth0")?;
        machine.guest.run(&format!("ip route add {to}/32 dev eth0 src 10.201.45.99"))?;
        for (reason, command) in [
            ("spoofed-ip", format!("ping -c 2 -W 1 -I 10.201.45.99 {to}")),
            ("spoofed-ip", format!("nc -w 2 {to} 8080")),
            ("spoofed-arp", format!("arping -c 2 -w 3 -I eth0 -s 10.201.45.99 {to}")),
            // Duplicate address detection of an address that is not the guest's.
            (
                "spoofed-nd",
                "ip address add fd00:201:45::99/64 dev eth0 && sleep 2 && false".to_owned(),
            ),
            (
                "spoofed-mac",
                format!(
                    "ip route del {to}/32 && ip link set eth0 address 02:42:0a:c9:2d:63 && \
                     ping -c 2 -W 1 {to}"
                ),
            ),
        ] {
            let drops = |lab: &Lab| {
                anyhow::Ok(counted(lab, &machine.endpoint)?["drops"][reason].as_u64().unwrap_or(0))
            };
            let before = drops(lab)?;
            let done = machine.guest.run(&command);
            ensure!(done.is_err(), "{command}: {done:?}");
            let after = drops(lab)?;
            ensure!(after > before, "{command}: {reason}: {after}: {done:?}");
        }
        let known = neighbour.exec_ok(&["ip", "neigh", "show", "10.201.45.99"])?;
        ensure!(known.is_empty(), "the neighbour believes {known}");
        machine.guest.run(&format!("ip link set eth0 address {own_mac}"))?;
        machine.guest.run("ip address del 10.201.45.99/24 dev eth0")?;
        machine.pings(&to.to_string())
    });
}
