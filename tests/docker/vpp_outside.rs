//! The way out of an agent with VPP, by `--vpp-outside`: containers of every kind reach a host beyond VPP, and are reached
//! from there by published ports. (What the embedded engine does is in `outside`.)

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kit::agent::AgentOptions;
use kit::beyond::{Beyond, Sends};
use kit::docker::RunOptions;
use kit::lab::agent_test;
use kit::need::{Need, PYTHON};
use kit::process::{Process, run};
use kit::{Container, Engine, Image, Lab, Network, Vpp, programs, wait};

use crate::outside::{self, echoes, netprobe, saw, shown_ports, station};
use crate::vpp::objects;

const SOON: Duration = Duration::from_secs(20);

/// Bytes that go out and come back.
const STREAM: &str = "4194304";

/// How long they may take on a machine that is busy, in seconds. Where each large segment is lost they take minutes.
const IN_TIME: &str = "15";

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

    /// Has a container ask an echo server.
    fn asks(self, container: &Container, network: &Network, to: SocketAddr) -> Result<()> {
        let to = to.to_string();
        if self == MEMIF {
            // By a stream, and by datagrams.
            let station = station(container, network, &["ask", &to, STREAM])?;
            let line = ["timeout", IN_TIME].into_iter().chain(station.iter().map(String::as_str));
            return container.exec_ok(&line.collect::<Vec<_>>()).map(drop);
        }
        let ask = ["timeout", IN_TIME, "netprobe", "ask"];
        container.exec_ok(&[&ask[..], &["stream", &to, STREAM]].concat())?;
        if self.has_datagrams() {
            container.exec_ok(&[&ask[..], &["datagrams", &to, "10000"]].concat())?;
        }
        Ok(())
    }
}

/// A test whose agent has a way out, and what is at its end.
fn outside_test(sends: Sends, more: &[Need], test: impl FnOnce(&mut Lab, &Beyond) -> Result<()>) {
    if !Engine::Vpp.needed("it is about --vpp-outside") {
        return;
    }
    let arguments = ["--vpp-outside", Beyond::INTERFACE].map(str::to_owned).to_vec();
    let options = AgentOptions { arguments, ..AgentOptions::default() };
    agent_test(options, more, |lab| {
        let beyond = Beyond::create(sends)?;
        beyond.join(vpp(lab)?)?;
        test(lab, &beyond)?;
        beyond.leave(vpp(lab)?)
    });
}

fn vpp(lab: &mut Lab) -> Result<&mut Vpp> {
    lab.agent.vpp().context("the agent drives VPP")
}

/// A server beyond VPP that echoes.
fn echoes_beyond(beyond: &Beyond) -> Result<Process> {
    let server = beyond.start(netprobe()?.display(), &["echo", "7000"])?;
    server.line_after(0, SOON, "it listens", |it| (it == "listening").then_some(()))?;
    Ok(server)
}

fn server_beyond() -> SocketAddr {
    (Beyond::ADDRESS, 7000).into()
}

/// Asks a published port from beyond VPP.
fn asked_from(beyond: &Beyond, what: &str, to: SocketAddr, bytes: &str) -> Result<()> {
    asked_within(IN_TIME, beyond, what, to, bytes)
}

fn asked_within(
    seconds: &str,
    beyond: &Beyond,
    what: &str,
    to: SocketAddr,
    bytes: &str,
) -> Result<()> {
    let (program, to) = (netprobe()?.display().to_string(), to.to_string());
    run(&mut beyond.command("timeout", &[seconds, &program, "ask", what, &to, bytes])).map(drop)
}

/// Waits until a published port is reached: VPP's host stack learns of a listener a moment after its program.
fn until_reached(beyond: &Beyond, to: SocketAddr) -> Result<()> {
    wait::until_ok(SOON, &format!("{to} is reached"), || asked_from(beyond, "stream", to, "1"))
}

/// Containers of these kinds, on networks from `subnet` on, reach a server that sees them come from VPP's address.
fn reach_a_server(lab: &Lab, beyond: &Beyond, kinds: &[Kind], subnet: u8) -> Result<()> {
    let server = echoes_beyond(beyond)?;
    for (subnet, &kind) in (subnet..).zip(kinds) {
        let network = kind.network(lab, subnet)?;
        let one = kind.container(&network, &[])?;
        let mark = server.mark();
        let asked = kind.asks(&one, &network, server_beyond());
        asked.with_context(|| format!("{kind:?}"))?;
        saw(&server, mark, "stream", Beyond::VPP.into())?;
        if kind.has_datagrams() {
            saw(&server, mark, "datagram", Beyond::VPP.into())?;
        }
        if matches!(kind, TAP | VETH) {
            one.pings(Beyond::ADDRESS.into(), SOON)?;
        }
    }
    Ok(())
}

/// Published ports of containers of these kinds are reached, and their servers see who comes.
fn are_reached(lab: &Lab, beyond: &Beyond, kinds: &[Kind], subnet: u8) -> Result<()> {
    for (subnet, &kind) in (subnet..).zip(kinds) {
        let network = kind.network(lab, subnet)?;
        let one = kind.container(&network, &["-p", "17000:7000", "-p", "17000:7000/udp"])?;
        let server = echoes(kind.attached, &one, &network, "7000")?;
        let to = (Beyond::VPP, 17000).into();
        until_reached(beyond, to).with_context(|| format!("{kind:?}"))?;
        let all = [("stream", "stream", STREAM), ("datagrams", "datagram", "10000")];
        for (what, said, bytes) in all.into_iter().take(1 + usize::from(kind.has_datagrams())) {
            let mark = server.mark();
            let asked = asked_from(beyond, what, to, bytes);
            asked.with_context(|| format!("{what} to {kind:?}"))?;
            saw(&server, mark, said, Beyond::ADDRESS.into())?;
        }
        ensure!(shown_ports(lab, &one, &network)? == [17000, 17000]);
    }
    Ok(())
}

