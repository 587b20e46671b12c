//! What a container may send: under which addresses, how much, and that its neighbours do not suffer from one
//! that tries more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use kit::docker::RunOptions;
use kit::lab::{attached_test, docker_test};
use kit::process::Process;
use kit::{Container, Engine, Image, Lab, Network, wait};
use serde_json::Value;

use crate::kinds::{Kind, each_kind};

const SOON: Duration = Duration::from_secs(15);

each_kind!(
    a_kernel_with_addresses_of_its_own_choice_reaches_nobody_with_them,
    rates_hold_for_each_container,
);

/// A test of what the agent's own bridge does. VPP's refuses the options: see the last test.
fn bridge_test(kind: Option<Kind>, test: impl FnOnce(&mut Lab) -> Result<()>) {
    if Engine::Embedded
        .needed("VPP refuses antispoof=full, antispoof=mac, rate.packets and rate.bits")
    {
        attached_test(kind.map(Kind::option), &[], test);
    }
}

/// What the agent counted for a container.
fn counted(lab: &Lab, container: &Container, network: &Network) -> Result<Value> {
    let id = container.attached(network, "EndpointID")?;
    let lines = lab.agent.list("counters")?;
    let found = lines.iter().find(|line| line["endpoint"] == id.as_str());
    Ok(found.with_context(|| format!("no {id} in {lines:?}"))?.clone())
}

fn number(line: &Value, key: &str) -> u64 {
    line[key].as_u64().unwrap_or(0)
}

