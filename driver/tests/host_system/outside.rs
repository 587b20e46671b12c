//! The way out and published ports, on a host that is a network namespace: the kernel's real packet
//! filter, and nobody else's rules are near.

use std::net::{TcpListener, TcpStream};
use std::process::Command;

use dockervpp::engine::embedded::{EmbeddedEngine, EmbeddedOptions, WayOut};
use dockervpp::engine::{AttachmentOptions, Engine};
use dockervpp::model::{NetworkSpec, PortMapping, Protocol};

use crate::engine::{endpoint, network};
use crate::fixture::{Sandbox, root_or_skip};

/// Runs a test inside a namespace that plays the host, if this machine can.
fn on_a_host(test: &str, work: impl FnOnce() + Send) {
    if !root_or_skip(test) {
        return;
    }
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !there("nft") || !there("iptables") {
        assert!(std::env::var_os("CI").is_none(), "nft or iptables is missing");
        eprintln!("skipped {test}: it needs the commands nft and iptables");
        return;
    }
    Sandbox::mounted().open().run(work).unwrap();
}

fn start() -> EmbeddedEngine {
    let attachment =
        AttachmentOptions { owner: "dvtest".to_owned(), ..AttachmentOptions::default() };
    EmbeddedEngine::start(EmbeddedOptions {
        attachment,
        way_out: WayOut::Host,
        ..EmbeddedOptions::default()
    })
    .unwrap()
}

