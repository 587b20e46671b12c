//! The way out, and published ports.

use dockervpp::engine::Engine as _;
use dockervpp::model::{PortMapping, Protocol};
use kit::vpp_script::Scene;

use crate::fixture::{endpoint, fresh, network, options, ready};

/// Make an interface for the outside, with an address.
const OUTSIDE: [&str; 3] = [
    "create loopback interface",
    "set interface state loop0 up",
    "set interface ip address loop0 192.0.2.2/24",
];

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

pub(crate) fn published_ports_come_and_go_also_with_vpp(scene: &mut Scene) {
    for command in OUTSIDE {
        scene.cli(command).unwrap();
    }
    let engine = ready(scene, options(scene, Some("loop0")));
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
    let mappings = scene.cli("show nat44 static mappings").unwrap();
    assert!(mappings.contains("local 10.1.0.2:80 external loop0:8080"), "{mappings}");
    let interfaces = scene.cli("show nat44 interfaces").unwrap();
    assert!(interfaces.contains("loop0 out") && interfaces.contains("loop1 in"), "{interfaces}");

    scene.kill().unwrap();
    scene.start_again(&OUTSIDE).unwrap();
    let again = |mappings: &str| mappings.contains("external loop0:8443");
    scene.cli_until("show nat44 static mappings", "VPP has the ports again", again).unwrap();
    scene.settle().unwrap();

    engine.publish(&one.id, &ports[1..]).unwrap();
    assert_eq!(served(&one.id), 1);
    engine.publish(&two.id, &ports[..1]).unwrap();
    engine.leave(&two.id).unwrap();
    engine.delete_endpoint(&one.id).unwrap();
    engine.delete_endpoint(&two.id).unwrap();
    engine.delete_network(&network.id).unwrap();
    let left = scene.cli("show nat44 static mappings").unwrap();
    assert!(!left.contains("local"), "{left}");
    let interfaces = scene.cli("show nat44 interfaces").unwrap();
    assert!(!interfaces.contains("loop1"), "{interfaces}");
}

pub(crate) fn without_an_outside_interface_no_port_is_served(scene: &mut Scene) {
    let engine = fresh(scene);
    let network = network(1);
    engine.create_network(&network).unwrap();
    let endpoint = endpoint(2, &network);
    engine.create_endpoint(&endpoint).unwrap();
    let ports = [publish("8080:80")];
    assert_eq!(engine.publish(&endpoint.id, &ports).unwrap(), ports);
    assert_eq!(engine.published(&endpoint.id), []);
    scene.settle().unwrap();
}
