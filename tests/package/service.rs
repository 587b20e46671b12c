//! The Debian package on a machine with systemd: the agent as a service, with no more capabilities than its unit leaves
//! it. Docker's part is played by its protocol, with network namespaces for containers.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::lab::Turn;
use kit::need::{self, Need};
use kit::process::Process;
use kit::{programs, wait};
use serde_json::{Value, json};

use crate::machine::Machine;
use crate::made::package;

const SOON: Duration = Duration::from_mins(1);

/// The program that tests speak with, in the machine's folder.
const PROBE: &str = "/share/netprobe";

/// The preload library, where the package puts it.
const SHIM: &str = "LD_PRELOAD=/usr/lib/dockervpp/libvcl_shim.so";

/// `CAP_NET_BIND_SERVICE`, `CAP_NET_ADMIN`, `CAP_NET_RAW` and `CAP_SYS_ADMIN` (`linux/capability.h`).
const CAPABILITIES: u64 = 1 << 10 | 1 << 12 | 1 << 13 | 1 << 21;

/// A machine with networks of three kinds, a server on the first two containers of each, and a host behind it.
struct Site<'a> {
    machine: &'a Machine,
    servers: Vec<Process>,
}

/// A network: its number, and its kind.
type Kind = (u8, &'static str);

const KINDS: [Kind; 3] = [(1, "auto"), (2, "veth"), (3, "userspace")];

/// The host behind the host.
const WORLD: &str = "198.51.100.2";

fn id(network: u8, endpoint: u8) -> String {
    // What is shown of ids are their first twelve characters.
    format!("{network}{endpoint}").repeat(32)
}

impl<'a> Site<'a> {
    fn set(machine: &'a Machine) -> Result<Self> {
        let mut site = Self { machine, servers: Vec::new() };
        site.world()?;
        for (number, attach) in KINDS {
            let pool = |host: u8| format!("10.211.{number}.{host}/24");
            let network = json!({
                "NetworkID": id(number, 0),
                "Options": {"com.docker.network.generic": {"attach": attach}},
                "IPv4Data": [{"AddressSpace": "LocalDefault", "Pool": pool(0), "Gateway": pool(1)}],
                "IPv6Data": [],
            });
            machine.call("CreateNetwork", &network)?;
            for host in [2, 3] {
                site.container((number, attach), host)?;
            }
        }
        Ok(site)
    }

    fn ip(&self, line: &str) -> Result<()> {
        let words: Vec<&str> = ["ip"].into_iter().chain(line.split(' ')).collect();
        self.machine.run(&words).map(drop)
    }

    fn world(&self) -> Result<()> {
        self.ip("netns add world")?;
        self.ip("link add out0 type veth peer name in0 netns world")?;
        self.ip("address add 198.51.100.1/24 dev out0")?;
        self.ip("link set out0 up")?;
        self.ip(&format!("-n world address add {WORLD}/24 dev in0"))?;
        self.ip("-n world link set in0 up")
    }

    /// A namespace in place of a container, with a server in the first of each network, whose port is published.
    fn container(&mut self, (number, attach): Kind, host: u8) -> Result<()> {
        let (name, address) = (format!("c{number}{host}"), format!("10.211.{number}.{host}"));
        self.ip(&format!("netns add {name}"))?;
        self.ip(&format!("-n {name} link set lo up"))?;
        let door = 80 + number;
        let port = json!({"Proto": 6, "Port": 7000, "HostPort": door, "HostPortEnd": door});
        let options =
            if host == 2 { json!({"com.docker.network.portmap": [port]}) } else { json!({}) };
        let mac = format!("02:42:0a:d3:{number:02x}:{host:02x}");
        let interface = json!({"Address": format!("{address}/24"), "MacAddress": mac});
        let endpoint = json!({"NetworkID": id(number, 0), "EndpointID": id(number, host)});
        let with = |more: Value| {
            let mut all = endpoint.clone();
            for (key, value) in more.as_object().into_iter().flatten() {
                all[key] = value.clone();
            }
            all
        };
        let create = with(json!({"Interface": interface, "Options": options}));
        self.machine.call("CreateEndpoint", &create)?;
        let sandbox = format!("/run/netns/{name}");
        let join = with(json!({"SandboxKey": sandbox, "Options": options}));
        let joined = self.machine.call("Join", &join)?;
        let link = joined["InterfaceName"]["SrcName"].as_str();
        let link = link.filter(|it| !it.is_empty()).with_context(|| joined.to_string())?;
        self.ip(&format!("link set {link} netns {name} name eth0 address {mac}"))?;
        self.ip(&format!("-n {name} address add {address}/24 dev eth0"))?;
        self.ip(&format!("-n {name} link set eth0 up"))?;
        self.ip(&format!("-n {name} route add default via 10.211.{number}.1"))?;
        self.machine.call("ProgramExternalConnectivity", &with(json!({"Options": options})))?;
        if host == 2 {
            let server = self.machine.start(&inside(&name, attach, &["echo", "7000"]))?;
            let listens = |line: &str| (line == "listening").then_some(());
            server.line_after(0, SOON, "the server listens", listens)?;
            self.servers.push(server);
        }
        Ok(())
    }

    /// Everybody reaches whom they should.
    fn works(&self) -> Result<()> {
        for (number, attach) in KINDS {
            let neighbour = format!("10.211.{number}.2:7000");
            let published = format!("198.51.100.1:{}", 80 + number);
            let client = format!("c{number}3");
            for (from, attach, to) in
                [(client.as_str(), attach, &neighbour), ("world", "auto", &published)]
            {
                let line = inside(from, attach, &["ask", "stream", to, "100000"]);
                wait::until_ok(SOON, &format!("{from} is served by {to}"), || {
                    self.machine.run(&line)
                })?;
            }
            if attach != "userspace" {
                let line = ["ip", "netns", "exec", &client, "ping", "-c", "1", "-W", "5", WORLD];
                wait::until_ok(SOON, "the outside is reached", || self.machine.run(&line))?;
            }
        }
        Ok(())
    }
}

/// The command line of the probe in a namespace, with the library where it has to have it.
fn inside<'a>(namespace: &'a str, attach: &str, words: &[&'a str]) -> Vec<&'a str> {
    let mut line = vec!["ip", "netns", "exec", namespace, "env"];
    line.extend((attach == "userspace").then_some(SHIM));
    line.push(PROBE);
    line.extend(words);
    line
}

fn has_what_its_unit_says(machine: &Machine) -> Result<()> {
    let status = machine.run(&["cat", &format!("/proc/{}/status", machine.service("MainPID")?)])?;
    let line = |name: &str| status.lines().find_map(|it| it.strip_prefix(name)).map(str::trim);
    let bounds = line("CapBnd:").and_then(|it| u64::from_str_radix(it, 16).ok());
    ensure!(bounds == Some(CAPABILITIES), "{status}");
    ensure!(line("NoNewPrivs:") == Some("1"), "{status}");
    wait::until(SOON, "its status says what it has", || {
        let said = machine.service("StatusText")?;
        Ok(said.contains("3 networks, 6 endpoints").then_some(()))
    })
}

/// The journal finds a line by network and level.
fn is_in_the_journal(machine: &Machine) -> Result<()> {
    let network = format!("NETWORK={}", &id(1, 0)[..12]);
    let of = |more: &[&str]| {
        let line = ["journalctl", "--unit=dockervpp", "--output=json", "--no-pager"];
        machine.run(&[&line[..], more].concat())
    };
    let lines = of(&[&network])?;
    let entries = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let created = entries.iter().find(|it| it["MESSAGE"].to_string().contains("network created"));
    let created = created.with_context(|| format!("{network}: {lines}"))?;
    ensure!(created["PRIORITY"] == "6" && created["MTU"] == "1500", "{created}");
    let warnings = of(&["--priority=warning"])?;
    ensure!(!warnings.contains("network created"), "{warnings}");
    Ok(())
}

/// One that is stuck is ended and started anew.
fn is_watched(machine: &Machine) -> Result<()> {
    let folder = "/etc/systemd/system/dockervpp.service.d";
    let text =
        format!("mkdir {folder} && printf '[Service]\\nWatchdogSec=3\\n' >{folder}/test.conf");
    machine.run(&["sh", "-c", &text])?;
    machine.run(&["systemctl", "daemon-reload"])?;
    machine.run(&["systemctl", "restart", "dockervpp"])?;
    let before = machine.service("MainPID")?;
    machine.run(&["kill", "-STOP", &before])?;
    wait::until(SOON, "another takes its place", || {
        Ok((machine.service("NRestarts")? == "1").then_some(()))
    })?;
    machine.awaits("active")?;
    ensure!(machine.service("MainPID")? != before, "it is the same");
    Ok(())
}

fn left(machine: &Machine) -> Result<BTreeSet<String>> {
    let find = "for it in /sys/class/net/dv*; do [ ! -e $it ] || echo $it; done; nft list tables | grep dockervpp; \
                find /etc /run /usr /var -xdev -name '*dockervpp*' -not -path '/var/lib/dpkg/*'; true";
    Ok(machine.run(&["sh", "-c", find])?.lines().map(str::to_owned).collect())
}

#[test]
fn it_is_a_service_of_systemd_from_installation_to_purge() -> Result<()> {
    let needs = [Need::Root, Need::Docker, Need::Tun, Need::Busybox, Need::Dpkg, Need::Systemd];
    if !need::met(&needs) {
        return Ok(());
    }
    let _turn = Turn::take()?;
    let share = tempfile::tempdir()?;
    let package = |version: &str| -> Result<String> {
        let made = package(version, share.path())?;
        let name = made.file_name().context("a package has a name")?.to_string_lossy();
        Ok(format!("/share/{name}"))
    };
    let (first, second) = (package("0.0.1-1")?, package("0.0.2-1")?);
    fs::copy(programs::netprobe()?, share.path().join("netprobe"))?;
    let machine = Machine::boot(share.path())?;
    let before = left(&machine)?;

    machine.run(&["dpkg", "--install", &first])?;
    ensure!(machine.service("ActiveState")? == "active", "it is not ready when it is installed");
    let site = Site::set(&machine)?;
    site.works().with_context(|| machine.log().unwrap_or_default())?;
    has_what_its_unit_says(&machine)?;
    is_in_the_journal(&machine)?;
    is_watched(&machine)?;
    site.works().context("after it was stuck")?;

    let process = machine.service("MainPID")?;
    machine.run(&["dpkg", "--install", &second])?;
    ensure!(machine.service("MainPID")? != process, "the old one runs on");
    site.works().context("after the upgrade")?;

    machine.run(&["systemctl", "stop", "dockervpp"])?;
    ensure!(machine.service("Result")? == "success", "{}", machine.log()?);
    ensure!(!machine.tries(&["pgrep", "-x", "dockervpp"])?, "a process is left");
    let rules = machine.run(&["nft", "list", "table", "inet", "dockervpp"])?;
    ensure!(rules.contains("dnat"), "packets lead nowhere until it is back: {rules}");
    machine.run(&["systemctl", "start", "dockervpp"])?;
    site.works().context("after it was stopped")?;

    machine.run(&["dpkg", "--remove", "dockervpp"])?;
    ensure!(!machine.tries(&["pgrep", "-x", "dockervpp"])?, "a process is left");
    // A link of the managed plugin's.
    let pair = ["ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1"];
    machine.run(&pair)?;
    machine.run(&["ip", "link", "set", "other0", "alias", "dockervpp:latest:gateway:0123"])?;
    machine.run(&["dpkg", "--purge", "dockervpp"])?;
    drop(site);
    machine.run(&["ip", "link", "delete", "other0"]).context("it has a driver of another name")?;
    machine.run(&["sh", "-c", "rm -r /etc/systemd/system/dockervpp.service.d"])?;
    let left = left(&machine)?;
    let left: Vec<_> = left.difference(&before).collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}
