//! Where programs meet: containers on a network of each kind, with and without the preload library,
//! and what tells which way their bytes went.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kit::docker::RunOptions;
use kit::engine::tcp_option;
use kit::lab::{Lab, docker_test};
use kit::need::Need;
use kit::process::Process;
use kit::{Agent, Container, Image, Network, wait};
use serde_json::Value;

/// Longest wait for a server to listen.
const SOON: Duration = Duration::from_secs(20);

/// Frames that a kernel's interface sends and receives on its own account, the gateway's too: neighbours,
/// multicast groups.
const NOISE: u64 = 200;

/// The way that bytes are expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Shared memory, and nothing through the kernel.
    Sessions,
    /// The network stack of the end that is of kind `userspace`, whose kernel has nothing to do, and the
    /// kernel's TCP of the other one.
    Stack,
    /// The kernel's TCP and the bridge domain.
    Kernel,
}

/// How a container is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Userspace,
    Auto,
}

/// A container, and whether the preload library is in it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) container: Container,
    pub(super) shim: bool,
    kind: Kind,
    endpoint: String,
    address: String,
    address6: String,
}

/// What a server's socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// As the agent calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// What `netstat` shows it for.
    const fn flags(self) -> &'static str {
        match self {
            Self::Tcp => "-ltn",
            Self::Udp => "-lun",
        }
    }
}

impl Member {
    fn start(image: &Image, network: &Network, (kind, shim): Equipment) -> Result<Self> {
        let name = match kind {
            Kind::Userspace => "userspace",
            Kind::Auto => "auto",
        };
        let place = format!("name={},driver-opt=attach={name}", network.name());
        let options = RunOptions::default().flags(&["--network", &place, "--shm-size", "1200m"]);
        let options = if shim { options.shimmed()? } else { options };
        let container = Container::run(image, &options)?;
        let endpoint = container.attached(network, "EndpointID")?;
        let address = container.address(network)?.to_string();
        let address6 = container.address6(network)?.to_string();
        Ok(Self { container, shim, kind, endpoint, address, address6 })
    }

    /// What a client connects to.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The same, of IPv6.
    pub(super) fn address6(&self) -> &str {
        &self.address6
    }

    /// Starts a server of TCP and waits until it listens, on sessions too when it can.
    pub(super) fn serve(&self, agent: &Agent, port: u16, command: &[&str]) -> Result<Process> {
        self.serve_on(agent, Protocol::Tcp, port, command)
    }

    /// As [`serve`](Self::serve), of either protocol.
    pub(super) fn serve_on(
        &self,
        agent: &Agent,
        protocol: Protocol,
        port: u16,
        command: &[&str],
    ) -> Result<Process> {
        let mut process = self.container.exec_start(command)?;
        let end = format!(":{port}");
        wait::until(SOON, &format!("{command:?} listens on {port}"), || {
            if let Some(status) = process.exited()? {
                bail!("it ended: {status}: {}", process.output().join("\n"));
            }
            Ok(self.listens(agent, protocol, &end)?.then_some(()))
        })?;
        Ok(process)
    }

    /// Packets that the container's interface of the kernel received, and those that it sent to other stations:
    /// strays, and questions for name servers. (A kernel speaks to groups of its own accord.)
    fn kernel_packets(&self, agent: &Agent) -> Result<u64> {
        let table = self.container.exec_ok(&["cat", "/proc/net/dev"])?;
        let line = table.lines().find_map(|line| line.trim().strip_prefix("eth0:"));
        let fields: Vec<_> = line.context("the container has eth0")?.split_whitespace().collect();
        let received = fields.get(1).and_then(|it| it.parse::<u64>().ok());
        let mine = counters_of(agent, &self.endpoint)?;
        let sent = [&mine["drops"]["kernel-stray"], &mine["names"]["queries"]];
        let sent: u64 = sent.iter().map(|it| it.as_u64().unwrap_or_default()).sum();
        Ok(received.context("received packets")? + sent)
    }

    fn listens(&self, agent: &Agent, protocol: Protocol, end: &str) -> Result<bool> {
        if self.shim {
            let listeners = agent.list("listeners")?;
            let of = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
            let mine = |it: &&Value| {
                of(it, "endpoint") == self.endpoint && of(it, "protocol") == protocol.name()
            };
            return Ok(listeners.iter().filter(mine).any(|it| of(it, "address").ends_with(end)));
        }
        let table = self.container.exec_ok(&["netstat", protocol.flags()])?;
        Ok(table.split_whitespace().any(|word| word.ends_with(end)))
    }
}

/// Two containers that talk to each other.
#[derive(Debug)]
pub(super) struct Pairing<'a> {
    pub(super) server: Member,
    pub(super) client: Member,
    pub(super) agent: &'a Agent,
    way: Way,
    /// No packet may leave or enter the kernel's interface.
    pub(super) bypass: bool,
}

/// What the agent counted for an endpoint.
fn counters_of(agent: &Agent, endpoint: &str) -> Result<Value> {
    let all = agent.list("counters")?.into_iter();
    let mut mine = all.filter(|it| it["endpoint"] == endpoint);
    mine.next().with_context(|| format!("no counters of {endpoint}"))
}

/// What an endpoint counted.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// Frames that it sent into the bridge domain.
    sent: u64,
    /// Frames that the bridge domain delivered to it.
    delivered: u64,
    /// Sessions that it made.
    connected: u64,
    /// Sessions that its listeners were given.
    accepted: u64,
}