/// What a command of the host prints; empty when it fails.
fn says(line: &[&str]) -> String {
    let output = Command::new(line[0]).args(&line[1..]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { text } else { String::new() }
}

fn table() -> String {
    says(&["nft", "list", "table", "inet", "dockervpp-dvtest"])
}

fn forward() -> String {
    says(&["iptables", "-S"])
}

fn link(network: &NetworkSpec) -> String {
    says(&["ip", "-o", "address", "show", "dev", &format!("dvg{}", network.id.short())])
}

fn mapping(protocol: Protocol, host_port: u16) -> PortMapping {
    PortMapping { protocol, container_port: 80, host_ip: None, host_port, host_port_end: host_port }
}

#[test]
fn the_gateway_is_a_link_of_the_host_and_goes_with_its_network() {
    on_a_host("the_gateway_is_a_link_of_the_host_and_goes_with_its_network", || {
        assert!(
            Command::new("iptables").args(["-P", "FORWARD", "DROP"]).status().unwrap().success()
        );
        let before = forward();
        let engine = start();
        engine.sweep(&|_| false).unwrap();
        let network = network();
        engine.create_network(&network).unwrap();
        engine.create_network(&network).unwrap();
        assert!(link(&network).contains("inet 10.99.0.1/24"), "{}", link(&network));
        assert_eq!(says(&["sysctl", "-n", "net.ipv4.ip_forward"]).trim(), "1");
        assert!(table().contains("ip saddr 10.99.0.0/24"), "{}", table());
        assert!(forward().contains("-A FORWARD -j dockervpp-dvtest"), "{}", forward());
        engine.delete_network(&network.id).unwrap();
        engine.delete_network(&network.id).unwrap();
        assert_eq!((link(&network), table(), forward()), (String::new(), String::new(), before));
    });
}

#[test]
fn an_internal_network_puts_nothing_on_the_host() {
    on_a_host("an_internal_network_puts_nothing_on_the_host", || {
        let engine = start();
        engine.sweep(&|_| false).unwrap();
        let network = NetworkSpec { internal: true, ..network() };
        engine.create_network(&network).unwrap();
        assert_eq!((link(&network), table()), (String::new(), String::new()));
        engine.delete_network(&network.id).unwrap();
    });
}

#[test]
fn a_subnet_that_the_host_is_in_is_refused_and_nothing_stays() {
    on_a_host("a_subnet_that_the_host_is_in_is_refused_and_nothing_stays", || {
        for line in [
            &["link", "add", "lan0", "type", "veth", "peer", "name", "lan1"][..],
            &["address", "add", "10.99.0.200/16", "dev", "lan0"],
        ] {
            assert!(Command::new("ip").args(line).status().unwrap().success());
        }
        let engine = start();
        engine.sweep(&|_| false).unwrap();
        let network = network();
        let error = engine.create_network(&network).unwrap_err().to_string();
        assert!(error.contains("10.99.0.200/16"), "{error}");
        assert_eq!((link(&network), table()), (String::new(), String::new()));
        // The same name is free for one that fits.
        assert!(Command::new("ip").args(["link", "delete", "lan0"]).status().unwrap().success());
        engine.create_network(&network).unwrap();
        engine.delete_network(&network.id).unwrap();
    });
}

#[test]
fn ports_are_kept_over_a_restart_and_given_back() {
    on_a_host("ports_are_kept_over_a_restart_and_given_back", || {
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        let (network, engine) = (network(), start());
        engine.sweep(&|_| false).unwrap();
        engine.create_network(&network).unwrap();
        let [one, two] = [2, 3].map(|host| endpoint(&network, host, network.attach));
        engine.create_endpoint(&one).unwrap();
        engine.create_endpoint(&two).unwrap();
        let asked = [mapping(Protocol::Tcp, 8080), mapping(Protocol::Udp, 0)];
        assert_eq!(engine.publish(&one.id, &asked).unwrap(), []);
        let published = engine.published(&one.id);
        assert_eq!(published.len(), 2);
        assert!(TcpListener::bind(("0.0.0.0", 8080)).is_err(), "the port is held");
        let refusal = engine.publish(&two.id, &asked).unwrap_err().to_string();
        assert!(refusal.contains(one.id.short()), "{refusal}");
        assert_eq!(engine.published(&two.id), []);
        let before = table();
        assert!(before.contains("tcp . 8080 : 10.99.0.2 . 80"), "{before}");

        // The agent ends and another one takes its place: what the first one made stays in force until
        // the second one knows all again.
        drop(engine);
        assert_eq!(table(), before);
        let engine = start();
        engine.create_network(&network).unwrap();
        engine.create_endpoint(&one).unwrap();
        assert_eq!(table(), before);
        let again = published.iter().map(|at| mapping(at.protocol, at.host_port));
        let again: Vec<PortMapping> = again.collect();
        engine.publish(&one.id, &again).unwrap();
        engine.sweep(&|_| true).unwrap();
        assert_eq!((engine.published(&one.id), table()), (published, before));

        // Nobody listens inside: who connects by the loopback is told so.
        let refused = TcpStream::connect(("127.0.0.1", 8080))
            .and_then(|mut stream| std::io::Read::read(&mut stream, &mut [0]));
        assert!(refused.is_err(), "{refused:?}");
        engine.delete_endpoint(&one.id).unwrap();
        assert!(!table().contains("8080"), "{}", table());
        assert!(TcpListener::bind(("0.0.0.0", 8080)).is_ok(), "the port is free");
        engine.delete_network(&network.id).unwrap();
    });
}

#[test]
fn what_others_flush_is_put_back_and_a_forgotten_gateway_removed() {
    on_a_host("what_others_flush_is_put_back_and_a_forgotten_gateway_removed", || {
        let (network, lost) = (network(), network_of("10.98.0.0/24", "10.98.0.1"));
        let engine = start();
        engine.sweep(&|_| false).unwrap();
        engine.create_network(&network).unwrap();
        engine.create_network(&lost).unwrap();
        let before = table();
        assert!(Command::new("nft").args(["flush", "ruleset"]).status().unwrap().success());
        assert_eq!(table(), "");
        engine.tend();
        assert_eq!(table(), before);
        // Somebody starts to drop what nobody accepts.
        assert!(
            Command::new("iptables").args(["-P", "FORWARD", "DROP"]).status().unwrap().success()
        );
        engine.tend();
        assert!(forward().contains("-A FORWARD -j dockervpp-dvtest"), "{}", forward());
        assert_eq!(engine.warnings().iter().filter(|it| it.contains("way out")).count(), 0);

        drop(engine);
        let engine = start();
        engine.create_network(&network).unwrap();
        assert_ne!(link(&lost), "");
        engine.sweep(&|_| false).unwrap();
        assert_eq!(link(&lost), "");
        assert!(!table().contains("10.98.0.0"), "{}", table());
        engine.delete_network(&network.id).unwrap();
    });
}

fn network_of(subnet: &str, gateway: &str) -> NetworkSpec {
    let mut spec = network();
    spec.ipv4[0].subnet = subnet.parse().unwrap();
    spec.ipv4[0].gateway = gateway.parse().ok();
    spec
}
