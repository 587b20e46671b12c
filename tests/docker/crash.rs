//! The agent dies without warning, at rest, under traffic, and in the middle of each call; it is
//! started again, and Docker and the agent agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use kit::agent::{AgentOptions, PLUGIN_FOLDER};
use kit::docker::{LIMIT, docker};
use kit::lab::{Turn, docker_test};
use kit::leaks::Holdings;
use kit::need::{Need, met};
use kit::process::run;
use kit::proxy::{Moment, Proxy};
use kit::{Agent, Container, Image, Network, wait};
use serde_json::Value;

use crate::kinds::{Kind, each_kind};

const SOON: Duration = Duration::from_secs(15);

each_kind!(
    ping_goes_on_after_a_crash,
    orderly_stop_and_start_keeps_containers_connected,
    containers_that_ended_without_the_agent_are_forgotten,
    docker_waits_for_an_agent_that_is_coming_back,
    crash_in_create_endpoint,
    crash_in_join,
    crash_in_leave,
    crash_in_delete_endpoint,
);

fn ping_goes_on_after_a_crash(kind: Kind) {
    kind.test(|lab| {
        let (network, image) = (lab.network(&[])?, lab.busybox()?);
        let one = Container::idle(&image, &network)?;
        let two = Container::idle(&image, &network)?;
        let to = two.address(&network)?;
        one.pings(to, SOON)?;
        // The shell writes each word at once; ping itself would buffer its lines.
        let beat = format!("while true; do ping -c 1 -W 1 {to} >/dev/null && echo heard; done");
        let pinging = one.exec_start(&["sh", "-c", &beat])?;
        let heard = |line: &str| (line == "heard").then_some(());
        for _ in 0..3 {
            pinging.line_after(pinging.mark(), SOON, "ping is answered", heard)?;
            lab.crash()?;
        }
        pinging.line_after(pinging.mark(), SOON, "ping is answered again", heard)?;
        one.pings(network.gateway(0)?.parse()?, SOON)?;
        ensure!(lab.agent.list("endpoints")?.len() == 2);
        Ok(())
    });
}

fn orderly_stop_and_start_keeps_containers_connected(kind: Kind) {
    kind.test(|lab| {
        let (network, image) = (lab.network(&["-o", "mtu=1400"])?, lab.busybox()?);
        let one = Container::idle(&image, &network)?;
        let two = Container::idle(&image, &network)?;
        one.pings(two.address(&network)?, SOON)?;
        lab.agent.stop()?;
        lab.agent.launch()?;
        one.pings(two.address(&network)?, SOON)?;
        let three = Container::idle(&image, &network)?;
        three.pings(one.address(&network)?, SOON)?;
        ensure!(three.exec_ok(&["cat", "/sys/class/net/eth0/mtu"])? == "1400");
        Ok(())
    });
}

fn containers_that_ended_without_the_agent_are_forgotten(kind: Kind) {
    kind.test(|lab| {
        let (network, image) = (lab.network(&[])?, lab.busybox()?);
        let stays = Container::idle(&image, &network)?;
        let ends = Container::idle(&image, &network)?;
        stays.pings(ends.address(&network)?, SOON)?;
        lab.agent.kill();
        // Docker asks a dead driver for about 15 s per call, then forgets the endpoint by itself.
        ends.remove()?;
        lab.agent.launch()?;
        agree(&lab.agent, &[&network])?;
        stays.pings(network.gateway(0)?.parse()?, SOON)
    });
}

fn docker_waits_for_an_agent_that_is_coming_back(kind: Kind) {
    kind.test(|lab| {
        let (network, image) = (lab.network(&[])?, lab.busybox()?);
        Container::idle(&image, &network)?.pings(network.gateway(0)?.parse()?, SOON)?;
        lab.agent.kill();
        let one = thread::scope(|scope| {
            let starting = scope.spawn(|| Container::idle(&image, &network));
            lab.agent.launch()?;
            starting.join().map_err(|_| anyhow!("the thread panicked"))?
        })?;
        one.pings(network.gateway(0)?.parse()?, SOON)
    });
}

/// What the agent has of `what`: objects by id.
fn held(agent: &Agent, what: &str) -> Result<BTreeMap<String, Value>> {
    let by_id = |it: Value| Some((it["id"].as_str()?.to_owned(), it));
    let all: Option<BTreeMap<_, _>> = agent.list(what)?.into_iter().map(by_id).collect();
    all.with_context(|| format!("{what} without id"))
}

/// Waits until the agent has every endpoint that Docker has on `networks`, and besides those at most
/// ones that no container uses: what Docker forgot without a word is tidied up later.
fn agree(agent: &Agent, networks: &[&Network]) -> Result<()> {
    wait::until_ok(LIMIT, "Docker and the agent agree", || {
        let mut endpoints = BTreeSet::new();
        for network in networks {
            endpoints.extend(network.endpoints()?.into_values());
        }
        let (known, held) = (held(agent, "networks")?, held(agent, "endpoints")?);
        let missing = networks.iter().find(|it| !known.contains_key(it.id()));
        ensure!(missing.is_none(), "the agent does not have {missing:?}");
        let missing = endpoints.iter().find(|it| !held.contains_key(*it));
        ensure!(missing.is_none(), "the agent does not have endpoint {missing:?}: {held:?}");
        let surplus =
            held.iter().find(|(id, it)| !endpoints.contains(*id) && it["phase"] == "joined");
        ensure!(surplus.is_none(), "Docker does not have {surplus:?}");
        Ok(())
    })
}