impl Pairing<'_> {
    /// Whether bytes go from VPP's own TCP to a kernel's, or back.
    pub(super) fn is_vpps_tcp_with_a_kernels(&self) -> bool {
        self.way == Way::Stack && tcp_option() == Some("tcp=vcl")
    }

    /// A command in the client's container that must succeed.
    pub(super) fn client(&self, command: &[&str]) -> Result<String> {
        self.client.container.exec_ok(command)
    }

    /// A shell's command line in the client's container that must succeed.
    pub(super) fn client_shell(&self, line: &str) -> Result<String> {
        self.client(&["sh", "-c", &format!("set -e; {line}")])
    }

    /// Does `work`, and checks that all of it went the expected way.
    pub(super) fn check(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let before = (self.counted(&self.client)?, self.counted(&self.server)?);
        let kernel =
            (self.client.kernel_packets(self.agent)?, self.server.kernel_packets(self.agent)?);
        work()?;
        let after = (self.counted(&self.client)?, self.counted(&self.server)?);
        let connected = after.0.connected - before.0.connected;
        let accepted = after.1.accepted - before.1.accepted;
        let sessions = connected + accepted;
        let sent = after.0.sent - before.0.sent + after.1.sent - before.1.sent;
        let delivered =
            after.0.delivered - before.0.delivered + after.1.delivered - before.1.delivered;
        let frames = sent + delivered;
        match self.way {
            Way::Sessions | Way::Stack => ensure!(sessions > 0, "no session was made"),
            Way::Kernel => ensure!(sessions == 0, "{sessions} sessions were made"),
        }
        match (self.way, self.bypass) {
            (Way::Sessions, true) => {
                ensure!(sent == 0, "the containers sent {sent} frames into the bridge domain");
                // The gateway's kernel tells the network which groups it is in, for a second after the start.
                ensure!(delivered < NOISE, "the bridge domain delivered {delivered} frames");
            }
            (Way::Sessions, false) => {
                ensure!(frames < NOISE, "{frames} frames crossed the bridge domain");
            }
            (Way::Kernel | Way::Stack, _) => {
                ensure!(frames > 0, "no frame crossed the bridge domain");
            }
        }
        for (member, before) in [(&self.client, kernel.0), (&self.server, kernel.1)] {
            let now = member.kernel_packets(self.agent)?;
            if member.kind == Kind::Userspace {
                ensure!(now == before, "the kernel counted packets: {before}, then {now}");
            }
        }
        Ok(())
    }

    fn counted(&self, member: &Member) -> Result<Counted> {
        let mine = counters_of(self.agent, &member.endpoint)?;
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        Ok(Counted {
            sent: number(&mine["rx_frames"]),
            delivered: number(&mine["tx_frames"]),
            connected: number(&mine["sessions"]["connected"]),
            accepted: number(&mine["sessions"]["accepted"]),
        })
    }
}

/// Runs `test` in every pairing: containers of kind `userspace` and `auto`, the latter with and without the
/// preload library.
///
/// # Panics
/// If the test fails, naming the pairing.
pub(super) fn in_every_pairing(test: impl Fn(&Pairing<'_>) -> Result<()>) {
    in_pairings(&PAIRINGS, test);
}

/// Runs `test` where the network stack of one end, of either, speaks to the kernel of the other.
///
/// # Panics
/// As [`in_every_pairing`].
pub(super) fn through_the_stack(test: impl Fn(&Pairing<'_>) -> Result<()>) {
    let pairings: Vec<_> = PAIRINGS.into_iter().filter(|(.., way)| *way == Way::Stack).collect();
    in_pairings(&pairings, test);
}

/// The kind of a container, and whether the preload library is in it.
type Equipment = (Kind, bool);

const USERSPACE: Equipment = (Kind::Userspace, true);
const AUTO: Equipment = (Kind::Auto, true);
const PLAIN: Equipment = (Kind::Auto, false);

/// Server, client, and the way between them.
const PAIRINGS: [(Equipment, Equipment, Way); 9] = [
    (USERSPACE, USERSPACE, Way::Sessions),
    (USERSPACE, AUTO, Way::Sessions),
    (AUTO, USERSPACE, Way::Sessions),
    (AUTO, AUTO, Way::Sessions),
    (USERSPACE, PLAIN, Way::Stack),
    (PLAIN, USERSPACE, Way::Stack),
    (AUTO, PLAIN, Way::Kernel),
    (PLAIN, AUTO, Way::Kernel),
    (PLAIN, PLAIN, Way::Kernel),
];

fn in_pairings(
    pairings: &[(Equipment, Equipment, Way)],
    test: impl Fn(&Pairing<'_>) -> Result<()>,
) {
    with_programs(|lab, image| {
        let network = lab.network(&["--ipv6", "--subnet", "fd97:1::/64"])?;
        for &(server, client, way) in pairings {
            let pairing = Pairing {
                server: Member::start(image, &network, server)?,
                client: Member::start(image, &network, client)?,
                agent: &lab.agent,
                way,
                bypass: (server.0, client.0) == (Kind::Userspace, Kind::Userspace),
            };
            test(&pairing).with_context(|| format!("server {server:?}, client {client:?}"))?;
        }
        Ok(())
    });
}

fn with_programs(test: impl FnOnce(&mut Lab, &Image) -> Result<()>) {
    docker_test(&[Need::SessionPrograms], |lab| {
        let image = Image::session_programs()?;
        test(lab, &image)
    });
}
