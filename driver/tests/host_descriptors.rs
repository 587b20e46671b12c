//! Leaving at any moment of joining closes everything. Alone in its process, so that descriptors and
//! threads can be counted. Needs root; says so and passes without it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "host_system/fixture.rs"]
#[allow(dead_code, reason = "shared with the tests that use all of it")]
mod fixture;

use std::fs;
use std::time::Duration;

use dockervpp::engine::Engine;
use dockervpp::engine::embedded::{EmbeddedEngine, EmbeddedOptions};
use dockervpp::host::link::Links;
use dockervpp::host::netns::NetNs;
use dockervpp::host::root::HostRoot;
use dockervpp::model::{
    AttachKind, EndpointSpec, IfName, MemifOptions, NetworkSpec, PolicyOptions, Pool, SandboxKey,
    SessionOptions, TcpStack, VhostOptions,
};

use crate::fixture::{Sandbox, eventually, root_or_skip};

/// What is open, as the targets of `/proc/self/fd`.
fn open_descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let targets = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let mut targets: Vec<_> = targets.map(|target| target.display().to_string()).collect();
    targets.retain(|target| !target.starts_with("/proc/"));
    targets.sort();
    targets
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

fn network() -> NetworkSpec {
    NetworkSpec {
        id: format!("net{}", std::process::id()).parse().unwrap(),
        ipv4: vec![Pool {
            subnet: "10.98.0.0/24".parse().unwrap(),
            gateway: "10.98.0.1".parse().ok(),
        }],
        ipv6: Vec::new(),
        mtu: 1500,
        internal: false,
        isolation: false,
        attach: AttachKind::Auto,
        tcp: TcpStack::default(),
        session: SessionOptions::default(),
        policy: PolicyOptions::default(),
        vxlan: None,
    }
}

fn endpoint(network: &NetworkSpec) -> EndpointSpec {
    EndpointSpec {
        id: format!("fd{}", std::process::id()).parse().unwrap(),
        network: network.id.clone(),
        mac: "02:42:0a:62:00:02".parse().unwrap(),
        ipv4: "10.98.0.2/24".parse().ok(),
        ipv6: None,
        attach: AttachKind::Auto,
        memif: MemifOptions::default(),
        vhost: VhostOptions::default(),
        session: SessionOptions::default(),
        policy: PolicyOptions::default(),
    }
}

/// How far the container gets before it leaves.
#[derive(Debug, Clone, Copy)]
enum Moment {
    BeforeTheFile,
    BeforeTheMount,
    WhileMounting(Duration),
    BeforeTheLink,
    WhileMoving(Duration),
    Settled,
}

fn live_until(moment: Moment, engine: &EmbeddedEngine, sandbox: &mut Sandbox, link: &IfName) {
    if matches!(moment, Moment::BeforeTheFile) {
        return;
    }
    sandbox.create_file();
    if matches!(moment, Moment::BeforeTheMount) {
        return;
    }
    sandbox.mount();
    match moment {
        // The watch thread looks every few milliseconds: the delays cover one round of it.
        Moment::WhileMounting(delay) => return std::thread::sleep(delay),
        Moment::BeforeTheLink => {
            return eventually("the plain sockets are bound", || sandbox.sockets().len() == 3);
        }
        _ => sandbox.adopt(link.as_str(), "eth0"),
    }
    match moment {
        Moment::WhileMoving(delay) => std::thread::sleep(delay),
        _ => eventually("all is bound", || {
            let status = engine.endpoint_status(&endpoint(&network()).id).unwrap().unwrap();
            status.sockets.len() == 6
        }),
    }
}

fn one_life(engine: &EmbeddedEngine, moment: Moment) {
    let endpoint = endpoint(&network());
    let mut sandbox = Sandbox::absent();
    let key = SandboxKey(sandbox.path().to_owned());
    engine.create_endpoint(&endpoint).unwrap();
    let link = engine.join(&endpoint.id, &key).unwrap().link;
    live_until(moment, engine, &mut sandbox, &link);
    let moved = matches!(moment, Moment::WhileMoving(_) | Moment::Settled);
    engine.leave(&endpoint.id).unwrap();
    if NetNs::open(&HostRoot::own(), sandbox.path()).unwrap().is_some() {
        assert!(sandbox.sockets().is_empty(), "{moment:?}");
    }
    if moved {
        sandbox.release("eth0", link.as_str());
    }
    engine.delete_endpoint(&endpoint.id).unwrap();
    assert!(Links::open().unwrap().find(link.as_str()).unwrap().is_none(), "{moment:?}");
    sandbox.remove();
}

#[test]
fn leaving_at_any_moment_leaves_no_descriptor_and_no_thread() {
    if !root_or_skip("leaving_at_any_moment_leaves_no_descriptor_and_no_thread") {
        return;
    }
    let engine = EmbeddedEngine::start(EmbeddedOptions::default()).unwrap();
    engine.create_network(&network()).unwrap();
    // Once, for what is opened at first use and kept.
    one_life(&engine, Moment::Settled);
    let (descriptors, running) = (open_descriptors(), threads());
    let delays = || (0..8).map(Duration::from_millis);
    let moments = [Moment::BeforeTheFile, Moment::BeforeTheMount, Moment::BeforeTheLink]
        .into_iter()
        .chain(delays().map(Moment::WhileMounting))
        .chain(delays().map(Moment::WhileMoving))
        .chain([Moment::Settled]);
    for moment in moments {
        one_life(&engine, moment);
        // The watch thread lets go of its directory watches a moment after the last job.
        eventually("the descriptors are as before", || open_descriptors() == descriptors);
        // A thread that was joined is shown for a moment more.
        eventually("the threads are as before", || threads() == running);
    }
}