/// Removes, as an operator in a hurry would, networks that Docker does not have. (The agent finds
/// them by itself, but takes its time; see `agreement`.)
fn forget_lost_networks(agent: &Agent, networks: &[&Network]) -> Result<()> {
    for id in held(agent, "networks")?.keys() {
        if !networks.iter().any(|it| it.id() == id) {
            run(&mut agent.command(&["forget", "--network", id])?)?;
        }
    }
    Ok(())
}

/// An agent behind a relay that can kill it at an exact step.
pub(crate) struct Rig {
    agent: Arc<Mutex<Agent>>,
    proxy: Proxy,
    /// The name to create networks with.
    pub(crate) driver: String,
    _folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn start() -> Result<Self> {
        let driver = kit::unique("relay");
        let folder = tempfile::Builder::new().prefix("dvt-").tempdir()?;
        let back = folder.path().join("plugin.sock");
        let options = AgentOptions { plugin_socket: Some(back.clone()), ..Default::default() };
        let agent = Agent::start_as(&driver, options)?;
        let front = format!("{PLUGIN_FOLDER}/{driver}.sock");
        let proxy = Proxy::start(front.as_ref(), &back)?;
        Ok(Self { agent: Arc::new(Mutex::new(agent)), proxy, driver, _folder: folder })
    }

    pub(crate) fn agent(&self) -> std::sync::MutexGuard<'_, Agent> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills and restarts the agent at `moment` of the next call of `method`.
    pub(crate) fn crash_at(&self, method: &str, moment: Moment) {
        let agent = Arc::clone(&self.agent);
        self.proxy.trap(method, moment, move || {
            let mut agent = agent.lock().unwrap_or_else(PoisonError::into_inner);
            agent.crash().expect("the agent starts again");
        });
    }
}

/// Takes a network and a container through their whole life with a crash at one step. Docker may
/// fail a command; it must not disagree with the agent afterwards.
fn life_with_a_crash(
    rig: &Rig,
    image: &Image,
    kind: Kind,
    (method, moment): (&str, Moment),
) -> Result<()> {
    rig.crash_at(method, moment);
    if let Ok(network) = Network::create(&rig.driver, &["-o", kind.option()]) {
        if let Ok(container) = Container::idle(image, &network) {
            let reached = container.pings(network.gateway(0)?.parse()?, SOON);
            reached.context("the container started but has no network")?;
            // Errors of leaving are only logged by Docker; a removal that failed is tried again
            // when the value is dropped.
            let _ = container.remove();
        }
        agree(&rig.agent(), &[&network]).context("after the container")?;
        // Every network can be used again after what happened to it.
        let next = Container::idle(image, &network).context("the next container")?;
        next.pings(network.gateway(0)?.parse()?, SOON)?;
        next.remove()?;
        // Like a removal that failed above.
        let _ = network.remove();
    }
    ensure!(!rig.proxy.is_armed(), "the step was never reached; calls: {:?}", rig.proxy.calls());
    let agent = rig.agent();
    forget_lost_networks(&agent, &[])?;
    agree(&agent, &[]).context("after the network")
}

/// One step at every moment, on one agent; nothing is left at the end.
fn crash_in(kind: Kind, method: &str) {
    if !met(&[Need::Root, Need::Docker, Need::Tun, Need::Busybox]) {
        return;
    }
    let _turn = Turn::take().expect("the lock file can be made");
    let rig = Rig::start().unwrap_or_else(|error| panic!("{error:?}"));
    let outcome = (|| {
        let image = Image::busybox()?;
        let before = Holdings::settled(&rig.agent())?;
        for moment in Moment::ALL {
            life_with_a_crash(&rig, &image, kind, (method, moment))
                .with_context(|| format!("a crash at {method}, {moment:?}"))?;
        }
        before.nothing_left(&rig.agent())
    })();
    if let Err(error) = outcome {
        eprintln!("---- the agent wrote ----\n{}\n----", rig.agent().log().join("\n"));
        panic!("{error:?}");
    }
}

#[test]
fn crash_in_create_network() {
    crash_in(Kind::Tap, "NetworkDriver.CreateNetwork");
}

fn crash_in_create_endpoint(kind: Kind) {
    crash_in(kind, "NetworkDriver.CreateEndpoint");
}

fn crash_in_join(kind: Kind) {
    crash_in(kind, "NetworkDriver.Join");
}

fn crash_in_leave(kind: Kind) {
    crash_in(kind, "NetworkDriver.Leave");
}

fn crash_in_delete_endpoint(kind: Kind) {
    crash_in(kind, "NetworkDriver.DeleteEndpoint");
}

#[test]
fn crash_in_delete_network() {
    crash_in(Kind::Tap, "NetworkDriver.DeleteNetwork");
}

#[test]
fn docker_leaves_nothing_when_a_network_is_refused() {
    docker_test(&[], |lab| {
        let before = docker(&["network", "ls", "-q"])?;
        ensure!(lab.network(&["-o", "nonsense=1"]).is_err());
        ensure!(docker(&["network", "ls", "-q"])? == before);
        Ok(())
    });
}
