//! Networks, endpoints and engines for scenarios, and what VPP has.

use std::collections::BTreeSet;
use std::time::Duration;

use dockervpp::engine::vpp::{VclOptions, VppEngine, VppOptions};
use dockervpp::engine::{AttachmentOptions, Engine as _};
use dockervpp::model::{
    AttachKind, EndpointSpec, MemifOptions, NetworkSpec, PolicyOptions, Pool, SessionOptions,
    TcpStack, VhostOptions,
};
use kit::vpp_script::Scene;
use kit::wait;
use transport::vcl::Program;

/// For what takes the engine a while.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn network(number: u8) -> NetworkSpec {
    NetworkSpec {
        id: format!("{number:02x}").repeat(32).parse().unwrap(),
        ipv4: vec![Pool {
            subnet: format!("10.{number}.0.0/24").parse().unwrap(),
            gateway: format!("10.{number}.0.1").parse().ok(),
        }],
        ipv6: vec![Pool {
            subnet: format!("fd00:{number}::/64").parse().unwrap(),
            gateway: format!("fd00:{number}::1").parse().ok(),
        }],
        mtu: 1400,
        internal: false,
        isolation: number.is_multiple_of(2),
        attach: AttachKind::Auto,
        tcp: TcpStack::default(),
        session: SessionOptions::default(),
        policy: PolicyOptions::default(),
        vxlan: None,
    }
}

pub(crate) fn endpoint(number: u8, network: &NetworkSpec) -> EndpointSpec {
    EndpointSpec {
        id: format!("e{number:x}").repeat(32).parse().unwrap(),
        network: network.id.clone(),
        mac: dataplane::MacAddr([0x02, 0x42, 10, 0, 0, number]),
        ipv4: format!("10.1.0.{number}/24").parse().ok(),
        ipv6: None,
        attach: AttachKind::Auto,
        memif: MemifOptions::default(),
        vhost: VhostOptions::default(),
        session: SessionOptions::default(),
        policy: PolicyOptions::default(),
    }
}

/// An engine that may have been there before, after its first look at VPP.
pub(crate) fn engine(scene: &Scene) -> VppEngine {
    let engine = VppEngine::start(options(scene, None)).unwrap();
    scene.settle().unwrap();
    engine
}

pub(crate) fn options(scene: &Scene, outside: Option<&str>) -> VppOptions {
    VppOptions {
        api_socket: scene.api_socket(),
        stats_socket: scene.stats_socket(),
        outside: outside.map(str::to_owned),
        vcl: vcl(scene),
        directory: scene.folder().join("links"),
        attachment: AttachmentOptions { owner: "dvt".to_owned(), ..AttachmentOptions::default() },
    }
}

/// What attaches to VPP's host stack. Where VPP is a recording, there is nothing to attach to: a library that nobody
/// loads, and a process that is told things until it is not wanted any more.
fn vcl(scene: &Scene) -> VclOptions {
    if let Some(library) = scene.library() {
        let program = Program {
            path: env!("CARGO_BIN_EXE_dockervpp").into(),
            arguments: vec!["vcl-process".into()],
        };
        return VclOptions { program, library: Some(library.to_owned()) };
    }
    let library = scene.folder().join("libvppcom.so.26.06");
    std::fs::write(&library, "").unwrap();
    let arguments = ["-c", "exec cat >/dev/null"].map(Into::into).to_vec();
    VclOptions { program: Program { path: "/bin/sh".into(), arguments }, library: Some(library) }
}

/// An engine that has nothing to remember.
pub(crate) fn fresh(scene: &Scene) -> VppEngine {
    ready(scene, options(scene, None))
}

pub(crate) fn ready(scene: &Scene, options: VppOptions) -> VppEngine {
    let engine = VppEngine::start(options).unwrap();
    wait::until(LIMIT, "VPP is there", || {
        Ok(!engine.warnings().iter().any(|it| it.contains("away"))).map(|here| here.then_some(()))
    })
    .unwrap();
    scene.settle().unwrap();
    assert_eq!(engine.sweep(&|_| false).unwrap(), 0);
    engine
}

/// What VPP has, in lines that stay the same while nothing is made or removed.
pub(crate) fn inventory(scene: &Scene) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for command in [
        "show interface",
        "show bridge-domain",
        "show ip table",
        "show ip6 table",
        "show memif",
        "show app ns",
    ] {
        let text = scene.cli(command).unwrap();
        // Names of interfaces, and whole lines of the other lists; counters change.
        let words = text.lines().filter(|line| !line.starts_with(' ') && !line.is_empty());
        let words = words.map(|line| match command {
            "show interface" => line.split_whitespace().next().unwrap_or_default().to_owned(),
            _ => line.to_owned(),
        });
        lines.extend(words.map(|line| format!("{command}: {line}")));
        if command == "show memif" {
            let numbered =
                |line: &&str| line.trim_start().starts_with(|c: char| c.is_ascii_digit());
            lines.extend(text.lines().filter(numbered).map(str::to_owned));
        }
    }
    lines
}

pub(crate) fn until_connected(scene: &Scene, count: usize) {
    let connected = |shown: &str| shown.matches("flags admin-up slave connected").count() == count;
    scene.cli_until("show memif", &format!("{count} links are connected"), connected).unwrap();
}

/// Whether VPP's interfaces have the addresses of `has`, and none of `lacks`.
pub(crate) fn assert_addresses(scene: &Scene, has: &[&str], lacks: &[&str]) {
    let shown = scene.cli("show interface address").unwrap();
    assert!(has.iter().all(|address| shown.contains(address)), "{has:?}: {shown}");
    assert!(!lacks.iter().any(|address| shown.contains(address)), "{lacks:?}: {shown}");
}
