//! The engine `vpp` with a real VPP: what it makes there, what it leaves alone, and how it comes back.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use dockervpp::engine::vpp::{VclOptions, VppEngine, VppOptions};
use dockervpp::engine::{AttachmentOptions, Engine, EngineError};
use dockervpp::model::{
    AttachKind, EndpointId, EndpointSpec, MemifOptions, NetworkSpec, PolicyOptions, Pool,
    PortMapping, Protocol, SessionOptions, TcpStack, VhostOptions,
};
use kit::need::{Need, offered};
use kit::{Vpp, wait};
use transport::vcl::Program;

/// For what takes VPP or the kernel a while.
const LIMIT: Duration = Duration::from_secs(30);

fn network(number: u8) -> NetworkSpec {
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
    }
}

fn endpoint(number: u8, network: &NetworkSpec) -> EndpointSpec {
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

fn engine(vpp: &Vpp, folder: &Path) -> VppEngine {
    engine_with(vpp, folder, None)
}

fn engine_with(vpp: &Vpp, folder: &Path, outside: Option<&str>) -> VppEngine {
    VppEngine::start(options(vpp, folder, outside)).unwrap()
}

fn options(vpp: &Vpp, folder: &Path, outside: Option<&str>) -> VppOptions {
    VppOptions {
        api_socket: vpp.api_socket(),
        stats_socket: vpp.stats_socket(),
        outside: outside.map(str::to_owned),
        vcl: VclOptions {
            program: Program {
                path: env!("CARGO_BIN_EXE_dockervpp").into(),
                arguments: vec!["vcl-process".into()],
            },
            library: Some(vpp.files().library.clone()),
        },
        directory: folder.join("links"),
        attachment: AttachmentOptions { owner: "dvt".to_owned(), ..AttachmentOptions::default() },
    }
}

/// An engine that has nothing to remember.
fn fresh(vpp: &Vpp, folder: &Path) -> VppEngine {
    ready(engine(vpp, folder))
}

fn ready(engine: VppEngine) -> VppEngine {
    wait::until(LIMIT, "VPP is there", || {
        Ok(!engine.warnings().iter().any(|it| it.contains("away"))).map(|here| here.then_some(()))
    })
    .unwrap();
    assert_eq!(engine.sweep(&|_| false).unwrap(), 0);
    engine
}

/// What VPP has, in lines that stay the same while nothing is made or removed.
fn inventory(vpp: &Vpp) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for command in [
        "show interface",
        "show bridge-domain",
        "show ip table",
        "show ip6 table",
        "show memif",
        "show app ns",
    ] {
        let text = vpp.cli(command).unwrap();
        // Names of interfaces, and whole lines of the other lists; counters change.
        let words = text.lines().filter(|line| !line.starts_with(' ') && !line.is_empty());
        let words = words.map(|line| match command {
            "show interface" => line.split_whitespace().next().unwrap_or_default().to_owned(),
            _ => line.to_owned(),
        });
        lines.extend(words.map(|line| format!("{command}: {line}")));
    }
    let sockets = vpp.cli("show memif").unwrap();
    let numbered = |line: &&str| line.trim_start().starts_with(|c: char| c.is_ascii_digit());
    lines.extend(sockets.lines().filter(numbered).map(str::to_owned));
    lines
}

fn until_connected(vpp: &Vpp, count: usize) {
    wait::until_ok(LIMIT, "the links are connected", || {
        let shown = vpp.cli("show memif")?;
        let connected = shown.matches("flags admin-up slave connected").count();
        anyhow::ensure!(connected == count, "{connected} of {count}: {shown}");
        Ok(())
    })
    .unwrap();
}

fn on_vpp(test: impl FnOnce(&mut Vpp, &Path)) {
    if !offered(&[Need::Root, Need::Vpp]) {
        return;
    }
    let folder = tempfile::Builder::new().prefix("dvt").tempdir().unwrap();
    let mut vpp = Vpp::start(&[]).unwrap();
    test(&mut vpp, folder.path());
}