#[test]
fn containers_of_every_kind_reach_a_server_beyond_vpp() {
    outside_test(Sends::Packets, &[], |lab, beyond| reach_a_server(lab, beyond, &ALL, 30));
}

#[test]
fn published_ports_of_every_kind_are_reached_and_see_who_comes() {
    outside_test(Sends::Packets, &[], |lab, beyond| are_reached(lab, beyond, &ALL, 35));
}

/// All whose frames pass the agent, or VPP's own TCP. (What memif clients get is VPP's affair.)
const BESIDE_MEMIF: [Kind; 4] = [TAP, VETH, STACK, VCL];

#[test]
fn large_segments_of_a_server_beyond_vpp_arrive() {
    outside_test(Sends::Large, &[], |lab, beyond| reach_a_server(lab, beyond, &BESIDE_MEMIF, 40));
}

#[test]
fn large_segments_arrive_at_published_ports() {
    outside_test(Sends::Large, &[], |lab, beyond| are_reached(lab, beyond, &BESIDE_MEMIF, 45));
}

/// What VPP has: its objects, and what it translates.
fn seen(lab: &mut Lab) -> Result<(BTreeMap<String, usize>, Vec<String>)> {
    let vpp = vpp(lab)?;
    let commands = ["show nat44 interfaces", "show nat44 addresses", "show nat44 static mappings"];
    let translation = commands.map(|command| vpp.cli(command));
    Ok((objects(vpp)?, translation.into_iter().collect::<Result<_>>()?))
}

#[test]
fn what_leads_out_goes_with_its_containers_and_networks() {
    outside_test(Sends::Large, &[], |lab, beyond| {
        // The first network with a way out has VPP translate, which stays.
        drop(TAP.network(lab, 50)?);
        let before = seen(lab)?;
        are_reached(lab, beyond, &ALL[3..], 51)?;
        reach_a_server(lab, beyond, &BESIDE_MEMIF, 53)?;
        wait::until_ok(SOON, "VPP has what it had before", || {
            let now = seen(lab)?;
            ensure!(now == before, "{now:?}, and before {before:?}");
            Ok(())
        })
    });
}

#[test]
fn the_way_out_and_published_ports_are_there_again_when_vpp_is() {
    outside_test(Sends::Large, &[], |lab, beyond| {
        let server = echoes_beyond(beyond)?;
        for (subnet, kind) in (60..).zip([TAP, STACK]) {
            let network = kind.network(lab, subnet)?;
            let one = kind.container(&network, &["-p", "17000:7000"])?;
            let own = echoes(kind.attached, &one, &network, "7000")?;
            vpp(lab)?.kill();
            vpp(lab)?.start_again()?;
            beyond.join(vpp(lab)?)?;
            until_reached(beyond, (Beyond::VPP, 17000).into())?;
            saw(&own, 0, "stream", Beyond::ADDRESS.into())?;
            let mark = server.mark();
            kind.asks(&one, &network, server_beyond())?;
            saw(&server, mark, "stream", Beyond::VPP.into())?;
        }
        Ok(())
    });
}

#[test]
fn a_port_that_is_published_on_one_address_is_reached_by_that_one() {
    outside_test(Sends::Packets, &[], |lab, beyond| {
        for (subnet, kind) in (65..).zip([TAP, STACK, VCL]) {
            let network = kind.network(lab, subnet)?;
            let at = format!("{}:17000:7000", Beyond::SECOND);
            let one = kind.container(&network, &["-p", &at])?;
            let server = echoes(kind.attached, &one, &network, "7000")?;
            let to = (Beyond::SECOND, 17000).into();
            until_reached(beyond, to).with_context(|| format!("{kind:?}"))?;
            asked_from(beyond, "stream", to, STREAM)?;
            saw(&server, 0, "stream", Beyond::ADDRESS.into())?;
            let other = (Beyond::VPP, 17000).into();
            let other = asked_within("2", beyond, "stream", other, "1");
            ensure!(other.is_err(), "it is reached by VPP's first address too");
        }
        Ok(())
    });
}

/// Resolves by the C library and prints the addresses, as unmodified programs do.
const LOOK_UP: &str = "import socket, sys; \
    print(*sorted({it[4][0] for it in socket.getaddrinfo(sys.argv[1], 80)}))";

#[test]
fn names_are_asked_of_a_name_server_beyond_vpp() {
    outside_test(Sends::Large, &[Need::SessionPrograms], |lab, beyond| {
        let at = SocketAddr::from((Beyond::ADDRESS, 53)).to_string();
        let names = beyond.start(programs::name_server()?.display(), &[&at, "host.test=192.0.2.9"]);
        let names = names?;
        names.line_after(0, SOON, "it listens", |it| (it == "listening").then_some(()))?;
        let image = Image::session_programs()?;
        let dns = ["--dns", &Beyond::ADDRESS.to_string()];
        for (subnet, kind) in (70..).zip([TAP, VETH, STACK]) {
            let network = kind.network(lab, subnet)?;
            let options = RunOptions::default().on(&network).flags(&dns);
            let options = if kind == STACK { options.shimmed()? } else { options };
            let one = Container::run(&image, &options)?;
            let found = one.exec_ok(&[PYTHON, "-c", LOOK_UP, "host.test"])?;
            ensure!(found.trim() == "192.0.2.9", "{kind:?}: {found}");
        }
        Ok(())
    });
}
