//! VPP in a container, as the memif client of its endpoint: of the agent's own bridge, and of a VPP on the host.
//!
//! It has the container's addresses, and answers for them, as any program that speaks packets does.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::docker::RunOptions;
use kit::lab::docker_test;
use kit::need::{Need, offered};
use kit::vpp::Files;
use kit::{Container, Image, Lab, Network, wait};

const SOON: Duration = Duration::from_secs(30);

/// Its command line's socket, in the container.
const CLI: &str = "/run/vpp-cli.sock";

/// Its interface.
const MEMIF: &str = "memif1/0";

/// Older engines tell of gateways that they were told of.
const SUBNETS: [&str; 9] = [
    "--ipv6",
    "--subnet",
    "10.201.10.0/24",
    "--gateway",
    "10.201.10.1",
    "--subnet",
    "fd00:201:10::/64",
    "--gateway",
    "fd00:201:10::1",
];

/// How it starts: no devices, memory of ordinary pages, and sleep between its rounds.
const CONFIGURATION: &str = "unix { nodaemon nosyslog runtime-dir /run/vpp cli-listen /run/vpp-cli.sock \
     poll-sleep-usec 100 } buffers { buffers-per-numa 4096 page-size default } memory { main-heap-size 256M } \
     statseg { size 16M } plugins { plugin default { disable } plugin memif_plugin.so { enable } \
     plugin ping_plugin.so { enable } }";

/// Skipped, under CI too, where there is no VPP.
fn vpp_test(test: impl FnOnce(&mut Lab) -> Result<()>) {
    if offered(&[Need::Vpp]) {
        docker_test(&[], test);
    }
}

/// A container with a VPP in it.
struct Router {
    container: Container,
    files: Files,
}

impl Router {
    fn start(network: &Network) -> Result<Self> {
        let files = Files::find().context("there is no VPP")?;
        let daemon = files.daemon.display().to_string();
        let words = CONFIGURATION.split_whitespace();
        let command: Vec<_> = [daemon.as_str()].into_iter().chain(words).collect();
        let options = RunOptions::default().on(network).command(&command);
        let container = Container::run(&Image::vpp(&files)?, &options)?;
        let router = Self { container, files };
        wait::until_ok(SOON, "VPP answers", || router.cli("show version"))
            .with_context(|| format!("it wrote: {:?}", router.container.logs()))?;
        router.attach(network)?;
        Ok(router)
    }

    fn cli(&self, command: &str) -> Result<String> {
        let client = self.files.client.display().to_string();
        self.container.exec_ok(&["timeout", "20", &client, "-s", CLI, command])
    }

    /// Connects to the endpoint's socket, with its addresses.
    fn attach(&self, network: &Network) -> Result<()> {
        let mac = self.container.attached(network, "MacAddress")?;
        let (v4, v6) = (self.container.address(network)?, self.container.address6(network)?);
        for command in [
            "create memif socket id 1 filename abstract:dockervpp/memif".to_owned(),
            format!("create interface memif id 0 socket-id 1 slave hw-addr {mac}"),
            format!("set interface state {MEMIF} up"),
            format!("set interface ip address {MEMIF} {v4}/24"),
            format!("set interface ip address {MEMIF} {v6}/64"),
        ] {
            let said = self.cli(&command)?;
            ensure!(said.is_empty() || said == MEMIF, "{command}: {said}");
        }
        self.connected()
    }

    fn connected(&self) -> Result<()> {
        wait::until_ok(SOON, "VPP is connected to its endpoint", || {
            let shown = self.cli("show memif")?;
            ensure!(shown.contains("connected"), "{shown}");
            Ok(())
        })
    }

    /// The first packets may be lost to the question for the neighbour.
    fn pings(&self, to: IpAddr) -> Result<()> {
        wait::until_ok(SOON, &format!("{to} answers VPP"), || {
            let said = self.cli(&format!("ping {to} repeat 2 interval 0.2"))?;
            ensure!(said.contains(" 0% packet loss"), "{said}");
            Ok(())
        })
    }

    fn addresses(&self, network: &Network) -> Result<[IpAddr; 2]> {
        let (v4, v6) = (self.container.address(network)?, self.container.address6(network)?);
        Ok([v4, v6])
    }
}

/// Gateway, kernel, and another VPP: each reaches each, over both IP versions.
fn all_meet(network: &Network, routers: &[&Router], kernel: &Container) -> Result<()> {
    for router in routers {
        for to in [kernel.address(network)?, kernel.address6(network)?] {
            router.pings(to)?;
        }
        for gateway in [network.gateway(0)?, network.gateway(1)?] {
            router.pings(gateway.parse()?)?;
        }
        for to in router.addresses(network)? {
            kernel.pings(to, SOON)?;
        }
        for neighbour in routers {
            // A VPP that pings itself uses no memif.
            if !std::ptr::eq(*router, *neighbour) {
                for to in neighbour.addresses(network)? {
                    router.pings(to)?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn vpp_in_a_container_is_a_memif_client_also_when_the_agent_comes_back() {
    vpp_test(|lab| {
        let network = lab.network(&SUBNETS)?;
        let (one, two) = (Router::start(&network)?, Router::start(&network)?);
        let kernel = Container::idle(&lab.busybox()?, &network)?;
        all_meet(&network, &[&one, &two], &kernel)?;
        lab.crash()?;
        one.connected()?;
        two.connected()?;
        all_meet(&network, &[&one, &two], &kernel)
    });
}