#[test]
fn all_that_was_made_is_removed_and_what_was_there_stays() {
    on_vpp(|vpp, folder| {
        for command in ["create loopback interface", "create bridge-domain 1", "ip table add 7"] {
            vpp.cli(command).unwrap();
        }
        let before = inventory(vpp);
        let engine = fresh(vpp, folder);
        let networks = [1, 2, 3].map(network);
        for network in &networks {
            engine.create_network(network).unwrap();
            engine.create_network(network).unwrap();
        }
        let endpoints =
            [(2, 0), (3, 0), (4, 1)].map(|(number, at)| endpoint(number, &networks[at]));
        for endpoint in &endpoints {
            engine.create_endpoint(endpoint).unwrap();
            engine.create_endpoint(endpoint).unwrap();
        }
        until_connected(vpp, 3);
        let addresses = vpp.cli("show interface address").unwrap();
        for address in ["10.1.0.1/24", "fd00:1::1/64", "10.3.0.1/24"] {
            assert!(addresses.contains(address), "{addresses}");
        }
        assert_eq!(engine.warnings().iter().filter(|it| it.contains("VPP")).count(), 0);
        let fdb = engine.fdb(&networks[0].id).unwrap();
        let pinned: BTreeSet<Option<EndpointId>> =
            fdb.iter().filter(|line| line.pinned).map(|line| line.endpoint.clone()).collect();
        let expected = [None, Some(endpoints[0].id.clone()), Some(endpoints[1].id.clone())];
        assert_eq!(pinned, BTreeSet::from(expected));
        for endpoint in &endpoints {
            engine.delete_endpoint(&endpoint.id).unwrap();
            engine.delete_endpoint(&endpoint.id).unwrap();
        }
        for network in &networks {
            engine.delete_network(&network.id).unwrap();
            engine.delete_network(&network.id).unwrap();
        }
        assert_eq!(inventory(vpp), before);
        assert_eq!(std::fs::read_dir(folder.join("links")).unwrap().count(), 0);
    });
}

/// A network with VPP's host stack, of which `endpoint` makes endpoints of kind `userspace`.
fn hosted(number: u8) -> NetworkSpec {
    NetworkSpec {
        tcp: TcpStack::Vcl,
        mtu: 1500,
        isolation: false,
        attach: AttachKind::Userspace,
        ..network(number)
    }
}

fn hosted_endpoint(number: u8, network: &NetworkSpec) -> EndpointSpec {
    EndpointSpec {
        attach: AttachKind::Userspace,
        ipv6: format!("fd00:1::{number}/64").parse().ok(),
        ..endpoint(number, network)
    }
}

/// Whether an address answers the network's gateway.
fn pings(vpp: &Vpp, address: &str) -> bool {
    let command = if address.contains(':') { "show ip6 table" } else { "show ip table" };
    let text = vpp.cli(command).unwrap();
    let line = text.lines().find(|line| line.contains("dvt:net:")).unwrap();
    let number = line.split("table_id:").nth(1).unwrap().split_whitespace().next().unwrap();
    let said = vpp.cli(&format!("ping {address} table-id {number} repeat 1")).unwrap();
    said.contains("1 received")
}