/// The sum of a list of counters.
fn all_of(counters: &Value) -> u64 {
    counters.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

/// A station, as frames name it.
#[derive(Debug, Clone, Copy)]
struct Station {
    mac: [u8; 6],
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
}

impl Station {
    fn of(container: &Container, network: &Network) -> Result<Self> {
        let mac = container.attached(network, "MacAddress")?;
        let octets = mac.split(':').map(|octet| u8::from_str_radix(octet, 16));
        let octets: Vec<u8> = octets.collect::<Result<_, _>>()?;
        let (IpAddr::V4(ipv4), IpAddr::V6(ipv6)) =
            (container.address(network)?, container.address6(network)?)
        else {
            bail!("a container has other addresses than asked for")
        };
        Ok(Self { mac: octets.try_into().map_err(|_| anyhow::anyhow!("{mac}"))?, ipv4, ipv6 })
    }

    /// A frame to `to`, in hexadecimal digits.
    fn frame(&self, to: &Self, ether_type: u16, parts: &[&[u8]]) -> String {
        let mut frame =
            [&to.mac[..], &self.mac, &ether_type.to_be_bytes(), &parts.concat()].concat();
        frame.resize(frame.len().max(60), 0);
        hex(&frame)
    }

    fn datagram(&self, from: Ipv4Addr, to: &Self) -> String {
        let head = [0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0];
        self.frame(to, 0x0800, &[&head, &from.octets(), &to.ipv4.octets(), &[0; 26]])
    }

    /// A reply that says that `ip` is at `mac`.
    fn arp(&self, mac: [u8; 6], ip: Ipv4Addr, to: &Self) -> String {
        let head = [0, 1, 8, 0, 6, 4, 0, 2];
        self.frame(to, 0x0806, &[&head, &mac, &ip.octets(), &to.mac, &to.ipv4.octets()])
    }

    /// An ICMPv6 message.
    fn icmp6(&self, from: Ipv6Addr, to: &Self, message: &[u8]) -> String {
        let length = u8::try_from(message.len()).expect("a short message");
        let head = [0x60, 0, 0, 0, 0, length, 58, 255];
        self.frame(to, 0x86dd, &[&head, &from.octets(), &to.ipv6.octets(), message])
    }

    /// An advertisement that says that `ip` is at `mac`, and shall be believed.
    fn advertisement(&self, mac: [u8; 6], ip: Ipv6Addr, to: &Self) -> String {
        let head = [136, 0, 0, 0, 0x20, 0, 0, 0];
        self.icmp6(self.ipv6, to, &[&head[..], &ip.octets(), &[2, 1], &mac].concat())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, octet| text + &format!("{octet:02x}"))
}

/// Sends frames over the container's memif socket, each `count` times; the link stays.
fn send(container: &Container, count: u64, frames: &[String]) -> Result<Process> {
    let count = count.to_string();
    let mut command = vec!["netprobe", "frames", "@dockervpp/memif", &count];
    command.extend(frames.iter().map(String::as_str));
    let sending = container.exec_start(&command)?;
    sending
        .line_after(0, SOON, "frames are sent", |line| line.starts_with("sent").then_some(()))?;
    Ok(sending)
}

/// Ends what [`send`] started.
fn stop(container: &Container, mut sending: Process) -> Result<()> {
    container.exec_ok(&["killall", "netprobe"])?;
    sending.wait(SOON).map(|_| ())
}

const TWO_FAMILIES: [&str; 5] =
    ["--ipv6", "--subnet", "10.201.31.0/24", "--subnet", "fd00:201:31::/64"];

/// Every kind of forged frame is counted for its reason, and none is seen by anybody.
#[test]
fn forged_frames_are_dropped_and_counted_and_neighbours_go_on() {
    bridge_test(None, |lab| {
        let network = lab.network(&TWO_FAMILIES)?;
        let image = Image::examples()?;
        let [hostile, victim, peer] = [(); 3].map(|()| Container::idle(&image, &network));
        let (hostile, victim, peer) = (hostile?, victim?, peer?);
        let [own, other, third] = [&hostile, &victim, &peer].map(|it| Station::of(it, &network));
        let (own, other, third) = (own?, other?, third?);
        peer.pings(other.ipv4.into(), SOON)?;
        let foreign = Station { mac: [2, 0x42, 9, 9, 9, 9], ..own };
        let group = Station { mac: [3, 0x42, 9, 9, 9, 9], ..own };
        let router = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        let cases = [
            ("spoofed-mac", foreign.datagram(own.ipv4, &other)),
            ("spoofed-mac", third.datagram(own.ipv4, &other)),
            ("spoofed-ip", own.datagram(third.ipv4, &other)),
            ("spoofed-ip", own.icmp6(third.ipv6, &other, &[128, 0, 0, 0, 0, 0, 0, 0])),
            ("spoofed-arp", own.arp(own.mac, third.ipv4, &other)),
            ("spoofed-arp", own.arp(foreign.mac, own.ipv4, &other)),
            ("spoofed-nd", own.advertisement(own.mac, third.ipv6, &other)),
            ("spoofed-nd", own.advertisement(foreign.mac, own.ipv6, &other)),
            ("spoofed-nd", own.icmp6(own.ipv6, &other, &router)),
            ("oversize", own.frame(&other, 0x88b5, &[&[0; 1501]])),
            ("malformed", group.frame(&other, 0x88b5, &[])),
            ("malformed", hex(&[2; 10])),
            ("malformed", hex(&[&other.mac[..], &own.mac, &[8, 0, 0x45, 0]].concat())),
        ];
        let heard = |container| counted(lab, container, &network);
        let (before, victim_before) = (heard(&hostile)?, number(&heard(&victim)?, "tx_frames"));
        let frames: Vec<_> = cases.iter().map(|(_, frame)| frame.clone()).collect();
        let sending = send(&hostile, 100, &frames)?;
        let reasons =
            ["spoofed-mac", "spoofed-ip", "spoofed-arp", "spoofed-nd", "oversize", "malformed"];
        wait::until_ok(SOON, "all frames are counted", || {
            let now = heard(&hostile)?;
            let received = number(&now, "rx_frames") - number(&before, "rx_frames");
            ensure!(received >= 100 * cases.len() as u64, "{received} of them: {now}");
            for reason in reasons {
                let expected = 100 * cases.iter().filter(|(of, _)| *of == reason).count() as u64;
                let dropped = number(&now["drops"], reason) - number(&before["drops"], reason);
                ensure!(dropped == expected, "{reason}: {dropped}, not {expected}: {now}");
            }
            Ok(())
        })?;
        stop(&hostile, sending)?;
        // Nothing of it arrived: what the victim got since is less than a single kind of it.
        let arrived = number(&heard(&victim)?, "tx_frames") - victim_before;
        ensure!(arrived < 50, "the victim got {arrived} frames");
        // And what others believe of each other is what it was.
        for address in [IpAddr::from(other.ipv4), other.ipv6.into()] {
            peer.pings(address, SOON)?;
        }
        victim.pings(third.ipv4.into(), SOON)?;
        ensure!(
            counted(lab, &victim, &network)?["drops"]
                .as_object()
                .is_none_or(|drops| { drops.keys().all(|reason| !reason.starts_with("spoofed")) })
        );
        Ok(())
    });
}

/// A container's own kernel is held to its addresses as well.
fn a_kernel_with_addresses_of_its_own_choice_reaches_nobody_with_them(kind: Kind) {
    bridge_test(Some(kind), |lab| {
        let network = lab.network(&["--subnet", "10.201.32.0/24"])?;
        let image = lab.busybox()?;
        let victim = Container::idle(&image, &network)?;
        let capable = RunOptions::default().on(&network).flags(&["--cap-add", "NET_ADMIN"]);
        let hostile = Container::run(&image, &capable)?;
        let to = victim.address(&network)?;
        hostile.pings(to, SOON)?;
        let drops = |reason: &str| -> Result<u64> {
            Ok(number(&counted(lab, &hostile, &network)?["drops"], reason))
        };
        ensure!((drops("spoofed-ip")?, drops("spoofed-arp")?, drops("spoofed-mac")?) == (0, 0, 0));
        hostile.exec_ok(&["ip", "addr", "add", "10.201.32.99/24", "dev", "eth0"])?;
        let forged = ["ping", "-c", "2", "-W", "1", "-I", "10.201.32.99", &to.to_string()];
        ensure!(!hostile.exec(&forged)?.success, "an address of its own choice was answered");
        ensure!(drops("spoofed-ip")? >= 2);
        hostile.pings(to, SOON)?;
        let other_mac = "02:42:0a:c9:20:63";
        hostile.exec_ok(&["ip", "link", "set", "eth0", "address", other_mac])?;
        let forged = ["ping", "-c", "2", "-W", "1", &to.to_string()];
        ensure!(!hostile.exec(&forged)?.success, "another Ethernet address was answered");
        ensure!(drops("spoofed-mac")? >= 2);
        Ok(())
    });
}

/// Routers and testers say so, on the network or for one container.
#[test]
fn relieved_containers_may_send_what_they_like() {
    bridge_test(None, |lab| {
        let network = lab.network(&[&TWO_FAMILIES[..], &["-o", "antispoof=mac"]].concat())?;
        let image = Image::examples()?;
        let router = Container::idle(&image, &network)?;
        let free = format!("name={},driver-opt=antispoof=none", network.name());
        let free = Container::run(&image, &RunOptions::default().flags(&["--network", &free]))?;
        let victim = Container::idle(&image, &network)?;
        let shown = lab.agent.list("endpoints")?;
        for (container, expected) in [(&router, "mac"), (&free, "none"), (&victim, "mac")] {
            let id = container.attached(&network, "EndpointID")?;
            let line = shown.iter().find(|line| line["id"] == id.as_str()).context("no line")?;
            ensure!(line["antispoof"] == expected, "{line}");
        }
        let to = Station::of(&victim, &network)?;
        for (container, mac_is_checked) in [(&router, true), (&free, false)] {
            let own = Station::of(container, &network)?;
            let foreign = Station { mac: [2, 0x42, 9, 9, 9, 9], ..own };
            let before = number(&counted(lab, &victim, &network)?, "tx_frames");
            let routed = own.datagram(Ipv4Addr::new(192, 0, 2, 1), &to);
            let sending = send(container, 100, &[routed, foreign.datagram(own.ipv4, &to)])?;
            let expected = if mac_is_checked { 100 } else { 200 };
            let drops = wait::until_ok(SOON, "frames arrive", || {
                let line = counted(lab, container, &network)?;
                let arrived = number(&counted(lab, &victim, &network)?, "tx_frames") - before;
                ensure!(arrived >= expected, "{arrived} of {expected}: {line}");
                // What was dropped may have come after this line was asked for.
                let dropped = number(&line["drops"], "spoofed-mac");
                ensure!(dropped == if mac_is_checked { 100 } else { 0 }, "{line}");
                Ok(line["drops"].clone())
            })?;
            ensure!(number(&drops, "spoofed-ip") == 0, "{drops}");
            stop(container, sending)?;
        }
        Ok(())
    });
}

/// Frames between neighbours of an isolated network are counted as what they are.
#[test]
fn what_isolation_drops_is_counted() {
    bridge_test(None, |lab| {
        let network = lab.network(&[&TWO_FAMILIES[..], &["-o", "isolation=true"]].concat())?;
        let image = Image::examples()?;
        let (one, two) = (Container::idle(&image, &network)?, Container::idle(&image, &network)?);
        let (own, other) = (Station::of(&one, &network)?, Station::of(&two, &network)?);
        let _sending = send(&one, 100, &[own.datagram(own.ipv4, &other)])?;
        wait::until_ok(SOON, "all are counted", || {
            let line = counted(lab, &one, &network)?;
            ensure!(number(&line["drops"], "isolated") == 100, "{line}");
            Ok(())
        })
    });
}

/// Over a stretch of time that is measured no more passes than the limit allows; a neighbour's is its own.
fn rates_hold_for_each_container(kind: Kind) {
    bridge_test(Some(kind), |lab| {
        let options = ["--subnet", "10.201.33.0/24", "-o", "rate.packets=500/50"];
        let network = lab.network(&options)?;
        let image = Image::examples()?;
        let (one, two) = (Container::idle(&image, &network)?, Container::idle(&image, &network)?);
        let bits = format!(
            "name={},driver-opt=rate.packets=none,driver-opt=rate.bits=1m/100k",
            network.name()
        );
        let three = Container::run(&image, &RunOptions::default().flags(&["--network", &bits]))?;
        let to = format!("{}:9", two.address(&network)?);
        for container in [&one, &three] {
            container.pings(two.address(&network)?, SOON)?;
        }
        for (container, reason, limit) in [
            (&one, "rate-packets", (500, 50)),
            // A datagram of 1000 bytes is a frame of 1042: 8336 bits.
            (&three, "rate-bits", (1_000_000 / 8336, 100_000 / 8336)),
        ] {
            let start = Instant::now();
            let before = counted(lab, container, &network)?;
            container.exec_ok(&["netprobe", "flood", &to, "2", "1000"])?;
            let after = counted(lab, container, &network)?;
            let seconds = start.elapsed().as_secs() + 1;
            let dropped = number(&after["drops"], reason) - number(&before["drops"], reason);
            let received = number(&after, "rx_frames") - number(&before, "rx_frames");
            // A veth pair loses what the agent does not take in time, before it is counted by a rate.
            let passed = received - all_of(&after["drops"]) + all_of(&before["drops"]);
            let (rate, burst) = limit;
            // A few frames of ARP and the like are shorter than the datagrams.
            let most = rate * seconds + burst + 50;
            ensure!(dropped > 0 && passed <= most, "{seconds} s, most {most}: {after}");
            // At least the burst and some of the first second went through.
            ensure!(passed > burst, "{after}");
        }
        let shown = lab.agent.list("endpoints")?;
        let rates: Vec<_> = shown.iter().map(|line| &line["rates"]).collect();
        ensure!(rates.iter().any(|it| it["rate.bits"] == "1000000/100000"), "{rates:?}");
        let undisturbed = counted(lab, &two, &network)?;
        ensure!(number(&undisturbed["drops"], "rate-packets") == 0, "{undisturbed}");
        two.pings(three.address(&network)?, SOON)
    });
}

/// One container makes sessions faster than it may. (The broker's: the same whatever engine forwards.)
#[test]
fn new_sessions_are_limited_for_each_container() {
    docker_test(&[], |lab| {
        let network = lab.network(&["--subnet", "10.201.34.0/24", "-o", "rate.sessions=1/3"])?;
        let image = Image::examples()?;
        let (server, client) =
            (Container::idle(&image, &network)?, Container::idle(&image, &network)?);
        let serve = "for port in $(seq 7000 7011); do probe serve $port x & done; wait";
        let _serving = server.exec_start(&["sh", "-c", serve])?;
        wait::until(SOON, "twelve programs listen", || {
            Ok((lab.agent.list("listeners")?.len() == 12).then_some(()))
        })?;
        let start = Instant::now();
        let to = server.address(&network)?;
        let fetch = format!("for port in $(seq 7000 7011); do probe fetch {to}:$port & done; wait");
        client.exec(&["sh", "-c", &fetch])?;
        let seconds = start.elapsed().as_secs() + 1;
        let sessions = counted(lab, &client, &network)?["sessions"].clone();
        let (made, refused) = (number(&sessions, "connected"), number(&sessions, "over-rate"));
        ensure!(made + refused == 12, "{sessions}");
        ensure!((3..=3 + seconds).contains(&made), "after {seconds} s: {sessions}");
        // The other side has a rate of its own, and accepting costs nothing.
        let served = counted(lab, &server, &network)?["sessions"].clone();
        ensure!(number(&served, "accepted") == made && served["over-rate"].is_null(), "{served}");
        Ok(())
    });
}

/// Nothing is ignored: what would not hold is refused, in words.
#[test]
fn with_vpp_the_options_of_the_agents_bridge_are_refused() {
    if !Engine::Vpp.needed("the agent's own bridge takes these options") {
        return;
    }
    docker_test(&[], |lab| {
        for option in ["antispoof=full", "antispoof=mac", "rate.packets=1k", "rate.bits=1M"] {
            let refusal = lab.network(&["-o", option]).err().context(option)?;
            let words = format!("{refusal:#}");
            ensure!(words.contains("--engine embedded"), "{words}");
        }
        lab.network(&["-o", "antispoof=none", "-o", "rate.sessions=10"])?.remove()
    });
}
