//! An upgrade of the Debian package under containers that talk: what pauses, and for how long.
//!
//! The package is in a folder that stands for a system, and the test does what its service manager would: runs the
//! installed program, and replaces it after an upgrade as `systemctl try-restart` does.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use kit::agent::AgentOptions;
use kit::docker::RunOptions;
use kit::lab::Turn;
use kit::leaks::Holdings;
use kit::need::{self, Need};
use kit::process::Process;
use kit::{Agent, Container, Image, Network, wait};

use crate::deb::System;
use crate::made::package;
use crate::pulse::{self, Pulse};

const SOON: Duration = Duration::from_secs(30);

/// Between two pings, in seconds.
const PING_EVERY: f64 = 0.1;

/// Pings that a packet program answers.
struct Pings {
    process: Process,
    responder: Process,
}

impl Pings {
    fn start([asked, asking]: [&Container; 2], network: &Network) -> Result<Self> {
        let (address, mac) = (asked.address(network)?, asked.attached(network, "MacAddress")?);
        let endpoint = "connect:@dockervpp/memif";
        let line = ["ping_responder", endpoint, &address.to_string(), "--mac", &mac];
        let responder = asked.exec_start(&line)?;
        let every = PING_EVERY.to_string();
        let process = asking.exec_start(&["ping", "-i", &every, &address.to_string()])?;
        let answer = |line: &str| line.contains("seq=").then_some(());
        process.line_after(0, SOON, "a ping is answered", answer)?;
        Ok(Self { process, responder })
    }

    /// Waits for an answer that is still to come.
    fn go_on(&self) -> Result<()> {
        let answer = |line: &str| line.contains("seq=").then_some(());
        self.process.line_after(self.process.mark(), SOON, "pings are answered again", answer)
    }

    /// The longest time without an answer, in milliseconds, to the accuracy of a ping.
    fn longest(&self) -> f64 {
        let number = |line: &String| {
            let (_, rest) = line.split_once("seq=")?;
            rest.split(' ').next()?.parse::<u32>().ok()
        };
        let answered: Vec<u32> = self.process.output().iter().filter_map(number).collect();
        let gap = answered.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
        f64::from(gap.unwrap_or_default()) * PING_EVERY * 1000.0
    }
}

#[test]
fn containers_talk_on_while_the_package_is_upgraded() -> Result<()> {
    let needs = [Need::Root, Need::Docker, Need::Tun, Need::Busybox, Need::Dpkg];
    if !need::met(&needs) {
        return Ok(());
    }
    let _turn = Turn::take()?;
    let output = tempfile::tempdir()?;
    let [first, second] = ["0.0.1-1", "0.0.2-1"].map(|version| package(version, output.path()));
    let system = System::new()?;
    system.install(&first?)?;
    let program = system.path("usr/bin/dockervpp");
    let options = AgentOptions { program: Some(program.clone()), ..AgentOptions::default() };
    let mut agent = Agent::start(options)?;
    let holdings = Holdings::settled(&agent)?;

    let image = Image::examples()?;
    let network = |n: u8, kind: &str| {
        // Older engines tell of gateways that they were told of.
        let (subnet, gateway) = (format!("10.209.{n}.0/24"), format!("10.209.{n}.1"));
        let pool = ["--subnet", &subnet, "--gateway", &gateway, "-o", kind];
        Network::create(agent.driver(), &pool)
    };
    let userspace = network(1, "attach=userspace")?;
    let auto = network(2, "attach=auto")?;
    let shimmed =
        |network: &Network| Container::run(&image, &RunOptions::default().on(network).shimmed()?);
    let sessions = [shimmed(&userspace)?, shimmed(&userspace)?];
    let kernels = [Container::idle(&image, &auto)?, Container::idle(&image, &auto)?];
    let packets = Container::idle(&image, &auto)?;
    let session = Pulse::start("sessions", sessions.each_ref(), &userspace)?;
    let tap = Pulse::start("TAP", kernels.each_ref(), &auto)?;
    let pings = Pings::start([&packets, &kernels[0]], &auto)?;

    let before = agent.pid()?;
    system.install(&second?)?;
    let left = fs::read_link(format!("/proc/{before}/exe"))?;
    ensure!(left.ends_with("dockervpp (deleted)"), "the program was not replaced: {left:?}");
    agent.stop()?;
    agent.launch()?;
    let now = fs::read_link(format!("/proc/{}/exe", agent.pid()?))?;
    ensure!(now == program, "{now:?} runs");

    pings.go_on()?;
    for (container, network) in [(&kernels[0], &auto), (&kernels[1], &auto)] {
        container.pings(network.gateway(0)?.parse()?, SOON)?;
    }
    wait::until_ok(SOON, "new sessions come about", || {
        let to = format!("{}:{}", sessions[0].address(&userspace)?, pulse::PORT);
        sessions[1].exec_ok(&["netprobe", "ask", "stream", &to, "1048576"])
    })?;
    let silence = pings.longest();
    for pulse in [session, tap] {
        let what = pulse.what;
        let (bytes, longest) = pulse.end()?;
        println!("{what}: {bytes} bytes came back, the longest wait was {longest} ms");
        ensure!(bytes > 0, "{what}: nothing came back");
    }
    println!("memif: no answer for {silence:.0} ms at most");
    drop(pings.responder);
    packets.exec_ok(&["killall", "-9", "ping_responder"])?;

    for container in sessions.into_iter().chain(kernels).chain([packets]) {
        container.remove()?;
    }
    userspace.remove()?;
    auto.remove()?;
    holdings.nothing_left(&agent)
}