#[test]
fn endpoints_in_vpps_host_stack_are_stations_and_leave_nothing() {
    on_vpp(|vpp, folder| {
        let before = inventory(vpp);
        let engine = fresh(vpp, folder);
        let network = hosted(1);
        engine.create_network(&network).unwrap();
        let [one, two] = [2, 3].map(|number| hosted_endpoint(number, &network));
        let tap = endpoint(4, &network);
        for endpoint in [&one, &two, &tap] {
            engine.create_endpoint(endpoint).unwrap();
            engine.create_endpoint(endpoint).unwrap();
        }
        assert_eq!(engine.warnings().iter().filter(|it| it.contains("VPP")).count(), 0);
        until_connected(vpp, 1);
        for address in ["10.1.0.2", "10.1.0.3", "fd00:1::2", "fd00:1::3"] {
            wait::until(LIMIT, &format!("{address} answers"), || {
                Ok(pings(vpp, address).then_some(()))
            })
            .unwrap();
        }
        let namespaces = vpp.cli("show app ns").unwrap();
        assert_eq!(namespaces.matches("dvt:ep:").count(), 2, "{namespaces}");
        let fdb = engine.fdb(&network.id).unwrap();
        let pinned = fdb.iter().filter(|line| line.pinned && line.endpoint.is_some()).count();
        assert_eq!(pinned, 3);
        // What is broken is mended.
        let all = inventory(vpp);
        vpp.cli("app ns del id dvt:ep:e2e2e2e2e2e2e2e2e2e2e2e2:host").unwrap();
        wait::until(LIMIT, "the namespace is there again", || {
            Ok((vpp.cli("show app ns").unwrap().matches("dvt:ep:").count() == 2).then_some(()))
        })
        .unwrap();
        assert_eq!(inventory(vpp).len(), all.len());
        for endpoint in [&one, &two, &tap] {
            engine.delete_endpoint(&endpoint.id).unwrap();
        }
        engine.delete_network(&network.id).unwrap();
        assert_eq!(inventory(vpp), before);
        assert_eq!(std::fs::read_dir(folder.join("links")).unwrap().count(), 0);
    });
}

#[test]
fn the_next_agent_takes_up_hosts_and_vpp_is_told_them_again() {
    on_vpp(|vpp, folder| {
        let network = hosted(1);
        let [stays, goes] = [2, 3].map(|number| hosted_endpoint(number, &network));
        {
            let engine = fresh(vpp, folder);
            engine.create_network(&network).unwrap();
            for endpoint in [&stays, &goes] {
                engine.create_endpoint(endpoint).unwrap();
            }
        }
        let before = inventory(vpp);
        let engine = engine(vpp, folder);
        engine.create_network(&network).unwrap();
        engine.create_endpoint(&stays).unwrap();
        engine.sweep(&|id| *id == stays.id).unwrap();
        wait::until(LIMIT, "the other one is gone", || {
            Ok((vpp.cli("show app ns").unwrap().matches("dvt:ep:").count() == 1).then_some(()))
        })
        .unwrap();
        let after = inventory(vpp);
        let stable = |line: &&String| !line.starts_with("show app ns");
        let made: Vec<&String> = after.difference(&before).filter(stable).collect();
        assert_eq!(made, Vec::<&String>::new(), "what stays is not made anew");
        vpp.kill();
        vpp.start_again().unwrap();
        wait::until(LIMIT, "VPP has it again", || {
            let there = vpp.cli("show app ns").unwrap().contains("dvt:ep:");
            Ok((there && inventory(vpp).len() == after.len()).then_some(()))
        })
        .unwrap();
        wait::until(LIMIT, "it answers", || Ok(pings(vpp, "10.1.0.2").then_some(()))).unwrap();
    });
}

#[test]
fn what_the_host_stack_lacks_is_said_before_a_network_is_made() {
    on_vpp(|vpp, folder| {
        let engine = fresh(vpp, folder);
        let small = NetworkSpec { mtu: 1400, ..hosted(1) };
        let refusal = engine.create_network(&small).unwrap_err().to_string();
        assert!(refusal.contains("1400") && refusal.contains("1500"), "{refusal}");
        assert!(!vpp.cli("show bridge-domain").unwrap().contains("10.1.0.1"));
        drop(engine);
        let options = VppOptions {
            vcl: VclOptions {
                program: Program { path: "/bin/false".into(), arguments: Vec::new() },
                library: Some("/nowhere/libvppcom.so".into()),
            },
            ..options(vpp, folder, None)
        };
        let engine = ready(VppEngine::start(options).unwrap());
        let refusal = engine.create_network(&hosted(1)).unwrap_err().to_string();
        assert!(
            refusal.contains("/nowhere/libvppcom.so") && refusal.contains("--vpp-vcl-library"),
            "{refusal}"
        );
    });
}

