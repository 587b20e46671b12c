//! The way out of an agent with VPP, by `--vpp-outside`: containers of every kind reach a host beyond VPP, and are reached
//! from there by published ports. (What the embedded engine does is in `outside`.)

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::agent::AgentOptions;
use kit::beyond::{Beyond, Uplink};
use kit::docker::RunOptions;
use kit::lab::agent_test;
use kit::need::{Need, PYTHON};
use kit::process::{Process, run};
use kit::{Container, Engine, Image, Lab, Network, Vpp, programs, wait};

use crate::outside::{self, echoes, netprobe, saw, shown_ports, station};
use crate::vpp::objects;

const SOON: Duration = Duration::from_secs(20);

/// What goes out and comes back: bytes.
const STREAM: &str = "4194304";

/// The ways in which a container can be attached, and what carries its TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind {
    attached: outside::Kind,
    tcp: &'static str,
}

const fn kind(attached: outside::Kind, tcp: &'static str) -> Kind {
    Kind { attached, tcp }
}

const TAP: Kind = kind(outside::Kind::Tap, "tcp=stack");
const VETH: Kind = kind(outside::Kind::Veth, "tcp=stack");
const MEMIF: Kind = kind(outside::Kind::Memif, "tcp=stack");
/// Sessions by the agent's network stack.
const STACK: Kind = kind(outside::Kind::Session, "tcp=stack");
/// Sessions by VPP's own.
const VCL: Kind = kind(outside::Kind::Session, "tcp=vcl");

const ALL: [Kind; 5] = [TAP, VETH, MEMIF, STACK, VCL];

impl Kind {
    fn network(self, lab: &Lab, subnet: u8) -> Result<Network> {
        outside::network(lab, subnet, &["-o", self.attached.attach(), "-o", self.tcp])
    }

    fn container(self, network: &Network, flags: &[&str]) -> Result<Container> {
        outside::container(self.attached, network, flags)
    }

    /// Whether datagrams leave the host: of VPP's host stack only streams do.
    fn has_datagrams(self) -> bool {
        self != VCL
    }

    /// Whether the container's kernel speaks with the network.
    fn has_kernel(self) -> bool {
        matches!(self, TAP | VETH)
    }

    /// Has a container ask an echo server.
    fn asks(self, container: &Container, network: &Network, to: SocketAddr) -> Result<()> {
        let to = to.to_string();
        if self == MEMIF {
            // By a stream, and by datagrams.
            let line = station(container, network, &["ask", &to, STREAM])?;
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            return container.exec_ok(&line).map(drop);
        }
        container.exec_ok(&["netprobe", "ask", "stream", &to, STREAM])?;
        if self.has_datagrams() {
            container.exec_ok(&["netprobe", "ask", "datagrams", &to, "10000"])?;
        }
        Ok(())
    }
}

/// A test whose agent has a way out, and what is at its end.
fn outside_test(
    uplink: Uplink,
    more: &[Need],
    test: impl FnOnce(&mut Lab, &Beyond) -> Result<()>,
) {
    if !Engine::Vpp.needed("it is about --vpp-outside") {
        return;
    }
    let arguments = ["--vpp-outside", uplink.interface()].map(str::to_owned).to_vec();
    let options = AgentOptions { arguments, ..AgentOptions::default() };
    agent_test(options, more, |lab| {
        let beyond = Beyond::create(uplink)?;
        beyond.join(vpp(lab)?)?;
        test(lab, &beyond)?;
        beyond.leave(vpp(lab)?)
    });
}

fn vpp(lab: &mut Lab) -> Result<&mut Vpp> {
    lab.agent.vpp().context("the agent drives VPP")
}

/// Tests for both kinds of uplinks: one in the module `packet_socket`, one in `tap`.
macro_rules! each_uplink {
    ($($case:ident),+ $(,)?) => {
        mod packet_socket {
            $(#[test] fn $case() { super::$case(kit::beyond::Uplink::PacketSocket); })+
        }
        mod tap {
            $(#[test] fn $case() { super::$case(kit::beyond::Uplink::Tap); })+
        }
    };
}

each_uplink!(
    containers_of_every_kind_reach_a_server_beyond_vpp,
    published_ports_of_every_kind_are_reached_and_see_who_comes,
);

/// A server beyond VPP that echoes, at port 7000.
fn echoes_beyond(beyond: &Beyond) -> Result<Process> {
    let server = beyond.start(netprobe()?.display(), &["echo", "7000"])?;
    server.line_after(0, SOON, "it listens", |it| (it == "listening").then_some(()))?;
    Ok(server)
}

fn server_beyond() -> SocketAddr {
    (Beyond::ADDRESS, 7000).into()
}

/// Asks a published port from beyond VPP.
fn asked_from(beyond: &Beyond, what: &str, to: SocketAddr, bytes: &str) -> Result<String> {
    run(&mut beyond.command(netprobe()?.display(), &["ask", what, &to.to_string(), bytes]))
}

fn containers_of_every_kind_reach_a_server_beyond_vpp(uplink: Uplink) {
    outside_test(uplink, &[], |lab, beyond| {
        let server = echoes_beyond(beyond)?;
        for (subnet, kind) in (30..).zip(ALL) {
            let network = kind.network(lab, subnet)?;
            let one = kind.container(&network, &[])?;
            let mark = server.mark();
            let asked = kind.asks(&one, &network, server_beyond());
            asked.with_context(|| format!("{kind:?}"))?;
            // All come from VPP's address.
            saw(&server, mark, "stream", Beyond::VPP.into())?;
            if kind.has_datagrams() {
                saw(&server, mark, "datagram", Beyond::VPP.into())?;
            }
            if kind.has_kernel() {
                one.pings(Beyond::ADDRESS.into(), SOON)?;
            }
        }
        Ok(())
    });
}

fn published_ports_of_every_kind_are_reached_and_see_who_comes(uplink: Uplink) {
    outside_test(uplink, &[], |lab, beyond| {
        for (subnet, kind) in (36..).zip(ALL) {
            let network = kind.network(lab, subnet)?;
            let flags = ["-p", "17000:7000", "-p", "17000:7000/udp"];
            let one = kind.container(&network, &flags)?;
            let server = echoes(kind.attached, &one, &network, "7000")?;
            let to = (Beyond::VPP, 17000).into();
            let all = [("stream", "stream", STREAM), ("datagrams", "datagram", "10000")];
            for (what, said, bytes) in all.into_iter().take(1 + usize::from(kind.has_datagrams())) {
                let mark = server.mark();
                asked_from(beyond, what, to, bytes)
                    .with_context(|| format!("{what} to {kind:?}"))?;
                saw(&server, mark, said, Beyond::ADDRESS.into())?;
            }
            ensure!(shown_ports(lab, &one, &network)? == [17000, 17000]);
        }
        Ok(())
    });
}