#[test]
fn the_next_agent_takes_up_what_it_remembers_and_removes_the_rest() {
    on_vpp(|vpp, folder| {
        let [one, two] = [1, 2].map(network);
        let (stays, goes) = (endpoint(2, &one), endpoint(3, &two));
        {
            let engine = fresh(vpp, folder);
            for network in [&one, &two] {
                engine.create_network(network).unwrap();
            }
            for endpoint in [&stays, &goes] {
                engine.create_endpoint(endpoint).unwrap();
            }
            until_connected(vpp, 2);
        }
        let before = inventory(vpp);
        let engine = engine(vpp, folder);
        engine.create_network(&one).unwrap();
        engine.create_endpoint(&stays).unwrap();
        let now = inventory(vpp);
        assert!(before.is_subset(&now), "before all is known nothing goes: {before:?} {now:?}");
        wait::until(LIMIT, "VPP is there", || {
            Ok((!engine.warnings().iter().any(|it| it.contains("away"))).then_some(()))
        })
        .unwrap();
        engine.sweep(&|id| *id == stays.id).unwrap();
        until_connected(vpp, 1);
        let after = inventory(vpp);
        assert!(after.is_subset(&before), "what stays is not made anew: {before:?} {after:?}");
        let addresses = vpp.cli("show interface address").unwrap();
        assert!(addresses.contains("10.1.0.1/24"), "{addresses}");
        assert!(!addresses.contains("10.2.0.1/24"), "{addresses}");
    });
}

#[test]
fn vpp_is_told_again_what_it_forgot() {
    on_vpp(|vpp, folder| {
        let engine = fresh(vpp, folder);
        let network = network(1);
        engine.create_network(&network).unwrap();
        for number in 2..5 {
            engine.create_endpoint(&endpoint(number, &network)).unwrap();
        }
        until_connected(vpp, 3);
        let before = inventory(vpp);
        for _ in 0..2 {
            vpp.kill();
            vpp.start_again().unwrap();
            until_connected(vpp, 3);
            let addresses = vpp.cli("show interface address").unwrap();
            assert!(addresses.contains("10.1.0.1/24"), "{addresses}");
            assert_eq!(inventory(vpp).len(), before.len());
        }
    });
}

#[test]
fn while_vpp_is_away_new_things_are_refused_and_old_ones_go() {
    on_vpp(|vpp, folder| {
        let engine = fresh(vpp, folder);
        let [one, two] = [1, 3].map(network);
        engine.create_network(&one).unwrap();
        let endpoint = endpoint(2, &one);
        engine.create_endpoint(&endpoint).unwrap();
        vpp.kill();
        let refusal =
            wait::until(LIMIT, "the loss is noticed", || Ok(engine.create_network(&two).err()));
        assert!(matches!(refusal.unwrap(), EngineError::VppAway { .. }));
        engine.delete_endpoint(&endpoint.id).unwrap();
        engine.delete_network(&one.id).unwrap();
        vpp.start_again().unwrap();
        wait::until_ok(LIMIT, "VPP is back", || Ok(engine.create_network(&two)?)).unwrap();
        let addresses = vpp.cli("show interface address").unwrap();
        assert!(addresses.contains("10.3.0.1/24"), "{addresses}");
        assert!(!addresses.contains("10.1.0.1/24"), "{addresses}");
    });
}

/// An interface for the outside, with an address.
fn outside(vpp: &Vpp) -> &'static str {
    for command in [
        "create loopback interface",
        "set interface state loop0 up",
        "set interface ip address loop0 192.0.2.2/24",
    ] {
        vpp.cli(command).unwrap();
    }
    "loop0"
}

fn publish(text: &str) -> PortMapping {
    let (host, container) = text.split_once(':').unwrap();
    PortMapping {
        protocol: Protocol::Tcp,
        container_port: container.parse().unwrap(),
        host_ip: None,
        host_port: host.parse().unwrap(),
        host_port_end: host.parse().unwrap(),
    }
}

#[test]
fn published_ports_come_and_go_also_with_vpp() {
    on_vpp(|vpp, folder| {
        let name = outside(vpp);
        let engine = ready(engine_with(vpp, folder, Some(name)));
        let network = network(1);
        engine.create_network(&network).unwrap();
        let [one, two] = [2, 3].map(|number| endpoint(number, &network));
        for endpoint in [&one, &two] {
            engine.create_endpoint(endpoint).unwrap();
        }
        let ports = [publish("8080:80"), publish("8443:443")];
        assert_eq!(engine.publish(&one.id, &ports).unwrap(), []);
        let refusal = engine.publish(&two.id, &ports[..1]).unwrap_err();
        assert!(refusal.to_string().contains("8080/tcp"), "{refusal}");
        let served = |id| engine.published(id).len();
        assert_eq!((served(&one.id), served(&two.id)), (2, 0));
        let mappings = vpp.cli("show nat44 static mappings").unwrap();
        assert!(mappings.contains("local 10.1.0.2:80 external loop0:8080"), "{mappings}");
        let interfaces = vpp.cli("show nat44 interfaces").unwrap();
        assert!(
            interfaces.contains("loop0 out") && interfaces.contains("loop1 in"),
            "{interfaces}"
        );

        vpp.kill();
        vpp.start_again().unwrap();
        outside(vpp);
        wait::until_ok(LIMIT, "VPP has the ports again", || {
            let mappings = vpp.cli("show nat44 static mappings")?;
            anyhow::ensure!(mappings.contains("external loop0:8443"), "{mappings}");
            Ok(())
        })
        .unwrap();

        engine.publish(&one.id, &ports[1..]).unwrap();
        assert_eq!(served(&one.id), 1);
        engine.publish(&two.id, &ports[..1]).unwrap();
        engine.leave(&two.id).unwrap();
        engine.delete_endpoint(&one.id).unwrap();
        engine.delete_endpoint(&two.id).unwrap();
        engine.delete_network(&network.id).unwrap();
        let left = vpp.cli("show nat44 static mappings").unwrap();
        assert!(!left.contains("local"), "{left}");
        let interfaces = vpp.cli("show nat44 interfaces").unwrap();
        assert!(!interfaces.contains("loop1"), "{interfaces}");
    });
}

#[test]
fn without_an_outside_interface_no_port_is_served() {
    on_vpp(|vpp, folder| {
        let engine = fresh(vpp, folder);
        let network = network(1);
        engine.create_network(&network).unwrap();
        let endpoint = endpoint(2, &network);
        engine.create_endpoint(&endpoint).unwrap();
        let ports = [publish("8080:80")];
        assert_eq!(engine.publish(&endpoint.id, &ports).unwrap(), ports);
        assert_eq!(engine.published(&endpoint.id), []);
    });
}

#[test]
fn what_an_operator_breaks_is_mended() {
    on_vpp(|vpp, folder| {
        let engine = fresh(vpp, folder);
        let network = network(1);
        engine.create_network(&network).unwrap();
        engine.create_endpoint(&endpoint(2, &network)).unwrap();
        until_connected(vpp, 1);
        vpp.cli("delete loopback interface intfc loop0").unwrap();
        vpp.cli("delete interface memif memif1/0").ok();
        // The next change, or the next look, finds it.
        engine.create_endpoint(&endpoint(3, &network)).unwrap();
        let addresses = vpp.cli("show interface address").unwrap();
        assert!(addresses.contains("10.1.0.1/24"), "{addresses}");
    });
}
